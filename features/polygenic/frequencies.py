"""Allele frequencies of a reference: plink2's .afreq, aligned to the genotypes' variants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.variants import Alleles, Codes, Keys, Variants, chromosome_codes, position_keys, split_key

_NAMED = ("ID", "REF", "ALT", "ALT_FREQS")


def read_afreq(path: Path, variants: Variants, alleles: Alleles) -> NDArray[np.float64]:
    """Frequency of each variant's alternate allele, nan where the file does not have it.

    A variant is found by its chromosome, its id and its two alleles in either order; or by position where the file
    has a POS column or ids of the form chromosome:position:REF:ALT. Raises PresageError for a damaged file, a frequency
    outside 0 to 1, and a file that knows none of the variants.
    """
    table = _read(path)
    if table.num_rows == len(variants) and _aligned(table, variants, alleles):
        frequencies: NDArray[np.float64] = table["ALT_FREQS"].to_numpy()
        return frequencies
    ref, alt = alleles.encode(table["REF"]), alleles.encode(table["ALT"])
    frequency = table["ALT_FREQS"].to_numpy()
    found = np.full(len(variants), np.nan)
    _fill(found, _by_id(table, variants), ref, alt, frequency, variants)
    if np.isnan(found).any():
        _fill(found, _by_position(table, variants), ref, alt, frequency, variants)
    if len(variants) and np.isnan(found).all():
        raise PresageError(
            str(path),
            "it has none of the genotypes' variants",
            way_out="make it from a reference of the same build and ids",
        )
    return found


def known_sites(path: Path, alleles: Alleles) -> tuple[Keys, Codes, Codes]:
    """Position, REF and ALT of the file's variants, as far as a POS column or the ids tell the position."""
    table = _read(path)
    return _positions(table), alleles.encode(table["REF"]), alleles.encode(table["ALT"])


def _read(path: Path) -> pa.Table:
    if not path.exists():
        raise PresageError(str(path), "no such frequency file", way_out="make one: plink2 --freq")
    try:
        table = csv.read_csv(
            path,
            parse_options=csv.ParseOptions(delimiter="\t"),
            convert_options=csv.ConvertOptions(
                column_types={name: pa.string() for name in ("#CHROM", "ID", "REF", "ALT")}
                | {"ALT_FREQS": pa.string()},
                null_values=[],
            ),
            memory_pool=pa.system_memory_pool(),
        )
    except pa.ArrowInvalid as error:
        raise PresageError(str(path), "not a whole .afreq file", way_out="make it again: plink2 --freq") from error
    for name in _NAMED:
        if name not in table.column_names:
            raise PresageError(
                f"{path}, line 1", f"the header has no column {name}", way_out="make it with plink2 --freq"
            )
    table = _exploded(table)
    frequency = table["ALT_FREQS"]
    try:
        number = pc.cast(pc.if_else(pc.equal(frequency, "nan"), "NaN", frequency), pa.float64())
    except pa.ArrowInvalid as error:
        raise PresageError(
            f"{path}, column ALT_FREQS", "expected numbers", way_out="make it again: plink2 --freq"
        ) from error
    values = number.to_numpy()
    outside = np.flatnonzero((values < 0) | (values > 1))
    if len(outside):
        raise PresageError(
            f"{path}, row {outside[0] + 1}, column ALT_FREQS",
            "expected a frequency from 0 to 1",
            way_out="make it again",
        )
    return table.set_column(table.column_names.index("ALT_FREQS"), "ALT_FREQS", number)


def _exploded(table: pa.Table) -> pa.Table:
    """A record with several alternates as several rows."""
    if not pc.any(pc.match_substring(table["ALT"], ",")).as_py():
        return table
    alts, frequencies = (pc.split_pattern(table[name].combine_chunks(), ",") for name in ("ALT", "ALT_FREQS"))
    parent = pc.list_parent_indices(alts)
    table = table.take(parent)
    table = table.set_column(table.column_names.index("ALT"), "ALT", pc.list_flatten(alts))
    return table.set_column(table.column_names.index("ALT_FREQS"), "ALT_FREQS", pc.list_flatten(frequencies))


def _aligned(table: pa.Table, variants: Variants, alleles: Alleles) -> bool:
    """The same variants in the same order, as plink2 --freq writes them."""
    same_ids = pc.all(pc.equal(table["ID"].combine_chunks(), variants.ids)).as_py()
    if not same_ids:
        return False
    return bool(
        (alleles.encode(table["REF"]) == variants.ref).all()
        and (alleles.encode(table["ALT"]) == variants.alt).all()
        and (_chromosomes(table) == split_key(variants.keys)[0]).all()
    )


def _chromosomes(table: pa.Table) -> NDArray[np.int64]:
    if "#CHROM" not in table.column_names:
        return np.zeros(table.num_rows, np.int64)
    return chromosome_codes(table["#CHROM"])


def _by_id(table: pa.Table, variants: Variants) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (variant, row) of one id on one chromosome; the id `.` names nothing."""
    rows = pa.table({"id": table["ID"], "chrom": _chromosomes(table), "row": np.arange(table.num_rows)})
    own = pa.table({"id": variants.ids, "chrom": split_key(variants.keys)[0], "variant": np.arange(len(variants))})
    own = own.filter(pc.not_equal(own["id"], "."))
    pairs = own.join(rows, ["id", "chrom"], join_type="inner", use_threads=False)
    return pairs["variant"].to_numpy(), pairs["row"].to_numpy()


def _by_position(table: pa.Table, variants: Variants) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    keys = _positions(table)
    rows = pa.table({"key": keys, "row": np.arange(len(keys))}).filter(pa.array(keys >= 0))
    own = pa.table({"key": variants.keys, "variant": np.arange(len(variants))})
    pairs = own.join(rows, "key", join_type="inner", use_threads=False)
    return pairs["variant"].to_numpy(), pairs["row"].to_numpy()


def _positions(table: pa.Table) -> Keys:
    """-1 where neither a POS column nor the id tells."""
    if "POS" in table.column_names:
        positions = pc.fill_null(pc.cast(table["POS"], pa.int64()), 0)
    else:
        found = pc.extract_regex(table["ID"], r"^(?:chr)?[^:_]+[:_](?P<pos>\d{1,9})[:_]")
        positions = pc.fill_null(pc.cast(pc.struct_field(found, "pos"), pa.int64()), 0)
    return position_keys(_chromosomes(table), positions.to_numpy())


def _fill(
    found: NDArray[np.float64],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    ref: NDArray[np.int32],
    alt: NDArray[np.int32],
    frequency: NDArray[np.float64],
    variants: Variants,
) -> None:
    """Write frequencies where the alleles are the same, or the same the other way round."""
    variant, row = pairs
    same = (ref[row] == variants.ref[variant]) & (alt[row] == variants.alt[variant])
    turned = (ref[row] == variants.alt[variant]) & (alt[row] == variants.ref[variant]) & ~variants.multiallelic[variant]
    empty = np.isnan(found)[variant]
    for hold, value in ((turned & empty, 1 - frequency), (same & empty, frequency)):
        found[variant[hold]] = value[row[hold]]
