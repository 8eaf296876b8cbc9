"""Where expressions run: any Ibis backend, or a DuckDB connection kept warm with its statements prepared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import duckdb
import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends import BaseBackend
from ibis.backends.duckdb import Backend as DuckDBBackend


class Session(Protocol):
    """Holds tables by name, and runs Ibis expressions that read them."""

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """Give `table` this name, in place of the table that had it."""
        ...

    def run(self, expression: ir.Table) -> pa.Table:
        """Run an expression over the named tables, and return its rows."""
        ...


class IbisSession:
    """A session on any Ibis backend. On DuckDB an expression is compiled once, however many shards it runs over."""

    def __init__(self, backend: BaseBackend) -> None:
        self.backend = backend
        self._registered: set[str] = set()
        self._compiled = _Once(lambda expression: str(ibis.to_sql(expression, dialect="duckdb")))

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """Give a table this name, as a view that takes the place of an earlier one."""
        if isinstance(table, ir.Table):
            self._forget(name)
            self.backend.create_view(name, table, overwrite=True)
        elif self.backend.name == "pyspark":
            # Ibis would go through pandas, where a missing number becomes NaN.
            self.backend._session.createDataFrame(table).createOrReplaceTempView(name)
        elif self.backend.name == "duckdb":
            self._registered.add(name)
            self.backend.con.register(name, table)
        else:
            self.backend.create_view(name, ibis.memtable(table), overwrite=True)

    def run(self, expression: ir.Table) -> pa.Table:
        """Run an expression on the backend and return its rows as an Arrow table."""
        if self.backend.name == "duckdb":
            return self.backend.con.sql(self._compiled(expression)).to_arrow_table()
        return self.backend.to_pyarrow(expression)

    def _forget(self, name: str) -> None:
        """What DuckDB has registered stands before a view of that name."""
        if name in self._registered:
            self._registered.remove(name)
            self.backend.con.unregister(name)


class _Once:
    """Text made of an expression, once for each expression object."""

    def __init__(self, make: Callable[[ir.Table], str]) -> None:
        self._make = make
        self._made: dict[int, tuple[ir.Table, str]] = {}  # holds the expression, so that no other gets its id

    def __call__(self, expression: ir.Table) -> str:
        if id(expression) not in self._made:
            self._made[id(expression)] = expression, self._make(expression)
        return self._made[id(expression)][1]

    def __len__(self) -> int:
        return len(self._made)


class _Shown:
    """What a name stands for: registered once, and read anew each time a prepared statement runs."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.__arrow_c_stream__(requested_schema)


class WarmSession:
    """A session on one DuckDB connection and one thread, for a few people at a time.

    An expression is compiled and planned once. Planning costs ten times as much as reading one person's events. A
    statement that was prepared over a registered Arrow table would go on reading that very table; therefore a `_Shown`
    is registered, whose table is exchanged.
    """

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1; SET TimeZone = 'UTC'; SET preserve_insertion_order = false")
        self._shown: dict[str, _Shown] = {}
        self._prepared = _Once(self._prepare)

    def put(self, name: str, table: pa.Table | ir.Table) -> None:
        """Give a table this name without copying it.

        Its columns take the types that the first table of this name had.
        """
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
        """Run an expression and return its rows as an Arrow table.

        An expression object is prepared when it is first run; the tables it reads have to be put before.
        """
        return self._connection.sql(self._prepared(expression)).to_arrow_table()

    def _prepare(self, expression: ir.Table) -> str:
        name = f"presage_{len(self._prepared)}"
        self._connection.execute(f"PREPARE {name} AS {ibis.to_sql(expression, dialect='duckdb')}")
        return f"EXECUTE {name}"


def duckdb_session(*, max_memory: str | None = None, threads: int | None = None) -> IbisSession:
    """A session on a DuckDB of its own.

    Results do not depend on the order of insertion; memory is bounded where asked for.
    """
    backend: DuckDBBackend = ibis.duckdb.connect()
    backend.raw_sql("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
    if max_memory is not None:
        backend.raw_sql(f"SET memory_limit = '{max_memory}'")
    if threads is not None:
        backend.raw_sql(f"SET threads = {threads}")
    return IbisSession(backend)
