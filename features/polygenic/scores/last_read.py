"""What the scoring file read last said: scores made on one panel often say the same but for their weights."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.polygenic.columns import text
from features.polygenic.scores.score import ScoreRows


class LastRows:
    """The rows of the file read last: scores made on one panel often have the same, which are then understood once."""

    def __init__(self) -> None:
        self._last: tuple[pa.Table, ScoreRows] | None = None

    def same(self, columns: pa.Table, lines: NDArray[np.int64]) -> ScoreRows | None:
        """The last rows, if these columns at these lines say the same."""
        last = self._last
        if last is None or not np.array_equal(last[1].line, lines) or not last[0].equals(columns):
            return None
        return last[1]

    def keep(self, columns: pa.Table, rows: ScoreRows) -> None:
        """For the next file."""
        self._last = (columns, rows)


class LastText:
    """The text of the file parsed last: of one that says the same but for the weights, only these are read."""

    def __init__(self) -> None:
        self._last: tuple[list[str], bytes, int, pa.Table] | None = None

    def same(self, columns: list[str], content: bytes, *, start: int) -> pa.Table | None:
        """The last table with these weights, if these lines say the same in all other columns."""
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
        """For the next file. Cells in quotes may hold what else ends cells: they are not compared letter by letter."""
        self._last = (columns, content, start, table) if b'"' not in content else None
