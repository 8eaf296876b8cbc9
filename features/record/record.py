"""The record: one health system's events in MEDS, and its genomic tables, on disk or for one person in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.arrays import Ints
from features.errors import PresageError
from features.record import deltas
from features.record.facts import keyed, keyed_table
from features.record.moving import settle
from features.record.schema import ANCESTORS, CODES, EVENTS, GENOMIC, IDENTITY, ROWS
from features.record.tells import TELLS_FILE, Tells


@dataclass(frozen=True, slots=True, repr=False)
class Record:
    """A record: the folder that holds its tables, or the tables of a few people in memory.

    Open a folder with `Record.open`; hold tables with `Record.in_memory`.
    """

    path: Path | None = None
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    declared: Tells | None = None

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Record:
        """Open a record folder; a move that a killed ingest left unfinished is finished first.

        Raises PresageError where the folder holds no MEDS data.
        """
        path = Path(path)
        settle(path)
        if not any((path / "data").rglob("*.parquet")):
            raise PresageError(
                str(path),
                "the folder of a record",
                found="no data/*.parquet in it",
                way_out="make one: presage ingest omop SRC",
            )
        tells = path / TELLS_FILE
        if not tells.is_file():
            raise PresageError(
                str(path),
                f"a record that says what it can tell ({TELLS_FILE})",
                way_out="run presage ingest again for its sources",
            )
        return cls(path=path, declared=Tells.read(tells.read_text(encoding="utf-8"), where=str(path)))

    @classmethod
    def in_memory(cls, events: pa.Table, *, tells: Tells | None = None, **tables: pa.Table) -> Record:
        """Tables of a few people, as `features.record.schema` has them (names: codes, ancestors, polygenic, ...).

        tells: what the record can tell; by default its maker vouches that what is not in it did not happen.
        """
        return cls(tables={"events": keyed_table(events), **tables}, declared=tells)

    @property
    def tells(self) -> Tells:
        """What the absence of a fact in this record means."""
        return self.declared or Tells.all()

    def __repr__(self) -> str:
        """Where it is: nobody's facts."""
        return f"<Record in {'memory' if self.path is None else self.path}>"

    def subject_ids(self) -> Ints:
        """(n,) everybody of whom there is an event, in order."""
        backend = ibis.duckdb.connect()
        found = self.events(backend).select("subject_id").distinct().order_by("subject_id")
        ids: Ints = backend.to_pyarrow(found)["subject_id"].to_numpy()
        return ids

    def events(self, backend: Backend) -> ir.Table:
        """Columns of `features.record.schema.EVENTS`; `code` is the key of all codings of a fact."""
        if self.path is None:
            return self._table(backend, "events", schema=EVENTS, pattern="")
        return keyed(self.rows(backend))

    def rows(self, backend: Backend) -> ir.Table:
        """Columns of `features.record.schema.ROWS`, as the record on disk keeps them, with what updates brought."""
        if self.path is None:
            return self._table(backend, "rows", schema=ROWS, pattern="")
        return deltas.joined(self.path, backend)

    def count(self) -> int:
        """The number of events, from the files' own counts."""
        return len(self.tables["events"]) if self.path is None else deltas.count(self.path)

    @property
    def pending(self) -> int:
        """Rows that updates wrote, or made void, since the last compaction."""
        if self.path is None:
            return 0
        return sum(deltas.parts_of(self.path, source).pending for source in deltas.sources_with_deltas(self.path))

    def codes(self, backend: Backend) -> ir.Table:
        """The codes with their descriptions: columns of `features.record.schema.CODES`."""
        return self._table(backend, "codes", schema=CODES, pattern="metadata/codes.parquet")

    def ancestors(self, backend: Backend) -> ir.Table:
        """Every ancestor of every code: columns of `features.record.schema.ANCESTORS`.

        Empty where the source has no hierarchy.
        """
        return self._table(backend, "ancestors", schema=ANCESTORS, pattern="metadata/ancestors.parquet")

    def genomic(self, backend: Backend, name: str) -> ir.Table:
        """One of the tables of `features.record.schema.GENOMIC`, by name; empty where nobody has such results."""
        return self._table(backend, name, schema=GENOMIC[name], pattern=f"genomic/{name}.parquet")

    def identity(self, backend: Backend) -> ir.Table:
        """The identity map: columns of `features.record.schema.IDENTITY`.

        Only code that speaks with the outside reads it.
        """
        return self._table(backend, "identity", schema=IDENTITY, pattern="identity/subjects.parquet")

    def _table(self, backend: Backend, name: str, *, schema: pa.Schema, pattern: str) -> ir.Table:
        if self.path is not None and any(self.path.glob(pattern)):
            return backend.read_parquet(str(self.path / pattern))
        return ibis.memtable(self.tables.get(name, schema.empty_table()))
