"""Learns a recalibration from risks of people the model has not seen: see `training.models.calibration`."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from training.cohort import EVENT, Outcome, RiskCurves, Uncensored, known_by, marginal
from training.evaluation import weighted_logistic
from training.models import Calibration, Calibrator, log_terms

Method = Literal["none", "logistic", "beta"]

SMALLEST_EXPONENT = 0.05  # an order learned elsewhere is kept, even where these people do not confirm it
MIN_EVENTS = 10


def learn_calibration(
    curves: RiskCurves, outcome: Outcome, *, method: Method = "logistic", uncensored: Uncensored | None = None
) -> Calibration:
    """Learn one calibrator per horizon from risks (n, h) of people held out, or of the training people out of fold.

    uncensored: covariate-conditional probabilities of being followed; None uses Kaplan-Meier.
    """
    calibrators = []
    followed = uncensored
    if followed is None and outcome.kind != "binary":
        followed = marginal(outcome)
    for i, horizon in enumerate(curves.horizons_days):
        if followed is None:
            label, weight = outcome.event == EVENT, np.ones(len(outcome))
        else:
            label, weight = known_by(outcome, horizon, uncensored=followed)
        calibrators.append(learn_calibrator(curves.probabilities[:, i], label, weight=weight, method=method))
    return Calibration(curves.horizons_days, tuple(calibrators))


def learn_calibrator(risk: Floats, label: npt.NDArray[np.bool_], *, weight: Floats, method: Method) -> Calibrator:
    """Maximum likelihood on weighted rows; the identity where fewer than 10 have, or have not, the event.

    A slope the data put below 0.05 is held there.
    """
    cases, controls = int((label & (weight > 0)).sum()), int((~label & (weight > 0)).sum())
    if method == "none" or min(cases, controls) < MIN_EVENTS:
        return Calibrator()
    y, (rise, fall) = label.astype(np.float64), log_terms(risk)
    if method == "beta":
        both = _coefficients([rise, fall], y, weight=weight)
        if both is not None and both[1] > 0 and both[2] > 0 and both[1] + both[2] > SMALLEST_EXPONENT:
            return Calibrator(float(both[0]), float(both[1]), float(both[2]))
    line = _coefficients([rise + fall], y, weight=weight)
    if line is None:
        return Calibrator()
    slope = max(float(line[1]), SMALLEST_EXPONENT)
    intercept = float(line[0])
    if slope != float(line[1]):
        intercept = float(weighted_logistic(np.ones((len(y), 1)), y, weight, slope * (rise + fall))[0])
    return Calibrator(intercept, slope, slope)


def _coefficients(columns: list[Floats], y: Floats, *, weight: Floats) -> Floats | None:
    """Intercept and coefficients; None where they are not identified."""
    X = np.column_stack([np.ones(len(y)), *columns])
    if any(float(np.std(column)) < 1e-9 for column in columns):
        return None
    beta = weighted_logistic(X, y, weight, np.zeros(len(y)))
    return beta if bool(np.isfinite(beta).all()) else None
