from __future__ import annotations

import numpy as np
import pytest
from sksurv.metrics import brier_score, integrated_brier_score
from sksurv.util import Surv

from training.cohort.censoring import known_by, marginal
from training.cohort.outcome import Outcome, RiskCurves
from training.evaluation.accuracy import brier, integrated_brier


def drawn(n: int = 400) -> tuple[Outcome, RiskCurves]:
    rng = np.random.default_rng(5)
    rate = np.exp(rng.normal(size=n))
    event_at, censored_at = rng.exponential(1 / rate), rng.uniform(0.1, 3, n)
    time = np.minimum(event_at, censored_at)
    times = tuple(float(t) for t in np.quantile(time, np.linspace(0.1, 0.8, 30)))
    curves = 1 - np.exp(-rate[:, None] * 0.8 * np.array(times))
    return Outcome(time, (event_at <= censored_at).astype(np.int8), times), RiskCurves(times, curves)


def test_brier_score_under_censoring_is_scikit_survivals() -> None:
    outcome, curves = drawn()
    truth = Surv.from_arrays(outcome.event == 1, outcome.time_days)
    _, expected = brier_score(truth, truth, 1 - curves.probabilities, curves.horizons_days)
    for h, horizon in enumerate(curves.horizons_days[::7]):
        label, weight = known_by(outcome, horizon, uncensored=marginal(outcome))
        assert brier(curves.probabilities[:, 7 * h], label, weight=weight)[0] == pytest.approx(
            expected[7 * h], rel=2e-3
        )


def test_integrated_brier_score_is_scikit_survivals() -> None:
    outcome, curves = drawn()
    truth = Surv.from_arrays(outcome.event == 1, outcome.time_days)
    expected = integrated_brier_score(truth, truth, 1 - curves.probabilities, curves.horizons_days)
    assert integrated_brier(outcome, curves) == pytest.approx(expected)


def test_the_incidence_itself_explains_nothing_and_certainty_explains_all() -> None:
    label = np.array([True, False, False, True, False])
    weight = np.array([1.0, 2.0, 1.0, 0.5, 3.0])
    incidence = np.full(5, np.average(label, weights=weight))
    assert brier(incidence, label, weight=weight)[1] == pytest.approx(0.0)
    assert brier(label.astype(float), label, weight=weight) == (0.0, 1.0)
    assert np.isnan(brier(incidence, np.zeros(5, dtype=bool), weight=weight)[1])
