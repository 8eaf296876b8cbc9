"""Rows of genotypes collected one by one: in memory while small, in an unnamed file beyond."""

from __future__ import annotations

import os
import tempfile
from typing import IO

import numpy as np
from numpy.typing import NDArray

ROWS = 512

Row = NDArray[np.int8] | NDArray[np.float32]


class GenotypeSpool:
    """Rows of int8 counts or float32 dosages, read back by number. Finish before reading."""

    def __init__(self, n_samples: int, *, in_memory_mb: int = 100) -> None:
        self._n = n_samples
        self._limit = in_memory_mb * 1_000_000
        self._held = 0
        self._open: list[Row] = []
        self._starts: list[int] = []  # number of each block's first row
        self._blocks: list[NDArray[np.int8] | NDArray[np.float32] | tuple[int, int, bool]] = []
        self._file: IO[bytes] | None = None
        self.has_dosages = False
        self.length = 0

    def add(self, row: Row) -> int:
        """Keep a row, and return its number."""
        self._open.append(row)
        self.length += 1
        if len(self._open) == ROWS:
            self.finish()
        return self.length - 1

    def add_block(self, block: NDArray[np.int8]) -> None:
        """Keep several rows."""
        self.finish()
        self.length += len(block)
        self._append(block, is_float=False)

    def finish(self) -> None:
        """Close the block that is being filled."""
        if not self._open:
            return
        is_float = any(row.dtype == np.float32 for row in self._open)
        stacked = np.stack(self._open)
        self._open = []
        self._append(stacked.astype(np.float32) if is_float else stacked.astype(np.int8), is_float=is_float)

    def _append(self, block: NDArray[np.int8] | NDArray[np.float32], *, is_float: bool) -> None:
        self.has_dosages |= is_float
        self._starts.append(self.length - len(block))
        self._held += block.nbytes
        if self._held <= self._limit:
            self._blocks.append(block)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="presage-genotypes-")  # noqa: SIM115
        self._blocks.append((self._file.seek(0, 2), len(block), is_float))
        self._file.write(block.tobytes())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def read(self, numbers: NDArray[np.int64], out: NDArray[np.int8] | NDArray[np.float32]) -> None:
        """Fill `out` with the rows of these numbers."""
        blocks = np.searchsorted(self._starts, numbers, side="right") - 1
        for block in np.unique(blocks).tolist():
            rows = blocks == block
            out[rows] = self._block(block)[numbers[rows] - self._starts[block]]

    def _block(self, number: int) -> NDArray[np.int8] | NDArray[np.float32]:
        block = self._blocks[number]
        if not isinstance(block, tuple):
            return block
        start, length, is_float = block
        if self._file is None:
            raise ValueError("a block is either held or written")
        content = os.pread(self._file.fileno(), length * self._n * (4 if is_float else 1), start)
        if is_float:
            return np.frombuffer(content, np.float32).reshape(length, self._n)
        return np.frombuffer(content, np.int8).reshape(length, self._n)
