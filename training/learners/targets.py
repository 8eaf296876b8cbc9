"""What a learner of one horizon learns from: labels, and weights that stand in for the censored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Positions
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import EVENT, Outcome, known_by
from training.learners.censoring import conditional
from training.learners.folds import MIN_EVENTS


@dataclass(frozen=True, slots=True)
class Target:
    """Had the event by the horizon, and how many people each row stands for (0: not known)."""

    horizon_days: float
    label: npt.NDArray[np.bool_]
    weight: Floats

    def take(self, rows: Positions) -> Target:
        """The same of these rows."""
        return Target(self.horizon_days, self.label[rows], self.weight[rows])


def targets(frame: FeatureFrame, outcome: Outcome, *, weights: Floats | None = None) -> list[Target]:
    """One target per horizon; a binary outcome has one, at horizon nan.

    Whoever cannot be followed to the horizon (`training.cohort.censoring.reachable`) is not learned from, event or not:
    such people have events and no controls, and a model would learn what sets them apart, often the calendar year.
    """
    own = np.ones(len(outcome)) if weights is None else weights
    if outcome.kind == "binary":
        return [Target(float("nan"), outcome.event == EVENT, own)]
    uncensored = conditional(frame, outcome, weights=weights)
    made: list[Target] = []
    for horizon in outcome.horizons_days:
        label, weight = known_by(outcome, horizon, uncensored=uncensored)
        for found, lacking, other in ((label, "events by", "longer"), (~label, "rows free of the event at", "shorter")):
            if int((found & (weight > 0)).sum()) < MIN_EVENTS:
                raise PresageError(
                    "[outcome] horizons_days",
                    f"at least {MIN_EVENTS} {lacking} each horizon, among those who can be followed to it",
                    found="fewer",
                    way_out=f"give a {other} horizon",
                )
        made.append(Target(horizon, label, weight * own))
    return made
