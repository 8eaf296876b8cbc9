"""Optuna on the boosted learners: settings by held-out loss over inner folds, within a budget of trials.

A `Tuning` learner searches on the very rows it is then fitted to, so whoever fits it inside a training fold has a
nested search: the test fold is never seen. Decisions: docs/decisions/0005-tuning.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import optuna

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import EVENT, Outcome, person_folds
from training.disclosure import coarse
from training.fitted import Columns, Fitted, Matrix
from training.learners.boosting import fold_loss
from training.learners.budget import Budget
from training.learners.folds import INNER_FOLDS, check_learnable
from training.learners.stack import Stack
from training.learners.targets import targets
from training.learners.xgboost_cox import XGBoostCox, signed_ranks
from training.learners.xgboost_horizon import XGBoostHorizon

Boosted = XGBoostHorizon | XGBoostCox

AS_UNTUNED = {"max_depth": 3, "eta": 0.05, "min_child_weight": 3.0, "subsample": 0.7, "colsample_bynode": 0.5}
FIRST_TRIALS = 5  # that are never stopped early: a median needs company
KEPT = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED)


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best settings found; `loss` is held out, `trials` counts finished and pruned ones, `pruned` the latter."""

    depth: int
    parameters: Mapping[str, float]
    loss: float
    trials: int
    pruned: int

    @property
    def settings(self) -> dict[str, float | int | str]:
        """For the run's log, beside what the fit itself chose."""
        counted = {"tuning_trials": self.trials, "tuning_pruned": self.pruned, "tuning_score": self.loss}
        return {"depth": self.depth, **self.parameters, **counted}


@dataclass(frozen=True, slots=True)
class Tuning:
    """A learner that searches the settings of its boosted part on its training rows, then fits with the best."""

    learner: Boosted | Stack
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
    ) -> Fitted:
        """Search, then fit; the inner folds of the fit are drawn anew."""
        boosted = self.learner.boosted(outcome) if isinstance(self.learner, Stack) else self.learner
        found = tune(boosted, frame, outcome=outcome, persons=persons, rng=rng, budget=self.budget, weights=weights)
        best = replace(self.learner, parameters=found.parameters, depths=(found.depth,))
        fitted = best.fit(frame, outcome, persons=persons, rng=rng, weights=weights)
        return replace(fitted, settings={**fitted.settings, **found.settings})


def tune(
    learner: Boosted,
    frame: FeatureFrame,
    *,
    outcome: Outcome,
    persons: npt.NDArray[np.int64],
    rng: np.random.Generator,
    budget: Budget,
    weights: Floats | None = None,
) -> Tuned:
    """Search eta, depth, sampling and penalties; with several horizons the last one counts.

    The score is the mean over inner folds of the least held-out loss. A trial stops after a fold by which it is worse
    than the median of the others. Each trial's chance comes from the seed and its number, so a search that was
    interrupted goes on as if it had not been.
    """
    check_learnable(frame, outcome, persons=persons)
    seed = int(rng.integers(2**31))
    folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
    goal = Goal.of(learner, frame, outcome=outcome, folds=folds, seed=seed, weights=weights)
    found = searched(goal, {**AS_UNTUNED, "lambda": 1.0}, seed=seed, budget=budget)
    parameters = dict(found.best)
    depth = int(parameters.pop("max_depth"))
    return Tuned(depth, parameters, found.loss, found.trials, found.pruned)


class Scored(Protocol):
    """What a search asks of its trials."""

    @property
    def digest(self) -> str:
        """Names rows, folds and settings that are not searched."""
        ...

    def loss(self, trial: optuna.Trial) -> float:
        """Held out; raises TrialPruned where the folds so far say that the trial is a poor one."""
        ...


@dataclass(frozen=True, slots=True)
class Search:
    """The best settings, their held-out loss, and how many trials were finished or pruned."""

    best: Mapping[str, Any]
    loss: float
    trials: int
    pruned: int


def searched(goal: Scored, first: Mapping[str, Any], *, seed: int, budget: Budget) -> Search:
    """The trials of a budget, `first` before all others; it goes on where an earlier search of the goal stopped."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = optuna.create_study(
        study_name=f"{budget.purpose} {goal.digest}".strip(),
        storage=budget.storage,
        load_if_exists=True,
        pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST_TRIALS),
    )
    search.enqueue_trial(dict(first), skip_if_exists=True)
    done = len(search.get_trials(deepcopy=False, states=KEPT))
    budget.advance(min(done, budget.trials))
    for number in range(done, budget.trials):
        search.sampler = optuna.samplers.TPESampler(seed=seed % 2**31 + number)
        search.optimize(goal.loss, n_trials=1)
        budget.advance(1)
    trials = search.get_trials(deepcopy=False, states=KEPT)[: budget.trials]
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    best = min(complete, key=lambda trial: (float(trial.value or 0.0), trial.number))
    return Search(best.params, float(best.value or 0.0), len(trials), len(trials) - len(complete))


def by_folds(
    trial: optuna.Trial, folds: npt.NDArray[np.int64], *, weight: Floats, loss: Callable[[int], float]
) -> float:
    """Mean of the inner folds' losses; raises TrialPruned after a fold by which the trial is a poor one."""
    losses: list[float] = []
    share: list[float] = []
    for k in range(INNER_FOLDS):
        losses.append(loss(k))
        share.append(float(weight[folds == k].sum()))
        trial.report(float(np.average(losses, weights=share)), k)
        if k < INNER_FOLDS - 1 and trial.should_prune():
            raise optuna.TrialPruned
    return float(np.average(losses, weights=share))


@dataclass(frozen=True, slots=True)
class Goal:
    """What a trial is scored on: rows, labels, weights and folds, and XGBoost's settings that are not searched."""

    matrix: Matrix
    types: list[str] | None
    label: Floats
    weight: Floats
    folds: npt.NDArray[np.int64]
    base: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        learner: Boosted,
        frame: FeatureFrame,
        *,
        outcome: Outcome,
        folds: npt.NDArray[np.int64],
        seed: int,
        weights: Floats | None,
    ) -> Goal:
        """The last horizon's label and weights, or the event's signed ranks."""
        seen = coarse(frame)
        columns = Columns.of(seen)
        if isinstance(learner, XGBoostHorizon):
            last = targets(frame, outcome, weights=weights)[-1]
            label, weight = last.label.astype(np.float64), last.weight
            grid = learner.grid(columns, len(frame), seed=seed)
        else:
            label = signed_ranks(outcome.time_days, outcome.event == EVENT)
            weight = np.ones(len(frame)) if weights is None else weights
            grid = learner.grid(columns, len(frame), seed=seed, monotone=True)
        return cls(columns.matrix(seen), columns.types, label, weight, folds, grid.parameters)

    @property
    def digest(self) -> str:
        """Names rows, folds and settings, so that trials of one search are never taken for those of another."""
        found = hashlib.sha256(json.dumps([self.base, self.types], sort_keys=True).encode())
        matrix = self.matrix
        parts = [matrix] if isinstance(matrix, np.ndarray) else [matrix.data, matrix.indices, matrix.indptr]
        for part in (*parts, self.label, self.weight, self.folds):
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()[:24]

    def loss(self, trial: optuna.Trial) -> float:
        """Fold by fold; raises TrialPruned where the folds so far say that it is a poor one."""
        parameters = {**self.base, **suggested(trial)}

        def loss(k: int) -> float:
            return fold_loss(
                self.matrix,
                self.types,
                label=self.label,
                weight=self.weight,
                held=self.folds == k,
                parameters=parameters,
            )

        return by_folds(trial, self.folds, weight=self.weight, loss=loss)


def suggested(trial: optuna.Trial) -> dict[str, float]:
    """The space that is searched."""
    return {
        "max_depth": trial.suggest_int("max_depth", 1, 6),
        "eta": trial.suggest_float("eta", 0.02, 0.2, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 3.0, 50.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bynode": trial.suggest_float("colsample_bynode", 0.1, 1.0),
        "lambda": trial.suggest_float("lambda", 0.1, 100.0, log=True),
    }
