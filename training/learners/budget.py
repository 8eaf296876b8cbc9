"""How long a search for settings may be, and which settings are searched: said without importing what searches."""

from __future__ import annotations

from dataclasses import dataclass

from features.progress import Advance

SEARCHED = ("depth", "eta", "min_child_weight", "subsample", "colsample_bynode", "lambda")
SEARCHED_OF_TREES = ("min_leaf", "max_features")


def _nothing(done: int) -> None:
    """The progress that nobody watches."""


@dataclass(frozen=True, slots=True)
class Budget:
    """trials: of each search. storage: an SQLAlchemy address that keeps them, so that a search can be resumed; None
    keeps nothing. purpose: what the search is for; with the rows and the folds it names the search. advance: told of
    each trial.
    """

    trials: int
    storage: str | None = None
    purpose: str = ""
    advance: Advance = _nothing
