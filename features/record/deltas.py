"""What came since a source was ingested: sorted rows beside `data/`, and the numbers of rows that are void since.

Every event has a number within its source, `row`, in `data/` and in the deltas alike. `origins/` says by the same
number which row of the source an event was made of; nobody who reads features opens it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from ibis.backends import BaseBackend

from features.record.schema import ROWS, TIME

DATA, DELTAS, ORIGINS_OF, KEPT = "data", "deltas", "origins", "kept"
VOID = "void.parquet"
ROW = pa.schema([pa.field("row", pa.int64(), nullable=False)])
STORED = ROWS.append(ROW.field("row"))  # as `data/` and deltas keep an event

# Of which row of the source an event was made, and what it waits for. kind: table or resource type. key, person, visit,
# drug: numbers of that row's own key and of those it points to. own: when the fact was known by itself, where it waits
# for a visit. updated, version: of the resource. pending: a result that a final one replaces.
ORIGINS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("kind", pa.string()),
        pa.field("key", pa.int64()),
        pa.field("person", pa.int64()),
        pa.field("visit", pa.int64()),
        pa.field("own", TIME),
        pa.field("drug", pa.int64()),
        pa.field("updated", TIME),
        pa.field("version", pa.int64()),
        pa.field("pending", pa.bool_()),
    ]
)
ORIGIN_COLUMNS = tuple(name for name in ORIGINS.names if name != "row")
SHARD_BITS = 32  # a row's number: that of its file, then its place in it


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of one source: those of the last ingest or compaction, and those of updates since."""

    source: str
    base: tuple[Path, ...]
    deltas: tuple[Path, ...]
    void: Path | None

    @property
    def rows(self) -> int:
        """Events of the last ingest or compaction."""
        n: int = sum(pq.read_metadata(path).num_rows for path in self.base)
        return n

    @property
    def pending(self) -> int:
        """Rows that updates since then wrote, or made void."""
        n: int = sum(pq.read_metadata(path).num_rows for path in self.deltas)
        return n + (int(pq.read_metadata(self.void).num_rows) if self.void else 0)


def parts_of(record_dir: Path, source: str) -> Parts:
    """The files of a source in a record."""
    folder = record_dir / DELTAS / source
    void = folder / VOID
    return Parts(
        source,
        tuple(sorted((record_dir / DATA / source).rglob("*.parquet"))),
        tuple(sorted(folder.glob("rows-*.parquet"))),
        void if void.is_file() else None,
    )


def sources_with_deltas(record_dir: Path) -> list[str]:
    """The sources of which updates are pending."""
    return sorted(path.name for path in (record_dir / DELTAS).glob("*") if any(path.glob("*.parquet")))


def count(record_dir: Path) -> int:
    """The number of events of a record, from its files' own counts."""
    total: int = sum(pq.read_metadata(path).num_rows for path in (record_dir / DATA).rglob("*.parquet"))
    for source in sources_with_deltas(record_dir):
        parts = parts_of(record_dir, source)
        total += sum(pq.read_metadata(path).num_rows for path in parts.deltas)
        total -= pq.read_metadata(parts.void).num_rows if parts.void else 0
    return total


def files(record_dir: Path) -> list[Path]:
    """Every file that events are read from, the lists of void rows included."""
    pending = (path for name in ("rows-*.parquet", VOID) for path in (record_dir / DELTAS).glob(f"*/{name}"))
    return [*sorted((record_dir / DATA).rglob("*.parquet")), *sorted(pending)]


def joined(record_dir: Path, backend: BaseBackend) -> ir.Table:
    """Columns of ROWS of all sources: what is in `data/` and what updates brought, without the rows that are void."""
    pending = sources_with_deltas(record_dir)
    if not pending:
        return _read(backend, record_dir / DATA / "**" / "*.parquet")
    folders = sorted({path.parent for path in (record_dir / DATA).rglob("*.parquet")})
    plain = [folder for folder in folders if (*folder.relative_to(record_dir / DATA).parts, "")[0] not in pending]
    whole = [_read(backend, folder / "*.parquet") for folder in plain]
    whole += [with_deltas(parts_of(record_dir, source), backend) for source in pending]
    rows = whole[0]
    for other in whole[1:]:
        rows = rows.union(other)
    return rows


def with_deltas(parts: Parts, backend: BaseBackend) -> ir.Table:
    """One source's columns of ROWS, with its deltas."""
    names = [*ROWS.names, "row"]
    folders = sorted({path.parent for path in parts.base})
    rows = _read(backend, folders[0] / "*.parquet", names)
    for folder in folders[1:]:
        rows = rows.union(_read(backend, folder / "*.parquet", names))
    if parts.deltas:
        rows = rows.union(_read(backend, parts.deltas[0].parent / "rows-*.parquet", names))
    if parts.void is not None:
        rows = rows.anti_join(backend.read_parquet(str(parts.void)), "row")
    return rows.select(ROWS.names)


def _read(backend: BaseBackend, pattern: Path, names: list[str] | None = None) -> ir.Table:
    rows = backend.read_parquet(str(pattern))
    return rows.select([name for name in (names or ROWS.names) if name in rows.columns])


def scan(record_dir: Path, wanted: pc.Expression, *, columns: list[str]) -> pa.Table:
    """Columns of ROWS of the events for which `wanted` holds, for who asks about few: a scan without an engine."""
    pending = sources_with_deltas(record_dir)
    schema = pa.schema([ROWS.field(name) for name in columns])
    plain = [path for path in files(record_dir) if _source_of(record_dir, path) not in pending]
    tables = [schema.empty_table()]
    if plain:
        tables.append(ds.dataset(plain, schema=ROWS, format="parquet").to_table(columns=columns, filter=wanted))
    for source in pending:
        parts = parts_of(record_dir, source)
        stored = ds.dataset([*parts.base, *parts.deltas], schema=STORED, format="parquet")
        table = stored.to_table(columns=[*columns, "row"], filter=wanted)
        if parts.void is not None:
            gone = pc.is_in(table["row"], pq.read_table(parts.void)["row"].combine_chunks())
            table = table.filter(pc.invert(gone))
        tables.append(table.select(columns))
    return pa.concat_tables([table.cast(schema) for table in tables])


def _source_of(record_dir: Path, path: Path) -> str:
    return path.relative_to(record_dir).parts[1]
