"""Small sources that were once misread, each with what is right by the words that came with it (as of 2021-01-01)."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.errors import PresageError
from features.index import Index
from features.record import Record
from features.sources import fhir, meds, omop
from features.sources.report import IngestReport

pytestmark = pytest.mark.realdata

INGEST: dict[str, Callable[[Path, Path], IngestReport]] = {
    "fhir": fhir.ingest,
    "omop": omop.ingest,
    "meds": meds.ingest,
}
NO_VALUE = math.nan
HBA1C = "hba1c_percent_latest_1825d"
PAD = "peripheral_artery_disease_ever"
EQUATIONS = {"prevent_cvd_10y_risk": 0.1365, "cha2ds2_vasc_points": 4, "charlson_index": 2}

# Case -> person, as the source calls them -> feature -> value.
RIGHT: dict[str, dict[str, dict[str, float]]] = {
    "fhir_coding_leaks_to_others": {"A": {PAD: 1}, "B": {PAD: 0}, "C": {PAD: 0}},
    "fhir_condition_two_codings": {
        "sctfirst": {"hypertension_ever": 1},
        "icdfirst": {"hypertension_ever": 1},
        "cernerdx": {"heart_failure_ever": 1},
        "t2dsnomed": {"diabetes_ever": 1},
    },
    "fhir_equations_silent": {"ehr": EQUATIONS, "lists": EQUATIONS},
    # NGSP = 0.09148 * IFCC + 2.152 (https://ngsp.org/ifcc.asp), whatever stands in braces behind the unit.
    "fhir_hba1c_units": {person: {HBA1C: 6.543} for person in ("p0", "p1", "p2", "p14")},
    "fhir_prelim_final": {"p": {HBA1C: 6.5, "hba1c_percent_count_1825d": 1}},
    "fhir_text_only": {"t3": {HBA1C: 7.2}},
    "meds_first_shard_lacks_numeric": {"2": {HBA1C: 6.5}},
    "meds_mimic_codes": {"1": {HBA1C: 6.5, "diabetes_ever": 1, "sex_female": 1}},
    "meds_missing_cols_second_shard": {"1": {HBA1C: 6.5}},
    "meds_parent_loinc": {"1": {HBA1C: 6.5, "diabetes_ever": 1}},
    "meds_parent_spec": {"1": {"type_2_diabetes_ever": 1}},
    # 30 mg/g or 30 mg/mmol, 5.4 mg/dL or 5.4 mmol/L: nobody can tell. With its unit: 30 / 113.12 * 1000 = 265.2 mg/g.
    "omop_acr_no_unit": {
        "1": {"urine_acr_mg_g_latest_1825d": NO_VALUE, "ldl_mg_dl_latest_1825d": NO_VALUE},
        "2": {"urine_acr_mg_g_latest_1825d": 265.2},
    },
    "omop_birth_feb30": {"1": {"age_years": 60.9}},  # 1960-02-30 is some day of February 1960
    "omop_refills": {"1": {"statin_current": 1}},
    "omop_spark_dir": {"7": {HBA1C: 6.5}},
}


@pytest.fixture(scope="module")
def cases(real_data: Path) -> Path:
    folder = real_data.parent / "cases" / "clinical"
    if not folder.is_dir():
        pytest.skip("the cases are not on this machine")
    return folder


@cache
def clinical() -> Catalogue:
    return catalogue(
        ["demographics", "measurements", "conditions", "medications", "comorbidity", "equations", "social"]
    )


def ingested(case: Path, record: Path, part: str = "src") -> IngestReport:
    return INGEST[case.name.split("_")[0]](case / part, record)


def values(record: Path, people: list[str]) -> dict[str, dict[str, float]]:
    rows = pq.read_table(record / "identity" / "subjects.parquet").to_pylist()
    numbers = {row["source_id"]: row["subject_id"] for row in rows}
    index = Index.at([numbers[person] for person in people], "2021-01-01")
    frame = build(index, Record.open(record), catalogue=clinical())
    return {person: {name: float(frame.column(name)[at]) for name in frame.names} for at, person in enumerate(people)}


@pytest.mark.parametrize("case", RIGHT)
def test_a_source_leads_to_the_features_that_its_words_ask_for(case: str, cases: Path, tmp_path: Path) -> None:
    ingested(cases / case, tmp_path)
    found = values(tmp_path, list(RIGHT[case]))
    for person, features in RIGHT[case].items():
        for name, value in features.items():
            assert found[person][name] == pytest.approx(value, rel=1e-3, nan_ok=True), (person, name)


def test_a_negative_supply_is_none_and_is_said(cases: Path, tmp_path: Path) -> None:
    report = ingested(cases / "omop_days_supply_negative", tmp_path)
    assert report.tables["drug_exposure"].rejected == {"supply of less than no days": 1}
    assert values(tmp_path, ["1"])["1"]["statin_current"] != 1


def test_a_subject_id_that_is_text_is_an_error_that_names_file_and_column(cases: Path, tmp_path: Path) -> None:
    pattern = r"data/.*\.parquet, column 'subject_id': expected a column of whole numbers"
    with pytest.raises(PresageError, match=pattern):
        ingested(cases / "meds_string_subject", tmp_path / "record")


def test_a_database_of_several_schemas_asks_which(cases: Path, tmp_path: Path) -> None:
    with pytest.raises(PresageError, match="schema"):
        omop.ingest(cases / "omop_duckdb_two_schemas" / "src" / "site.duckdb", tmp_path / "record")


def test_a_delta_does_not_take_the_place_of_the_whole(cases: Path, tmp_path: Path) -> None:
    delta = cases / "delta_replaces"
    assert fhir.ingest(delta / "full", tmp_path).people == 50
    with pytest.raises(PresageError, match="at least nine in ten of the 50 people"):
        fhir.ingest(delta / "since", tmp_path)
    rows = ds.dataset(tmp_path / "data").to_table(columns=["subject_id"])
    assert len(rows["subject_id"].unique()) == 50


def test_without_coverage_people_are_enrolled_until_the_day_of_the_export(cases: Path, tmp_path: Path) -> None:
    case, day = cases / "fhir_no_coverage_enrolment", datetime.fromisoformat("2020-12-31")
    ingested(case, tmp_path)
    events = ds.dataset(tmp_path / "data").to_table().to_pylist()
    began = {row["subject_id"] for row in events if row["code"] == "OBSERVATION_PERIOD//START" and row["time"] <= day}
    ended = {row["subject_id"] for row in events if row["code"] == "OBSERVATION_PERIOD//END" and row["time"] < day}
    assert len(began - ended) == 100
