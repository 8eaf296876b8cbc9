"""A MEDS data set made elsewhere into the record; `available_time` is derived where it has none."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import PresageError
from features.progress import Progress, silent
from features.record import ANCESTORS, CODES, identity
from features.sources.accounts import account
from features.sources.broken_files import check_parquet, damage_named, named
from features.sources.checks import (
    AFTER_DEATH_DAYS,
    BAD_DATE,
    BAD_NUMBER,
    BEFORE_BIRTH,
    EVENT_COLUMNS,
    LONG_AFTER_DEATH,
    TIMESTAMP,
    in_calendar,
    moment,
    row_as_text,
)
from features.sources.report import IngestReport
from features.sources.store import Workspace, workspace, write

SOURCE = "meds"
_REQUIRED = ("subject_id", "time", "code")
_WAY_OUT = "give the folder of a MEDS data set: data/**/*.parquet, metadata/codes.parquet"


def ingest(source: Path, record_dir: Path, *, progress: Progress = silent) -> IngestReport:
    """Read a MEDS data set into the record, in place of what the record had from MEDS.

    Subjects keep their numbers where they are free. Without `available_time` a fact with a clock time was known at that
    time, a fact without one at the day's end. Raises PresageError where there are no data, nobody can be read, or a
    required column is missing.
    """
    shards = sorted(path for path in (source / "data").rglob("*.parquet") if path.is_file())
    if not shards:
        raise PresageError(
            str(source), "the folder of a MEDS data set", found="no data/*.parquet in it", way_out=_WAY_OUT
        )
    check_parquet(shards)
    with workspace(record_dir, SOURCE, origin=source) as space, damage_named(lambda: shards):
        report = IngestReport(SOURCE)
        with progress("reading MEDS events", total=None):
            raw = space.con.read_parquet(str(source / "data" / "**" / "*.parquet"), table_name="raw_data")
            missing = [name for name in _REQUIRED if name not in raw.columns]
            if missing:
                raise PresageError(
                    f"{source}/data",
                    f"the columns {', '.join(_REQUIRED)}",
                    found=f"no column '{missing[0]}'",
                    way_out=_WAY_OUT,
                )
            rows = _checked(raw)
            staged = space.con.create_table("checked", rows.drop("source_row"))
            account(space, report, name="data", staged=staged, rows=rows)
            events, subjects = _with_subjects(space, staged.filter(staged.reason.isnull()))
            report.table("data").events = int(events.count().to_pyarrow().as_py())
        codes, ancestors = _metadata(source, events)
        return write(
            space,
            events=events,
            subjects=subjects,
            codes=ibis.memtable(codes),
            ancestors=ibis.memtable(ancestors),
            report=report,
            progress=progress,
        )


def _checked(raw: ir.Table) -> ir.Table:
    """Every row with `reason` and `mended`."""

    def column(name: str, kind: str) -> ir.Value:
        return raw[name].cast(kind) if name in raw.columns else ibis.null(kind)

    number = column("numeric_value", "float64")
    finite = ~(number.isnan() | (number.abs() > 3.4e38))
    rows = raw.select(
        source_row=row_as_text(raw),
        source_subject=raw.subject_id.cast("int64"),
        time=in_calendar(raw.time.cast(TIMESTAMP)),
        dated=raw.time.notnull(),
        code=raw.code.cast("string").nullif(""),
        numeric_value=ibis.ifelse(finite, number, ibis.null("float64")).cast("float32"),
        bad_number=number.notnull() & ~finite,
        text_value=column("text_value", "string"),
        given=in_calendar(column("available_time", TIMESTAMP)),
        has_given=column("available_time", TIMESTAMP).notnull(),
        unit=column("unit", "string"),
    )
    when = moment(rows.time.cast("date"), rows.time)
    derived = ibis.ifelse(rows.code == "MEDS_BIRTH", rows.time, when.known)
    rows = rows.mutate(available_time=rows.given if "available_time" in raw.columns else derived).drop("given")
    lives = rows.filter(rows.code.isin(["MEDS_BIRTH", "MEDS_DEATH"]))
    lives = lives.group_by("source_subject").agg(
        birth=lives.time.min(where=lives.code == "MEDS_BIRTH").cast("date"),
        death=lives.time.min(where=lives.code == "MEDS_DEATH").cast("date"),
    )
    rows = rows.left_join(lives, "source_subject").drop("source_subject_right")
    day = rows.time.cast("date")
    return rows.mutate(
        reason=ibis.cases(
            (rows.source_subject.isnull(), "no subject_id"),
            (rows.code.isnull(), "no code"),
            (rows.dated & rows.time.isnull(), BAD_DATE),
            (rows.has_given & rows.available_time.isnull(), f"available_time: {BAD_DATE}"),
            (day < rows.birth, BEFORE_BIRTH),
            (day > rows.death + ibis.interval(days=AFTER_DEATH_DAYS), LONG_AFTER_DEATH),
            else_=ibis.null("string"),
        ),
        mended=ibis.cases((rows.bad_number, BAD_NUMBER), else_=ibis.null("string")),
        note_after_death=(day > rows.death).fill_null(False),
    )


def _with_subjects(space: Workspace, good: ir.Table) -> tuple[ir.Table, ir.Table]:
    people = good.select("source_subject").distinct()
    people = people.select(source_id=people.source_subject.cast("string"), wish=people.source_subject)
    subjects = identity.assign(space.con, space.record_dir, source=SOURCE, people=people)
    numbers = subjects.select("subject_id", source_subject=subjects.source_id.cast("int64"))
    events = good.join(numbers, "source_subject").select(EVENT_COLUMNS)
    return space.con.create_table("events", events), subjects


def _metadata(source: Path, events: ir.Table) -> tuple[pa.Table, pa.Table]:
    """Codes and ancestors of the events' codes; ancestors from the data set's parents where it has no such table."""
    used: list[str] = sorted(events.select("code").distinct().to_pyarrow()["code"].to_pylist())
    known = _read(source / "metadata" / "codes.parquet", CODES)
    by_code = {row["code"]: row for row in known.to_pylist()}
    codes = pa.Table.from_pylist([by_code.get(code, {"code": code}) for code in used], _nullable(CODES))
    path = source / "metadata" / "ancestors.parquet"
    if path.exists():
        return codes, _read(path, ANCESTORS)
    parents = {code: row["parent_codes"] or [] for code, row in by_code.items()}
    pairs = sorted((code, ancestor) for code in used for ancestor in _above(code, parents))
    return codes, pa.Table.from_pylist([dict(zip(ANCESTORS.names, pair, strict=True)) for pair in pairs], ANCESTORS)


def _above(code: str, parents: dict[str, list[str]]) -> set[str]:
    """All ancestors by parent links; a cycle ends where it began."""
    seen: set[str] = set()
    waiting = list(parents.get(code, []))
    while waiting:
        parent = waiting.pop()
        if parent not in seen:
            seen.add(parent)
            waiting.extend(parents.get(parent, []))
    return seen - {code}


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    if not path.exists():
        return _nullable(schema).empty_table()
    with named(path.name, "Parquet"):
        table = pq.read_table(path)
    columns: dict[str, pa.Array] = defaultdict(lambda: pa.nulls(table.num_rows))
    columns.update({name: table[name] for name in table.column_names})
    return pa.table({field.name: columns[field.name].cast(field.type) for field in schema}).cast(_nullable(schema))


def _nullable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in schema])
