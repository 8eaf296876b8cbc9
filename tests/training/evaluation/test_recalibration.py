from __future__ import annotations

import json
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from features.arrays import Bools, Floats
from features.errors import PresageError
from training.cohort.outcome import Outcome, RiskCurves
from training.fitting.calibration import Method, learn_calibration, learn_calibrator
from training.models.calibration import Calibration, Calibrator


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(["logistic", "beta"]), backwards=st.booleans())
def test_different_risks_stay_different_and_in_order_whatever_the_people_say(
    seed: int, method: Method, backwards: bool
) -> None:
    rng = np.random.default_rng(seed)
    risk = np.unique(np.round(rng.beta(1, 4, 400), 7))
    label = rng.random(len(risk)) < (1 - risk if backwards else risk)
    calibrator = learn_calibrator(risk, label, weight=np.ones(len(risk)), method=method)
    assert (np.diff(calibrator.apply(risk)) > 0).all()


def by_maximum_likelihood(risk: Floats, label: Bools, weight: Floats) -> Floats:
    other = sm.GLM(label, sm.add_constant(logit(risk)), family=sm.families.Binomial(), freq_weights=weight).fit()
    return np.asarray(other.params, dtype=np.float64)


def test_many_events_make_the_logistic_method_a_logistic_regression_on_log_odds() -> None:
    rng = np.random.default_rng(1)
    risk, weight = rng.beta(2, 5, 200_000), rng.uniform(0.5, 2, 200_000)
    label = rng.random(200_000) < expit(0.4 + 0.6 * logit(risk))
    found = learn_calibrator(risk, label, weight=weight, method="logistic")
    assert (found.intercept, found.rise) == pytest.approx(by_maximum_likelihood(risk, label, weight), abs=1e-3)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), people=st.sampled_from([1.0, 0.4]), slope=st.floats(0.3, 1.8))
def test_a_slope_is_the_most_probable_one_about_1_by_what_the_rows_are_worth(
    seed: int, people: float, slope: float
) -> None:
    rng = np.random.default_rng(seed)
    risk, weight = rng.beta(2, 5, 150), rng.uniform(0.2, 3, 150)
    label = rng.random(150) < expit(0.3 + slope * logit(risk))
    worth = weight * people * weight.sum() / (weight**2).sum()

    def against(line: Floats) -> float:
        eta = line[0] + line[1] * logit(risk)
        return float(worth @ (np.log1p(np.exp(eta)) - label * eta) + (line[1] - 1) ** 2 / (2 * 0.5**2))

    best = minimize(against, [0.0, 1.0], method="BFGS", options={"gtol": 1e-7}).x
    found = learn_calibrator(risk, label, weight=weight, method="logistic", people=people)
    assert (found.intercept, found.rise) == pytest.approx(best, abs=1e-4)
    alone = by_maximum_likelihood(risk, label, weight)[1]
    assert min(alone, 1.0) - 1e-6 <= found.rise <= max(alone, 1.0) + 1e-6


def test_few_events_leave_the_slope_near_1_and_many_find_it() -> None:
    slopes = {}
    for n in (60, 60_000):
        rng = np.random.default_rng(4)
        risk = expit(rng.normal(-1.2, 0.4, n))
        label = rng.random(n) < expit(0.2 * logit(risk) - 1)
        slopes[n] = learn_calibrator(risk, label, weight=np.ones(n), method="logistic").rise
    assert 0.6 < slopes[60] < 1.1
    assert slopes[60_000] == pytest.approx(0.2, abs=0.1)


def test_the_beta_method_mends_what_a_straight_line_cannot() -> None:
    rng = np.random.default_rng(2)
    risk = rng.uniform(0.01, 0.99, 20_000)
    truth = Calibrator(0.3, 0.5, 1.8).apply(risk)
    label = rng.random(20_000) < truth
    ones = np.ones(len(risk))
    error = {
        method: np.abs(learn_calibrator(risk, label, weight=ones, method=method).apply(risk) - truth).mean()
        for method in ("none", "logistic", "beta")
    }
    assert error["beta"] < 0.01 < error["logistic"] < error["none"]


def test_too_few_events_change_nothing() -> None:
    risk = np.linspace(0.1, 0.9, 50)
    assert learn_calibrator(risk, np.arange(50) < 9, weight=np.ones(50), method="logistic") == Calibrator()


def test_curves_are_calibrated_by_horizon_still_rise_and_survive_json() -> None:
    rng = np.random.default_rng(3)
    n = 3000
    rate = np.exp(rng.normal(-1, 0.7, n))
    event_at, censored_at = rng.exponential(1 / rate), rng.uniform(0.5, 4, n)
    outcome = Outcome(np.minimum(event_at, censored_at), (event_at <= censored_at).astype(np.int8), (1.0, 2.0))
    truth = 1 - np.exp(-rate[:, None] * np.array([1.0, 2.0]))
    wrong = RiskCurves((1.0, 2.0), truth**2)
    calibration = learn_calibration(wrong, outcome, method="beta")
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    found = again.apply(wrong).probabilities
    assert np.abs(found - truth).mean() < 0.02
    assert (np.diff(found, axis=1) >= 0).all()
    with pytest.raises(PresageError, match="horizons_days: expected horizons that were calibrated, found 3"):
        again.apply(RiskCurves((3.0,), truth[:, :1]))


def test_a_binary_outcome_has_no_horizon_in_json_either() -> None:
    outcome = Outcome(np.full(100, np.nan), (np.arange(100) % 3 == 0).astype(np.int8), ())
    curves = RiskCurves((math.nan,), np.linspace(0.1, 0.6, 100)[:, None])
    calibration = learn_calibration(curves, outcome)
    assert calibration.to_json()[0]["horizon_days"] is None
    again = Calibration.from_json(calibration.to_json())
    assert again.apply(curves).probabilities == pytest.approx(calibration.apply(curves).probabilities)
