"""Do risks mean what they say: recalibration lines, smoothed curves, and observed incidence by risk group.

Weighted rows (see `training.cohort.censoring.known_by`) make a probability of the event by the horizon; so every
estimator is that of a binary outcome, under censoring and competing events alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.special import expit, logit

from features.arrays import Bools, Floats
from training.cohort import EVENT, Outcome
from training.disclosure import SMALLEST
from training.evaluation.incidence import aalen_johansen

SMALLEST_RISK = 1e-6
CURVE_KNOTS = (0.05, 0.35, 0.65, 0.95)
RISK_GROUPS = 10


@dataclass(frozen=True, slots=True)
class CalibrationBases:
    """Columns of the recalibration models, made once. risk: (n,). line: (n, 2). curve: (n, k)."""

    risk: Floats
    line: Floats
    curve: Floats

    @classmethod
    def of(cls, risk: Floats) -> CalibrationBases:
        """Log odds, and their restricted cubic spline with 4 knots (straight where risks are too few)."""
        odds = logit(np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK))
        line = np.column_stack([np.ones(len(odds)), odds])
        return cls(risk, line, np.column_stack([line, _spline(odds)]))


@dataclass(frozen=True, slots=True)
class Agreement:
    """in_the_large: log odds by which risks are too low (0 is ideal). slope: 1 is ideal, below 1 too extreme.

    observed_to_expected: ratio, 1 is ideal. ici, e50, e90: mean, median and 90th percentile of the distance between
    risk and smoothed observed risk (Austin, Stat Med 2019;38:4051).
    """

    in_the_large: float
    slope: float
    observed_to_expected: float
    ici: float
    e50: float
    e90: float


def calibration(bases: CalibrationBases, label: Bools, *, weight: Floats, count: Floats, smooth: bool) -> Agreement:
    """Recalibration of weighted rows; `count` (n,) is how often each counts when distances are averaged."""
    total = float(weight.sum())
    observed = float(weight @ label)
    if total <= 0 or observed <= 0 or observed >= total:
        return Agreement(*[math.nan] * 6)
    y = label.astype(np.float64)
    offset = bases.line[:, 1]
    intercept = weighted_logistic(bases.line[:, :1].copy(), y, weight, offset)
    line = weighted_logistic(bases.line, y, weight, np.zeros(len(y)))
    expected = float(weight @ bases.risk)
    distances = _distances(bases, y, weight=weight, count=count) if smooth else (math.nan, math.nan, math.nan)
    return Agreement(float(intercept[0]), float(line[1]), observed / expected if expected > 0 else math.nan, *distances)


def _distances(bases: CalibrationBases, y: Floats, *, weight: Floats, count: Floats) -> tuple[float, float, float]:
    beta = weighted_logistic(bases.curve, y, weight, np.zeros(len(y)))
    if not np.isfinite(beta).all():
        return math.nan, math.nan, math.nan
    distance = np.abs(expit(bases.curve @ beta) - bases.risk)
    order = np.argsort(distance)
    share = np.cumsum(count[order]) / count.sum()
    e50, e90 = distance[order][np.searchsorted(share, (0.5, 0.9))]
    return float(np.average(distance, weights=count)), float(e50), float(e90)


@njit(cache=True, nogil=True)
def weighted_logistic(X: Floats, y: Floats, weight: Floats, offset: Floats) -> Floats:
    """(p,) maximum likelihood coefficients by Newton's method; nan where there is no maximum."""
    n, p = X.shape
    beta = np.zeros(p)
    for _ in range(30):
        gradient = np.zeros(p)
        information = np.zeros((p, p))
        for i in range(n):
            if weight[i] == 0.0:
                continue
            eta = offset[i]
            for a in range(p):
                eta += X[i, a] * beta[a]
            mean = 1.0 / (1.0 + np.exp(-eta))
            gap = weight[i] * (y[i] - mean)
            spread = weight[i] * mean * (1.0 - mean)
            for a in range(p):
                gradient[a] += gap * X[i, a]
                for b in range(a + 1):
                    information[a, b] += spread * X[i, a] * X[i, b]
        largest = 0.0
        for a in range(p):
            largest = max(largest, information[a, a])
            for b in range(a):
                information[b, a] = information[a, b]
        for a in range(p):
            information[a, a] += 1e-12 * largest + 1e-300
        if np.abs(np.linalg.det(information)) == 0.0:
            return np.full(p, np.nan)
        change = np.linalg.solve(information, gradient)
        biggest = np.abs(change).max()
        if not np.isfinite(biggest):
            return np.full(p, np.nan)
        beta += change * min(1.0, 5.0 / max(biggest, 1e-300))
        if biggest < 1e-8:
            return beta
    return np.full(p, np.nan)


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """For a figure: smoothed observed risk over a grid of risks, and observed incidence in groups of equal size.

    grid, smoothed: (100,). expected, observed, people: (g,) mean risk, Aalen-Johansen incidence (share, when binary)
    and rows of each group.
    """

    grid: Floats
    smoothed: Floats
    expected: Floats
    observed: Floats
    people: npt.NDArray[np.int64]


def calibration_curve(
    outcome: Outcome, risk: Floats, *, label: Bools, weight: Floats, horizon_days: float
) -> CalibrationCurve:
    """Smoothed from weighted rows; by tenths of risk (fewer where of 10 rows) from Aalen-Johansen."""
    bases = CalibrationBases.of(risk)
    beta = weighted_logistic(bases.curve, label.astype(np.float64), weight, np.zeros(len(risk)))
    order = np.argsort(risk, kind="stable")
    picked = order[np.linspace(0, len(order) - 1, 100).round().astype(np.int64)]
    smoothed = expit(bases.curve[picked] @ beta)
    n_groups = max(1, min(RISK_GROUPS, len(order) // SMALLEST))
    groups = [g for g in np.array_split(order, n_groups) if len(g)]
    if outcome.kind == "binary":
        observed = [float(np.mean(outcome.event[g] == EVENT)) for g in groups]
    else:
        observed = [aalen_johansen(outcome.take(g), horizon_days) for g in groups]
    return CalibrationCurve(
        risk[picked],
        smoothed,
        np.array([float(risk[g].mean()) for g in groups]),
        np.array(observed),
        np.array([len(g) for g in groups]),
    )


def _spline(odds: Floats) -> Floats:
    """(n, 2) the curved columns of a restricted cubic spline; (n, 0) where the knots coincide."""
    knots = np.quantile(odds, CURVE_KNOTS)
    if (np.diff(knots) <= 1e-9).any():
        return np.empty((len(odds), 0))
    last, before = knots[-1], knots[-2]
    cubed = np.maximum(odds[:, None] - knots, 0.0) ** 3
    curve = cubed[:, :-2] - (cubed[:, -2:-1] * (last - knots[:-2]) - cubed[:, -1:] * (before - knots[:-2])) / (
        last - before
    )
    return np.asarray(curve / (last - knots[0]) ** 2, dtype=np.float64)
