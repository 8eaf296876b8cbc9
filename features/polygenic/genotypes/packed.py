"""Hard calls of a PGEN as the lookup takes them, four sites a byte, without a byte for every call between.

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
from numba import njit
from numpy.typing import NDArray

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
    """From the header; None of a file that is left to pgenlib."""
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
    """Reads packed calls of one file, for one thread."""

    def __init__(self, path: Path, index: RecordIndex, n_samples: int) -> None:
        self._index = index
        self._n = n_samples
        # Four records that make bytes, and the one that others differ from.
        self._room = np.zeros((5, -(-n_samples // 8) * 2), np.uint8)
        self._bytes = np.empty(0, np.uint8)
        self._file = path.open("rb", buffering=0)

    def read(self, rows: NDArray[np.int64], out: NDArray[np.uint8]) -> bool:
        """Fill `out` (site / 4, sample), beyond the last record with no copies; False where pgenlib must."""
        index = self._index
        if not len(rows) or (np.diff(rows) <= 0).any() or rows[-1] >= len(index.kinds):
            return False
        first, stop = int(index.bases[rows[0]]), int(rows[-1]) + 1
        if stop - first > 2 * len(rows) + 64:
            return False
        starts = index.starts[first : stop + 1]
        content = self._content(int(starts[0]), int(starts[-1]))
        wanted = np.zeros(stop - first, np.bool_)
        wanted[rows - first] = True
        if content is None:
            return False
        done: bool = unpack(content, starts - starts[0], index.kinds[first:stop], wanted, self._room, out)
        return done

    def _content(self, start: int, stop: int) -> NDArray[np.uint8] | None:
        """In a place that stays, since the system clears new ones."""
        if len(self._bytes) < stop - start:
            self._bytes = np.empty(stop - start + (1 << 16), np.uint8)
        content = self._bytes[: stop - start]
        return content if os.preadv(self._file.fileno(), [content.data], start) == stop - start else None

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


@njit(nogil=True, cache=True)
def _number(content, at, end):  # type: ignore[no-untyped-def]
    """A number of seven bits a byte, the lowest first, and where it ends; -1 where it does not."""
    value, shift = np.int64(0), 0
    while at < end and shift < 35:
        byte = np.int64(content[at])
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    return -1, at


@njit(nogil=True, cache=True)
def _differ(content, at, end, n, row):  # type: ignore[no-untyped-def]
    """Write a list of calls that differ into `row`; False where it does not add up."""
    count, at = _number(content, at, end)
    if count <= 0:
        return count == 0
    id_bytes, groups = 1, (count + 63) // 64
    while n >> (8 * id_bytes):
        id_bytes += 1
    calls = at + groups * id_bytes + groups - 1
    deltas = calls + (count + 3) // 4
    if count > n or deltas > end:
        return False
    sample = np.int64(0)
    for k in range(count):
        if k & 63 == 0:
            sample = np.int64(0)
            for byte in range(id_bytes):
                sample |= np.int64(content[at + (k >> 6) * id_bytes + byte]) << (8 * byte)
        else:
            step, deltas = _number(content, deltas, end)
            if step < 0:
                return False
            sample += step
        if sample >= n:
            return False
        shift = 2 * (sample & 3)
        call = content[calls + (k >> 2)] >> (2 * (k & 3)) & 3
        row[sample >> 2] = row[sample >> 2] & ~(3 << shift) | call << shift
    return True


@njit(nogil=True, cache=True)
def _record(content, at, end, kind, n, earlier, row):  # type: ignore[no-untyped-def]
    """One record, four calls a byte, into `row`; False where it does not add up."""
    width = (n + 3) // 4
    if kind == 0:
        if end - at < width:
            return False
        calls = content[at : at + width]
        for k in range(calls.size):
            row[k] = calls[k]
        return True
    if kind == 1:
        size = (n + 7) // 8
        if end - at < 1 + size:
            return False
        ground, step = (content[at] >> 2 & 3) * 0x5555, content[at] & 3
        flags, pairs = content[at + 1 : at + 1 + size], row.view(np.uint16)
        for k in range(flags.size):
            bits = np.uint32(flags[k])
            bits = np.uint32((bits | bits << 4) & 0x0F0F)
            bits = np.uint32((bits | bits << 2) & 0x3333)
            bits = np.uint32((bits | bits << 1) & 0x5555)
            pairs[k] = np.uint16(ground + bits * step)
        return _differ(content, at + 1 + size, end, n, row)
    everybody = np.uint8((0, 0, 0xAA, 0xFF)[kind & 3])
    for k in range(row.size):
        row[k] = earlier[k] if kind < 4 else everybody
    if not _differ(content, at, end, n, row):
        return False
    if kind == 3:
        for k in range(width):
            row[k] ^= (~row[k] & 0x55) << 1
    return True


@njit(nogil=True, cache=True)
def _interleave(rows, out):  # type: ignore[no-untyped-def]
    """Four records of four samples a byte as one row of four sites a byte: squares of 4 x 4 calls, transposed."""
    a, b, c, d = rows[0], rows[1], rows[2], rows[3]
    whole = out.size // 4
    cells = out[: 4 * whole].view(np.uint32)
    for k in range(whole):
        square = np.uint32(a[k] | np.uint32(b[k]) << 8 | np.uint32(c[k]) << 16 | np.uint32(d[k]) << 24)
        swap = np.uint32((square ^ (square >> 6)) & 0x00CC00CC)
        square = np.uint32(square ^ swap ^ (swap << 6))
        swap = np.uint32((square ^ (square >> 12)) & 0x0000F0F0)
        cells[k] = np.uint32(square ^ swap ^ (swap << 12))
    for i in range(4 * whole, out.size):
        shift = 2 * (i & 3)
        one, two, three, four = (
            a[whole] >> shift & 3,
            b[whole] >> shift & 3,
            c[whole] >> shift & 3,
            d[whole] >> shift & 3,
        )
        out[i] = one | two << 2 | three << 4 | four << 6


@njit(nogil=True, cache=True)
def unpack(content, starts, kinds, wanted, room, out):  # type: ignore[no-untyped-def]
    """The wanted ones of some records into `out` (site / 4, sample); False where a record does not add up."""
    n, filled, group = out.shape[1], 0, 0
    for j in range(kinds.size):
        row = room[filled]
        if not _record(content, starts[j], starts[j + 1], kinds[j], n, room[4], row):
            return False
        if j + 1 < kinds.size and kinds[j + 1] & 6 == 2 and kinds[j] & 6 != 2:
            for k in range(row.size):
                room[4, k] = row[k]
        if wanted[j]:
            filled += 1
        if filled == 4:
            _interleave(room, out[group])
            filled, group = 0, group + 1
    if filled:
        room[filled:4] = 0
        _interleave(room, out[group])
        group += 1
    out[group:] = 0
    return True


def load() -> None:
    """Compile the loops, or load them from Numba's cache, by running them on no records."""
    none = np.empty(0, np.uint8)
    unpack(
        none, np.zeros(1, np.int64), none, np.empty(0, np.bool_), np.zeros((5, 2), np.uint8), np.empty((1, 4), np.uint8)
    )


__all__ = ["PackedReader", "RecordIndex", "load", "record_index", "unpack"]
