"""Inner folds: rows of one person together, people with the event spread evenly, the same whatever the row order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import EVENT, Outcome, RiskCurves, known_controls

MIN_EVENTS = 10
INNER_FOLDS = 4


class Predicts(Protocol):
    """A model of a fold."""

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """(n, h) risks."""
        ...


def check_learnable(frame: FeatureFrame, outcome: Outcome, *, persons: npt.NDArray[np.int64]) -> None:
    """Raise PresageError unless at least 10 people have the event, values and times are usable, and there is somebody
    without it: with horizons, at least 10 people known to be free of it at the last.
    """
    endless = np.isinf(frame.values).any(axis=0)
    if endless.any():
        name = frame.names[int(np.flatnonzero(endless)[0])]
        raise PresageError(
            f"[features], feature '{name}'",
            "finite values or missing ones",
            found="infinite ones",
            way_out="mend them at the source, or exclude the feature",
        )
    if len(outcome) != len(persons):
        raise ValueError(f"an outcome of {len(outcome)} rows is learned from a frame of {len(persons)}")
    with_event = len(np.unique(persons[outcome.event == EVENT]))
    if with_event < MIN_EVENTS:
        raise PresageError(
            "[outcome]",
            f"at least {MIN_EVENTS} people with the event to learn from",
            found=str(with_event),
            way_out="widen the population, the code list or the horizon",
        )
    if bool((outcome.event == EVENT).all()) and outcome.kind == "binary":
        raise PresageError("[outcome]", "people with the event and people without it", found="only people with it")
    if outcome.kind != "binary":
        bad = ~np.isfinite(outcome.time_days) | (outcome.time_days < 0)
        if bad.any():
            raise PresageError(
                "[outcome] time", "a time of zero or more days in every row", found=f"{int(bad.sum())} rows without"
            )
        free = len(np.unique(persons[known_controls(outcome)]))
        if free < MIN_EVENTS:
            raise PresageError(
                "[outcome] horizons_days",
                f"at least {MIN_EVENTS} people known to be free of the event at {outcome.horizons_days[-1]:g} days",
                found=str(free),
                way_out="give a shorter horizon: nobody is followed to this one",
            )


def out_of_fold(
    frame: FeatureFrame,
    folds: npt.NDArray[np.int64],
    *,
    horizons_days: tuple[float, ...],
    fit: Callable[[npt.NDArray[np.intp]], Predicts],
) -> RiskCurves:
    """(n, h) risks of every row by the model of `fit` (given the rows to learn from) that did not see it."""
    risks = np.empty((len(frame), len(horizons_days)))
    for k in range(INNER_FOLDS):
        learn, hold = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
        risks[hold] = fit(learn).risk_at(frame.take(hold), horizons_days).probabilities
    return RiskCurves(horizons_days, risks)
