"""PVAR, BIM, PSAM and FAM: the text tables beside a genotype matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.errors import PresageError
from features.polygenic.columns import Alleles, Variants, position_keys, text
from features.polygenic.columns.explode import explode
from features.polygenic.genotypes.protocol import Samples

_WANTED = ("#CHROM", "POS", "ID", "REF", "ALT")


@dataclass(frozen=True, slots=True)
class VariantTable:
    """The variants of a PVAR or BIM, its header lines, and its number of records."""

    variants: Variants
    header: tuple[str, ...]
    n_records: int
    allele_counts: pa.Array | None  # alleles a record, only where some record has more than two


def read_pvar(path: Path, alleles: Alleles) -> VariantTable:
    """Read a .pvar or .pvar.zst. Raises PresageError where a column is absent or a position is not a number."""
    header: list[str] = []
    columns: list[str] = []
    read = _Found(path, alleles)
    for content in _pieces(path):
        start = 0
        while not columns and content.startswith(b"##", start):
            end = _line_end(content, start)
            header.append(content[start:end].decode("utf-8", "replace").rstrip())
            start = end
        if not columns and start < len(content):
            end = _line_end(content, start)
            columns, is_header = _pvar_columns(content[start:end], path)
            start = end if is_header else start
            read.line = len(header) + is_header
        read.add(content[start:] if start else content, columns)
    return read.table(tuple(header))


def read_bim(path: Path, alleles: Alleles) -> VariantTable:
    """Read a .bim: its first allele is the one that the .bed counts (ALT here), its second REF, as
    plink2 takes them.
    """
    read = _Found(path, alleles)
    for content in _pieces(path):
        read.add(content, ["#CHROM", "ID", "CM", "POS", "ALT", "REF"])
    return read.table(())


class _Found:
    """The variants of a file, piece by piece."""

    def __init__(self, path: Path, alleles: Alleles) -> None:
        self.line = 0  # the last that was read
        self._path = path
        self._alleles = alleles
        self._n_records = 0
        self._parts: list[Variants] = []

    def add(self, content: bytes, columns: list[str]) -> None:
        """The records of some lines."""
        if not content.strip():
            self.line += text.n_lines(content)
            return
        if b"\t" not in content[:4096]:
            content = b"\n".join(b"\t".join(line.split()) for line in content.splitlines())
        try:
            cells = text.columns(content, len(columns), wanted=[columns.index(name) for name in _WANTED])
            chrom, pos, ids, ref, alt = (cells[columns.index(name)] for name in _WANTED)
            positions = pos.wholes()
        except (text.BadLineError, text.BadCellError) as error:
            raise PresageError(
                f"{self._path}, line {self.line + text.filled_lines(content)[error.number] + 1}",
                f"{len(columns)} columns with a whole number in POS",
                way_out="export it again",
            ) from error
        self._parts.append(
            explode(
                keys=position_keys(chrom.chromosomes(), positions),
                ref=ref.alleles(self._alleles),
                alts=alt,
                ids=ids.text(),
                rows=np.arange(self._n_records, self._n_records + len(positions)),
                alleles=self._alleles,
            )
        )
        self._n_records += len(positions)
        self.line += text.n_lines(content)

    def table(self, header: tuple[str, ...]) -> VariantTable:
        """All variants that were read. Raises PresageError where there are none."""
        if not self._parts:
            raise PresageError(
                str(self._path), "at least one variant", found="none", way_out="export the genotypes again"
            )
        variants = Variants.concatenate(self._parts)
        variants = replace(variants, file=np.zeros(len(variants), np.int32))
        counts = None
        if variants.multiallelic.any():
            counts = pa.array(np.bincount(variants.row, minlength=self._n_records) + 1)
        return VariantTable(variants, header, self._n_records, counts)


def read_psam(path: Path) -> Samples:
    """Read the people of a .psam, or of a .fam where the first line is no header."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("##")]
    if not lines:
        raise PresageError(
            str(path), "at least one sample", found="an empty file", way_out="export the genotypes again"
        )
    if not lines[0].startswith(("#FID", "#IID")):
        return read_fam(path)
    columns = lines[0].lstrip("#").split()
    rows = [line.split() for line in lines[1:]]
    iid = columns.index("IID") if "IID" in columns else None
    if iid is None:
        raise PresageError(f"{path}, line 1", "a header with the column IID", found="no column IID", way_out="add one")
    _check_width(path, rows, width=iid + 1, first_line=2)
    family = tuple(row[columns.index("FID")] for row in rows) if "FID" in columns else ()
    return _samples(path, Samples(tuple(row[iid] for row in rows), family), first_line=2)


def read_fam(path: Path) -> Samples:
    """Read the people of a .fam, whose first two columns are family and individual."""
    rows = [line.split() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not rows:
        raise PresageError(
            str(path), "at least one sample", found="an empty file", way_out="export the genotypes again"
        )
    _check_width(path, rows, width=2, first_line=1)
    return _samples(path, Samples(tuple(row[1] for row in rows), tuple(row[0] for row in rows)), first_line=1)


def _check_width(path: Path, rows: list[list[str]], *, width: int, first_line: int) -> None:
    for number, row in enumerate(rows, start=first_line):
        if len(row) < width:
            raise PresageError(
                f"{path}, line {number}", f"at least {width} columns", found=str(len(row)), way_out="mend the line"
            )


def _samples(path: Path, samples: Samples, *, first_line: int) -> Samples:
    """Individuals must differ, or family and individual together where the family tells them apart."""
    seen: set[tuple[str, ...]] = set()
    pairs = zip(samples.family_ids, samples.ids, strict=True) if samples.family_ids else ((i,) for i in samples.ids)
    for number, pair in enumerate(pairs, start=first_line):
        if pair in seen:
            raise PresageError(
                f"{path}, line {number}",
                "an id for each sample",
                found="one of an earlier line",
                way_out="give every sample its own id",
            )
        seen.add(pair)
    if len(set(samples.ids)) < len(samples.ids):  # individuals repeat between families
        both = tuple(f"{f}_{i}" for f, i in zip(samples.family_ids, samples.ids, strict=True))
        return Samples(both, samples.family_ids)
    return samples


def _pieces(path: Path) -> Iterator[bytes]:
    if not path.exists():
        raise PresageError(
            str(path),
            "all files of the set: .pgen, .pvar and .psam, or .bed, .bim and .fam",
            found="no such file",
            way_out="copy all files of the set",
        )
    try:
        yield from text.pieces(path)
    except OSError as error:
        raise PresageError(
            str(path), "a whole zstd file", found="a damaged one", way_out="copy or compress it again"
        ) from error


def _line_end(content: bytes, start: int) -> int:
    end = content.find(b"\n", start)
    return len(content) if end < 0 else end + 1


def _pvar_columns(first: bytes, path: Path) -> tuple[list[str], bool]:
    """The columns, and whether the line names them: a headerless .pvar is laid out as a .bim."""
    if first.startswith(b"#CHROM"):
        line = first.decode("utf-8", "replace")
        columns = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
    else:
        columns = _bim_columns(first, path)
    for name in _WANTED[1:]:
        if name not in columns:
            raise PresageError(
                f"{path}, header",
                f"the columns {', '.join(_WANTED[1:])}",
                found=f"no column {name}",
                way_out="write it again with plink2",
            )
    return columns, first.startswith(b"#CHROM")


def _bim_columns(first: bytes, path: Path) -> list[str]:
    width = len(first.split())
    if width == 6:
        return ["#CHROM", "ID", "CM", "POS", "ALT", "REF"]
    if width == 5:
        return ["#CHROM", "ID", "POS", "ALT", "REF"]
    raise PresageError(f"{path}, line 1", "a header that starts with #CHROM", way_out="write it again with plink2")
