"""PGEN with PVAR and PSAM: plink2's own format, read by plink2's own library."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pgenlib
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.columns import Alleles, Rows, Variants, build_of_header
from features.polygenic.genotypes.protocol import Samples, Sites
from features.polygenic.genotypes.tables import VariantTable, read_psam, read_pvar

if TYPE_CHECKING:
    from features.polygenic.genotypes.packed import PackedReader, RecordIndex

MAGIC = b"\x6c\x1b"
_BLOCK = 1 << 16  # variants a header block of a PGEN
_DOSAGE_BITS = 0x60


class Pgen:
    """A PGEN file set. Raises PresageError where the matrix and its tables disagree or the matrix is damaged."""

    def __init__(self, path: Path, alleles: Alleles) -> None:
        pvar = path.with_suffix(".pvar")
        table = read_pvar(pvar if pvar.exists() else path.with_suffix(".pvar.zst"), alleles)
        psam = path.with_suffix(".psam")
        if not psam.exists():
            raise PresageError(
                str(psam), "the .psam beside the .pgen", found="no such file", way_out="copy all files of the set"
            )
        self._open(path, table, samples=read_psam(psam))
        self.build: str | None = build_of_header(table.header, where=str(pvar))
        self.has_dosages: bool = _has_dosages(path)

    def _open(self, path: Path, table: VariantTable, *, samples: Samples) -> None:
        self.path = path
        self.name: str = str(path)
        self.samples: Samples = samples
        self.variants: Variants = table.variants
        self.n_records: int = table.n_records
        self._offsets: NDArray[np.uintp] | None = None
        if table.allele_counts is not None:
            counts = np.cumsum(table.allele_counts.to_numpy())
            self._offsets = np.concatenate([[0], counts]).astype(np.uintp)
        self._index: list[RecordIndex | None] = []  # found out once, when first read
        PgenSites(path, len(samples), n_records=table.n_records, offsets=self._offsets, index=None).close()

    def reader(self) -> PgenSites:
        """A reader for one thread."""
        from features.polygenic.genotypes.packed import record_index

        if not self._index:
            self._index.append(None if self._offsets is not None else record_index(self.path))
        return PgenSites(
            self.path, len(self.samples), n_records=self.n_records, offsets=self._offsets, index=self._index[0]
        )

    def close(self) -> None:
        """Do nothing: no file is held open between readers."""


class PgenSites:
    """Reads sites of one PGEN or BED file."""

    def __init__(
        self,
        path: Path,
        n_samples: int,
        *,
        n_records: int,
        offsets: NDArray[np.uintp] | None,
        index: RecordIndex | None,
    ) -> None:
        self._path = path
        self._multiallelic: NDArray[np.bool_] | None = (
            None if offsets is None else np.diff(offsets.astype(np.int64)) > 2
        )
        try:
            self._reader = pgenlib.PgenReader(
                str(path).encode(), raw_sample_ct=n_samples, variant_ct=n_records, allele_idx_offsets=offsets
            )
        except (RuntimeError, MemoryError, OSError) as error:
            raise PresageError(
                str(path),
                f"a whole genotype file of {n_samples:,} samples and {n_records:,} records",
                found=f"what its reader calls '{str(error).strip()}'",
                way_out="export the genotypes again",
            ) from error
        self._packed = _packed(path, index, n_samples=n_samples)

    def read_rows(self, sites: Sites, out: Rows) -> bool:
        """Read calls in two bits; False where `read` must be used."""
        return self._packed is not None and bool((sites.allele == 1).all()) and self._packed.read(sites.row, out)

    def read(self, sites: Sites, out: NDArray[np.int8]) -> None:
        """Read allele counts (site, sample), -9 where missing."""
        self._read(
            sites, out, read_range=self._reader.read_range, read_list=self._reader.read_list, read_one=self._reader.read
        )

    def read_dosages(self, sites: Sites, out: NDArray[np.float32]) -> None:
        """Read expected allele counts (site, sample), -9 where missing."""
        reader = self._reader
        self._read(
            sites,
            out,
            read_range=reader.read_dosages_range,
            read_list=reader.read_dosages_list,
            read_one=reader.read_dosages,
        )

    def _read(self, sites: Sites, out, *, read_range, read_list, read_one) -> None:  # type: ignore[no-untyped-def]
        rows = sites.row
        try:
            if self._multiallelic is not None and self._multiallelic[rows].any():
                for number, (row, allele) in enumerate(zip(rows.tolist(), sites.allele.tolist(), strict=True)):
                    read_one(row, out[number], allele)
            elif len(rows) and rows[-1] - rows[0] + 1 == len(rows):
                read_range(int(rows[0]), int(rows[-1]) + 1, out)
            else:
                read_list(rows.astype(np.uint32), out)
        except RuntimeError as error:
            raise PresageError(
                str(self._path),
                "a whole genotype file",
                found=f"damage between records {rows[0] + 1} and {rows[-1] + 1}",
                way_out="export it again",
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        if self._packed is not None:
            self._packed.close()


def _packed(path: Path, index: RecordIndex | None, *, n_samples: int) -> PackedReader | None:
    if index is None:
        return None
    from features.polygenic.genotypes.packed import PackedReader

    return PackedReader(path, index, n_samples=n_samples)


def _has_dosages(path: Path) -> bool:
    """From the header, as the PGEN specification lays it out: dosage bits of the record types."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if len(head) < 12 or head[2] != 0x10:
            return len(head) > 2 and head[2] in (0x03, 0x04)
        n_variants = struct.unpack("<I", head[3:7])[0]
        control = head[11]
        n_blocks = -(-n_variants // _BLOCK)
        stream.seek(12 + 8 * n_blocks)
        if control & 15 < 4:  # four-bit record types cannot say dosage
            return False
        length_bytes = (control & 3) + 1
        count_bytes = control >> 4 & 3
        flagged = control >> 6 == 3
        for block in range(n_blocks):
            size = min(_BLOCK, n_variants - block * _BLOCK)
            kinds = np.frombuffer(stream.read(size), np.uint8)
            if (kinds & _DOSAGE_BITS).any():
                return True
            stream.seek(size * (length_bytes + count_bytes) + (-(-size // 8) if flagged else 0), 1)
    return False
