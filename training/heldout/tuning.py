"""The search for settings in a training: its budget, where its trials are kept, and what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from features.errors import PresageError
from features.home import made_home
from features.progress import Advance
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan
from training.learners import SEARCHED, SEARCHED_OF_TREES, TUNABLE, Budget
from training.models import Pair
from training.result import Search, Tuned

TRIALS_FILE = "tuning.db"


def budget_of(plan: Plan, trials: int | None, *, advance: Advance | None = None) -> Budget | None:
    """Trials kept in $PRESAGE_HOME, so that the same study on the same rows goes on where it stopped.

    trials: of each search; None: no search. advance: told of each trial.
    """
    if trials is None:
        return None
    if trials < 1:
        raise PresageError("--tune", "at least one trial for each candidate", found=str(trials))
    storage = f"sqlite:///{made_home() / TRIALS_FILE}"
    budget = Budget(trials, storage, purpose=f"{plan.study.name} {plan.study.digest()[:12]}")
    return budget if advance is None else replace(budget, advance=advance)


def trials_of(candidate: str, trials: int | None) -> int:
    """How many trials one fit of a candidate runs."""
    return trials if trials is not None and candidate in TUNABLE else 0


def searches(held: Mapping[str, HeldOut], chosen: HeldOut, *, final: Pair) -> dict[str, Tuned]:
    """By candidate: the search of the model that is served (of the first split, where it is not), and of each split."""
    found: dict[str, Tuned] = {}
    for name, each in held.items():
        served = _search(final if name == chosen.candidate else each.pairs[0])
        if served is not None:
            splits = dict.fromkeys(each.fold.tolist())
            per_split = {split: _search(pair) for split, pair in zip(splits, each.pairs, strict=True)}
            known = {split: search for split, search in per_split.items() if search is not None}
            found[name] = Tuned(
                trials=served.trials, pruned=served.pruned, best=served.best, score=served.score, splits=known
            )
    return found


def _search(pair: Pair) -> Search | None:
    settings: Mapping[str, Any] = pair.clinical.fitted.settings
    if "tuning_trials" not in settings:
        return None
    return Search(
        trials=settings["tuning_trials"],
        pruned=settings["tuning_pruned"],
        best={name: settings[name] for name in (*SEARCHED, *SEARCHED_OF_TREES) if name in settings},
        score=settings["tuning_score"],
    )
