from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from lifelines import AalenJohansenFitter
from scipy.special import expit, logit

from training.cohort.censoring import known_by, marginal
from training.cohort.outcome import Outcome
from training.evaluation import evaluate, ici_if_perfect
from training.evaluation.calibration import CalibrationBases, calibration, calibration_curve
from training.evaluation.incidence import aalen_johansen, replicate_weights
from training.evaluation.sample import Observed

Floats = npt.NDArray[np.float64]


def weighted_binary(n: int = 800) -> tuple[Floats, npt.NDArray[np.bool_], Floats]:
    rng = np.random.default_rng(11)
    odds = rng.normal(-1, 1.2, n)
    return expit(odds), rng.random(n) < expit(0.3 + 0.7 * odds), rng.uniform(0, 3, n)


def competing(n: int = 3000) -> Outcome:
    rng = np.random.default_rng(12)
    event_at, other_at, censored_at = rng.exponential(5, n), rng.exponential(7, n), rng.uniform(0, 8, n)
    time = np.ceil(20 * np.minimum(np.minimum(event_at, other_at), censored_at))
    first = np.argmin([censored_at, event_at, other_at], axis=0)
    return Outcome(time, first.astype(np.int8), (60.0,))


def test_slope_and_intercept_are_those_of_a_weighted_logistic_regression() -> None:
    risk, label, weight = weighted_binary()
    found = calibration(CalibrationBases.of(risk), label, weight=weight, count=np.ones(len(risk)), smooth=False)
    line = sm.GLM(label, sm.add_constant(logit(risk)), family=sm.families.Binomial(), freq_weights=weight).fit()
    flat = sm.GLM(
        label, np.ones(len(risk)), family=sm.families.Binomial(), freq_weights=weight, offset=logit(risk)
    ).fit()
    assert found.slope == pytest.approx(line.params[1], abs=1e-6)
    assert found.in_the_large == pytest.approx(flat.params[0], abs=1e-6)
    assert found.observed_to_expected == pytest.approx((weight @ label) / (weight @ risk))


def test_ici_e50_and_e90_are_distances_to_the_smoothed_risk() -> None:
    risk, label, weight = weighted_binary()
    found = calibration(CalibrationBases.of(risk), label, weight=weight, count=np.ones(len(risk)), smooth=True)
    odds = logit(risk)
    knots = np.quantile(odds, (0.05, 0.35, 0.65, 0.95))

    def cube(at: float) -> Floats:
        return np.maximum(odds - at, 0) ** 3

    curved = [
        cube(knots[j])
        - cube(knots[2]) * (knots[3] - knots[j]) / (knots[3] - knots[2])
        + cube(knots[3]) * (knots[2] - knots[j]) / (knots[3] - knots[2])
        for j in (0, 1)
    ]
    X = np.column_stack([np.ones(len(odds)), odds, *curved])
    smooth = sm.GLM(label, X, family=sm.families.Binomial(), freq_weights=weight).fit().fittedvalues
    distance = np.abs(smooth - risk)
    assert found.ici == pytest.approx(distance.mean(), abs=1e-5)
    assert found.e50 == pytest.approx(np.median(distance), abs=5e-4)
    assert found.e90 == pytest.approx(np.quantile(distance, 0.9), abs=5e-4)


def test_true_risks_are_calibrated_and_one_class_has_no_calibration() -> None:
    rng = np.random.default_rng(3)
    risk = rng.beta(2, 5, 40_000)
    label = rng.random(40_000) < risk
    ones = np.ones(len(risk))
    found = calibration(CalibrationBases.of(risk), label, weight=ones, count=ones, smooth=True)
    assert found.slope == pytest.approx(1.0, abs=0.05)
    assert found.in_the_large == pytest.approx(0.0, abs=0.05)
    assert found.ici < 0.01
    nothing = calibration(CalibrationBases.of(risk), np.zeros(40_000, dtype=bool), weight=ones, count=ones, smooth=True)
    assert np.isnan(nothing.slope)


def test_incidence_is_that_of_lifelines_aalen_johansen() -> None:
    tied = competing()
    outcome = Outcome(tied.time_days + np.linspace(0, 0.5, len(tied)), tied.event, (60.0,))
    fitted = AalenJohansenFitter(calculate_variance=False).fit(outcome.time_days, outcome.event, event_of_interest=1)
    expected = float(fitted.cumulative_density_.loc[:60.0].iloc[-1, 0])
    assert aalen_johansen(outcome, 60.0) == pytest.approx(expected, abs=1e-9)


def test_weighted_events_sum_to_aalen_johansen() -> None:
    outcome = competing()
    label, weight = known_by(outcome, 60.0, uncensored=marginal(outcome))
    assert weight @ label / len(outcome) == pytest.approx(aalen_johansen(outcome, 60.0))
    assert weight.sum() == pytest.approx(len(outcome))


def test_a_replicates_weights_are_those_of_its_copied_rows() -> None:
    outcome = competing(400)
    rng = np.random.default_rng(1)
    count = rng.integers(0, 3, 400)
    copied = outcome.take(np.repeat(np.arange(400), count))
    _, expected = known_by(copied, 60.0, uncensored=marginal(copied))
    observed = Observed.of(outcome, 60.0, persons=np.arange(400), uncensored=None)
    weight, _ = replicate_weights(
        observed.order, observed.starts, outcome.time_days, outcome.event, count.astype(float), 60.0
    )
    kept = count > 0
    assert np.repeat(weight[kept] / count[kept], count[kept]) == pytest.approx(expected)


def test_a_curve_has_every_person_in_one_group_and_follows_the_truth() -> None:
    rng = np.random.default_rng(4)
    risk = rng.beta(2, 6, 5000)
    outcome = Outcome(np.full(5000, np.nan), (rng.random(5000) < risk).astype(np.int8), ())
    curve = calibration_curve(outcome, risk, label=outcome.event == 1, weight=np.ones(5000), horizon_days=np.nan)
    assert curve.people.sum() == 5000
    assert curve.observed == pytest.approx(curve.expected, abs=0.07)
    assert curve.smoothed == pytest.approx(curve.grid, abs=0.05)


def test_the_ici_of_right_risks_is_that_of_a_perfect_model_and_of_wrong_ones_is_beyond_it() -> None:
    """Over repetitions of 1,000 people: a perfect model has an ICI of about .01 to .02, as is said beside it."""
    rng = np.random.default_rng(0)
    seen, said, wrong = [], [], []
    for _ in range(30):
        risk = 1 / (1 + np.exp(-rng.normal(-1.5, 1, 1000)))
        event = (rng.random(1000) < risk).astype(np.int8)
        outcome = Outcome(np.full(1000, np.nan), event, ())
        args = {"horizon_days": math.nan, "persons": np.arange(1000), "rng": rng}
        seen.append(evaluate(outcome, risk, n_boot=0, **args)["ici"].value)  # type: ignore[arg-type]
        said.append(ici_if_perfect(outcome, risk, **args))  # type: ignore[arg-type]
        wrong.append(evaluate(outcome, risk**1.5, n_boot=0, **args)["ici"].value)  # type: ignore[arg-type]
    assert np.mean(said) == pytest.approx(np.mean(seen), rel=0.15)
    assert 0.008 < np.mean(said) < 0.025
    assert np.mean(wrong) > 2 * np.mean(said)
