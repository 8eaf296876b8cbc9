"""Inverse probability of censoring weights: what stands in for people whose follow-up ended before the horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.outcomes import CENSORED, EVENT, Outcome

Floats = npt.NDArray[np.float64]

SMALLEST_SURVIVAL = 0.05  # nobody stands for more than 20 people


@dataclass(frozen=True, slots=True)
class Uncensored:
    """Probability of still being followed.

    at_time: (n,) just before each row's own time. at_horizons: (n, h) just before the outcome's horizons: who is
    censored at the horizon itself is known not to have had the event by it. Assumes that, given what the
    probabilities are conditional on, censoring says nothing about the event.
    """

    at_time: Floats
    at_horizons: Floats


def marginal(outcome: Outcome) -> Uncensored:
    """Kaplan-Meier of the censoring over these rows, the same for everybody."""
    times, survival = censoring_kaplan_meier(outcome.time_days, outcome.event)
    at_horizons = step(times, survival, np.asarray(outcome.horizons_days, dtype=np.float64), before=True)
    return Uncensored(step(times, survival, outcome.time_days, before=True), np.tile(at_horizons, (len(outcome), 1)))


def censoring_kaplan_meier(
    time: Floats, event: npt.NDArray[np.int8], weights: Floats | None = None
) -> tuple[Floats, Floats]:
    """Distinct censoring times and the probability of being followed beyond them; at a tie, events come first."""
    w = np.ones(len(time)) if weights is None else weights
    times, which = np.unique(time, return_inverse=True)
    leaving = np.bincount(which, weights=w, minlength=len(times))
    censored = np.bincount(which, weights=w * (event == CENSORED), minlength=len(times))
    at_risk = np.cumsum(leaving[::-1])[::-1] - (leaving - censored)
    kept = 1.0 - np.divide(censored, at_risk, out=np.zeros_like(censored), where=at_risk > 0)
    some = censored > 0
    return times[some], np.asarray(np.cumprod(kept)[some], dtype=np.float64)


def step(times: Floats, values: Floats, at: Floats, *, before: bool = False) -> Floats:
    """A right-continuous survival step function at `at`, or just before it."""
    return np.append(1.0, values)[np.searchsorted(times, at, side="left" if before else "right")]


def known_by(outcome: Outcome, horizon_days: float, uncensored: Uncensored) -> tuple[npt.NDArray[np.bool_], Floats]:
    """(n,) had the event by the horizon, and (n,) weight: zero where censored earlier, else 1 / P(uncensored).

    Someone with a competing event by the horizon is known not to have the event; so weighted means estimate the
    cumulative incidence. (Graf, Stat Med 1999;18:2529; Scheike, Biometrika 2008;95:205.)
    """
    label = (outcome.event == EVENT) & (outcome.time_days <= horizon_days)
    position = outcome.horizons_days.index(horizon_days)
    beyond = (outcome.time_days > horizon_days) | ((outcome.event == CENSORED) & (outcome.time_days == horizon_days))
    known = beyond | (outcome.event != CENSORED)
    followed = np.where(beyond, uncensored.at_horizons[:, position], uncensored.at_time)
    weight = np.where(known, 1.0 / np.maximum(followed, SMALLEST_SURVIVAL), 0.0)
    return label, weight
