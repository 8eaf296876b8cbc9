"""BED with BIM and FAM: PLINK 1 genotypes, read by pgenlib."""

from __future__ import annotations

from pathlib import Path

from features.errors import PresageError
from features.polygenic.columns import Alleles
from features.polygenic.genotypes.pgen import MAGIC, Pgen
from features.polygenic.genotypes.tables import read_bim, read_fam

_SNP_MAJOR = b"\x01"


class Bed(Pgen):
    """A BED file set; the first allele of the BIM is ALT, as plink2 takes it."""

    def __init__(self, path: Path, alleles: Alleles) -> None:
        fam = path.with_suffix(".fam")
        if not fam.exists():
            raise PresageError(
                str(fam), "the .fam beside the .bed", found="no such file", way_out="copy all files of the set"
            )
        table, samples = read_bim(path.with_suffix(".bim"), alleles), read_fam(fam)
        _check_size(path, len(samples), n_records=table.n_records)
        self._open(path, table, samples=samples)
        self.build = None
        self.has_dosages = False


def _check_size(path: Path, n_samples: int, *, n_records: int) -> None:
    with path.open("rb") as stream:
        magic = stream.read(3)
    if magic != MAGIC + _SNP_MAJOR:
        raise PresageError(str(path), "a variant-major BED file", found="other first bytes", way_out="export it again")
    expected, found = 3 + n_records * -(-n_samples // 4), path.stat().st_size
    if expected != found:
        raise PresageError(
            str(path),
            f"{expected:,} bytes for {n_samples:,} samples and {n_records:,} variants",
            found=f"{found:,}",
            way_out="copy it again, or give the .bim and .fam of the same data set",
        )
