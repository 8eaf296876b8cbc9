"""Writing a source's events into the record: sorted shards, codes, ancestors, identity, report; whole or not at all."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.progress import Progress
from features.record import (
    ANCESTORS,
    CODES,
    DATA,
    DELTAS,
    IDENTITY,
    KEPT,
    ORIGIN_COLUMNS,
    ORIGINS,
    ORIGINS_OF,
    READING,
    ROWS,
    SHARD_BITS,
    STORED,
    TELLS_FILE,
    Tells,
    identity,
    move_in,
    parts_of,
    scratch,
    settle,
    with_deltas,
)
from features.sources.report import IngestReport
from features.vocabulary import ancestors_of_codes, loaded

EVENTS_PER_SHARD = 500_000
SHARDS_A_PASS = 8  # sorted together: the fewer passes over all events the faster, the more of them spill to disk
_BATCH = 100_000
MEMORY_LIMIT = "700MB"  # beside it stand Python and a shard on its way to the disk: 1.2 GB in all
FEWEST_AGAIN = 0.9  # share of the people known of a source that the whole source holds again
MEDS_VERSION = "0.4.0"

SAID = "said.json"
UPDATE_REJECTS = "of-updates"
# Kind of fact -> the kinds (tables or resource types) of its events; None: all of them.
Kinds = Mapping[str, tuple[str, ...] | None]
Firsts = dict[str, dict[str, str]]

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

    source: the kind of source (`omop`). origin: the file, folder or server it was read from, as errors name it. update:
    whether it holds only what has changed; small: tables that are read whole even then.
    """

    con: Backend
    folder: Path
    record_dir: Path
    source: str
    origin: Path | str
    replace: bool = False
    update: bool = False
    small: frozenset[str] = frozenset()

    @property
    def ready(self) -> Path:
        """The folder whose content is to be moved into the record."""
        return self.folder / "ready"

    def set_aside(self, table: str, rows: ir.Table) -> None:
        """Keep rows (columns source_row, reason, kept) in `rejects/<source>/<table>.parquet`."""
        folder = self.ready / "rejects" / self.source
        path = (folder / UPDATE_REJECTS if self.update and table not in self.small else folder) / f"{table}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = rows.select("source_row", "reason", "kept")
        self.con.to_parquet(rows.order_by("reason", "source_row"), path, compression="zstd")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The codes in use with their ancestors, and what the source itself says of all codes that came up, those of facts
    set aside included.
    """

    codes: pa.Table
    ancestors: pa.Table
    known_codes: pa.Table
    known_ancestors: pa.Table


@dataclass(frozen=True, slots=True)
class Kept:
    """What an update of a source needs of what was read before: small tables whole, facts that only another row keeps
    out, and a few words about the source.
    """

    tables: Mapping[str, ir.Table | pa.Table]
    said: Mapping[str, Any] = field(default_factory=dict)

    def write(self, space: Workspace, report: IngestReport) -> None:
        """Into the folder that is moved into the record."""
        folder = space.ready / KEPT / space.source
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in self.tables.items():
            path = folder / f"{name}.parquet"
            if isinstance(table, pa.Table):
                pq.write_table(table, path, compression="zstd")
            else:
                space.con.to_parquet(table, path, compression="zstd")
        words = {"reading": READING, "vocabularies": list(report.vocabularies), **self.said}
        write_json(folder / SAID, words)


@contextmanager
def workspace(
    record_dir: Path,
    source: str,
    *,
    origin: Path | str,
    replace: bool = False,
    update: bool = False,
    small: frozenset[str] = frozenset(),
) -> Iterator[Workspace]:
    """A workspace that disappears afterwards, whatever happened.

    A record that was not there before disappears with it.
    """
    is_new = not record_dir.exists()
    if update and (is_new or replace):
        raise PresageError(
            str(record_dir),
            "a record that an update can be read into" if is_new else "one of --update and --replace",
            found="no such folder" if is_new else "both",
            way_out="run presage ingest on the whole source first" if is_new else "leave one of them out",
        )
    record_dir.mkdir(parents=True, exist_ok=True)
    settle(record_dir)
    try:
        with _scratch(record_dir) as scratched:
            yield Workspace(*scratched, record_dir, source, origin, replace=replace, update=update, small=small)
    finally:
        if is_new and not any(record_dir.iterdir()):
            record_dir.rmdir()


@contextmanager
def _scratch(record_dir: Path) -> Iterator[tuple[Backend, Path]]:
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
            yield con, folder
        finally:
            con.disconnect()


def write(
    space: Workspace,
    *,
    events: ir.Table,
    subjects: ir.Table,
    codes: ir.Table,
    ancestors: ir.Table,
    kinds: Kinds,
    kept: Kept,
    report: IngestReport,
    progress: Progress,
) -> IngestReport:
    """Replace the part of the record that comes from this source.

    events: columns of ROWS and, of ORIGINS, `kind` and those that the source has. kinds: by kind of fact (condition,
    drug, ...) the kinds of its events' origins: what the record can tell is declared by them. kept: what an update will
    need.

    Raises PresageError, and leaves the record as it is, where there is nobody to put in the place of those it has.
    """
    _write_shards(space, events, report=report, progress=progress)
    if not report.people:
        raise _nobody(space, report)
    if not space.replace:
        _check_people(space, events)
    report.vocabularies = tuple(each.to_json() for each in loaded())
    kept.write(space, report)
    write_metadata(space, _metadata(space, codes, ancestors=ancestors, used=used_codes(space, events)), report)
    write_tells(space, by_kind(firsts_of(space, events), kinds))
    (space.ready / DELTAS / space.source).mkdir(parents=True)  # updates of what was there before go
    write_table(
        identity.merged(space.record_dir, space.source, identity=subjects), space.ready / identity.FILE, schema=IDENTITY
    )
    write_json(space.ready / "ingest_report.json", reports(space, report))
    (space.ready / "rejects" / space.source).mkdir(parents=True, exist_ok=True)  # those of last time go
    move_in(space.ready, space.record_dir)
    return report


def _check_people(space: Workspace, events: ir.Table) -> None:
    """Raise PresageError where the source lacks more than a tenth of the people that the record has of it: what came
    since the last ingest is a part of the source, and would replace the whole.
    """
    parts = parts_of(space.record_dir, space.source)
    if not parts.base:
        return
    before = with_deltas(parts, space.con).select("subject_id").distinct()
    before = space.con.create_table("people_before", before)
    known = int(space.con.to_pyarrow(before.count()).as_py())
    again = int(space.con.to_pyarrow(before.semi_join(events, "subject_id").count()).as_py())
    if again < FEWEST_AGAIN * known:
        raise PresageError(
            str(space.origin),
            f"at least nine in ten of the {known:,} people whom the record has of this source",
            found=f"{again:,} of them",
            way_out="give the whole source, --update to add what has changed since, "
            "or --replace to put what is there in the place of all of them",
        )


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
    folders = {name: space.ready / name / space.source for name in (DATA, ORIGINS_OF)}
    for folder in folders.values():
        folder.mkdir(parents=True)
    counted = events.aggregate(n=events.count(), people=events.subject_id.nunique()).to_pyarrow().to_pylist()[0]
    report.events, report.people = counted["n"], counted["people"]
    bounds = _bounds(events, math.ceil(report.events / EVENTS_PER_SHARD))
    with progress("writing events", total=report.events) as advance:
        for first in range(0, len(bounds), SHARDS_A_PASS):
            group = bounds[first : first + SHARDS_A_PASS]
            for number, shard in enumerate(_sorted_shards(space, events, group), start=first):
                advance(write_sorted(shard, folders[DATA] / f"{number:04}.parquet", folders[ORIGINS_OF], number=number))
                pa.default_memory_pool().release_unused()  # else a shard's room stays beside the next one's
    if not bounds:
        write_rows(
            events.select(*ROWS.names, *_origins_in(events)), folders[DATA] / "0000.parquet", folders[ORIGINS_OF]
        )


def write_rows(rows: ir.Table, path: Path, origins: Path, *, number: int = 0) -> int:
    """Write rows in the record's order, numbered from `number` on, and their origins to the file of the same name in
    the folder `origins` (or to that file); return how many.
    """
    order = [ibis.asc(name, nulls_first=True) for name in (*ROWS.names, *_origins_in(rows)[:2])]
    return write_sorted(rows.order_by(order).to_pyarrow(), path, origins, number=number)


def write_sorted(rows: pa.Table, path: Path, origins: Path, *, number: int = 0) -> int:
    """The same of rows that stand in order, columns of ROWS and some of ORIGINS."""
    first = number << SHARD_BITS
    numbered = rows.append_column("row", pa.array(np.arange(first, first + rows.num_rows)))
    write_table(numbered.select(STORED.names), path, schema=STORED)
    columns = [numbered[name] if name in numbered.column_names else pa.nulls(rows.num_rows) for name in ORIGINS.names]
    whole = pa.table(dict(zip(ORIGINS.names, columns, strict=True)))
    write_table(whole, origins if origins.suffix else origins / path.name, schema=ORIGINS)
    return int(rows.num_rows)


def _origins_in(events: ir.Table) -> list[str]:
    return [name for name in ORIGIN_COLUMNS if name in events.columns]


def _sorted_shards(space: Workspace, events: ir.Table, bounds: list[tuple[int, int]]) -> Iterator[pa.Table]:
    """The events of each of these ranges of subjects, sorted; every scan of all events gives several shards."""
    own = _origins_in(events)
    among = events.filter(events.subject_id.between(bounds[0][0], bounds[-1][1])).select(*ROWS.names, *own)
    space.con.create_view("shards", among, overwrite=True)
    order = ", ".join(f'"{name}" ASC NULLS FIRST' for name in (*ROWS.names, *own[:2]))
    batches = space.con.con.sql(f"FROM shards ORDER BY {order}").to_arrow_reader(_BATCH)
    rest: list[pa.RecordBatch] = []
    for _, last in bounds:
        shard, rest = rest, []
        for batch in itertools.chain(shard and [shard.pop()], batches):
            inside = int(np.searchsorted(batch["subject_id"].to_numpy(), last, side="right"))
            shard.append(batch.slice(0, inside))
            if inside < batch.num_rows:
                rest = [batch.slice(inside)]
                break
        yield pa.Table.from_batches(shard)


def _bounds(events: ir.Table, shards: int) -> list[tuple[int, int]]:
    """Ranges of subject ids, first and last included, of about as many people each."""
    if not shards:
        return []
    people = events.select("subject_id").distinct()
    people = people.mutate(shard=ibis.ntile(shards).over(order_by=people.subject_id))
    ranges = people.group_by("shard").agg(first=people.subject_id.min(), last=people.subject_id.max())
    return [(row["first"], row["last"]) for row in ranges.order_by("shard").to_pyarrow().to_pylist()]


def used_codes(space: Workspace, events: ir.Table) -> list[str]:
    """Every code and other coding of these events."""
    both = events.select("code").union(events.filter(events.codings.notnull()).select(code=events.codings.unnest()))
    return [code for code in space.con.to_pyarrow(both.distinct())["code"].to_pylist() if code]


def _metadata(space: Workspace, codes: ir.Table, *, ancestors: ir.Table, used: list[str]) -> Metadata:
    """What the source itself and the loaded vocabularies say of the codes in use, each code or pair once."""
    mine = space.con.to_pyarrow(codes.select(CODES.names)).cast(CODES)
    own = space.con.to_pyarrow(ancestors.select(ANCESTORS.names)).cast(ANCESTORS)
    return Metadata(only(mine, used), together([only(own, used), ancestors_of_codes(used)], ANCESTORS), mine, own)


def only(table: pa.Table, codes: list[str]) -> pa.Table:
    """The rows of these codes."""
    return table.filter(pc.is_in(table["code"], pa.array(codes, pa.string())))


def write_metadata(space: Workspace, metadata: Metadata, report: IngestReport) -> None:
    """The codes of a source and their ancestors, and those of all sources of the record together."""
    folder = space.ready / "metadata"
    folder.mkdir()
    report.codes = metadata.codes.num_rows
    for name, table, schema in (("codes", metadata.codes, CODES), ("ancestors", metadata.ancestors, ANCESTORS)):
        own = folder / space.source / f"{name}.parquet"
        write_table(table, own, schema=schema)
        others = [
            pq.read_table(path, schema=schema)
            for path in sorted((space.record_dir / "metadata").glob(f"*/{name}.parquet"))
            if path.parent.name != space.source
        ]
        write_table(together([table, *others], schema), folder / f"{name}.parquet", schema=schema)
    kept = space.ready / KEPT / space.source
    write_table(metadata.known_codes, kept / "codes.parquet", schema=CODES)
    write_table(metadata.known_ancestors, kept / "ancestors.parquet", schema=ANCESTORS)
    write_json(
        folder / "dataset.json",
        {
            "dataset_name": "presage record",
            "etl_name": "presage",
            "etl_version": version("presage"),
            "meds_version": MEDS_VERSION,
            "code_modifier_columns": ["unit"],
            "other_extension_columns": ["available_time", "codings", "row"],
        },
    )


def by_kind(firsts: Firsts, kinds: Kinds) -> Firsts:
    """By kind of fact, of the first moments by kind of origin."""
    told: Firsts = {}
    for kind, of in kinds.items():
        own = told.setdefault(kind, {})
        for each in firsts if of is None else of:
            for name, first in firsts.get(each, {}).items():
                own[name] = min(first, own.get(name, first))
    return told


def write_tells(space: Workspace, firsts: Firsts) -> None:
    """What this source can tell, beside what the record's other sources can, and of all of them together."""
    releases = tuple((each.name, each.release, each.digest) for each in loaded())
    own = Tells(firsts, _hierarchies(space), releases=releases)
    known = space.record_dir / TELLS_FILE
    sources = json.loads(known.read_text(encoding="utf-8")).get("sources", {}) if known.exists() else {}
    sources[space.source] = own.to_json()
    whole = Tells()
    for name, body in sorted(sources.items()):
        if body.get("reading") == READING:  # a source of earlier rules tells nothing until it is ingested again
            whole = whole.merged(Tells.from_json(body, where=name, way_out="ingest it again"))
    write_json(space.ready / TELLS_FILE, {**whole.to_json(), "sources": dict(sorted(sources.items()))})


def firsts_of(space: Workspace, events: ir.Table) -> Firsts:
    """By kind of origin and vocabulary, the first moment at which a fact in it was known, of these events."""
    known = ibis.coalesce(events.available_time, events.time)
    own = events.select("kind", code=events.code, known=known)
    others = events.filter(events.codings.notnull()).select("kind", code=events.codings.unnest(), known=known)
    both = own.union(others)
    # By code first: there are as many events as rows, and few codes to split.
    codes = both.filter(both.known.notnull()).group_by("kind", "code").agg(known=both.known.min()).view()
    split = codes.select("kind", vocabulary=codes.code.split("//")[0], known=codes.known)
    first = split.group_by("kind", "vocabulary").agg(first=split.known.min()).order_by("kind", "vocabulary")
    told: Firsts = {}
    for row in space.con.to_pyarrow(first).to_pylist():
        told.setdefault(row["kind"], {})[row["vocabulary"]] = row["first"].isoformat()
    return told


def _hierarchies(space: Workspace) -> frozenset[str]:
    """Vocabularies whose concepts the ancestors of this source's codes are of."""
    table = pq.read_table(space.ready / "metadata" / space.source / "ancestors.parquet", columns=["ancestor"])
    return frozenset(ancestor.partition("//")[0] for ancestor in table["ancestor"].to_pylist())


def together(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    """Rows of all, one for each code (codes) or each pair (ancestors), the first table's where they differ."""
    seen: set[tuple[str, ...]] = set()
    keys = ["code"] if schema is CODES else schema.names
    kept = []
    for table in tables:
        rows = list(zip(*(table[key].to_pylist() for key in keys), strict=True))
        kept.append(table.filter(pa.array([row not in seen for row in rows], pa.bool_())))
        seen.update(rows)
    return pa.concat_tables(kept).sort_by([(key, "ascending") for key in keys])


def reports(space: Workspace, report: IngestReport) -> dict[str, object]:
    """The reports of all sources of the record, this one's new."""
    path = space.record_dir / "ingest_report.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    return dict(sorted({**known, space.source: report.as_json()}.items()))


def write_table(table: pa.Table, path: Path, *, schema: pa.Schema) -> None:
    """Write a table with these columns and types; numbers of rows are packed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbered = "row" in schema.names
    pq.write_table(
        table.cast(schema),
        path,
        compression="zstd",
        use_dictionary=[name for name in _DICTIONARIES if name in schema.names] if numbered else True,
        column_encoding={"row": "DELTA_BINARY_PACKED"} if numbered else None,
    )


_DICTIONARIES = ("subject_id", "time", "code", "numeric_value", "text_value", "available_time", "unit", "kind",
                 "person", "visit", "own", "drug", "updated", "version", "pending")  # fmt: skip


def write_json(path: Path, content: dict[str, object]) -> None:
    """Write JSON to read."""
    path.write_text(json.dumps(content, indent=2) + "\n")
