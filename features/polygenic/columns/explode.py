"""Records as variants: a record with several alternates becomes one entry for each."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.arrays import Ints
from features.polygenic.columns.text import Column
from features.polygenic.columns.variants import Alleles, Codes, Variants


def explode(
    *,
    keys: Ints,
    ref: Codes,
    alts: Column,
    ids: pa.StringArray,
    rows: NDArray[np.int64],
    alleles: Alleles,
) -> Variants:
    """Make variants of records; a record with several alternates becomes one variant for each.

    `keys`, `ref`, `alts`, `ids` and `rows` are (record,).
    """
    parent, alt, several = split_alternates(alts, alleles)
    if not several.any():
        ones = np.ones(len(rows), np.int32)
        return Variants(keys, ref, alt, np.zeros(len(rows), np.int32), rows, ones, several, ids)
    allele = np.arange(len(parent)) - np.searchsorted(parent, parent) + 1
    return Variants(
        keys=keys[parent],
        ref=ref[parent],
        alt=alt,
        file=np.zeros(len(parent), np.int32),
        row=rows[parent],
        allele=allele.astype(np.int32),
        multiallelic=several[parent],
        ids=ids.take(pa.array(parent)),
    )


def split_alternates(alts: Column, alleles: Alleles) -> tuple[NDArray[np.intp], Codes, NDArray[np.bool_]]:
    """Part the alternates of records: the record and the code of each alternate, and whether each
    record has several.
    """
    if b"," in alts.content:
        text = alts.text()
        several = pc.match_substring(text, ",").to_numpy(zero_copy_only=False)
        if several.any():
            lists = pc.split_pattern(text, ",")
            return pc.list_parent_indices(lists).to_numpy(), alleles.encode(pc.list_flatten(lists)), several
    return np.arange(len(alts)), alts.alleles(alleles), np.zeros(len(alts), np.bool_)
