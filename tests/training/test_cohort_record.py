"""Clinical rules of the cohort as drawn tables of events."""

import json
from datetime import datetime
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.record.record import Record
from features.record.schema import EVENTS
from features.record.tells import TELLS_FILE, Tells
from training.cohort.record import Selected, select
from training.study import Study

STUDY = {
    "name": "small",
    "population": {"index": "2010-01-01", "age_years": [40, 79], "history_days": 365, "exclude": ["ICD10CM//I50.9"]},
    "outcome": {"codes": "ICD10CM//I21.9", "horizons_days": [365]},
}
ENROLLED = [(1, "1950-06-01", "MEDS_BIRTH"), (1, "2005-01-01", "OBSERVATION_PERIOD//START"),
            (1, "2020-01-01", "OBSERVATION_PERIOD//END")]  # fmt: skip


def record(*rows: tuple[int, str, str]) -> Record:
    times = [datetime.fromisoformat(time) for _, time, _ in rows]
    table = {
        "subject_id": [row[0] for row in rows],
        "time": times,
        "code": [row[2] for row in rows],
        "numeric_value": [None] * len(rows),
        "text_value": [None] * len(rows),
        "available_time": times,
        "unit": [None] * len(rows),
    }
    return Record.in_memory(pa.table(table, schema=EVENTS))


def selected(*rows: tuple[int, str, str], **changes: dict[str, object]) -> Selected:
    study = {**STUDY, **{k: {**STUDY[k], **v} for k, v in changes.items()}}  # type: ignore[dict-item]
    return select(Study.model_validate(study), Path(), record=record(*rows), backend=ibis.duckdb.connect())


def others() -> list[tuple[int, str, str]]:
    """Somebody who is always in the cohort, so that it is never empty."""
    return [(9, time, code) for _, time, code in ENROLLED]


def result(*rows: tuple[int, str, str], **changes: dict[str, object]) -> tuple[float, int] | None:
    """Days and kind of what happened to person 1 (0 censored, 1 event, 2 competing); None: not in the cohort."""
    found = selected(*ENROLLED, *rows, *others(), **changes)
    mine = np.flatnonzero(found.subject_ids == 1)
    if len(mine) == 0:
        return None
    return float(found.outcome.time_days[mine[0]]), int(found.outcome.event[mine[0]])


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (365.5, 0)),  # free of the event throughout: known beyond the horizon
        ([(1, "2010-03-02", "ICD10CM//I21.9")], (60.0, 1)),
        ([(1, "2010-03-02", "ICD10CM//I21.9"), (1, "2010-02-01", "MEDS_DEATH")], (31.0, 2)),
        ([(1, "2010-02-01", "ICD10CM//I21.9"), (1, "2010-02-01", "MEDS_DEATH")], (31.0, 1)),  # it was the outcome
        # a death with a date only, and the outcome at noon on that day: the outcome came first
        ([(1, "2010-02-01T12:00", "ICD10CM//I21.9"), (1, "2010-02-01", "MEDS_DEATH")], (31.5, 1)),
        ([(1, "2010-02-01", "ICD10CM//I21.9"), (1, "2010-02-01T12:00", "MEDS_DEATH")], (31.0, 1)),
        ([(1, "2010-02-01T12:00", "ICD10CM//I21.9"), (1, "2010-02-01T06:00", "MEDS_DEATH")], (31.25, 2)),  # both known
        ([(1, "2010-02-02T12:00", "ICD10CM//I21.9"), (1, "2010-02-01", "MEDS_DEATH")], (31.0, 2)),  # another day
        ([(1, "2011-06-01", "ICD10CM//I21.9")], (365.5, 0)),  # after the horizon: nothing of it is learned
        ([(1, "2009-12-31", "ICD10CM//I21.9")], None),  # had it before
        ([(1, "2010-01-01", "ICD10CM//I21.9")], None),  # on the index day itself: not predicted, known
        ([(1, "2009-06-01", "ICD10CM//I50.9")], None),  # excluded
        ([(1, "2010-06-01", "ICD10CM//I50.9")], (365.5, 0)),  # excluded conditions count before the index only
        ([(1, "2009-06-01", "MEDS_DEATH")], None),
    ],
)
def test_what_happens_first_decides(rows: list[tuple[int, str, str]], expected: tuple[float, int] | None) -> None:
    assert result(*rows) == expected


def test_leaving_the_plan_censors_and_a_death_on_the_last_day_is_a_death() -> None:
    early = [row for row in ENROLLED if "END" not in row[2]] + [(1, "2010-04-11", "OBSERVATION_PERIOD//END")]
    assert _alone(early) == (101.0, 0)
    assert _alone([*early, (1, "2010-04-11", "MEDS_DEATH")]) == (100.0, 2)
    assert _alone([*early, (1, "2010-05-11", "ICD10CM//I21.9")]) == (101.0, 0)  # nobody would have seen it


def _alone(rows: list[tuple[int, str, str]]) -> tuple[float, int]:
    found = selected(*rows)
    return float(found.outcome.time_days[0]), int(found.outcome.event[0])


@pytest.mark.parametrize(
    ("birth", "start", "inside"),
    [
        ("1950-06-01", "2009-01-01", True),
        ("1950-06-01", "2009-01-02", False),  # 364 days of history
        ("1970-01-01", "2005-01-01", True),  # 40 today
        ("1970-01-05", "2005-01-01", False),  # 39
        ("1969-12-01", "2005-01-01", True),
        ("1930-02-01", "2005-01-01", True),  # 79
        ("1929-12-01", "2005-01-01", False),  # 80
    ],
)
def test_age_and_history_bound_the_population(birth: str, start: str, inside: bool) -> None:
    rows = [
        (1, birth, "MEDS_BIRTH"),
        (1, start, "OBSERVATION_PERIOD//START"),
        (1, "2020-01-01", "OBSERVATION_PERIOD//END"),
    ]
    found = selected(*rows, *others())
    assert (1 in found.subject_ids) == inside


def test_a_first_exposure_is_the_first_and_only_within_enrolment() -> None:
    rows = [*ENROLLED, (1, "2008-05-05", "RxNorm//1191"), (1, "2009-05-05", "RxNorm//1191"), *others()]
    found = selected(*rows, population={"index": "first:RxNorm//1191"})
    assert found.as_of.astype("datetime64[D]").astype(str).tolist() == ["2008-05-05"]


def test_landmarks_of_a_person_stand_together_and_each_sees_what_comes_after_it() -> None:
    rows = [*ENROLLED, (1, "2010-03-02", "ICD10CM//I21.9")]
    found = selected(*rows, population={"index": "yearly", "index_years": [2008, 2009, 2010, 2011]})
    assert found.as_of.astype("datetime64[Y]").astype(str).tolist() == ["2008", "2009", "2010"]
    assert found.outcome.event.tolist() == [0, 0, 1]


def test_a_recurrent_outcome_with_no_washout_may_have_happened_before() -> None:
    assert result((1, "2009-06-01", "ICD10CM//I21.9"), outcome={"washout_days": 0}) == (365.5, 0)
    assert result((1, "2009-06-01", "ICD10CM//I21.9"), outcome={"washout_days": 365}) is None
    assert result((1, "2008-06-01", "ICD10CM//I21.9"), outcome={"washout_days": 365}) == (365.5, 0)


def test_attrition_counts_every_step() -> None:
    found = selected(*ENROLLED, (1, "2009-06-01", "ICD10CM//I50.9"), *others())
    left = {step.step: step.people for step in found.attrition}
    assert left["enrolled at the index date"] == 2
    assert left["without an excluded condition before"] == 1


@pytest.mark.parametrize(
    ("bounds", "people"),
    [
        ({}, [1, 2, 3]),
        ({"index_from": "2008-01-01"}, [2, 3]),
        ({"index_until": "2008-01-01"}, [1, 2]),  # ends included
        ({"index_from": "2008-01-01", "index_until": "2009-12-31"}, [2]),
    ],
)
@pytest.mark.parametrize("on_disk", [False, True])
def test_an_index_at_a_first_event_lies_within_its_bounds(
    tmp_path: Path, bounds: dict[str, str], people: list[int], on_disk: bool
) -> None:
    enrolled = [(person, time, code) for person in (1, 2, 3) for _, time, code in ENROLLED]
    firsts = [(1, "2007-03-01", "X"), (1, "2008-06-01", "X"), (2, "2008-01-01", "X"), (3, "2010-01-01", "X")]
    held = record(*enrolled, *firsts)
    if on_disk:
        (tmp_path / "data").mkdir()
        pq.write_table(held.tables["events"], tmp_path / "data" / "0.parquet")
        (tmp_path / "metadata").mkdir()
        (tmp_path / TELLS_FILE).write_text(json.dumps(Tells.all().to_json()))
        held = Record.open(tmp_path)
    population = {"index": "first:X", "age_years": [40, 79], "history_days": 365, **bounds}
    study = Study.model_validate({**STUDY, "population": population})
    assert select(study, Path(), record=held, backend=ibis.duckdb.connect()).subject_ids.tolist() == people


def test_what_excludes_counts_from_when_it_happened_although_it_was_known_later() -> None:
    rows = [*ENROLLED, *others(), (1, "2009-12-20", "ICD10CM//I21.9")]
    events = record(*rows).tables["events"]
    known = [datetime.fromisoformat("2010-02-01") if code == "ICD10CM//I21.9" else time
             for code, time in zip(events["code"].to_pylist(), events["time"].to_pylist(), strict=True)]  # fmt: skip
    late = events.set_column(5, EVENTS.field("available_time"), pa.array(known, pa.timestamp("us")))
    found = select(Study.model_validate(STUDY), Path(), record=Record.in_memory(late), backend=ibis.duckdb.connect())
    assert found.subject_ids.tolist() == [9]


def test_two_code_lists_of_one_file_name_are_refused() -> None:
    population = {**STUDY["population"], "exclude": ["a/x.csv", "b/x.csv"]}  # type: ignore[dict-item]
    study = Study.model_validate({**STUDY, "population": population})
    with pytest.raises(PresageError, match=r"a/x\.csv: expected a file name that no other code list"):
        select(study, Path(), record=record(*ENROLLED), backend=ibis.duckdb.connect())


def test_a_landmark_can_be_followed_to_the_records_last_day_whenever_its_own_person_left() -> None:
    #   person 1 leaves in 2012, the record's last day is 2020-01-01
    mine = [(1, "1950-06-01", "MEDS_BIRTH"), (1, "2005-01-01", "OBSERVATION_PERIOD//START"),
            (1, "2012-07-01", "OBSERVATION_PERIOD//END")]  # fmt: skip
    outcome = selected(*mine, *others()).outcome
    whole = (np.datetime64("2020-01-02") - np.datetime64("2010-01-01")).astype(int)
    assert outcome.followable_days is not None
    assert outcome.followable_days.tolist() == [whole, whole]
