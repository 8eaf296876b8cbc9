"""Opening genotypes by name, and one file set of several files of the same samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.columns import Alleles, Rows, Variants
from features.polygenic.genotypes.bed import Bed
from features.polygenic.genotypes.pgen import Pgen
from features.polygenic.genotypes.protocol import (
    Genotypes,
    ListsSites,
    RowSites,
    Samples,
    SiteReader,
    Sites,
    lists_only_variants,
)
from features.polygenic.genotypes.request import Request

_EVERY = "{1..22}"
_AUTOSOMES = tuple(str(i) for i in range(1, 23))
_CHROMOSOMES = (*_AUTOSOMES, "X", "Y")
_FORMATS_READ = "give a .pgen, .bed, .vcf, .vcf.gz or .bcf"


@contextmanager
def open_genotypes(path: Path, alleles: Alleles, *, request: Request | None = None) -> Iterator[Genotypes]:
    """Open a genotype file (.pgen, .bed, .vcf, .vcf.gz, .bcf), or one per chromosome: `chr{1..22}.pgen`, `chr*.bed`.

    `request`: the sites that are asked of formats that are read whole; without it all sites are read. Raises
    PresageError where no file is there, the format is not one of these, or the files' samples differ.
    """
    files: list[Genotypes] = []
    try:
        parts = expand(path)
        for part in parts:
            files.append(_open_one(part, alleles, request=request, alone=len(parts) == 1))  # noqa: PERF401 - to be closed
        if request is not None:
            _check_asked(path, files, request=request)
            if len(parts) > 1:
                _complete(path, parts, files=files, request=request)
        yield files[0] if len(files) == 1 else Fileset(str(path), files)
    finally:
        for file in files:
            file.close()


def _check_asked(path: Path, files: list[Genotypes], *, request: Request) -> None:
    """What is said of unlisted sites is for formats that may leave some out; elsewhere it would do nothing."""
    asked = "--assume-reference" if request.assume_reference else "--callable-bed" if request.callable_bed else None
    if asked is not None and not any(isinstance(file, ListsSites) for file in files):
        raise PresageError(
            asked, "a VCF or BCF", found=f"{path.name}, which has a call at every site", way_out="leave the option out"
        )


def _complete(path: Path, parts: list[Path], *, files: list[Genotypes], request: Request) -> None:
    """Sites that no file of a set lists become reference once, not in every file that does not list them."""
    listing = [file for file in files if isinstance(file, ListsSites)]
    if not listing:
        return
    assumes = request.assume_reference or request.callable_bed is not None
    if assumes and _EVERY in path.name and len(parts) < len(_AUTOSOMES):
        absent = [name for name in _AUTOSOMES if not Path(str(path).replace(_EVERY, name)).exists()]
        if absent:
            raise PresageError(
                str(path),
                "a file of every chromosome, as all sites of an absent one would count as reference",
                found=f"no file of chromosome {', '.join(absent)}",
                way_out=f"add the files, or name those that are there: {path.name.replace(_EVERY, '*')}",
            )
    elsewhere = np.unique(np.concatenate([file.said() for file in listing])) if assumes else None
    for file in listing:
        file.add_reference(request, elsewhere)
        if elsewhere is not None:
            elsewhere = np.union1d(elsewhere, file.said())


def expand(path: Path) -> list[Path]:
    """The files that a name with braces or a star stands for, in the order of chromosomes."""
    name = str(path)
    if _EVERY in name:
        files = [Path(name.replace(_EVERY, chromosome)) for chromosome in _CHROMOSOMES]
        files = [part for part in files if part.exists()]
    elif "*" in path.name:
        files = sorted(path.parent.glob(path.name), key=lambda part: (len(part.name), part.name))
    else:
        files = [_with_suffix(path)]
    if not files or not files[0].exists():
        raise PresageError(name, "a file of genotypes", found="no such file", way_out=_FORMATS_READ)
    return files


def _with_suffix(path: Path) -> Path:
    """PLINK users name a file set without its suffix."""
    if path.exists():
        return path
    beside = [path.with_name(path.name + suffix) for suffix in (".pgen", ".bed", ".vcf.gz", ".vcf", ".bcf")]
    return next((part for part in beside if part.exists()), path)


def _open_one(path: Path, alleles: Alleles, *, request: Request | None, alone: bool) -> Genotypes:
    name = path.name.lower()
    if name.endswith((".bgen", ".bgen.gz")):
        raise PresageError(
            str(path),
            "a format of genotypes that is read",
            found="BGEN",
            way_out=f"convert it: plink2 --bgen {path.name} ref-first --sample FILE.sample --make-pgen --out genotypes",
        )
    opener = next((opener for suffixes, opener in _FORMATS if name.endswith(suffixes)), None)
    if opener is None:
        raise PresageError(str(path), "a format of genotypes that is read", found="another", way_out=_FORMATS_READ)
    return opener(path, alleles, request=request, alone=alone)


def _open_vcf(path: Path, alleles: Alleles, *, request: Request | None, alone: bool) -> Genotypes:
    from features.polygenic.genotypes.vcf import Vcf

    if request is None:
        raise PresageError(
            str(path),
            "a .pgen or .bed, which can be read as a whole",
            found="a VCF",
            way_out="convert it: plink2 --make-pgen",
        )
    return Vcf(path, alleles, request=request, alone=alone)


class _Open(Protocol):
    def __call__(self, path: Path, alleles: Alleles, *, request: Request | None, alone: bool) -> Genotypes: ...


_FORMATS: tuple[tuple[tuple[str, ...], _Open], ...] = (
    ((".pgen",), lambda path, alleles, **_: Pgen(path, alleles)),
    ((".bed",), lambda path, alleles, **_: Bed(path, alleles)),
    ((".vcf", ".vcf.gz", ".vcf.bgz", ".bcf"), _open_vcf),
)


class Fileset:
    """Several files of the same samples read as one."""

    def __init__(self, name: str, files: list[Genotypes]) -> None:
        self.name = name
        self._files = files
        self.samples: Samples = files[0].samples
        for part in files[1:]:
            if part.samples.ids != self.samples.ids:
                raise PresageError(
                    part.name,
                    f"the samples of {files[0].name} in the same order",
                    found="others",
                    way_out="export all chromosomes together",
                )
        builds = {part.build for part in files if part.build}
        if len(builds) > 1:
            raise PresageError(
                name, "files of one build", found=" and ".join(sorted(builds)), way_out="lift them to one build"
            )
        self.build: str | None = builds.pop() if builds else None
        self.has_dosages: bool = any(part.has_dosages for part in files)
        self.n_records: int = sum(part.n_records for part in files)
        self._starts = np.cumsum([0, *(int(part.variants.row.max(initial=-1)) + 1 for part in files)])
        merged = Variants.concatenate(part.variants for part in files)
        self.variants: Variants = _shifted(merged, self._starts)

    @property
    def only_variants(self) -> bool:
        """Whether every file lists only the sites at which somebody differs from the reference."""
        return all(lists_only_variants(part) for part in self._files)

    def reader(self) -> FilesetSites:
        """A reader of all files, for one thread."""
        return FilesetSites([part.reader() for part in self._files], self._starts)

    def close(self) -> None:
        """Close the files."""
        for part in self._files:
            part.close()


class FilesetSites:
    """Reads sites of several files, whose rows are numbered through."""

    def __init__(self, readers: list[SiteReader], starts: NDArray[np.int64]) -> None:
        self._readers = readers
        self._starts = starts

    def read_rows(self, sites: Sites, out: Rows) -> bool:
        """Read calls in two bits; False where a file that has one of the sites cannot."""
        parts = self._parts(sites)
        return all(isinstance(reader, RowSites) and reader.read_rows(part, out[rows]) for reader, part, rows in parts)

    def read(self, sites: Sites, out: NDArray[np.int8]) -> None:
        """Read allele counts (site, sample), -9 where missing."""
        for reader, part, rows in self._parts(sites):
            reader.read(part, out[rows])

    def read_dosages(self, sites: Sites, out: NDArray[np.float32]) -> None:
        """Read expected allele counts (site, sample), negative where missing."""
        for reader, part, rows in self._parts(sites):
            reader.read_dosages(part, out[rows])

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

    def _parts(self, sites: Sites) -> Iterator[tuple[SiteReader, Sites, slice]]:
        cuts = np.searchsorted(sites.row, self._starts)
        for number, (low, high) in enumerate(zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)):
            if high > low:
                rows = slice(low, high)
                yield self._readers[number], Sites(sites.row[rows] - self._starts[number], sites.allele[rows]), rows


def _shifted(variants: Variants, starts: NDArray[np.int64]) -> Variants:
    return Variants(
        keys=variants.keys,
        ref=variants.ref,
        alt=variants.alt,
        file=variants.file,
        row=variants.row + starts[variants.file],
        allele=variants.allele,
        multiallelic=variants.multiallelic,
        ids=variants.ids,
    )
