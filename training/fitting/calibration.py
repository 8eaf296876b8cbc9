"""Learns a recalibration from risks of people the model has not seen: see `training.models.calibration`.

Those people are held out within the training side of a split: no person whom a model is tested on takes part. The slope
is drawn towards 1 by as much as their number leaves open (docs/decisions/0019-numbers-that-can-be.md).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.arrays import Floats, Ints
from training.cohort import EVENT, Outcome, RiskCurves, Uncensored, known_by, marginal
from training.evaluation import weighted_logistic
from training.models import Calibration, Calibrator, log_terms

Method = Literal["none", "logistic", "beta"]

SMALLEST_EXPONENT = 0.05  # an order learned elsewhere is kept, even where these people do not confirm it
MIN_EVENTS = 10
SLOPE_SD = 0.5  # of a learner's true slope about 1: 95 in 100 between 0, where risks mean nothing, and 2
MOST_STEPS = 50


def learn_calibration(
    curves: RiskCurves,
    outcome: Outcome,
    *,
    method: Method = "logistic",
    uncensored: Uncensored | None = None,
    persons: Ints | None = None,
) -> Calibration:
    """Learn one calibrator per horizon from risks (n, h) of people held out, or of the training people out of fold.

    uncensored: covariate-conditional probabilities of being followed; None uses Kaplan-Meier. persons: (n,) whose rows
    they are, as a person's rows tell little more than one of them; None: a person each.
    """
    people = 1.0 if persons is None or len(persons) == 0 else len(np.unique(persons)) / len(persons)
    calibrators = []
    followed = uncensored
    if followed is None and outcome.kind != "binary":
        followed = marginal(outcome)
    for i, horizon in enumerate(curves.horizons_days):
        if followed is None:
            label, weight = outcome.event == EVENT, np.ones(len(outcome))
        else:
            label, weight = known_by(outcome, horizon, uncensored=followed)
        calibrators.append(
            learn_calibrator(curves.probabilities[:, i], label, weight=weight, method=method, people=people)
        )
    return Calibration(curves.horizons_days, tuple(calibrators))


def learn_calibrator(
    risk: Floats, label: npt.NDArray[np.bool_], *, weight: Floats, method: Method, people: float = 1.0
) -> Calibrator:
    """On weighted rows; the identity where fewer than 10 have, or have not, the event.

    logistic: the most probable line where slopes are normally distributed about 1 with SD 0.5 (`SLOPE_SD`), so that few
    events leave it near 1 and many make it the maximum likelihood one. A slope below 0.05 is held there. people: how
    many people there are to a row. beta: maximum likelihood.
    """
    cases, controls = int((label & (weight > 0)).sum()), int((~label & (weight > 0)).sum())
    if method == "none" or min(cases, controls) < MIN_EVENTS:
        return Calibrator()
    y, (rise, fall) = label.astype(np.float64), log_terms(risk)
    if method == "beta":
        both = _coefficients([rise, fall], y, weight=weight)
        if both is not None and both[1] > 0 and both[2] > 0 and both[1] + both[2] > SMALLEST_EXPONENT:
            return Calibrator(float(both[0]), float(both[1]), float(both[2]))
    intercept, most_probable = most_probable_line(rise + fall, y, weight=_informative(weight, people=people))
    slope = max(most_probable, SMALLEST_EXPONENT)
    if not np.isfinite(intercept):
        return Calibrator()
    if slope != most_probable:
        intercept = float(weighted_logistic(np.ones((len(y), 1)), y, weight, slope * (rise + fall))[0])
    return Calibrator(intercept, slope, slope)


def _informative(weight: Floats, *, people: float) -> Floats:
    """Weights that add up to as many independent people as they are worth: (sum w)^2 / sum w^2 rows of so many people.

    Rows that stand for those who were lost would otherwise count as if these had been seen.
    """
    total = float(weight.sum())
    return np.asarray(weight * (people * total / float((weight**2).sum())), dtype=np.float64)


def most_probable_line(odds: Floats, y: Floats, *, weight: Floats) -> tuple[float, float]:
    """Intercept and slope of the log odds, by Newton's method with halved steps; nan where it does not settle."""
    X, beta = np.column_stack([np.ones(len(odds)), odds]), np.array([0.0, 1.0])
    score = _log_posterior(X @ beta, y, weight=weight, slope=1.0)
    for _ in range(MOST_STEPS):
        mean = expit(X @ beta)
        gradient = X.T @ (weight * (y - mean)) - np.array([0.0, (beta[1] - 1.0) / SLOPE_SD**2])
        information = (X * (weight * mean * (1 - mean))[:, None]).T @ X + np.diag([0.0, 1 / SLOPE_SD**2])
        information[0, 0] += 1e-12
        change = np.linalg.solve(information, gradient)
        while True:
            after = _log_posterior(X @ (beta + change), y, weight=weight, slope=float(beta[1] + change[1]))
            if after >= score - 1e-12 * abs(score) or np.abs(change).max() < 1e-10:
                break
            change = change / 2
        beta, score = beta + change, after
        if np.abs(change).max() < 1e-8:
            return float(beta[0]), float(beta[1])
    return float("nan"), float("nan")


def _log_posterior(eta: Floats, y: Floats, *, weight: Floats, slope: float) -> float:
    return float(weight @ (y * eta - np.logaddexp(0.0, eta))) - (slope - 1.0) ** 2 / (2 * SLOPE_SD**2)


def _coefficients(columns: list[Floats], y: Floats, *, weight: Floats) -> Floats | None:
    """Intercept and coefficients; None where they are not identified."""
    X = np.column_stack([np.ones(len(y)), *columns])
    if any(float(np.std(column)) < 1e-9 for column in columns):
        return None
    beta = weighted_logistic(X, y, weight, np.zeros(len(y)))
    return beta if bool(np.isfinite(beta).all()) else None
