"""Sources that are refused: one clear error that names the file, and the record as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from features.errors import PresageError
from features.sources import fhir, meds, omop

Cdm = Callable[..., Path]
TablesOf = Callable[[Path], dict[str, pa.Table]]

PERSON_HEADER = "person_id,gender_concept_id,year_of_birth\n"
PERSONS = PERSON_HEADER + "1,8507,1960\n"


def _omop_of_nobody(folder: Path) -> Path:
    (folder / "person.csv").write_text(PERSON_HEADER)
    return folder


def _fhir_of_nobody(folder: Path) -> Path:
    (folder / "bundle.json").write_text('{"resourceType":"Bundle","entry":"x"}')
    return folder


def _empty_export(folder: Path) -> Path:
    (folder / "Patient.ndjson").write_text("")
    return folder


@pytest.mark.parametrize(
    ("source", "ingest"),
    [(_omop_of_nobody, omop.ingest), (_fhir_of_nobody, fhir.ingest), (_empty_export, fhir.ingest)],
)
def test_a_source_of_nobody_replaces_nobody(
    source: Callable[[Path], Path], ingest: Callable[..., object], tmp_path: Path, cdm: Cdm, tables_of: TablesOf
) -> None:
    record = tmp_path / "record"
    omop.ingest(cdm(), record)
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Patient.ndjson").write_text(
        '{"resourceType":"Patient","id":"anna","birthDate":"1960-03-05"}'
    )
    fhir.ingest(tmp_path / "people", record)
    before, said = tables_of(record), (record / "ingest_report.json").read_text()
    (tmp_path / "nobody").mkdir()
    with pytest.raises(PresageError, match=r"nobody: at least one person was expected.*\(the record stands"):
        ingest(source(tmp_path / "nobody"), record)
    after = tables_of(record)
    assert before.keys() == after.keys()
    assert all(table.equals(after[name]) for name, table in before.items())
    assert (record / "ingest_report.json").read_text() == said


def test_why_there_is_nobody_is_said_without_a_persons_value(tmp_path: Path) -> None:
    (tmp_path / "person.csv").write_text(PERSON_HEADER + ",8507,1960\n,8532,1970\n")
    with pytest.raises(PresageError, match="person: 2 rows: no person, or not a valid id"):
        omop.ingest(tmp_path, tmp_path / "record")


def test_a_refused_source_leaves_no_record_behind(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for ingest in (omop.ingest, fhir.ingest):
        with pytest.raises(PresageError):
            ingest(tmp_path / "source", tmp_path / "record")
        assert not (tmp_path / "record").exists()
    with pytest.raises(PresageError):
        meds.ingest(tmp_path / "source", tmp_path / "record")
    assert not (tmp_path / "record").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(PresageError):
        omop.ingest(tmp_path / "source", tmp_path / "mine")
    assert (tmp_path / "mine").exists()
