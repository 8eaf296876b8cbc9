"""Scoring files: PGS Catalog formats old and new, harmonised or not, and PLINK-style tables of several scores."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.columns import Alleles, canonical_build, chromosome_codes, position_keys, text
from features.polygenic.scores.last_read import LastRows, LastText
from features.polygenic.scores.score import Score, ScoreHeader, ScoreRows
from features.polygenic.scores.table import FIRST_COLUMNS, ScoreTable

# Other spellings: files from before the catalogue's 2.0 format, and PRSweb.
_ALIASES = {
    "reference_allele": "other_allele",
    "CHROM": "chr_name",
    "POS": "chr_position",
    "EA": "effect_allele",
    "OA": "other_allele",
    "WEIGHT": "effect_weight",
}
_HEADER_ALIASES = {
    "pgs id": "pgs_id",
    "pgs name": "pgs_name",
    "reported trait": "trait_reported",
    "original genome build": "genome_build",
    "number of variants": "variants_number",
    "pgp id": "pgp_id",
    "genome build": "genome_build",
    "prsweb reference": "pgs_id",
}
_COMPLEX = ("is_haplotype", "is_diplotype", "is_interaction")
NOWHERE = (
    "no row has a chromosome, a position and an effect allele: "
    "download the harmonised file of your build (hm_chr, hm_pos) from the PGS Catalog"
)
MAX_COMPLEX_WEIGHT = 0.01  # share of the absolute weight that may be left out as haplotypes
_DOSAGE_WEIGHTS = ("dosage_0_weight", "dosage_1_weight", "dosage_2_weight")
_NUMBERS = ("effect_weight", "allelefrequency_effect", *_DOSAGE_WEIGHTS)
_POSITIONS = ("chr_position", "hm_pos", "row_nr")
_OWN = ("chr_name", "chr_position")
_HARMONISED = ("hm_chr", "hm_pos", "hm_inferOtherAllele")
_ALLELES = ("effect_allele", "other_allele", "allelefrequency_effect", "is_haplotype", "is_diplotype")
_NULLS = ["", "NA", "None"]
_TRUE = pa.array(["true", "1", "yes"])


def read_scores(path: Path, alleles: Alleles, *, build: str | None) -> Iterator[Score]:
    """Read the scores of one file.

    `build`: the genotypes' build, which picks between a file's own and harmonised positions. Raises PresageError with
    file, line and rule for a file that is damaged, empty, or holds a weight that is no number.
    """
    parsed = parse(path, alleles)
    if isinstance(parsed, ScoreTable):
        with closing(parsed) as table:
            yield from table.scores()
    else:
        yield from parsed.scores(alleles, build=build)


@dataclass(frozen=True, slots=True)
class CatalogueFile:
    """A scoring file as it is written, before the build is known. `lines`: the lines on which its rows stand."""

    path: Path
    header: Mapping[str, str]
    table: pa.Table
    lines: range | NDArray[np.int64]

    def scores(self, alleles: Alleles, *, build: str | None, last: LastRows | None = None) -> list[Score]:
        """The scores of the file.

        `build`: the genotypes' build, which picks between the file's own and harmonised positions.
        """
        table, lines = self.table, self.lines
        if isinstance(lines, range):
            lines = np.arange(lines.start, lines.stop)
        scores = []
        for name, rows in _by_accession(table):
            if name is None:
                scores.append(
                    _read_catalogue(
                        self.path, self.header, table=table, lines=lines, alleles=alleles, build=build, last=last
                    )
                )
            else:
                fields, part = {**self.header, "pgs_id": name}, table.take(pa.array(rows))
                scores.append(
                    _read_catalogue(self.path, fields, table=part, lines=lines[rows], alleles=alleles, build=build)
                )
        return scores


def parse(
    path: Path, alleles: Alleles, *, threads: int = 1, last: LastText | None = None
) -> CatalogueFile | ScoreTable:
    """Read a scoring file: one of one score or a few.

    Or a table of many, left open, since they may not fit in memory together.
    """
    columns, first_line = _first_columns(path)
    if tuple(columns[:2]) == FIRST_COLUMNS and "effect_weight" not in columns:
        return ScoreTable(path, columns, first_line=first_line, alleles=alleles, threads=threads)
    header, columns, content, start, first_line = _split(path)
    _check_columns(path, columns, first_line=first_line)
    body = memoryview(content)[start:]
    table = last.same(columns, content, start=start) if last is not None else None
    if table is None:
        table = _read_rows(path, columns, body=body, first_line=first_line)
        if last is not None:
            last.keep(columns, content, start=start, table=table)
    return CatalogueFile(path, header, table, _lines_of(table, body, first_line=first_line))


def _lines_of(table: pa.Table, body: memoryview, *, first_line: int) -> range | NDArray[np.int64]:
    """Where the rows stand; as if one after the other where a quoted cell has several lines."""
    if text.n_lines(body) != table.num_rows:
        filled = first_line + text.filled_lines(body)
        if len(filled) == table.num_rows:
            return filled
    return range(first_line, first_line + table.num_rows)


def _first_columns(path: Path) -> tuple[list[str], int]:
    """The column names, and the line after them."""
    number = 0
    try:
        for content in text.pieces(path, size=1 << 16):
            for line in content.decode("utf-8", "replace").removesuffix("\n").split("\n"):
                number += 1
                if line.strip() and not line.startswith("#"):
                    return line.rstrip("\r").split("\t"), number + 1
    except OSError:
        pass  # told by whoever reads it whole
    return [], 0


def _check_columns(path: Path, columns: list[str], *, first_line: int) -> None:
    if "effect_allele" not in columns or not {"effect_weight", *_DOSAGE_WEIGHTS} & set(columns):
        raise PresageError(
            f"{path}, line {first_line - 1}",
            "the columns effect_allele and effect_weight",
            way_out="give a PGS Catalog scoring file",
        )


def _by_accession(table: pa.Table) -> Iterator[tuple[str | None, NDArray[np.intp]]]:
    """The rows of each score. The pgsc_calc layout may hold several, and numbers their rows."""
    if "accession" not in table.column_names:
        yield None, np.arange(table.num_rows)
        return
    accession = np.array(table["accession"].to_pylist())
    number = table["row_nr"].to_numpy() if "row_nr" in table.column_names else np.arange(table.num_rows)
    for name in dict.fromkeys(accession.tolist()):
        rows = np.flatnonzero(accession == name)
        yield name, rows[np.argsort(number[rows], kind="stable")]


def _split(path: Path) -> tuple[dict[str, str], list[str], bytes, int, int]:
    """Header fields, column names, the text, where its rows start, and on which line."""
    content = _content(path)
    header: dict[str, str] = {}
    start, line = 0, 1
    while content[start : start + 1] == b"#" or content[start : start + 1] in (b"\n", b"\r"):
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        name, value = _header_field(content[start:end].decode("utf-8", "replace"))
        if name and value:
            header.setdefault(name, value)
        start, line = end + 1, line + 1
    end = content.find(b"\n", start)
    columns = content[start : end if end >= 0 else len(content)].decode("utf-8", "replace").strip("\r\n").split("\t")
    start = end + 1 if end >= 0 else len(content)
    if not content[start : start + 4096].strip() and not content[start:].strip():
        raise PresageError(str(path), "at least one row", found="none", way_out="download it again")
    return header, [_ALIASES.get(name.strip(), name.strip()) for name in columns], content, start, line + 1


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except FileNotFoundError as error:
        raise PresageError(str(path), "a scoring file", found="no such file", way_out="check the path") from error
    except (OSError, EOFError, zlib.error) as error:
        raise PresageError(
            str(path), "a whole gzip file", found="a damaged one", way_out="download it again"
        ) from error
    if not content or content.isspace():
        raise PresageError(str(path), "a scoring file", found="an empty file", way_out="download it again")
    if b"\0" in content[:4096]:
        raise PresageError(str(path), "a text file", found="a binary one", way_out="give a PGS Catalog scoring file")
    return content.removeprefix(text.BOM)


def _header_field(line: str) -> tuple[str, str]:
    name, _, value = line.lstrip("#").partition("=" if "=" in line else "\t")
    key = name.strip().lower()
    return _HEADER_ALIASES.get(key, key), value.strip()


def _read_catalogue(
    path: Path,
    fields: Mapping[str, str],
    *,
    table: pa.Table,
    lines: NDArray[np.int64],
    alleles: Alleles,
    build: str | None,
    last: LastRows | None = None,
) -> Score:
    columns = table.column_names
    harmonised, used_build = _positions_used(columns, fields, build=build)
    header = _header(path, fields, build=used_build)
    rows = _rows(table, alleles, lines=lines, harmonised=harmonised, last=last)
    weights, effects = _weights(path, table, lines=rows.line)
    score = Score(header, path, rows, weights, effects)
    reason = _refusal(table, score)
    if reason:
        return Score(header, path, ScoreRows.none(), refused=reason)
    if not ((rows.keys >= 0) & (rows.effect >= 0)).any():
        return Score(header, path, ScoreRows.none(), refused=NOWHERE)
    return score


def _read_rows(path: Path, columns: list[str], *, body: memoryview, first_line: int) -> pa.Table:
    wanted = {"rsID", "chr_name", "chr_position", "effect_allele", "other_allele", "effect_weight", "effect_type"}
    wanted |= {"allelefrequency_effect", "is_dominant", "is_recessive", "hm_chr", "hm_pos", "hm_inferOtherAllele"}
    wanted |= {"accession", "row_nr", *_COMPLEX, *_DOSAGE_WEIGHTS}
    if len(set(columns)) < len(columns):
        raise PresageError(
            f"{path}, line {first_line - 1}", "every column name once", found="one twice", way_out="mend the header"
        )
    types = {name: pa.string() for name in columns}
    types |= {name: pa.float64() for name in columns if name in _NUMBERS}
    types |= {name: pa.int64() for name in columns if name in _POSITIONS}
    bad: list[int] = []

    def note(row: csv.InvalidRow) -> str:
        bad.append(row.number or 0)
        return "error"

    try:
        return csv.read_csv(
            pa.py_buffer(body),
            read_options=csv.ReadOptions(column_names=columns, use_threads=False, block_size=1 << 22),
            parse_options=csv.ParseOptions(delimiter="\t", invalid_row_handler=note),
            convert_options=csv.ConvertOptions(
                include_columns=[name for name in columns if name in wanted],
                column_types=types,
                null_values=_NULLS,
                strings_can_be_null=True,
            ),
            memory_pool=pa.system_memory_pool(),
        )
    except pa.ArrowInvalid as error:
        raise _conversion_error(path, columns, body=body, first_line=first_line, bad=bad, error=error) from error


def _conversion_error(
    path: Path, columns: list[str], *, body: memoryview, first_line: int, bad: list[int], error: pa.ArrowInvalid
) -> PresageError:
    """The first row that breaks a rule, found again slowly."""
    lines = bytes(body).decode("utf-8", "replace").split("\n")
    for number, line in enumerate(lines, start=first_line):
        cells = line.removesuffix("\r").split("\t")
        if line.strip() and '"' not in line and len(cells) != len(columns):
            return PresageError(
                f"{path}, line {number}",
                f"{len(columns)} columns",
                found=str(len(cells)),
                way_out="download it again: the file is cut short or edited",
            )
        for name, cell in zip(columns, cells, strict=False):
            if (
                name in (*_NUMBERS, *_POSITIONS)
                and cell not in _NULLS
                and not (re.fullmatch(r"[0-9]+", cell) if name in _POSITIONS else text.is_number(cell))
            ):
                return PresageError(
                    f"{path}, line {number}, column {name}",
                    "a whole number" if name in _POSITIONS else "a number",
                    way_out="mend the row",
                )
    where = f"{path}, line {bad[0] + first_line - 1}" if bad else str(path)
    return PresageError(where, "a tab-separated scoring file", way_out="download it again")


def _positions_used(columns: list[str], fields: Mapping[str, str], *, build: str | None) -> tuple[bool, str | None]:
    """Harmonised columns, unless the file's own are of the genotypes' build and the harmonised ones are not."""
    own = canonical_build(fields.get("genome_build"))
    if "hm_pos" not in columns or "hm_chr" not in columns:
        return False, own
    harmonised = canonical_build(fields.get("hmpos_build"))
    if build is not None and own == build != harmonised and {"chr_name", "chr_position"} <= set(columns):
        return False, own
    return True, harmonised


def _header(path: Path, fields: Mapping[str, str], *, build: str | None) -> ScoreHeader:
    score_id = fields.get("pgs_id") or fields.get("pgs_name")
    return ScoreHeader(
        score_id=score_id or re.sub(r"\.(txt|tsv|gz|csv)", "", path.name),
        name=fields.get("pgs_name"),
        trait=fields.get("trait_mapped") or fields.get("trait_reported"),
        trait_id=fields.get("trait_efo"),
        build=build,
        licence=fields.get("license"),
        citation=fields.get("citation"),
    )


def _refusal(table: pa.Table, score: Score) -> str | None:
    """Haplotypes, diplotypes and interactions need more than a count of one allele.

    A few haplotypes of little weight are left out and counted as unmatched; an interaction changes what its partners
    mean.
    """
    interactions = int(_flag(table, "is_interaction").sum())
    if interactions:
        return f"{interactions} of {table.num_rows} rows are interactions, which a sum over variants cannot hold"
    absolute = np.abs(score.weights)
    lost, total = absolute[score.rows.complex].sum(), absolute.sum()
    if lost <= MAX_COMPLEX_WEIGHT * total:
        return None
    return (
        f"{int(score.rows.complex.sum())} of {table.num_rows} rows, {lost / total:.0%} of the weight, are haplotypes "
        "or diplotypes, which counts of one allele cannot score"
    )


def _flag(table: pa.Table, name: str) -> NDArray[np.bool_]:
    if name not in table.column_names:
        return np.zeros(table.num_rows, np.bool_)
    flags: NDArray[np.bool_] = pc.is_in(pc.utf8_lower(table[name]), value_set=_TRUE).to_numpy()
    return flags


def _rows(
    table: pa.Table, alleles: Alleles, *, lines: NDArray[np.int64], harmonised: bool, last: LastRows | None
) -> ScoreRows:
    names = _HARMONISED if harmonised else _OWN
    told = table.select([name for name in (*names, *_ALLELES) if name in table.column_names])
    rows = last.same(told, lines) if last is not None else None
    if rows is None:
        rows = _understood(told, alleles, lines=lines, harmonised=harmonised)
        if last is not None:
            last.keep(told, rows)
    return rows


def _understood(table: pa.Table, alleles: Alleles, *, lines: NDArray[np.int64], harmonised: bool) -> ScoreRows:
    names = _HARMONISED if harmonised else _OWN
    position = _column(table, names[1], kind=pa.int64())
    keys = position_keys(
        chromosome_codes(_column(table, names[0], kind=pa.string())), pc.fill_null(position, 0).to_numpy()
    )
    effect = alleles.encode(_column(table, "effect_allele", kind=pa.string()))
    other = _column(table, "other_allele", kind=pa.string())
    if harmonised:
        other = pc.coalesce(other, _column(table, "hm_inferOtherAllele", kind=pa.string()))
    other_codes = alleles.encode(other)
    several = alleles.sequences(other_codes)  # `A/C`: not known which
    other_codes[~several] = -1
    effect[~alleles.sequences(effect)] = -1
    haplotype = _flag(table, "is_haplotype") | _flag(table, "is_diplotype")
    frequency = pc.fill_null(_column(table, "allelefrequency_effect", kind=pa.float64()), np.nan).to_numpy()
    return ScoreRows(keys, effect, other_codes, haplotype, frequency, lines)


def _column(table: pa.Table, name: str, *, kind: pa.DataType) -> pa.ChunkedArray:
    if name in table.column_names:
        return table[name]
    return pa.chunked_array([pa.nulls(table.num_rows, kind)])


def _weights(
    path: Path, table: pa.Table, *, lines: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Weights, and what 0, 1 and 2 effect alleles add where some row is not additive.

    Raises PresageError where a weight is missing, nan or infinite.
    """
    weight = pc.fill_null(_column(table, "effect_weight", kind=pa.float64()), np.nan).to_numpy()
    dominant, recessive = _model(path, table, lines=lines)
    effects = None
    if set(_DOSAGE_WEIGHTS) <= set(table.column_names) or dominant.any() or recessive.any():
        effects = np.stack([np.zeros(len(weight)), weight, weight + weight], axis=1)
        effects[dominant, 2] = weight[dominant]
        effects[recessive, 1] = 0.0
        effects[recessive, 2] = weight[recessive]
    if effects is not None and set(_DOSAGE_WEIGHTS) <= set(table.column_names):
        by_dosage = np.stack([pc.fill_null(table[name], np.nan).to_numpy() for name in _DOSAGE_WEIGHTS], axis=1)
        given = ~np.isnan(by_dosage).all(axis=1)
        effects[given] = by_dosage[given]
        weight = np.where(given, by_dosage.max(axis=1) - by_dosage.min(axis=1), weight)
    bad = ~np.isfinite(weight) if effects is None else ~np.isfinite(effects).all(axis=1)
    if bad.any():
        raise PresageError(
            f"{path}, line {lines[np.argmax(bad)]}, column effect_weight",
            "a finite number",
            way_out="download the file again, or mend the row",
        )
    return weight, effects


def _model(path: Path, table: pa.Table, *, lines: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are dominant and which recessive, by flags or by an effect_type column."""
    kinds = {}
    for kind in ("dominant", "recessive"):
        flagged = _flag(table, f"is_{kind}")
        if "effect_type" in table.column_names:
            flagged = flagged | pc.fill_null(pc.equal(table["effect_type"], kind), False).to_numpy()
        kinds[kind] = flagged
    both = kinds["dominant"] & kinds["recessive"]
    if both.any():
        where = f"{path}, line {lines[np.argmax(both)]}"
        raise PresageError(where, "dominant or recessive", found="both at once", way_out="mend the row")
    return kinds["dominant"], kinds["recessive"]
