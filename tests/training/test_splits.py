from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.cohort.splits import make_splits
from training.study import Validation

YEAR = 365


def cohort(persons: list[int], years: list[int] | None = None, *, horizon: float = 2 * YEAR, seed: int = 0) -> Cohort:
    n = len(persons)
    moments = np.full(n, np.datetime64("NaT", "us"))
    if years is not None:
        moments = np.array([f"{year}-01-01" for year in years], dtype="datetime64[us]")
    rng = np.random.default_rng(seed)
    frame = FeatureFrame(np.array(persons, dtype=np.int64), moments, ("x",), np.zeros((n, 1), dtype=np.float32))
    event = (rng.random(n) < 0.6).astype(np.int8)
    empty = np.full(n, "", dtype=object)
    return Cohort(
        frame,
        Outcome(rng.uniform(1, horizon, n), event, (horizon,)),
        np.array([str(person) for person in persons], dtype=object),
        (Block("clinical", ("x",), genomic=False),),
        np.zeros(n, dtype=np.bool_),
        empty,
        {},
        {"site": np.array([["a", "b", "c"][person % 3] for person in persons], dtype=object)},
    )


@settings(max_examples=20, deadline=None)
@given(people=st.integers(40, 90), folds=st.integers(2, 5), seed=st.integers(0, 1000))
def test_nobody_is_on_both_sides_and_every_row_is_tested_once(people: int, folds: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = cohort(rng.integers(0, people, 300).tolist(), seed=seed)
    scheme = make_splits(found, Validation(folds=folds), folder=Path(), rng=rng)
    tested = np.concatenate([split.test for split in scheme.splits])
    assert sorted(tested.tolist()) == list(range(300))
    for split in scheme.splits:
        assert not set(found.persons[split.train]) & set(found.persons[split.test])


@settings(max_examples=20, deadline=None)
@given(people=st.integers(60, 200), seed=st.integers(0, 1000))
def test_every_training_window_closes_before_the_first_test_landmark(people: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = cohort(rng.integers(0, people, 500).tolist(), rng.integers(2000, 2013, 500).tolist(), seed=seed)
    validation = Validation.model_validate({"test_from": "2008-01-01"})
    split = make_splits(found, validation, folder=Path(), rng=rng).splits[0]
    closes = found.as_of[split.train] + np.timedelta64(2 * YEAR, "D")
    assert closes.max() <= found.as_of[split.test].min()
    assert not set(found.persons[split.train]) & set(found.persons[split.test])


def test_sites_are_left_out_one_at_a_time() -> None:
    found = cohort(list(range(90)))
    scheme = make_splits(found, Validation(site_column="site"), folder=Path(), rng=np.random.default_rng(0))
    assert [split.name for split in scheme.splits] == ["site a", "site b", "site c"]
    assert set(found.columns["site"][scheme.splits[0].test]) == {"a"}


def test_folds_of_a_file_are_taken_as_they_are(tmp_path: Path) -> None:
    found = cohort(list(range(1, 61)))
    lines = [f"{'test' if row % 2 == k else 'train'},{k + 1},{row}" for k in (0, 1) for row in range(1, 61)]
    (tmp_path / "folds.csv").write_text("set,iteration,row_id\n" + "\n".join(lines) + "\n")
    scheme = make_splits(found, Validation(fold_file="folds.csv"), folder=tmp_path, rng=np.random.default_rng(0))
    assert [found.ids[split.test].tolist()[:2] for split in scheme.splits] == [["2", "4"], ["1", "3"]]


def test_a_fold_that_puts_one_person_on_both_sides_is_refused() -> None:
    found = cohort([0, 1, *range(60)])  # persons 0 and 1 have a second row, whose site differs by nothing but its fold
    columns = {"fold": np.array(["a", "b"] * 31, dtype=object)}
    columns["fold"][0] = "b"
    with pytest.raises(PresageError, match="expected each person on one side, found somebody on both sides"):
        make_splits(
            replace(found, columns=columns), Validation(fold_column="fold"), folder=Path(), rng=np.random.default_rng(0)
        )


def test_too_few_events_to_learn_from_is_said() -> None:
    found = cohort(list(range(12)))
    with pytest.raises(PresageError, match="events to learn from"):
        make_splits(found, Validation(folds=3), folder=Path(), rng=np.random.default_rng(0))


@settings(max_examples=20, deadline=None)
@given(share_lost=st.floats(0.1, 0.9), seed=st.integers(0, 1000))
def test_whom_one_learns_from_does_not_depend_on_who_reaches_the_test(share_lost: float, seed: int) -> None:
    """Person   2004   2010
    1       x      x     drawn to a side
    2       x      -     died in between: drawn all the same, not learned from for certain."""
    rng = np.random.default_rng(seed)
    people = 200
    reaches = rng.random(people) >= share_lost
    persons = [*range(people), *np.flatnonzero(reaches).tolist()]
    years = [2004] * people + [2010] * int(reaches.sum())
    validation = Validation.model_validate({"test_from": "2008-01-01", "test_share": 0.5})
    some, everybody = (
        make_splits(found, validation, folder=Path(), rng=np.random.default_rng(seed + 1)).splits[0]
        for found in (cohort(persons, years), cohort([*range(people)] * 2, [2004] * people + [2010] * people))
    )
    assert set(some.train) == set(everybody.train)
