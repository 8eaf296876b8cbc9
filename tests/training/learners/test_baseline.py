from __future__ import annotations

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
from training.evaluation.incidence import aalen_johansen
from training.learners.baseline import Baseline, learn_baseline
from training.learners.cox import Cox
from training.outcomes import Outcome

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
    baseline = learn_baseline(outcome, X, None)
    horizons = tuple(np.linspace(0, 15, 30))
    swapped = Baseline(baseline.times, baseline.hazards[::-1])
    event, other = baseline.risk(X, horizons).probabilities, swapped.risk(X[:, ::-1], horizons).probabilities
    assert (np.diff(event, axis=1) >= 0).all()
    assert (event + other <= 1 + 1e-12).all()


def test_without_covariates_the_incidence_is_aalen_johansens() -> None:
    outcome, X, _ = competing(1)
    baseline = learn_baseline(outcome, np.zeros_like(X), None)
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
    assert learn_baseline(outcome, eta, None).risk(eta, (at,)).probabilities[:, 0] == pytest.approx(expected, abs=1e-6)


def test_a_baseline_survives_parquet(tmp_path: Path) -> None:
    outcome, X, _ = competing(2, 300)
    baseline = learn_baseline(outcome, X, None)
    baseline.write(tmp_path / "baseline.parquet")
    again = Baseline.read(tmp_path / "baseline.parquet")
    assert (again.risk(X, (2.0, 5.0)).probabilities == baseline.risk(X, (2.0, 5.0)).probabilities).all()
