"""Compaction: a record's MEDS folder written anew from what was ingested and what updates brought since."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.progress import Progress, silent
from features.record import (
    DATA,
    DELTAS,
    ORIGIN_COLUMNS,
    ORIGINS,
    ORIGINS_OF,
    ROWS,
    STORED,
    move_in,
    parts_of,
    sources_with_deltas,
)
from features.sources.store import EVENTS_PER_SHARD, Workspace, workspace, write_sorted

PENDING_AT_MOST = 0.1  # of the events of a source, before an update compacts by itself
_LEAST, _MOST = np.iinfo(np.int64).min, np.iinfo(np.int64).max
_EVENT = pa.schema([*STORED, *(ORIGINS.field(name) for name in ORIGIN_COLUMNS)])


def is_due(record_dir: Path, source: str) -> bool:
    """Whether more than a tenth of a source's events are pending."""
    parts = parts_of(record_dir, source)
    return parts.pending > PENDING_AT_MOST * parts.rows


def compact(record_dir: Path, *, sources: Sequence[str] | None = None, progress: Progress = silent) -> list[str]:
    """Write the data of sources with pending updates anew, one file a subject, sorted; return which.

    Killed at any moment, the record is as it was or compacted. Raises PresageError where there is no record.
    """
    if not (record_dir / DATA).is_dir():
        raise PresageError(
            str(record_dir),
            "the folder of a record",
            found="no data/ in it",
            way_out="make one: presage ingest omop SRC",
        )
    done = []
    for source in sources_with_deltas(record_dir) if sources is None else sources:
        with workspace(record_dir, source, origin=record_dir) as space:
            _compact(space, progress)
        done.append(source)
    return done


def _compact(space: Workspace, progress: Progress) -> None:
    parts = parts_of(space.record_dir, space.source)
    ready = {name: space.ready / name / space.source for name in (DATA, ORIGINS_OF, DELTAS)}
    for folder in ready.values():
        folder.mkdir(parents=True)
    void = pq.read_table(parts.void)["row"].to_numpy() if parts.void else np.empty(0, np.int64)
    fresh = pa.concat_tables([_with_origins(path) for path in parts.deltas] or [_EVENT.empty_table()])
    fresh = fresh.filter(~np.isin(fresh["row"].to_numpy(), void))
    edges = _edges(parts.base)
    number = 0
    with progress("compacting", total=parts.rows) as advance:
        for path, first, last in edges:
            base = _with_origins(path, space.record_dir / ORIGINS_OF / space.source / path.name)
            n = base.num_rows
            base = base.filter(~np.isin(base["row"].to_numpy(), void))
            subjects = fresh["subject_id"].to_numpy()
            rows = merged(space.con, base, fresh.filter((subjects >= first) & (subjects < last))).drop("row")
            for part in _shards(rows):
                write_sorted(part, ready[DATA] / f"{number:04}.parquet", ready[ORIGINS_OF], number=number)
                number += 1
            advance(n)
    move_in(space.ready, space.record_dir)


def _edges(base: Sequence[Path]) -> list[tuple[Path, int, int]]:
    """The files with the subjects that are theirs: from its first to before the next one's first."""
    known = [(path, _first_subject(path)) for path in base]
    filled = [(path, first) for path, first in known if first is not None] or [(base[0], 0)]
    firsts = [_LEAST, *(first for _, first in filled[1:]), _MOST]
    return [(path, firsts[n], firsts[n + 1]) for n, (path, _) in enumerate(filled)]


def _first_subject(path: Path) -> int | None:
    found: int | None = pc.min(pq.read_table(path, columns=["subject_id"])["subject_id"]).as_py()
    return found


def _with_origins(path: Path, origins: Path | None = None) -> pa.Table:
    """Rows and their origins, which lie in the same order."""
    rows = pq.read_table(path, schema=STORED)
    beside = pq.read_table(origins or path.with_name(path.name.replace("rows-", "origins-")), schema=ORIGINS)
    if not rows["row"].equals(beside["row"]):
        raise PresageError(
            path.name, "rows in the order of their origins", way_out="run presage ingest again on the whole source"
        )
    for name in ORIGIN_COLUMNS:
        rows = rows.append_column(name, beside[name])
    return rows


def merged(con: Backend, base: pa.Table, fresh: pa.Table) -> pa.Table:
    """Two tables of which the first is in the record's order, in that order.

    Where new rows stand at a moment of their person with others, these few are sorted by all columns; else by subject
    and time alone.
    """
    if not fresh.num_rows:
        return base
    both = pa.concat_tables([base, fresh])
    subject = both["subject_id"].to_numpy()
    time = both["time"].cast(pa.int64()).fill_null(_LEAST).to_numpy()
    order = np.lexsort((time, subject))
    subject, time, is_fresh = subject[order], time[order], order >= base.num_rows
    apart = np.concatenate([[True], (subject[1:] != subject[:-1]) | (time[1:] != time[:-1])])
    group = np.cumsum(apart) - 1
    size, n_fresh = np.bincount(group), np.bincount(group, weights=is_fresh)
    tied = np.flatnonzero(((size > 1) & (n_fresh > 0))[group])
    if len(tied):
        few = both.take(pa.array(order[tied])).select(ROWS.names).append_column("at", pa.array(order[tied]))
        table = con.create_table("tied", few, overwrite=True)
        by = [ibis.asc(name, nulls_first=True) for name in ROWS.names]
        order[tied] = table.order_by(by).select("at").to_pyarrow()["at"].to_numpy()
    return both.take(pa.array(order))


def _shards(rows: pa.Table) -> list[pa.Table]:
    """A shard that has grown by half is parted between people."""
    if rows.num_rows <= 1.5 * EVENTS_PER_SHARD:
        return [rows]
    subject = rows["subject_id"].to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], subject[1:] != subject[:-1]]))
    wanted = np.arange(EVENTS_PER_SHARD, rows.num_rows, EVENTS_PER_SHARD)
    at = np.searchsorted(starts, wanted)
    cuts = np.unique(starts[at[at < len(starts)]])
    edges = [0, *cuts.tolist(), rows.num_rows]
    return [rows.slice(low, high - low) for low, high in pairwise(edges) if high > low]
