"""Dates that nobody can have lived at, from every source: set aside, counted, and never in the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.sources import fhir, meds, omop
from features.sources.checks import BAD_DATE, STARTS_LATE, STILL_OPEN

Cdm = Callable[..., Path]
EventsOf = Callable[..., list[dict[str, Any]]]

NEVER = ["0001-01-01", "1799-12-31", "2250-01-01", "9999-12-31", "10000-01-01"]
AT_THE_EDGES = ["1960-03-05", "2249-12-31"]


def _measured(days: list[str]) -> str:
    head = "measurement_id | person_id | measurement_concept_id | measurement_date"
    return "\n".join([head, *(f"{n} | 1 | 1001 | {day}" for n, day in enumerate(days))])


@pytest.mark.parametrize("shape", ["csv", "parquet"])
def test_omop_dates_of_another_age_are_set_aside(shape: str, cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    source = cdm(
        measurement=_measured(NEVER + AT_THE_EDGES),
        death="person_id | death_date\n1 | 9999-12-31",
        observation_period="""
        person_id | observation_period_start_date | observation_period_end_date
        1         | 2000-01-01                    | 9999-12-31
        1         | 2010-01-01                    | 2011-01-01
        """,
    )
    days = NEVER[:-1] + AT_THE_EDGES  # Python writes no later year
    if shape == "parquet":
        (source / "measurement.csv").unlink()
        table = pa.table(
            {
                "measurement_id": list(range(len(days))),
                "person_id": [1] * len(days),
                "measurement_concept_id": [1001] * len(days),
                "measurement_date": [date.fromisoformat(day) for day in days],
            }
        )
        pq.write_table(table, source / "measurement.parquet")
    report = omop.ingest(source, tmp_path / "record")
    assert report.tables["measurement"].rejected == {BAD_DATE: len(NEVER) if shape == "csv" else len(NEVER) - 1}
    assert report.tables["death"].rejected == {BAD_DATE: 1}
    rows = events_of(tmp_path / "record", "LOINC//4548-4")
    assert [row["time"][:10] for row in rows] == AT_THE_EDGES


PERIOD_HEAD = "person_id | observation_period_start_date | observation_period_end_date"


ENDS = [
    ("2020-06-30", "2020-06-30"),  # as it is written
    ("2021-12-31", "2021-12-31"),  # a contract runs on a little: within a year
    ("2022-03-05", "2021-03-04"),  # nobody knows that much ahead
    ("2099-12-31", "2021-03-04"),
    ("2249-12-31", "2021-03-04"),
    ("9999-12-31", "2021-03-04"),
]


@pytest.mark.parametrize("shape", ["csv", "parquet"])
def test_enrolment_that_is_open_ends_with_the_sources_last_day(
    shape: str, cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    persons = "".join(f"\n{n} | 8507 | 1960" for n in range(len(ENDS)))
    periods = "".join(f"\n{n} | 2000-01-01 | {end}" for n, (end, _) in enumerate(ENDS))
    source = cdm(
        person=f"person_id | gender_concept_id | year_of_birth{persons}",
        measurement=_measured(["2005-01-01"]),
        death="person_id | death_date\n0 | 2021-03-04",
        observation_period=PERIOD_HEAD + periods,
    )
    if shape == "parquet":
        (source / "observation_period.csv").unlink()
        days = [[date(2000, 1, 1)] * len(ENDS), [date.fromisoformat(end) for end, _ in ENDS]]
        columns = dict(zip(PERIOD_HEAD.split(" | "), [list(range(len(ENDS))), *days], strict=True))
        pq.write_table(pa.table(columns), source / "observation_period.parquet")
    report = omop.ingest(source, tmp_path / "record")
    found = events_of(tmp_path / "record", "OBSERVATION_PERIOD//END")
    assert [row["time"][:10] for row in found] == [ended for _, ended in ENDS]
    assert report.tables["observation_period"].rejected == {}
    assert report.tables["observation_period"].mended == {STILL_OPEN: 4}


def test_the_day_of_extraction_goes_before_a_mistyped_year(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    source = cdm(
        measurement=_measured(["2021-03-04", "2204-01-01"]),
        cdm_source="cdm_source_name | source_release_date\nours | 2022-01-15",
        observation_period=f"{PERIOD_HEAD}\n1 | 2000-01-01 | 2099-12-31\n2 | 2022-05-01 | 2099-12-31",
    )
    report = omop.ingest(source, tmp_path / "record")
    ends = events_of(tmp_path / "record", "OBSERVATION_PERIOD//END")
    assert [(row["person"], row["time"][:10]) for row in ends] == [("1", "2022-01-15")]
    assert report.tables["observation_period"].rejected == {STARTS_LATE: 1}


def test_a_fhir_coverage_that_ends_in_2099_is_open_as_one_in_omop_is(tmp_path: Path, events_of: EventsOf) -> None:
    anna = {"reference": "Patient/anna"}
    coverage = {"resourceType": "Coverage", "status": "active", "beneficiary": anna}
    rows: list[dict[str, Any]] = [
        {"resourceType": "Patient", "id": "anna", "birthDate": "1960-03-05"},
        {
            "resourceType": "Observation",
            "id": "1",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
            "subject": anna,
            "effectiveDateTime": "2021-03-04",
        },
        coverage | {"id": "a", "period": {"start": "2000-01-01", "end": "2010-01-01"}},
        coverage | {"id": "b", "period": {"start": "2011-01-01", "end": "2099-12-31"}},
        coverage | {"id": "c", "period": {"start": "2021-05-01", "end": "2099-12-31"}},
    ]
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, rows)))
    report = fhir.ingest(tmp_path / "all.ndjson", tmp_path / "record")
    ends = events_of(tmp_path / "record", "OBSERVATION_PERIOD//END")
    assert [row["time"][:10] for row in ends] == ["2010-01-01", "2021-03-04"]
    assert report.tables["Coverage"].mended == {STILL_OPEN: 1}
    assert report.tables["Coverage"].rejected == {STARTS_LATE: 1}


@pytest.mark.parametrize(("year", "born"), [("0001", []), ("9999", []), ("1799", []), ("1800", ["1800-01-01"])])
def test_a_year_of_birth_of_another_age_is_none(
    year: str, born: list[str], cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    source = cdm(person=f"person_id | gender_concept_id | year_of_birth\n1 | 8507 | {year}")
    report = omop.ingest(source, tmp_path / "record")
    assert [row["time"][:10] for row in events_of(tmp_path / "record", "MEDS_BIRTH")] == born
    assert sum(report.tables["person"].mended.values()) == 1 - len(born)


def test_fhir_dates_of_another_age_are_set_aside_and_an_end_that_never_comes_is_none(
    tmp_path: Path, events_of: EventsOf
) -> None:
    anna = {"reference": "Patient/anna"}
    rows: list[dict[str, Any]] = [{"resourceType": "Patient", "id": "anna", "birthDate": "0001-01-01"}]
    rows += [
        {
            "resourceType": "Observation",
            "id": str(n),
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]},
            "subject": anna,
            "effectiveDateTime": day,
        }
        for n, day in enumerate(NEVER + AT_THE_EDGES[:1])
    ]
    rows.append(
        {
            "resourceType": "Coverage",
            "id": "c",
            "status": "active",
            "beneficiary": anna,
            "period": {"start": "1959-01-01", "end": "9999-12-31"},
        }
    )
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, rows)))
    report = fhir.ingest(tmp_path / "all.ndjson", tmp_path / "record")
    assert report.tables["Observation"].rejected == {BAD_DATE: len(NEVER)}
    assert report.tables["Patient"].mended == {f"birth {BAD_DATE}": 1}
    assert report.tables["Coverage"].mended == {"ends in a year that never comes (taken as not ended)": 1}
    times = [(row["code"], row["time"][:10]) for row in events_of(tmp_path / "record")]
    assert times == [
        ("OBSERVATION_PERIOD//START", "1959-01-01"),
        ("LOINC//4548-4", "1960-03-05"),
        ("OBSERVATION_PERIOD//END", "1960-03-05"),
    ]


def test_meds_dates_of_another_age_are_set_aside(tmp_path: Path, events_of: EventsOf) -> None:
    day = 86_400_000_000
    times = [0, 200_000 * 365 * day, -300 * 365 * day, None]
    known = [0, 0, 0, 200_000 * 365 * day]
    table = pa.table(
        {
            "subject_id": [1] * 4,
            "time": pa.array(times, pa.int64()).cast(pa.timestamp("us")),
            "code": ["a", "MEDS_BIRTH", "c", "d"],
            "available_time": pa.array(known, pa.int64()).cast(pa.timestamp("us")),
        }
    )
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "0.parquet")
    report = meds.ingest(tmp_path, tmp_path / "record")
    assert report.tables["data"].rejected == {BAD_DATE: 2, f"available_time: {BAD_DATE}": 1}
    assert [row["code"] for row in events_of(tmp_path / "record")] == ["a"]
