"""Reads a fitted model by the learner that its folder names; what that learner needs is imported then, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from features.errors import PresageError
from training.fitted.protocol import Fitted
from training.fitted.stored import read_learner


def read_fitted(folder: Path) -> Fitted:
    """The model a learner wrote into this folder. Raises PresageError where there is none."""
    name = read_learner(folder)["learner"]
    if name not in _READERS:
        raise PresageError(
            str(folder),
            f"a learner among {', '.join(SERVABLE)}",
            found=f"'{name}'",
            way_out="use the Presage that wrote it, or a later one",
        )
    return _READERS[name](folder)


def _logistic(folder: Path) -> Fitted:
    from training.fitted.logistic import LogisticFit

    return LogisticFit.read(folder)


def _cox(folder: Path) -> Fitted:
    from training.fitted.cox import CoxFit

    return CoxFit.read(folder)


def _xgboost_horizon(folder: Path) -> Fitted:
    from training.fitted.xgboost_horizon import XGBoostHorizonFit

    return XGBoostHorizonFit.read(folder)


def _xgboost_cox(folder: Path) -> Fitted:
    from training.fitted.xgboost_cox import XGBoostCoxFit

    return XGBoostCoxFit.read(folder)


def _stack(folder: Path) -> Fitted:
    from training.fitted.stack import StackFit

    return StackFit.read(folder, member=read_fitted)


def _equation_update(folder: Path) -> Fitted:
    from training.fitted.equation_update import EquationUpdateFit

    return EquationUpdateFit.read(folder, member=read_fitted)


_READERS: Mapping[str, Callable[[Path], Fitted]] = {
    "logistic": _logistic,
    "cox": _cox,
    "xgboost": _xgboost_horizon,
    "xgboost_cox": _xgboost_cox,
    "stack": _stack,
    "equation_update": _equation_update,
}
SERVABLE = tuple(_READERS)  # the learners whose models can be served; the rest are comparators
