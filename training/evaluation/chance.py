"""How wide the widest gap between groups would be if belonging to one meant nothing.

The widest of several differences is never zero: with ten groups of a hundred people it is .19 in AUC where nothing
differs. So beside every gap stands the one that people shuffled between the groups would show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from training.cohort import Outcome, Uncensored
from training.evaluation.discrimination import within_parts
from training.evaluation.folds import Folds
from training.evaluation.sample import Observed, Predicted

SHUFFLES = 200
HIGH = 95


@dataclass(frozen=True, slots=True)
class Chance:
    """Widest gap in AUC over shuffles: its mean, and what 95 in 100 stay below. nan without two groups."""

    expected: float
    high: float


def gap_by_chance(
    outcome: Outcome,
    risk: Floats,
    *,
    groups: npt.NDArray[np.int64],
    horizon_days: float,
    persons: Ints,
    rng: np.random.Generator,
    uncensored: Uncensored | None = None,
    folds: Folds | None = None,
    shuffles: int = SHUFFLES,
) -> Chance:
    """Of rows (n,) in groups 0, 1, ...; each person takes the labels of another, whichever of all as likely.

    So group sizes stay as they are in people, a person's rows stay together, and no group differs but by chance.
    Assumes that without a difference groups are also alike in case mix: where they are not, AUC differs for that
    reason too, and the observed gap is beyond chance.
    """
    observed, predicted = (
        Observed.of(outcome, horizon_days, persons=persons, uncensored=uncensored),
        Predicted.of(outcome, risk, curves=None),
    )
    weight = observed.weighted(np.ones(len(risk))).weight
    order = np.argsort(persons, kind="stable")
    starts, sizes = np.unique(persons[order], return_index=True, return_counts=True)[1:]
    which = np.repeat(np.arange(len(starts)), sizes)
    nth = np.arange(len(order)) - starts[which]
    labels, n_groups = groups[order], int(groups.max(initial=0)) + 1
    taken = np.empty(len(groups), dtype=np.int64)
    found = np.empty(shuffles)
    for k in range(shuffles):
        other = rng.permutation(len(starts))[which]
        taken[order] = labels[starts[other] + nth % sizes[other]]
        auc = aucs(predicted.falling, predicted.rank, observed.label, weight, taken, n_groups, folds=folds)
        known = auc[np.isfinite(auc)]
        found[k] = np.ptp(known) if len(known) > 1 else np.nan
    defined = found[np.isfinite(found)]
    if len(defined) == 0:
        return Chance(float("nan"), float("nan"))
    return Chance(float(defined.mean()), float(np.percentile(defined, HIGH)))


def aucs(
    falling: Ints,
    rank: Ints,
    label: npt.NDArray[np.bool_],
    weight: Floats,
    group: Ints,
    n_groups: int,
    *,
    folds: Folds | None = None,
) -> Floats:
    """(g,) weighted area under the ROC curve of each group, of pairs within a fold; nan without both classes."""
    n_folds = 1 if folds is None else len(folds.pass_of)
    cell = group if folds is None else group * n_folds + folds.split
    agree, cases, controls, _ = within_parts(falling, rank, label, weight, cell, n_groups * n_folds)
    shape = (n_groups, n_folds)
    agreeing, pairs = agree.reshape(shape).sum(axis=1), (cases * controls).reshape(shape).sum(axis=1)
    found: Floats = np.divide(agreeing, pairs, out=np.full(n_groups, np.nan), where=pairs > 0)
    return found
