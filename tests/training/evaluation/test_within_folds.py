"""Pairs of people within a fold, and intervals over folds, against loops over pairs and folds."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from features.arrays import Floats, Ints
from training.cohort.outcome import COMPETING, EVENT, Outcome
from training.evaluation import Ask, Estimate, Folds, by_group, difference, evaluate
from training.evaluation.chance import aucs
from training.evaluation.folds import variance_factor

BOUNDED = ("auc", "auprc", "c_harrell", "c_horizon", "c_uno", "brier", "sensitivity", "specificity", "ppv", "flagged")


def people(seed: int, n: int = 60, *, competing: bool = True) -> tuple[Outcome, Floats, Ints]:
    """Times with ties, risks with ties, and a fold each."""
    rng = np.random.default_rng(seed)
    kinds = (0, EVENT, COMPETING) if competing else (0, EVENT)
    outcome = Outcome(np.ceil(rng.exponential(40, n)), rng.choice(kinds, n).astype(np.int8), (30.0,))
    return outcome, np.round(rng.random(n), 1), rng.integers(4, size=n)


def folds_of(split: Ints, *, learned_from: int = 100) -> Folds:
    names = np.array([str(k) for k in split], dtype=object)
    return Folds.of(names, np.arange(len(split)), learned_from=dict.fromkeys(names.tolist(), learned_from))


def pairs_of_harrell(outcome: Outcome, risk: Floats, fold: Ints, *, until: float) -> float:
    """Every two people of one fold, one after the other (Wolbers 2014 for who had a competing event)."""
    agree, total = 0.0, 0
    for i, j in itertools.permutations(range(len(risk)), 2):
        if fold[i] != fold[j] or outcome.event[i] != EVENT or outcome.time_days[i] > until:
            continue
        later = outcome.time_days[j] > outcome.time_days[i]
        same = outcome.time_days[j] == outcome.time_days[i] and outcome.event[j] != EVENT
        gone = outcome.event[j] == COMPETING and outcome.time_days[j] < outcome.time_days[i]
        if later or same or gone:
            total += 1
            agree += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return agree / total


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_a_concordance_compares_every_pair_of_a_fold_and_no_other(seed: int) -> None:
    outcome, risk, fold = people(seed)
    found = evaluate(
        outcome, risk, horizon_days=30.0, persons=np.arange(60), rng=np.random.default_rng(1), n_boot=0,
        ask=Ask(smooth=False), folds=folds_of(fold),
    )  # fmt: skip
    assert found["c_harrell"].value == pytest.approx(pairs_of_harrell(outcome, risk, fold, until=np.inf))
    assert found["c_horizon"].value == pytest.approx(pairs_of_harrell(outcome, risk, fold, until=30.0))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000))
def test_auc_counts_the_pairs_of_each_fold_and_auprc_its_events(seed: int) -> None:
    """scikit-learn in each fold: AUC weighted by pairs of a case and a control, average precision by cases."""
    rng = np.random.default_rng(seed)
    label, risk, fold = rng.random(80) < 0.3, np.round(rng.random(80), 1), rng.integers(3, size=80)
    both = [k for k in range(3) if 0 < label[fold == k].sum() < (fold == k).sum()]
    cases = np.array([label[fold == k].sum() for k in both])
    controls = np.array([(~label[fold == k]).sum() for k in both])
    area = [roc_auc_score(label[fold == k], risk[fold == k]) for k in both]
    precision = [average_precision_score(label[fold == k], risk[fold == k]) for k in both]
    outcome = Outcome(np.full(80, np.nan), label.astype(np.int8), ())
    found = evaluate(outcome, risk, horizon_days=np.nan, persons=np.arange(80), rng=rng, n_boot=0, folds=folds_of(fold))
    assert found["auc"].value == pytest.approx(np.average(area, weights=cases * controls))
    assert found["auprc"].value == pytest.approx(np.average(precision, weights=cases))


def test_the_order_of_folds_that_are_each_right_is_nobodys_business() -> None:
    """One model's risks are all above the other's: pooled pairs call that wrong, pairs within a fold do not."""
    label = np.array([True, False] * 20)
    fold = np.repeat([0, 1], 20)
    risk = np.where(label, 0.3, 0.2) + 0.5 * fold
    outcome = Outcome(np.full(40, np.nan), label.astype(np.int8), ())
    rng, persons = np.random.default_rng(0), np.arange(40)
    within = evaluate(outcome, risk, horizon_days=np.nan, persons=persons, rng=rng, n_boot=0, folds=folds_of(fold))
    pooled = evaluate(outcome, risk, horizon_days=np.nan, persons=persons, rng=rng, n_boot=0)
    assert (within["auc"].value, pooled["auc"].value) == (1.0, 0.75)


def test_a_group_is_compared_within_folds_too() -> None:
    rng = np.random.default_rng(5)
    label, risk, fold, group = rng.random(300) < 0.4, rng.random(300), rng.integers(3, size=300), np.arange(300) % 2
    outcome = Outcome(np.full(300, np.nan), label.astype(np.int8), ())
    names = np.array(["a", "b"], dtype=object)[group]
    found = by_group(
        outcome, risk, groups=names, horizon_days=np.nan, persons=np.arange(300), rng=rng, n_boot=0, min_people=11,
        folds=folds_of(fold),
    )  # fmt: skip
    rank = np.unique(risk, return_inverse=True)[1].astype(np.int64)
    folds = folds_of(fold)
    quick = aucs(np.argsort(-rank, kind="stable"), rank, label, np.ones(300), group, 2, folds=folds)
    for k, name in enumerate(("a", "b")):
        agree = total = 0.0
        for i, j in itertools.product(np.flatnonzero(label & (group == k)), np.flatnonzero(~label & (group == k))):
            if fold[i] == fold[j]:
                total += 1
                agree += float(risk[i] > risk[j])
        assert found[name].metrics["auc"].value == pytest.approx(agree / total)
        assert quick[k] == pytest.approx(agree / total)


def test_repeats_are_passes_in_which_nobody_is_tested_twice() -> None:
    persons = np.concatenate([np.arange(10), np.arange(10)])
    names = np.array(["1.1"] * 5 + ["1.2"] * 5 + ["2.1"] * 5 + ["2.2"] * 5, dtype=object)
    found = Folds.of(names, persons, learned_from=dict.fromkeys(("1.1", "1.2", "2.1", "2.2"), 5))
    assert found.pass_of.tolist() == [0, 0, 1, 1]
    assert [sorted(persons[rows].tolist()) for rows in found.passes] == [list(range(10))] * 2


@pytest.mark.parametrize(("splits", "test", "train"), [(5, 30, 120), (2, 50, 50), (10, 20, 180)])
def test_one_pass_is_stretched_as_nadeau_and_bengio_say(splits: int, test: int, train: int) -> None:
    """Their variance of a mean of J results, from one result's variance s2 and their correlation, over s2 / J."""
    correlation = test / (test + train)
    theirs = (1 + (splits - 1) * correlation) / splits
    assert variance_factor(splits, passes=1, share=correlation) == pytest.approx(theirs / (1 / splits))


def test_one_split_is_not_stretched() -> None:
    assert folds_of(np.zeros(40, dtype=np.int64), learned_from=60).stretch == 1.0


def test_an_interval_over_folds_is_the_one_of_fixed_models_stretched() -> None:
    rng = np.random.default_rng(3)
    label, risk, fold = rng.random(400) < 0.3, rng.random(400), rng.integers(5, size=400)
    outcome = Outcome(np.full(400, np.nan), label.astype(np.int8), ())

    def width(folds: Folds) -> float:
        found = evaluate(
            outcome, risk, horizon_days=np.nan, persons=np.arange(400), rng=np.random.default_rng(9), n_boot=100,
            folds=folds,
        )["auc"]  # fmt: skip
        return found.high - found.low

    folds = folds_of(fold, learned_from=320)
    fixed = Folds(folds.split, folds.pass_of, 1.0)
    assert width(folds) == pytest.approx(folds.stretch * width(fixed))
    assert folds.stretch == pytest.approx(np.sqrt(1.8), abs=0.01)


def can_be(name: str, found: Estimate) -> None:
    """A number lies in its range and in its interval, and so do the ends of the interval."""
    kind = name.partition("_at_")[0].partition("_top_")[0]
    low, high = {"alerts_per_true_case": (1.0, np.inf), **dict.fromkeys(BOUNDED, (0.0, 1.0))}.get(
        kind, (-np.inf, np.inf)
    )
    ends = [end for end in (found.low, found.value, found.high) if not np.isnan(end)]
    assert all(low <= end <= high for end in ends), (name, found)
    assert ends == sorted(ends), (name, found)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), n=st.integers(25, 120), competing=st.booleans(), scheme=st.sampled_from([1, 2, 4]))
def test_no_number_is_outside_its_range_or_its_interval(seed: int, n: int, competing: bool, scheme: int) -> None:
    outcome, risk, fold = people(seed, n, competing=competing)
    ask = Ask(thresholds=(0.2, 0.5), capacities=(0.1, 0.5))
    found = evaluate(
        outcome, np.clip(risk, 0.02, 0.98), horizon_days=30.0, persons=np.arange(n), rng=np.random.default_rng(seed),
        n_boot=30, ask=ask, folds=folds_of(fold % scheme),
    )  # fmt: skip
    for name, one in found.items():
        can_be(name, one)
    for name in ("ici", "e50", "e90"):
        assert np.isnan(found[name].low)
    for where in ("at_0.2", "at_0.5", "top_0.1", "top_0.5"):
        alerts, ppv = found[f"alerts_per_true_case_{where}"], found[f"ppv_{where}"]
        if ppv.value > 0:
            assert (alerts.value, alerts.low) == pytest.approx((1 / ppv.value, 1 / ppv.high), nan_ok=True)


def test_a_difference_is_of_the_same_people_in_the_same_folds() -> None:
    outcome, risk, fold = people(8, 200)
    other: npt.NDArray[np.float64] = np.round(np.random.default_rng(4).random(200), 1)
    shared = {"horizon_days": 30.0, "persons": np.arange(200), "n_boot": 20, "ask": Ask(smooth=False)}
    folds = folds_of(fold)
    rng = [np.random.default_rng(6) for _ in range(3)]
    both = difference(outcome, risk, reference=other, rng=rng[0], folds=folds, **shared)  # type: ignore[arg-type]
    one = evaluate(outcome, risk, rng=rng[1], folds=folds, **shared)  # type: ignore[arg-type]
    two = evaluate(outcome, other, rng=rng[2], folds=folds, **shared)  # type: ignore[arg-type]
    for name, found in both.items():
        assert found.value == pytest.approx(one[name].value - two[name].value, nan_ok=True)
        assert np.isnan(found.low) or found.low <= found.value <= found.high
