"""Calls read in two bits straight from a PGEN, against pgenlib's own reading of the same records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pgenlib
import pytest
from numpy.typing import NDArray

from features.polygenic.columns import loops
from features.polygenic.genotypes.packed import PackedReader, RecordIndex, record_index

RECORDS = 400
KINDS = {0, 1, 2, 3, 4, 6, 7}


def _calls(n_samples: int) -> NDArray[np.int8]:
    """Common, rare, constant and missing records, and such as are like the one before or its mirror."""
    rng = np.random.default_rng(n_samples)
    rows: list[NDArray[np.int8]] = []
    for frequency, like in zip(rng.beta(0.3, 0.3, RECORDS), rng.random(RECORDS), strict=True):
        if like < 0.3 and rows:
            row = rows[-1].copy()
            row[rng.random(n_samples) < 0.02] = rng.integers(0, 3)
            row = np.where((row >= 0) & (like < 0.15), 2 - row, row).astype(np.int8)
        elif like < 0.4:
            row = np.full(n_samples, rng.choice([0, 2, -9]), np.int8)
            row[rng.random(n_samples) < 0.01] = 1
        else:
            row = rng.binomial(2, frequency, n_samples).astype(np.int8)
        row[rng.random(n_samples) < 0.01] = -9
        rows.append(row)
    return np.stack(rows)


def _written(folder: Path, n_samples: int) -> tuple[Path, RecordIndex]:
    path = folder / f"{n_samples}.pgen"
    with pgenlib.PgenWriter(str(path).encode(), n_samples, variant_ct=RECORDS, nonref_flags=False) as writer:
        writer.append_biallelic_batch(_calls(n_samples))
    index = record_index(path)
    assert index is not None
    return path, index


def _room(n_rows: int, n_samples: int) -> NDArray[np.uint64]:
    """What a row's samples do not reach stays 0; all else is overwritten."""
    room = loops.room_for_rows(n_rows, n_samples)
    room[:, : -(-n_samples // 32)] = 77
    return room


@pytest.mark.parametrize("n_samples", [1, 3, 63, 255, 256, 1001])
def test_packed_calls_are_pgenlibs(tmp_path: Path, n_samples: int) -> None:
    path, index = _written(tmp_path, n_samples)
    if n_samples > 60:
        assert set(index.kinds.tolist()) == KINDS
    rng = np.random.default_rng(1)
    theirs = pgenlib.PgenReader(str(path).encode())
    ours = PackedReader(path, index, n_samples=n_samples)
    for start in range(0, RECORDS, 37):
        rows = np.arange(start, min(start + int(rng.integers(1, 200)), RECORDS))
        rows = rows[rng.random(len(rows)) < rng.choice([0.8, 1.1])]
        if not len(rows):
            continue
        found, expected = _room(len(rows), n_samples), _room(len(rows), n_samples)
        calls = np.zeros((len(found), n_samples), np.int8)
        theirs.read_list(rows.astype(np.uint32), calls)
        expected[:] = 0
        loops.pack(calls, expected)
        assert ours.read(rows, found)
        np.testing.assert_array_equal(found, expected)
    theirs.close()
    ours.close()


def test_what_does_not_add_up_is_left_to_pgenlib(tmp_path: Path) -> None:
    path, index = _written(tmp_path, 256)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(2)
    rows, out = np.arange(RECORDS), _room(RECORDS, 256)
    refused = 0
    for _ in range(200):
        broken = content.copy()
        for place in rng.integers(int(index.starts[0]), len(content), 20).tolist():
            broken[place] = int(rng.integers(0, 256))
        path.write_bytes(broken)
        ours = PackedReader(path, index, n_samples=256)
        refused += not ours.read(rows, out)
        ours.close()
    assert refused > 100
    path.write_bytes(content[:-1])
    ours = PackedReader(path, index, n_samples=256)
    assert not ours.read(rows, out)
    assert not ours.read(rows[::-1], out)
    ours.close()


def test_records_far_apart_are_left_to_pgenlib(tmp_path: Path) -> None:
    path, index = _written(tmp_path, 63)
    ours = PackedReader(path, index, n_samples=63)
    assert not ours.read(np.array([0, RECORDS - 1]), _room(2, 63))
    ours.close()
