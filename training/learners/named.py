"""Learners by their names: what a study asks for, and what a bundle is read by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from features.errors import PresageError
from training.learners.cox import Cox, CoxFit
from training.learners.extra_trees import ExtraTrees
from training.learners.linear import read_learner
from training.learners.logistic import Logistic, LogisticFit
from training.learners.protocol import Fitted, Learner
from training.learners.stack import Stack, StackFit
from training.learners.tuning import Budget, Tuning
from training.learners.tuning_trees import TuningTrees
from training.learners.xgboost_cox import XGBoostCox, XGBoostCoxFit
from training.learners.xgboost_horizon import XGBoostHorizon, XGBoostHorizonFit

LEARNERS: Mapping[str, Callable[..., Learner]] = {
    "logistic": Logistic,
    "cox": Cox,
    "xgboost": XGBoostHorizon,
    "xgboost_cox": XGBoostCox,
    "extra_trees": ExtraTrees,
    "stack": Stack,
}
_READERS: Mapping[str, Any] = {
    "logistic": LogisticFit,
    "cox": CoxFit,
    "xgboost": XGBoostHorizonFit,
    "xgboost_cox": XGBoostCoxFit,
    "stack": StackFit,
}
SERVABLE = tuple(_READERS)  # the rest are comparators
_BOOSTED: Mapping[str, Callable[..., XGBoostHorizon | XGBoostCox | Stack]] = {
    "xgboost": XGBoostHorizon,
    "xgboost_cox": XGBoostCox,
    "stack": Stack,
}
TUNABLE = (*_BOOSTED, "extra_trees")  # the linear learners learn their penalties in every fit


def make_learner(name: str, *, monotone: Mapping[str, int], budget: Budget | None) -> Learner:
    """The learner of this name; boosted ones are constrained, and all trees search settings within the budget."""
    if name == "extra_trees" and budget is not None:
        return TuningTrees(ExtraTrees(), budget)
    if name not in _BOOSTED:
        return LEARNERS[name]()
    learner = _BOOSTED[name](monotone=monotone)
    return learner if budget is None else Tuning(learner, budget)


def read_fitted(folder: Path) -> Fitted:
    """The model a learner wrote into this folder. Raises PresageError where there is none."""
    name = read_learner(folder)["learner"]
    if name not in _READERS:
        raise PresageError(str(folder), f"a learner among {', '.join(_READERS)}")
    fitted: Fitted = _READERS[name].read(folder)
    return fitted
