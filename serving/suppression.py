"""Counts that may leave the care team: 1 to 10 are suppressed, and what would give them away."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SMALLEST = 11


def suppress(
    counts: Sequence[Sequence[int]],
) -> tuple[list[list[int | None]], list[int | None], list[int | None], int | None]:
    """A table of counts with its margins, small ones and their complements as None.

    Returns (cells, row totals, column totals, grand total). Cells and margins of 1 to 10 are suppressed; then, in every
    line (a row with its total, a column with its total, the totals themselves) with exactly one suppressed entry, the
    smallest other entry that is not zero goes too, until no line gives a suppressed count away by subtraction.
    """
    cells = np.asarray(counts, dtype=np.int64).reshape(len(counts), -1)
    table = np.vstack([cells, cells.sum(axis=0)])
    table = np.hstack([table, table.sum(axis=1, keepdims=True)])
    hidden = (table > 0) & (table < SMALLEST)
    while _hide_complements(table, hidden):
        pass
    shown = [
        [None if hide else int(count) for count, hide in zip(*pair, strict=True)]
        for pair in zip(table, hidden, strict=True)
    ]
    *body, totals = shown
    return [row[:-1] for row in body], [row[-1] for row in body], totals[:-1], totals[-1]


def _hide_complements(table: npt.NDArray[np.int64], hidden: npt.NDArray[np.bool_]) -> bool:
    for line, hide in [*zip(table, hidden, strict=True), *zip(table.T, hidden.T, strict=True)]:
        if hide.sum() != 1:
            continue
        others = np.flatnonzero(~hide & (line > 0))
        if not len(others):
            continue
        # Prefer a cell to the line's total, then the smallest count.
        hide[min(others, key=lambda at: (at == len(line) - 1, line[at], at))] = True
        return True
    return False
