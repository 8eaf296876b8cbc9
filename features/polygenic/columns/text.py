"""Tables of tab-separated text, read a piece at a time by compiled loops (`text.c`)."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.polygenic.columns.loops import LOOPS, at, sizes
from features.polygenic.columns.variants import Alleles, Codes, chromosome_code

PIECE = 1 << 20  # with its numbers it stays in the second cache
BOM = b"\xef\xbb\xbf"  # which some programs put before UTF-8
_FEW = 64
_OTHER = -2
_NEWLINE = ord("\n")
_SPAN = np.dtype([("start", np.uint32), ("end", np.uint32)])

LOOPS.split.restype = LOOPS.cut.restype = LOOPS.wholes.restype = LOOPS.numbers.restype = ctypes.c_int64
LOOPS.distinct.restype = LOOPS.score_lines.restype = LOOPS.same_lines.restype = ctypes.c_int64


class BadLineError(Exception):
    """A line does not have the expected columns. `number` counts the lines that are not empty, from 0."""

    def __init__(self, number: int) -> None:
        self.number = number


class BadCellError(Exception):
    """A cell of a column is not of the kind that was asked for. `number` counts the cells of the column, from 0."""

    def __init__(self, number: int) -> None:
        self.number = number


def pieces(path: Path, skip: int = 0, *, size: int = PIECE) -> Iterator[bytes]:
    """Yield a file's whole lines in pieces, after the first `skip` lines; the file is plain or compressed (gz, zst).

    Raises OSError where the file is damaged.
    """
    for content, _ in placed_pieces(path, skip, size=size):
        yield content


def placed_pieces(path: Path, skip: int = 0, *, size: int = PIECE) -> Iterator[tuple[bytes, int]]:
    """Yield the pieces that `pieces` does, each with the place in the text at which it starts."""
    start, rest = 0, b""
    with _stream(path) as stream:
        while content := stream.read(max(size, len(rest))):  # a long line is not copied over and over
            if start == 0 and content.startswith(BOM):
                content, start = content[len(BOM) :], len(BOM)
            content = rest + content if rest else content
            while skip and b"\n" in content:
                cut = content.index(b"\n") + 1
                content, skip, start = content[cut:], skip - 1, start + cut
            cut = 0 if skip else content.rfind(b"\n") + 1
            rest = content[cut:]
            if cut:
                yield content[:cut], start
                start += cut
    if rest.strip() and not skip:
        yield rest, start


def is_compressed(path: Path) -> bool:
    """Whether a file is compressed, by its name."""
    return path.suffix in (".gz", ".bgz", ".zst", ".bz2")


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    if is_compressed(path):
        compression = "gzip" if path.suffix == ".bgz" else "detect"
        with pa.input_stream(str(path), compression=compression) as stream:
            yield stream
    else:
        with path.open("rb", buffering=0) as file:
            yield file


@dataclass(frozen=True, slots=True)
class Column:
    """The cells of one column of a piece of text."""

    content: bytes
    spans: NDArray[np.void]  # one column of an array of spans

    def __len__(self) -> int:
        return len(self.spans)

    def wholes(self) -> NDArray[np.int64]:
        """The cells as whole numbers. Raises BadCellError where a cell is none."""
        out = np.empty(len(self), np.int64)
        bad = LOOPS.wholes(*self._cells(), *at(out))
        if bad < 0:
            return out
        try:  # with a sign
            cast: NDArray[np.int64] = pc.cast(self.text(), pa.int64()).to_numpy()
        except pa.ArrowInvalid as error:
            raise BadCellError(bad) from error
        return cast

    def numbers(self) -> NDArray[np.float64]:
        """The cells as numbers; `nan` where that is written. Raises BadCellError where a cell is no number."""
        out = np.empty(len(self))
        if LOOPS.numbers(*self._cells(), *at(out)) < 0:
            return out
        return numbers_of(self.text())

    def chromosomes(self) -> NDArray[np.int64]:
        """The cells as the codes of `chromosome_code`."""
        codes, first = np.empty(len(self), np.int32), np.empty(_FEW, np.int64)
        n = LOOPS.distinct(*self._cells(), *sizes(_FEW), *at(codes, first))
        if n < 0:
            return np.array([chromosome_code(name) for name in self.text().to_pylist()], np.int64)
        names = Column(self.content, self.spans[first[:n]]).text().to_pylist()
        return np.array([chromosome_code(name) for name in names], np.int64)[codes]

    def alleles(self, alleles: Alleles) -> Codes:
        """The cells as the codes of `Alleles.encode`."""
        codes = np.empty(len(self), np.int32)
        LOOPS.letters(*self._cells(), *at(alleles.letters(), codes))
        others = np.flatnonzero(codes == _OTHER)
        if len(others):
            codes[others] = alleles.encode(Column(self.content, self.spans[others]).text())
        return codes

    def text(self) -> pa.StringArray:
        """The cells as strings."""
        lengths = self.spans["end"] - self.spans["start"]
        starts = np.zeros(len(self) + 1, np.int32)
        np.cumsum(lengths, out=starts[1:])
        letters = np.empty(int(starts[-1]), np.uint8)
        LOOPS.gather(*self._cells(), *at(starts, letters))
        return pa.StringArray.from_buffers(len(self), pa.py_buffer(starts), pa.py_buffer(letters))

    def cut(self, letter: str, n_parts: int) -> list[Column]:
        """Part every cell at a letter into `n_parts` columns.

        Raises BadCellError where a cell has another number of parts.
        """
        spans = np.empty((len(self), n_parts), _SPAN)
        told = ctypes.c_char(letter.encode())
        self._check(LOOPS.cut(*self._cells(), told, *sizes(n_parts), *at(spans)))
        return [Column(self.content, spans[:, part]) for part in range(n_parts)]

    def _cells(self) -> list[ctypes.c_void_p | ctypes.c_char_p | ctypes.c_int64]:
        spans = ctypes.c_void_p(self.spans.ctypes.data)
        step = self.spans.strides[0] // _SPAN.itemsize
        return [ctypes.c_char_p(self.content), spans, *sizes(step, len(self))]

    def _check(self, bad: int) -> None:
        if bad >= 0:
            raise BadCellError(bad)


def columns(content: bytes, n_columns: int, *, wanted: Sequence[int]) -> dict[int, Column]:
    """The wanted columns of a piece of text. Raises BadLineError where a line does not have `n_columns`."""
    order = np.array(sorted(wanted), np.int64)
    spans = np.empty((content.count(b"\n") + 1, len(order)), _SPAN)
    n = LOOPS.split(
        ctypes.c_char_p(content), *sizes(len(content), n_columns), *at(order), *sizes(len(order)), *at(spans)
    )
    if n < 0:
        raise BadLineError(-1 - n)
    return {number: Column(content, spans[:n, place]) for place, number in enumerate(order.tolist())}


def n_lines(content: bytes | memoryview) -> int:
    """The number of lines, empty ones included."""
    letters = np.frombuffer(content, np.uint8)
    ends = sum(int(np.count_nonzero(letters[k : k + PIECE] == _NEWLINE)) for k in range(0, len(letters), PIECE))
    return ends + bool(len(letters) and letters[-1] != _NEWLINE)


def filled_lines(content: bytes | memoryview) -> NDArray[np.int64]:
    """The numbers, from 0, of the lines that are not empty."""
    lines = bytes(content).split(b"\n")
    return np.array([number for number, line in enumerate(lines) if line not in (b"", b"\r")], np.int64)


class ScoreLines:
    """Reads lines of two columns of text and further columns of numbers, on one thread.

    A result is good until the next read.
    """

    def __init__(self, n_values: int) -> None:
        self._n_values = n_values
        self._spans = np.empty((0, 2), _SPAN)
        self._values = np.empty((0, n_values))

    def read(self, content: bytes) -> tuple[Column, Column, NDArray[np.float64]] | None:
        """The two columns of text, and the numbers (line, value).

        None where a line is not plain enough for the loop.
        """
        most = len(content) // (2 * self._n_values + 2) + 1  # a tab and a digit each
        if most > len(self._spans):
            self._spans, self._values = np.empty((most, 2), _SPAN), np.empty((most, self._n_values))
        n = LOOPS.score_lines(
            ctypes.c_char_p(content), *sizes(len(content), self._n_values, most), *at(self._spans, self._values)
        )
        if n < 0:
            return None
        return Column(content, self._spans[:n, 0]), Column(content, self._spans[:n, 1]), self._values[:n]


def same_lines(
    content: bytes, start: int, *, others: bytes, others_start: int, column: int
) -> NDArray[np.float64] | None:
    """The numbers of one column, if from `start` on all other columns say the same as those of `others`.

    None where they do not.
    """
    values = np.empty((len(content) - start) // (2 * column + 2) + 1)
    n = LOOPS.same_lines(*_from(content, start), *_from(others, others_start), *sizes(column, len(values)), *at(values))
    return None if n < 0 else values[:n]


def _from(content: bytes, start: int) -> list[ctypes.c_void_p | ctypes.c_int64]:
    letters = np.frombuffer(content, np.uint8)[start:]
    return [*at(letters), *sizes(len(letters))]


def numbers_of(cells: pa.StringArray) -> NDArray[np.float64]:
    """Cells as numbers in any spelling. Raises BadCellError where a cell is no number."""
    cells = pc.if_else(pc.equal(cells, "nan"), "NaN", cells)
    try:
        cast: NDArray[np.float64] = pc.cast(cells, pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        good = [is_number(cell) for cell in cells.to_pylist()]
        raise BadCellError(good.index(False) if False in good else 0) from error
    return cast


def is_number(cell: str) -> bool:
    """Whether a cell is a number, however it is spelt; Python's own `1_000` and digits of other scripts are not."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell and cell.isascii()
