"""Optuna on the boosted learners: settings by held-out loss over the inner folds, within a budget of trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import optuna

from features.frame import FeatureFrame
from features.progress import Progress, silent
from training.learners.boosting import Columns, cross_fit
from training.learners.folds import INNER_FOLDS, check_learnable, person_folds
from training.learners.targets import targets
from training.learners.xgboost_cox import XGBoostCox, signed_ranks
from training.learners.xgboost_horizon import XGBoostHorizon
from training.outcomes import EVENT, Outcome

Floats = npt.NDArray[np.float64]
Boosted = Literal["xgboost", "xgboost_cox"]


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best settings found, to be given to the learner; `loss` is held out, `trials` counts finished and pruned."""

    depth: int
    parameters: Mapping[str, float]
    loss: float
    trials: int

    def learner(self, name: Boosted, *, monotone: Mapping[str, int] | None = None) -> XGBoostHorizon | XGBoostCox:
        """The learner with these settings."""
        made = XGBoostHorizon if name == "xgboost" else XGBoostCox
        return made(monotone=monotone or {}, parameters=self.parameters, depths=(self.depth,))


def tune(
    name: Boosted,
    frame: FeatureFrame,
    outcome: Outcome,
    *,
    persons: npt.NDArray[np.int64],
    rng: np.random.Generator,
    trials: int,
    storage: str | None = None,
    study: str = "presage",
    progress: Progress = silent,
) -> Tuned:
    """Search eta, depth, sampling and penalties on the training rows; the last horizon counts.

    storage: an SQLAlchemy address keeps the trials: a second call with the same study goes on where the first one
    stopped. Poor trials stop early (median of the others at the same number of rounds).
    """
    check_learnable(frame, outcome, persons)
    seed = int(rng.integers(2**31))
    held_out = _held_out_loss(name, frame, outcome, persons=persons, rng=rng, seed=seed)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search = optuna.create_study(
        study_name=study,
        storage=storage,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=30),
    )
    done = len([t for t in search.trials if t.state.is_finished()])
    with progress(f"tuning {name}", total=trials) as advance:
        advance(min(done, trials))
        search.optimize(
            lambda trial: held_out(trial), n_trials=max(trials - done, 0), callbacks=[lambda *_: advance(1)]
        )
    best = dict(search.best_params)
    return Tuned(int(best.pop("max_depth")), best, float(search.best_value), len(search.trials))


def _held_out_loss(
    name: Boosted,
    frame: FeatureFrame,
    outcome: Outcome,
    *,
    persons: npt.NDArray[np.int64],
    rng: np.random.Generator,
    seed: int,
) -> Callable[[optuna.Trial], float]:
    columns = Columns.of(frame)
    matrix = columns.matrix(frame)
    folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
    label, weight, base = _goal(name, frame, outcome, columns, seed)

    def loss(trial: optuna.Trial) -> float:
        def watch(rounds: int, held_out: float) -> None:
            trial.report(held_out, rounds)
            if trial.should_prune():
                raise optuna.TrialPruned

        parameters = {**base, **suggested(trial)}
        return cross_fit(matrix, columns.types, label, weight, folds, parameters, watch=watch).loss

    return loss


def _goal(
    name: Boosted, frame: FeatureFrame, outcome: Outcome, columns: Columns, seed: int
) -> tuple[Floats, Floats, Mapping[str, Any]]:
    if name == "xgboost":
        goal = targets(frame, outcome)[-1]
        return goal.label.astype(np.float64), goal.weight, XGBoostHorizon().grid(columns, len(frame), seed).parameters
    label = signed_ranks(outcome.time_days, outcome.event == EVENT)
    return label, np.ones(len(frame)), XGBoostCox().grid(columns, len(frame), seed, monotone=True).parameters


def suggested(trial: optuna.Trial) -> dict[str, float]:
    """The space that is searched."""
    return {
        "max_depth": trial.suggest_int("max_depth", 1, 6),
        "eta": trial.suggest_float("eta", 0.02, 0.2, log=True),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.5, 50.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bynode": trial.suggest_float("colsample_bynode", 0.1, 1.0),
        "lambda": trial.suggest_float("lambda", 0.1, 100.0, log=True),
    }
