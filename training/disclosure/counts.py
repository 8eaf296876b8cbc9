"""Counts that may leave the care team: 1 to 10 are suppressed, and whatever would give them away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Ints

SMALLEST = 11


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A table of counts with its margins; None is a count that is not shown."""

    cells: tuple[tuple[int | None, ...], ...]
    row_totals: tuple[int | None, ...]
    column_totals: tuple[int | None, ...]
    total: int | None


def suppress(counts: Sequence[Sequence[int]]) -> Suppressed:
    """Hide counts of 1 to 10, margins too, and then enough others that none can be had back by subtraction.

    Every line of the table adds up to its total. So hidden counts are edges of a graph between rows and columns, and
    one is known exactly when it lies on no cycle of hidden ones (Kelly, Golden, Assad 1992, Networks 22:397).
    """
    cells = np.asarray(counts, dtype=np.int64).reshape(len(counts), -1)
    table = np.vstack([cells, cells.sum(axis=0)])
    table = np.hstack([table, table.sum(axis=1, keepdims=True)])
    hidden = (table > 0) & (table < SMALLEST)
    for row, column in np.argwhere(hidden).tolist():
        if not _on_a_cycle(hidden, row, column=column):
            _close_a_cycle(table, hidden, row=row, column=column)
    shown = [
        tuple(None if hide else int(count) for count, hide in zip(line, hides, strict=True))
        for line, hides in zip(table, hidden, strict=True)
    ]
    body, totals = shown[:-1], shown[-1]
    return Suppressed(tuple(row[:-1] for row in body), tuple(row[-1] for row in body), totals[:-1], totals[-1])


def shown_part(part: int, whole: int) -> int | None:
    """A count of some of a whole that is shown, None where it or what it leaves of the whole is 1 to 10.

    >>> shown_part(995, 1000), shown_part(900, 1000), shown_part(1000, 1000)
    (None, 900, 1000)
    """
    few = 0 < part < SMALLEST or 0 < whole - part < SMALLEST
    return None if few else part


def _close_a_cycle(table: Ints, hidden: Bools, *, row: int, column: int) -> None:
    """Hide the corners of the cheapest rectangle on this count: cells before totals, small counts before large ones.

    Where no rectangle of counts above zero exists, nothing more can be hidden: what is left adds up to this count.
    """
    best: tuple[tuple[int, int], list[tuple[int, int]]] | None = None
    for r, c in np.argwhere(table > 0).tolist():
        if r == row or c == column or not (table[row, c] and table[r, column]):
            continue
        corners = [at for at in ((row, c), (r, column), (r, c)) if not hidden[at]]
        totals = sum(at[0] == len(table) - 1 or at[1] == len(table[0]) - 1 for at in corners)
        cost = (totals, sum(int(table[at]) for at in corners))
        if best is None or cost < best[0]:
            best = (cost, corners)
    for at in [] if best is None else best[1]:
        hidden[at] = True


def _on_a_cycle(hidden: Bools, row: int, *, column: int) -> bool:
    """Whether the row can be reached from the column over other hidden counts."""
    rows, columns, queue = {row}, set[int](), [row]
    while queue:
        at = queue.pop()
        for c in np.flatnonzero(hidden[at]).tolist():
            if (at, c) == (row, column) or c in columns:
                continue
            columns.add(c)
            found = [r for r in np.flatnonzero(hidden[:, c]).tolist() if r not in rows and (r, c) != (row, column)]
            queue += found
            rows |= set(found)
    return column in columns
