"""Learners by the names that a study gives them; what a learner needs is imported when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from training.learners.budget import Budget
from training.learners.protocol import Learner

if TYPE_CHECKING:
    from training.learners.stack import Stack
    from training.learners.xgboost_cox import XGBoostCox
    from training.learners.xgboost_horizon import XGBoostHorizon

Class = Callable[..., Learner]


def make_learner(
    name: str, *, monotone: Mapping[str, int], budget: Budget | None, equation: str | None = None
) -> Learner:
    """The learner of this name; boosted ones are constrained, and all trees search settings within the budget.

    equation: that of the study, which `equation_update` starts from.
    """
    if name == "equation_update":
        from training.learners.equation_update import EquationUpdate

        return EquationUpdate(equation)
    if name in _BOOSTED:
        learner = _BOOSTED[name]()(monotone=monotone)
        if budget is None:
            return learner
        from training.learners.tuning import Tuning

        return Tuning(learner, budget)
    if name == "extra_trees" and budget is not None:
        from training.learners.extra_trees import ExtraTrees
        from training.learners.tuning_trees import TuningTrees

        return TuningTrees(ExtraTrees(), budget)
    return LEARNERS[name]()


class _ByName(Mapping[str, Class]):
    """The classes of learners; to list the names, or to ask for one, imports none of them."""

    def __getitem__(self, name: str) -> Class:
        return _CLASSES[name]()

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


def _logistic() -> Class:
    from training.learners.logistic import Logistic

    return Logistic


def _cox() -> Class:
    from training.learners.cox import Cox

    return Cox


def _extra_trees() -> Class:
    from training.learners.extra_trees import ExtraTrees

    return ExtraTrees


def _equation_update() -> Class:
    from training.learners.equation_update import EquationUpdate

    return EquationUpdate


def _xgboost_horizon() -> type[XGBoostHorizon]:
    from training.learners.xgboost_horizon import XGBoostHorizon

    return XGBoostHorizon


def _xgboost_cox() -> type[XGBoostCox]:
    from training.learners.xgboost_cox import XGBoostCox

    return XGBoostCox


def _stack() -> type[Stack]:
    from training.learners.stack import Stack

    return Stack


_BOOSTED: Mapping[str, Callable[[], type[XGBoostHorizon | XGBoostCox | Stack]]] = {
    "xgboost": _xgboost_horizon,
    "xgboost_cox": _xgboost_cox,
    "stack": _stack,
}
_CLASSES: Mapping[str, Callable[[], Class]] = {
    "logistic": _logistic,
    "cox": _cox,
    "xgboost": _xgboost_horizon,
    "xgboost_cox": _xgboost_cox,
    "extra_trees": _extra_trees,
    "stack": _stack,
    "equation_update": _equation_update,
}
LEARNERS: Mapping[str, Class] = _ByName()
TUNABLE = (*_BOOSTED, "extra_trees")  # the linear learners learn their penalties in every fit
