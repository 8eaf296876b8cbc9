"""An update of a source: what is new is merged with what the record keeps, and what differs becomes a sorted delta.

The facts that are new, those set aside before and those of the record that what is new can touch go through one
judgement: who is in, and when it was known. Only what then differs from what stands in the record is written.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import PresageError
from features.record import (
    ANCESTORS,
    CODES,
    DELTAS,
    IDENTITY,
    KEPT,
    ORIGIN_COLUMNS,
    ORIGINS_OF,
    READING,
    ROWS,
    STORED,
    TELLS_FILE,
    VOID,
    identity,
    move_in,
    parts_of,
)
from features.sources.compact import compact, is_due
from features.sources.judging import FACT, WHOLE, Judging, Ways, fact_types
from features.sources.report import IngestReport
from features.sources.store import (
    SAID,
    UPDATE_REJECTS,
    Firsts,
    Kept,
    Kinds,
    Metadata,
    Workspace,
    by_kind,
    firsts_of,
    only,
    reports,
    together,
    used_codes,
    write_json,
    write_metadata,
    write_rows,
    write_table,
    write_tells,
)
from features.vocabulary import ancestors_of_codes, loaded

DELTA_BIT = 1 << 20  # numbers of deltas' files begin here, those of shards end before
_EVENT = (*ROWS.names, *ORIGIN_COLUMNS)


class Update(Judging):
    """A source's part of a record, opened to be updated."""

    def __init__(self, space: Workspace, ways: Ways) -> None:
        super().__init__(space.con, space.record_dir / KEPT / space.source, ways)
        self.space = space
        self.parts = parts_of(space.record_dir, space.source)
        self.said = self._said()
        self._views()

    def _said(self) -> dict[str, Any]:
        """Raises PresageError where an update could not equal one ingest of the whole."""
        where = str(self.space.record_dir)
        source = self.space.source
        if not self.parts.base:
            raise PresageError(
                where, f"a record of the kind of source '{source}'", found="nothing of that kind in it", way_out=WHOLE
            )
        path = self.folder / SAID
        if not path.is_file():
            raise PresageError(
                where, "a record that knows its source rows", found="one of an earlier version", way_out=WHOLE
            )
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if said["reading"] != READING:
            raise PresageError(
                where,
                f"what was read by rules {READING}",
                found=f"what was read by rules {said['reading']}",
                way_out=WHOLE,
            )
        known, now = ({(one["name"], one["digest"]) for one in ones} for ones in (said["vocabularies"], _loaded()))
        if known != now:
            names = ", ".join(sorted({name for name, _ in known ^ now}))
            raise PresageError(
                where, "the vocabularies that the record was read by", found=f"others of {names}", way_out=WHOLE
            )
        return said

    def _views(self) -> None:
        deltas = self.space.record_dir / DELTAS / self.space.source
        origins = self.space.record_dir / ORIGINS_OF / self.space.source
        rows = [*self.parts.base, *self.parts.deltas]
        known = [*sorted(origins.glob("*.parquet")), *sorted(deltas.glob("origins-*.parquet"))]
        self._view("stored_rows", rows)
        self._view("stored_origins", known)
        if self.parts.void is None:
            self._run("CREATE TABLE void (row BIGINT)")
        else:
            self._view("void", [self.parts.void])

    def write(
        self,
        *,
        whole: ir.Table,
        subjects: ir.Table,
        codes: ir.Table,
        ancestors: ir.Table,
        kinds: Kinds,
        kept: Kept,
        report: IngestReport,
    ) -> IngestReport:
        """Write what differs as a delta. whole: the events of whole kinds. Others as `store.write` has them."""
        space = self.space
        self.con.create_table("whole", _as_events(whole))
        self._differences()
        number = DELTA_BIT + 1 + max((int(path.stem.split("-")[1]) for path in self.parts.deltas), default=0)
        self._write_delta(number)
        metadata = self._metadata(codes, ancestors)
        aside = self.con.table("judged")
        aside = aside.filter(aside.reason.notnull()).select(FACT)
        report.vocabularies = tuple(self.said["vocabularies"])
        Kept({**kept.tables, "aside": aside}, kept.said).write(space, report)
        write_metadata(space, metadata, report)
        write_tells(space, self._firsts(kinds))
        self._count(report)
        merged = identity.merged(space.record_dir, space.source, identity=subjects)
        write_table(merged, space.ready / identity.FILE, schema=IDENTITY)
        self._keep_rejects()
        parts = parts_of(space.ready, space.source)
        report.pending = parts.pending
        write_json(space.ready / "ingest_report.json", reports(space, report))
        move_in(space.ready, space.record_dir)
        return report

    def _differences(self) -> None:
        """`gone`: rows of the record that are void; `fresh`: those that come in their place, or anew."""
        columns = ", ".join(_EVENT)
        alike = f"hash({', '.join(_EVENT)})"
        nth = "row_number() OVER (PARTITION BY alike) AS nth"
        old = f"FROM (SELECT row, {columns} FROM touched UNION ALL SELECT row, {columns} FROM waiting)"
        new = f"FROM (SELECT {columns} FROM judged WHERE reason IS NULL UNION ALL SELECT {columns} FROM whole)"
        for name, events in (("were", old), ("are", new)):
            self._run(f"CREATE TABLE {name} AS SELECT *, {nth} FROM (SELECT *, {alike} AS alike {events})")
        self._run("CREATE TABLE gone AS FROM were ANTI JOIN are USING (alike, nth)")
        self._run("CREATE TABLE fresh AS FROM are ANTI JOIN were USING (alike, nth)")

    def _write_delta(self, number: int) -> None:
        folder = self.space.ready / DELTAS / self.space.source
        folder.mkdir(parents=True)
        known = self.space.record_dir / DELTAS / self.space.source
        for path in sorted(known.glob("*-*.parquet")):
            _link(path, folder / path.name)
        if self._n("fresh"):
            name = f"{number - DELTA_BIT:06}.parquet"
            fresh = self.con.table("fresh").select(_EVENT)
            write_rows(fresh, folder / f"rows-{name}", folder / f"origins-{name}", number=number)
        void = self.con.table("void").select("row").union(self.con.table("gone").select("row"))
        void = void.order_by("row").to_pyarrow()
        if void.num_rows:
            write_table(void, folder / VOID, schema=pa.schema([STORED.field("row")]))

    def _metadata(self, codes: ir.Table, ancestors: ir.Table) -> Metadata:
        """Codes that are in use now: those of new rows come, those of which no row is left go."""
        space = self.space
        own = space.record_dir / "metadata" / space.source
        before = {name: pq.read_table(own / f"{name}.parquet") for name in ("codes", "ancestors")}
        known = {name: pq.read_table(self.folder / f"{name}.parquet") for name in ("codes", "ancestors")}
        mine = space.con.to_pyarrow(codes.select(CODES.names)).cast(CODES)
        above = space.con.to_pyarrow(ancestors.select(ANCESTORS.names)).cast(ANCESTORS)
        mine, above = together([known["codes"], mine], CODES), together([known["ancestors"], above], ANCESTORS)
        fresh, gone = (set(used_codes(space, space.con.table(name))) for name in ("fresh", "gone"))
        were = set(before["codes"]["code"].to_pylist())
        used = sorted((were | fresh) - self._dead(gone - fresh))
        new = sorted(set(used) - were)
        whole = [only(before["ancestors"], used), only(above, new), ancestors_of_codes(new)]
        return Metadata(only(mine, used), together(whole, ANCESTORS), mine, above)

    def _dead(self, codes: set[str]) -> set[str]:
        """Those of these codes that no row of the record has any more."""
        if not codes:
            return set()
        self.con.create_table("asked", pa.table({"code": pa.array(sorted(codes), pa.string())}))
        alive = self.con.raw_sql(
            f"SELECT DISTINCT code FROM ({self._alive('r.code')}) WHERE code IN (SELECT code FROM asked) UNION SELECT"
            f" DISTINCT code FROM (SELECT unnest(codings) AS code FROM ({self._alive('r.codings')} AND r.codings IS NOT"
            " NULL)) WHERE code IN (SELECT code FROM asked)"
        ).fetchall()
        return codes - {code for (code,) in alive}

    def _alive(self, columns: str) -> str:
        """SQL of the record's rows that stay."""
        gone = "SELECT row FROM void UNION ALL SELECT row FROM gone"
        return f"SELECT {columns} FROM stored_rows r WHERE r.row NOT IN ({gone})"

    def _firsts(self, kinds: Kinds) -> Firsts:
        """Since when vocabularies are in use: looked up anew only where the first fact in one has gone."""
        path = self.space.record_dir / TELLS_FILE
        told = json.loads(path.read_text(encoding="utf-8"))["sources"][self.space.source]["kinds"]
        fresh, gone = (by_kind(firsts_of(self.space, self.con.table(name)), kinds) for name in ("fresh", "gone"))
        lost = {
            (kind, name)
            for kind, vocabularies in gone.items()
            for name, first in vocabularies.items()
            if first <= told.get(kind, {}).get(name, first)
        }
        left = by_kind(self._left(), kinds) if lost else {}
        firsts: Firsts = {}
        for kind in kinds:
            known = {name: first for name, first in told.get(kind, {}).items() if (kind, name) not in lost}
            again = {name: first for name, first in left.get(kind, {}).items() if (kind, name) in lost}
            own = firsts.setdefault(kind, {})
            for each in (known, again, fresh.get(kind, {})):
                for name, first in each.items():
                    own[name] = min(first, own.get(name, first))
        return firsts

    def _left(self) -> Firsts:
        """The same of all rows of the record that stay."""
        self._run(
            "CREATE VIEW left_over AS SELECT r.code, r.codings, r.time, r.available_time, o.kind FROM stored_origins o"
            " JOIN stored_rows r ON r.row = o.row"
            " WHERE r.row NOT IN (SELECT row FROM void UNION ALL SELECT row FROM gone)"
        )
        return firsts_of(self.space, self.con.table("left_over"))

    def _count(self, report: IngestReport) -> None:
        """People and events of the record as it now stands, and what the update did."""
        people = f"{self._alive('r.subject_id')} UNION ALL SELECT subject_id FROM fresh"
        total = f"SELECT count(*), count(DISTINCT subject_id) FROM ({people})"
        ((report.events, report.people),) = self.con.raw_sql(total).fetchall()
        report.update = self._done()

    def _done(self) -> dict[str, int]:
        """What became of the rows of the source, and of those of the record that they touched."""
        keys = "SELECT DISTINCT kind, key FROM facts_new WHERE key IS NOT NULL" if self.keyed else None
        written = {"rows written": self._n("fresh"), "rows void": self._n("gone")}
        if keys is None:
            return written
        known = "SELECT kind, key FROM touched UNION SELECT kind, key FROM aside_known"
        changed = "SELECT kind, key FROM fresh UNION SELECT kind, key FROM gone"
        deleted = f"SELECT DISTINCT kind, key FROM touched t WHERE EXISTS ({self._is_replaced('t')})"
        return {
            "new": self._n(f"({keys} EXCEPT ({known}))"),
            "replaced": self._n(f"({keys} INTERSECT ({known}) INTERSECT ({changed}))"),
            "unchanged": self._n(f"(({keys} INTERSECT ({known})) EXCEPT ({changed}))"),
            "deleted or not to be used any more": self._n(f"({deleted} EXCEPT ({keys}))"),
            "kept out by another row": self._n("judged WHERE reason IS NOT NULL"),
            **written,
        }

    def _keep_rejects(self) -> None:
        """What was set aside before stays, beside what this update sets aside."""
        before = self.space.record_dir / "rejects" / self.space.source
        after = self.space.ready / "rejects" / self.space.source
        after.mkdir(parents=True, exist_ok=True)
        for path in sorted(before.rglob("*.parquet")):
            place = after / path.relative_to(before)
            if UPDATE_REJECTS in path.relative_to(before).parts and place.exists():
                tables = [pq.read_table(path), pq.read_table(place)]
                pq.write_table(pa.concat_tables(tables), place, compression="zstd")
            elif not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(path, place)


def finished(report: IngestReport, record_dir: Path) -> IngestReport:
    """After the update is in place: compact the source where more than a tenth of it is pending."""
    if is_due(record_dir, report.source):
        compact(record_dir, sources=[report.source])
        report.pending = 0
    return report


def _loaded() -> list[dict[str, Any]]:
    return [each.to_json() for each in loaded()]


def _as_events(events: ir.Table) -> ir.Table:
    """Columns of ROWS and ORIGINS, null where the source has none of them."""
    types = {"subject_id": "int64", **fact_types()}
    return events.select(
        **{
            name: events[name].cast(types[name]) if name in events.columns else ibis.null(types[name])
            for name in _EVENT
        }
    )


def _link(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:  # a file system without links
        shutil.copyfile(path, place)
