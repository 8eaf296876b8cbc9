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

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.progress import Progress
from features.record import (
    ANCESTORS,
    CODES,
    IDENTITY,
    READING,
    ROWS,
    TELLS_FILE,
    Tells,
    identity,
    move_in,
    scratch,
    settle,
)
from features.sources.report import IngestReport
from features.vocabulary import ancestors_of_codes, loaded

EVENTS_PER_SHARD = 1_000_000
SHARDS_A_PASS = 4  # sorted together: the fewer passes over all events the faster, the more of them spill to disk
_BATCH = 100_000
MEMORY_LIMIT = "700MB"  # beside it stand Python and a shard on its way to the disk: 1.2 GB in all
FEWEST_AGAIN = 0.9  # share of the people known of a source that the whole source holds again
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

    source: the kind of source (`omop`). origin: the file, folder or
    server it was read from, as errors name it.
    """

    con: Backend
    folder: Path
    record_dir: Path
    source: str
    origin: Path | str
    rejects: list[ir.Table] = field(default_factory=list)
    replace: bool = False

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
def workspace(record_dir: Path, source: str, *, origin: Path | str, replace: bool = False) -> Iterator[Workspace]:
    """A workspace that disappears afterwards, whatever happened.

    A record that was not there before disappears with it.
    """
    is_new = not record_dir.exists()
    record_dir.mkdir(parents=True, exist_ok=True)
    settle(record_dir)
    try:
        with _scratch(record_dir, source, origin=origin, replace=replace) as space:
            yield space
    finally:
        if is_new and not any(record_dir.iterdir()):
            record_dir.rmdir()


@contextmanager
def _scratch(record_dir: Path, source: str, *, origin: Path | str, replace: bool) -> Iterator[Workspace]:
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
            yield Workspace(con, folder, record_dir, source, origin, replace=replace)
        finally:
            con.disconnect()


def write(
    space: Workspace,
    *,
    events: ir.Table,
    subjects: ir.Table,
    codes: ir.Table,
    ancestors: ir.Table,
    kinds: Mapping[str, ir.Table],
    report: IngestReport,
    progress: Progress,
) -> IngestReport:
    """Replace the part of the record that comes from this source.

    kinds: by kind of fact (condition, drug, ...) the events of it: what the record can tell is declared by them.

    Raises PresageError, and leaves the record as it is, where there is nobody to put in the place of those it has.
    """
    _write_shards(space, events, report=report, progress=progress)
    if not report.people:
        raise _nobody(space, report)
    if not space.replace:
        _check_people(space, events)
    _write_metadata(space, codes, ancestors=ancestors, used=_used(space, events), report=report)
    report.vocabularies = tuple(each.to_json() for each in loaded())
    _write_tells(space, kinds)
    _write_table(
        identity.merged(space.record_dir, space.source, identity=subjects), space.ready / identity.FILE, schema=IDENTITY
    )
    _write_json(space.ready / "ingest_report.json", _reports(space, report))
    (space.ready / "rejects" / space.source).mkdir(parents=True, exist_ok=True)  # those of last time go
    move_in(space.ready, space.record_dir)
    return report


def _check_people(space: Workspace, events: ir.Table) -> None:
    """Raise PresageError where the source lacks more than a tenth of the people that the record has of it: what came
    since the last ingest is a part of the source, and would replace the whole.
    """
    parts = sorted((space.record_dir / "data" / space.source).rglob("*.parquet"))
    if not parts:
        return
    before = space.con.read_parquet([str(part) for part in parts]).select("subject_id").distinct()
    before = space.con.create_table("people_before", before)
    known = int(space.con.to_pyarrow(before.count()).as_py())
    again = int(space.con.to_pyarrow(before.semi_join(events, "subject_id").count()).as_py())
    if again < FEWEST_AGAIN * known:
        raise PresageError(
            str(space.origin),
            f"at least nine in ten of the {known:,} people whom the record has of this source",
            found=f"{again:,} of them",
            way_out="give the whole source, or --replace to put what is there in the place of all of them",
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
    folder = space.ready / "data" / space.source
    folder.mkdir(parents=True)
    counted = events.aggregate(n=events.count(), people=events.subject_id.nunique()).to_pyarrow().to_pylist()[0]
    report.events, report.people = counted["n"], counted["people"]
    bounds = _bounds(events, math.ceil(report.events / EVENTS_PER_SHARD))
    with progress("writing events", total=report.events) as advance:
        for first in range(0, len(bounds), SHARDS_A_PASS):
            group = bounds[first : first + SHARDS_A_PASS]
            for number, shard in enumerate(_sorted_shards(space, events, group), start=first):
                _write_table(shard, folder / f"{number:04}.parquet", schema=ROWS)
                advance(shard.num_rows)
    if not bounds:
        _write_table(ROWS.empty_table(), folder / "0000.parquet", schema=ROWS)


def _sorted_shards(space: Workspace, events: ir.Table, bounds: list[tuple[int, int]]) -> Iterator[pa.Table]:
    """The events of each of these ranges of subjects, sorted; every scan of all events gives several shards."""
    among = events.filter(events.subject_id.between(bounds[0][0], bounds[-1][1])).select(ROWS.names)
    space.con.create_view("shards", among, overwrite=True)
    order = ", ".join(f'"{name}" ASC NULLS FIRST' for name in ROWS.names)
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


def _ancestors(space: Workspace, own: ir.Table, *, used: list[str]) -> pa.Table:
    """What the source itself and the loaded vocabularies put above the codes and codings in use, each pair once."""
    mine = space.con.to_pyarrow(own.select(ANCESTORS.names)).cast(ANCESTORS)
    return _together([mine, ancestors_of_codes(used)], ANCESTORS)


def _used(space: Workspace, events: ir.Table) -> list[str]:
    """Every code and other coding of these events."""
    both = events.select("code").union(events.filter(events.codings.notnull()).select(code=events.codings.unnest()))
    return [code for code in space.con.to_pyarrow(both.distinct())["code"].to_pylist() if code]


def _write_metadata(
    space: Workspace, codes: ir.Table, *, ancestors: ir.Table, used: list[str], report: IngestReport
) -> None:
    folder = space.ready / "metadata"
    folder.mkdir()
    mine = space.con.to_pyarrow(codes.select(CODES.names)).cast(CODES)
    report.codes = mine.num_rows
    for name, table, schema in (
        ("codes", mine, CODES),
        ("ancestors", _ancestors(space, ancestors, used=used), ANCESTORS),
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
            "other_extension_columns": ["available_time", "codings"],
        },
    )


def _write_tells(space: Workspace, kinds: Mapping[str, ir.Table]) -> None:
    """What this source can tell, beside what the record's other sources can, and of all of them together."""
    own = Tells(
        {kind: _vocabularies(space, events) for kind, events in kinds.items()},
        _hierarchies(space),
        releases=tuple((each.name, each.release, each.digest) for each in loaded()),
    )
    known = space.record_dir / TELLS_FILE
    sources = json.loads(known.read_text(encoding="utf-8")).get("sources", {}) if known.exists() else {}
    sources[space.source] = own.to_json()
    whole = Tells()
    for name, body in sorted(sources.items()):
        if body.get("reading") == READING:  # a source of earlier rules tells nothing until it is ingested again
            whole = whole.merged(Tells.from_json(body, where=name, way_out="ingest it again"))
    _write_json(space.ready / TELLS_FILE, {**whole.to_json(), "sources": dict(sorted(sources.items()))})


def _vocabularies(space: Workspace, events: ir.Table) -> dict[str, str]:
    """Vocabulary -> the first moment at which a fact in it was known, of these events."""
    known = ibis.coalesce(events.available_time, events.time)
    own = events.select(code=events.code, known=known)
    others = events.filter(events.codings.notnull()).select(code=events.codings.unnest(), known=known)
    both = own.union(others)
    # By code first: there are as many events as rows, and few codes to split.
    codes = both.filter(both.known.notnull()).group_by("code").agg(known=both.known.min()).view()
    vocabularies = codes.select(vocabulary=codes.code.split("//")[0], known=codes.known)
    first = vocabularies.group_by("vocabulary").agg(first=vocabularies.known.min()).order_by("vocabulary")
    rows = space.con.to_pyarrow(first).to_pylist()
    return {row["vocabulary"]: row["first"].isoformat() for row in rows}


def _hierarchies(space: Workspace) -> frozenset[str]:
    """Vocabularies whose concepts the ancestors of this source's codes are of."""
    table = pq.read_table(space.ready / "metadata" / space.source / "ancestors.parquet", columns=["ancestor"])
    return frozenset(ancestor.partition("//")[0] for ancestor in table["ancestor"].to_pylist())


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
