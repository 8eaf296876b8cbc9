from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score
from sksurv.metrics import concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv

from training.cohort.censoring import Uncensored, censoring_kaplan_meier, step
from training.cohort.outcome import Outcome
from training.evaluation import evaluate
from training.evaluation.discrimination import Pairs, auc_and_precision, concordance

Floats = npt.NDArray[np.float64]


def drawn(seed: int, n: int = 300, *, competing: bool = False, tied: bool = True) -> tuple[Outcome, Floats]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    event_at = rng.exponential(np.exp(-score))
    other_at = rng.exponential(2.0, n) if competing else np.full(n, np.inf)
    censored_at = rng.uniform(0, 3, n)
    time = np.minimum(np.minimum(event_at, other_at), censored_at)
    event = np.where(event_at == time, 1, np.where(other_at == time, 2, 0)).astype(np.int8)
    if tied:
        time, score = np.ceil(time * 10), np.round(score, 1)
    risk = 1 / (1 + np.exp(-score - 0.3 * rng.normal(size=n).round(1)))
    return Outcome(time, event, (float(np.median(time)),)), risk.round(6)


def naive_concordance(outcome: Outcome, risk: Floats, count: Floats, followed: Floats, tau: float) -> float:
    """Pair by pair, as Wolbers et al. 2014 write it."""
    agree = total = 0.0
    time, event = outcome.time_days, outcome.event
    for i in range(len(time)):
        if event[i] != 1 or time[i] > tau:
            continue
        for j in range(len(time)):
            if time[j] > time[i] or (time[j] == time[i] and event[j] != 1):
                weight = count[i] * count[j] / followed[i] ** 2
            elif event[j] == 2 and time[j] < time[i]:
                weight = count[i] * count[j] / (followed[i] * followed[j])
            else:
                continue
            total += weight
            agree += weight * (1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    return agree / total


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), competing=st.booleans())
def test_concordance_is_the_naive_count_of_pairs_with_ties_weights_and_competing_events(
    seed: int, competing: bool
) -> None:
    outcome, risk = drawn(seed, 60, competing=competing)
    rng = np.random.default_rng(seed)
    count = rng.integers(0, 4, 60).astype(np.float64)
    followed = rng.uniform(0.2, 1.0, 60)
    tau = float(np.quantile(outcome.time_days, 0.8))
    found = concordance(Pairs.of(outcome, risk), count, followed=followed, usable=outcome.time_days <= tau)
    assert found == pytest.approx(naive_concordance(outcome, risk, count, followed, tau))


@pytest.mark.parametrize("tied", [False, True])
def test_harrells_c_is_that_of_scikit_survival(tied: bool) -> None:
    outcome, risk = drawn(1, tied=tied)
    ones = np.ones(len(risk))
    found = concordance(Pairs.of(outcome, risk), ones, followed=ones, usable=ones.astype(bool))
    assert found == pytest.approx(concordance_index_censored(outcome.event == 1, outcome.time_days, risk)[0])


def test_unos_c_is_that_of_scikit_survival() -> None:
    outcome, risk = drawn(2, tied=False)
    tau = float(np.quantile(outcome.time_days, 0.7))
    times, survival = censoring_kaplan_meier(outcome.time_days, outcome.event)
    followed = step(times, survival, at=outcome.time_days, before=True)
    found = concordance(Pairs.of(outcome, risk), np.ones(len(risk)), followed=followed, usable=outcome.time_days < tau)
    truth = Surv.from_arrays(outcome.event == 1, outcome.time_days)
    assert found == pytest.approx(concordance_index_ipcw(truth, truth, risk, tau=tau)[0])


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_auc_and_average_precision_are_those_of_scikit_learn_with_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    risk = rng.random(80).round(1)
    label = np.append([True, False], rng.random(78) < risk[2:])
    weight = rng.uniform(0.1, 3, 80)
    rank = np.unique(risk, return_inverse=True)[1].astype(np.int64)
    auc, precision = auc_and_precision(np.argsort(-rank, kind="stable"), rank, label, weight)
    assert auc == pytest.approx(roc_auc_score(label, risk, sample_weight=weight))
    assert precision == pytest.approx(average_precision_score(label, risk, sample_weight=weight))


def test_auc_by_a_horizon_is_scikit_survivals_cumulative_dynamic_auc() -> None:
    from training.cohort.censoring import known_by, marginal

    outcome, risk = drawn(3, 500, tied=False)
    horizon = outcome.horizons_days[0]
    label, weight = known_by(outcome, horizon, uncensored=marginal(outcome))
    rank = np.unique(risk, return_inverse=True)[1].astype(np.int64)
    truth = Surv.from_arrays(outcome.event == 1, outcome.time_days)
    expected = cumulative_dynamic_auc(truth, truth, risk, [horizon])[0][0]
    assert auc_and_precision(np.argsort(-rank, kind="stable"), rank, label, weight)[0] == pytest.approx(expected)


def test_one_class_only_has_no_concordance() -> None:
    outcome = Outcome(np.arange(1.0, 6.0), np.zeros(5, dtype=np.int8), (3.0,))
    ones = np.ones(5)
    assert np.isnan(concordance(Pairs.of(outcome, np.linspace(0, 1, 5)), ones, followed=ones, usable=ones.astype(bool)))
    rank = np.arange(5)
    assert np.isnan(auc_and_precision(rank, rank, np.zeros(5, dtype=bool), ones)[0])


@pytest.mark.parametrize("effect", [1.0, -1.0])
def test_unos_c_stays_near_the_truth_where_censoring_depends_on_the_score(effect: float) -> None:
    """Against the same people had nobody been censored; 1 / G(Ti | Xi)^2 for both of a pair gave .77 and .55 of .66."""
    gaps = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        known, hidden = rng.normal(size=(2, 1500))
        event_at = rng.exponential(1 / (0.2 * np.exp(0.7 * known + 0.7 * hidden)))
        leaving = 0.15 * np.exp(effect * known)
        left_at = rng.exponential(1 / leaving)
        risk = 1 - np.exp(-0.6 * np.exp(0.7 * known))
        c = {}
        for name, left in (("seen", left_at), ("whole", np.full(1500, np.inf))):
            time = np.minimum(np.minimum(event_at, left), 3.01)
            outcome = Outcome(time, (event_at <= np.minimum(left, 3.0)).astype(np.int8), (3.0,))
            given = Uncensored(np.exp(-leaving * time), np.exp(-leaving * 3.0)[:, None]) if name == "seen" else None
            c[name] = evaluate(
                outcome, risk, horizon_days=3.0, persons=np.arange(1500), rng=rng, n_boot=0, uncensored=given
            )["c_uno"].value
        gaps.append(c["seen"] - c["whole"])
    assert abs(np.mean(gaps)) < 0.02
