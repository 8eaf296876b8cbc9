"""Two public FHIR R4 sets: the report's counts against the files' own lines, and events against a naive reading."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from features.sources.report import IngestReport

pytestmark = pytest.mark.realdata

SETS = {"synthea": 615, "bulk": 13}  # people
Records = tuple[IngestReport, Path, Path]


@pytest.fixture(scope="module")
def records(ingested: Callable[[str], Records]) -> dict[str, Records]:
    return {name: ingested(name) for name in SETS}


def lines(source: Path, kind: str) -> Iterator[dict[str, Any]]:
    for path in sorted(source.glob(f"{kind}.*")):
        with gzip.open(path, "rt") as file:
            yield from map(json.loads, file)


@pytest.mark.parametrize("name", SETS)
def test_counts_by_resource_are_the_files(name: str, records: dict[str, Records]) -> None:
    report, record, source = records[name]
    expected: Counter[str] = Counter()
    for path in source.glob("*.ndjson.gz"):
        if not path.name.startswith("log"):
            with gzip.open(path, "rt") as file:
                expected[path.name.split(".")[0]] = sum(1 for line in file if line.strip())
    ours = {kind: table.rows for kind, table in report.tables.items() if table.rows}
    assert ours == expected
    assert report.people == SETS[name]
    n_events = ds.dataset(record / "data").count_rows()
    assert n_events == report.events == sum(table.events for table in report.tables.values())


def test_observations_are_as_many_and_as_large_as_a_naive_reading_finds(records: dict[str, Records]) -> None:
    report, record, source = records["synthea"]
    n_facts, total = 0, 0.0
    for one in lines(source, "Observation"):
        parts = one.get("component") or []
        own = any(key.startswith("value") for key in one)
        n_facts += len(parts) + (1 if own or not parts else 0)
        total += sum(part.get("valueQuantity", {}).get("value", 0.0) for part in (one, *parts))
    rejected = sum(report.tables["Observation"].rejected.values())
    assert n_facts - report.tables["Observation"].events == pytest.approx(rejected, abs=rejected)
    codes = {
        part["code"]["coding"][0]["code"]
        for one in lines(source, "Observation")
        for part in (one, *one.get("component", []))
    }
    events = ds.dataset(record / "data").to_table().to_pandas()
    results = events[events.code.isin([f"LOINC//{code}" for code in codes])]
    assert results.numeric_value.sum() == pytest.approx(total, rel=1e-3)


def test_visits_diagnoses_and_births_are_those_of_the_files(records: dict[str, Records]) -> None:
    report, record, source = records["synthea"]
    events = ds.dataset(record / "data").to_table().to_pandas()
    classes = Counter(one["class"]["code"] for one in lines(source, "Encounter"))
    visits = events[events.code.str.startswith("Visit//")].code.value_counts()
    kept_out = sum(report.tables["Encounter"].rejected.values())
    assert visits["Visit//ER"] == pytest.approx(classes["EMER"], abs=kept_out)
    assert visits["Visit//IP"] == pytest.approx(classes["IMP"], abs=kept_out)
    assert visits.sum() == sum(classes.values()) - kept_out
    diabetes = sum(1 for one in lines(source, "Condition") if one["code"]["coding"][0]["code"] == "44054006")
    assert (events.code == "SNOMED//44054006").sum() == diabetes > 0
    births = sorted(one["birthDate"] for one in lines(source, "Patient"))
    assert sorted(events[events.code == "MEDS_BIRTH"].time.dt.strftime("%Y-%m-%d")) == births
    deaths = sum(1 for one in lines(source, "Patient") if one.get("deceasedDateTime"))
    assert (events.code == "MEDS_DEATH").sum() == deaths > 0


def test_nothing_is_known_before_it_happened(records: dict[str, Records]) -> None:
    for _, record, _ in records.values():
        events = ds.dataset(record / "data").to_table().to_pandas()
        dated = events[events.time.notna()]
        assert (dated.available_time >= dated.time).all()
        assert dated.available_time.notna().all()
