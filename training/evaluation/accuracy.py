"""How far risks are from what happened: Brier score, scaled, and integrated over time."""

from __future__ import annotations

import math

import numpy as np

from features.arrays import Bools, Floats
from training.cohort import CENSORED, EVENT, SMALLEST_SURVIVAL, Outcome, RiskCurves, censoring_kaplan_meier, step


def brier(risk: Floats, label: Bools, *, weight: Floats) -> tuple[float, float]:
    """Weighted Brier score, and its share explained against giving everybody the incidence (scaled Brier)."""
    total = float(weight.sum())
    if total <= 0:
        return math.nan, math.nan
    score = float(weight @ (risk - label) ** 2) / total
    incidence = float(weight @ label) / total
    null = incidence * (1 - incidence)
    return score, 1 - score / null if null > 0 else math.nan


def integrated_brier(outcome: Outcome, curves: RiskCurves, *, count: Floats | None = None) -> float:
    """Mean over time of the Brier score at the curves' times, trapezoid between them.

    Censoring weights from these rows' own Kaplan-Meier (Graf, Stat Med 1999;18:2529).
    """
    w = np.ones(len(outcome)) if count is None else count
    times = np.asarray(curves.horizons_days, dtype=np.float64)
    if len(times) < 2 or w.sum() == 0:
        return math.nan
    at, survival = censoring_kaplan_meier(outcome.time_days, outcome.event, weights=w)
    followed = np.maximum(step(at, survival, at=outcome.time_days, before=True), SMALLEST_SURVIVAL)
    at_times = np.maximum(step(at, survival, at=times), SMALLEST_SURVIVAL)
    gone = outcome.time_days[:, None] <= times
    label = gone & (outcome.event == EVENT)[:, None]
    known = np.where(gone, ((outcome.event != CENSORED) / followed)[:, None], 1 / at_times)
    scores = (w[:, None] * known * (curves.probabilities - label) ** 2).sum(axis=0) / w.sum()
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))
