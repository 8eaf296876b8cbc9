"""Smoking by the code of an answer in whatever language it is said, and family history by relatives' conditions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.codes.lists import Codelist
from features.index import Index
from features.record import Record
from features.sources import fhir, omop

Json = dict[str, Any]
SNOMED, LOINC = "http://snomed.info/sct", "http://loinc.org"
STATUS = {"coding": [{"system": LOINC, "code": "72166-2"}]}
FEATURES = catalogue(["social", "family_history"])


def features_of(record: Path, wanted: Catalogue = FEATURES) -> dict[str, dict[str, float]]:
    """By the source's id of each person."""
    people = pq.read_table(record / "identity" / "subjects.parquet").to_pylist()
    index = Index.at([row["subject_id"] for row in people], "2021-01-01")
    frame = build(index, Record.open(record), catalogue=wanted)
    return {
        row["source_id"]: {name: float(frame.column(name)[at]) for name in frame.names} for at, row in enumerate(people)
    }


def read(folder: Path, resources: Sequence[Json]) -> list[dict[str, float]]:
    """The features of as many patients, of each of whom one of these resources speaks."""
    lines = []
    for number, resource in enumerate(resources):
        lines.append({"resourceType": "Patient", "id": str(number), "birthDate": "1960-01-01", "gender": "female"})
        whom = "patient" if resource["resourceType"] == "FamilyMemberHistory" else "subject"
        lines.append({**resource, whom: {"reference": f"Patient/{number}"}})
    (folder / "source").mkdir()
    (folder / "source" / "all.ndjson").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    fhir.ingest(folder / "source", folder / "record")
    found = features_of(folder / "record")
    return [found[str(number)] for number in range(len(resources))]


def status(*codes: tuple[str, str], text: str | None = None, question: Json = STATUS, day: str = "2019-05-05") -> Json:
    value: Json = {"coding": [{"system": system, "code": code, "display": text} for system, code in codes]}
    return {
        "resourceType": "Observation", "status": "final", "code": question, "effectiveDateTime": day,
        "valueCodeableConcept": value | ({"text": text} if text else {}),
    }  # fmt: skip


NAN = math.nan
SAID: tuple[tuple[list[tuple[str, str]], str, float, float], ...] = (
    ([(SNOMED, "449868002")], "raucht täglich", 1, 1),
    ([(SNOMED, "8517006")], "Ex-fumeur", 0, 1),
    ([(SNOMED, "266919005")], "No fumador nunca", 0, 0),
    ([(LOINC, "LA18978-9")], "Nie geraucht", 0, 0),
    ([(LOINC, "LA18976-3")], "Fumador todos los días", 1, 1),
    ([("urn:clinic", "R3"), (LOINC, "LA15920-4")], "Raucher (früher)", 0, 1),
    # A code and a text that say two things: the code.
    ([(SNOMED, "8517006")], "Current smoker", 0, 1),
    ([(SNOMED, "266927001")], "unbekannt", NAN, NAN),
    # No code that is known: the text, if it is one that is known.
    ([("urn:clinic", "R3")], "Never smoker", 0, 0),
    ([("urn:clinic", "R3")], "Nichtraucher", NAN, NAN),
)


def test_a_smoking_status_is_what_its_code_says_in_any_language(tmp_path: Path) -> None:
    found = read(tmp_path, [status(*codes, text=text) for codes, text, _, _ in SAID])
    for features, (_, text, now, ever) in zip(found, SAID, strict=True):
        both = [features["smoking_current"], features["smoking_ever"]]
        assert both == pytest.approx([now, ever], nan_ok=True), text


def test_the_same_answer_to_another_question_says_nothing_of_the_person(tmp_path: Path) -> None:
    partner = {"coding": [{"system": "urn:clinic", "code": "partner-smokes"}]}
    (found,) = read(tmp_path, [status((SNOMED, "449868002"), text="Current every day smoker", question=partner)])
    assert math.isnan(found["smoking_current"])


def test_a_smoking_status_of_omop_is_its_value_as_concept(cdm: Callable[..., Path], tmp_path: Path) -> None:
    source = cdm(
        person="""
        person_id | gender_concept_id | year_of_birth
        1         | 8507              | 1960
        2         | 8532              | 1990
        3         | 8532              | 1990
        """,
        concept="""
        concept_id | concept_name              | vocabulary_id | concept_code | domain_id   | standard_concept
        2000       | Tobacco smoking status    | LOINC         | 72166-2      | Observation | S
        2001       | Täglicher Raucher         | SNOMED        | 449868002    | Meas Value  | S
        2002       | Nie geraucht              | LOINC         | LA18978-9    | Meas Value  | S
        2003       | Ehemaliger Raucher        | SNOMED        | 8517006      | Meas Value  | S
        """,
        observation="""
        observation_id | person_id | observation_concept_id | observation_date | value_as_concept_id
        1              | 1         | 2000                   | 2019-05-05       | 2001
        2              | 2         | 2000                   | 2019-05-05       | 2002
        3              | 3         | 2000                   | 2019-05-05       | 2003
        """,
    )
    omop.ingest(source, tmp_path / "record")
    found = features_of(tmp_path / "record")
    both = [(found[person]["smoking_current"], found[person]["smoking_ever"]) for person in "123"]
    assert both == [(1, 1), (0, 0), (0, 1)]


def history(*codes: tuple[str, str], relation: str | None = "FTH", **more: Json | str) -> Json:
    relationship = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": relation}]}
    return {
        "resourceType": "FamilyMemberHistory", "status": "completed", "patient": {"reference": "Patient/1"},
        "relationship": relationship if relation else {"text": "Vater"},
        "condition": [{"code": {"coding": [{"system": system, "code": code}]}} for system, code in codes],
    } | more  # fmt: skip


ICD10 = "http://hl7.org/fhir/sid/icd-10"


HISTORIES: tuple[tuple[Json, str, float], ...] = (
    (history((SNOMED, "22298006"), date="2018"), "family_history_chd", 1),
    (history((ICD10, "I21.9"), date="2018", relation=None), "family_history_chd", 1),
    (history((ICD10, "E11.9"), meta={"lastUpdated": "2020-02-02T10:00:00Z"}), "family_history_diabetes", 1),
    (history((ICD10, "Z80.3"), date="2018", relation="MTH"), "family_history_breast_cancer", 1),
    (history((ICD10, "E11.9"), meta={"lastUpdated": "2021-02-02T10:00:00Z"}), "family_history_diabetes", NAN),
    (history((ICD10, "E11.9")), "family_history_diabetes", NAN),  # nobody says when it was known
    (history((ICD10, "E11.9"), date="2018", relation="WIFE"), "family_history_diabetes", NAN),
    (history((ICD10, "E11.9"), date="2018", status="entered-in-error"), "family_history_diabetes", NAN),
    (history((ICD10, "I10"), date="2018"), "family_history_chd", NAN),
)


def test_a_family_history_is_what_relatives_by_blood_had(tmp_path: Path) -> None:
    found = read(tmp_path, [resource for resource, _, _ in HISTORIES])
    for features, (resource, name, value) in zip(found, HISTORIES, strict=True):
        assert features[name] == pytest.approx(value, nan_ok=True), resource


DIABETES = {"coding": [{"system": SNOMED, "code": "44054006"}]}
CONDITIONS = catalogue(["conditions"])


def answered(value: Json) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": DIABETES,
        "effectiveDateTime": "2019-05-05",
    } | value


def coded_as(system: str, code: str) -> Json:
    return {"valueCodeableConcept": {"coding": [{"system": system, "code": code}], "text": "nein"}}


@pytest.mark.parametrize(
    ("value", "ever"),
    [
        (coded_as(SNOMED, "373067005"), 0),
        (coded_as(SNOMED, "261665006"), 0),  # unknown
        (coded_as(LOINC, "LA32-8"), 0),
        (coded_as("http://terminology.hl7.org/CodeSystem/v2-0136", "N"), 0),
        ({"valueBoolean": False}, 0),
        (coded_as(SNOMED, "373066001"), 1),
        (coded_as(LOINC, "LA33-6"), 1),
        ({"valueBoolean": True}, 1),
        ({}, 1),
    ],
)
def test_a_diagnosis_that_was_asked_about_and_denied_is_none(tmp_path: Path, value: Json, ever: float) -> None:
    """The other patient has it: the record could have told."""
    patients = [{"resourceType": "Patient", "id": each, "birthDate": "1960-01-01"} for each in ("asked", "ill")]
    ill = {"resourceType": "Condition", "code": DIABETES, "recordedDate": "2015-01-01"}
    lines = [
        *patients, answered(value) | {"subject": {"reference": "Patient/asked"}},
        ill | {"subject": {"reference": "Patient/ill"}},
    ]  # fmt: skip
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "all.ndjson").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    fhir.ingest(tmp_path / "source", tmp_path / "record")
    found = features_of(tmp_path / "record", CONDITIONS)
    assert {who: row["diabetes_ever"] for who, row in found.items()} == {"asked": ever, "ill": 1}
    record = Record.open(tmp_path / "record")
    keys = Codelist("diabetes", ("SNOMED//44054006",)).expand(record)
    assert len(keys) == 1 + int(ever and bool(value) and "valueCodeableConcept" in value)


def test_a_diagnosis_that_omop_answers_with_no_is_none(cdm: Callable[..., Path], tmp_path: Path) -> None:
    """With the answer in the source's concept table (2), without it (3), and with a yes (1)."""
    source = cdm(
        person="""
        person_id | gender_concept_id | year_of_birth
        1         | 8507              | 1960
        2         | 8532              | 1960
        3         | 8532              | 1960
        """,
        concept="""
        concept_id | concept_name             | vocabulary_id | concept_code | domain_id   | standard_concept
        2000       | Type 2 diabetes mellitus | SNOMED        | 44054006     | Condition   | S
        2001       | Ja                       | SNOMED        | 373066001    | Meas Value  | S
        2002       | Nein                     | LOINC         | LA32-8       | Meas Value  | S
        """,
        observation="""
        observation_id | person_id | observation_concept_id | observation_date | value_as_concept_id
        1              | 1         | 2000                   | 2019-05-05       | 2001
        2              | 2         | 2000                   | 2019-05-05       | 2002
        3              | 3         | 2000                   | 2019-05-05       | 4188540
        """,
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_start_date
        1                       | 1         | 2000                 | 2018-05-05
        """,
    )
    omop.ingest(source, tmp_path / "record")
    found = features_of(tmp_path / "record", CONDITIONS)
    assert [found[person]["diabetes_ever"] for person in "123"] == [1, 0, 0]
