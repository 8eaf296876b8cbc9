"""Inverse probability of censoring weights: what stands in for people whose follow-up ended before the horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Bools, Floats
from training.cohort.outcome import CENSORED, COMPETING, EVENT, Outcome

SMALLEST_SURVIVAL = 0.05  # nobody stands for more than 20 people
STRATA, STRATUM_ROWS = 100, 50


@dataclass(frozen=True, slots=True)
class Uncensored:
    """Probability of still being followed.

    at_time: (n,) just before each row's own time. at_horizons: (n, h) just before the outcome's horizons: who is
    censored at the horizon itself is known not to have had the event by it. Assumes that, given what the
    probabilities are conditional on, censoring says nothing about the event.
    reachable: (n, h) whether somebody like that can be followed to the horizon at all; None: everybody can. Whoever
    cannot has events and no controls, so counts nowhere at that horizon: no weight brings back what cannot be seen.
    """

    at_time: Floats
    at_horizons: Floats
    reachable: Bools | None = None

    def take(self, rows: npt.NDArray[np.intp]) -> Uncensored:
        """The same for these rows."""
        reachable = None if self.reachable is None else self.reachable[rows]
        return Uncensored(self.at_time[rows], self.at_horizons[rows], reachable)

    def reaches(self, position: int) -> Bools:
        """(n,) who can be followed to the horizon at this position."""
        return np.ones(len(self.at_time), dtype=np.bool_) if self.reachable is None else self.reachable[:, position]


def marginal(outcome: Outcome) -> Uncensored:
    """Kaplan-Meier of the censoring over the rows that can be followed to the last horizon, the same for everybody."""
    reachable = followable(outcome)
    whole = outcome.take(np.flatnonzero(reachable[:, -1]))
    times, survival = censoring_kaplan_meier(whole.time_days, whole.event)
    at_horizons = step(times, survival, at=np.asarray(outcome.horizons_days, dtype=np.float64), before=True)
    at_time = step(times, survival, at=outcome.time_days, before=True)
    return Uncensored(at_time, np.tile(at_horizons, (len(outcome), 1)), reachable)


def followable(outcome: Outcome) -> Bools:
    """(n, h) whose follow-up could last until each horizon, as the dates say; everybody's where they say nothing."""
    if outcome.followable_days is None:
        return np.ones((len(outcome), len(outcome.horizons_days)), dtype=np.bool_)
    found: Bools = np.column_stack([outcome.followable_days >= horizon for horizon in outcome.horizons_days])
    return found


def reachable(outcome: Outcome, followed: Floats, *, could: Bools) -> Bools:
    """(n, h) who of those who `could` be followed to each horizon is not of a stratum in which nobody was.

    followed: (n, h) modelled probabilities, whose order makes up to 100 strata of at least 50 rows. A regression of
    the censoring smooths over a study's closing date; the Kaplan-Meier of each stratum does not. One more row that
    never leaves is added to it, so that a stratum is out of reach only where some 20 rows at risk were seen to leave.
    """
    found = could.copy()
    for position, horizon in enumerate(outcome.horizons_days):
        rows = np.flatnonzero(found[:, position])
        order = rows[np.argsort(followed[rows, position], kind="stable")]
        for stratum in np.array_split(order, min(max(len(rows) // STRATUM_ROWS, 1), STRATA)):
            found[stratum, position] = _seen(outcome, stratum, horizon_days=horizon) >= SMALLEST_SURVIVAL
    return found


def _seen(outcome: Outcome, rows: npt.NDArray[np.intp], *, horizon_days: float) -> float:
    """Kaplan-Meier probability of being followed until just before the horizon, with one more row that is."""
    time = np.append(outcome.time_days[rows], np.inf)
    event = np.append(outcome.event[rows], np.int8(CENSORED))
    return float(step(*censoring_kaplan_meier(time, event), at=np.array([horizon_days]), before=True)[0])


def known_controls(outcome: Outcome) -> Bools:
    """(n,) known to be without the event at the last horizon, of rows that could be followed there.

    Whoever is beyond it was followed. A competing event before it counts only where follow-up reaches the horizon at
    all: else an incidence by then is known of nobody.
    """
    last = outcome.horizons_days[-1]
    beyond: Bools = (outcome.time_days > last) | ((outcome.event == CENSORED) & (outcome.time_days == last))
    rows = np.flatnonzero(followable(outcome)[:, -1])
    competed = np.zeros(len(outcome), dtype=np.bool_)
    if _seen(outcome, rows, horizon_days=last) >= SMALLEST_SURVIVAL:
        competed[rows] = (outcome.event[rows] == COMPETING) & (outcome.time_days[rows] <= last)
    return np.logical_or(beyond, competed)


def censoring_kaplan_meier(
    time: Floats, event: npt.NDArray[np.int8], *, weights: Floats | None = None
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


def step(times: Floats, values: Floats, *, at: Floats, before: bool = False) -> Floats:
    """A right-continuous survival step function at `at`, or just before it."""
    return np.append(1.0, values)[np.searchsorted(times, at, side="left" if before else "right")]


def known_by(outcome: Outcome, horizon_days: float, *, uncensored: Uncensored) -> tuple[npt.NDArray[np.bool_], Floats]:
    """(n,) had the event by the horizon, and (n,) weight: zero where censored earlier or out of reach, else
    1 / P(uncensored).

    Someone with a competing event by the horizon is known not to have the event; so weighted means estimate the
    cumulative incidence. (Graf, Stat Med 1999;18:2529; Scheike, Biometrika 2008;95:205.)
    """
    label = (outcome.event == EVENT) & (outcome.time_days <= horizon_days)
    position = outcome.horizons_days.index(horizon_days)
    beyond = (outcome.time_days > horizon_days) | ((outcome.event == CENSORED) & (outcome.time_days == horizon_days))
    known = (beyond | (outcome.event != CENSORED)) & uncensored.reaches(position)
    followed = np.where(beyond, uncensored.at_horizons[:, position], uncensored.at_time)
    weight = np.where(known, 1.0 / np.maximum(followed, SMALLEST_SURVIVAL), 0.0)
    return label, weight
