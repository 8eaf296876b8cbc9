"""Allele frequencies of a reference: plink2's .afreq, aligned to the genotypes' variants."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.arrays import Ints
from features.errors import PresageError
from features.polygenic.columns import text
from features.polygenic.columns.explode import split_alternates
from features.polygenic.columns.variants import Alleles, Codes, Variants, position_keys, split_key

_NAMED = ("ID", "REF", "ALT", "ALT_FREQS")
_CUT = "one that is cut short or damaged"
_AGAIN = "make it again: plink2 --freq"


@dataclass(frozen=True, slots=True)
class FrequencyTable:
    """Allele frequencies of a file, one row for each alternate allele. `position` is None without a POS column."""

    path: Path
    chromosome: NDArray[np.int64]
    ids: pa.StringArray
    ref: Codes
    alt: Codes
    frequency: NDArray[np.float64]
    position: NDArray[np.int64] | None

    def __len__(self) -> int:
        return len(self.frequency)

    def of(self, variants: Variants) -> NDArray[np.float64]:
        """The frequency (variant,) of each variant's alternate allele, nan where the file does not have it.

        A variant is found by its chromosome, its id and its two alleles in either order; or by position where the file
        has a POS column or ids of the form chromosome:position:REF:ALT. Raises PresageError for a file that knows none
        of the variants.
        """
        if len(self) == len(variants) and _aligned(self, variants):
            return self.frequency
        by_variant = np.full(len(variants), np.nan)
        _fill(by_variant, _by_id(self, variants), table=self, variants=variants)
        if np.isnan(by_variant).any():
            _fill(by_variant, _by_position(self, variants), table=self, variants=variants)
        if len(variants) and np.isnan(by_variant).all():
            raise PresageError(
                str(self.path),
                "frequencies of the genotypes' variants",
                found="none of them",
                way_out="make it from a reference of the same build and ids",
            )
        return by_variant

    def sites(self) -> tuple[Ints, Codes, Codes]:
        """Position key, REF and ALT of the file's variants, as far as a POS column or the ids tell the position."""
        return _positions(self), self.ref, self.alt


def read_afreq(path: Path, alleles: Alleles) -> FrequencyTable:
    """Read plink2's table of allele frequencies.

    Raises PresageError for a damaged file, or a frequency outside 0 to 1.
    """
    if not path.exists():
        raise PresageError(str(path), "a file of frequencies", found="no such file", way_out="make one: plink2 --freq")
    parts: list[FrequencyTable] = []
    columns: list[str] = []
    rows = 0
    try:
        for content in text.pieces(path):
            if not columns:
                first, _, content = content.partition(b"\n")
                columns = first.decode("utf-8", "replace").rstrip("\r").split("\t")
                _check_columns(path, columns)
            if content.strip():
                parts.append(_read_piece(path, content, columns=columns, alleles=alleles))
                rows += len(parts[-1])
    except (text.BadLineError, OSError) as error:
        raise PresageError(str(path), "a whole .afreq file", found=_CUT, way_out=_AGAIN) from error
    except text.BadCellError as error:
        where = f"{path}, row {rows + error.number + 1}"
        raise PresageError(where, "numbers", way_out=_AGAIN) from error
    if not parts:
        raise PresageError(str(path), "a whole .afreq file", found=_CUT, way_out=_AGAIN)
    table = _joined(parts)
    outside = np.flatnonzero((table.frequency < 0) | (table.frequency > 1))
    if len(outside):
        raise PresageError(f"{path}, row {outside[0] + 1}, column ALT_FREQS", "a frequency from 0 to 1", way_out=_AGAIN)
    return table


def _check_columns(path: Path, columns: list[str]) -> None:
    for name in _NAMED:
        if name not in columns:
            raise PresageError(
                f"{path}, line 1", f"the columns {', '.join(_NAMED)}", found=f"no column {name}", way_out=_AGAIN
            )


def _read_piece(path: Path, content: bytes, *, columns: list[str], alleles: Alleles) -> FrequencyTable:
    wanted = [name for name in (*_NAMED, "#CHROM", "POS") if name in columns]
    cells = text.columns(content, len(columns), wanted=[columns.index(name) for name in wanted])
    named = {name: cells[columns.index(name)] for name in wanted}
    parent, alt, several = split_alternates(named["ALT"], alleles)
    frequencies = named["ALT_FREQS"]
    n = len(frequencies)
    ids, ref = named["ID"].text(), named["REF"].alleles(alleles)
    chromosome = named["#CHROM"].chromosomes() if "#CHROM" in named else np.zeros(n, np.int64)
    position = named["POS"].wholes() if "POS" in named else None
    if not several.any():
        return FrequencyTable(path, chromosome, ids, ref, alt, frequencies.numbers(), position)
    cells_of = pc.list_flatten(pc.split_pattern(frequencies.text(), ","))
    if len(cells_of) != len(parent):
        raise text.BadLineError(0)
    return FrequencyTable(
        path,
        chromosome[parent],
        ids.take(pa.array(parent)),
        ref[parent],
        alt,
        text.numbers_of(cells_of),
        None if position is None else position[parent],
    )


def _joined(parts: list[FrequencyTable]) -> FrequencyTable:
    position = None if parts[0].position is None else np.concatenate([part.position for part in parts])
    return FrequencyTable(
        parts[0].path,
        np.concatenate([part.chromosome for part in parts]),
        pa.concat_arrays([part.ids for part in parts]),
        np.concatenate([part.ref for part in parts]),
        np.concatenate([part.alt for part in parts]),
        np.concatenate([part.frequency for part in parts]),
        position,
    )


def _aligned(table: FrequencyTable, variants: Variants) -> bool:
    """The same variants in the same order, as plink2 --freq writes them."""
    return bool(
        (table.ref == variants.ref).all()
        and (table.alt == variants.alt).all()
        and (table.chromosome == split_key(variants.keys)[0]).all()
        and table.ids.equals(variants.ids)
    )


def _by_id(table: FrequencyTable, variants: Variants) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (variant, row) of one id on one chromosome; the id `.` names nothing."""
    rows = pa.table({"id": table.ids, "chrom": table.chromosome, "row": np.arange(len(table))})
    own = pa.table({"id": variants.ids, "chrom": split_key(variants.keys)[0], "variant": np.arange(len(variants))})
    own = own.filter(pc.not_equal(own["id"], "."))
    pairs = own.join(rows, ["id", "chrom"], join_type="inner", use_threads=False)
    return pairs["variant"].to_numpy(), pairs["row"].to_numpy()


def _by_position(table: FrequencyTable, variants: Variants) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    keys = _positions(table)
    rows = pa.table({"key": keys, "row": np.arange(len(keys))}).filter(pa.array(keys >= 0))
    own = pa.table({"key": variants.keys, "variant": np.arange(len(variants))})
    pairs = own.join(rows, "key", join_type="inner", use_threads=False)
    return pairs["variant"].to_numpy(), pairs["row"].to_numpy()


def _positions(table: FrequencyTable) -> Ints:
    """-1 where neither a POS column nor the id tells."""
    if table.position is not None:
        return position_keys(table.chromosome, table.position)
    parts = pc.extract_regex(table.ids, r"^(?:chr)?[^:_]+[:_](?P<pos>\d{1,9})[:_]")
    positions = pc.fill_null(pc.cast(pc.struct_field(parts, "pos"), pa.int64()), 0)
    return position_keys(table.chromosome, positions.to_numpy())


def _fill(
    by_variant: NDArray[np.float64],
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
    *,
    table: FrequencyTable,
    variants: Variants,
) -> None:
    """Write frequencies where the alleles are the same, or the same the other way round."""
    variant, row = pairs
    ref, alt = table.ref[row], table.alt[row]
    same = (ref == variants.ref[variant]) & (alt == variants.alt[variant])
    turned = (ref == variants.alt[variant]) & (alt == variants.ref[variant]) & ~variants.multiallelic[variant]
    empty = np.isnan(by_variant)[variant]
    for hold, value in ((turned & empty, 1 - table.frequency), (same & empty, table.frequency)):
        by_variant[variant[hold]] = value[row[hold]]
