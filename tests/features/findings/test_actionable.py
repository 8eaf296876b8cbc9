# ruff: noqa: DTZ001  # the record's times carry no zone
from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest

from features.findings.actionable import Actionable, actionable, is_truncating
from features.record.schema import FINDINGS

LDLR, BRCA2, MUTYH, HFE, TTN, OTC, ATM, APOB, ABCD1 = (
    "HGNC:6547", "HGNC:1101", "HGNC:7527", "HGNC:4886", "HGNC:12403", "HGNC:8512", "HGNC:795", "HGNC:603", "HGNC:61",
)  # fmt: skip
P, LP, VUS = "pathogenic", "likely pathogenic", "uncertain significance"


def judged(*rows: tuple[str, str, str, str], as_of: datetime | None = None, **more: object) -> list[Actionable]:
    """Findings of one person, as (gene, variant, zygosity, classification), reported one day after the other."""
    table = pa.Table.from_pylist(
        [
            {
                "subject_id": 1,
                "gene_hgnc": gene,
                "gene_symbol": "X",
                "variant": variant,
                "zygosity": f"{zygosity}zygous",
                "classification": classification,
                "laboratory": "L",
                "report_id": f"R{day}",
                "available_time": datetime(2020, 1, day),
                **more,
            }
            for day, (gene, variant, zygosity, classification) in enumerate(rows, start=1)
        ],
        schema=FINDINGS,
    )
    return actionable(table, as_of=as_of)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # gene, variant, zygosity, classification                              actionable
        ([(LDLR, "c.97C>T", "hetero", P)], True),
        ([(BRCA2, "c.5946del", "hetero", LP)], True),
        ([(BRCA2, "c.5946del", "hetero", VUS)], False),
        ([(ATM, "c.1A>G", "hetero", P)], False),  # not on the list
        ([(MUTYH, "c.536A>G", "hetero", P)], False),  # recessive: one variant is a carrier
        ([(MUTYH, "c.536A>G", "homo", P)], True),
        ([(MUTYH, "c.536A>G", "hetero", P), (MUTYH, "c.1187G>A", "hetero", LP)], True),
        ([(MUTYH, "c.536A>G", "hetero", P), (MUTYH, "c.536A>G", "hetero", P)], False),  # the same one twice
        ([(MUTYH, "c.536A>G", "hetero", P), (MUTYH, "c.1187G>A", "hetero", VUS)], False),
        ([(HFE, "NM_000410.4:c.845G>A", "homo", P)], True),
        ([(HFE, "NM_000410.4:c.845G>A", "hetero", P)], False),
        ([(HFE, "NM_000410.4:c.187C>G", "homo", P)], False),  # H63D
        ([(TTN, "NM_001267550.2:c.100C>T (p.Arg34Ter)", "hetero", P)], True),
        ([(TTN, "NM_001267550.2:c.100C>T (p.Arg34Trp)", "hetero", P)], False),
        ([(OTC, "c.1A>G", "hetero", P)], True),  # X-linked, heterozygous women too
        ([(ABCD1, "c.1A>G", "hetero", P)], False),
        ([(ABCD1, "c.1A>G", "hemi", P)], True),
    ],
)
def test_what_the_acmg_list_wants_reported(rows: list[tuple[str, str, str, str]], expected: bool) -> None:
    assert bool(judged(*rows)) is expected


def test_a_low_cholesterol_variant_of_apob_is_nothing_to_act_on() -> None:
    row = (APOB, "c.100C>T", "hetero", P)
    assert judged(row, condition="Familial hypobetalipoproteinemia 1") == []
    assert len(judged(row, condition="Familial hypercholesterolemia")) == 1


def test_what_was_not_known_yet_is_not_acted_on() -> None:
    rows = ((MUTYH, "c.536A>G", "hetero", P), (MUTYH, "c.1187G>A", "hetero", P))
    assert judged(*rows, as_of=datetime(2020, 1, 2)) == []
    (found,) = judged(*rows, as_of=datetime(2020, 1, 2, 0, 0, 1))
    assert found.available_time == datetime(2020, 1, 2)
    assert found.variants == ("c.1187G>A", "c.536A>G")
    assert (found.classification, found.report_id, found.gene_symbol) == (P, "R2", "MUTYH")


@pytest.mark.parametrize(
    ("first", "second", "same_laboratory", "expected"),
    [
        (P, VUS, True, False),  # reclassified in a later report: no longer
        (VUS, P, True, True),
        (P, VUS, False, True),  # laboratories disagree: one that calls it harmful is enough
        (VUS, P, False, True),
    ],
)
def test_a_later_report_of_the_same_laboratory_has_the_last_word_on_a_variant(
    first: str, second: str, same_laboratory: bool, expected: bool
) -> None:
    rows = [
        {"subject_id": 1, "gene_hgnc": LDLR, "variant": "c.97C>T", "zygosity": "heterozygous", "classification": c,
         "laboratory": lab, "report_id": f"R{day}", "available_time": datetime(2020, 1, day)}
        for day, (c, lab) in enumerate([(first, "A"), (second, "A" if same_laboratory else "B")], start=1)
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        assert bool(actionable(pa.Table.from_pylist(order, schema=FINDINGS))) is expected
    # before the second report, the first one's word stands
    known = actionable(pa.Table.from_pylist(rows, schema=FINDINGS), as_of=datetime(2020, 1, 2))
    assert bool(known) is (first == P)


def test_several_genes_of_a_person_stay_apart() -> None:
    found = judged((BRCA2, "c.5946del", "hetero", P), (LDLR, "c.97C>T", "hetero", LP))
    assert [(one.gene_hgnc, one.classification) for one in found] == [(BRCA2, P), (LDLR, LP)]


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("NM_1:c.10del", True),
        ("NM_1:c.10_12del", False),
        ("NM_1:c.10_13del", True),
        ("NM_1:c.10dup (p.Ala4fs)", True),
        ("NM_1:c.10_11insACG", False),
        ("NM_1:c.10_11insAC", True),
        ("NM_1:c.100+1G>A", True),
        ("NM_1:c.100-2A>G", True),
        ("NM_1:c.100+10G>A", False),
        ("NM_1:c.10C>T (p.Arg4*)", True),
        ("NM_1:c.10C>T (p.Arg4Trp)", False),
        ("NM_1:c.*10C>T", False),
    ],
)
def test_which_variants_truncate(variant: str, expected: bool) -> None:
    assert is_truncating(variant) is expected
