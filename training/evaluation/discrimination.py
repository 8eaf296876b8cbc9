"""Do people with the event get higher risks: concordance under censoring and competing events, AUC, average precision.

All take weights, so that one sort serves the estimate and every bootstrap replicate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from features.arrays import Floats, Ints
from training.cohort import COMPETING, EVENT, Outcome


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows in order of time, and the dense rank of their risk: what concordance needs sorted once."""

    order: Ints  # shortest time first
    starts: Ints  # first position of each distinct time, then n
    rank: Ints  # (n,) 0-based dense rank of risk, by row
    event: npt.NDArray[np.int8]  # by row

    @classmethod
    def of(cls, outcome: Outcome, risk: Floats) -> Pairs:
        """Sort."""
        order = np.argsort(outcome.time_days, kind="stable")
        times = outcome.time_days[order]
        changes = np.flatnonzero(np.append(True, times[1:] != times[:-1]))
        starts = np.append(changes, len(times)).astype(np.int64)
        rank = np.unique(risk, return_inverse=True)[1].astype(np.int64)
        return cls(order, starts, rank, outcome.event)


def concordance(pairs: Pairs, count: Floats, *, followed: Floats, usable: npt.NDArray[np.bool_]) -> float:
    """Share of comparable pairs in which the person with the earlier event has the higher risk; equal risks half.

    count: (n,) how often each row counts. followed: (n,) probability of being uncensored just before the row's time;
    ones give Harrell's C (Stat Med 1996;15:361), those of Kaplan-Meier Uno's (Stat Med 2011;30:1105), which assumes
    that censoring depends on nothing. Probabilities conditional on covariates do not belong here: a later row j would
    have to be weighed by its own G(Ti | Xj) rather than G(Ti | Xi) (Gerds, Stat Med 2013;32:2173). usable: (n,) events
    that start a pair, such as those by the horizon. Whoever has a competing event never has the event and stays
    comparable (Wolbers, Biostatistics 2014;15:526). nan without a comparable pair.
    """
    agree, total = _concordance(
        pairs.order, pairs.starts, pairs.rank, pairs.event, count, followed, usable, int(pairs.rank.max(initial=0)) + 1
    )
    return agree / total if total > 0 else math.nan


@njit(cache=True, nogil=True)
def _concordance(
    order: Ints,
    starts: Ints,
    rank: Ints,
    event: npt.NDArray[np.int8],
    count: Floats,
    followed: Floats,
    usable: npt.NDArray[np.bool_],
    n_ranks: int,
) -> tuple[float, float]:
    tree = np.zeros(n_ranks + 1)
    everybody = 0.0
    agree = 0.0
    total = 0.0
    for g in range(len(starts) - 2, -1, -1):  # later times first: the tree holds who is still at risk
        for position in range(starts[g], starts[g + 1]):
            row = order[position]
            if event[row] != EVENT:
                everybody += count[row]
                _add(tree, rank[row], count[row])
        for position in range(starts[g], starts[g + 1]):
            row = order[position]
            if event[row] == EVENT and usable[row] and count[row] > 0:
                weight = count[row] / (followed[row] * followed[row])
                agree += weight * _below(tree, rank[row])
                total += weight * everybody
        for position in range(starts[g], starts[g + 1]):
            row = order[position]
            if event[row] == EVENT:
                everybody += count[row]
                _add(tree, rank[row], count[row])
    tree[:] = 0.0
    everybody = 0.0
    for g in range(len(starts) - 1):  # earlier competing events, each weighted to its own time
        for position in range(starts[g], starts[g + 1]):
            row = order[position]
            if event[row] == EVENT and usable[row] and count[row] > 0 and everybody > 0:
                weight = count[row] / followed[row]
                agree += weight * _below(tree, rank[row])
                total += weight * everybody
        for position in range(starts[g], starts[g + 1]):
            row = order[position]
            if event[row] == COMPETING:
                everybody += count[row] / followed[row]
                _add(tree, rank[row], count[row] / followed[row])
    return agree, total


@njit(cache=True, nogil=True)
def _add(tree: Floats, rank: int, weight: float) -> None:
    """Add a weight at a rank of a Fenwick tree."""
    k = rank + 1
    while k < len(tree):
        tree[k] += weight
        k += k & -k


@njit(cache=True, nogil=True)
def _below(tree: Floats, rank: int) -> float:
    """The weight of lower ranks, and half of that at this rank."""
    lower = 0.0
    k = rank
    while k > 0:
        lower += tree[k]
        k -= k & -k
    up_to = 0.0
    k = rank + 1
    while k > 0:
        up_to += tree[k]
        k -= k & -k
    return (lower + up_to) / 2


@njit(cache=True, nogil=True)
def auc_and_precision(falling: Ints, rank: Ints, label: npt.NDArray[np.bool_], weight: Floats) -> tuple[float, float]:
    """Weighted area under the ROC curve, and average precision (as scikit-learn defines it).

    falling: rows by falling risk. A case had the event by the horizon; a control is known not to, by a competing
    event or by staying free of it (Blanche, Stat Med 2013;32:5381, the second definition of controls). nan where one
    class is absent.
    """
    cases = 0.0
    controls = 0.0
    agree = 0.0
    precision = 0.0
    i = 0
    n = len(falling)
    while i < n:
        j = i
        tied_cases = 0.0
        tied_controls = 0.0
        while j < n and rank[falling[j]] == rank[falling[i]]:
            row = falling[j]
            if label[row]:
                tied_cases += weight[row]
            else:
                tied_controls += weight[row]
            j += 1
        agree += tied_controls * (cases + 0.5 * tied_cases)
        cases += tied_cases
        controls += tied_controls
        if tied_cases > 0:
            precision += tied_cases * cases / (cases + controls)
        i = j
    if cases == 0.0 or controls == 0.0:
        return np.nan, np.nan
    return agree / (cases * controls), precision / cases
