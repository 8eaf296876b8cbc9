"""What happened: censoring weights for each replicate, and the Aalen-Johansen cumulative incidence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from features.arrays import Floats, Ints
from training.cohort import CENSORED, COMPETING, EVENT, SMALLEST_SURVIVAL, Outcome


@njit(cache=True, nogil=True)
def replicate_weights(
    order: Ints, starts: Ints, time: Floats, event: npt.NDArray[np.int8], count: Floats, horizon_days: float
) -> tuple[Floats, Floats]:
    """(n,) weight of each row at the horizon, and (n,) probability of being followed until just before its own time.

    Kaplan-Meier of the censoring over the resampled people (`count` copies of each row); at a tie events come first.
    """
    n = len(time)
    followed = np.ones(n)
    weight = np.zeros(n)
    at_risk = count.sum()
    survival = 1.0
    at_horizon = 1.0
    for g in range(len(starts) - 1):
        t = time[order[starts[g]]]
        leaving = 0.0
        censored = 0.0
        for position in range(starts[g], starts[g + 1]):
            row = order[position]
            followed[row] = max(survival, SMALLEST_SURVIVAL)
            leaving += count[row]
            if event[row] == CENSORED:
                censored += count[row]
        if censored > 0 and at_risk - leaving + censored > 0:
            survival *= 1.0 - censored / (at_risk - leaving + censored)
        if t < horizon_days:
            at_horizon = survival
        at_risk -= leaving
    at_horizon = max(at_horizon, SMALLEST_SURVIVAL)
    for row in range(n):
        if time[row] > horizon_days or (event[row] == CENSORED and time[row] == horizon_days):
            weight[row] = count[row] / at_horizon
        elif event[row] != CENSORED:
            weight[row] = count[row] / followed[row]
    return weight, followed


def aalen_johansen(outcome: Outcome, horizon_days: float, *, count: Floats | None = None) -> float:
    """Cumulative incidence of the event by the horizon; one minus Kaplan-Meier where nothing competes."""
    w = np.ones(len(outcome)) if count is None else count
    times, which = np.unique(outcome.time_days, return_inverse=True)
    leaving = np.bincount(which, weights=w, minlength=len(times))
    at_risk = np.cumsum(leaving[::-1])[::-1]
    events = np.bincount(which, weights=w * (outcome.event == EVENT), minlength=len(times))
    others = np.bincount(which, weights=w * (outcome.event == COMPETING), minlength=len(times))
    safe = np.maximum(at_risk, 1e-12)
    before = np.append(1.0, np.cumprod(1.0 - (events + others) / safe)[:-1])
    return float(np.sum((before * events / safe)[times <= horizon_days]))
