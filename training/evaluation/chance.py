"""How wide the widest gap between groups would be if belonging to one meant nothing.

The widest of several differences is never zero: with ten groups of a hundred people it is .19 in AUC where nothing
differs. So beside every gap stands the one that people shuffled between the groups would show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from features.arrays import Floats, Ints
from training.cohort import Outcome, Uncensored
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
        auc = aucs(predicted.falling, predicted.rank, observed.label, weight, taken, n_groups)
        known = auc[np.isfinite(auc)]
        found[k] = np.ptp(known) if len(known) > 1 else np.nan
    defined = found[np.isfinite(found)]
    if len(defined) == 0:
        return Chance(float("nan"), float("nan"))
    return Chance(float(defined.mean()), float(np.percentile(defined, HIGH)))


@njit(cache=True, nogil=True)
def aucs(falling: Ints, rank: Ints, label: npt.NDArray[np.bool_], weight: Floats, group: Ints, n_groups: int) -> Floats:
    """(g,) weighted area under the ROC curve of each group, in one pass by falling risk; nan without both classes."""
    cases, controls, agree = np.zeros(n_groups), np.zeros(n_groups), np.zeros(n_groups)
    tied_cases, tied_controls = np.zeros(n_groups), np.zeros(n_groups)
    n = len(falling)
    i = 0
    while i < n:
        j = i
        while j < n and rank[falling[j]] == rank[falling[i]]:
            row = falling[j]
            if label[row]:
                tied_cases[group[row]] += weight[row]
            else:
                tied_controls[group[row]] += weight[row]
            j += 1
        for k in range(i, j):
            g = group[falling[k]]
            if tied_cases[g] > 0.0 or tied_controls[g] > 0.0:
                agree[g] += tied_controls[g] * (cases[g] + 0.5 * tied_cases[g])
                cases[g] += tied_cases[g]
                controls[g] += tied_controls[g]
                tied_cases[g] = 0.0
                tied_controls[g] = 0.0
        i = j
    return np.where((cases > 0.0) & (controls > 0.0), agree / np.maximum(cases * controls, 1e-300), np.nan)
