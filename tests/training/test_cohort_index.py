"""Enrolment: stretches that overlap are one, nobody's own last event ends it, and every engine says the same."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pytest

from features.engine.session import IbisSession
from features.record.record import Record
from features.record.schema import EVENTS
from training.cohort import index as cohort_index
from training.cohort.index import ENDS_AT_LAST, NO_ENROLMENT, enrolment_notes
from training.cohort.record import Selected, select
from training.study import Study

START, END = "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END"
Row = tuple[int, str, str]


def record(*rows: Row) -> Record:
    events = [
        {"subject_id": person, "time": datetime.fromisoformat(time), "code": code,
         "available_time": datetime.fromisoformat(time)}
        for person, time, code in rows
    ]  # fmt: skip
    return Record.in_memory(pa.Table.from_pylist(events, schema=EVENTS))


def enrolled(person: int, *stretches: tuple[str, str]) -> list[Row]:
    rows = [(person, "1950-06-01", "MEDS_BIRTH")]
    for start, end in stretches:
        rows += [(person, start, START), (person, end, END)]
    return rows


def selected(held: Record, index: str) -> Selected:
    study = {
        "name": "small",
        "population": {"index": index, "history_days": 0},
        "outcome": {"codes": "X", "horizons_days": [7000]},
    }
    return select(Study.model_validate(study), Path(), record=held, backend=ibis.duckdb.connect())


def days(start: str, end: str) -> float:
    return float((np.datetime64(end) - np.datetime64(start)) / np.timedelta64(1, "D"))


@pytest.mark.parametrize(
    ("stretches", "last"),
    [
        ([("2005-01-01", "2015-01-01"), ("2010-01-01", "2020-01-01")], "2020-01-01"),  # two sources overlap
        ([("2005-01-01", "2020-01-01"), ("2010-01-01", "2012-01-01")], "2020-01-01"),  # one within the other
        ([("2005-01-01", "2011-12-31"), ("2012-01-01", "2020-01-01")], "2020-01-01"),  # the next begins the day after
        ([("2005-01-01", "2012-01-01"), ("2012-01-03", "2020-01-01")], "2012-01-01"),  # a gap
        ([("2005-01-01", "2015-01-01"), ("2005-01-01", "2015-01-01")], "2015-01-01"),  # twice the same
    ],
)
def test_stretches_of_enrolment_that_overlap_or_touch_are_one(stretches: list[tuple[str, str]], last: str) -> None:
    found = selected(record(*enrolled(1, *stretches)), "2011-01-01")
    assert found.subject_ids.tolist() == [1]  # no person and moment twice
    assert found.outcome.time_days.tolist() == [days("2011-01-01", last) + 1]


def test_stretches_agree_with_days_ticked_off_one_by_one() -> None:
    rng = np.random.default_rng(4)
    rows: list[Row] = []
    expected: dict[int, list[tuple[int, int]]] = {}
    origin = datetime.fromisoformat("2005-01-01")
    for person in range(60):
        ticked = np.zeros(130, dtype=bool)
        for _ in range(int(rng.integers(1, 6))):
            low = int(rng.integers(0, 90))
            high = low + int(rng.integers(0, 30))
            ticked[low : high + 1] = True
            rows += [
                (person, (origin + timedelta(days=at)).isoformat(), code) for at, code in ((low, START), (high, END))
            ]
        edges = np.flatnonzero(np.diff(np.concatenate([[0], ticked.astype(int), [0]])))
        expected[person] = [(int(a), int(b) - 1) for a, b in edges.reshape(-1, 2)]
    session = IbisSession(ibis.duckdb.connect())
    session.put("presage_events", record(*rows).tables["events"])
    found = session.run(cohort_index._periods().order_by("subject_id", "period_start")).to_pylist()
    for person, stretches in expected.items():
        mine = [row for row in found if row["subject_id"] == person]
        assert [((r["period_start"] - origin).days, (r["period_end"] - origin).days) for r in mine] == stretches


NOBODY_ENROLLED = [
    (1, "1950-06-01", "MEDS_BIRTH"), (1, "2009-01-01", "Visit//OP"),
    (2, "1950-06-01", "MEDS_BIRTH"), (2, "2009-01-01", "Visit//OP"), (2, "2013-02-01", "MEDS_DEATH"),
    (3, "1950-06-01", "MEDS_BIRTH"), (3, "2009-01-01", "Visit//OP"), (3, "2014-01-01", "X"),
    (4, "1950-06-01", "MEDS_BIRTH"), (4, "2009-01-01", "Visit//OP"), (4, "2016-06-01", "Visit//OP"),
]  # fmt: skip


def test_without_enrolment_people_are_followed_to_death_or_the_records_last_day() -> None:
    found = selected(record(*NOBODY_ENROLLED), "2010-01-01")
    assert found.subject_ids.tolist() == [1, 2, 3, 4]  # the first has no event any more, and is not ill for that
    assert found.outcome.time_days.tolist() == [
        days("2010-01-01", "2016-06-01") + 1,  # the record's last day
        days("2010-01-01", "2013-02-01"),
        days("2010-01-01", "2014-01-01"),
        days("2010-01-01", "2016-06-01") + 1,
    ]
    assert found.outcome.event.tolist() == [0, 2, 1, 0]
    assert found.notes == (NO_ENROLMENT,)


def test_a_booked_appointment_is_not_the_records_last_day() -> None:
    booked = {
        "subject_id": 4,
        "time": datetime.fromisoformat("2030-01-01"),
        "code": "Visit//OP",
        "available_time": datetime.fromisoformat("2016-01-01"),
    }
    events = record(*NOBODY_ENROLLED).tables["events"]
    held = Record.in_memory(pa.concat_tables([events, pa.Table.from_pylist([booked], schema=EVENTS)]))
    assert selected(held, "2010-01-01").outcome.time_days[0] == days("2010-01-01", "2016-06-01") + 1


def test_the_risk_without_enrolment_is_the_true_one_although_who_is_well_is_rarely_seen() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = []
    origin, years = datetime.fromisoformat("2004-01-01"), 16
    for person in range(3000):
        ill = float(rng.exponential(1 / 0.02))
        seen = rng.uniform(0, years, rng.poisson(0.5 * years)).tolist()
        told = [(-50.0, "MEDS_BIRTH"), *((at, "Visit//OP") for at in seen), *([(ill, "X")] if ill < years else [])]
        for at, code in told:
            time = origin + timedelta(days=at * 365.25)
            rows.append({"subject_id": person, "time": time, "code": code, "available_time": time})
    found = selected(Record.in_memory(pa.Table.from_pylist(rows, schema=EVENTS)), "2018-01-01")
    within = (found.outcome.event == 1) & (found.outcome.time_days <= 700)
    truth = 1 - np.exp(-0.02 * 700 / 365.25)
    assert abs(within.mean() - truth) < 3 * np.sqrt(truth * (1 - truth) / len(within))  # it was .14, not .04


@pytest.mark.parametrize(("own_last", "notes"), [(True, (ENDS_AT_LAST,)), (False, ())])
def test_enrolment_that_ends_with_the_last_event_is_told(own_last: bool, notes: tuple[str, ...]) -> None:
    rows: list[Row] = [(0, "2020-01-01", "Visit//OP")]
    for person in range(1, 41):
        last = (datetime.fromisoformat("2010-01-01") + timedelta(days=50 * person)).date().isoformat()
        rows += [(person, last, "Visit//OP"), *enrolled(person, ("2005-01-01", last if own_last else "2017-01-01"))]
    assert enrolment_notes(record(*rows), ibis.duckdb.connect()) == notes


ENGINES = ("duckdb", "pyspark") if os.environ.get("PRESAGE_SLOW") else ("duckdb",)  # Spark takes half a minute


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "duckdb":
        yield ibis.duckdb.connect()
        return
    pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PySpark 4.0 uses what pandas 3 and Python deprecate
        from pyspark.sql import SparkSession

        local = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        local = local.config("spark.sql.session.timeZone", "UTC").config("spark.sql.shuffle.partitions", "2")
        local = local.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
        session = local.getOrCreate()
        yield ibis.pyspark.connect(session)
        session.stop()


@pytest.mark.filterwarnings("ignore")
def test_every_engine_finds_the_same_stretches(engine: Any) -> None:
    held = record(
        *enrolled(1, ("2005-01-01", "2015-01-01"), ("2010-01-01", "2020-01-01")),
        *enrolled(2, ("2005-01-01", "2009-01-01"), ("2012-01-01", "2020-01-01"), ("2012-02-01", "2013-01-01")),
    )
    session = IbisSession(engine)
    session.put("presage_events", held.tables["events"])
    rows = session.run(cohort_index._periods()).to_pylist()
    assert sorted((row["subject_id"], row["period_start"].year, row["period_end"].year) for row in rows) == [
        (1, 2005, 2020), (2, 2005, 2009), (2, 2012, 2020)
    ]  # fmt: skip
