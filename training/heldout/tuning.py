"""The search for settings in a training: its budget, where its trials are kept, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.errors import PresageError
from features.home import made_home
from features.progress import Advance
from training.heldout.candidates import HeldOut
from training.learners import SEARCHED, SEARCHED_OF_TREES, TUNABLE, Budget
from training.models import Pair
from training.study import Study

TRIALS_FILE = "tuning.db"


def budget_of(study: Study, trials: int | None, *, advance: Advance) -> Budget | None:
    """Trials kept in $PRESAGE_HOME, so that the same study on the same rows goes on where it stopped."""
    if trials is None:
        return None
    if trials < 1:
        raise PresageError("--tune", "at least one trial for each candidate", found=str(trials))
    storage = f"sqlite:///{made_home() / TRIALS_FILE}"
    return Budget(trials, storage, purpose=f"{study.name} {study.digest()[:12]}", advance=advance)


def quiet_budget(budget: Budget | None) -> Budget | None:
    """The same search, where the bar it reported to is gone."""
    return None if budget is None else Budget(budget.trials, budget.storage, budget.purpose)


def trials_of(candidate: str, trials: int | None) -> int:
    """How many trials one fit of a candidate runs."""
    return trials if trials is not None and candidate in TUNABLE else 0


def tuning_json(held: Mapping[str, HeldOut], chosen: HeldOut, *, final: Pair) -> dict[str, Any]:
    """By candidate: the search of the model that is served (of the first split, where it is not), and of each split."""
    found: dict[str, Any] = {}
    for name, each in held.items():
        served = final if name == chosen.candidate else each.pairs[0]
        if _search(served):
            splits = dict.fromkeys(each.fold.tolist())
            per_split = {split: _search(pair) for split, pair in zip(splits, each.pairs, strict=True)}
            found[name] = {**_search(served), "splits": per_split}
    return found


def _search(pair: Pair) -> dict[str, Any]:
    settings = pair.clinical.fitted.settings
    if "tuning_trials" not in settings:
        return {}
    return {
        "trials": settings["tuning_trials"],
        "pruned": settings["tuning_pruned"],
        "best": {name: settings[name] for name in (*SEARCHED, *SEARCHED_OF_TREES) if name in settings},
        "score": settings["tuning_score"],
    }
