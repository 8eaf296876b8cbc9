# ruff: noqa: DTZ001, DTZ901 - times in a record carry no zone
"""The engine against a naive row-by-row reading of the declarations, and the law that the future changes nothing."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.build import build, learn_vocabulary
from features.catalogue import Catalogue, FeatureSpec
from features.catalogue.spec import Aggregate
from features.frame import FeatureFrame
from features.index import Index
from features.record.record import Record
from features.record.schema import EVENTS

EXAMPLES = 300 if os.environ.get("PRESAGE_SLOW") else 25
SLOW = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

AS_OF = datetime(2020, 3, 1, 12)
Event = dict[str, Any]

GLUCOSE, SMOKING, DRUG, CONDITION = "LOINC//1558-6", "LOINC//72166-2", "RxNorm//83367", "ICD10CM//E11.9"
MG_PER_MMOL = 18.0156  # glucose, 180.156 g/mol
WINDOWS: tuple[int | None, ...] = (30, 365, None)
VALUED: tuple[Aggregate, ...] = ("latest", "mean", "min", "max", "slope", "sum", "count", "days_since")


def _spec(aggregate: Aggregate, window: int | None, what: str, **reads: Any) -> FeatureSpec:
    absent = 0.0 if aggregate in {"count", "any", "current", "covered", "sum"} else math.nan
    name = f"{what}_{aggregate}_{window}"
    kind = "" if math.isnan(absent) else "measurement"
    return FeatureSpec(
        name, "test", name, "1", "nothing", aggregate, window_days=window, absent=absent, kind=kind, **reads
    )


SPECS = (
    *(
        _spec(aggregate, window, "glucose", codes=(GLUCOSE,), value_unit="mg/dL", valid=(20.0, 1000.0))
        for aggregate in VALUED
        for window in WINDOWS
    ),
    *(_spec(a, w, "diabetes", codes=("ICD10CM//E11*",)) for a in ("any", "count", "days_since") for w in WINDOWS),
    _spec("years_since_first", None, "diabetes", codes=("ICD10CM//E11*",)),
    *(
        _spec(a, w, "statin", codes=(DRUG,), value_unit="d", valid=(0.0, 400.0), default_value=90.0, grace_days=30)
        for a in ("current", "covered")
        for w in (30, 365)
    ),
    _spec("latest", None, "smoking", codes=(SMOKING,), levels=(("never", 0.0), ("current", 1.0))),
    _spec("latest", None, "sex", codes=("Gender//F", "Gender//M"), values=(("Gender//F", 1.0), ("Gender//M", 0.0))),
)
CATALOGUE = Catalogue(SPECS)

# ------------------------------------------------------------------------------------------------ the naive reading


def naive(spec: FeatureSpec, events: list[Event], subject: int, as_of: datetime) -> float:
    """One feature of one row, by going through the events."""
    start = datetime.min if spec.window_days is None else as_of - timedelta(days=spec.window_days)
    rows: list[tuple[datetime, float | None]] = []
    for event in events:
        if event["subject_id"] != subject or not matches(spec, event["code"]):
            continue
        time = event["time"] or datetime(1800, 1, 1)
        if max(event["available_time"] or time, time) >= as_of:
            continue
        if time < start and spec.aggregate != "covered":  # supply from before the window reaches into it
            continue
        value = naive_value(spec, event)
        if value is None and spec.default_value is not None:
            value = spec.default_value
        if value is not None or not (spec.value_unit or spec.values or spec.levels):
            rows.append((time, value))
    if not rows:
        return spec.absent
    found = naive_aggregate(spec, rows, as_of)
    return spec.absent if math.isnan(found) else found


def matches(spec: FeatureSpec, code: str) -> bool:
    return any(code.startswith(p[:-1]) if p.endswith("*") else code == p for p in spec.codes)


def naive_value(spec: FeatureSpec, event: Event) -> float | None:
    if event["code"] in dict(spec.values):
        value = dict(spec.values)[event["code"]]
    elif spec.levels and event["text_value"] is not None:
        found = dict(spec.levels).get(event["text_value"].lower())
        if found is None:
            return None
        value = found
    elif spec.value_unit is not None and event["numeric_value"] is not None:
        value = float(np.float32(event["numeric_value"]))
        if event["unit"] == "mmol/L" and spec.value_unit == "mg/dL":
            value *= MG_PER_MMOL
        elif event["unit"] not in {None, spec.value_unit}:
            return None
    else:
        return None
    low, high = spec.valid or (-1e12, 1e12)
    return value if low <= value <= high else None


def naive_aggregate(spec: FeatureSpec, rows: list[tuple[datetime, float | None]], as_of: datetime) -> float:
    times = [time for time, _ in rows]
    values = [value for _, value in rows if value is not None]
    days = [(time.date() - as_of.date()).days for time in times]
    match spec.aggregate:
        case "latest":
            return max((time, value) for time, value in rows if value is not None)[1]
        case "mean":
            return sum(values) / len(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "sum":
            return sum(values)
        case "count":
            return float(len(rows))
        case "any":
            return 1.0
        case "slope":
            if len(set(days)) < 2:
                return math.nan
            return float(np.polyfit(np.array(days), np.array(values), 1)[0] * 365.25)
        case "days_since":
            return since(max(times), as_of)
        case "years_since_first":
            return since(min(times), as_of) / 365.25
        case "current":
            return float(max(day + value for day, value in zip(days, values, strict=True)) >= -spec.grace_days)
        case "covered":
            window = float(spec.window_days or 1)
            spans = [(max(day, -window), min(day + value, 0.0)) for day, value in zip(days, values, strict=True)]
            return min(1.0, sum(end - start for start, end in spans if end > start) / window)
    raise AssertionError(spec.aggregate)


def since(time: datetime, as_of: datetime) -> float:
    return math.nan if time == datetime(1800, 1, 1) else (as_of - time) / timedelta(days=1)


# --------------------------------------------------------------------------------------------------- random records

_EDGES = [
    timedelta(days=days, microseconds=micros) for days in (0, 1, 29, 30, 60, 364, 365, 800) for micros in (-1, 0, 1)
]
_TIMES = st.one_of(st.none(), st.sampled_from([AS_OF - edge for edge in _EDGES]), st.just(AS_OF + timedelta(days=400)))
_CODES = [GLUCOSE, GLUCOSE, GLUCOSE, SMOKING, DRUG, CONDITION, "ICD10CM//E1", "Gender//F", "Gender//M", "X//unknown"]


@st.composite
def an_event(draw: st.DrawFn) -> Event:
    time = draw(_TIMES)
    late = draw(st.sampled_from([None, timedelta(0), timedelta(days=2), timedelta(days=40)]))
    return {
        "subject_id": draw(st.sampled_from([-5, 7, 2**40])),
        "time": time,
        "code": draw(st.sampled_from(_CODES)),
        "numeric_value": draw(st.sampled_from([None, math.nan, 5.5, 99.9, 100.1, 7.25, -1.0, 1e30, 1000.0, 20.0])),
        "text_value": draw(st.sampled_from([None, "Never", "current", "perhaps"])),
        "available_time": None if time is None or late is None else time + late,
        "unit": draw(st.sampled_from([None, "mg/dL", "mmol/L", "furlong", "d"])),
    }


EVENT_LISTS = st.lists(an_event(), max_size=40)
INDEX = Index.at([7, -5, 2**40, 7, 11], [AS_OF, AS_OF, AS_OF - timedelta(days=20), AS_OF - timedelta(days=365), AS_OF])


def record(events: list[Event]) -> Record:
    return Record.in_memory(pa.Table.from_pylist(events, schema=EVENTS))


def same_bits(one: FeatureFrame, other: FeatureFrame) -> bool:
    codes = one.codes is None or other.codes is None or (one.codes != other.codes).nnz == 0
    return one.values.tobytes() == other.values.tobytes() and codes


@SLOW
@given(EVENT_LISTS)
def test_every_aggregate_agrees_with_the_naive_reading(events: list[Event]) -> None:
    frame = build(INDEX, record(events), catalogue=CATALOGUE)
    for row, (subject, as_of) in enumerate(zip(INDEX.subject_ids.tolist(), INDEX.as_of.tolist(), strict=True)):
        for column, spec in enumerate(SPECS):
            expected = naive(spec, events, subject, as_of)
            found = float(frame.values[row, column])
            assert found == pytest.approx(expected, rel=2e-6, abs=2e-5, nan_ok=True), (spec.name, subject, as_of)


@SLOW
@given(EVENT_LISTS, st.lists(an_event(), min_size=1, max_size=10), st.integers(0, 10**9))
def test_no_event_available_at_or_after_the_moment_changes_a_feature(
    events: list[Event], late: list[Event], micros: int
) -> None:
    last = max(INDEX.as_of.tolist())
    planted = [event | {"available_time": last + timedelta(microseconds=micros)} for event in late]
    before = build(INDEX, record(events), catalogue=CODED)
    after = build(INDEX, record([*planted, *events]), catalogue=CODED)
    assert same_bits(before, after)


@SLOW
@given(EVENT_LISTS, st.randoms(use_true_random=False))
def test_alone_in_a_batch_and_shuffled_a_row_has_the_same_bits(events: list[Event], random: Any) -> None:
    batch = build(INDEX, record(events), catalogue=CODED)
    shuffled = list(events)
    random.shuffle(shuffled)
    assert same_bits(batch, build(INDEX, record(shuffled), catalogue=CODED))
    for row in range(len(INDEX)):
        rows = np.array([row])
        subject = int(INDEX.subject_ids[row])
        mine = [event for event in events if event["subject_id"] == subject]
        assert same_bits(batch.take(rows), build(INDEX.take(rows), record(mine), catalogue=CODED))


CODED = Catalogue(SPECS, code_prevalence=0.0, code_windows_days=(30, None)).with_vocabulary([GLUCOSE, CONDITION, DRUG])


@SLOW
@given(EVENT_LISTS)
def test_the_code_counts_agree_with_counting(events: list[Event]) -> None:
    frame = build(INDEX, record(events), catalogue=CODED)
    assert frame.codes is not None
    dense = frame.codes.toarray()
    for row, (subject, as_of) in enumerate(zip(INDEX.subject_ids.tolist(), INDEX.as_of.tolist(), strict=True)):
        for column, name in enumerate(frame.code_names):
            code, window = name.rsplit("@", 1)
            spec = _spec("count", None if window == "ever" else 30, "code", codes=(code,))
            assert dense[row, column] == naive(spec, events, subject, as_of), name


# ------------------------------------------------------------------------------------------------- drawn as a table


def at(day: str, code: str, value: float | None = None, unit: str | None = None, available: str | None = None) -> Event:
    return {
        "subject_id": 1,
        "time": datetime.fromisoformat(day),
        "code": code,
        "numeric_value": value,
        "text_value": None,
        "available_time": datetime.fromisoformat(available or day),
        "unit": unit,
    }


def feature(spec: FeatureSpec, *events: Event, as_of: str = "2020-03-01") -> float:
    return float(build(Index.at([1], as_of), record(list(events)), catalogue=Catalogue((spec,))).values[0, 0])


def test_a_window_holds_its_start_and_not_its_end() -> None:
    spec = _spec("count", 30, "diabetes", codes=(CONDITION,))
    assert feature(spec, at("2020-01-31", CONDITION)) == 1  # 30 days before, to the microsecond
    assert feature(spec, at("2020-01-30T23:59:59.999999", CONDITION)) == 0
    assert feature(spec, at("2020-02-29T23:59:59.999999", CONDITION)) == 1
    assert feature(spec, at("2020-03-01", CONDITION)) == 0


def test_a_diagnosis_is_seen_from_the_moment_it_was_available() -> None:
    spec = _spec("any", None, "diabetes", codes=(CONDITION,))
    assert feature(spec, at("2020-02-01", CONDITION, available="2020-03-01T00:00:00")) == 0
    assert feature(spec, at("2020-02-01", CONDITION, available="2020-02-29T23:59:59.999999")) == 1


def test_an_appointment_known_today_for_tomorrow_is_not_yet_a_visit() -> None:
    spec = _spec("count", None, "visits", codes=("Visit//OP",))
    assert feature(spec, at("2020-03-05", "Visit//OP", available="2020-02-01")) == 0


@pytest.mark.parametrize(
    ("given", "days", "expected"),
    [
        ("2020-02-28T15:00", 90, 2),  # two days ago: its other 88 lie ahead
        ("2020-01-01", 30, 30),
        ("2019-02-20", 20, 10),  # begun ten days before the window
        ("2018-06-01", 365, 91),  # and long before it
        ("2019-01-01", 60, 0),  # used up before it
    ],
)
def test_supply_covers_those_days_of_the_window_that_it_reaches(given: str, days: float, expected: int) -> None:
    spec = _spec("covered", 365, "statin", codes=(DRUG,), value_unit="d", valid=(0.0, 400.0), default_value=90.0)
    found = feature(spec, at(given, DRUG, days, "d"))
    assert found * 365 == pytest.approx(expected, abs=1e-4)
    both = feature(spec, at(given, DRUG, days, "d"), at("2019-06-01", DRUG, 400, "d"))
    assert both * 365 == pytest.approx(min(expected + 274, 365), abs=1e-4)


def test_a_value_in_another_unit_is_converted_and_one_in_no_known_unit_set_aside() -> None:
    spec = _spec("latest", None, "glucose", codes=(GLUCOSE,), value_unit="mg/dL", valid=(20.0, 1000.0))
    assert feature(spec, at("2020-01-01", GLUCOSE, 10.0, "mmol/L")) == pytest.approx(180.156, rel=1e-6)
    assert math.isnan(feature(spec, at("2020-01-01", GLUCOSE, 10.0, "furlong")))
    assert math.isnan(feature(spec, at("2020-01-01", GLUCOSE, 19.0, "mg/dL")))


@pytest.mark.parametrize(
    ("value", "plausible"),
    [(20.0, True), (19.99, False), (1000.0, True), (1000.01, False), (math.inf, False), (math.nan, False)],
)
def test_the_plausible_range_holds_both_its_ends(value: float, plausible: bool) -> None:
    spec = _spec("latest", None, "glucose", codes=(GLUCOSE,), value_unit="mg/dL", valid=(20.0, 1000.0))
    found = feature(spec, at("2020-01-01", GLUCOSE, value, "mg/dL"))
    assert found == value if plausible else math.isnan(found)


def test_of_several_values_at_the_latest_moment_the_largest_counts_whatever_its_sign_and_century() -> None:
    spec = _spec("latest", None, "balance", codes=(GLUCOSE,), value_unit="mmol/L", valid=(-1000.0, 1000.0))
    for day in ("1899-12-31T23:59:59.999999", "1969-12-31", "2020-01-01"):
        events = [at(day, GLUCOSE, value, "mmol/L") for value in (-7.5, -0.25, -3.0)]
        assert feature(spec, *events) == -0.25
    older = at("1969-12-31T23:59:59.999999", GLUCOSE, 900.0, "mmol/L")
    assert feature(spec, older, at("1970-01-01", GLUCOSE, -900.0, "mmol/L")) == -900.0


def test_descendants_in_the_hierarchy_mean_the_same() -> None:
    spec = _spec("any", None, "statin", codes=("<<RxNorm//83367",))
    events = pa.Table.from_pylist([at("2020-01-01", "RxNorm//617310")], schema=EVENTS)
    links = pa.table({"code": ["RxNorm//617310"], "ancestor": ["RxNorm//83367"]})
    index, catalogue = Index.at([1], "2020-03-01"), Catalogue((spec,))
    assert build(index, Record.in_memory(events, ancestors=links), catalogue=catalogue).values[0, 0] == 1
    assert build(index, Record.in_memory(events), catalogue=catalogue).values[0, 0] == 0


def test_the_vocabulary_is_what_enough_rows_have_had() -> None:
    events = [at("2020-01-01", CONDITION) | {"subject_id": subject} for subject in range(10)]
    events += [at("2020-01-01", DRUG) | {"subject_id": subject} for subject in range(4)]
    events += [at("2021-01-01", GLUCOSE) | {"subject_id": subject} for subject in range(10)]
    index = Index.at(np.arange(10), "2020-03-01")
    learned = learn_vocabulary(index, record(events), catalogue=Catalogue((), code_prevalence=0.5))
    assert learned.vocabulary == (CONDITION,)
    assert Catalogue.from_json(learned.to_json()) == learned


def test_an_empty_index_and_an_empty_record_give_empty_frames() -> None:
    nobody = Index.at(np.empty(0, dtype=np.int64), np.empty(0, dtype="datetime64[us]"))
    assert build(nobody, record([]), catalogue=CODED).values.shape == (0, len(SPECS))
    alone: Mapping[str, float] = dict(
        zip(CODED.names, build(INDEX, record([]), catalogue=CODED).values[0].tolist(), strict=True)
    )
    assert alone["diabetes_any_None"] == 0
    assert math.isnan(alone["glucose_latest_None"])
