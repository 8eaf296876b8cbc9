"""Where expressions run: any Ibis backend, or a DuckDB connection kept warm with its statements prepared."""

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


class _Shown:
    """What a name stands for: registered once, and read anew each time a prepared statement runs."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class WarmSession:
    """One DuckDB connection on one thread, for a few people at a time. An expression is compiled and planned once.

    Planning costs ten times what reading one person does. A statement prepared over a registered Arrow table would
    go on reading that very table, so what is registered is a `_Shown`, whose table is exchanged.
    """

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        self._shown: dict[str, _Shown] = {}
        self._prepared: dict[int, str] = {}
        self._kept: list[ir.Table] = []

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """Without a copy; columns of the types that the name's first table had."""
        if isinstance(table, ir.Table):
            raise TypeError("a warm session takes Arrow tables")
        if name not in self._shown:
            self._shown[name] = _Shown(table)
            self._connection.register(name, self._shown[name])
            return
        planned, given = self._shown[name].table.schema, table.schema
        same = given.names == planned.names and given.types == planned.types
        self._shown[name].table = table if same else table.select(planned.names).cast(planned)

    def run(self, expression: ir.Table) -> pa.Table:
        """As Arrow. The same expression object is prepared once; its tables have been put before."""
        if id(expression) not in self._prepared:
            name = f"presage_{len(self._kept)}"
            self._connection.execute(f"PREPARE {name} AS {ibis.to_sql(expression, dialect='duckdb')}")
            self._kept.append(expression)  # so that no other expression gets its id
            self._prepared[id(expression)] = f"EXECUTE {name}"
        return self._connection.sql(self._prepared[id(expression)]).to_arrow_table()


def duckdb_session(*, max_memory: str | None = None, threads: int | None = None) -> IbisSession:
    """A DuckDB of its own: results do not depend on insertion order, and memory is bounded where asked for."""
    backend: DuckDBBackend = ibis.duckdb.connect()
    backend.raw_sql("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
    if max_memory is not None:
        backend.raw_sql(f"SET memory_limit = '{max_memory}'")
    if threads is not None:
        backend.raw_sql(f"SET threads = {threads}")
    return IbisSession(backend)
