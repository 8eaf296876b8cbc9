from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from fhir.resources.R4B.bundle import Bundle

from features.sources import fhir, omop
from training.simulation.fhir import write_fhir
from training.simulation.omop import write_tables
from training.simulation.world import clinical_tables, make_world

PEOPLE_IN_FHIR = 60


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return clinical_tables(make_world(people=400, seed=9))


@pytest.fixture(scope="module")
def people(tables: dict[str, pa.Table]) -> list[int]:
    """Some who died, some who did not."""
    everyone = tables["person"]["person_id"].to_pylist()
    dead = tables["death"]["person_id"].to_pylist()[:20]
    return sorted({*dead, *everyone[: PEOPLE_IN_FHIR - 10]})


@pytest.fixture(scope="module")
def folder(tables: dict[str, pa.Table], people: list[int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("fhir")
    write_fhir(written, tables, person_ids=people)
    return written


def test_what_is_written_is_valid_fhir_r4(folder: Path) -> None:
    for path in sorted(folder.iterdir())[:12]:
        Bundle.model_validate_json(path.read_text())


def test_there_is_one_bundle_a_person_and_one_resource_a_row(
    tables: dict[str, pa.Table], people: list[int], folder: Path
) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [f"person-{person:07d}.json" for person in people]
    counted = Counter(
        entry["resource"]["resourceType"]
        for path in folder.iterdir()
        for entry in json.loads(path.read_text())["entry"]
    )
    rows = {name: table.to_pandas() for name, table in tables.items() if "person_id" in table.column_names}
    n_rows = {name: int(table["person_id"].isin(people).sum()) for name, table in rows.items()}
    assert counted == {
        "Patient": len(people),
        "Organization": len(people),
        "Practitioner": len(people),
        "Coverage": n_rows["observation_period"],
        "Encounter": n_rows["visit_occurrence"],
        "Condition": n_rows["condition_occurrence"],
        "MedicationRequest": n_rows["drug_exposure"],
        "Observation": n_rows["measurement"] + n_rows["observation"],
    }


def test_references_lead_to_resources_of_the_same_bundle(folder: Path) -> None:
    for path in folder.iterdir():
        bundle = json.loads(path.read_text())
        names = {entry["request"]["url"] for entry in bundle["entry"]}
        references = set()
        _collect(bundle, references)
        assert references <= names


def _collect(value: object, references: set[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            references.add(value["reference"])
        for member in value.values():
            _collect(member, references)
    elif isinstance(value, list):
        for member in value:
            _collect(member, references)


def test_the_same_people_give_the_same_events_through_omop_and_through_fhir(
    tables: dict[str, pa.Table], folder: Path, tmp_path: Path
) -> None:
    """Two routes that must agree, event for event: codings in any order, times, value, text and unit."""
    write_tables(tables, tmp_path / "omop")
    omop.ingest(tmp_path / "omop", tmp_path / "record-omop")
    report = fhir.ingest(folder, tmp_path / "record-fhir")
    assert report.rejected == 0
    through_omop, through_fhir = (_events(tmp_path / f"record-{source}") for source in ("omop", "fhir"))
    through_omop = through_omop[through_omop["source_id"].isin(through_fhir["source_id"])]
    internal = through_omop["code"].isin(["CARE_SITE", "PROVIDER"])  # their number is an id of the OMOP tables
    through_omop.loc[internal, "numeric_value"] = None
    columns = ["source_id", "said", "time", "numeric_value", "text_value", "available_time", "unit"]
    pd.testing.assert_frame_equal(*(e[columns].sort_values(columns, ignore_index=True)
                                    for e in (through_omop, through_fhir)), check_dtype=False)  # fmt: skip
    first = through_fhir["code"].str.split("//").str[0]
    assert {"SNOMED", "RxNorm", "LOINC"} <= set(first), "as record systems write them"


def _events(record: Path) -> pd.DataFrame:
    """The events of a record; said: the code and the other codings of each, sorted, without codes of answers."""
    events = ds.dataset(record / "data", format="parquet").to_table().to_pandas()
    others = (other if other is not None else () for other in events["codings"])
    said = ({code, *other} for code, other in zip(events["code"], others, strict=True))
    events["said"] = [" ".join(sorted(code for code in codes if not code.startswith("Answer//"))) for codes in said]
    return events.merge(pd.read_parquet(record / "identity/subjects.parquet"), on="subject_id")
