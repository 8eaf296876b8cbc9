# ruff: noqa: DTZ001 - times in a record carry no zone
"""Updates of a record: after any sequence of them and of compactions it says what one ingest of the whole says."""

from __future__ import annotations

import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.build import build
from features.catalogue import catalogue, dense_families
from features.errors import PresageError
from features.index import Index
from features.record import Record
from features.sources import compact, fhir, meds, omop

Row = dict[str, Any]
EXAMPLES = 300 if os.environ.get("PRESAGE_SLOW") else 5
LAW = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck),
               phases=[Phase.generate])  # fmt: skip  # a smaller seed is no smaller source
FEATURES = settings(LAW, max_examples=max(2, EXAMPLES // 10))


@contextmanager
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp())
    try:
        yield made
    finally:
        shutil.rmtree(made)


def said(path: Path) -> dict[str, Any]:
    """Everything a record says, by its source's ids: events (a multiset), codes, ancestors, what it can tell."""
    backend = ibis.duckdb.connect()
    record = Record.open(path)
    ids = {row["subject_id"]: row["source_id"] for row in pq.read_table(path / "identity/subjects.parquet").to_pylist()}
    rows = record.rows(backend).to_pyarrow().to_pylist()
    assert record.count() == len(rows)
    events = sorted(
        str(
            (
                ids[row["subject_id"]],
                *(str(value) for name, value in sorted(row.items()) if name not in ("subject_id", "row")),
            )
        )
        for row in rows
    )
    return {
        "events": events,
        "codes": sorted(row["code"] for row in record.codes(backend).to_pyarrow().to_pylist()),
        "ancestors": sorted(str(row) for row in record.ancestors(backend).to_pyarrow().to_pylist()),
        "tells": record.tells.to_json(),
    }


def features_of(path: Path, as_of: str) -> dict[str, list[str]]:
    """Every feature of everybody of whom there is an event, by the source's id."""
    there = set(Record.open(path).subject_ids().tolist())
    known = pq.read_table(path / "identity/subjects.parquet").to_pylist()
    ids = {row["source_id"]: row["subject_id"] for row in known if row["subject_id"] in there}
    names = sorted(ids)
    frame = build(Index.at([ids[name] for name in names], as_of), Record.open(path), catalogue=ALL)
    return {name: [str(value) for value in row] for name, row in zip(names, frame.values, strict=True)}


ALL = catalogue(dense_families())


def check_is_sorted(record: Path) -> None:
    """One file a subject, sorted by time: valid MEDS by itself."""
    seen: set[int] = set()
    for path in sorted((record / "data").rglob("*.parquet")):
        table = pq.read_table(path, columns=["subject_id", "time"])
        subject = table["subject_id"].to_numpy()
        time = table["time"].cast("int64").fill_null(np.iinfo(np.int64).min).to_numpy()
        assert np.array_equal(np.lexsort((time, subject)), np.arange(len(subject)))
        assert not seen & set(subject.tolist())
        seen |= set(subject.tolist())


# ----------------------------------------------------------------------------------------------------- OMOP

CONCEPTS = [
    {"concept_id": 1, "vocabulary_id": "SNOMED", "concept_code": "22298006", "concept_name": "MI"},
    {"concept_id": 2, "vocabulary_id": "ICD10CM", "concept_code": "I10", "concept_name": "Hypertension"},
    {"concept_id": 3, "vocabulary_id": "RxNorm", "concept_code": "36567", "concept_name": "simvastatin"},
    {"concept_id": 4, "vocabulary_id": "LOINC", "concept_code": "2093-3", "concept_name": "Cholesterol"},
    {"concept_id": 5, "vocabulary_id": "SNOMED", "concept_code": "38341003", "concept_name": "Hypertensive disorder"},
]
ABOVE = [{"ancestor_concept_id": 5, "descendant_concept_id": 2, "min_levels_of_separation": 1}]
KEYS = {
    "person": "person_id", "death": "person_id", "observation_period": "observation_period_id",
    "care_site": "care_site_id", "visit_occurrence": "visit_occurrence_id",
    "condition_occurrence": "condition_occurrence_id", "measurement": "measurement_id",
    "drug_exposure": "drug_exposure_id",
}  # fmt: skip


def a_day(chance: random.Random) -> str:
    return f"{chance.randint(2000, 2012)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"


def an_omop_row(chance: random.Random, table: str) -> Row:
    """A row of few possible keys, so that updates meet what is there."""
    person, day = chance.randint(1, 5), a_day(chance)
    rows: Mapping[str, Callable[[], Row]] = {
        "person": lambda: {"gender_concept_id": chance.choice([8507, 8532]), "year_of_birth":
                           chance.choice([1950, 1960, 2005, ""]), "care_site_id": chance.choice(["", 1, 2])},
        "death": lambda: {"death_date": day},
        "observation_period": lambda: {"observation_period_id": chance.randint(1, 6),
                                       "observation_period_start_date": day,
                                       "observation_period_end_date": chance.choice([a_day(chance), "2099-12-31"])},
        "care_site": lambda: {"care_site_id": chance.randint(1, 2), "care_site_source_value": chance.choice("ABC")},
        "visit_occurrence": lambda: {"visit_occurrence_id": chance.randint(1, 8), "visit_concept_id": 9201,
                                     "visit_start_date": day, "visit_end_date": chance.choice(["", a_day(chance)])},
        "condition_occurrence": lambda: {"condition_occurrence_id": chance.choice(["", *range(1, 9)]),
                                         "condition_concept_id": chance.choice([1, 2, 2, 99]),
                                         "condition_start_date": chance.choice([day, "never"]),
                                         "visit_occurrence_id": chance.choice(["", *range(1, 9)])},
        "measurement": lambda: {"measurement_id": chance.randint(1, 8), "measurement_concept_id": 4,
                                "measurement_date": day, "value_as_number": chance.choice([1, 2.5, "x", ""])},
        "drug_exposure": lambda: {"drug_exposure_id": chance.randint(1, 8), "drug_concept_id": 3,
                                  "drug_exposure_start_date": day, "days_supply": chance.choice(["", 30, -1])},
    }  # fmt: skip
    return {"person_id": person, **rows[table]()}


def omop_rows(chance: random.Random, *, most: int) -> dict[str, list[Row]]:
    """Some rows of each table; at times a row comes twice, or its key does."""
    drawn: dict[str, list[Row]] = {}
    for table, key in KEYS.items():
        rows = [an_omop_row(chance, table) for _ in range(chance.randint(0, most))]
        rows += [dict(row) for row in rows if chance.random() < 0.1]
        if table in ("person", "care_site"):
            rows = list({row[key]: row for row in rows}.values())
        drawn[table] = rows
    return drawn


def with_update(whole: Mapping[str, list[Row]], new: Mapping[str, list[Row]]) -> dict[str, list[Row]]:
    """What the law is about: a row takes the place of those with its key; rows without one only come."""
    result = {}
    for table, key in KEYS.items():
        keys = {row[key] for row in new[table]} - {""}
        result[table] = [row for row in whole[table] if row[key] not in keys] + new[table]
    return result


def write_omop(path: Path, tables: Mapping[str, Sequence[Row]], *, everything: bool) -> Path:
    path.mkdir()
    vocabulary: dict[str, Sequence[Row]] = {"concept": CONCEPTS, "concept_ancestor": ABOVE}
    for name, rows in {**tables, **vocabulary}.items():
        if rows or (everything and name == "person"):
            columns = list(rows[0]) if rows else ["person_id", "gender_concept_id", "year_of_birth"]
            with (path / f"{name}.csv").open("w", newline="") as out:
                writer = csv.DictWriter(out, columns)
                writer.writeheader()
                writer.writerows(rows)
    return path


def omop_updated(chance: random.Random, path: Path, *, steps: int) -> tuple[Path, Path]:
    """A record that was updated and compacted at random, and one of the whole in one."""
    whole = omop_rows(chance, most=8)
    whole["person"] = whole["person"] or [an_omop_row(chance, "person")]
    omop.ingest(write_omop(path / "first", whole, everything=True), path / "updated")
    for n in range(steps):
        new = omop_rows(chance, most=chance.choice([1, 3]))
        whole = with_update(whole, new)
        omop.ingest(write_omop(path / f"update{n}", new, everything=False), path / "updated", update=True)
        if chance.random() < 0.3:
            compact(path / "updated")
            check_is_sorted(path / "updated")
    omop.ingest(write_omop(path / "whole", whole, everything=True), path / "at-once")
    return path / "updated", path / "at-once"


@LAW
@given(st.integers(0, 2**32))
def test_omop_updates_in_any_order_say_what_one_ingest_of_the_whole_says(seed: int) -> None:
    chance = random.Random(seed)
    with folder() as path:
        updated, at_once = omop_updated(chance, path, steps=chance.randint(1, 4))
        assert said(updated) == said(at_once)


# ----------------------------------------------------------------------------------------------------- FHIR

Key = tuple[str, str]


class Server:
    """A server whose resources change: what it would export of each version, and what is there at the end."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.clock = chance, 0
        self.there: dict[Key, Row] = {}
        self.tombs: dict[Key, str] = {}
        self.sent: list[Row] = []
        self.exported: str | None = None

    def moment(self) -> str:
        self.clock += 1
        return f"2020-01-01T{self.clock // 3600:02}:{self.clock // 60 % 60:02}:{self.clock % 60:02}Z"

    def export(self, path: Path, n: int) -> Path:
        """Some new versions, some old ones again, some deletions; what is then there is known to `there`."""
        path.mkdir()
        new = [self._version(self.chance.choice(list(RESOURCES))) for _ in range(n)]
        again = [row for row in self.sent if self.chance.random() < 0.1]
        keys = list({*self.there, *((row["resourceType"], row["id"]) for row in new)})
        gone = [key for key in keys if self.chance.random() < 0.12]
        deletions = [self._deletion(key, self.chance.random() < 0.5) for key in gone]
        resources = [*new, *again]
        self.chance.shuffle(resources)
        for row in resources:
            self._take(row)
        for key, moment in zip(
            gone, (entry.get("response", {}).get("lastModified") for entry in deletions), strict=True
        ):
            self._delete(key, moment)
        self.sent += new
        write_resources(path / "output.ndjson", resources)
        if deletions:
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": deletions}
            (path / "deleted").mkdir()
            write_resources(path / "deleted" / "1.ndjson", [bundle])
        if self.chance.random() < 0.5:
            self.exported = f"20{21 + self.clock // 20}-01-01T00:00:00Z"
            write_log(path, self.exported)
        return path

    def _version(self, kind: str) -> Row:
        id_ = f"{kind[0].lower()}{self.chance.randint(1, 4)}"
        return {"resourceType": kind, "id": id_, "meta": {"lastUpdated": self.moment()}, **RESOURCES[kind](self.chance)}

    def _deletion(self, key: Key, dated: bool) -> Row:
        entry: Row = {"request": {"method": "DELETE", "url": "/".join(key)}}
        return {**entry, "response": {"lastModified": self.moment()}} if dated else entry

    def _take(self, row: Row) -> None:
        key, updated = (row["resourceType"], row["id"]), row["meta"]["lastUpdated"]
        known = self.there.get(key)
        if (known is None or known["meta"]["lastUpdated"] < updated) and self.tombs.get(key, "") < updated:
            self.there[key] = row

    def _delete(self, key: Key, moment: str | None) -> None:
        known = self.there.get(key)
        if known is not None and (moment is None or known["meta"]["lastUpdated"] < moment):
            del self.there[key]
        if moment is None:
            self.tombs.pop(key, None)
        else:
            self.tombs[key] = max(moment, self.tombs.get(key, ""))

    def whole(self, path: Path) -> Path:
        path.mkdir()
        write_resources(path / "output.ndjson", list(self.there.values()))
        if self.exported:
            write_log(path, self.exported)
        return path


def write_resources(path: Path, rows: Sequence[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_log(path: Path, moment: str) -> None:
    write_resources(path / "log.ndjson", [{"eventDetail": {"transactionTime": moment}}])


def of_patient(chance: random.Random) -> Row:
    return {"reference": f"Patient/p{chance.randint(1, 4)}"}


def a_patient(chance: random.Random) -> Row:
    row: Row = {
        "birthDate": chance.choice(["1950-01-01", "1960-02-02", "2005-03-03"]),
        "gender": chance.choice(["male", "female"]),
    }
    if chance.random() < 0.2:
        row["deceasedDateTime"] = a_day(chance)
    if chance.random() < 0.2:
        row["link"] = [{"type": "replaced-by", "other": of_patient(chance)}]
    if chance.random() < 0.5:
        row["managingOrganization"] = {"reference": f"Organization/o{chance.randint(1, 4)}"}
    return row


def a_coding(chance: random.Random) -> Row:
    codes = [("http://snomed.info/sct", "22298006"), ("http://hl7.org/fhir/sid/icd-10-cm", "I10"), ("urn:own", "7")]
    return {"coding": [{"system": system, "code": code} for system, code in chance.sample(codes, chance.randint(1, 2))]}


def a_result(chance: random.Random) -> Row:
    """Few moments and codes: a preliminary result and a final one of the same thing meet."""
    return {
        "status": chance.choice(["final", "preliminary", "preliminary", "entered-in-error"]),
        "subject": of_patient(chance),
        "effectiveDateTime": chance.choice(["2010-01-01T10:00:00Z", "2011-01-01"]),
        "code": {"coding": [{"system": "http://loinc.org", "code": "2093-3"}]},
        "valueQuantity": {"value": chance.randint(1, 9), "code": "mg/dL", "system": "http://unitsofmeasure.org"},
        **({"contained": [{"resourceType": "Condition", "code": a_coding(chance), "onsetDateTime": a_day(chance)}]}
           if chance.random() < 0.2 else {}),
    }  # fmt: skip


def a_period(chance: random.Random) -> Row:
    start, end = sorted([a_day(chance), a_day(chance)])
    return {"start": start, **({"end": end} if chance.random() < 0.5 else {})}


RESOURCES: Mapping[str, Callable[[random.Random], Row]] = {
    "Patient": a_patient,
    "Encounter": lambda chance: {"status": "finished", "class": {"code": "IMP"}, "subject": of_patient(chance),
                                 "period": a_period(chance)},
    "Condition": lambda chance: {"subject": of_patient(chance), "code": a_coding(chance),
                                 "onsetDateTime": a_day(chance),
                                 "encounter": {"reference": f"Encounter/e{chance.randint(1, 4)}"}},
    "Observation": a_result,
    "MedicationRequest": lambda chance: {"status": "active", "intent": "order", "subject": of_patient(chance),
                                         "authoredOn": a_day(chance),
                                         "medicationReference": {"reference": f"Medication/m{chance.randint(1, 4)}"}},
    "Medication": lambda chance: {"code": a_coding(chance)},
    "Organization": lambda chance: {"identifier": [{"value": chance.choice("ABC")}]},
    "Coverage": lambda chance: {"status": "active", "beneficiary": of_patient(chance), "period": a_period(chance)},
}  # fmt: skip


def fhir_updated(chance: random.Random, path: Path, *, steps: int) -> tuple[Path, Path]:
    """A record that was updated and compacted at random, and one of what the server has at the end."""
    server = Server(chance)
    first = server.export(path / "first", chance.randint(5, 25))
    write_resources(first / "p9.ndjson", [SURE])
    fhir.ingest(first, path / "updated")
    for n in range(steps):
        fhir.ingest(server.export(path / f"update{n}", chance.randint(1, 8)), path / "updated", update=True)
        if chance.random() < 0.3:
            compact(path / "updated")
            check_is_sorted(path / "updated")
    whole = server.whole(path / "whole")
    write_resources(whole / "p9.ndjson", [SURE])
    fhir.ingest(whole, path / "at-once")
    return path / "updated", path / "at-once"


SURE = {"resourceType": "Patient", "id": "p9", "birthDate": "1970-01-01"}


@LAW
@given(st.integers(0, 2**32))
def test_fhir_updates_in_any_order_say_what_one_ingest_of_the_newest_versions_says(seed: int) -> None:
    chance = random.Random(seed)
    with folder() as path:
        updated, at_once = fhir_updated(chance, path, steps=chance.randint(1, 4))
        assert said(updated) == said(at_once)


# ----------------------------------------------------------------------------------------------------- MEDS

MEDS = pa.schema([("subject_id", pa.int64()), ("time", pa.timestamp("us")), ("code", pa.string()),
                  ("numeric_value", pa.float32())])  # fmt: skip


def meds_rows(chance: random.Random, first: int, days: int, most: int) -> list[Row]:
    rows: list[Row] = []
    for _ in range(chance.randint(1, most)):
        code = chance.choice(["ICD10CM//I10", "LOINC//2093-3", "Gender//F", "Gender//M", "MEDS_BIRTH", "MEDS_DEATH"])
        time: datetime | None = datetime(2010, 1, 1) + timedelta(days=first + chance.randint(0, days))
        if code == "MEDS_BIRTH":
            time = datetime(chance.choice([1950, 1960, 2010]), 6, 1)
        if code.startswith("Gender"):
            time = None
        value = float(chance.randint(1, 9)) if code.startswith("LOINC") else None
        rows.append({"subject_id": chance.randint(1, 4), "time": time, "code": code, "numeric_value": value})
    return rows


def staying(whole: list[Row], new: list[Row]) -> list[Row]:
    """What stays: not what lies within the time of the update, of its people; births and static facts if none come."""
    people = {row["subject_id"] for row in new}
    lasting = {kind: {row["subject_id"] for row in new if lasts(row) == kind} for kind in ("birth", "static")}
    times = [row["time"] for row in new if lasts(row) is None]
    return [
        row for row in whole
        if row["subject_id"] not in people
        or (row["subject_id"] not in lasting[kind] if (kind := lasts(row)) is not None
            else not (times and min(times) <= row["time"] <= max(times)))
    ]  # fmt: skip


def lasts(row: Row) -> str | None:
    return "birth" if row["code"] == "MEDS_BIRTH" else "static" if row["time"] is None else None


def write_meds(path: Path, rows: list[Row]) -> Path:
    (path / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, MEDS), path / "data" / "0.parquet")
    return path


def meds_updated(chance: random.Random, path: Path, *, steps: int) -> tuple[Path, Path]:
    """A record that was updated and compacted at random, and one of the whole in one."""
    sure: Row = {"subject_id": 9, "time": None, "code": "Gender//F", "numeric_value": None}
    whole = [*meds_rows(chance, 0, 900, 40), sure]
    meds.ingest(write_meds(path / "first", whole), path / "updated")
    for n in range(steps):
        new = meds_rows(chance, chance.randint(0, 900), chance.choice([5, 60, 400]), 8)
        whole = staying(whole, new) + new
        meds.ingest(write_meds(path / f"update{n}", new), path / "updated", update=True)
        if chance.random() < 0.3:
            compact(path / "updated")
            check_is_sorted(path / "updated")
    meds.ingest(write_meds(path / "whole", whole), path / "at-once")
    return path / "updated", path / "at-once"


@LAW
@given(st.integers(0, 2**32))
def test_meds_updates_in_any_order_say_what_one_ingest_of_the_whole_says(seed: int) -> None:
    chance = random.Random(seed)
    with folder() as path:
        updated, at_once = meds_updated(chance, path, steps=chance.randint(1, 4))
        assert said(updated) == said(at_once)


# ----------------------------------------------------------------------------------------------------- kills

KILLS = 100 if os.environ.get("PRESAGE_SLOW") else 5
UPDATE = """
import sys; from pathlib import Path; from features.sources import omop
omop.ingest(Path(sys.argv[1]), Path(sys.argv[2]), update=True)
"""
# Stops itself before its n-th change of the file system: a look at what is there at that moment, then the end.
STOPPED = (
    """
import os, signal, sys
left = int(sys.argv[3])
def watch(event, arguments):
    global left
    if event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree", "os.link"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""
    + UPDATE
)


@pytest.mark.slow
def test_an_update_that_is_killed_at_any_moment_leaves_the_old_record_or_the_new_one(tmp_path: Path) -> None:
    """Nothing is lost and nothing is there twice: neither then, nor when the update is read again.

    Every other update is large enough to compact by itself.
    """
    chance = random.Random(11)
    people = [{"person_id": n, "gender_concept_id": 8507, "year_of_birth": 1950} for n in range(1, 41)]
    facts = [a_measurement(n, 1 + n % 40, 2001 + n % 9) for n in range(1, 400)]
    tables = {"person": people, "measurement": facts}
    omop.ingest(write_omop(tmp_path / "first", tables, everything=True), tmp_path / "record")
    size = {"small": 8, "large": 90}
    sources = {}
    for name, n in size.items():
        changed = [a_measurement(key, 1 + key % 40, 2011) for key in chance.sample(range(1, 500), n)]
        sources[name] = write_omop(tmp_path / name, {"measurement": changed}, everything=False)
    old, new = said(tmp_path / "record"), {}
    for name, source in sources.items():
        shutil.copytree(tmp_path / "record", tmp_path / f"{name}-whole")
        omop.ingest(source, tmp_path / f"{name}-whole", update=True)
        new[name] = said(tmp_path / f"{name}-whole")
        assert new[name] != old
    seen = set()
    for n in range(KILLS):
        name = ("small", "large")[n % 2]
        record = shutil.copytree(tmp_path / "record", tmp_path / f"record{n}")
        steps = str(chance.randint(1, 70))
        command = [sys.executable, "-c", STOPPED, str(sources[name]), str(record), steps]
        subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
        found = said(record)
        assert found in (old, new[name]), (n, steps)
        seen.add(found == old)
        omop.ingest(sources[name], record, update=True)
        assert said(record) == new[name]
        assert not list(record.glob(".*"))
        shutil.rmtree(record)
    assert KILLS < 20 or seen == {True, False}


def a_measurement(key: int, person: int, year: int) -> Row:
    return {"measurement_id": key, "person_id": person, "measurement_concept_id": 4,
            "measurement_date": f"{year}-05-05", "value_as_number": key % 7}  # fmt: skip


# ----------------------------------------------------------------------------------------------------- refusals


def small_omop(path: Path, name: str, **tables: list[Row]) -> Path:
    person = [{"person_id": n, "gender_concept_id": 8507, "year_of_birth": 1950} for n in range(1, 12)]
    return write_omop(path / name, {"person": person, **tables}, everything=True)


def test_an_update_of_what_was_never_ingested_is_refused(tmp_path: Path) -> None:
    source = small_omop(tmp_path, "source")
    with pytest.raises(PresageError, match=r"expected a record that an update can be read into.*whole source first"):
        omop.ingest(source, tmp_path / "record", update=True)
    assert not (tmp_path / "record").exists()
    omop.ingest(source, tmp_path / "record")
    with pytest.raises(PresageError, match="kind of source 'meds', found nothing of that kind"):
        meds.ingest(
            write_meds(tmp_path / "meds", meds_rows(random.Random(1), 0, 9, 5)), tmp_path / "record", update=True
        )


def test_an_update_of_a_record_of_other_rules_or_vocabularies_is_refused(tmp_path: Path) -> None:
    source = small_omop(tmp_path, "source")
    omop.ingest(source, tmp_path / "record")
    path = tmp_path / "record" / "kept" / "omop" / "said.json"
    kept = json.loads(path.read_text())
    for change, message in (
        ({"reading": 1}, "found what was read by rules 1"),
        ({"vocabularies": [{"name": "SNOMED", "digest": "x"}]}, "found others of SNOMED"),
    ):
        path.write_text(json.dumps({**kept, **change}))
        with pytest.raises(PresageError, match=message):
            omop.ingest(source, tmp_path / "record", update=True)
    path.unlink()
    with pytest.raises(PresageError, match=r"found one of an earlier version .*without --update"):
        omop.ingest(source, tmp_path / "record", update=True)


def test_a_part_of_a_source_is_refused_and_the_update_is_named_as_a_way_out(tmp_path: Path) -> None:
    omop.ingest(small_omop(tmp_path, "source"), tmp_path / "record")
    part = [{"person_id": 1, "gender_concept_id": 8507, "year_of_birth": 1950}]
    with pytest.raises(PresageError, match="--update to add what has changed since"):
        omop.ingest(write_omop(tmp_path / "part", {"person": part}, everything=True), tmp_path / "record")


def test_a_concept_that_means_something_else_now_is_refused(tmp_path: Path) -> None:
    facts = [a_measurement(1, 1, 2005)]
    omop.ingest(small_omop(tmp_path, "source", measurement=facts), tmp_path / "record")
    update = write_omop(tmp_path / "update", {"measurement": facts}, everything=False)
    concept = (update / "concept.csv").read_text()
    (update / "concept.csv").write_text(concept.replace("2093-3", "2085-9"))
    with pytest.raises(PresageError, match="1 of those in use with another code or name"):
        omop.ingest(update, tmp_path / "record", update=True)
    (update / "concept.csv").unlink()
    omop.ingest(update, tmp_path / "record", update=True)  # the concept is in use: the record knows it
    new = [{**facts[0], "measurement_concept_id": 3}]
    update = write_omop(tmp_path / "other", {"measurement": new}, everything=False)
    (update / "concept.csv").unlink()
    with pytest.raises(PresageError, match="none of that name, and 1 such concepts"):
        omop.ingest(update, tmp_path / "record", update=True)


def test_a_record_with_updates_pending_is_no_source_of_meds_before_it_is_compacted(tmp_path: Path) -> None:
    facts = [a_measurement(n, 1 + n % 9, 2005) for n in range(1, 60)]
    omop.ingest(small_omop(tmp_path, "source", measurement=facts), tmp_path / "record")
    one = {"measurement": [a_measurement(1, 1, 2006)]}
    omop.ingest(write_omop(tmp_path / "one", one, everything=False), tmp_path / "record", update=True)
    with pytest.raises(PresageError, match=r"found rows beside data/ .run presage record compact"):
        meds.ingest(tmp_path / "record", tmp_path / "other")
    assert compact(tmp_path / "record") == ["omop"]
    assert meds.ingest(tmp_path / "record", tmp_path / "other").events == Record.open(tmp_path / "record").count()


def test_what_was_sent_again_unchanged_writes_nothing(tmp_path: Path) -> None:
    facts = [a_measurement(n, 1 + n % 9, 2005) for n in range(1, 60)]
    omop.ingest(small_omop(tmp_path, "source", measurement=facts), tmp_path / "record")
    report = omop.ingest(small_omop(tmp_path, "again", measurement=facts), tmp_path / "record", update=True)
    assert report.update is not None
    assert report.update["rows written"] == report.update["rows void"] == 0
    assert Record.open(tmp_path / "record").pending == 0
    assert compact(tmp_path / "record") == []


@FEATURES
@given(st.integers(0, 2**32))
def test_every_feature_of_everybody_is_the_same_after_updates(seed: int) -> None:
    chance = random.Random(seed)
    routes = [omop_updated, fhir_updated, meds_updated]
    with folder() as path:
        updated, at_once = chance.choice(routes)(chance, path, steps=2)
        for as_of in ("2011-06-01", "2021-01-01"):
            assert features_of(updated, as_of) == features_of(at_once, as_of)
