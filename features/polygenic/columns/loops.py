"""The compiled inner loops (`loops.c`), with the arrays they take. All run without Python's lock.

Calls lie in two bits: 0, 1, 2 copies, 3 missing. `rows` (site, word) hold a site's samples, 32 a word, and nothing
beyond the last; `words` (site / 32, sample) hold a sample's sites.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.arrays import Floats, Singles
from features.errors import PresageError

SITES = 32  # of a word
_ROW_WORDS = 8  # rows are whole cache lines
_TILE = 8192  # samples summed at once
_TABLES = 8 * 256
_LINE = 64

Rows = NDArray[np.uint64]
Real = TypeVar("Real", np.uint64, np.float32, np.float64)


class _Weights(ctypes.Structure):
    _fields_ = (
        ("additive", ctypes.c_void_p),
        ("heterozygote", ctypes.c_void_p),
        ("site_step", ctypes.c_int64),
        ("score_step", ctypes.c_int64),
        ("expected", ctypes.c_void_p),
        ("n_sites", ctypes.c_int64),
    )


def _library() -> ctypes.CDLL:
    library = find_spec("features.polygenic._loops")
    if library is None or library.origin is None:
        raise PresageError(
            "features/polygenic/columns/loops.c",
            "its compiled library",
            found="none",
            way_out="install Presage again with pip",
        )
    return ctypes.CDLL(library.origin)


LOOPS = _library()


@dataclass(frozen=True, slots=True)
class SiteWeights:
    """The weights of a block of sites: `additive` (site, score) for each copy, and `heterozygote` on top for exactly
    one copy.

    `expected` (site,): the copies at which a missing call stands; sums are of the amounts that calls add beyond it.
    `constants` (score,): the amount that these sites add to everybody.
    """

    additive: Floats
    heterozygote: Floats | None
    expected: Floats
    constants: Floats | float = 0.0

    def _as_c(self) -> _Weights:
        additive, het = self.additive, self.heterozygote
        if het is not None and het.strides != additive.strides:
            raise ValueError("weights of one layout are expected")
        return _Weights(
            additive.ctypes.data,
            None if het is None else het.ctypes.data,
            additive.strides[0] // 8,
            additive.strides[1] // 8,
            self.expected.ctypes.data,
            len(additive),
        )


def room_for_rows(n_sites: int, n_samples: int) -> Rows:
    """Zeros (site, word) with room for the calls of `n_samples` people at each site, 32 people a word."""
    return _aligned((n_sites, -(-n_samples // (32 * _ROW_WORDS)) * _ROW_WORDS), np.uint64)


def room_for_words(n_sites: int, n_samples: int) -> Rows:
    """Zeros (site / 32, sample) with room for the calls of each person, 32 sites a word.

    As many samples as `rows` have room for.
    """
    n_words = -(-n_samples // (32 * _ROW_WORDS)) * _ROW_WORDS
    return _aligned((-(-n_sites // SITES), 32 * n_words), np.uint64)


def unpack(
    content: NDArray[np.uint8],
    starts: NDArray[np.int64],
    *,
    kinds: NDArray[np.uint8],
    wanted: NDArray[np.bool_],
    n_samples: int,
    rows: Rows,
) -> bool:
    """Decode the wanted records of a PGEN into `rows`.

    False where a record does not add up, and pgenlib has to read it.
    """
    earlier = np.zeros(rows.shape[1], np.uint64)
    return bool(
        LOOPS.unpack(
            *at(content, starts, kinds, wanted), *sizes(len(kinds), n_samples, rows.shape[1]), *at(earlier, rows)
        )
    )


def pack(calls: NDArray[np.int8], rows: Rows) -> None:
    """Pack calls (site, sample) of 0, 1, 2 and -9 (missing) into `rows` (site, word)."""
    LOOPS.pack(*at(calls), *sizes(*calls.shape, rows.shape[1]), *at(rows))


def tally(rows: Rows, n_samples: int) -> NDArray[np.int64]:
    """Counts (site, 3) of the samples with one copy, with two copies, and with a missing call."""
    counts = np.empty((len(rows), 3), np.int64)
    LOOPS.tally(*at(rows), *sizes(len(rows), n_samples, rows.shape[1]), *at(counts))
    return counts


def turn(rows: Rows, words: Rows) -> None:
    """Turn `rows` (site, word) into `words` (site / 32, sample)."""
    LOOPS.turn(*at(rows), *sizes(*rows.shape), *at(words))


def count_missing(words: Rows, used: NDArray[np.bool_], *, missing: NDArray[np.int64]) -> None:
    """Add to `missing` (set, sample) the number of missing calls at the sites that each set uses.

    `used` is (site, set).
    """
    cells = np.zeros((used.shape[1], len(words) * SITES, 2), np.bool_)
    cells[:, : len(used), 0] = used.T
    masks = np.packbits(cells.reshape(used.shape[1], -1), axis=1, bitorder="little").view(np.uint64)
    row_words = words.shape[1] // 32
    LOOPS.count_missing(
        *at(words),
        *sizes(len(words), missing.shape[1], row_words),
        *at(masks),
        *sizes(len(missing)),
        *at(missing),
    )


def add_missing(words: Rows, effects: Singles, *, out: Singles) -> None:
    """Add, for every missing call, its site's row of `effects` to its sample's row of `out`.

    Both are (.., column / 16, 16).
    """
    used = (effects != 0).any(axis=2)
    row_words = words.shape[1] // 32
    LOOPS.add_missing(
        *at(words), *sizes(len(words), len(out), row_words), *at(effects, used), *sizes(out.shape[1]), *at(out)
    )


def add_few(rows: Rows, weights: SiteWeights, *, score: int, sums: Floats) -> None:
    """Add one score's sum over these sites to `sums` (sample,), site by site, for a score of few sites."""
    told = weights._as_c()
    LOOPS.add_few(*at(rows), *sizes(len(sums), rows.shape[1]), ctypes.byref(told), *sizes(score), *at(sums))


class LookUp:
    """Sums hard calls for some scores by lookup, on one thread, in double precision or in runs of single precision."""

    def __init__(self, n_scores: int, n_samples: int, *, single: bool) -> None:
        single = single and n_scores > 1
        self._lanes, self._loop = (16, LOOPS.look_up_16) if single else (8, LOOPS.look_up_8)
        if n_scores == 1:
            self._lanes, self._loop = 1, LOOPS.look_up_1
        self._n, self._n_scores = n_samples, n_scores
        shape = _TABLES + min(n_samples, _TILE), self._lanes
        self._room: Singles | Floats = _aligned(shape, np.float32) if single else _aligned(shape, np.float64)
        self._sums: Floats = _aligned((-(-n_scores // self._lanes), n_samples, self._lanes), np.float64)

    def add(self, words: Rows, weights: SiteWeights, *, scores: NDArray[np.int64]) -> None:
        """Add a block of sites to the sums.

        `scores`: the columns of the weights to sum, as many as the LookUp was made for.
        """
        told = weights._as_c()
        self._loop(
            *at(words),
            *sizes(self._n, words.shape[1] // 32),
            ctypes.byref(told),
            *at(scores),
            *sizes(self._n_scores),
            *at(self._room, self._sums),
        )

    def sums(self) -> Floats:
        """The sums (score, sample) so far."""
        return self._sums.transpose(0, 2, 1).reshape(-1, self._n)[: self._n_scores]


def tally_weights(
    weights: Floats, kinds: NDArray[np.uint8], *, sums: Floats, squares: Floats, zeros: NDArray[np.int64]
) -> None:
    """Add up weights (row, score) by kind of row (row,): absolute weights to `sums`, squared ones to `squares` (kind,
    score).

    `zeros` (score,) counts the weights that are 0.
    """
    LOOPS.tally_weights(*at(weights, kinds), *sizes(*weights.shape), *at(sums, squares, zeros))


def tally_dosages(dosages: Singles) -> tuple[Floats, NDArray[np.int64]]:
    """For each site the sum of dosages over called samples, and the number of missing ones."""
    totals, missing = np.empty(len(dosages)), np.empty(len(dosages), np.int64)
    LOOPS.tally_dosages(*at(dosages), *sizes(*dosages.shape), *at(totals, missing))
    return totals, missing


def centre(dosages: Singles, centres: Floats, *, stand_ins: Floats, out: Singles | Floats) -> None:
    """Write to `out` the dosages (site, sample) less their site's centre, in the precision of `out`.

    A missing dosage becomes its site's stand-in.
    """
    loop = LOOPS.centre_single if out.dtype == np.float32 else LOOPS.centre_double
    loop(*at(dosages), *sizes(*dosages.shape), *at(centres, stand_ins, out))


def heterozygotes(dosages: Singles) -> Floats:
    """How far each dosage stands for exactly one copy: 1 for one copy, 0 for none or two, linear between.

    0 where missing.
    """
    out = np.empty(dosages.shape)
    LOOPS.heterozygotes(*at(dosages), *sizes(dosages.size), *at(out))
    return out


def add_centred(dosages: Singles, weights: SiteWeights, *, score: int, sums: Floats) -> None:
    """Add one additive score's sum over centred dosages (site, sample) to `sums` (sample,)."""
    told = weights._as_c()
    LOOPS.add_centred(*at(dosages), *sizes(dosages.shape[1]), ctypes.byref(told), *sizes(score), *at(sums))


def at(*arrays: NDArray[np.generic]) -> list[ctypes.c_void_p]:
    """Pointers to arrays, as arguments of a loop; each keeps its array alive as long as the pointer lives."""
    pointers = []
    for array in arrays:
        if not array.flags.c_contiguous:
            raise ValueError("a whole array is expected")
        pointer = ctypes.c_void_p(array.ctypes.data)
        pointer._kept = array  # type: ignore[attr-defined]
        pointers.append(pointer)
    return pointers


def sizes(*numbers: int) -> list[ctypes.c_int64]:
    """Whole numbers as arguments of a loop."""
    return [ctypes.c_int64(number) for number in numbers]


def _aligned(shape: tuple[int, ...], kind: type[Real]) -> NDArray[Real]:
    """Zeros that start at a cache line."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    raw = np.zeros(size + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    return raw[start : start + size].view(kind).reshape(shape)
