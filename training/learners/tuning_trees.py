"""Optuna on the extra trees, as on the boosted learners (`tuning`): a comparator that nobody tuned compares nothing."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import optuna

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Outcome, person_folds
from training.learners.budget import Budget
from training.learners.extra_trees import ExtraTrees, ExtraTreesFit
from training.learners.folds import INNER_FOLDS, check_learnable
from training.learners.targets import Target, targets
from training.learners.tuning import by_folds, searched

TREES_OF_A_TRIAL = 50
SMALLEST_RISK = 1e-3  # a forest may say never, of which one error would cost everything


@dataclass(frozen=True, slots=True)
class TuningTrees:
    """Extra trees that search the size of their leaves and the share of features tried at each split."""

    learner: ExtraTrees
    budget: Budget

    @property
    def name(self) -> str:
        """The learner's."""
        return self.learner.name

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> ExtraTreesFit:
        """Search by the held-out log loss at the last horizon, under censoring weights, then fit with the best."""
        check_learnable(frame, outcome, persons=persons)
        seed = int(rng.integers(2**31))
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        goal = Goal(self.learner, frame, outcome, targets(frame, outcome, weights=weights)[-1], folds, seed)
        first = {"min_leaf": self.learner.min_leaf, "max_features": self.learner.usual_features(frame, outcome)}
        found = searched(goal, first, seed=seed, budget=self.budget)
        best = replace(self.learner, **found.best)
        fitted = best.fit(frame, outcome, persons=persons, rng=rng, weights=weights)
        counted = {"tuning_trials": found.trials, "tuning_pruned": found.pruned, "tuning_score": found.loss}
        return replace(fitted, settings={**fitted.settings, **found.best, **counted})


@dataclass(frozen=True, slots=True)
class Goal:
    """What a trial is scored on."""

    learner: ExtraTrees
    frame: FeatureFrame
    outcome: Outcome
    target: Target
    folds: npt.NDArray[np.int64]
    seed: int

    @property
    def digest(self) -> str:
        """Names rows, folds and settings."""
        found = hashlib.sha256(repr((self.learner, self.seed, self.frame.names)).encode())
        for part in (self.frame.values, self.target.label, self.target.weight, self.folds, self.outcome.time_days):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()[:24]

    def loss(self, trial: optuna.Trial) -> float:
        """Fold by fold; raises TrialPruned where the folds so far say that it is a poor one."""
        tried = replace(
            self.learner,
            trees=TREES_OF_A_TRIAL,
            min_leaf=trial.suggest_int("min_leaf", 2, 60, log=True),
            max_features=trial.suggest_float("max_features", 0.05, 1.0),
        )
        return by_folds(trial, self.folds, weight=self.target.weight, loss=lambda k: self._fold(tried, k))

    def _fold(self, tried: ExtraTrees, k: int) -> float:
        learn, hold = np.flatnonzero(self.folds != k), np.flatnonzero(self.folds == k)
        forest = tried.forests(self.frame.take(learn), self.outcome.take(learn), weights=None, seed=self.seed)
        risk = forest.risk_at(self.frame.take(hold), (self.target.horizon_days,)).probabilities[:, 0]
        p = np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)
        label, weight = self.target.label[hold], self.target.weight[hold]
        return float(np.average(-np.log(np.where(label, p, 1 - p)), weights=weight)) if weight.sum() else 0.0
