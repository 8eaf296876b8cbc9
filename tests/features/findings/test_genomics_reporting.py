# ruff: noqa: DTZ001  # the record's times carry no zone
from __future__ import annotations

import copy
import json
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.findings import emerge
from features.findings.genomics_reporting import read
from features.findings.reports import Covered, Finding, Problem, Report, moment

EXAMPLES = "fhir_genomics_reporting/examples"


def documents(folder: Path, pattern: str = "*.json") -> list[tuple[str, dict[str, Any]]]:
    return [(path.name, json.loads(path.read_text())) for path in sorted(folder.glob(pattern))]


def split(parts: list[Report | Problem]) -> tuple[dict[str, Report], Counter[str]]:
    reports = {part.report_id: part for part in parts if isinstance(part, Report)}
    return reports, Counter(part.reason for part in parts if isinstance(part, Problem))


@pytest.mark.realdata
def test_the_examples_of_the_guide_are_read_and_what_is_no_germline_variant_is_counted(real_data: Path) -> None:
    """The expected rows were read off the guide's own pages (HL7 Genomics Reporting 3.0.0, examples)."""
    reports, problems = split(list(read(documents(real_data / EXAMPLES))))
    acad9 = Finding(
        gene_hgnc="HGNC:21497",
        gene_symbol="ACAD9",
        variant="NM_014049.4:c.1249C>T",
        zygosity="heterozygous",
        classification="pathogenic",
        condition_mondo="MONDO:0012624",
        condition="acyl-CoA dehydrogenase 9 deficiency",
    )
    assert reports["report"].findings == (acad9,)
    assert reports["report"].laboratory == "Some lab"
    assert reports["report"].patient_ids == ("ExamplePatient",)
    assert reports["report"].available_time == datetime(2016, 9, 6, 23, 59, 59, 999999)  # 2016-09-06T00:00:00-05:00
    pharmacogenes = reports["PGxGenomicReportEMERGE"]
    assert {c.gene_symbol: c.result for c in pharmacogenes.complete_coverage()} == {
        "CYP2C19": "inconclusive", "CYP2C9": "negative", "VKORC1": "inconclusive",
    }  # fmt: skip
    assert {c.limitation for c in pharmacogenes.coverage} == {"protein-coding and exon-splicing regions"}
    assert problems["variant not germline: somatic"] == 12
    assert problems["output of an operation, not a report"] == 18
    assert sum(bool(report.findings) for report in reports.values()) == 4
    assert not any(f.gene_symbol in ("BRAF", "EGFR", "MSH2") for r in reports.values() for f in r.findings)


@pytest.mark.realdata
def test_every_variant_of_a_bundle_is_a_finding_or_has_its_reason(real_data: Path) -> None:
    """A naive count of the Observations with LOINC 69548-6 in each of the guide's bundles."""
    for where, bundle in documents(real_data / EXAMPLES, "Bundle-*.json"):
        text = [json.dumps(entry["resource"].get("code")) for entry in bundle["entry"]]
        n_variants = sum('"69548-6"' in code for code in text)
        parts = list(read([(where, bundle)]))
        n_findings = sum(len(part.findings) for part in parts if isinstance(part, Report))
        n_reasons = sum(p.reason.startswith("variant") for p in parts if isinstance(p, Problem))
        assert n_findings + n_reasons == n_variants, where


@pytest.mark.realdata
def test_emerge_reports_a_carrier_and_a_person_tested_negative(real_data: Path) -> None:
    found = {}
    for where, document in documents(real_data / "fhir_genomics_examples/emerge"):
        assert emerge.is_emerge(document)
        found[where], problems = split(list(emerge.read(where, document)))
        assert problems["not a variant: pharmacogenomic diplotype"] == 7
    (positive,) = found["positiveSample.json"].values()
    (negative,) = found["negativeSample.json"].values()
    (finding,) = positive.findings
    assert finding.gene_hgnc == "HGNC:1101"  # the document's id is MLH1's, its symbol and transcript are BRCA2's
    assert finding.variant == "NM_000059.3:c.2808_2811delACAA (p.Ala938Profs*21)"
    assert (finding.classification, finding.zygosity) == ("pathogenic", "heterozygous")
    assert finding.condition_mondo == "MONDO:0700269"  # OMIM 612555
    assert positive.available_time == datetime(2020, 4, 17, 23, 59, 59, 999999)
    assert negative.findings == ()
    covered = {c.gene_symbol: (c.result, c.limitation) for c in negative.complete_coverage()}
    assert covered["APOB"] == ("negative", "99.67 % of targeted bases read 20 times or more")
    assert "BRCA2" not in covered  # on the panel, perhaps, but the report does not say so
    assert {c.gene_symbol: c.result for c in positive.complete_coverage()}["BRCA2"] == "positive"


def coding(system: str, code: str, display: str | None = None) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code} | ({"display": display} if display else {})]}


def part(code: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"code": coding("http://loinc.org", code), "valueCodeableConcept": value}


def a_bundle(*components: dict[str, Any], status: str = "final", value: str = "LA9633-4") -> dict[str, Any]:
    """A report with one variant of LDLR, classified pathogenic by an implication."""
    variant = {
        "resourceType": "Observation",
        "id": "v",
        "status": "final",
        "code": coding("http://loinc.org", "69548-6"),
        "valueCodeableConcept": coding("http://loinc.org", value),
        "component": [
            part("48018-6", coding("http://www.genenames.org", "HGNC:6547", "LDLR")),
            part("48004-6", coding("http://varnomen.hgvs.org", "NM_000527.5:c.97C>T")),
            *components,
        ],
    }
    implication = {
        "resourceType": "Observation",
        "id": "i",
        "status": "final",
        "code": coding("http://hl7.org/fhir/uv/genomics-reporting/CodeSystem/tbd-codes-cs", "diagnostic-implication"),
        "derivedFrom": [{"reference": "Observation/v"}],
        "component": [part("53037-8", coding("http://loinc.org", "LA6668-3", "Pathogenic"))],
    }
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "status": status,
        "code": coding("http://loinc.org", "51969-4"),
        "subject": {"reference": "Patient/7"},
        "issued": "2015-02-03T10:00:00Z",
        "result": [{"reference": "Observation/v"}],
    }
    patient = {"resourceType": "Patient", "id": "7", "identifier": [{"value": "m7"}]}
    return {"resourceType": "Bundle", "entry": [{"resource": r} for r in (patient, variant, implication, report)]}


GERMLINE = part("48002-0", coding("http://loinc.org", "LA6683-2", "Germline"))
SOMATIC = part("48002-0", coding("http://loinc.org", "LA6684-0", "Somatic"))
HETEROZYGOUS = part("53034-5", coding("http://loinc.org", "LA6706-1", "Heterozygous"))


@pytest.mark.parametrize(
    ("components", "n_findings", "reason"),
    [
        ((GERMLINE,), 1, None),
        ((HETEROZYGOUS,), 1, None),
        ((SOMATIC, HETEROZYGOUS), 0, "variant not germline: somatic"),
        ((), 0, "variant that does not say whether it is germline"),
    ],
)
def test_only_germline_variants_become_findings(
    components: tuple[dict[str, Any], ...], n_findings: int, reason: str | None
) -> None:
    reports, problems = split(list(read([("x.json", a_bundle(*components))])))
    assert len(reports["r"].findings) == n_findings
    assert reason is None or problems[reason] == 1
    assert reports["r"].patient_ids == ("m7", "7")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("LA9633-4", [("LDLR", "positive")]),  # present
        ("LA9634-2", [("LDLR", "negative")]),  # absent
        ("LA18198-4", [("LDLR", "inconclusive")]),  # no call
    ],
)
def test_a_variant_that_was_looked_for_covers_its_gene(value: str, expected: list[tuple[str, str]]) -> None:
    reports, _ = split(list(read([("x.json", a_bundle(GERMLINE, value=value))])))
    assert [(c.gene_symbol, c.result) for c in reports["r"].complete_coverage()] == expected


@pytest.mark.parametrize(
    ("status", "reason"),
    [("preliminary", "preliminary report"), ("unknown", "unknown status"), ("entered-in-error", None)],
)
def test_reports_that_are_not_final_give_nothing(status: str, reason: str | None) -> None:
    reports, problems = split(list(read([("x.json", a_bundle(GERMLINE, status=status))])))
    assert problems[reason] == 1 if reason else reports["r"].findings == ()


def test_a_variant_that_no_report_holds_is_no_finding() -> None:
    bundle = a_bundle(GERMLINE)
    bundle["entry"] = bundle["entry"][:3]
    assert list(read([("x.json", bundle)])) == [Problem("variant that no report holds", "x.json")]


def test_loose_resources_of_several_files_belong_together() -> None:
    together = split(list(read([("x.json", a_bundle(GERMLINE))])))[0]["r"]
    apart = [(f"{i}.json", entry["resource"]) for i, entry in enumerate(a_bundle(GERMLINE)["entry"])]
    assert split(list(read(apart)))[0]["r"] == together


JUNK = st.sampled_from([None, 0, "", "x", [], {}, [None], [{}], {"coding": "x"}, {"coding": [None]}, True])


def _damage(value: Any, draw: st.DataObject) -> Any:
    if isinstance(value, dict) and value:
        key = draw.draw(st.sampled_from(sorted(value)))
        if draw.draw(st.integers(0, 3)) == 0:
            value[key] = copy.deepcopy(draw.draw(JUNK))
        elif draw.draw(st.integers(0, 5)) == 0:
            del value[key]
        else:
            value[key] = _damage(value[key], draw)
    elif isinstance(value, list) and value:
        index = draw.draw(st.integers(0, len(value) - 1))
        value[index] = (
            copy.deepcopy(draw.draw(JUNK)) if draw.draw(st.integers(0, 5)) == 0 else _damage(value[index], draw)
        )
    return value


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_damage_to_a_report_is_fatal(draw: st.DataObject) -> None:
    bundle = copy.deepcopy(a_bundle(GERMLINE, HETEROZYGOUS))
    for _ in range(draw.draw(st.integers(1, 4))):
        _damage(bundle, draw)
    if isinstance(bundle.get("resourceType"), str):
        for found in read([("x.json", bundle)]):
            assert isinstance(found, Report | Problem)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016", datetime(2016, 12, 31, 23, 59, 59, 999999)),
        ("2016-02", datetime(2016, 2, 29, 23, 59, 59, 999999)),
        ("2016-12", datetime(2016, 12, 31, 23, 59, 59, 999999)),
        ("2016-09-06", datetime(2016, 9, 6, 23, 59, 59, 999999)),
        ("2016-09-06T00:00:00-05:00", datetime(2016, 9, 6, 23, 59, 59, 999999)),  # no clock time
        ("2016-09-06T10:00:00", datetime(2016, 9, 6, 10)),
        ("2016-09-06T10:00:00-05:00", datetime(2016, 9, 6, 10)),
        ("20160906", datetime(2016, 9, 6, 23, 59, 59, 999999)),
        ("0001-01-01T00:00:00+14:00", None),
        ("9999-12-31T23:59:59-12:00", None),
        ("2016-9-6", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_date_is_the_latest_moment_it_can_mean(text: str, expected: datetime | None) -> None:
    assert moment(text) == expected


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)))
def test_a_coarser_date_is_never_earlier(day: date) -> None:
    year, month, whole = (moment(day.isoformat()[:length]) for length in (4, 7, 10))
    assert year is not None
    assert month is not None
    assert whole is not None
    assert year >= month >= whole


def test_a_gene_with_a_finding_was_looked_at_even_if_the_report_does_not_list_it() -> None:
    report = Report(
        report_id="r", laboratory="l", status="final", patient_ids=("1",),
        time=datetime(2020, 1, 1), available_time=datetime(2020, 1, 1),
        findings=(Finding("HGNC:6547", "LDLR", "v", classification="uncertain significance"),),
        coverage=(Covered("HGNC:603", "APOB", "exon 26 only"),),
    )  # fmt: skip
    assert [(c.gene_symbol, c.result) for c in report.complete_coverage()] == [
        ("APOB", "negative"), ("LDLR", "inconclusive"),
    ]  # fmt: skip
