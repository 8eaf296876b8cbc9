from __future__ import annotations

import dataclasses
import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fhir.resources.R4B.bundle import Bundle

from features.findings.ingest import ingest
from features.record.schema import IDENTITY
from training.simulation.carriers import draw_carriers
from training.simulation.reports import (
    CSV_LABORATORY,
    FHIR_LABORATORY,
    PANELS,
    LaboratoryReport,
    draw_reports,
    write_bundles,
    write_reports,
    write_tables,
)

PEOPLE = np.arange(1, 30_001)
UNTIL = date(2025, 1, 1)


@pytest.fixture(scope="module")
def carriers() -> pd.DataFrame:
    return draw_carriers(np.random.default_rng(4), PEOPLE)


@pytest.fixture(scope="module")
def tested(carriers: pd.DataFrame) -> pd.DataFrame:
    """Every third carrier and 200 others, for lipids or for cancer."""
    rng = np.random.default_rng(5)
    people = np.union1d(carriers["person_id"].unique()[::3], rng.choice(PEOPLE, 200, replace=False))
    collected = pd.Timestamp("2004-03-01") + pd.to_timedelta(rng.integers(0, 5_000, len(people)), unit="D")
    indication = rng.choice(["familial_hypercholesterolaemia", "hereditary_breast_cancer"], len(people))
    reported = collected + pd.Timedelta(days=21)
    columns = {"person_id": people, "indication": indication, "collected": collected, "reported": reported}
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def reports(tested: pd.DataFrame, carriers: pd.DataFrame) -> list[LaboratoryReport]:
    return list(draw_reports(tested, carriers, rng=np.random.default_rng(6)))


def empty_record(folder: Path) -> Path:
    rows = [{"subject_id": 90_000 - int(i), "source": "omop", "source_id": str(i)} for i in PEOPLE]
    (folder / "identity").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=IDENTITY), folder / "identity" / "subjects.parquet")
    return folder


def test_a_carrier_is_found_where_the_panel_covers_the_gene_and_nowhere_else(
    reports: list[LaboratoryReport], carriers: pd.DataFrame
) -> None:
    carried = set(zip(carriers["person_id"], carriers["gene_symbol"], carriers["clinvar_id"], strict=True))
    for report in reports:
        assert report.covered == PANELS[report.laboratory, report.panel]
        found = {(report.person_id, v.gene, v.clinvar_id) for v in report.variants if v.hgvs_c}
        expected = {entry for entry in carried if entry[0] == report.person_id and entry[1] in report.covered}
        assert found == expected


def test_both_laboratories_report_corrections_and_withdrawals(tested: pd.DataFrame, carriers: pd.DataFrame) -> None:
    many = pd.concat([tested.assign(person_id=tested["person_id"]) for _ in range(20)])
    drawn = list(draw_reports(many, carriers, rng=np.random.default_rng(8)))
    statuses = {(report.laboratory, report.status) for report in drawn}
    assert statuses == {(lab, s) for lab in (FHIR_LABORATORY, CSV_LABORATORY)
                        for s in ("final", "corrected", "entered-in-error")}  # fmt: skip
    accessions = [report.accession for report in drawn if report.status == "final"]
    assert len(set(accessions)) == len(accessions) == len(many)


def test_what_comes_after_the_last_day_is_not_written(
    tested: pd.DataFrame, carriers: pd.DataFrame, tmp_path: Path
) -> None:
    write_reports(tmp_path, tested, carriers=carriers, until=date(2010, 1, 1), rng=np.random.default_rng(6))
    table = pd.concat(pd.read_csv(path, dtype=str) for path in (tmp_path / "harbour").glob("*.csv"))
    assert table["reported"].max() <= "2010-01-01"
    for path in (tmp_path / "northfield").glob("*.json"):
        assert json.loads(path.read_text())["timestamp"] < "2010-01-02"


def test_every_bundle_is_valid_fhir(reports: list[LaboratoryReport], tmp_path: Path) -> None:
    write_bundles(tmp_path, reports)
    for path in sorted(tmp_path.glob("*.json")):
        Bundle.model_validate_json(path.read_text())


def test_the_same_seed_writes_the_same_reports(tested: pd.DataFrame, carriers: pd.DataFrame, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        write_reports(tmp_path / name, tested, carriers=carriers, until=UNTIL, rng=np.random.default_rng(6))
        paths = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([(path.relative_to(tmp_path / name), path.read_bytes()) for path in paths])
    assert contents[0] == contents[1]


def test_both_shapes_of_the_same_reports_give_the_same_findings_and_coverage(
    reports: list[LaboratoryReport], tmp_path: Path
) -> None:
    """Two routes that must agree: the FHIR bundles and the CSV of one laboratory."""
    write_bundles(tmp_path / "fhir", reports)
    write_tables(tmp_path / "csv", reports)
    tables = []
    for shape in ("fhir", "csv"):
        record = empty_record(tmp_path / f"record-{shape}")
        report = ingest(tmp_path / shape, record)
        assert report.rejected == 0
        findings = pd.read_parquet(record / "genomic/findings.parquet")
        coverage = pd.read_parquet(record / "genomic/coverage.parquet")
        tables.append((findings, coverage))
    same = [
        "subject_id",
        "gene_hgnc",
        "variant",
        "zygosity",
        "classification",
        "condition_mondo",
        "report_id",
        "status",
    ]
    (findings_fhir, coverage_fhir), (findings_csv, coverage_csv) = tables
    pd.testing.assert_frame_equal(findings_fhir[same], findings_csv[same])
    for time in ("time", "available_time"):  # one shape has a clock time, the other the day
        pd.testing.assert_series_equal(findings_fhir[time].dt.normalize(), findings_csv[time].dt.normalize())
    same = ["subject_id", "gene_hgnc", "result", "limitation", "report_id"]
    in_order = [table[same].sort_values(["subject_id", "gene_hgnc", "report_id"], ignore_index=True)
                for table in (coverage_fhir, coverage_csv)]  # fmt: skip
    pd.testing.assert_frame_equal(*in_order)


def test_the_record_holds_what_the_last_version_of_each_report_says(
    reports: list[LaboratoryReport], tmp_path: Path
) -> None:
    write_bundles(tmp_path / "northfield", [r for r in reports if r.laboratory == FHIR_LABORATORY])
    write_tables(tmp_path / "harbour", [r for r in reports if r.laboratory == CSV_LABORATORY])
    record = empty_record(tmp_path / "record")
    ingest(tmp_path, record)
    last: dict[str, LaboratoryReport] = {}
    for report in reports:
        last[report.accession] = report
    expected = {
        (90_000 - r.person_id, v.gene, v.hgvs_c or v.hgvs_g, v.classification, r.status)
        for r in last.values() if r.status != "entered-in-error" for v in r.variants
    }  # fmt: skip
    found = pd.read_parquet(record / "genomic/findings.parquet")
    columns = ["subject_id", "gene_symbol", "variant", "classification", "status"]
    assert set(found[columns].itertuples(index=False, name=None)) == expected
    looked_at = {
        (90_000 - r.person_id, gene)
        for r in last.values() if r.status != "entered-in-error" for gene in r.covered
    }  # fmt: skip
    coverage = pd.read_parquet(record / "genomic/coverage.parquet")
    assert set(coverage[["subject_id", "gene_symbol"]].itertuples(index=False, name=None)) == looked_at


def test_a_report_entered_in_error_carries_no_result(reports: list[LaboratoryReport], tmp_path: Path) -> None:
    report = dataclasses.replace(next(r for r in reports if r.variants), status="entered-in-error")
    write_bundles(tmp_path, [report])
    types = [e["resource"]["resourceType"] for e in json.loads(next(tmp_path.iterdir()).read_text())["entry"]]
    assert "Observation" not in types
