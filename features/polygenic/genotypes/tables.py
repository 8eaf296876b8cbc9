"""PVAR, BIM, PSAM and FAM: the text tables beside a genotype matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from features.errors import PresageError
from features.polygenic.genotypes.protocol import Samples
from features.polygenic.variants import Alleles, Variants, explode

_STRINGS = {name: pa.string() for name in ("#CHROM", "CHROM", "ID", "REF", "ALT")}


@dataclass(frozen=True, slots=True)
class VariantTable:
    """Variants of one PVAR or BIM, its header lines, and how many records it has."""

    variants: Variants
    header: tuple[str, ...]
    n_records: int
    allele_counts: pa.Array | None  # alleles a record, only where some record has more than two


def read_pvar(path: Path, alleles: Alleles) -> VariantTable:
    """A .pvar or .pvar.zst. Raises PresageError where a column is absent or a position is not a number."""
    content = _content(path)
    header, start = [], 0
    while content.startswith(b"##", start):
        end = _line_end(content, start)
        header.append(content[start:end].decode("utf-8", "replace").rstrip())
        start = end
    end = _line_end(content, start)
    first = content[start:end]
    if first.startswith(b"#CHROM"):
        columns = first.decode().rstrip("\r\n").split("\t") if b"\t" in first else first.decode().split()
        start = end
    else:  # a headerless .pvar is laid out as a .bim
        columns = _bim_columns(first, path)
    for name in ("POS", "ID", "REF", "ALT"):
        if name not in columns:
            raise PresageError(str(path), f"the header has no column {name}", way_out="write it again with plink2")
    table = _read_table(path, memoryview(content)[start:], columns)
    return _variant_table(path, table, tuple(header), alleles)


def read_bim(path: Path, alleles: Alleles) -> VariantTable:
    """A .bim: its first allele is what the .bed counts (ALT here), its second REF, as plink2 takes them."""
    content = _content(path)
    columns = ["#CHROM", "ID", "CM", "POS", "ALT", "REF"]
    return _variant_table(path, _read_table(path, memoryview(content), columns), (), alleles)


def read_psam(path: Path) -> Samples:
    """A .psam, or a .fam where the first line is no header."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if line.strip() and not line.startswith("##")]
    if not lines:
        raise PresageError(str(path), "the file is empty: no samples", way_out="export the genotypes again")
    if not lines[0].startswith(("#FID", "#IID")):
        return read_fam(path)
    columns = lines[0].lstrip("#").split()
    rows = [line.split() for line in lines[1:]]
    iid = columns.index("IID") if "IID" in columns else None
    if iid is None:
        raise PresageError(f"{path}, line 1", "the header has no column IID", way_out="add one")
    _check_width(path, rows, iid + 1, first_line=2)
    family = tuple(row[columns.index("FID")] for row in rows) if "FID" in columns else ()
    return _samples(path, Samples(tuple(row[iid] for row in rows), family), first_line=2)


def read_fam(path: Path) -> Samples:
    """A .fam: family and individual in the first two columns."""
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not rows:
        raise PresageError(str(path), "the file is empty: no samples", way_out="export the genotypes again")
    _check_width(path, rows, 2, first_line=1)
    return _samples(path, Samples(tuple(row[1] for row in rows), tuple(row[0] for row in rows)), first_line=1)


def _check_width(path: Path, rows: list[list[str]], width: int, *, first_line: int) -> None:
    for number, row in enumerate(rows, start=first_line):
        if len(row) < width:
            raise PresageError(f"{path}, line {number}", f"expected at least {width} columns", way_out="mend the line")


def _samples(path: Path, samples: Samples, *, first_line: int) -> Samples:
    """Individuals must differ, or family and individual together where the family tells them apart."""
    seen: set[tuple[str, ...]] = set()
    pairs = zip(samples.family_ids, samples.ids, strict=True) if samples.family_ids else ((i,) for i in samples.ids)
    for number, pair in enumerate(pairs, start=first_line):
        if pair in seen:
            raise PresageError(
                f"{path}, line {number}", "a sample id occurs twice", way_out="give every sample its own id"
            )
        seen.add(pair)
    if len(set(samples.ids)) < len(samples.ids):  # individuals repeat between families
        both = tuple(f"{f}_{i}" for f, i in zip(samples.family_ids, samples.ids, strict=True))
        return Samples(both, samples.family_ids)
    return samples


def _content(path: Path) -> bytes:
    if not path.exists():
        raise PresageError(
            str(path), "no such file", way_out="PGEN needs .pgen, .pvar, .psam; BED needs .bed, .bim, .fam"
        )
    content = path.read_bytes()
    if path.suffix != ".zst":
        return content
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompressobj().decompress(content)
    except zstandard.ZstdError as error:
        raise PresageError(str(path), "not a whole zstd file", way_out="copy or compress it again") from error


def _line_end(content: bytes, start: int) -> int:
    end = content.find(b"\n", start)
    return len(content) if end < 0 else end + 1


def _bim_columns(first: bytes, path: Path) -> list[str]:
    width = len(first.split())
    if width == 6:
        return ["#CHROM", "ID", "CM", "POS", "ALT", "REF"]
    if width == 5:
        return ["#CHROM", "ID", "POS", "ALT", "REF"]
    raise PresageError(f"{path}, line 1", "expected a header that starts with #CHROM", way_out="write it with plink2")


def _read_table(path: Path, content: memoryview, columns: list[str]) -> pa.Table:
    if not bytes(content[:4096]).strip():
        raise PresageError(str(path), "the file lists no variants", way_out="export the genotypes again")
    if b"\t" not in bytes(content[:4096]):
        content = memoryview(b"\n".join(b"\t".join(line.split()) for line in bytes(content).splitlines()))
    wanted = ["#CHROM", "POS", "ID", "REF", "ALT"]
    try:
        return csv.read_csv(
            pa.py_buffer(content),
            read_options=csv.ReadOptions(column_names=columns),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=True),
            convert_options=csv.ConvertOptions(
                include_columns=wanted, column_types=_STRINGS | {"POS": pa.int64()}, null_values=[]
            ),
            memory_pool=pa.system_memory_pool(),  # gives back at once what is only needed here
        )
    except pa.ArrowInvalid as error:
        raise PresageError(
            str(path),
            f"a line does not have {len(columns)} columns with a whole number in POS",
            way_out="export it again",
        ) from error


def _variant_table(path: Path, table: pa.Table, header: tuple[str, ...], alleles: Alleles) -> VariantTable:
    alts = table["ALT"].combine_chunks()
    variants = explode(
        chromosomes=table["#CHROM"],
        positions=table["POS"].to_numpy(),
        refs=table["REF"],
        alts=alts,
        ids=table["ID"].combine_chunks(),
        rows=np.arange(table.num_rows, dtype=np.int64),
        alleles=alleles,
    )
    counts = None
    if variants.multiallelic.any():
        counts = pa.array(np.bincount(variants.row, minlength=table.num_rows) + 1)
    return VariantTable(variants, header, table.num_rows, counts)
