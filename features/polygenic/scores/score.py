"""A score in memory: who made it, its variants, and the weights of their alleles."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.arrays import Ints
from features.polygenic.columns import Codes


@dataclass(frozen=True, slots=True)
class ScoreHeader:
    """Who made a score, and what it may be used for."""

    score_id: str
    name: str | None = None
    trait: str | None = None
    trait_id: str | None = None
    build: str | None = None
    licence: str | None = None
    citation: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreRows:
    """The variants of a score, in file order. `keys` -1: no usable position. `other` -1: no other allele.

    `effect` -1: not a sequence. `complex`: a haplotype or diplotype, which counts of one allele cannot score.
    `frequency`: of the effect allele as the file tells it, nan where it does not. `line`: where each row stands.
    """

    keys: Ints
    effect: Codes
    other: Codes
    complex: NDArray[np.bool_]
    frequency: NDArray[np.float64]
    line: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def same(self, other: ScoreRows) -> bool:
        """Whether both hold the same variants, alleles and frequencies on the same lines."""
        if self is other:
            return True
        pairs = [(getattr(self, name), getattr(other, name)) for name in ScoreRows.__slots__]
        return all(np.array_equal(own, theirs, equal_nan=own.dtype.kind == "f") for own, theirs in pairs)

    @staticmethod
    def none() -> ScoreRows:
        """Rows of no variant, as a refused score has them."""
        empty = np.empty(0, np.int64)
        codes = empty.astype(np.int32)
        return ScoreRows(empty, codes, codes, empty.astype(np.bool_), np.empty(0), empty)


@dataclass(frozen=True, slots=True)
class Score:
    """One score with its weights.

    `weights` (row,): per copy of the effect allele, or of a row that is not additive the most it can add. `effects`:
    the amounts that 0, 1 and 2 copies add (row, 3), None where every row is additive. `refused`: the reason why the
    score cannot be computed from genotypes at all; its rows are then empty.
    """

    header: ScoreHeader
    path: Path
    rows: ScoreRows
    weights: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    effects: NDArray[np.float64] | None = None
    refused: str | None = None
