"""An OMOP source opened: a folder or zip of CSV or Parquet in any case, plain or gzipped, or a DuckDB file."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import ibis.expr.types as ir
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.sources.broken_files import check_columns, check_parquet, named
from features.sources.omop.cdm import REQUIRED
from features.sources.omop.layout import Layout, Part, layout, may_hold_a_table
from features.sources.omop.places import Place, Wanted, called, chosen, is_url, without_password
from features.sources.omop.text import columns_of, stage, told
from features.sources.report import IngestReport, in_few_names

if TYPE_CHECKING:
    from features.sources.omop.postgres import Server

_WAY_OUT = "give a folder or zip of OMOP tables as CSV or Parquet, or a DuckDB file"


@dataclass(slots=True)
class Cdm:
    """The tables of one source, staged one at a time in a scratch database; names and columns in lower case."""

    con: Backend
    scratch: Path
    files: Mapping[str, tuple[Part, ...]]
    attached: Mapping[str, Place] = field(default_factory=dict)
    server: Server | None = None
    broken: dict[str, int] = field(default_factory=dict)
    strange: tuple[str, ...] = ()
    staged: set[str] = field(default_factory=set)

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
        if name in self.staged:
            raw = self.con.table(staged)
        elif self.server is not None:
            raw = self.server.stage(name, self.con, staged)
            self.staged.add(name)
        elif name in self.attached:
            raw = self.con.table(self.attached[name].table, database=("cdm_source", self.attached[name].schema))
        elif self._is_csv(name):
            self.broken[name] = stage(self.con, name, self.files[name], staged=staged, scratch=self.scratch)
            raw = self.con.table(staged)
            self.staged.add(name)
        else:
            raw = self._parquet(name, staged)
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

    def _parquet(self, name: str, staged: str) -> ir.Table:
        parts = self.files[name]
        check_parquet(part.path for part in parts)
        return self.con.read_parquet(
            [str(part.path) for part in parts],
            table_name=staged,
            union_by_name=True,
            hive_partitioning=bool(told(parts[0])),
            **({"hive_types_autocast": False} if told(parts[0]) else {}),
        )

    def _called(self, name: str) -> str:
        """Where a table stands: its file, or its name in a database or of several files."""
        parts = self.files.get(name, ())
        return parts[0].path.name if len(parts) == 1 else f"table {name}"

    def parquet_files(self) -> list[Path]:
        """Every Parquet file of the source, in order of table and name."""
        return [part.path for name in sorted(self.files) for part in self.files[name] if part.kind == "parquet"]

    def rows_of_people(self, name: str) -> int | None:
        """The number of rows of a table that is not read.

        None where the table is not about persons, or cannot be read at all.
        """
        try:
            if self.server is not None:
                return self.server.count(name) if "person_id" in self.server.columns(name) else None
            if self._is_csv(name) and "person_id" not in map(str.lower, columns_of(self.files[name][0])):
                return None
            raw = self.table(name)
        except PresageError:
            return None
        rows = int(raw.count().to_pyarrow().as_py()) + self.broken.get(name, 0) if "person_id" in raw.columns else None
        self.release(name)
        return rows

    def release(self, name: str) -> None:
        """Forget a staged table."""
        if name in self.staged:
            self.staged.remove(name)
            self.con.drop_table(f"raw_{name}", force=True)

    def _is_csv(self, name: str) -> bool:
        return name in self.files and self.files[name][0].kind == "csv"


@contextmanager
def opened(source: Path | str, con: Backend, *, scratch: Path, wanted: Wanted, update: bool = False) -> Iterator[Cdm]:
    """The tables of an OMOP source. Raises PresageError where there are none, or where `person` is missing, which an
    update may lack.
    """
    with ExitStack() as open_until_read:
        if is_url(source):
            server = open_until_read.enter_context(_connected(without_password(str(source))))
            server.tables.update(chosen(server.places, server.where, wanted=wanted))
            cdm = Cdm(con, scratch, {}, server=server)
        else:
            cdm = _on_disk(Path(source), con, scratch=scratch, wanted=wanted)
        if not cdm.has("person") and not (update and cdm.names & set(REQUIRED)):
            raise PresageError(called(source), "the table person", found="none of that name", way_out=_WAY_OUT)
        yield cdm


def _on_disk(source: Path, con: Backend, *, scratch: Path, wanted: Wanted) -> Cdm:
    if source.is_dir():
        found = layout(source)
        return Cdm(con, scratch, found.tables, strange=found.unread)
    if zipfile.is_zipfile(source):
        found = _unzipped(source, scratch)
        return Cdm(con, scratch, found.tables, strange=found.unread)
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
    tables = sorted(cdm.names - set(REQUIRED))
    report.unread = (*tables, *in_few_names(cdm.strange))
    report.unread_rows = {name: rows for name in tables if (rows := cdm.rows_of_people(name)) is not None}


def _unzipped(archive: Path, scratch: Path) -> Layout:
    """The tables of a zip, unpacked into the scratch folder."""
    folder = scratch / "unzipped"
    folder.mkdir()
    strange = []
    with zipfile.ZipFile(archive) as members:
        for member in members.infolist():
            path = folder / member.filename
            if member.is_dir() or "__MACOSX" in member.filename or not path.resolve().is_relative_to(folder.resolve()):
                continue
            if not may_hold_a_table(member.filename):
                hidden = any(part.startswith((".", "_")) for part in Path(member.filename).parts)
                strange += [] if hidden else [member.filename]
                path.parent.mkdir(parents=True, exist_ok=True)  # a folder may say that this is no plain table
                continue
            if path.exists():
                raise PresageError(
                    str(archive), "one file for each table", found=f"{path.name} twice", way_out="keep one of them"
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                named(f"{archive}, {member.filename}", "zip"),
                members.open(member) as inside,
                path.open("wb") as outside,
            ):
                shutil.copyfileobj(inside, outside)
    found = layout(folder)
    return Layout(found.tables, (*found.unread, *strange))


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
