"""Where expressions run: any Ibis backend, or a DuckDB connection kept warm with the SQL compiled once."""

from __future__ import annotations

from typing import Protocol

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend as DuckDBBackend


class Session(Protocol):
    """Holds named tables and answers expressions over them."""

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """Make `table` known by `name`, in place of what had the name."""
        ...

    def run(self, expression: ir.Table) -> pa.Table:
        """Rows of an expression over the named tables."""
        ...


class IbisSession:
    """Any backend."""

    def __init__(self, backend: BaseBackend) -> None:
        self.backend = backend

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """As a view, overwriting."""
        if self.backend.name == "pyspark" and not isinstance(table, ir.Table):
            # Ibis would go through pandas, where a missing number becomes NaN.
            self.backend._session.createDataFrame(table).createOrReplaceTempView(name)
            return
        expression = table if isinstance(table, ir.Table) else ibis.memtable(table)
        self.backend.create_view(name, expression, overwrite=True)

    def run(self, expression: ir.Table) -> pa.Table:
        """As Arrow."""
        return self.backend.to_pyarrow(expression)


class WarmSession:
    """One DuckDB connection on one thread, for a few people at a time. SQL is compiled from the expression once."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        self._sql: dict[int, str] = {}
        self._kept: list[ir.Table] = []

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """Without a copy."""
        if isinstance(table, ir.Table):
            raise TypeError("a warm session takes Arrow tables")
        self._connection.register(name, table)

    def run(self, expression: ir.Table) -> pa.Table:
        """The same expression object is compiled once. Not prepared: that would go on reading a replaced table."""
        if id(expression) not in self._sql:
            self._kept.append(expression)  # so that no other expression gets its id
            self._sql[id(expression)] = str(ibis.to_sql(expression, dialect="duckdb"))
        return self._connection.sql(self._sql[id(expression)]).to_arrow_table()


def duckdb_session(*, max_memory: str | None = None, threads: int | None = None) -> IbisSession:
    """A DuckDB of its own: results do not depend on insertion order, and memory is bounded where asked for."""
    backend: DuckDBBackend = ibis.duckdb.connect()
    backend.raw_sql("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
    if max_memory is not None:
        backend.raw_sql(f"SET memory_limit = '{max_memory}'")
    if threads is not None:
        backend.raw_sql(f"SET threads = {threads}")
    return IbisSession(backend)
