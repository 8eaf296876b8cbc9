"""Writing a source's events into the record: sorted shards, codes, ancestors, identity, report; whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.progress import Progress
from features.record import ANCESTORS, CODES, EVENTS, IDENTITY, identity, move_in, scratch, settle
from features.sources.report import IngestReport

EVENTS_PER_SHARD = 1_000_000
MEMORY_LIMIT = "900MB"
MEDS_VERSION = "0.4.0"

FIXED_CODES = {
    "MEDS_BIRTH": "Birth",
    "MEDS_DEATH": "Death; text_value is the code of the cause where known",
    "OBSERVATION_PERIOD//START": "Enrolment begins",
    "OBSERVATION_PERIOD//END": "Enrolment ends",
    "CARE_SITE": "Care site of the person, by its source id",
    "PROVIDER": "Provider of the person, by its source id",
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A scratch database beside the record, spilling to disk, and a folder that is moved into the record at the end.

    source: the kind of source (`omop`). origin: the file or folder it was read from.
    """

    con: Backend
    folder: Path
    record_dir: Path
    source: str
    origin: Path
    rejects: list[ir.Table] = field(default_factory=list)

    @property
    def ready(self) -> Path:
        """The folder whose content is to be moved into the record."""
        return self.folder / "ready"

    def set_aside(self, table: str, rows: ir.Table) -> None:
        """Keep rows (columns source_row, reason, kept) in `rejects/<source>/<table>.parquet`."""
        path = self.ready / "rejects" / self.source / f"{table}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = rows.select("source_row", "reason", "kept")
        self.con.to_parquet(rows.order_by("reason", "source_row"), path, compression="zstd")


@contextmanager
def workspace(record_dir: Path, source: str, *, origin: Path) -> Iterator[Workspace]:
    """A workspace that disappears afterwards, whatever happened.

    A record that was not there before disappears with it.
    """
    is_new = not record_dir.exists()
    record_dir.mkdir(parents=True, exist_ok=True)
    settle(record_dir)
    try:
        with _scratch(record_dir, source, origin=origin) as space:
            yield space
    finally:
        if is_new and not any(record_dir.iterdir()):
            record_dir.rmdir()


@contextmanager
def _scratch(record_dir: Path, source: str, *, origin: Path) -> Iterator[Workspace]:
    with scratch(record_dir) as folder:
        (folder / "ready").mkdir()
        con = ibis.duckdb.connect(
            str(folder / "scratch.duckdb"),
            memory_limit=MEMORY_LIMIT,
            temp_directory=str(folder / "spill"),
            preserve_insertion_order=False,
        )
        con.raw_sql("SET TimeZone = 'UTC'")  # moments with an offset, whatever machine this is
        try:
            yield Workspace(con, folder, record_dir, source, origin)
        finally:
            con.disconnect()


def write(
    space: Workspace,
    *,
    events: ir.Table,
    subjects: ir.Table,
    codes: ir.Table,
    ancestors: ir.Table,
    report: IngestReport,
    progress: Progress,
) -> IngestReport:
    """Replace the part of the record that comes from this source.

    `subjects`: the source's identity map (columns of IDENTITY). Raises PresageError, and leaves the record as it is,
    where there is nobody to put in the place of the people it has.
    """
    _write_shards(space, events, report=report, progress=progress)
    if not report.people:
        raise _nobody(space, report)
    _write_metadata(space, codes, ancestors=ancestors, report=report)
    _write_table(
        identity.merged(space.record_dir, space.source, identity=subjects), space.ready / identity.FILE, schema=IDENTITY
    )
    _write_json(space.ready / "ingest_report.json", _reports(space, report))
    (space.ready / "rejects" / space.source).mkdir(parents=True, exist_ok=True)  # those of last time go
    move_in(space.ready, space.record_dir)
    return report


def _nobody(space: Workspace, report: IngestReport) -> PresageError:
    """What to say of a source without people: which of its rows were set aside, and why."""
    aside = [
        f"{name}: {rows:,} rows: {reason}"
        for name, table in report.tables.items()
        for reason, rows in sorted(table.rejected.items())
    ]
    why = f"; {'; '.join(aside[:5])}" if aside else ""
    return PresageError(
        str(space.origin),
        "at least one person",
        found=f"none that could be read{why}",
        way_out="check that this is the whole source; the record stands as it was",
    )


def _write_shards(space: Workspace, events: ir.Table, *, report: IngestReport, progress: Progress) -> None:
    folder = space.ready / "data" / space.source
    folder.mkdir(parents=True)
    counted = events.aggregate(n=events.count(), people=events.subject_id.nunique()).to_pyarrow().to_pylist()[0]
    report.events, report.people = counted["n"], counted["people"]
    bounds = _bounds(events, math.ceil(report.events / EVENTS_PER_SHARD))
    with progress("writing events", total=report.events) as advance:
        for number, (first, last) in enumerate(bounds):
            shard = events.filter(events.subject_id.between(first, last)).select(EVENTS.names)
            order = [ibis.asc(name, nulls_first=True) for name in EVENTS.names]
            sorted_shard = shard.order_by(order).to_pyarrow()
            _write_table(sorted_shard, folder / f"{number:04}.parquet", schema=EVENTS)
            advance(sorted_shard.num_rows)
    if not bounds:
        _write_table(EVENTS.empty_table(), folder / "0000.parquet", schema=EVENTS)


def _bounds(events: ir.Table, shards: int) -> list[tuple[int, int]]:
    """Ranges of subject ids, first and last included, of about as many people each."""
    if not shards:
        return []
    people = events.select("subject_id").distinct()
    people = people.mutate(shard=ibis.ntile(shards).over(order_by=people.subject_id))
    ranges = people.group_by("shard").agg(first=people.subject_id.min(), last=people.subject_id.max())
    return [(row["first"], row["last"]) for row in ranges.order_by("shard").to_pyarrow().to_pylist()]


def _write_metadata(space: Workspace, codes: ir.Table, *, ancestors: ir.Table, report: IngestReport) -> None:
    folder = space.ready / "metadata"
    folder.mkdir()
    mine = space.con.to_pyarrow(codes.select(CODES.names)).cast(CODES)
    report.codes = mine.num_rows
    for name, table, schema in (
        ("codes", mine, CODES),
        ("ancestors", space.con.to_pyarrow(ancestors.select(ANCESTORS.names)).cast(ANCESTORS), ANCESTORS),
    ):
        own = folder / space.source / f"{name}.parquet"
        _write_table(table, own, schema=schema)
        others = [
            pq.read_table(path, schema=schema)
            for path in sorted((space.record_dir / "metadata").glob(f"*/{name}.parquet"))
            if path.parent.name != space.source
        ]
        _write_table(_together([table, *others], schema), folder / f"{name}.parquet", schema=schema)
    _write_json(
        folder / "dataset.json",
        {
            "dataset_name": "presage record",
            "etl_name": "presage",
            "etl_version": version("presage"),
            "meds_version": MEDS_VERSION,
            "code_modifier_columns": ["unit"],
            "other_extension_columns": ["available_time"],
        },
    )


def _together(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """Rows of all, one for each code (codes) or each pair (ancestors), the first table's where they differ."""
    seen: set[tuple[str, ...]] = set()
    keys = ["code"] if schema is CODES else schema.names
    kept = []
    for table in tables:
        rows = list(zip(*(table[key].to_pylist() for key in keys), strict=True))
        kept.append(table.filter(pa.array([row not in seen for row in rows], pa.bool_())))
        seen.update(rows)
    return pa.concat_tables(kept).sort_by([(key, "ascending") for key in keys])


def _reports(space: Workspace, report: IngestReport) -> dict[str, object]:
    path = space.record_dir / "ingest_report.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    return dict(sorted({**known, space.source: report.as_json()}.items()))


def _write_table(table: pa.Table, path: Path, *, schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.cast(schema), path, compression="zstd")


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
