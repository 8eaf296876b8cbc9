"""The scoring file that was read last: scores made on one panel often differ in nothing but their weights."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.polygenic.columns import text
from features.polygenic.scores.score import ScoreRows


class LastRows:
    """Keeps the rows of the file that was read last, so that scores with the same rows are understood once."""

    def __init__(self) -> None:
        self._last: tuple[pa.Table, ScoreRows] | None = None

    def same(self, columns: pa.Table, lines: NDArray[np.int64]) -> ScoreRows | None:
        """The kept rows, if these columns at these lines hold the same; None if they do not."""
        last = self._last
        if last is None or not np.array_equal(last[1].line, lines) or not last[0].equals(columns):
            return None
        return last[1]

    def keep(self, columns: pa.Table, rows: ScoreRows) -> None:
        """Keep the rows of a file for the next one."""
        self._last = (columns, rows)


class LastText:
    """Keeps the text of the file that was parsed last, so that of a file that differs only in its weights only these
    are read.
    """

    def __init__(self) -> None:
        self._last: tuple[list[str], bytes, int, pa.Table] | None = None

    def same(self, columns: list[str], content: bytes, *, start: int) -> pa.Table | None:
        """The kept table with the weights of these lines, if they hold the same in all other columns.

        None if they do not.
        """
        last = self._last  # other threads keep theirs meanwhile
        if last is None or "effect_weight" not in columns or columns != last[0]:
            return None
        _, others, others_start, table = last
        weights = text.same_lines(
            content, start, others=others, others_start=others_start, column=columns.index("effect_weight")
        )
        if weights is None or len(weights) != table.num_rows:
            return None
        return table.set_column(table.column_names.index("effect_weight"), "effect_weight", pa.array(weights))

    def keep(self, columns: list[str], content: bytes, *, start: int, table: pa.Table) -> None:
        """Keep the text of a file for the next one.

        Cells in quotes may hold the letters that end other cells: such a text is not kept, as it cannot be compared
        letter by letter.
        """
        self._last = (columns, content, start, table) if b'"' not in content else None
