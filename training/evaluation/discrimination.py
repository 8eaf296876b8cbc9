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
    """Rows in order of part and time, and the dense rank of their risk: what concordance needs sorted once.

    A part is what one model has tested: rows of different parts are never compared.
    """

    order: Ints  # part by part, shortest time first
    starts: Ints  # first position of each distinct time of a part, then n
    parts: Ints  # first position in `starts` of each part, then the number of distinct times
    rank: Ints  # (n,) 0-based dense rank of risk within its part, by row
    event: npt.NDArray[np.int8]  # by row

    @classmethod
    def of(cls, outcome: Outcome, risk: Floats, *, part: Ints | None = None) -> Pairs:
        """Sort. part: (n,) whose pairs are compared; None: everybody with everybody."""
        mine = np.zeros(len(risk), dtype=np.int64) if part is None else part
        order = np.lexsort((outcome.time_days, mine))
        starts = np.append(_changes(outcome.time_days[order], mine[order]), len(order)).astype(np.int64)
        of_time = mine[order[starts[:-1]]] if len(order) else mine
        parts = np.append(_changes(of_time, of_time), len(starts) - 1).astype(np.int64)
        return cls(order, starts, parts, _dense_rank(risk, mine), outcome.event)


def _changes(values: Floats | Ints, part: Ints) -> Ints:
    """Positions at which the value or the part is another than before; the first always is."""
    other = (values[1:] != values[:-1]) | (part[1:] != part[:-1])
    return np.flatnonzero(np.append(True, other)).astype(np.int64)


def _dense_rank(risk: Floats, part: Ints) -> Ints:
    """(n,) the rank of each row's risk among the different risks of its part, from 0."""
    order = np.lexsort((risk, part))
    dense = np.zeros(len(order), dtype=np.int64)
    if len(order):
        dense[_changes(risk[order], part[order])] = 1
        dense = np.cumsum(dense)
        first = _changes(part[order], part[order])
        dense -= np.repeat(dense[first], np.diff(np.append(first, len(order))))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = dense
    return rank


def concordance(pairs: Pairs, count: Floats, *, followed: Floats, usable: npt.NDArray[np.bool_]) -> float:
    """Share of comparable pairs in which the person with the earlier event has the higher risk; equal risks half.

    count: (n,) how often each row counts. followed: (n,) probability of being uncensored just before the row's time;
    ones give Harrell's C (Stat Med 1996;15:361), those of Kaplan-Meier Uno's (Stat Med 2011;30:1105), which assumes
    that censoring depends on nothing. Probabilities conditional on covariates do not belong here: a later row j would
    have to be weighed by its own G(Ti | Xj) rather than G(Ti | Xi) (Gerds, Stat Med 2013;32:2173). usable: (n,) events
    that start a pair, such as those by the horizon. Whoever has a competing event never has the event and stays
    comparable (Wolbers, Biostatistics 2014;15:526). Agreeing and comparable pairs are summed over
    parts. nan without a comparable pair.
    """
    n_ranks = int(pairs.rank.max(initial=0)) + 1
    agree, total = _concordance(
        pairs.order, pairs.starts, pairs.parts, pairs.rank, pairs.event, count, followed, usable, n_ranks
    )
    return agree / total if total > 0 else math.nan


@njit(cache=True, nogil=True)
def _concordance(
    order: Ints,
    starts: Ints,
    parts: Ints,
    rank: Ints,
    event: npt.NDArray[np.int8],
    count: Floats,
    followed: Floats,
    usable: npt.NDArray[np.bool_],
    n_ranks: int,
) -> tuple[float, float]:
    tree = np.zeros(n_ranks + 1)
    agree = 0.0
    total = 0.0
    for part in range(len(parts) - 1):
        tree[:] = 0.0
        everybody = 0.0
        for g in range(parts[part + 1] - 1, parts[part] - 1, -1):  # later times first: the tree holds who is at risk
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
        for g in range(parts[part], parts[part + 1]):  # earlier competing events, each weighted to its own time
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


def auc_and_precision(
    falling: Ints,
    rank: Ints,
    label: npt.NDArray[np.bool_],
    weight: Floats,
    *,
    part: Ints | None = None,
    n_parts: int = 1,
) -> tuple[float, float]:
    """Weighted area under the ROC curve, and average precision (as scikit-learn defines it).

    falling: rows by falling risk. A case had the event by the horizon; a control is known not to, by a competing
    event or by staying free of it (Blanche, Stat Med 2013;32:5381, the second definition of controls). part: (n,) the
    part of each row, whose cases are compared with its controls: the area counts every pair within a part, precision
    is the mean over parts weighted by their cases. Parts without both classes say nothing; nan where none has both.
    """
    mine = np.zeros(len(falling), dtype=np.int64) if part is None else part
    agree, cases, controls, precision = within_parts(falling, rank, label, weight, mine, n_parts)
    both = (cases > 0) & (controls > 0)
    if not both.any():
        return math.nan, math.nan
    pairs = cases[both] * controls[both]
    return float(agree[both].sum() / pairs.sum()), float(precision[both].sum() / cases[both].sum())


@njit(cache=True, nogil=True)
def within_parts(
    falling: Ints, rank: Ints, label: npt.NDArray[np.bool_], weight: Floats, part: Ints, n_parts: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """(p,) of each part: pairs that agree, cases, controls, and the sum of precision over cases, by falling risk."""
    agree, cases, controls, precision = np.zeros(n_parts), np.zeros(n_parts), np.zeros(n_parts), np.zeros(n_parts)
    tied_cases, tied_controls = np.zeros(n_parts), np.zeros(n_parts)
    n = len(falling)
    i = 0
    while i < n:
        j = i
        while j < n and rank[falling[j]] == rank[falling[i]]:
            row = falling[j]
            if label[row]:
                tied_cases[part[row]] += weight[row]
            else:
                tied_controls[part[row]] += weight[row]
            j += 1
        for k in range(i, j):
            p = part[falling[k]]
            if tied_cases[p] > 0.0 or tied_controls[p] > 0.0:
                agree[p] += tied_controls[p] * (cases[p] + 0.5 * tied_cases[p])
                cases[p] += tied_cases[p]
                controls[p] += tied_controls[p]
                if tied_cases[p] > 0.0:
                    precision[p] += tied_cases[p] * cases[p] / (cases[p] + controls[p])
                tied_cases[p] = 0.0
                tied_controls[p] = 0.0
        i = j
    return agree, cases, controls, precision
