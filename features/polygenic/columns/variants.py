"""Variants as columns: positions as one sortable key, alleles as codes that can be complemented."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import RLock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Ints

Codes = NDArray[np.int32]

X, Y, MT = 23, 24, 26
_NAMES = {str(i): i for i in range(1, 23)} | {"X": X, "23": X, "Y": Y, "24": Y, "MT": MT, "M": MT, "26": MT}
_NAMES |= {"XY": X, "25": X, "PAR1": X, "PAR2": X}  # plink's names of what X and Y share, by its position on X
# Matching is confined to these, as in pgscatalog-match: the mitochondrion and the unplaced contigs carry no score.
SCORED_CHROMOSOMES = (*range(1, 23), X, Y)
_COMPLEMENT = str.maketrans("ACGT", "TGCA")
_POSITION_BITS = 32
_MAX_POSITION = (1 << 31) - 1  # as in VCF; no chromosome of ours is so long


def chromosome_code(name: str) -> int:
    """The code of a chromosome: 1 to 22, 23 for X, 24 for Y, 26 for the mitochondrion, else 0.

    `chr` or a 0 may stand before the name.

    >>> chromosome_code("chr7"), chromosome_code("X"), chromosome_code("contig_12")
    (7, 23, 0)
    """
    bare = name[3:] if name[:3].lower() == "chr" else name
    return _NAMES.get(bare.upper().removeprefix("0"), 0)


def chromosome_name(code: int) -> str:
    """The name of a chromosome, without `chr`."""
    return {X: "X", Y: "Y", MT: "MT"}.get(code, str(code))


def chromosome_codes(names: pa.Array) -> NDArray[np.int64]:
    """The code of every chromosome name; null is 0."""
    coded = _dictionary(names)
    table = np.array([chromosome_code(name) for name in coded.dictionary.to_pylist()] + [0], dtype=np.int64)
    return table[_indices(coded)]


def position_keys(chromosomes: NDArray[np.int64], positions: NDArray[np.int64]) -> Ints:
    """One sortable number for each chromosome and position.

    -1 where the chromosome carries no score or the position is unknown.
    """
    keys = (chromosomes << _POSITION_BITS) | positions
    known = (chromosomes > 0) & (chromosomes <= Y) & (positions > 0) & (positions <= _MAX_POSITION)
    return np.where(known, keys, np.int64(-1))


def split_key(keys: Ints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The chromosome codes and positions of position keys; 0 and 0 for -1."""
    known = keys >= 0
    return np.where(known, keys >> _POSITION_BITS, 0), np.where(known, keys & ((1 << _POSITION_BITS) - 1), 0)


@dataclass(slots=True)
class Alleles:
    """Allele strings as numbers: the same sequence has the same code in every file of a run. -1 is missing.

    Several threads may read files at once.
    """

    names: list[str] = field(default_factory=list)
    codes: dict[str, int] = field(default_factory=dict)
    _complements: list[int] = field(default_factory=list)
    _lock: RLock = field(default_factory=RLock)

    def letters(self) -> Codes:
        """The codes of single letters, by the letter's number; -2 for bytes that are no base."""
        codes = np.full(256, -2, np.int32)
        for letter in "ACGTacgt":
            codes[ord(letter)] = self.code(letter)
        return codes

    def code(self, name: str) -> int:
        """The code of one allele, upper-cased."""
        key = name.upper()
        known = self.codes.get(key)
        if known is not None:
            return known
        with self._lock:
            if key not in self.codes:
                self.names.append(key)
                self.codes[key] = len(self.names) - 1
            return self.codes[key]

    def encode(self, names: pa.Array) -> Codes:
        """The codes of a column of allele strings; null and empty strings are -1."""
        coded = _dictionary(names)
        table = [self.code(name) if name else -1 for name in coded.dictionary.to_pylist()]
        return np.array([*table, -1], dtype=np.int32)[_indices(coded)]

    def complement(self, codes: Codes) -> Codes:
        """The codes on the other strand, base by base as pgscatalog-match does it; other symbols stay as they are."""
        with self._lock:
            while len(self._complements) < len(self.names):
                name = self.names[len(self._complements)]
                other = name.translate(_COMPLEMENT) if is_sequence(name) else name
                self._complements.append(self.code(other))
        return np.array([*self._complements, -1], dtype=np.int32)[codes]

    def sequences(self, codes: Codes) -> NDArray[np.bool_]:
        """Whether each allele is written in A, C, G and T."""
        table = [is_sequence(name) for name in self.names]
        return np.array([*table, False], dtype=np.bool_)[codes]

    def arrow(self, codes: Codes) -> pa.DictionaryArray:
        """The allele strings of codes, as a dictionary column; -1 is null."""
        return pa.DictionaryArray.from_arrays(pa.array(codes, mask=codes < 0), pa.array(self.names, pa.string()))


def is_sequence(allele: str) -> bool:
    """Whether an allele is written in A, C, G and T only."""
    return bool(allele) and not allele.strip("ACGT")


@dataclass(frozen=True, slots=True)
class Variants:
    """The variants of a genotype file set, one entry for each alternate allele, in file order.

    `file`, `row`: which file and which record. `allele`: which alternate (1 is the first). `keys` as `position_keys`.
    `multiallelic`: the record lists several alternates. `ids`: the file's own names.
    """

    keys: Ints
    ref: Codes
    alt: Codes
    file: NDArray[np.int32]
    row: NDArray[np.int64]
    allele: NDArray[np.int32]
    multiallelic: NDArray[np.bool_]
    ids: pa.Array

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Variants:
        """The variants at these positions, or those for which a mask is true."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Variants(
            keys=self.keys[index],
            ref=self.ref[index],
            alt=self.alt[index],
            file=self.file[index],
            row=self.row[index],
            allele=self.allele[index],
            multiallelic=self.multiallelic[index],
            ids=self.ids.take(pa.array(index)),
        )

    @staticmethod
    def concatenate(parts: Iterable[Variants]) -> Variants:
        """The variants of several files as one table, with `file` numbered in order."""
        parts = list(parts)
        if len(parts) == 1:
            return parts[0]
        return Variants(
            keys=np.concatenate([p.keys for p in parts]),
            ref=np.concatenate([p.ref for p in parts]),
            alt=np.concatenate([p.alt for p in parts]),
            file=np.concatenate([np.full(len(p), number, np.int32) for number, p in enumerate(parts)]),
            row=np.concatenate([p.row for p in parts]),
            allele=np.concatenate([p.allele for p in parts]),
            multiallelic=np.concatenate([p.multiallelic for p in parts]),
            ids=pa.concat_arrays([p.ids for p in parts]),
        )


def dictionary_of(names: pa.Array) -> tuple[list[str | None], NDArray[np.int32]]:
    """The distinct cells of a column, and for each row the number of its cell among them; -1 is null."""
    coded = _dictionary(names)
    return coded.dictionary.to_pylist(), _indices(coded)


def _dictionary(names: pa.Array) -> pa.DictionaryArray:
    if isinstance(names, pa.ChunkedArray):
        names = names.combine_chunks()
    if isinstance(names, pa.ChunkedArray):  # empty column of no chunks
        names = pa.array([], names.type)
    return names if isinstance(names, pa.DictionaryArray) else names.dictionary_encode()


def _indices(coded: pa.DictionaryArray) -> NDArray[np.int32]:
    """Indices into the dictionary; null is -1, the last entry of the tables above."""
    indices: NDArray[np.int32] = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return indices
