"""The leakage guard: each of its proofs finds the leak that was planted for it, and nothing in a clean study."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

import features.build
import features.engine.expression
from features.errors import PresageError
from features.frame import FeatureFrame
from features.leakage import CanaryProof
from features.record.record import Record
from features.record.schema import EVENTS
from features.record.tells import TELLS_FILE, Tells
from training.cohort.features import read_record
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.cohort.splits import Scheme, Split, make_splits
from training.heldout.plan import Plan
from training.leakage import Leakage, check, prove, suspicious_features
from training.study import Validation, read_study

N, INDEX, DAY = 400, np.datetime64("2015-01-01", "us"), np.timedelta64(1, "D")
STUDY = """
name = "small"
title = "An event within a year"

[population]
index = "2015-01-01"
age_years = [40, 79]
history_days = 365

[outcome]
codes = "ICD10CM//I21.9"
horizons_days = [365]

[features]
families = ["measurements"]
only = ["age_years", "hba1c_percent_latest_1825d"]

[models]
candidates = ["cox"]

[validation]
folds = 2
bootstraps = 0
"""


def write(folder: Path, *, days_before: float, known_after: float = 0.0) -> tuple[Path, Path]:
    """A study and its record: HbA1c is higher in those who fall ill; it was measured so long before the index."""
    rng = np.random.default_rng(4)
    ill = rng.random(N) < 0.3
    value = np.where(ill, 7.5, 6.0) + rng.normal(0, 1, N)
    measured = INDEX - np.timedelta64(int(days_before * 86_400), "s")
    birth = np.datetime64("1955-01-01", "us") + rng.integers(0, 3650, N) * DAY
    known = measured + np.timedelta64(int(known_after * 86_400), "s")
    rows = [
        *((person, birth[person], "MEDS_BIRTH", None, birth[person]) for person in range(N)),
        *((person, INDEX - 2000 * DAY, "OBSERVATION_PERIOD//START", None, INDEX - 2000 * DAY) for person in range(N)),
        *((person, INDEX + 2000 * DAY, "OBSERVATION_PERIOD//END", None, INDEX + 2000 * DAY) for person in range(N)),
        *((person, measured, "LOINC//4548-4", value[person], known) for person in range(N)),
        *((person, INDEX + 100 * DAY, "ICD10CM//I21.9", None, INDEX + 100 * DAY) for person in np.flatnonzero(ill)),
    ]
    subject, time, code, number, available = zip(*sorted(rows, key=lambda row: (row[0], row[1])), strict=True)
    table = pa.table(
        {
            "subject_id": pa.array([int(one) for one in subject]),
            "time": pa.array(np.array(time, "datetime64[us]")),
            "code": pa.array(code),
            "numeric_value": pa.array(number, pa.float32()),
            "text_value": pa.nulls(len(rows), pa.large_string()),
            "available_time": pa.array(np.array(available, "datetime64[us]")),
            "unit": pa.nulls(len(rows), pa.string()),
        },
        schema=EVENTS,
    )
    (folder / "record" / "data").mkdir(parents=True)
    pq.write_table(table, folder / "record" / "data" / "0.parquet")
    (folder / "record" / "metadata").mkdir()
    (folder / "record" / TELLS_FILE).write_text(json.dumps(Tells.all().to_json()))
    (folder / "small.toml").write_text(STUDY)
    return folder / "small.toml", folder / "record"


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write(tmp_path_factory.mktemp("clean"), days_before=400)


def proved(paths: tuple[Path, Path], **changes: object) -> Leakage:
    study = read_study(paths[0])
    cohort, _ = read_record(study, paths[0].parent, record_dir=paths[1], truth=None, progress=features.build.silent)
    plan = Plan.of(study, cohort, seed=1)
    return replace(prove(plan, record=Record.open(paths[1])), **changes)  # type: ignore[arg-type]


def test_in_a_clean_study_nothing_is_found(clean: tuple[Path, Path]) -> None:
    found = check(clean[0], record_dir=clean[1])
    assert found.passed
    assert found.falls == {}
    assert (found.canaries.moved, found.people_in_two_splits, dict(found.suspicious)) == ((), 0, {})
    assert found.canaries.rows == 100
    assert (found.canaries.proven, found.canaries.unproven) == (2, ())  # every feature could have moved
    assert found.auc is not None
    assert found.auc > 0.75  # sd 1, shift 1.5: about 0.86
    assert found.auc_earlier is not None
    assert list(found.auc_earlier) == [1, 30]
    assert found.proof.passed is True


@pytest.mark.parametrize(("days_before", "falling"), [(0.5, {1, 30}), (10, {30}), (29.5, {30}), (31, set())])
def test_a_result_from_just_before_the_index_is_betrayed_by_an_earlier_one(
    tmp_path: Path, days_before: float, falling: set[int]
) -> None:
    found = checked(write(tmp_path, days_before=days_before))
    assert set(found.falls) == falling
    assert found.passed is (not falling)


def test_what_became_known_late_is_no_leak_before_it_was_known(tmp_path: Path) -> None:
    found = checked(write(tmp_path, days_before=400, known_after=390))
    assert set(found.falls) == {30}


def checked(paths: tuple[Path, Path]) -> Leakage:
    return check(paths[0], record_dir=paths[1])


@pytest.fixture
def leaky_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that sees what becomes available at the moment itself."""

    def seen(events: ir.Table, index: ir.Table, *columns: str) -> ir.Table:
        joined = events.inner_join(index, "subject_id")
        moments = (name for name in index.columns if name.startswith("from_"))
        return joined.filter(joined.known <= joined.as_of).select(*columns, "row", "time", "as_of_day", *moments)

    monkeypatch.setattr(features.engine.expression, "seen", seen)


@pytest.mark.usefixtures("leaky_engine")
def test_an_engine_that_looks_a_moment_too_far_moves_with_the_canaries(clean: tuple[Path, Path]) -> None:
    found = proved(clean)
    assert "hba1c_percent_latest_1825d" in found.canaries.moved
    assert not found.passed


def test_a_feature_that_knows_the_outcome_is_named_and_left_to_a_person(clean: tuple[Path, Path]) -> None:
    rng = np.random.default_rng(3)
    event = (rng.random(300) < 0.4).astype(np.int8)
    columns = {
        "leak": event + rng.normal(0, 0.37, 300),  # about 0.97
        "strong_risk_factor": event + rng.normal(0, 0.52, 300),  # about 0.91
        "protective_leak": -event + rng.normal(0, 0.2, 300),
        "leak_where_known": np.where(rng.random(300) < 0.5, np.nan, event),
        "risk_factor": event + rng.normal(0, 1, 300),
        "noise": rng.normal(0, 1, 300),
    }
    found = suspicious_features(a_cohort(columns, event))
    assert set(found) == {"leak", "protective_leak", "leak_where_known"}
    assert all(0.95 < auc <= 1 for auc in found.values())
    assert found["leak"] < 0.99
    assert found["leak_where_known"] == 1.0
    told = proved(clean, suspicious=found)
    assert told.passed  # a strong risk factor is possible
    assert re.search("3 features with a single-variable AUC above 0.95", told.sentence)


@pytest.mark.parametrize(("events", "named"), [(19, False), (20, True)])
def test_few_events_prove_nothing(events: int, named: bool) -> None:
    event = np.zeros(300, dtype=np.int8)
    event[:events] = 1
    assert bool(suspicious_features(a_cohort({"leak": event.astype(np.float64)}, event))) is named


def test_a_person_in_two_splits_fails_the_guard(clean: tuple[Path, Path]) -> None:
    study = read_study(clean[0])
    cohort, _ = read_record(study, clean[0].parent, record_dir=clean[1], truth=None, progress=features.build.silent)
    rows = np.arange(len(cohort.frame))
    torn = Scheme("torn", (Split("1", rows[:210], rows[200:]), Split("2", rows[300:], rows[:303])))
    found = prove(Plan(study, cohort, torn, (None, None), 1), record=Record.open(clean[1]))
    assert found.people_in_two_splits == 13  # persons 200 to 209 in the one, 300 to 302 in the other
    assert not found.passed


def test_people_with_several_rows_are_one_person() -> None:
    event = np.tile(np.array([0, 1], dtype=np.int8), 100)
    cohort = a_cohort({"x": np.arange(200.0)}, event, people=np.repeat(np.arange(40), 5))
    scheme = make_splits(cohort, Validation(folds=2), folder=Path(), rng=np.random.default_rng(0))
    for split in scheme.splits:
        assert not set(cohort.persons[split.train]) & set(cohort.persons[split.test])


def test_the_bounds_of_a_fall_are_the_published_ones() -> None:
    clean = CanaryProof(10, 10, (), 2, ())
    for days, bound in {1: 0.02, 30: 0.05}.items():
        at = Leakage(clean, 0, {}, auc=0.8, auc_earlier={days: 0.8 - bound + 1e-9})
        assert at.passed
        beyond = Leakage(clean, 0, {}, auc=0.8, auc_earlier={days: 0.8 - bound - 1e-3})
        assert not beyond.passed
    assert not Leakage(CanaryProof(10, 0, (), 0, ("age_years",)), 0, {}).passed  # no canary sang: nothing was proved


def test_a_flat_table_has_no_times_to_prove_anything_with(tmp_path: Path) -> None:
    (tmp_path / "flat.toml").write_text(
        'name = "flat"\n[source]\ntable = "flat.csv"\nid = "id"\n[outcome]\nevent = "y"\n'
        '[models]\ncandidates = ["cox"]\n'
    )
    with pytest.raises(PresageError, match="expected a study of a record, found one of a flat table"):
        check(tmp_path / "flat.toml", record_dir=tmp_path)


def a_cohort(columns: dict[str, np.ndarray], event: np.ndarray, *, people: np.ndarray | None = None) -> Cohort:
    n = len(event)
    who = np.arange(n) if people is None else people
    values = np.column_stack(list(columns.values())).astype(np.float32)
    frame = FeatureFrame(who.astype(np.int64), np.full(n, INDEX), tuple(columns), values)
    return Cohort(
        frame,
        Outcome(np.where(event == 1, 100.0, 365.5), event, (365.0,)),
        who.astype(str).astype(object),
        (Block("clinical", tuple(columns), genomic=False),),
        np.zeros(n, dtype=np.bool_),
        np.full(n, "", dtype=object),
        {},
        {},
    )


def test_a_category_a_missingness_and_a_code_that_are_the_outcome_are_named_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    n = 1000
    event = (rng.random(n) < 0.2).astype(np.int8)
    levels = ("alive", "cath lab", "home", *(f"ward {i}" for i in range(n)))
    columns = {
        "discharge": np.where(event == 1, 1, rng.choice([0, 2], n)),  # by the order of its levels it says nothing
        "troponin": np.where(event == 1, rng.normal(5, 1, n), np.nan),  # measured in nobody else
        "ward": 3 + np.arange(n),  # everybody's own: says nothing of anybody else
        "age": rng.normal(60, 10, n),
    }
    counts = np.column_stack([event * rng.integers(1, 4, n), rng.integers(0, 2, n)])
    frame = FeatureFrame(
        np.arange(n),
        np.full(n, INDEX),
        tuple(columns),
        np.column_stack(list(columns.values())).astype(np.float32),
        {"discharge": levels, "ward": levels},
        sparse.csr_matrix(counts.astype(np.float32)),
        ("ICD10CM//I21.9@ever", "ICD10CM//I10@ever"),
    )
    empty = np.full(n, "", dtype=object)
    cohort = Cohort(
        frame, Outcome(np.full(n, np.nan), event, ()), empty, (Block("clinical", frame.names, genomic=False),),
        np.zeros(n, dtype=np.bool_), empty, {},
    )  # fmt: skip
    assert suspicious_features(cohort) == {
        "discharge": 1.0, "troponin (missing)": 1.0, "ICD10CM//I21.9@ever": 1.0
    }  # fmt: skip
