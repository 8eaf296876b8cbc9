"""How hazards of the last calendar years compare with those a model was calibrated to: a period approach.

Estimand: the risk by the horizon of somebody scored on the record's last day, if hazards given the features stay as
they were in the last calendar years of the record; no trend is carried further. A landmark too late to be followed to
the horizon says nothing of the risk by it, but what befell those people is of the hazards now. So time since the
landmark that lies in the last calendar years is looked at, of early landmarks the end, of late ones the beginning, each
row entering when the years begin (left truncation), as in Brenner's period survival analysis (Brenner, Gefeller, Eur J
Cancer 1996;32A:1721). Events seen there against those expected from held-out risks, over the same ratio in all the time
the risks were calibrated to, is the ratio of hazards. Decisions: docs/decisions/0009-last-years.md.

Assumes that the calendar year multiplies the hazard of everybody alike. Competing events: the hazard of the cumulative
incidence, whose risk set keeps who had a competing event for as long as the dates would have let them be followed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from training.cohort import COMPETING, EVENT, Outcome, Uncensored
from training.learners import baseline_jumps

YEAR_DAYS = 365.25
MIN_PEOPLE = 200  # with the event in the years looked at: the ratio's error is then 7 of 100
MOST_YEARS = 5
SURE = 1.96
SMALLEST_RISK = 1e-9


@dataclass(frozen=True, slots=True)
class Period:
    """Hazard ratio of the last `years` to the time the risks were calibrated to, and what is made of it.

    people: with the event in those years. factor: what hazards are multiplied by, the ratio drawn towards 1.
    """

    horizon_days: float
    years: int
    people: int
    ratio: float
    low: float
    high: float
    factor: float


def period_of(
    risk: Floats,
    outcome: Outcome,
    *,
    persons: Ints,
    uncensored: Uncensored,
    position: int,
    factors: Floats | None = None,
) -> Period | None:
    """Of held-out calibrated risks (n,) by the horizon at `position`; None where dates are not known, nobody is out of
    reach, or fewer than 200 people have the event in the last 5 years.

    factors: (n,) what each row's hazard in those years is multiplied by; with them the ratio is what is left. The
    factor found is the ratio to the power max(0, 1 - (1.96 / z)^2), z its distance from 1 in standard errors over
    people: 1 unless the ratio is surely another, and nearly the ratio where it is beyond doubt.
    """
    horizon, reached = outcome.horizons_days[position], uncensored.reaches(position)
    if outcome.followable_days is None or reached.all() or not reached.any():
        return None
    time = np.minimum(outcome.time_days, horizon)
    happened = (outcome.event == EVENT) & (outcome.time_days <= horizon)
    until = np.minimum(np.where(outcome.event == COMPETING, outcome.followable_days, outcome.time_days), horizon)
    hazard = -np.log1p(-np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK))
    share = _cumulative(until[reached], happened[reached], hazard=hazard[reached])
    people = np.unique(persons, return_inverse=True)[1]
    usual = _Tally.of(happened & reached, hazard * share(until) * reached, people=people)
    for years in range(1, MOST_YEARS + 1):
        since = outcome.followable_days - years * YEAR_DAYS
        inside = happened & (time > since)
        if len(np.unique(people[inside])) < MIN_PEOPLE:
            continue
        expected = hazard * np.maximum(share(until) - share(np.maximum(since, 0.0)), 0.0)
        expected = expected if factors is None else expected * factors
        return _compared(_Tally.of(inside, expected, people=people), usual, horizon=horizon, years=years)
    return None


@dataclass(frozen=True, slots=True)
class _Tally:
    """(p,) events and expected events of each person."""

    observed: Floats
    expected: Floats

    @classmethod
    def of(cls, happened: Bools, expected: Floats, *, people: Ints) -> _Tally:
        sums = [np.bincount(people, weights=each).astype(np.float64) for each in (happened, expected)]
        return cls(sums[0], sums[1])

    @property
    def ratio(self) -> float:
        return float(self.observed.sum() / self.expected.sum())

    @property
    def influence(self) -> Floats:
        """(p,) what each person moves the log of the ratio by."""
        return np.asarray((self.observed - self.ratio * self.expected) / self.observed.sum(), dtype=np.float64)


def _compared(now: _Tally, usual: _Tally, *, horizon: float, years: int) -> Period | None:
    if min(now.expected.sum(), usual.expected.sum(), usual.observed.sum()) <= 0:
        return None
    log = float(np.log(now.ratio / usual.ratio))
    error = float(np.sqrt(np.sum((now.influence - usual.influence) ** 2)))
    kept = max(0.0, 1.0 - (SURE * error / log) ** 2) if log else 0.0
    low, high = np.exp(log + SURE * error * np.array([-1.0, 1.0]))
    people = int((now.observed > 0).sum())
    return Period(horizon, years, people, float(np.exp(log)), float(low), float(high), float(np.exp(kept * log)))


def _cumulative(until: Floats, happened: Bools, *, hazard: Floats) -> Callable[[Floats], Floats]:
    """Estimate by Breslow's method the cumulative hazard over time of a person whose hazard by the horizon is 1.

    until: (n,) days from the landmark for which a person counts as at risk. happened: (n,) whether the event ended
    them. hazard: (n,) each person's cumulative hazard by the horizon. Returns a function of days since the landmark.
    The cumulative incidence of the whole group would be the wrong shape: people at high risk have the event first, so
    the hazard of those who are left falls although nobody's own hazard does.
    """
    times, jumps = baseline_jumps(until, happened, eta=np.log(hazard))
    cumulative = np.append(0.0, np.cumsum(jumps))
    return lambda at: cumulative[np.searchsorted(times, at, side="right")]
