"""Which final result stands in the place of which preliminary one, against a loop over all pairs."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds

from features.sources.fhir import ingest

LOINC, LOCAL, SNOMED = "http://loinc.org", "urn:laboratory", "http://snomed.info/sct"
CODINGS = ((LOINC, "4548-4"), (LOINC, "17856-6"), (LOCAL, "A1C"), (LOCAL, "GLU"), (SNOMED, "43396009"))
DAYS = ("2020-03-01T10:00:00", "2020-03-01T11:00:00")


def result(number: int, codings: list[tuple[str, str]], day: str, *, person: int, status: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": str(number), "status": status, "effectiveDateTime": day,
        "subject": {"reference": f"Patient/{person}"}, "valueQuantity": {"value": number, "code": "%"},
        "code": {"coding": [{"system": system, "code": code} for system, code in codings]},
    }  # fmt: skip


def test_a_preliminary_result_gives_way_to_a_final_one_with_which_it_shares_any_coding(tmp_path: Path) -> None:
    chance = random.Random(11)
    drawn = [
        (chance.sample(CODINGS, chance.randint(1, 3)), chance.choice(DAYS), chance.randint(1, 12),
         chance.choice(["preliminary", "final", "amended"]))
        for _ in range(120)
    ]  # fmt: skip
    gone = {
        at
        for (at, (codings, day, person, status)), (other, day_too, person_too, status_too) in itertools.product(
            enumerate(drawn), drawn
        )
        if status == "preliminary" and status_too != "preliminary" and (day, person) == (day_too, person_too)
        and set(codings) & set(other)
    }  # fmt: skip
    assert 10 < len(gone) < 40
    people = [{"resourceType": "Patient", "id": str(person), "birthDate": "1960-01-01"} for person in range(1, 13)]
    results = [
        result(at, codings, day, person=person, status=status)
        for at, (codings, day, person, status) in enumerate(drawn)
    ]
    (tmp_path / "source").mkdir()
    text = "\n".join(json.dumps(one) for one in [*people, *results])
    (tmp_path / "source" / "all.ndjson").write_text(text, encoding="utf-8")
    report = ingest(tmp_path / "source", tmp_path / "record")
    kept = ds.dataset(tmp_path / "record" / "data").to_table(columns=["numeric_value"])["numeric_value"].drop_null()
    assert sorted(int(value) for value in kept.to_pylist()) == sorted(set(range(len(drawn))) - gone)
    assert report.tables["Observation"].rejected == {"a preliminary result, of which there is a final one": len(gone)}


def test_an_answer_that_two_questions_share_makes_them_no_one_result(tmp_path: Path) -> None:
    positive = {"coding": [{"system": SNOMED, "code": "10828004"}]}
    both = [
        result(1, [(LOINC, "1-1")], DAYS[0], person=1, status="preliminary"),
        result(2, [(LOINC, "2-2")], DAYS[0], person=1, status="final"),
    ]
    for one in both:
        del one["valueQuantity"]
        one["valueCodeableConcept"] = positive
    (tmp_path / "source").mkdir()
    patient = {"resourceType": "Patient", "id": "1", "birthDate": "1960-01-01"}
    (tmp_path / "source" / "all.ndjson").write_text("\n".join(json.dumps(one) for one in [patient, *both]))
    assert ingest(tmp_path / "source", tmp_path / "record").tables["Observation"].events == 2
