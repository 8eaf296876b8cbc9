"""An OMOP source opened: a folder or zip of CSV or Parquet in any case, plain or gzipped, or a DuckDB file."""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.sources.broken_files import check_columns, check_gzip, check_parquet, check_utf_8, named
from features.sources.omop.cdm import REQUIRED
from features.sources.omop.places import Place, Wanted, called, chosen, is_url, without_password
from features.sources.report import IngestReport

if TYPE_CHECKING:
    from features.sources.omop.postgres import Server

Format = Literal["csv", "csv.gz", "parquet"]
_NAME = re.compile(r"^(?P<table>[a-z_0-9]+)\.(?P<format>csv|csv\.gz|parquet)$", re.IGNORECASE)
_WAY_OUT = "give a folder or zip of OMOP tables as CSV or Parquet, or a DuckDB file"
BROKEN_LINES = "broken_lines"


@dataclass(slots=True)
class Cdm:
    """The tables of one source, staged one at a time in a scratch database; names and columns in lower case."""

    con: Backend
    scratch: Path
    files: Mapping[str, tuple[Format, Path]]
    attached: Mapping[str, Place] = field(default_factory=dict)
    server: Server | None = None
    broken: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        """Tables the source has."""
        return frozenset(self.files) | frozenset(self.attached) | frozenset(self.server.tables if self.server else ())

    def has(self, name: str) -> bool:
        """Whether the source has this table."""
        return name in self.names

    def table(self, name: str) -> ir.Table:
        """One table as it stands, with names in lower case; CSV comes as text.

        Raises PresageError where a required column is missing.
        """
        staged = f"raw_{name}"
        if self.server is not None:
            raw = self.server.stage(name, self.con, staged)
        elif name in self.attached:
            raw = self.con.table(self.attached[name].table, database=("cdm_source", self.attached[name].schema))
        elif self.files[name][0] == "parquet":
            check_parquet(self._parts(name))
            parts = [str(part) for part in self._parts(name)]
            raw = self.con.read_parquet(parts, table_name=staged, union_by_name=True, hive_partitioning=False)
        else:
            self._stage_csv(name, staged)
            raw = self.con.table(staged)
        check_columns(self._called(name), raw.columns)
        raw = raw.select(**{column.lower(): raw[column] for column in raw.columns})
        missing = [column for column in REQUIRED.get(name, ()) if column not in raw.columns]
        if missing:
            raise PresageError(
                self._called(name),
                f"the columns {', '.join(REQUIRED[name])}",
                found=f"no column '{missing[0]}'",
                way_out="give tables of OMOP CDM 5.3 or 5.4",
            )
        return raw

    def _called(self, name: str) -> str:
        """Where a table stands: its file, or its name in a database."""
        if name not in self.files:
            return f"table {name}"
        path = self.files[name][1]
        return f"{path.parent.name}/{path.name}" if "*" in path.name else path.name

    def parquet_files(self) -> list[Path]:
        """Every Parquet file of the source, in order of table and name."""
        return [path for name in sorted(self.files) if not self._is_csv(name) for path in self._parts(name)]

    def _parts(self, name: str) -> list[Path]:
        path = self.files[name][1]
        if "**" in path.parts:
            return sorted(part for part in path.parent.parent.rglob("*.parquet") if part.is_file())
        return [path]

    def rows_of_people(self, name: str) -> int | None:
        """The number of rows of a table that is not read.

        None where the table is not about persons, or cannot be read at all.
        """
        try:
            if self.server is not None:
                return self.server.count(name) if "person_id" in self.server.columns(name) else None
            if self._is_csv(name) and "person_id" not in self._named(name):
                return None
            raw = self.table(name)
        except PresageError:
            return None
        rows = int(raw.count().to_pyarrow().as_py()) + self.broken.get(name, 0) if "person_id" in raw.columns else None
        self.release(name)
        return rows

    def _named(self, name: str) -> set[str]:
        kind, path = self.files[name]
        return {column.lower() for column in _header(path, kind)[0]}

    def release(self, name: str) -> None:
        """Forget a staged table."""
        if self._is_csv(name) or self.server is not None:
            self.con.drop_table(f"raw_{name}", force=True)

    def _is_csv(self, name: str) -> bool:
        return name in self.files and self.files[name][0] != "parquet"

    def _stage_csv(self, name: str, staged: str) -> None:
        kind, path = self.files[name]
        columns, delimiter = _header(path, kind)
        if kind == "csv.gz":
            check_gzip(path)
        try:
            self._read_csv(name, staged, path=path, kind=kind, columns=columns, delimiter=delimiter)
        except duckdb.InvalidInputException:
            # Lines that end now one way, now another stop the strict reader.
            even = _with_even_line_ends(path, kind, copy=self.scratch / f"{name}.csv")
            try:
                self._read_csv(name, staged, path=even, kind="csv", columns=columns, delimiter=delimiter)
            except duckdb.InvalidInputException as error:
                raise PresageError(
                    path.name,
                    "CSV",
                    found="quotes or line ends that are none of CSV's",
                    way_out="check its quotes and line ends",
                ) from error
            even.unlink()
        self.con.raw_sql(
            f"CREATE OR REPLACE TABLE {BROKEN_LINES}_{name} AS SELECT DISTINCT ON (line)"
            f" csv_line AS source_row, 'broken line: ' || lower(error_type::VARCHAR) AS reason FROM broken_{name}"
        )
        self.broken[name] = int(self.con.table(f"{BROKEN_LINES}_{name}").count().to_pyarrow().as_py())

    def _read_csv(
        self, name: str, staged: str, *, path: Path, kind: Format, columns: list[str], delimiter: str
    ) -> None:
        listed = ", ".join(f"{_quoted(column)}: 'VARCHAR'" for column in columns)
        compression = "gzip" if kind == "csv.gz" else "none"
        # Athena writes its vocabulary tab-separated and unquoted.
        quote = "" if delimiter == "\t" else '"'
        self.con.raw_sql(f"DROP TABLE IF EXISTS broken_{name}")
        self.con.raw_sql(f"DROP TABLE IF EXISTS broken_scan_{name}")
        self.con.raw_sql(
            f"CREATE OR REPLACE TABLE {staged} AS SELECT * FROM read_csv({_quoted(str(path))}, header=true,"
            f" auto_detect=false, delim={_quoted(delimiter)}, quote='{quote}', escape='{quote}', columns={{{listed}}},"
            f" compression='{compression}', store_rejects=true, rejects_table='broken_{name}',"
            f" rejects_scan='broken_scan_{name}', rejects_limit=0, max_line_size=16777216)"
        )


@contextmanager
def opened(source: Path | str, con: Backend, *, scratch: Path, wanted: Wanted) -> Iterator[Cdm]:
    """The tables of an OMOP source. Raises PresageError where there are none, or where `person` is missing."""
    with ExitStack() as open_until_read:
        if is_url(source):
            server = open_until_read.enter_context(_connected(without_password(str(source))))
            server.tables.update(chosen(server.places, server.where, wanted=wanted))
            cdm = Cdm(con, scratch, {}, server=server)
        else:
            cdm = _on_disk(Path(source), con, scratch=scratch, wanted=wanted)
        if not cdm.has("person"):
            raise PresageError(called(source), "the table person", found="none of that name", way_out=_WAY_OUT)
        yield cdm


def _on_disk(source: Path, con: Backend, *, scratch: Path, wanted: Wanted) -> Cdm:
    if source.is_dir():
        return Cdm(con, scratch, dict(_files(source)))
    if zipfile.is_zipfile(source):
        return Cdm(con, scratch, dict(_unzipped(source, scratch)))
    if source.is_file():
        return Cdm(con, scratch, {}, _attach(source, con, wanted=wanted))
    raise PresageError(str(source), "a source in OMOP", found="no such file or folder", way_out=_WAY_OUT)


def _connected(url: str) -> AbstractContextManager[Server]:
    try:
        from features.sources.omop.postgres import connected
    except ImportError:
        raise PresageError(
            "SOURCE",
            "a database whose driver is installed",
            found="PostgreSQL's is not",
            way_out="install it: pip install 'presage[postgres]'",
        ) from None
    return connected(url)


def mark_absent(cdm: Cdm, report: IngestReport) -> None:
    """Write into the report which tables the source lacks, and which tables it has that are not read."""
    for name in REQUIRED:
        if not cdm.has(name):
            report.table(name).status = "absent"
    report.unread = tuple(sorted(cdm.names - set(REQUIRED)))
    report.unread_rows = {name: rows for name in report.unread if (rows := cdm.rows_of_people(name)) is not None}


def _files(folder: Path) -> Iterator[tuple[str, tuple[Format, Path]]]:
    seen: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        listed = _NAME.match(path.name)
        if path.is_dir() and any(path.rglob("*.parquet")):  # parts, as Spark and Hive write them
            name, kind, path = path.name.lower().removesuffix(".parquet"), "parquet", path / "**" / "*.parquet"
        elif listed is not None and path.is_file():
            name, kind = listed["table"].lower(), listed["format"].lower()
        else:
            continue
        if name in seen:
            raise PresageError(
                str(folder), "one file for each table", found=f"two of table {name}", way_out="keep one of them"
            )
        seen[name] = path
        yield name, (kind, path)  # type: ignore[misc]


def _unzipped(archive: Path, scratch: Path) -> Iterator[tuple[str, tuple[Format, Path]]]:
    folder = scratch / "unzipped"
    folder.mkdir()
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            name = Path(member.filename).name
            if member.is_dir() or "__MACOSX" in member.filename or not _NAME.match(name):
                continue
            if (folder / name).exists():
                raise PresageError(
                    str(archive), "one file for each table", found=f"{name} twice", way_out="keep one of them"
                )
            with (
                named(f"{archive}, {member.filename}", "zip"),
                members.open(member) as inside,
                (folder / name).open("wb") as outside,
            ):
                shutil.copyfileobj(inside, outside)
    yield from _files(folder)


def _attach(source: Path, con: Backend, *, wanted: Wanted) -> dict[str, Place]:
    try:
        con.attach(str(source), name="cdm_source", read_only=True)
    except duckdb.Error as error:
        raise PresageError(str(source), "a zip or a DuckDB file", found="neither", way_out=_WAY_OUT) from error
    rows = con.raw_sql(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = 'cdm_source' UNION ALL"
        " SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = 'cdm_source' AND NOT internal"
    ).fetchall()
    return chosen([Place(*row) for row in rows], str(source), wanted=wanted)


def _header(path: Path, kind: Format) -> tuple[list[str], str]:
    opener = gzip.open if kind == "csv.gz" else open
    with named(path.name, "gzip"), opener(path, "rb") as raw:
        check_utf_8(path.name, raw.read(2))
        raw.seek(0)
        with io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="") as lines:
            first = lines.readline()
    if not first.strip():
        raise PresageError(
            path.name, "a first line with the names of the columns", found="no line", way_out="export the table again"
        )
    delimiter = max(",\t;|", key=first.count)
    columns = [column.strip() for column in next(csv.reader([first], delimiter=delimiter))]
    check_columns(path.name, columns)
    return columns, delimiter


def _with_even_line_ends(path: Path, kind: Format, *, copy: Path) -> Path:
    opener = gzip.open if kind == "csv.gz" else open
    with opener(path, "rb") as lines, copy.open("wb") as out:
        out.writelines(line.rstrip(b"\r\n") + b"\n" for line in lines)
    return copy


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
