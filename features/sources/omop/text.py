"""CSV staged in a scratch database as text, part by part, with the lines that are no rows apart."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.sources.broken_files import check_columns, check_utf_8
from features.sources.omop.cdm import REQUIRED
from features.sources.omop.layout import Part, delimiter_of
from features.sources.packed import check_packed, opened

BROKEN_LINES = "broken_lines"
_REJECTS, _SCAN = "rejected_lines", "rejected_scan"


@dataclass(frozen=True, slots=True)
class _Csv:
    """A file with a header: how its columns are parted and quoted."""

    part: Part
    columns: list[str]
    delimiter: str
    quote: str


def stage(con: Backend, name: str, parts: Sequence[Part], *, staged: str, scratch: Path) -> int:
    """Read the parts of a table into `staged`, every column as text, columns of several parts by their names; and the
    broken lines into `broken_lines_<name>` (source_row, reason), whose number is returned.

    Raises PresageError, which names the part, where one has no header or lacks a column that the table needs.
    """
    broken = f"{BROKEN_LINES}_{name}"
    con.raw_sql(f"CREATE OR REPLACE TABLE {broken} (source_row VARCHAR, reason VARCHAR)")
    con.raw_sql(f"DROP TABLE IF EXISTS {staged}")
    # Engines write an empty file for a part without rows.
    filled = [part for part in parts if part.path.stat().st_size] or list(parts[:1])
    for number, part in enumerate(filled):
        file = _opened(name, part)
        if part.packed:
            check_packed(part.path, part.packed)
        into = _into(con, staged, file, is_first=number == 0)
        try:
            _read(con, file, into)
        except duckdb.InvalidInputException:
            # Lines that end now one way, now another stop the strict reader.
            even = _with_even_line_ends(part, copy=scratch / f"{name}.csv")
            try:
                _read(con, _Csv(Part(even, "csv", keys=part.keys), file.columns, file.delimiter, file.quote), into)
            except duckdb.InvalidInputException as error:
                raise PresageError(
                    part.path.name,
                    "CSV",
                    found="quotes or line ends that are none of CSV's",
                    way_out="check its quotes and line ends",
                ) from error
            even.unlink()
        con.raw_sql(
            f"INSERT INTO {broken} SELECT DISTINCT ON (line) csv_line, 'broken line: ' || lower(error_type::VARCHAR)"
            f" FROM {_REJECTS}"
        )
    return int(con.table(broken).count().to_pyarrow().as_py())


def columns_of(part: Part) -> list[str]:
    """The names of a file's columns, as its first line says them."""
    return _opened("", part).columns


def _opened(name: str, part: Part) -> _Csv:
    path = part.path
    with opened(path, part.packed) as raw:
        check_utf_8(path.name, raw.read(2))
        raw.seek(0) if part.packed != "zstd" else None
    with (
        opened(path, part.packed) as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as lines,
    ):
        first = lines.readline()
    if not first.strip():
        raise PresageError(
            path.name, "a first line with the names of the columns", found="no line", way_out="export the table again"
        )
    delimiter = delimiter_of(first)
    columns = [column.strip() for column in next(csv.reader([first], delimiter=delimiter))]
    own = {column.lower() for column in columns} | {key for key, _ in part.keys}
    missing = [column for column in REQUIRED.get(name, ()) if column not in own]
    if missing != [*REQUIRED.get(name, ())]:  # else this is a row, in which two cells may well be alike
        check_columns(path.name, columns)
    if missing:
        raise PresageError(
            path.name,
            f"the columns {', '.join(REQUIRED[name])}",
            found=f"no column '{missing[0]}'",
            way_out="give tables of OMOP CDM 5.3 or 5.4",
        )
    # Athena writes its vocabulary tab-separated and unquoted.
    quote = "" if delimiter == "\t" and '"' not in first else '"'
    return _Csv(part, columns, delimiter, quote)


def _into(con: Backend, staged: str, file: _Csv, *, is_first: bool) -> str:
    """Where a part goes: a new table, or that of the parts before it, with whatever column they had not."""
    if is_first:
        return f"CREATE OR REPLACE TABLE {staged} AS"
    known = {column.lower() for column in con.table(staged).columns}
    for column in file.columns:
        if column.lower() not in known:
            con.raw_sql(f"ALTER TABLE {staged} ADD COLUMN {_name(column)} VARCHAR")
    return f"INSERT INTO {staged} BY NAME"


def _read(con: Backend, file: _Csv, into: str) -> None:
    listed = ", ".join(f"{quoted(column)}: 'VARCHAR'" for column in file.columns)
    own = {column.lower() for column in file.columns}
    keys = "".join(
        f", {'NULL::VARCHAR' if value is None else quoted(value)} AS {_name(key)}"
        for key, value in told(file.part)
        if key not in own
    )
    for table in (_REJECTS, _SCAN):
        con.raw_sql(f"DROP TABLE IF EXISTS {table}")
    con.raw_sql(
        f"{into} SELECT *{keys} FROM read_csv({quoted(str(file.part.path))}, header=true, auto_detect=false,"
        f" delim={quoted(file.delimiter)}, quote='{file.quote}', escape='{file.quote}', columns={{{listed}}},"
        f" hive_partitioning=false, compression='{file.part.packed or 'none'}', store_rejects=true,"
        f" rejects_table='{_REJECTS}', rejects_scan='{_SCAN}', rejects_limit=0, max_line_size=16777216)"
    )


def told(part: Part) -> list[tuple[str, str | None]]:
    """What the folders of a part say of columns of the CDM: `year=2020` is none."""
    return [(key, value) for key, value in part.keys if key.endswith(("_id", "_date", "_datetime", "_value"))]


def _with_even_line_ends(part: Part, *, copy: Path) -> Path:
    with opened(part.path, part.packed) as lines, copy.open("wb") as out:
        out.writelines(line.rstrip(b"\r\n") + b"\n" for line in lines)
    return copy


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
