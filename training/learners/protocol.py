"""What every learner promises: to fit on a frame and an outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Outcome
from training.fitted import Fitted


class Learner(Protocol):
    """A way of learning; a frozen value, so that a study can name it and a run can log it."""

    @property
    def name(self) -> str:
        """Its name in `LEARNERS`."""
        ...

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> Fitted:
        """Learn from n rows; rows of one person stay in one inner fold.

        Raises PresageError where too few people have the event, or the outcome's kind does not suit the learner.
        """
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A learner that has learned already: asked for the same rows again it gives back its model."""

    fitted: Fitted

    @property
    def name(self) -> str:
        """Its name in `LEARNERS`."""
        return self.fitted.name

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> Fitted:
        """The model. Raises ValueError for other rows than as many as it was fitted to."""
        curves = self.fitted.out_of_fold
        if curves is None or len(curves) != len(outcome):
            raise ValueError("a model is kept for the rows that it was fitted to")
        return self.fitted
