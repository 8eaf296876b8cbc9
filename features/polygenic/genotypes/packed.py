"""Hard calls of a PGEN in two bits each, as the loops take them, without a byte for every call between.

The records' main track as plink2's specification lays it out (PGEN file format, Chang 2024): two bits a call, one bit
for the two commonest calls, or a list of those who differ from everybody or from an earlier record. Whatever else a
file may hold (several alternates, dosages, a fixed width) and whatever does not add up is left to pgenlib, which says
why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.polygenic.columns import loops

_BLOCK = 1 << 16  # variants a header block of a PGEN
_HEAD = 12
_LIKE_EARLIER = 2  # kinds 2 and 3
_MULTIALLELIC = 0x08
_UNUSED = 5


@dataclass(frozen=True, slots=True)
class RecordIndex:
    """Where each record lies (one more than there are records), its kind, and the record it may be read after."""

    starts: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    bases: NDArray[np.int64]


def record_index(path: Path) -> RecordIndex | None:
    """Read the index of records from a PGEN's header; None for a file that is left to pgenlib."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
        if len(head) < _HEAD or head[2] != 0x10 or head[11] & 15 > 7:
            return None
        n, control = int.from_bytes(head[3:7], "little"), head[11]
        lengths, kinds = [], []
        first = np.frombuffer(stream.read(8 * -(-n // _BLOCK)), np.uint64).astype(np.int64)
        for start in range(0, n, _BLOCK):
            size = min(_BLOCK, n - start)
            kinds.append(_kinds(stream.read(size if control & 4 else -(-size // 2)), size, whole=bool(control & 4)))
            lengths.append(_lengths(stream.read(size * ((control & 3) + 1)), size))
            stream.seek(size * (control >> 4 & 3) + (-(-size // 8) if control >> 6 == 3 else 0), 1)
    kind, length = np.concatenate(kinds or [np.empty(0, np.uint8)]), np.concatenate(lengths or [np.empty(0, np.int64)])
    if len(kind) < n or len(length) < n or not n or not len(first):
        return None
    starts = np.concatenate([[first[0]], first[0] + np.cumsum(length)])
    earlier = kind & 6 == _LIKE_EARLIER
    if earlier[0] or (kind & _MULTIALLELIC).any() or (kind & 7 == _UNUSED).any() or (starts[:-1:_BLOCK] != first).any():
        return None
    return RecordIndex(starts, kind & np.uint8(7), np.maximum.accumulate(np.where(earlier, 0, np.arange(n))))


def _kinds(content: bytes, size: int, *, whole: bool) -> NDArray[np.uint8]:
    cells = np.frombuffer(content, np.uint8)
    return cells if whole else np.stack([cells & 15, cells >> 4], axis=1).reshape(-1)[:size]


def _lengths(content: bytes, size: int) -> NDArray[np.int64]:
    cells = np.frombuffer(content, np.uint8)
    if not size or len(cells) % size:
        return np.empty(0, np.int64)
    width = len(cells) // size
    return cells.reshape(size, width).astype(np.int64) @ (1 << 8 * np.arange(width, dtype=np.int64))


class PackedReader:
    """Reads calls of one file as rows, for one thread."""

    def __init__(self, path: Path, index: RecordIndex, *, n_samples: int) -> None:
        self._index = index
        self._n = n_samples
        self._bytes = np.empty(0, np.uint8)
        self._file = path.open("rb", buffering=0)

    def read(self, records: NDArray[np.int64], out: loops.Rows) -> bool:
        """Fill `out` (record, word) with the calls of these records; False where pgenlib must read them."""
        index = self._index
        if not len(records) or (np.diff(records) <= 0).any() or records[-1] >= len(index.kinds):
            return False
        first, stop = int(index.bases[records[0]]), int(records[-1]) + 1
        if stop - first > 2 * len(records) + 64:
            return False
        starts = index.starts[first : stop + 1]
        content = self._content(int(starts[0]), int(starts[-1]))
        wanted = np.zeros(stop - first, np.bool_)
        wanted[records - first] = True
        if content is None:
            return False
        return loops.unpack(
            content, starts - starts[0], kinds=index.kinds[first:stop], wanted=wanted, n_samples=self._n, rows=out
        )

    def _content(self, start: int, stop: int) -> NDArray[np.uint8] | None:
        """In a place that stays, since the system clears new ones."""
        if len(self._bytes) < stop - start:
            self._bytes = np.empty(stop - start + (1 << 16), np.uint8)
        content = self._bytes[: stop - start]
        return content if os.preadv(self._file.fileno(), [content.data], start) == stop - start else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


__all__ = ["PackedReader", "RecordIndex", "record_index"]
