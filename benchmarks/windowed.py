"""Every code by window as a sparse matrix: count, mean, smallest, largest and latest value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.arrays import Floats, Positions
from features.build import Reading, shard_rows
from features.catalogue import Catalogue
from features.codes import recorded_keys
from features.engine import MICRO, Engine, Long, code_values, column_name, duckdb_session, index_rows
from features.index import Index
from features.progress import Progress, silent
from features.record import Record

SHARD_PAIRS = 200_000  # smaller than for features: every code of every person is a row of the long form
STATISTICS = ("count", "mean", "min", "max", "latest")
_WINDOWED = ("n", "m", "s", "lo", "hi")


def tabulate(
    index: Index,
    record: Record,
    codes: Sequence[str],
    *,
    windows_days: tuple[int | None, ...],
    max_memory: str | None = None,
    progress: Progress = silent,
) -> tuple[sparse.csr_matrix, tuple[str, ...]]:
    """(n, columns) float32, and the columns' names: `CODE@365d/mean`, the latest of the whole history `CODE/latest`.

    A stored zero is a value of 0; what is not stored does not exist. Values are as recorded, in whatever unit.
    """
    rows, blocks = zip(
        *shards(index, record, codes, windows_days=windows_days, max_memory=max_memory, progress=progress), strict=True
    )
    back = np.argsort(np.concatenate(rows), kind="stable")
    stacked = sparse.vstack(blocks, format="csr", dtype=np.float32)
    return sparse.csr_matrix(stacked[back]), names(codes, windows_days)


def shards(
    index: Index,
    record: Record,
    codes: Sequence[str],
    *,
    windows_days: tuple[int | None, ...],
    max_memory: str | None = None,
    threads: int | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[Positions, sparse.csr_matrix]]:
    """The same by shard of people, as rows of the index and their matrix: memory does not grow with the record.

    One thread costs a third less CPU than two, as shards are small.
    """
    vocabulary = Catalogue((), 0.0, windows_days).with_vocabulary(codes)
    session = duckdb_session(max_memory=max_memory, threads=threads)
    keys = recorded_keys(record, session.backend)
    reading = Reading(record, Engine(vocabulary), session=session, pairs=[], keys=keys)
    windowed, latest = code_values(windows_days, _WINDOWED), code_values((None,), ("late",))
    finite = [days for days in windows_days if days is not None]
    reading.show()  # the join with a shard's index skips the row groups of everybody else
    size = len(vocabulary.vocabulary)
    with progress("tabulating", total=len(index)) as advance:
        for rows in shard_rows(index, record, largest=SHARD_PAIRS):
            part = index.take(rows)
            reading.session.put("presage_index", index_rows(part, finite))
            cells = _Cells(len(part), size)
            cells.add_windowed(Long.of(reading.session.run(windowed)), windows_days)
            cells.add_latest(Long.of(reading.session.run(latest)))
            yield rows, cells.matrix()
            advance(len(rows))


def names(codes: Sequence[str], windows_days: tuple[int | None, ...]) -> tuple[str, ...]:
    """The columns of the matrix; codes sorted."""
    ordered = sorted(set(codes))
    windows = ["ever" if days is None else f"{days}d" for days in windows_days]
    by_window = [f"{code}@{window}/{name}" for window in windows for name in STATISTICS[:-1] for code in ordered]
    return (*by_window, *(f"{code}/latest" for code in ordered))


class _Cells:
    """Cells of a sparse matrix being gathered: one block of columns, as wide as the vocabulary, after the other."""

    def __init__(self, n: int, size: int) -> None:
        self._n, self._size, self._blocks = n, size, 0
        self._data: list[npt.NDArray[np.float32]] = []
        self._rows: list[npt.NDArray[np.int32]] = []
        self._columns: list[npt.NDArray[np.int32]] = []

    def add_windowed(self, long: Long, windows_days: tuple[int | None, ...]) -> None:
        row, number = long.row.astype(np.int32), long.source.astype(np.int32)
        for days in windows_days:
            count, values, total, low, high = (long.columns[column_name(kind, days)] for kind in _WINDOWED)
            there, known = count > 0, values > 0
            self._add(row, number, count, there)
            self._add(row, number, total / MICRO / np.maximum(values, 1), known)
            self._add(row, number, low / MICRO, known)
            self._add(row, number, high / MICRO, known)

    def add_latest(self, long: Long) -> None:
        late = long.columns["late"]
        self._add(long.row.astype(np.int32), long.source.astype(np.int32), late / MICRO, ~np.isnan(late))

    def _add(
        self, row: npt.NDArray[np.int32], number: npt.NDArray[np.int32], values: Floats, there: npt.NDArray[np.bool_]
    ) -> None:
        self._data.append(values[there].astype(np.float32))
        self._rows.append(row[there])
        self._columns.append(number[there] + np.int32(self._blocks * self._size))
        self._blocks += 1

    def matrix(self) -> sparse.csr_matrix:
        parts = (np.concatenate(self._data), (np.concatenate(self._rows), np.concatenate(self._columns)))
        found = sparse.csr_matrix(parts, shape=(self._n, self._blocks * self._size), dtype=np.float32)
        found.sort_indices()
        return found
