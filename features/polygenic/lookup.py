"""Hard calls summed by lookup: the calls of four sites make one byte, and a table says what each of 256 bytes adds.

One addition then stands for four products, exact in double precision, and a missing call is a value like any other
("four Russians": Arlazarov et al., Doklady AN SSSR 1970;194:487-8). A table serves `LANES` scores at once, which is one
cache line; most calls are common ones, so most lookups stay in the first cache. It pays from a few hundred samples on,
below which filling the tables costs more than it saves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LANES = 8
TABLES = 8  # looked up together, so that sums are touched once for all of them
SITES = 4 * TABLES  # blocks of calls are whole multiples of it
CODES = 256
_MISSING = 3  # -9 & 3
_SAMPLES = 512


def add_scores(
    packed: NDArray[np.uint8],
    additive: NDArray[np.float64],
    heterozygote: NDArray[np.float64] | None,
    expected: NDArray[np.float64],
    tables: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Add what the calls of a block weigh to `sums`, from `room_for_sums`.

    `packed` (site / 4, sample); `additive`, `heterozygote` (score, site): per copy, and for exactly one copy;
    `expected` (site,): copies that a missing call stands for. `tables`: from `room_for_tables`.
    """
    additive = np.ascontiguousarray(additive)
    het = np.empty((0, 0)) if heterozygote is None else np.ascontiguousarray(heterozygote)
    if len(additive) == 1:
        add_one(packed, additive, het, expected, tables, sums.reshape(-1))
        return
    for lane, first in enumerate(range(0, len(additive), LANES)):
        add_lanes(packed, additive, het, expected, first, tables, sums[lane])


def room_for_tables() -> NDArray[np.float64]:
    """For one thread."""
    return _aligned((TABLES * CODES, LANES))


def room_for_sums(n_scores: int, n_samples: int) -> NDArray[np.float64]:
    """Zeros (score / LANES, sample, lane)."""
    if n_scores == 1:
        return np.zeros((1, n_samples, 1))
    return _aligned((-(-n_scores // LANES), n_samples, LANES))


def by_score(sums: NDArray[np.float64], n_scores: int) -> NDArray[np.float64]:
    """Sums (score, sample)."""
    return sums.transpose(0, 2, 1).reshape(-1, sums.shape[1])[:n_scores]


def _aligned(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Zeros that start at a cache line, so that a row of `LANES` lies in one."""
    size = int(np.prod(shape)) * 8
    raw = np.zeros(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(np.float64).reshape(shape)


def lanes_used(effects: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For `add_missing`: where each site's lanes are not zero, or nothing where most are not."""
    used: NDArray[np.bool_] = (effects != 0).any(axis=2)
    if 2 * np.count_nonzero(used) > used.size:
        return np.empty(0, np.intp), np.empty(0, np.intp)
    sites, lanes = np.nonzero(used)
    return np.searchsorted(sites, np.arange(len(used) + 1)), lanes


def _rows_added(_, sums, row, table, rows):  # type: ignore[no-untyped-def]
    """`sums[row] += table[r]` over all r of `rows`, each row a vector of `LANES`: Numba itself adds one by one."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        def place(array: Any, kind: Any, number: Any) -> Any:
            start = context.make_array(kind)(context, builder, array).data
            vector = ir.VectorType(context.get_data_type(kind.dtype), LANES).as_pointer()
            offset = builder.mul(number, ir.Constant(number.type, LANES))
            return builder.bitcast(builder.gep(start, [offset]), vector)

        sums_kind, _, table_kind, _ = signature.args
        width = sums_kind.dtype.bitwidth // 8
        parts = [
            builder.load(place(values[2], table_kind, number), align=width)
            for number in cgutils.unpack_tuple(builder, values[3])  # type: ignore[no-untyped-call]
        ]
        while len(parts) > 1:
            parts = [
                builder.fadd(*parts[k : k + 2]) if k + 1 < len(parts) else parts[k] for k in range(0, len(parts), 2)
            ]
        target = place(values[0], sums_kind, values[1])
        builder.store(builder.fadd(builder.load(target, align=width), parts[0]), target, align=width)
        return context.get_dummy_value()

    return types.void(sums, row, table, rows), code


_add_rows: Any = intrinsic(_rows_added)


@njit(nogil=True, cache=True)
def pack(calls, out):  # type: ignore[no-untyped-def]
    """Calls (site, sample) of 0, 1, 2 and -9 as bytes (site / 4, sample), the first site in the lowest bits."""
    for k in range(out.shape[0]):
        one, two, three, four = calls[4 * k], calls[4 * k + 1], calls[4 * k + 2], calls[4 * k + 3]
        row = out[k]
        for i in range(out.shape[1]):
            row[i] = (one[i] & 3) | (two[i] & 3) << 2 | (three[i] & 3) << 4 | (four[i] & 3) << 6


def _lowest_bit(_, word):  # type: ignore[no-untyped-def]
    """The place of the lowest bit that is set."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), code


_lowest: Any = intrinsic(_lowest_bit)


@njit(nogil=True, cache=True)
def _find_missing(calls, places):  # type: ignore[no-untyped-def]
    """Missing calls of one packed row, thirty-two at a time: 4 x sample + site of four. Returns how many."""
    found = 0
    words = calls[: calls.size // 8 * 8].view(np.uint64)
    for number in range(words.size):
        bits = words[number] & (words[number] >> np.uint64(1)) & np.uint64(0x5555555555555555)
        while bits:
            places[found] = 32 * number + (np.intp(_lowest(bits)) >> 1)
            found += 1
            bits &= bits - np.uint64(1)
    for i in range(8 * words.size, calls.size):
        for k in range(4):
            if calls[i] >> (2 * k) & 3 == _MISSING:
                places[found] = 4 * i + k
                found += 1
    return found


@njit(nogil=True, cache=True)
def add_missing(packed, effects, starts, columns, out):  # type: ignore[no-untyped-def]
    """For every missing call add its site's row of `effects` to its sample's row of `out`.

    Both (.., column / LANES, LANES). `starts`, `columns`: which lanes of a site are not zero, empty where rows are
    taken whole. Samples by hundreds, so that their rows stay in the cache.
    """
    n, width = packed.shape[1], out.shape[1]
    from_rows, to_rows = effects.reshape(-1, LANES), out.reshape(-1, LANES)
    places = np.empty(4 * _SAMPLES, np.intp)
    for low in range(0, n, _SAMPLES):
        for row in range(packed.shape[0]):
            for place in places[: _find_missing(packed[row, low : low + _SAMPLES], places)]:
                site, sample = 4 * row + (place & 3), low + (place >> 2)
                if starts.size:
                    for number in range(starts[site], starts[site + 1]):
                        k = columns[number]
                        _add_rows(to_rows, sample * width + k, from_rows, (site * width + k,))
                else:
                    for k in range(width):
                        _add_rows(to_rows, sample * width + k, from_rows, (site * width + k,))


@njit(nogil=True, cache=True)
def _fill(additive, heterozygote, expected, score, site, values, lane):  # type: ignore[no-untyped-def]
    """What 0, 1 and 2 copies and a missing call add, at four sites, into one lane of `values` (4 x site + call)."""
    for k in range(4):
        j = site + k
        weight = additive[score, j] if j < additive.shape[1] else 0.0
        values[4 * k, lane] = 0.0
        values[4 * k + 1, lane] = weight
        values[4 * k + 2, lane] = 2 * weight
        values[4 * k + _MISSING, lane] = weight * expected[j] if j < expected.size else 0.0
        if heterozygote.size and j < heterozygote.shape[1]:
            values[4 * k + 1, lane] += heterozygote[score, j]


@njit(nogil=True, cache=True)
def add_lanes(packed, additive, heterozygote, expected, first, tables, sums):  # type: ignore[no-untyped-def]
    """`sums` (sample, lane) of the scores from `first` on."""
    n_lanes = min(LANES, additive.shape[0] - first)
    values, pairs = np.zeros((16, LANES)), np.zeros((32, LANES))
    for start in range(0, packed.shape[0], TABLES):
        tables[:] = 0.0
        for t in range(TABLES):
            for lane in range(n_lanes):
                _fill(additive, heterozygote, expected, first + lane, 4 * (start + t), values, lane)
            pairs[:] = 0.0
            for code in range(16):
                _add_rows(pairs, code, values, (code & 3, 4 + (code >> 2)))
                _add_rows(pairs, 16 + code, values, (8 + (code & 3), 12 + (code >> 2)))
            for code in range(CODES):
                _add_rows(tables, t * CODES + code, pairs, (code & 15, 16 + (code >> 4)))
        a, b, c, d = packed[start], packed[start + 1], packed[start + 2], packed[start + 3]
        e, f, g, h = packed[start + 4], packed[start + 5], packed[start + 6], packed[start + 7]
        for i in range(packed.shape[1]):
            _add_rows(
                sums,
                i,
                tables,
                (
                    np.intp(a[i]),
                    np.intp(b[i]) + CODES,
                    np.intp(c[i]) + 2 * CODES,
                    np.intp(d[i]) + 3 * CODES,
                    np.intp(e[i]) + 4 * CODES,
                    np.intp(f[i]) + 5 * CODES,
                    np.intp(g[i]) + 6 * CODES,
                    np.intp(h[i]) + 7 * CODES,
                ),
            )


@njit(nogil=True, cache=True)
def add_one(packed, additive, heterozygote, expected, tables, sums):  # type: ignore[no-untyped-def]
    """`sums` (sample,) of one score: the tables are one value wide."""
    values = np.zeros((16, 1))
    room = tables.reshape(tables.size)
    for start in range(0, packed.shape[0], 4):
        for t in range(4):
            _fill(additive, heterozygote, expected, 0, 4 * (start + t), values, 0)
            for code in range(CODES):
                room[t * CODES + code] = (values[code & 3, 0] + values[4 + (code >> 2 & 3), 0]) + (
                    values[8 + (code >> 4 & 3), 0] + values[12 + (code >> 6), 0]
                )
        one, two, three, four = room[:CODES], room[CODES : 2 * CODES], room[2 * CODES : 3 * CODES], room[3 * CODES :]
        a, b, c, d = packed[start], packed[start + 1], packed[start + 2], packed[start + 3]
        for i in range(packed.shape[1]):
            sums[i] += (one[a[i]] + two[b[i]]) + (three[c[i]] + four[d[i]])


def load() -> None:
    """Compile the loops, or load them from Numba's cache, by running them on nothing."""
    packed, effects = np.zeros((TABLES, LANES), np.uint8), np.zeros((SITES, 1, LANES), np.float32)
    pack(np.zeros((SITES, LANES), np.int8), packed)
    for n_scores in (1, 2):
        sums, tables = room_for_sums(n_scores, LANES), room_for_tables()
        add_scores(packed, np.zeros((n_scores, SITES)), None, np.zeros(SITES), tables, sums)
    add_missing(packed, effects, *lanes_used(effects), np.zeros((LANES, 1, LANES), np.float32))


__all__ = [
    "LANES",
    "SITES",
    "add_missing",
    "add_scores",
    "by_score",
    "lanes_used",
    "load",
    "pack",
    "room_for_sums",
    "room_for_tables",
]
