"""What a model may keep of the people it learned from: nothing that fewer than 11 of them share.

A model is handed on, so a clip limit, a knot, a tree's threshold, the name of a level or a step of a baseline hazard
must not be one person's value (docs/models.md lists what is kept and why). Learners look at `coarse` rows: values that
fewer than 11 people reach are pulled in to those that 11 do, numbers stand on a grid, rare levels are one. All of it is
learned on the rows given, which are those of the training part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.arrays import Floats, Ints, Singles, Strings
from features.frame import FeatureFrame
from training.disclosure.counts import SMALLEST

OTHER = "other levels"
STEPS = 64  # at least so many steps of a number's grid between its quartiles
LARGEST_COUNT = 64  # a code recorded more often counts as recorded so often


def coarse(frame: FeatureFrame) -> FeatureFrame:
    """The same rows, each value shared with at least 10 other people or hidden among them.

    A number is pulled in between the values that at least 11 people reach from either side, then taken down to a
    multiple of a power of two, at most a 64th of the distance between the quartiles; nobody has it where fewer than 11
    people do. Taken down, so that "below a multiple" is the same question of the value itself: a tree learned on these
    rows answers the same about the rows as they are. Levels of a category: `common_levels`. Counts of a code: at most
    what 11 people reach.
    """
    values = frame.values.copy()
    person = np.unique(frame.subject_ids, return_inverse=True)[1]
    levels: dict[str, tuple[str, ...]] = {}
    for j, name in enumerate(frame.names):
        if name in frame.levels:
            levels[name] = common_levels(values[:, j], person, levels=frame.levels[name])
        else:
            values[:, j] = _coarse_number(values[:, j], person)
    kept = FeatureFrame(frame.subject_ids, frame.as_of, frame.names, values, frame.levels)
    values = recoded(kept, frame.names, levels=levels)
    codes = None if frame.codes is None else _capped(frame.codes, last_rows(frame.subject_ids))
    return replace(frame, values=values, levels=levels, codes=codes)


def recoded(frame: FeatureFrame, names: Sequence[str], *, levels: Mapping[str, tuple[str, ...]]) -> Singles:
    """(n, p) values of these features, the numbers of a category's levels those of `levels`.

    A level that is not among them is OTHER where that is one of them, else missing.
    """
    where = {name: i for i, name in enumerate(frame.names)}
    positions = [where[name] for name in names]
    values = frame.values if frame.names == tuple(names) else frame.values[:, positions]
    for j, name in enumerate(names):
        here = frame.levels.get(name)
        if name not in levels or here is None or here == levels[name]:
            continue
        if values is frame.values:
            values = values.copy()
        number = {level: np.float32(i) for i, level in enumerate(levels[name])}
        unknown = number.get(OTHER, np.float32(np.nan))
        table = np.array([number.get(level, unknown) for level in here] + [np.nan], dtype=np.float32)
        known = ~np.isnan(values[:, j])
        values[:, j] = table[np.where(known, np.nan_to_num(values[:, j]), len(here)).astype(np.int64)]
    return values


def common_levels(column: Singles, person: Ints, *, levels: tuple[str, ...]) -> tuple[str, ...]:
    """Levels that at least 11 people have, and OTHER for the rest where there is a rest.

    The rest is joined by the next rare level until it has 11 people itself: a level of 3 people is not to be had as
    what remains.
    """
    known = ~np.isnan(column)
    pairs = np.unique(np.column_stack([column[known].astype(np.int64), person[known]]), axis=0)
    people = np.bincount(pairs[:, 0], minlength=len(levels))
    order = np.argsort(people, kind="stable")
    merged = int(np.searchsorted(people[order], SMALLEST))
    while merged < len(levels) and 0 < _people_with(pairs, order[:merged]) < SMALLEST:
        merged += 1
    kept = set(order[merged:].tolist())
    rest = (OTHER,) if _people_with(pairs, order[:merged]) else ()
    return (*(level for i, level in enumerate(levels) if i in kept and level != OTHER), *rest)


def pooled(labels: Strings, persons: Ints) -> Strings:
    """(n,) group labels, those of fewer than 11 people under one name; None stays None.

    No larger group joins them, as its fairness would be lost: their count is hidden where it is shown.
    """
    pairs = {(str(label), who) for label, who in zip(labels, persons.tolist(), strict=True) if label is not None}
    people = Counter(label for label, _ in pairs)
    found = [label if label is None or people[str(label)] >= SMALLEST else OTHER for label in labels]
    return np.array(found, dtype=object)


def _people_with(pairs: Ints, chosen: Ints) -> int:
    return len(np.unique(pairs[np.isin(pairs[:, 0], chosen), 1]))


def reached(column: Singles, person: Ints) -> tuple[float, float]:
    """The lowest and the highest value that at least 11 people reach; (nan, nan) where fewer than 11 have one.

    The low one is the 11th lowest of people's lowest values, the high one the 11th highest of their highest.
    """
    known = ~np.isnan(column)
    value, who = column[known], person[known]
    if len(value) < SMALLEST:
        return np.nan, np.nan
    low = high = value
    if np.bincount(who).max() > 1:
        order = np.argsort(who, kind="stable")
        starts = np.flatnonzero(np.append(True, np.diff(who[order]) > 0))
        low, high = np.minimum.reduceat(value[order], starts), np.maximum.reduceat(value[order], starts)
    if len(low) < SMALLEST:
        return np.nan, np.nan
    nth = SMALLEST - 1
    return float(np.partition(low, nth)[nth]), float(-np.partition(-high, nth)[nth])


def grid_step(column: Singles, low: float, *, high: float) -> float:
    """A power of two, at most a 64th of the distance between the quartiles (of the limits, where these are one)."""
    finite = column[np.isfinite(column)]  # endless values are refused where a learner sees them
    spread = float(np.subtract(*np.percentile(finite, (75, 25)))) if len(finite) else 0.0
    spread = spread or high - low
    return float(2.0 ** np.floor(np.log2(spread / STEPS))) if 0 < spread < np.inf else 0.0


def _coarse_number(column: Singles, person: Ints) -> Singles:
    low, high = reached(column, person)
    if np.isnan(low):
        return np.full(len(column), np.nan, dtype=np.float32)
    low = min(low, high)
    step = grid_step(column, low, high=high)
    pulled = np.clip(column, np.float32(low), np.float32(high))
    return pulled if step == 0 else (np.floor(pulled / np.float32(step)) * np.float32(step)).astype(np.float32)


def _capped(counts: sparse.csr_matrix, one_each: npt.NDArray[np.intp]) -> sparse.csr_matrix:
    """Counts of codes, each at most what 11 people's rows in `one_each` reach."""
    codes = sparse.csr_matrix(counts, copy=True)
    some = codes if len(one_each) == codes.shape[0] else codes[one_each]
    count = np.minimum(some.data, LARGEST_COUNT).astype(np.int64)
    held = np.bincount(some.indices * (LARGEST_COUNT + 1) + count, minlength=codes.shape[1] * (LARGEST_COUNT + 1))
    at_least = held.reshape(codes.shape[1], LARGEST_COUNT + 1)[:, ::-1].cumsum(axis=1)[:, ::-1]
    most = np.maximum((at_least[:, 1:] >= SMALLEST).sum(axis=1), 1)
    codes.data = np.minimum(codes.data, most[codes.indices]).astype(codes.data.dtype)
    return codes


def last_rows(persons: Ints) -> npt.NDArray[np.intp]:
    """One row of each person, the last: a sample in which as many rows are as many people."""
    backwards = np.unique(persons[::-1], return_index=True)[1]
    return np.sort(len(persons) - 1 - backwards)


def event_grid(times: Floats, persons: Ints, *, edges: Floats, fixed: Sequence[float]) -> Floats:
    """Those of the increasing `edges` between which at least 11 people have one of these event times.

    `fixed` edges stay whoever lies between: they were named before anybody was looked at. Begins at 0; what is left
    after the last of both is not told of. edges: multiples of a length that no person decided.
    """
    stops = sorted({float(t) for t in fixed})
    candidates = np.unique(np.concatenate([edges[edges > 0], stops]))
    which = np.searchsorted(candidates, times, side="left")
    order = np.argsort(which, kind="stable")
    groups = np.split(persons[order], np.searchsorted(which[order], np.arange(1, len(candidates) + 1)))
    grid: list[float] = [0.0]
    since: set[int] = set()
    for edge, group in zip(candidates.tolist(), groups, strict=False):
        since.update(group.tolist())
        if edge in stops:
            if 0 < len(since) < SMALLEST and len(grid) > 1 and grid[-1] not in stops:
                grid.pop()
            grid.append(edge)
            since = set()
        elif len(since) >= SMALLEST:
            grid.append(edge)
            since = set()
    return np.array(grid)
