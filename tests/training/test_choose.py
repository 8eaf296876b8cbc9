from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from training.cohort import read_flat
from training.fitted import StackFit
from training.heldout import Plan, as_members, candidates_of, hold_out
from training.heldout.candidates import HeldOut, Inner
from training.heldout.choice import choose, gain
from training.study import Study


def held(name: str, inner: Inner) -> HeldOut:
    none = np.empty((0, 1))
    return HeldOut(name, np.empty(0, dtype=np.int64), np.empty(0, dtype=object), none, none, (inner,), ())


def two(rng: np.random.Generator, people: int, rows: int, *, better: float) -> tuple[Inner, Inner]:
    """Two models of `people` with so many landmarks each, whose fate and whose errors are their own."""
    persons = np.repeat(np.arange(people), rows)
    risk = np.repeat(rng.uniform(0.05, 0.3, people), rows)
    event = np.repeat(rng.random(people), rows) < risk
    first, second = (np.clip(risk + np.repeat(rng.normal(0, sd, people), rows), 0, 1) for sd in (0.05, better))
    ones = np.ones(len(persons))
    return Inner((event - first) ** 2, ones, persons), Inner((event - second) ** 2, ones, persons)


def test_the_standard_error_that_chooses_is_that_over_people() -> None:
    """Against the spread over repetitions; with rows taken for independent it was 3.3 times too small."""
    rng = np.random.default_rng(0)
    found = np.array([gain(*two(rng, 300, 10, better=0.05)) for _ in range(300)])
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.12)


def test_ten_landmarks_of_a_person_choose_no_other_model_than_one() -> None:
    """Of two alike the simpler is nearly always chosen, and as often, however often people are seen."""
    chosen = {}
    for rows in (1, 10):
        rng = np.random.default_rng(1)
        pairs = [two(rng, 200, rows, better=0.05) for _ in range(150)]
        chosen[rows] = sum(choose([held("simple", a), held("other", b)]).candidate == "simple" for a, b in pairs)
    assert chosen[1] == chosen[10]
    assert chosen[10] > 0.75 * 150


def test_a_model_that_is_better_for_most_people_is_chosen() -> None:
    rng = np.random.default_rng(2)
    a, b = two(rng, 2000, 3, better=0.3)
    assert choose([held("worse", b), held("better", a)]).candidate == "better"


def test_a_noisy_candidate_does_not_stand_where_a_better_one_before_it_was_passed_over() -> None:
    """Errors drawn by hand: the second differs from the third by chance alone, the first surely, and is better."""
    ones, persons = np.ones(400), np.arange(400)
    noise = np.where(persons % 2, 1.0, -1.0)
    first = Inner(0.20 + 0.05 * noise, ones, persons)
    noisy = Inner(0.21 + 0.90 * noise[::-1], ones, persons)
    best = Inner(0.19 + 0.05 * noise, ones, persons)
    assert choose([held("first", first), held("noisy", noisy), held("best", best)]).candidate == "best"
    assert choose([held("noisy", noisy), held("best", best)]).candidate == "noisy"


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 6))
def test_nobody_better_stands_before_the_chosen(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    ones, persons = np.ones(60), np.arange(60)
    levels, spreads = rng.uniform(0.1, 0.3, size), rng.uniform(0.0, 1.0, size)
    every = [held(str(k), Inner(levels[k] + spreads[k] * rng.normal(size=60), ones, persons)) for k in range(size)]
    chosen = choose(every)
    before = every[: [found.candidate for found in every].index(chosen.candidate)]
    assert all(found.inner_brier >= chosen.inner_brier for found in before)


def test_a_member_of_the_stack_is_not_fitted_twice() -> None:
    """Its model is the one that the stack has, and its calibrated risks are what the same model gives by itself."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=240)
    table = pd.DataFrame({"x": x, "died": (rng.random(240) < expit(x)).astype(int)})
    study = Study(name="two", source={}, outcome={"event": "died"}, validation={"folds": 2})
    plan = Plan.of(study, read_flat(study, study.folder, handed=table), seed=1)
    assert candidates_of(study, plan.cohort) == ("stack", "logistic", "xgboost")
    stack = hold_out(plan, "stack", advance=lambda _: None)
    kept = as_members([stack], "logistic")
    assert kept is not None
    member = hold_out(plan, "logistic", advance=lambda _: None, learner=kept)
    for pair, whole in zip(member.pairs, stack.pairs, strict=True):
        assert isinstance(whole.clinical.fitted, StackFit)
        assert pair.clinical.fitted is whole.clinical.fitted.members[0]
    alone = hold_out(plan, "logistic", advance=lambda _: None)
    assert np.corrcoef(member.clinical[:, 0], alone.clinical[:, 0])[0, 1] > 0.99
    assert as_members([stack], "cox") is None
