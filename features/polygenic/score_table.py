"""A table of several scores over the same variants, as plink2 takes it: `ID effect_allele SCORE...`.

Read once, a few megabytes at a time on several threads; the columns wait in an unnamed file, since hundreds of
scores over a million variants are gigabytes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.score import Score, ScoreHeader, ScoreRows
from features.polygenic.variants import Alleles, chromosome_codes, position_keys

FIRST_COLUMNS = ("ID", "effect_allele")
_PIECE = 4 << 20
_NULLS = ["", "NA", "nan", "NaN"]


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
        self._spool: IO[bytes] = tempfile.TemporaryFile(prefix="presage-table-")  # noqa: SIM115
        self._starts: list[tuple[int, int]] = []  # place in the file and rows of each piece
        self.rows: ScoreRows = self._read(first_line, alleles, threads)

    def scores(self) -> Iterator[Score]:
        """The scores one by one; all share `rows`."""
        for number, name in enumerate(self.names):
            weights = np.concatenate([self._column(start, rows, number) for start, rows in self._starts])
            bad = ~np.isfinite(weights)
            if bad.any():
                where = f"{self.path}, line {self.rows.line[np.argmax(bad)]}, column {name}"
                raise PresageError(where, "expected a finite number", way_out="mend the row")
            yield Score(ScoreHeader(score_id=name), self.path, self.rows, weights)

    def close(self) -> None:
        """Let go of the file."""
        self._spool.close()

    def _column(self, start: int, rows: int, number: int) -> NDArray[np.float64]:
        return np.frombuffer(os.pread(self._spool.fileno(), rows * 8, start + number * rows * 8))

    def _read(self, first_line: int, alleles: Alleles, threads: int) -> ScoreRows:
        line, parts = first_line, []
        with ThreadPoolExecutor(threads) as pool, pa.input_stream(str(self.path), compression="detect") as stream:
            for _ in range(first_line - 1):
                _skip_line(stream)
            pieces = _pieces(stream)
            waiting = [pool.submit(self._parse, piece) for piece in islice(pieces, threads + 1)]
            while waiting:
                table = waiting.pop(0).result()
                waiting += [pool.submit(self._parse, piece) for piece in islice(pieces, 1)]
                if table is None:
                    raise _bad_line(self.path, self._columns, first_line)
                parts.append(_rows(self.path, table, alleles, line))
                self._keep(table)
                line += table.num_rows
        if not parts:
            raise PresageError(str(self.path), "the scoring file has no rows", way_out="export it again")
        columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ScoreRows.__slots__]
        return ScoreRows(*columns)

    def _parse(self, piece: bytes) -> pa.Table | None:
        """None where a line does not fit: the caller finds it."""
        types = dict.fromkeys(self.names, pa.float64()) | dict.fromkeys(FIRST_COLUMNS, pa.string())
        try:
            return csv.read_csv(
                pa.py_buffer(piece),
                read_options=csv.ReadOptions(column_names=self._columns, use_threads=False, block_size=1 << 30),
                parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
                convert_options=csv.ConvertOptions(column_types=types, null_values=_NULLS),
            )
        except pa.ArrowInvalid:
            return None

    def _keep(self, table: pa.Table) -> None:
        self._starts.append((self._spool.seek(0, 2), table.num_rows))
        values = np.empty((len(self.names), table.num_rows))
        for number, name in enumerate(self.names):
            values[number] = table[name].to_numpy()  # null is nan
        self._spool.write(values.data)
        self._spool.flush()


def _skip_line(stream: pa.NativeFile) -> None:
    while stream.read(1) not in (b"\n", b""):
        pass


def _pieces(stream: pa.NativeFile) -> Iterator[bytes]:
    """Whole lines."""
    rest = b""
    while content := stream.read(_PIECE):
        cut = content.rfind(b"\n") + 1
        if cut:
            yield rest + content[:cut]
            rest = content[cut:]
        else:
            rest += content
    if rest.strip():
        yield rest


def _rows(path: Path, table: pa.Table, alleles: Alleles, first_line: int) -> ScoreRows:
    """Ids are chromosome:position:allele:allele; the other allele is the one that is not the effect's."""
    parts = pc.split_pattern(table["ID"].combine_chunks(), ":")
    widths = pc.fill_null(pc.list_value_length(parts), 0).to_numpy(zero_copy_only=False)
    if (widths != 4).any():
        where = f"{path}, line {first_line + int(np.argmax(widths != 4))}, column ID"
        raise PresageError(
            where, "expected chromosome:position:allele:allele", way_out="or use the PGS Catalog's columns"
        )
    cells = pc.list_flatten(parts)
    chromosome, position, first, second = (cells.take(pa.array(np.arange(i, len(cells), 4))) for i in range(4))
    try:
        positions = position.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise PresageError(f"{path}, column ID", "a position is not a number", way_out="mend the ids") from error
    effect, one, two = alleles.encode(table["effect_allele"]), alleles.encode(first), alleles.encode(second)
    other = np.where(effect == one, two, np.where(effect == two, one, -1)).astype(np.int32)
    n = len(positions)
    lines = np.arange(first_line, first_line + n)
    return ScoreRows(
        position_keys(chromosome_codes(chromosome), positions),
        effect,
        other,
        np.zeros(n, np.bool_),
        np.full(n, np.nan),
        lines,
    )


def _bad_line(path: Path, columns: list[str], first_line: int) -> PresageError:
    """The first line that breaks a rule, found again slowly."""
    with pa.input_stream(str(path), compression="detect") as stream:
        for _ in range(first_line - 1):
            _skip_line(stream)
        line = first_line
        for piece in _pieces(stream):
            for text in piece.decode("utf-8", "replace").splitlines():
                cells = text.split("\t")
                if len(cells) != len(columns):
                    rule = f"expected {len(columns)} columns, found {len(cells)}"
                    return PresageError(f"{path}, line {line}", rule, way_out="export the table again")
                for name, cell in zip(columns[2:], cells[2:], strict=True):
                    if cell not in _NULLS and not _is_number(cell):
                        return PresageError(
                            f"{path}, line {line}, column {name}", "expected a number", way_out="mend the row"
                        )
                line += 1
    return PresageError(str(path), "not a tab-separated table of scores", way_out="export the table again")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
