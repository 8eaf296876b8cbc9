"""People with outcomes and risks, sorted once, so that every bootstrap replicate is only a change of counts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from features.errors import PresageError
from training.cohort import EVENT, Outcome, RiskCurves, Uncensored, known_by
from training.evaluation.calibration import CalibrationBases
from training.evaluation.discrimination import Pairs
from training.evaluation.folds import Folds
from training.evaluation.incidence import replicate_weights


@dataclass(frozen=True, slots=True)
class Weighted:
    """One replicate. weight: (n,) at the horizon, count included. followed: (n,) until just before each row's time,
    by Kaplan-Meier whatever the weights are conditional on: see `concordance`.
    """

    count: Floats
    weight: Floats
    followed: Floats


@dataclass(frozen=True, slots=True)
class Observed:
    """What happened to n rows by one horizon; the same for every model's risks.

    label: (n,) had the event by the horizon. reachable: (n,) whether the row counts at the horizon at all. fixed: (n,)
    weights conditional on covariates, None to estimate
    Kaplan-Meier weights within each replicate. part: (n,) whose pairs are compared, of `n_parts`.
    """

    outcome: Outcome
    horizon_days: float
    label: npt.NDArray[np.bool_]
    reachable: npt.NDArray[np.bool_]
    order: Ints
    starts: Ints
    row_person: Ints
    n_people: int
    fixed: Floats | None
    part: Ints
    n_parts: int

    @classmethod
    def of(
        cls,
        outcome: Outcome,
        horizon_days: float,
        *,
        persons: npt.NDArray[np.int64],
        uncensored: Uncensored | None,
        folds: Folds | None = None,
    ) -> Observed:
        """Sort by time; binary outcomes need no weights. folds: whose pairs are compared; None: everybody's."""
        people, row_person = np.unique(persons, return_inverse=True)
        n = len(outcome)
        every = np.ones(n, dtype=np.bool_)
        parts = (np.zeros(n, dtype=np.int64), 1) if folds is None else (folds.split, len(folds.pass_of))
        if outcome.kind == "binary":
            none = none_of()
            label = outcome.event == EVENT
            return cls(outcome, math.nan, label, every, none, none, row_person, len(people), np.ones(n), *parts)
        order = np.argsort(outcome.time_days, kind="stable")
        times = outcome.time_days[order]
        changes = np.flatnonzero(np.append(True, times[1:] != times[:-1])) if n else none_of()
        label = (outcome.event == EVENT) & (outcome.time_days <= horizon_days)
        starts = np.append(changes, n).astype(np.int64)
        fixed = None
        if uncensored is not None:
            fixed = known_by(outcome, horizon_days, uncensored=uncensored)[1]
            every = uncensored.reaches(outcome.horizons_days.index(horizon_days))
        return cls(outcome, horizon_days, label, every, order, starts, row_person, len(people), fixed, *parts)

    def weighted(self, count: Floats) -> Weighted:
        """The rows counted so often, with their censoring weights."""
        if self.outcome.kind == "binary":
            return Weighted(count, count, np.ones(len(count)))
        weight, followed = replicate_weights(
            self.order, self.starts, self.outcome.time_days, self.outcome.event, count, self.horizon_days
        )
        return Weighted(count, weight if self.fixed is None else self.fixed * count, followed)

    def counts(self, rng: np.random.Generator, n_boot: int) -> Iterator[Floats]:
        """(n,) how often each row counts, people drawn with replacement; everybody once comes first."""
        yield np.ones(len(self.outcome))
        for _ in range(n_boot):
            drawn = np.bincount(rng.integers(self.n_people, size=self.n_people), minlength=self.n_people)
            yield drawn[self.row_person].astype(np.float64)


def none_of() -> Ints:
    """No positions."""
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Predicted:
    """One model's risks of the same rows, sorted. curves: risks over a grid of times, for the integrated Brier."""

    risk: Floats
    falling: Ints
    rank: Ints
    pairs: Pairs | None
    bases: CalibrationBases
    curves: RiskCurves | None

    @classmethod
    def of(cls, outcome: Outcome, risk: Floats, *, curves: RiskCurves | None, part: Ints | None = None) -> Predicted:
        """Sort by risk. part: as in `Observed`. Raises PresageError unless every risk is a probability."""
        if len(risk) != len(outcome):
            raise PresageError("risk", f"one risk for each of the {len(outcome)} rows", found=str(len(risk)))
        wrong = ~((risk >= 0) & (risk <= 1))
        if wrong.any():
            raise PresageError(
                "risk", "a probability between 0 and 1 in every row", found=f"{int(wrong.sum())} rows without"
            )
        rank = np.unique(risk, return_inverse=True)[1].astype(np.int64)
        falling = np.argsort(-rank, kind="stable")
        pairs = None if outcome.kind == "binary" else Pairs.of(outcome, risk, part=part)
        return cls(risk, falling, rank, pairs, CalibrationBases.of(risk), curves)
