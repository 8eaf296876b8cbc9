"""Which findings somebody can act on: (likely) pathogenic variants by the ACMG secondary findings list v3.3.

acmg_sf.csv is that list (Lee K et al., Genet Med 2025): gene, condition, inheritance and, as a rule, which variants it
asks to be reported. TRDN, listed with "all", is recessive like CASQ2 and held to two variants here.
"""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from typing import Any

import pyarrow as pa

from features.findings.vocabulary import LIKELY_PATHOGENIC, PATHOGENIC

SOURCE = "ACMG SF v3.3 (Genet Med 2025)"
Row = dict[str, Any]  # a row of `features.record.schema.FINDINGS`

# Variants of APOB and PCSK9 that lower LDL cholesterol are reported as pathogenic for it: nothing to act on.
NOT_ACTIONABLE_CONDITION = "hypobetalipoproteinemia"


@dataclass(frozen=True, slots=True)
class Actionable:
    """A person's actionable variants in one gene. `available_time`: when the last variant that is needed was known."""

    subject_id: int
    gene_symbol: str
    gene_hgnc: str
    condition: str
    variants: tuple[str, ...]
    classification: str
    laboratory: str
    report_id: str
    available_time: datetime | None
    source: str = SOURCE


@dataclass(frozen=True, slots=True)
class _Entry:
    gene_symbol: str
    conditions: tuple[str, ...]
    rule: str


def actionable(findings: pa.Table, *, as_of: datetime | None = None) -> list[Actionable]:
    """The actionable findings, by subject and gene, among these (columns of `features.record.schema.FINDINGS`).

    With `as_of`, only findings that were available strictly before it count. A laboratory's newest classification of a
    variant replaces its earlier ones, of other reports too; where two laboratories disagree, one that calls the variant
    harmful is enough. A gene whose list entry asks for two variants needs a homozygous or hemizygous one or two
    different ones; their phase is not known.
    """
    by_gene: dict[tuple[int, str], list[Row]] = {}
    for row in _newest(row for row in findings.to_pylist() if _known(row, as_of)):
        if _harmful(row):
            by_gene.setdefault((row["subject_id"], row["gene_hgnc"]), []).append(row)
    judgements = (_judge(rows, _entries()[gene]) for (_, gene), rows in sorted(by_gene.items()))
    return [judged for judged in judgements if judged is not None]


def listed_genes() -> frozenset[str]:
    """The symbols of the genes in which a finding can be actionable at all."""
    return frozenset(entry.gene_symbol for entry in _entries().values())


def _known(row: Row, as_of: datetime | None) -> bool:
    available = row["available_time"]
    return as_of is None or not isinstance(available, datetime) or available < as_of


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Of each person's variant and laboratory the rows of the newest report: one for each condition."""
    newest: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("subject_id", "gene_hgnc", "variant", "laboratory"))
        held = newest.setdefault(key, [])
        if held and _age(row) > _age(held[0]):
            held.clear()
        if not held or _age(row) == _age(held[0]):
            held.append(row)
    return [row for held in newest.values() for row in held]


def _age(row: Row) -> tuple[datetime, str]:
    available = row["available_time"]
    return available if isinstance(available, datetime) else datetime.min, str(row["report_id"])  # noqa: DTZ901


def _harmful(row: Row) -> bool:
    return (
        row["gene_hgnc"] in _entries()
        and row["classification"] in (PATHOGENIC, LIKELY_PATHOGENIC)
        and NOT_ACTIONABLE_CONDITION not in str(row["condition"] or "").lower()
    )


def _judge(rows: list[Row], entry: _Entry) -> Actionable | None:
    rows = [row for row in rows if _fits(row, entry.rule)]
    variants = tuple(sorted({str(row["variant"]) for row in rows}))
    doubled = any(row["zygosity"] in ("homozygous", "hemizygous") for row in rows)
    if not rows or (entry.rule == "two" and len(variants) < 2 and not doubled):
        return None
    last = max(rows, key=_age)
    classes = {row["classification"] for row in rows}
    available = last["available_time"]
    return Actionable(
        subject_id=int(str(last["subject_id"])),
        gene_symbol=entry.gene_symbol,
        gene_hgnc=str(last["gene_hgnc"]),
        condition="; ".join(entry.conditions),
        variants=variants,
        classification=PATHOGENIC if PATHOGENIC in classes else LIKELY_PATHOGENIC,
        laboratory=str(last["laboratory"]),
        report_id=str(last["report_id"]),
        available_time=available if isinstance(available, datetime) else None,
    )


def _fits(row: Row, rule: str) -> bool:
    variant = str(row["variant"] or "")
    if rule == "truncating":
        return is_truncating(variant)
    if rule == "c282y_homozygous":
        named = re.search(r"c\.845G>A|p\.\(?(?:C282Y|Cys282Tyr)", variant)
        return named is not None and row["zygosity"] == "homozygous"
    return True


def is_truncating(variant: str) -> bool:
    """Whether an HGVS name means a truncated protein.

    That is a frameshift or stop, a canonical splice site, or a change of coding length that is no multiple of three.
    """
    if re.search(r"fs|Ter|\*(?!\d)|p\.\(?[A-Z][a-z]{0,2}\d+X", variant):
        return True
    if re.search(r"c\.-?\d+(?:_-?\d+)?[+-][12](?!\d)", variant):
        return True
    if change := re.search(r"c\.(\d+)(?:_(\d+))?(del|dup)(?!ins)", variant):
        length = int(change[2] or change[1]) - int(change[1]) + 1
        return length % 3 != 0
    change = re.search(r"c\.\d+_\d+ins([ACGT]+)", variant)
    return change is not None and len(change[1]) % 3 != 0


@functools.cache
def _entries() -> dict[str, _Entry]:
    """By HGNC id."""
    with (resources.files("features.findings") / "acmg_sf.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {hgnc: _entry([row for row in rows if row["hgnc_id"] == hgnc]) for hgnc in {row["hgnc_id"] for row in rows}}


def _entry(rows: Iterable[Mapping[str, str]]) -> _Entry:
    listed = list(rows)
    return _Entry(listed[0]["gene_symbol"], tuple(row["condition"] for row in listed), listed[0]["rule"])
