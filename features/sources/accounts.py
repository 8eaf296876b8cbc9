"""Accounting for every row: counted by reason in the report, and kept as text where it was set aside or mended."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import ibis
import ibis.expr.types as ir

from features.sources.drugs import BY_NAME
from features.sources.report import IngestReport, TableReport
from features.sources.store import Workspace

NOTES = {
    "note_after_death": "after death (kept)",
    "note_concept": "concept does not resolve (kept under its id)",
    "note_standard": "standard concept is 0 or not in the concept table",
    "note_by_name": BY_NAME,
    "note_visit": "its visit is not among the visits",
    "note_bound": "number is a bound (its text says <, <=, >= or >)",
    "note_open": "visit has no end",
    "note_sentinel": "born on 1 January 1900 or 1800, which some systems write where nobody knows (kept)",
}


def account(
    space: Workspace,
    report: IngestReport,
    *,
    name: str,
    staged: ir.Table,
    rows: ir.Table,
    repeated: ir.Table | None = None,
    broken: ir.Table | None = None,
) -> None:
    """Count a table's rows by reason and note, and keep those that were set aside or mended.

    staged: `reason`, `mended` (both null where there is nothing to report) and notes of every row. rows: the same with
    `source_row`, read again only where something has to be kept. repeated: those of `rows` that repeat another one.
    broken: lines of the file that are not rows (source_row, reason).
    """
    table = report.table(name)
    notes = [column for column in NOTES if column in staged.columns]
    sums = {column: staged[column].sum() for column in notes}
    counted = staged.group_by("reason", "mended").agg(n_rows=staged.count(), **sums).to_pyarrow().to_pylist()
    for row in counted:
        table.rows += row["n_rows"]
        if row["reason"]:
            table.rejected[row["reason"]] += row["n_rows"]
            continue
        if row["mended"]:
            table.mended[row["mended"]] += row["n_rows"]
        table.noted.update({NOTES[column]: int(row[column]) for column in notes if row[column]})
    aside = [*_aside(table, rows)]
    if repeated is not None:
        aside.append(repeated.select("source_row", "reason", kept=ibis.literal(False)))
    if broken is not None:
        for row in broken.group_by("reason").agg(n_rows=broken.count()).to_pyarrow().to_pylist():
            table.rows += row["n_rows"]
            table.rejected[row["reason"]] += row["n_rows"]
        aside.append(broken.select("source_row", "reason", kept=ibis.literal(False)))
    if aside:
        space.set_aside(name, reduce(lambda left, right: left.union(right), aside))


def _aside(table: TableReport, rows: ir.Table) -> Iterator[ir.Table]:
    if table.rejected:
        out = rows.filter(rows.reason.notnull())
        yield out.select("source_row", "reason", kept=ibis.literal(False))
    if table.mended:
        out = rows.filter(rows.reason.isnull(), rows.mended.notnull())
        yield out.select("source_row", reason=out.mended, kept=ibis.literal(True))
