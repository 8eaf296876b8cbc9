"""A table of several scores over the same variants, as plink2 takes it: `ID effect_allele SCORE...`.

Hundreds of scores over a million variants are gigabytes: the weights stay in the file, and are read again, a megabyte
of text at a time, where they are wanted. Of a compressed file the text waits in an unnamed one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from threading import local
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.columns import Alleles, loops, position_keys, text
from features.polygenic.scores.score import Score, ScoreHeader, ScoreRows

FIRST_COLUMNS = ("ID", "effect_allele")
_NULLS = ["", "NA", "nan", "NaN"]
_AT_ONCE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over a table's rows, for each score: absolute weights in `sums` and squared ones in `squares` (kind, score),
    by kind of row.

    `zeros` (score,) counts the weights that are 0.
    """

    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    zeros: NDArray[np.int64]

    @staticmethod
    def nothing(n_scores: int, n_kinds: int) -> Tally:
        """The tally of no rows."""
        return Tally(np.zeros((n_kinds, n_scores)), np.zeros((n_kinds, n_scores)), np.zeros(n_scores, np.int64))

    def add(self, weights: NDArray[np.float64], kinds: NDArray[np.uint8]) -> None:
        """Add weights (row, score) of some rows of these kinds (row,)."""
        loops.tally_weights(weights, kinds, sums=self.sums, squares=self.squares, zeros=self.zeros)


@dataclass(frozen=True, slots=True)
class _Lines:
    """What lines say. `weights` (row, score). `numbers`: on which line, from 0, each row stands."""

    ids: text.Column
    effects: text.Column
    weights: NDArray[np.float64]
    numbers: NDArray[np.int64]
    n_lines: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some lines: where they lie in the text, what they say, and their weights' tally as if all were used."""

    start: int
    size: int
    n_lines: int
    rows: ScoreRows
    tally: Tally


class ScoreTable:
    """The scores of one table. Raises PresageError with the line for an id or a weight that breaks the rules."""

    def __init__(self, path: Path, columns: list[str], *, first_line: int, alleles: Alleles, threads: int) -> None:
        self.path = path
        self.names = columns[2:]
        if len(set(columns)) < len(columns) or not self.names:
            raise PresageError(
                f"{path}, line {first_line - 1}",
                "at least one score, each of its own name",
                found="a name twice" if self.names else "none",
                way_out="mend the header",
            )
        self._columns = columns
        self._first_line = first_line
        self._own = local()
        self._text: IO[bytes] = _text_of(path)
        try:
            self._set(self._read(alleles, threads))
        except OSError as error:
            self.close()
            if error.errno is None:  # not the system's: what is read makes no sense
                raise PresageError(
                    str(path), "a whole compressed file", found="a damaged one", way_out="copy it again"
                ) from error
            raise
        except BaseException:
            self.close()
            raise

    def _set(self, pieces: list[_Piece]) -> None:
        self._places = [(piece.start, piece.size) for piece in pieces]
        self._first_rows = np.cumsum([0, *(len(piece.rows) for piece in pieces)])
        joined = [np.concatenate([getattr(piece.rows, name) for piece in pieces]) for name in ScoreRows.__slots__]
        self.rows = ScoreRows(*joined)
        self._all = Tally(
            np.sum([piece.tally.sums for piece in pieces], axis=0),
            np.sum([piece.tally.squares for piece in pieces], axis=0),
            np.sum([piece.tally.zeros for piece in pieces], axis=0),
        )
        if not np.isfinite(self._all.sums).all():
            raise self._not_finite()

    def _not_finite(self) -> PresageError:
        """Where the first weight stands that is no finite number."""
        rows = (row for piece in range(len(self._places)) for row in self._piece(piece))
        for line, row in zip(self.rows.line.tolist(), rows, strict=True):
            if not np.isfinite(row).all():
                name = self.names[int(np.argmin(np.isfinite(row)))]
                return PresageError(
                    f"{self.path}, line {line}, column {name}", "a finite number", way_out="mend the row"
                )
        return PresageError(
            str(self.path), "weights with a finite sum", found="an infinite one", way_out="mend the weights"
        )

    def scores(self) -> Iterator[Score]:
        """Yield the scores one by one; all share `rows`. As many as fit in memory are read at once."""
        at_once = max(1, _AT_ONCE_BYTES // (8 * len(self.rows)))
        for first in range(0, len(self.names), at_once):
            names = self.names[first : first + at_once]
            weights = np.empty((len(names), len(self.rows)))
            for piece, (low, high) in enumerate(pairwise(self._first_rows.tolist())):
                weights[:, low:high] = self._piece(piece)[:, first : first + len(names)].T
            for name, of_score in zip(names, weights, strict=True):
                yield Score(ScoreHeader(score_id=name), self.path, self.rows, of_score)

    def tally(self, kinds: NDArray[np.uint8], n_kinds: int) -> Tally:
        """Add up the weights of all scores by the kind of each row (row,)."""
        out = Tally.nothing(len(self.names), n_kinds)
        if not kinds.any():
            out.sums[0], out.squares[0], out.zeros[:] = self._all.sums[0], self._all.squares[0], self._all.zeros
            return out
        for number, (low, high) in enumerate(pairwise(self._first_rows.tolist())):
            out.add(self._piece(number), kinds[low:high])
        return out

    def weights(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Read the weights (row, score) of these rows, whose numbers rise."""
        cuts = np.searchsorted(rows, self._first_rows)
        out = np.empty((len(rows), len(self.names)))
        for number in np.flatnonzero(np.diff(cuts)).tolist():
            part = slice(cuts[number], cuts[number + 1])
            within = rows[part] - self._first_rows[number]
            whole = within[-1] - within[0] + 1 == len(within)
            out[part] = self._piece(number)[slice(within[0], within[-1] + 1) if whole else within]
        return out

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def _piece(self, number: int) -> NDArray[np.float64]:
        """The weights (row, score) of a piece; each thread keeps the one it read last."""
        if getattr(self._own, "number", None) != number:
            self._own.number = None
            start, size = self._places[number]
            lines = self._lines(os.pread(self._text.fileno(), size, start))
            if lines is None or len(lines.weights) != self._first_rows[number + 1] - self._first_rows[number]:
                raise PresageError(
                    str(self.path),
                    "a file that stays as it is while it is read",
                    found="one that changed",
                    way_out="start again",
                )
            self._own.number, self._own.piece = number, lines.weights
        piece: NDArray[np.float64] = self._own.piece
        return piece

    def _read(self, alleles: Alleles, threads: int) -> list[_Piece]:
        pieces: list[_Piece] = []
        line = self._first_line
        with ThreadPoolExecutor(threads) as pool:
            jobs = text.placed_pieces(self.path, self._first_line - 1, size=text.PIECE)
            waiting = [pool.submit(self._parse, *job, alleles=alleles) for job in islice(jobs, threads + 1)]
            while waiting:
                piece = waiting.pop(0).result()
                waiting += [pool.submit(self._parse, *job, alleles=alleles) for job in islice(jobs, 1)]
                if isinstance(piece, text.BadCellError):
                    where = f"{self.path}, line {line + piece.number}, column ID"
                    raise PresageError(
                        where,
                        "chromosome:position:allele:allele",
                        way_out="mend the id, or use the PGS Catalog's columns",
                    )
                if piece is None:
                    raise _bad_line(self.path, self._columns, first_line=self._first_line)
                piece.rows.line[:] += line
                pieces.append(piece)
                line += piece.n_lines
        if not any(len(piece.rows) for piece in pieces):
            raise PresageError(str(self.path), "at least one row", found="none", way_out="export it again")
        return pieces

    def _parse(self, content: bytes, start: int, *, alleles: Alleles) -> _Piece | text.BadCellError | None:
        """None where a line does not fit: the caller finds it."""
        lines = self._lines(content)
        if lines is None:
            return None
        try:
            rows = _rows(lines, alleles)
        except text.BadCellError as error:
            return text.BadCellError(int(lines.numbers[error.number]))
        if text.is_compressed(self.path):
            os.pwrite(self._text.fileno(), content, start)
        tally = Tally.nothing(len(self.names), 1)
        tally.add(lines.weights, np.zeros(len(rows), np.uint8))
        return _Piece(start, len(content), lines.n_lines, rows, tally)

    def _lines(self, content: bytes) -> _Lines | None:
        """Of a piece, good until this thread reads another. None where a line does not fit."""
        if not hasattr(self._own, "reader"):
            self._own.reader = text.ScoreLines(len(self.names))
        plain = self._own.reader.read(content)
        if plain is not None:  # no line is empty
            ids, effects, weights = plain
            return _Lines(ids, effects, weights, np.arange(len(ids)), len(ids))
        types = dict.fromkeys(self.names, pa.float64()) | dict.fromkeys(FIRST_COLUMNS, pa.string())
        try:
            table = csv.read_csv(
                pa.py_buffer(content),
                read_options=csv.ReadOptions(column_names=self._columns, use_threads=False, block_size=1 << 30),
                parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
                convert_options=csv.ConvertOptions(column_types=types, null_values=_NULLS),
            )
            first = text.columns(content, len(self._columns), wanted=(0, 1))
        except (pa.ArrowInvalid, text.BadLineError):
            return None
        weights = np.stack([table[name].to_numpy() for name in self.names], axis=1)  # null is nan
        return _Lines(first[0], first[1], weights, text.filled_lines(content), text.n_lines(content))


def _text_of(path: Path) -> IO[bytes]:
    """The file, or where the text of a compressed one waits."""
    if text.is_compressed(path):
        return tempfile.TemporaryFile(prefix="presage-table-")
    return path.open("rb")


def _rows(lines: _Lines, alleles: Alleles) -> ScoreRows:
    """Ids are chromosome:position:allele:allele; the other allele is the one that is not the effect's."""
    chromosome, position, first, second = lines.ids.cut(":", 4)
    effect, allele_1, allele_2 = lines.effects.alleles(alleles), first.alleles(alleles), second.alleles(alleles)
    other = np.where(effect == allele_1, allele_2, np.where(effect == allele_2, allele_1, -1)).astype(np.int32)
    n = len(lines.ids)
    keys = position_keys(chromosome.chromosomes(), position.wholes())
    return ScoreRows(keys, effect, other, np.zeros(n, np.bool_), np.full(n, np.nan), lines.numbers)


def _bad_line(path: Path, columns: list[str], *, first_line: int) -> PresageError:
    """The first line that breaks a rule, found again slowly."""
    line = first_line
    for content in text.pieces(path, first_line - 1):
        for row in content.decode("utf-8", "replace").removesuffix("\n").split("\n"):
            cells = row.removesuffix("\r").split("\t")
            if cells != [""] and len(cells) != len(columns):
                return PresageError(
                    f"{path}, line {line}",
                    f"{len(columns)} columns",
                    found=str(len(cells)),
                    way_out="export the table again",
                )
            for name, cell in zip(columns[2:], cells[2:], strict=False):  # none of an empty line
                if cell not in _NULLS and not text.is_number(cell):
                    return PresageError(f"{path}, line {line}, column {name}", "a number", way_out="mend the row")
            line += 1
    return PresageError(str(path), "a tab-separated table of scores", way_out="export the table again")
