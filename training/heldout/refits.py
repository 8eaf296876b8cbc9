"""The chosen candidate fitted anew to other draws of the people it learned from: what one fit cannot tell of itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from features.arrays import Ints
from features.errors import PresageError
from features.progress import Advance
from training.cohort import Cohort
from training.fitting import fit_clinical, fit_combined
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan
from training.learners import SEARCHED, Learner, make_learner
from training.models import Pair

REFITS = 6


def refits(plan: Plan, held: HeldOut, *, advance: Advance) -> tuple[Pair, ...]:
    """Both models on people drawn with replacement from the first split's training side, as often as `REFITS`.

    With the settings that a search found, without searching again. A draw that cannot be learned from (too few people
    with the event) is left out.
    """
    cohort, (split, uncensored) = plan.cohort, next(iter(plan.parts))
    learner = _as_found(held.pairs[0], cohort)
    made = []
    for k in range(REFITS):
        rng = plan.stream(held.candidate, "refit", str(k))
        positions = _drawn(cohort.persons[split.train], rng)
        rows, some = split.train[positions], None if uncensored is None else uncensored.take(positions)
        try:
            clinical = fit_clinical(learner, cohort, rows=rows, names=cohort.clinical_names, uncensored=some, rng=rng)
            combined = held.pairs[0].combined
            if combined is not None:
                combined = fit_combined(
                    cohort, rows, clinical=clinical, names=cohort.genomic_names, uncensored=some, rng=rng
                )
            made.append(Pair(held.candidate, clinical, combined))
        except PresageError:
            pass
        advance(1)
    return tuple(made)


def _as_found(pair: Pair, cohort: Cohort) -> Learner:
    learner: Any = make_learner(pair.candidate, monotone=cohort.monotone, budget=None)
    settings = pair.clinical.fitted.settings
    if "tuning_trials" not in settings:
        return learner  # type: ignore[no-any-return]
    parameters = {name: settings[name] for name in SEARCHED if name != "depth"}
    found: Learner = replace(learner, parameters=parameters, depths=(settings["depth"],))
    return found


def _drawn(persons: Ints, rng: np.random.Generator) -> Ints:
    """Positions of all rows of people drawn with replacement, somebody drawn twice twice."""
    people, row_person = np.unique(persons, return_inverse=True)
    count = np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people))
    return np.repeat(np.arange(len(persons)), count[row_person])
