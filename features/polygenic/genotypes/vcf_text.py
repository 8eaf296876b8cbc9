"""The plain records of a VCF of few samples, read as columns of text: twenty times as fast as record by record.

A record is plain if it has one alternate written in letters and calls of one or two alleles. All others (blocks,
several alternates, odd calls) are set aside for htslib, line by line, in a VCF of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from numpy.typing import NDArray

from features.arrays import Ints
from features.polygenic.columns import Alleles, Codes, chromosome_codes, dictionary_of, position_keys
from features.polygenic.genotypes.protocol import MISSING
from features.polygenic.genotypes.vcf_calls import DOSAGES

MAX_SAMPLES = 8  # beyond them htslib's arrays of one record are the faster
_PIECE = 8 << 20
_FIXED = 9
_CALL = re.compile(r"(\d+|\.)(?:[/|](\d+|\.))?")
_ODD = -1


class NotPlainError(Exception):
    """The text is no table of equal columns: htslib reads the file, and says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class PlainRecords:
    """The wanted plain records, in file order.

    `counts` (record, sample): copies of the alternate. `number`: each record's in the file.
    """

    keys: Ints
    ref: Codes
    alt: Codes
    ids: pa.Array
    counts: NDArray[np.int8]
    number: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TextRecords:
    """The plain records of a VCF. `others`: the numbers of the records that were set aside."""

    plain: PlainRecords
    others: NDArray[np.int64]
    n_records: int


def read_text(
    path: Path, header: str, *, n_samples: int, wanted: NDArray[np.int64], alleles: Alleles, aside: IO[bytes]
) -> TextRecords:
    """Read the plain records of a VCF of calls, and write the others, after the header, to `aside`.

    `wanted`: position keys, sorted. Raises NotPlainError where the text is no table.
    """
    aside.write(header.encode())
    parts: list[PlainRecords] = []
    others: list[NDArray[np.int64]] = []
    number = 0
    try:
        for piece in _pieces(path):
            table = _table(piece, n_samples)
            part, other = _read(table, wanted, alleles=alleles, first=number)
            parts.append(part)
            others.append(other + number)
            _set_aside(piece, other, n_rows=table.num_rows, aside=aside)
            number += table.num_rows
    except (pa.ArrowException, OSError, EOFError, UnicodeError) as error:
        raise NotPlainError from error
    if not parts:
        raise NotPlainError
    aside.flush()
    return TextRecords(_together(parts), np.concatenate(others), number)


def _together(parts: list[PlainRecords]) -> PlainRecords:
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("keys", "ref", "alt", "counts", "number")
    }
    return PlainRecords(**columns, ids=pa.concat_arrays([part.ids for part in parts]))


def _pieces(path: Path) -> Iterator[bytes]:
    """Whole lines after the header."""
    with path.open("rb") as stream:
        compression = "gzip" if stream.read(2) == b"\x1f\x8b" else None
    with pa.input_stream(str(path), compression=compression) as stream:
        rest, in_header = b"", True
        while content := stream.read(_PIECE):
            rest += content
            while in_header and rest.startswith(b"#") and b"\n" in rest:
                rest = rest[rest.index(b"\n") + 1 :]
            in_header = in_header and (rest.startswith(b"#") or not rest)
            cut = 0 if in_header else rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
        if rest and not in_header:
            yield rest


def _table(piece: bytes, n_samples: int) -> pa.Table:
    names = [f"c{number}" for number in range(_FIXED + n_samples)]
    used = [names[number] for number in (0, 1, 2, 3, 4, 8, *range(_FIXED, _FIXED + n_samples))]
    return csv.read_csv(
        pa.py_buffer(piece),
        read_options=csv.ReadOptions(column_names=names, block_size=2 * _PIECE),
        parse_options=csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            include_columns=used,
            column_types=dict.fromkeys(names, pa.string()) | {"c1": pa.int64()},
            null_values=[],
        ),
    ).combine_chunks()


def _read(
    table: pa.Table, wanted: NDArray[np.int64], *, alleles: Alleles, first: int
) -> tuple[PlainRecords, NDArray[np.intp]]:
    """The plain records, and which rows are to be set aside."""
    keys = position_keys(chromosome_codes(table["c0"]), table["c1"].to_numpy())
    alts, formats = table["c4"].combine_chunks(), table["c8"].combine_chunks()
    asked = np.flatnonzero(member(wanted, keys))
    lettered = _each(alts, lambda alt: alt.isalpha() and alt.isascii())
    if _each(formats, lambda names: not set(DOSAGES).isdisjoint(names.split(":"))).any():
        raise NotPlainError  # though the header does not declare them
    with_calls = _each(formats, lambda names: names == "GT" or names.startswith("GT:"))
    plain = asked[lettered[asked] & with_calls[asked]]
    counts = _counts(table.select(range(6, table.num_columns)).take(pa.array(plain)))
    even = (counts != _ODD).all(axis=1)
    plain, counts = plain[even], counts[even]
    aside = _each(alts, lambda alt: alt[:1] in ("<", "."))
    aside[asked] = True
    aside[plain] = False
    rows = pa.array(plain)
    part = PlainRecords(
        keys=keys[plain],
        ref=alleles.encode(table["c3"].take(rows)),
        alt=alleles.encode(alts.take(rows)),
        ids=table["c2"].take(rows).combine_chunks(),
        counts=counts,
        number=plain + first,
    )
    return part, np.flatnonzero(aside)


def member(values: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of `asked` is among `values`, which are sorted."""
    if not len(values):
        return np.zeros(len(asked), np.bool_)
    among: NDArray[np.bool_] = values[np.minimum(np.searchsorted(values, asked), len(values) - 1)] == asked
    return among


def _each(column: pa.Array, rule: Callable[[str], bool]) -> NDArray[np.bool_]:
    """A rule on every cell, asked once for each distinct one."""
    distinct, places = dictionary_of(column)
    told = [cell is not None and rule(cell) for cell in distinct]
    return np.array([*told, False], np.bool_)[places]


def _counts(calls: pa.Table) -> NDArray[np.int8]:
    """Copies of the alternate (record, sample) from the first of a cell's fields."""
    columns = []
    for cells in calls.columns:
        genotypes = pc.list_element(pc.split_pattern(cells, ":", max_splits=1), 0)
        distinct, places = dictionary_of(genotypes)
        columns.append(np.array([*(_count(cell or "") for cell in distinct), _ODD], np.int8)[places])
    return np.stack(columns, axis=1)


def _count(call: str) -> int:
    """A haploid call counts twice, as plink2 reads it; a half-missing call is missing."""
    match = _CALL.fullmatch(call)
    if match is None:
        return _ODD
    named = [allele for allele in match.groups() if allele is not None]
    if any(allele not in ("0", "1") for allele in named):
        return MISSING  # also an allele that the record does not list
    copies = named.count("1")
    return 2 * copies if len(named) == 1 else copies


def _set_aside(piece: bytes, rows: NDArray[np.intp], *, n_rows: int, aside: IO[bytes]) -> None:
    if not len(rows):
        return
    lines = piece.splitlines(keepends=True)
    if len(lines) != n_rows:
        raise NotPlainError
    aside.writelines(lines[row] for row in rows.tolist())
