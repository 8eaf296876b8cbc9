from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import CoxPHFitter

from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.evaluation.incidence import aalen_johansen
from training.fitted.baseline import Baseline
from training.learners.baseline import learn_baseline
from training.learners.cox import Cox

Floats = npt.NDArray[np.float64]


def competing(seed: int, n: int = 2000) -> tuple[Outcome, Floats, Floats]:
    """Constant hazards .1 exp(x) and .15 exp(.5 z), censored at random; the true incidence by 5."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    event, other = 0.1 * np.exp(X[:, 0]), 0.15 * np.exp(0.5 * X[:, 1])
    times = np.stack([rng.uniform(1, 12, n), rng.exponential(1 / event), rng.exponential(1 / other)])
    truth = event / (event + other) * (1 - np.exp(-5 * (event + other)))
    return Outcome(times.min(axis=0), times.argmin(axis=0).astype(np.int8), (5.0,)), X, truth


def test_constant_hazards_have_the_textbook_incidence() -> None:
    times = np.linspace(0.05, 10, 200)
    baseline = Baseline(times, np.stack([0.1 * times, 0.2 * times]))
    eta = np.log(np.array([[1.0, 1.0], [2.0, 0.5]]))
    found = baseline.risk(eta, (5.0,)).probabilities[:, 0]
    rates = np.array([[0.1, 0.2], [0.2, 0.1]])
    expected = rates[:, 0] / rates.sum(axis=1) * (1 - np.exp(-5 * rates.sum(axis=1)))
    assert found == pytest.approx(expected)


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_risk_never_falls_and_both_causes_together_stay_below_one(seed: int) -> None:
    outcome, X, _ = competing(seed, 200)
    baseline = learn_baseline(outcome, X, weights=None, persons=np.arange(len(X)))
    horizons = tuple(np.linspace(0, 15, 30))
    swapped = Baseline(baseline.times, baseline.hazards[::-1])
    event, other = baseline.risk(X, horizons).probabilities, swapped.risk(X[:, ::-1], horizons).probabilities
    assert (np.diff(event, axis=1) >= 0).all()
    assert (event + other <= 1 + 1e-12).all()


def test_without_covariates_the_incidence_is_aalen_johansens() -> None:
    outcome, X, _ = competing(1)
    baseline = learn_baseline(outcome, np.zeros_like(X), weights=None, persons=np.arange(len(X)))
    found = baseline.risk(np.zeros((1, 2)), (5.0,)).probabilities[0, 0]
    assert found == pytest.approx(aalen_johansen(outcome, 5.0), abs=1e-3)


def test_incidence_with_competing_events_is_unbiased_against_simulated_truth() -> None:
    """Within two standard errors over repetitions; ignoring the competing cause is far too high."""
    gaps, ignoring = [], []
    for seed in range(20):
        outcome, X, truth = competing(seed, 1000)
        when = np.full(len(X), np.datetime64("2020-01-01", "us"))
        frame = FeatureFrame(np.arange(len(X)), when, ("x", "z"), X.astype(np.float32))
        single = Outcome(outcome.time_days, (outcome.event == 1).astype(np.int8), outcome.horizons_days)
        for found, kept in ((outcome, gaps), (single, ignoring)):
            fitted = Cox().fit(frame, found, persons=frame.subject_ids, rng=np.random.default_rng(seed))
            kept.append(float((fitted.risk_at(frame, (5.0,)).probabilities[:, 0] - truth).mean()))
    z = abs(np.mean(gaps)) / (np.std(gaps) / math.sqrt(len(gaps)))
    assert z < 2
    assert np.mean(ignoring) > 0.05


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # lifelines 0.30 on pandas 3
def test_one_cause_is_lifelines_survival_curve() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=300)
    time = rng.exponential(np.exp(-x))
    event = time <= 1.0
    table = pd.DataFrame({"x": x, "time": np.minimum(time, 1.0), "event": event})
    fitted = CoxPHFitter(baseline_estimation_method="breslow").fit(table, "time", "event")
    at = float(np.sort(table.loc[table["event"], "time"])[100])  # between event times lifelines interpolates
    expected = 1 - fitted.predict_survival_function(table, times=[at]).to_numpy().ravel()
    eta = (x * float(fitted.params_.iloc[0]))[:, None]
    outcome = Outcome(table["time"].to_numpy(), event.astype(np.int8), (at,))
    baseline = learn_baseline(outcome, eta, weights=None, persons=np.arange(len(x)))
    assert baseline.risk(eta, (at,)).probabilities[:, 0] == pytest.approx(expected, abs=1e-6)


def test_a_baseline_survives_parquet(tmp_path: Path) -> None:
    outcome, X, _ = competing(2, 300)
    baseline = learn_baseline(outcome, X, weights=None, persons=np.arange(len(X)))
    baseline.write(tmp_path / "baseline.parquet")
    again = Baseline.read(tmp_path / "baseline.parquet")
    assert (again.risk(X, (2.0, 5.0)).probabilities == baseline.risk(X, (2.0, 5.0)).probabilities).all()


def exact_steps(outcome: Outcome, eta: Floats) -> Baseline:
    """Breslow's hazards with a step at every event time: what a bundle must not hold."""
    times = np.unique(outcome.time_days[outcome.event != 0])
    hazards = []
    for cause in range(1, 1 + eta.shape[1]):
        at_risk = np.array([np.exp(eta[outcome.time_days >= t, cause - 1]).sum() for t in times])
        dead = np.array([((outcome.time_days == t) & (outcome.event == cause)).sum() for t in times])
        hazards.append(np.cumsum(dead / at_risk))
    return Baseline(times, np.stack(hazards))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), n=st.integers(30, 600))
def test_a_baseline_says_of_nobody_when(seed: int, n: int) -> None:
    """Between two times at which the hazard's slope changes are 11 people with the event, or a horizon ends it."""
    outcome, X, _ = competing(seed, n)
    single = Outcome(outcome.time_days, (outcome.event == 1).astype(np.int8), (2.0, 5.0))
    baseline = learn_baseline(single, X[:, :1], weights=None, persons=np.arange(n))
    times, hazard = np.append(0.0, baseline.times), np.append(0.0, baseline.hazards[0])
    slope = np.diff(hazard) / np.diff(times)
    changes = np.flatnonzero(np.abs(np.diff(slope)) > 1e-9 * slope.max()) + 1
    stops = np.unique([0.0, *times[changes], times[-1]])
    happened = single.time_days[single.event == 1]
    for before, after in itertools.pairwise(stops):
        held = int(((happened > before) & (happened <= after)).sum())
        assert held >= 11 or held == 0 or after in (2.0, 5.0) or before in (2.0, 5.0)
    part = 5.0 / 1000
    assert all(t in (2.0, 5.0) or abs(t / part - round(t / part)) < 1e-6 for t in baseline.times)


def test_rows_of_one_person_are_no_crowd() -> None:
    """Eleven events of one person, whose landmarks repeat, make no step."""
    time = np.append(np.linspace(1.0, 2.0, 40), np.full(60, 10.0))
    outcome = Outcome(time, np.append(np.ones(40), np.zeros(60)).astype(np.int8), (10.0,))
    eta = np.zeros((100, 1))
    many = learn_baseline(outcome, eta, weights=None, persons=np.arange(100))
    few = learn_baseline(outcome, eta, weights=None, persons=np.append(np.arange(40) % 4, np.arange(4, 64)))
    assert many.at(1.6) > 2 * few.at(1.6)
    assert few.at(5.0) == pytest.approx(few.at(10.0) / 2)


@pytest.mark.parametrize(("n", "within"), [(300, 0.015), (5000, 1e-3)])
def test_risk_at_the_horizons_is_that_of_the_exact_steps(n: int, within: float) -> None:
    """Without competing events to the last digit; with them, as close as the ratio of the hazards is constant."""
    horizons = (1.0, 2.5, 5.0)
    for seed in range(3):
        outcome, X, _ = competing(seed, n)
        outcome = Outcome(outcome.time_days, outcome.event, horizons)
        single = Outcome(outcome.time_days, (outcome.event == 1).astype(np.int8), horizons)
        for found, eta, bound in ((single, X[:, :1], 1e-12), (outcome, X, within)):
            ours = learn_baseline(found, eta, weights=None, persons=np.arange(n)).risk(eta, horizons).probabilities
            exact = exact_steps(found, eta).risk(eta, horizons).probabilities
            assert np.abs(ours - exact).max() < bound
