"""Penalised logistic regression with splines; time-to-event outcomes by horizon, with censoring weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Outcome, RiskCurves, person_folds
from training.learners.design import Design
from training.learners.folds import INNER_FOLDS, check_learnable, out_of_fold
from training.learners.linear import (
    Warm,
    design_of,
    fit_warm,
    linear_terms,
    penalty_settings,
    read_learner,
    write_learner,
)
from training.learners.protocol import Contributions
from training.learners.ridge import FREE, RidgeFit
from training.learners.targets import Target, rising, targets


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """One logistic regression per horizon on one design."""

    design: Design
    horizons_days: tuple[float, ...]
    beta: Floats  # (h, P)
    intercept: Floats  # (h,)
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "logistic"

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Probability of the event by each horizon."""
        odds = self.design.matrix(frame) @ self.beta.T + self.intercept
        return rising(self.horizons_days, expit(odds), asked=horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """Exact terms of the log odds at the last horizon."""
        return linear_terms(self.design, self.beta[-1], frame=frame, intercept=float(self.intercept[-1]))

    def write(self, folder: Path) -> None:
        """`learner.json`."""
        horizons = [None if np.isnan(h) else h for h in self.horizons_days]
        stored = {"learner": self.name, "design": self.design.to_json(), "horizons_days": horizons}
        numbers = {"beta": self.beta.tolist(), "intercept": self.intercept.tolist(), "settings": dict(self.settings)}
        write_learner(folder, stored | numbers)

    @classmethod
    def read(cls, folder: Path) -> LogisticFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        horizons = tuple(float("nan") if h is None else float(h) for h in stored["horizons_days"])
        beta = np.array(stored["beta"], dtype=np.float64).reshape(len(horizons), -1)
        intercept = np.array(stored["intercept"], dtype=np.float64)
        return cls(Design.from_json(stored["design"]), horizons, beta, intercept, stored["settings"])


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
        goals = targets(frame, outcome, weights=weights)
        fitted, fits = _fit_targets(frame, goals, warm=None)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)

        def part(learn: npt.NDArray[np.intp]) -> LogisticFit:
            some = [Target(goal.horizon_days, goal.label[learn], goal.weight[learn]) for goal in goals]
            return _fit_targets(frame.take(learn), some, warm=Warm(fitted.design, fits, len(learn) / len(frame)))[0]

        return replace(fitted, out_of_fold=out_of_fold(frame, folds, horizons_days=fitted.horizons_days, fit=part))


def _fit_targets(frame: FeatureFrame, goals: list[Target], *, warm: Warm | None) -> tuple[LogisticFit, list[RidgeFit]]:
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
    """The weighted log likelihood of logistic regression on X (n, P)."""

    X: Floats
    y: Floats
    weight: Floats

    def gradient(self, beta: Floats) -> tuple[float, Floats]:
        """Value and gradient (P,)."""
        eta = self.X @ beta
        value = float(self.weight @ (self.y * eta - np.logaddexp(0.0, eta)))
        return value, self.X.T @ (self.weight * (self.y - expit(eta)))

    def information(self, beta: Floats) -> Floats:
        """(P, P) minus the second derivatives."""
        p = expit(self.X @ beta)
        root = self.X * np.sqrt(self.weight * p * (1 - p))[:, None]
        return np.asarray(root.T @ root, dtype=np.float64)
