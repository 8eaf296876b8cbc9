from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from training.cohort.outcome import Outcome
from training.evaluation import Ask, by_group, largest_gap
from training.evaluation.chance import aucs, gap_by_chance

Floats = npt.NDArray[np.float64]
NONE = math.nan


def drawn(rng: np.random.Generator, groups: int, size: int, *, unfair: bool = False) -> tuple[Outcome, Floats]:
    score = rng.normal(size=groups * size)
    event = rng.random(groups * size) < 1 / (1 + np.exp(1.5 - score))
    risk = 1 / (1 + np.exp(1.5 - score))
    if unfair:
        risk[:size] = rng.permutation(risk[:size])
    return Outcome(np.full(len(risk), np.nan), event.astype(np.int8), ()), risk


def gap_of(outcome: Outcome, risk: Floats, code: npt.NDArray[np.int64]) -> float:
    found = by_group(
        outcome,
        risk,
        groups=code.astype(str),
        horizon_days=NONE,
        persons=np.arange(len(risk)),
        rng=np.random.default_rng(1),
        n_boot=0,
        ask=Ask(smooth=False),
        min_people=50,
        min_events=1,
    )
    gap = largest_gap(found, "auc")
    assert gap is not None
    return gap.difference.value


def test_without_a_difference_the_expected_gap_is_the_mean_gap_over_worlds() -> None:
    """Ten groups of a hundred: .19, where the true gap is nil."""
    rng = np.random.default_rng(0)
    code = np.repeat(np.arange(10), 100)
    seen, expected, beyond = [], [], []
    for _ in range(40):
        outcome, risk = drawn(rng, 10, 100)
        gap = gap_of(outcome, risk, code)
        chance = gap_by_chance(
            outcome, risk, groups=code, horizon_days=NONE, persons=np.arange(1000), rng=rng, shuffles=60
        )
        seen.append(gap)
        expected.append(chance.expected)
        beyond.append(gap > chance.high)
    assert np.mean(expected) == pytest.approx(np.mean(seen), abs=0.02)
    assert np.mean(seen) > 0.15
    assert np.mean(beyond) < 0.2


def test_a_group_that_the_model_is_useless_for_is_beyond_chance() -> None:
    rng = np.random.default_rng(3)
    outcome, risk = drawn(rng, 3, 400, unfair=True)
    code = np.repeat(np.arange(3), 400)
    chance = gap_by_chance(outcome, risk, groups=code, horizon_days=NONE, persons=np.arange(1200), rng=rng)
    assert gap_of(outcome, risk, code) > chance.high > chance.expected > 0


def test_a_person_seen_ten_times_tells_no_more_than_once() -> None:
    rng = np.random.default_rng(4)
    outcome, risk = drawn(rng, 4, 100)
    code = np.repeat(np.arange(4), 100)
    rows = np.repeat(np.arange(400), 10)
    once, ten = (
        gap_by_chance(
            outcome.take(taken),
            risk[taken],
            groups=code[taken],
            horizon_days=NONE,
            persons=taken,
            rng=np.random.default_rng(1),
        )
        for taken in (np.arange(400), rows)
    )
    assert ten == once


def test_the_area_of_each_group_is_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    risk, label = rng.random(300).round(2), rng.random(300) < 0.4
    weight, code = rng.uniform(0.5, 2, 300), rng.integers(0, 3, 300)
    rank = np.unique(risk, return_inverse=True)[1].astype(np.int64)
    found = aucs(np.argsort(-rank, kind="stable"), rank, label, weight, code, 4)
    for g in range(3):
        own = code == g
        assert found[g] == pytest.approx(roc_auc_score(label[own], risk[own], sample_weight=weight[own]))
    assert np.isnan(found[3])
