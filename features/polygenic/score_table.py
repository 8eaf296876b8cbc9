"""A table of several scores over the same variants, as plink2 takes it: `ID effect_allele SCORE...`.

Read once, a few megabytes at a time on several threads; the weights wait in an unnamed file, since hundreds of scores
over a million variants are gigabytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import local
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic import loops, text
from features.polygenic.score import Score, ScoreHeader, ScoreRows
from features.polygenic.variants import Alleles, position_keys

FIRST_COLUMNS = ("ID", "effect_allele")
_NULLS = ["", "NA", "nan", "NaN"]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some lines, and where their weights (score, row) start in the file."""

    start: int
    rows: ScoreRows


@dataclass(frozen=True, slots=True)
class Tally:
    """Of each score: `sums` and `squares` (score, kind) of weights without their sign by kind of row, `twice` the
    weights of the rows that are `turned`, and whether some row adds nothing.
    """

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    twice: NDArray[np.float64]
    has_zeros: NDArray[np.bool_]


class ScoreTable:
    """The scores of one table. Raises PresageError with the line for an id or a weight that breaks the rules."""

    def __init__(self, path: Path, columns: list[str], first_line: int, alleles: Alleles, *, threads: int) -> None:
        self.path = path
        self.names = columns[2:]
        if len(set(columns)) < len(columns) or not self.names:
            raise PresageError(
                f"{path}, line {first_line - 1}", "expected one name for each score", way_out="mend the header"
            )
        self._columns = columns
        self._own = local()
        self._spool: IO[bytes] = tempfile.TemporaryFile(prefix="presage-table-")  # noqa: SIM115
        pieces = self._read(first_line, alleles, threads)
        self._starts = [piece.start for piece in pieces]
        self._first_rows = np.cumsum([0, *(len(piece.rows) for piece in pieces)])
        joined = [np.concatenate([getattr(piece.rows, name) for piece in pieces]) for name in ScoreRows.__slots__]
        self.rows = ScoreRows(*joined)

    def scores(self) -> Iterator[Score]:
        """The scores one by one; all share `rows`."""
        for number in range(len(self.names)):
            yield self.score(number)

    def score(self, number: int) -> Score:
        """One score, its weights together."""
        weights = np.concatenate([self._column(piece, number) for piece in range(len(self._starts))])
        bad = ~np.isfinite(weights)
        if bad.any():
            where = f"{self.path}, line {self.rows.line[np.argmax(bad)]}, column {self.names[number]}"
            raise PresageError(where, "expected a finite number", way_out="mend the row")
        return Score(self.header(number), self.path, self.rows, weights)

    def header(self, number: int) -> ScoreHeader:
        """Its name is all that a table says of a score."""
        return ScoreHeader(score_id=self.names[number])

    def tally(self, kinds: NDArray[np.uint8], n_kinds: int, turned: NDArray[np.uint8]) -> Tally:
        """Weights by kind of row (row,), all scores at once. Raises PresageError for one that is not finite."""
        n = len(self.names)
        out = Tally(np.zeros((n, n_kinds)), np.zeros((n, n_kinds)), np.zeros(n), np.zeros(n, np.bool_))
        zeros = np.zeros(n, np.int64)
        for number, (low, high) in enumerate(zip(self._first_rows[:-1], self._first_rows[1:], strict=True)):
            part = slice(int(low), int(high))
            loops.tally_weights(self._piece(number), kinds[part], turned[part], out.sums, out.squares, out.twice, zeros)
        for bad in np.flatnonzero(~np.isfinite(out.sums).all(axis=1)).tolist():
            self.score(bad)  # which says where
        out.has_zeros[:] = zeros > 0
        return out

    def weights(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Of rows that rise (score, row)."""
        cuts = np.searchsorted(rows, self._first_rows)
        parts = []
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            within = rows[cuts[number] : cuts[number + 1]] - self._first_rows[number]
            whole = within[-1] - within[0] + 1 == len(within)
            parts.append(self._piece(number)[:, slice(int(within[0]), int(within[-1]) + 1) if whole else within])
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty((len(self.names), 0)), *parts], axis=1)

    def close(self) -> None:
        """Let go of the file."""
        self._spool.close()

    def _column(self, piece: int, number: int) -> NDArray[np.float64]:
        size = 8 * int(self._first_rows[piece + 1] - self._first_rows[piece])
        return np.frombuffer(os.pread(self._spool.fileno(), size, self._starts[piece] + number * size))

    def _piece(self, number: int) -> NDArray[np.float64]:
        """The weights (score, row) of a piece; each thread keeps the one it read last."""
        if getattr(self._own, "number", None) != number:
            n_rows = int(self._first_rows[number + 1] - self._first_rows[number])
            content = os.pread(self._spool.fileno(), 8 * n_rows * len(self.names), self._starts[number])
            self._own.number, self._own.piece = number, np.frombuffer(content).reshape(len(self.names), n_rows)
        piece: NDArray[np.float64] = self._own.piece
        return piece

    def _read(self, first_line: int, alleles: Alleles, threads: int) -> list[_Piece]:
        pieces: list[_Piece] = []
        line = first_line
        with ThreadPoolExecutor(threads) as pool:
            jobs = self._places(first_line)
            waiting = [pool.submit(self._parse, *job, alleles) for job in islice(jobs, threads + 1)]
            while waiting:
                piece = waiting.pop(0).result()
                waiting += [pool.submit(self._parse, *job, alleles) for job in islice(jobs, 1)]
                if isinstance(piece, text.BadCellError):
                    where = f"{self.path}, line {line + piece.number}, column ID"
                    raise PresageError(
                        where, "expected chromosome:position:allele:allele", way_out="or use the PGS Catalog's columns"
                    )
                if piece is None:
                    raise _bad_line(self.path, self._columns, first_line)
                piece.rows.line[:] += line
                pieces.append(piece)
                line += len(piece.rows)
        if not pieces:
            raise PresageError(str(self.path), "the scoring file has no rows", way_out="export it again")
        return pieces

    def _places(self, first_line: int) -> Iterator[tuple[bytes, int]]:
        """Pieces of the file, and where each one's weights have room."""
        start = 0
        for content in text.pieces(self.path, first_line - 1):
            yield content, start
            start += 4 * len(content) + 8 * len(self.names)  # a weight is two letters at least, and eight bytes

    def _parse(self, content: bytes, start: int, alleles: Alleles) -> _Piece | text.BadCellError | None:
        """None where a line does not fit: the caller finds it."""
        lines = text.score_lines(content, len(self.names)) or self._parse_slowly(content)
        if lines is None:
            return None
        ids, effects, weights = lines
        try:
            rows = _rows(ids, effects, alleles)
        except text.BadCellError as error:
            return error
        os.pwrite(self._spool.fileno(), np.ascontiguousarray(weights).data, start)
        return _Piece(start, rows)

    def _parse_slowly(self, content: bytes) -> tuple[text.Column, text.Column, NDArray[np.float64]] | None:
        """Numbers of any spelling."""
        types = dict.fromkeys(self.names, pa.float64()) | dict.fromkeys(FIRST_COLUMNS, pa.string())
        try:
            table = csv.read_csv(
                pa.py_buffer(content),
                read_options=csv.ReadOptions(column_names=self._columns, use_threads=False, block_size=1 << 30),
                parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
                convert_options=csv.ConvertOptions(column_types=types, null_values=_NULLS),
            )
            first = text.columns(content, len(self._columns), (0, 1))
        except (pa.ArrowInvalid, text.BadLineError):
            return None
        return first[0], first[1], np.stack([table[name].to_numpy() for name in self.names])  # null is nan


def _rows(ids: text.Column, effects: text.Column, alleles: Alleles) -> ScoreRows:
    """Ids are chromosome:position:allele:allele; the other allele is the one that is not the effect's."""
    chromosome, position, first, second = ids.cut(":", 4)
    effect, one, two = effects.alleles(alleles), first.alleles(alleles), second.alleles(alleles)
    other = np.where(effect == one, two, np.where(effect == two, one, -1)).astype(np.int32)
    n = len(ids)
    keys = position_keys(chromosome.chromosomes(), position.wholes())
    return ScoreRows(keys, effect, other, np.zeros(n, np.bool_), np.full(n, np.nan), np.arange(n))


def _bad_line(path: Path, columns: list[str], first_line: int) -> PresageError:
    """The first line that breaks a rule, found again slowly."""
    line = first_line
    for content in text.pieces(path, first_line - 1):
        for row in content.decode("utf-8", "replace").splitlines():
            cells = row.split("\t")
            if len(cells) != len(columns):
                rule = f"expected {len(columns)} columns, found {len(cells)}"
                return PresageError(f"{path}, line {line}", rule, way_out="export the table again")
            for name, cell in zip(columns[2:], cells[2:], strict=True):
                if cell not in _NULLS and not text.is_number(cell):
                    return PresageError(
                        f"{path}, line {line}, column {name}", "expected a number", way_out="mend the row"
                    )
            line += 1
    return PresageError(str(path), "not a tab-separated table of scores", way_out="export the table again")
