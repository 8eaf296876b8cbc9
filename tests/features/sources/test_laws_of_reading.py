# ruff: noqa: DTZ001 - times in a record carry no zone
"""Laws of ingest on random sources, against readings written apart: codings, parts of MEDS, supplies with refills."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.build import build
from features.catalogue import Catalogue, FeatureSpec, catalogue
from features.index import Index
from features.record import Record
from features.sources import fhir, meds, omop
from features.sources.fhir.resources import map_resource

FEW = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
AS_OF = "2020-07-01"


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    try:
        yield made
    finally:
        shutil.rmtree(made)


def numbers_of(record: Path) -> dict[str, int]:
    rows = pq.read_table(record / "identity" / "subjects.parquet").to_pylist()
    return {row["source_id"]: row["subject_id"] for row in rows}


# ----------------------------------------------------------------------------------------------------- codings

SYSTEMS = {"ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm", "SNOMED": "http://snomed.info/sct", "Own": "urn:own"}
CODES = ("ICD10CM//I99.8", "ICD10CM//I73.9", "ICD10CM//I50.9", "SNOMED//399957001", "SNOMED//195295006", "Own//7")
CODED = Catalogue(
    tuple(
        FeatureSpec(f"has {code}", "test", code, "1", "none", "count", codes=(pattern,), absent=0.0, kind="condition")
        for code in CODES[:-1]
        for pattern in ([code] if code.startswith("ICD") else [f"<<{code}"])
    )
)


@FEW
@given(st.integers(0, 2**32))
def test_nobodys_codings_reach_another_person_through_an_ingest(seed: int) -> None:
    chance = random.Random(seed)
    people = {
        f"p{n}": [chance.sample(CODES, chance.randint(1, 3)) for _ in range(chance.randint(0, 3))] for n in range(25)
    }
    with folder() as path:
        (path / "source").mkdir()
        conditions = [condition(person, facts, n) for person in people for n, facts in enumerate(people[person])]
        patients = [{"resourceType": "Patient", "id": person, "birthDate": "1960-05-01"} for person in people]
        write_lines(path / "source" / "Patient.ndjson", patients)
        write_lines(path / "source" / "Condition.ndjson", conditions)
        fhir.ingest(path / "source", path / "record")
        numbers = numbers_of(path / "record")
        record = Record.open(path / "record")
        frame = build(Index.at([numbers[person] for person in people], AS_OF), record, catalogue=CODED)
    everything = {code for facts in people.values() for fact in facts for code in fact}
    for code in CODES[:-1]:
        # Without a vocabulary a concept is read for itself; that nobody has it then says nothing.
        unknown = np.nan if code.startswith("SNOMED") or not any(c.startswith("ICD") for c in everything) else 0.0
        expected = [sum(code in fact for fact in facts) or unknown for facts in people.values()]
        np.testing.assert_array_equal(frame.column(f"has {code}"), np.array(expected, np.float32), err_msg=code)


def condition(person: str, codes: list[str], n: int) -> dict[str, Any]:
    codings = [{"system": SYSTEMS[code.split("//")[0]], "code": code.split("//")[1]} for code in codes]
    return {"resourceType": "Condition", "id": f"{person}-{n}", "subject": {"reference": f"Patient/{person}"},
            "code": {"coding": codings}, "onsetDateTime": f"2010-01-0{n + 1}"}  # fmt: skip


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# ----------------------------------------------------------------------------------------------------- parts of MEDS

TYPES: dict[str, tuple[pa.DataType, ...]] = {
    "subject_id": (pa.int64(), pa.int32(), pa.uint32()),
    "time": (pa.timestamp("us"), pa.timestamp("ms"), pa.timestamp("ns")),
    "code": (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())),
    "numeric_value": (pa.float32(), pa.float64(), pa.int32(), pa.null()),
    "text_value": (pa.string(), pa.large_string(), pa.null()),
    "unit": (pa.string(), pa.dictionary(pa.int8(), pa.string()), pa.null()),
}
WHOLE = pa.schema([(name, kinds[0]) for name, kinds in TYPES.items()])


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_parts_of_differing_schemas_are_one_table(seed: int) -> None:
    chance = random.Random(seed)
    parts, tables = [], []
    for number in range(chance.randint(2, 5)):
        kinds = {name: chance.choice(types) for name, types in TYPES.items()}
        absent = {name for name in TYPES if name in ("numeric_value", "text_value", "unit") and chance.random() < 0.3}
        rows = [event(chance, number, kinds) for _ in range(chance.randint(0, 6))]
        kept = [{name: None if name in absent else value for name, value in row.items()} for row in rows]
        tables.append(pa.Table.from_pylist(kept, WHOLE))
        names = [name for name in chance.sample(sorted(TYPES), len(TYPES)) if name not in absent]
        parts.append(pa.table({name: _column(tables[-1][name], kinds[name]) for name in names}))
    tables.append(pa.Table.from_pylist([{"subject_id": 99, "code": "Gender//F"}], WHOLE))
    parts.append(tables[-1])
    with folder() as path:
        for name, written in (("parts", parts), ("whole", [pa.concat_tables(tables)])):
            (path / name / "data").mkdir(parents=True)
            for number, table in enumerate(written):
                pq.write_table(table, path / name / "data" / f"{number}.parquet")
            meds.ingest(path / name, path / f"record-{name}")
        one, other = (ds.dataset(path / f"record-{name}" / "data").to_table() for name in ("parts", "whole"))
    assert one.equals(other)
    assert one.num_rows == sum(table.num_rows for table in tables)


def _column(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
    return pa.nulls(len(values)) if kind == pa.null() else values.cast(kind)


def event(chance: random.Random, number: int, kinds: dict[str, pa.DataType]) -> dict[str, Any]:
    value = None if kinds["numeric_value"] == pa.null() or chance.random() < 0.2 else float(chance.randint(1, 9))
    return {
        "subject_id": chance.randint(1, 3) + 10 * number,
        "time": datetime(2015, 1, 1) + timedelta(days=chance.randint(0, 900)),
        "code": chance.choice(["LOINC//4548-4", "ICD10CM//E11.9", "Own//1"]),
        "numeric_value": value,
        "text_value": None if kinds["text_value"] == pa.null() else chance.choice(["high", None]),
        "unit": None if kinds["unit"] == pa.null() else chance.choice(["%", None]),
    }


# ----------------------------------------------------------------------------------------------------- supplies

STATIN = Catalogue(tuple(one for one in catalogue(["medications"]).specs if one.name == "statin_current"))


def supply(days: int | None, refills: int | None) -> int | None:
    """Days of supply of a prescription, by its words; nothing is said by 0, and refills count until two years."""
    if days is None or days == 0:
        return None
    total = days
    for _ in range(refills or 0):
        if total + days <= 730:
            total += days
    return total


@FEW
@given(st.integers(0, 2**32))
def test_refills_lengthen_a_supply_and_a_negative_one_is_none(seed: int) -> None:
    chance = random.Random(seed)
    drawn = {
        person: (
            chance.choice([None, 0, -30, 1, 14, 30, 90, 90, 180, 365]),
            chance.choice([None, 0, -1, 1, 2, 4, 6, 11]),
            datetime(2020, 6, 30) - timedelta(days=chance.randint(1, 720)),
        )
        for person in range(1, 80)
    }
    with folder() as path:
        lines = ["drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,days_supply,refills"]
        for person, (days, refills, start) in drawn.items():
            shown = ["" if one is None else str(one) for one in (days, refills)]
            lines.append(f"{person},{person},1,{start:%Y-%m-%d},{shown[0]},{shown[1]}")
        (path / "source").mkdir()
        (path / "source" / "drug_exposure.csv").write_text("\n".join(lines))
        people = "\n".join(f"{person},8507,1960" for person in drawn)
        (path / "source" / "person.csv").write_text(f"person_id,gender_concept_id,year_of_birth\n{people}")
        concepts = "concept_id,concept_name,vocabulary_id,concept_code,domain_id,standard_concept\n"
        (path / "source" / "concept.csv").write_text(f"{concepts}1,simvastatin,RxNorm,36567,Drug,S")
        omop.ingest(path / "source", path / "record")
        numbers = numbers_of(path / "record")
        index = Index.at([numbers[str(person)] for person in drawn], AS_OF)
        frame = build(index, Record.open(path / "record"), catalogue=STATIN)
    first = min(start for days, _, start in drawn.values() if days is None or days >= 0)
    assert first < datetime(2020, 7, 1)
    for (days, refills, start), found in zip(drawn.values(), frame.column("statin_current"), strict=True):
        reaches = start + timedelta(days=(supply(days, refills) or 90) + 30)
        dispensed = days is None or days >= 0
        expected = float(dispensed and reaches >= datetime(2020, 7, 1))
        assert found == expected, (days, refills, start)


@given(st.one_of(st.none(), st.integers(-5, 120)), st.one_of(st.none(), st.integers(0, 12)))
def test_repeats_of_a_prescription_lengthen_its_supply(days: int | None, repeats: int | None) -> None:
    dispense: dict[str, Any] = {}
    if days is not None:
        dispense["expectedSupplyDuration"] = {"value": days, "unit": "d", "code": "d"}
    if repeats is not None:
        dispense["numberOfRepeatsAllowed"] = repeats
    request = {"resourceType": "MedicationRequest", "status": "active", "intent": "order", "authoredOn": "2020-01-01",
               "subject": {"reference": "Patient/p"}, "dispenseRequest": dispense,
               "medicationCodeableConcept": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm",
                                                         "code": "36567"}]}}  # fmt: skip
    mapped = map_resource("MedicationRequest", request)
    if days is not None and days < 0:
        assert mapped.reason == "supply of less than no days"
        return
    (fact,) = mapped.facts
    assert fact.number == supply(days, repeats)
