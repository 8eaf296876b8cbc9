"""Penalised logistic regression with splines; time-to-event outcomes by horizon, with censoring weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.arrays import Floats, Positions
from features.frame import FeatureFrame
from training.cohort import Outcome
from training.fitted import LogisticFit
from training.learners.folds import check_learnable
from training.learners.linear import Warm, design_of, fit_warm, fit_with_held_out, penalty_settings
from training.learners.ridge import FREE, RidgeFit
from training.learners.targets import Target, targets


@dataclass(frozen=True, slots=True)
class Logistic:
    """Ridge-penalised logistic regression, penalties learned per group of columns (see `ridge`)."""

    name: str = "logistic"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> LogisticFit:
        """Coefficients at each horizon, and out-of-fold risks with the same penalties."""
        check_learnable(frame, outcome, persons=persons)
        rows = _Labelled(frame, targets(frame, outcome, weights=weights))
        return fit_with_held_out(_fit_targets, rows, outcome, persons=persons, rng=rng)


@dataclass(frozen=True, slots=True)
class _Labelled:
    """n rows and their label and weight at each horizon."""

    frame: FeatureFrame
    goals: list[Target]

    def take(self, rows: Positions) -> _Labelled:
        return _Labelled(self.frame.take(rows), [goal.take(rows) for goal in self.goals])


def _fit_targets(rows: _Labelled, warm: Warm | None) -> tuple[LogisticFit, list[RidgeFit]]:
    frame, goals = rows.frame, rows.goals
    last = goals[-1]
    relevance = last.weight * (last.label - np.average(last.label, weights=last.weight))
    design = design_of(frame, warm, relevance=relevance)
    X = np.column_stack([design.matrix(frame), np.ones(len(frame))])
    groups = np.append(design.groups, FREE)
    fits: list[RidgeFit] = []
    for position, goal in enumerate(goals):
        likelihood = Bernoulli(X, goal.label.astype(np.float64), goal.weight)
        fits.append(fit_warm(likelihood, groups, warm=None if warm is None else warm.at(position, design)))
    settings = penalty_settings(fits[-1].penalties) | {"effective_parameters": fits[-1].effective_parameters}
    beta = np.stack([fit.beta for fit in fits])
    horizons = tuple(goal.horizon_days for goal in goals)
    return LogisticFit(design, horizons, beta[:, :-1], beta[:, -1], settings), fits


@dataclass(frozen=True, slots=True)
class Bernoulli:
    """The weighted log likelihood of logistic regression on X (n, P), with an offset (n,) of the log odds."""

    X: Floats
    y: Floats
    weight: Floats
    offset: Floats | float = 0.0

    def gradient(self, beta: Floats) -> tuple[float, Floats]:
        """Value and gradient (P,)."""
        eta = self.X @ beta + self.offset
        value = float(self.weight @ (self.y * eta - np.logaddexp(0.0, eta)))
        return value, self.X.T @ (self.weight * (self.y - expit(eta)))

    def information(self, beta: Floats) -> Floats:
        """(P, P) minus the second derivatives."""
        p = expit(self.X @ beta + self.offset)
        root = self.X * np.sqrt(self.weight * p * (1 - p))[:, None]
        return np.asarray(root.T @ root, dtype=np.float64)
