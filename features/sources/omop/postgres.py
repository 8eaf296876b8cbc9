"""An OMOP source in PostgreSQL: a connection without a password in it, and tables copied over a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import ibis.expr.types as ir
import psycopg
import pyarrow as pa
from ibis.backends.duckdb import Backend as DuckDB
from ibis.backends.postgres import Backend as Postgres
from psycopg.conninfo import conninfo_to_dict

from features.errors import PresageError
from features.sources.omop.cdm import VOCABULARY_COLUMNS
from features.sources.omop.places import Place, called, without_password

ROWS_AT_ONCE = 20_000
CONNECT_TIMEOUT_S = 15
_FORM = "a URL as postgresql://USER@HOST:5432/DATABASE"
_SETTINGS = (
    "SET client_encoding = 'UTF8'",
    "SET datestyle = 'ISO'",
    # Between two tables the server hears nothing of us, and a large table takes its time.
    "SET idle_in_transaction_session_timeout = 0",
    "SET statement_timeout = 0",
    # Every table as it stood at one moment, whatever is written meanwhile; and nothing is written by us.
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
)
_TABLES = """
SELECT n.nspname, c.relname, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT c.relispartition
AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A database whose tables are read. where: how it is called in errors, without user and password."""

    con: psycopg.Connection
    ibis: Postgres
    where: str
    places: tuple[Place, ...]
    tables: dict[str, Place] = field(default_factory=dict)

    def columns(self, name: str) -> tuple[str, ...]:
        """The columns of a table, in lower case."""
        return tuple(column.lower() for column in self._table(name).columns)

    def count(self, name: str) -> int:
        """The number of rows of a table."""
        query = self.ibis.compile(self._table(name).count())
        with self._reading(name) as where, _answers(where):
            row = self.con.execute(query).fetchone()
            return int(row[0]) if row else 0

    def stage(self, name: str, con: DuckDB, staged: str) -> ir.Table:
        """Copy a table into a scratch database, ROWS_AT_ONCE rows at a time: whole numbers as such, all else as the
        text that PostgreSQL writes, which is read as that of a CSV file is.
        """
        table = self._table(name)
        wanted = VOCABULARY_COLUMNS.get(name)
        columns = [column for column in table.columns if wanted is None or column.lower() in wanted]
        table = table.select(
            **{c: table[c].cast("int64") if table[c].type().is_integer() else table[c].cast("string") for c in columns}
        )
        schema = table.schema().to_pyarrow()
        con.create_table(staged, schema=table.schema(), overwrite=True)
        with self._reading(name) as where, _answers(where), self.con.cursor(name="presage") as cursor:
            cursor.execute(self.ibis.compile(table))
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                batch = pa.RecordBatch.from_struct_array(pa.array(rows, pa.struct(list(schema))))
                con.con.from_arrow(pa.Table.from_batches([batch], schema)).insert_into(staged)
        return con.table(staged)

    def _table(self, name: str) -> ir.Table:
        place = self.tables[name]
        with self._reading(name) as where, _answers(where):
            return self.ibis.table(place.table, database=place.schema)

    @contextmanager
    def _reading(self, name: str) -> Iterator[str]:
        """A part of the transaction that may fail by itself; the table's name in errors."""
        place = self.tables[name]
        where = f"{self.where}, table {place.schema}.{place.table}"
        with _answers(where), self.con.transaction():
            yield where


@contextmanager
def connected(url: str) -> Iterator[Server]:
    """A connection to the server of a URL. The password comes from PGPASSWORD or ~/.pgpass, as libpq reads them.

    Raises PresageError where the URL holds a password (a command line is seen by everybody on the machine) or is none,
    or the server does not answer or refuses.
    """
    parts = _parts(url)
    where = called(url)
    con = _connect(parts, where)
    try:
        with _answers(where):
            for setting in _SETTINGS:
                con.execute(setting)
            # SET TIMEZONE, which Ibis does of its own accord, holds in the transaction.
            backend = Postgres.from_connection(con)
            places = [Place(*row) for row in con.execute(_TABLES).fetchall()]
        yield Server(con, backend, where, tuple(places))
    finally:
        con.close()


def _parts(url: str) -> Mapping[str, str]:
    url = re.sub(r"^postgres(ql)?:/+", "postgresql://", url)  # a path has one slash where a URL has two
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(url).items() if value}
    except psycopg.Error:
        raise PresageError("SOURCE", _FORM, found="another form", way_out="write it so") from None
    if parts.keys() & {"password", "sslpassword", "oauth_client_secret"}:
        without_password("url://user:password@")
    # What stands in a wrong place may be a part of a password: nothing of it is repeated.
    odd = any(mark in parts.get(name, "") for name in ("host", "port", "dbname") for mark in "@?#")
    if odd or not re.fullmatch(r"[0-9,]*", parts.get("port", "")):
        raise PresageError("SOURCE", _FORM, found="another form", way_out="write it so")
    return parts


def _connect(parts: Mapping[str, str], where: str) -> psycopg.Connection:
    timeout = {} if "connect_timeout" in parts else {"connect_timeout": str(CONNECT_TIMEOUT_S)}
    try:
        return psycopg.connect(**{"application_name": "presage", **timeout, **parts}, autocommit=True)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise PresageError(
            where, "a database that lets this user in", found=_said(error), way_out=_way_in(error)
        ) from None


def _said(error: psycopg.Error) -> str:
    """Why a server refused, as it says itself, or that none answered."""
    found = re.findall(r"FATAL:\s+(.+)", str(error))
    return str(found[-1]).strip().rstrip(".") if found else "no answer"


def _way_in(error: psycopg.Error) -> str:
    if error.pgconn is not None and (error.pgconn.needs_password or error.pgconn.used_password):
        return "set PGPASSWORD, or add a line to ~/.pgpass; check user and database"
    return "check host, port, user and database, and that the server runs"


@contextmanager
def _answers(where: str) -> Iterator[None]:
    """Turn a driver's error, whose message may hold a value of a person, into one of ours without it."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege:
        raise PresageError(
            where,
            "a table that this user may read",
            found="no permission",
            way_out="ask for SELECT on it, and for USAGE of its schema",
        ) from None
    except UnicodeDecodeError:
        raise PresageError(
            where, "text in UTF-8", found="bytes that are none", way_out="convert the database to UTF-8"
        ) from None
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise PresageError(
            where,
            "a server that answers to the end",
            found="a connection that broke off",
            way_out="run it again when the server is up; the record stands as it was",
        ) from None
    except psycopg.Error as error:
        raise PresageError(
            where,
            "a table that can be read",
            found=f"what PostgreSQL calls {type(error).__name__}",
            way_out="check that psql can read it",
        ) from None
