"""Accounting for every row: counted by reason in the report, and kept as text where it was set aside or mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import reduce

import ibis
import ibis.expr.types as ir

from features.sources.report import IngestReport, TableReport
from features.sources.store import Workspace

NOTES = {
    "note_after_death": "after death (kept)",
    "note_concept": "concept does not resolve (kept under its id)",
    "note_standard": "standard concept is 0 or not in the concept table",
    "note_visit": "its visit is not among the visits",
    "note_open": "visit has no end",
}


def account(
    space: Workspace,
    report: IngestReport,
    name: str,
    staged: ir.Table,
    rows: ir.Table,
    *,
    repeated: ir.Table | None = None,
    broken: ir.Table | None = None,
) -> None:
    """Count rows by reason and note; keep those set aside or mended.

    staged: `reason`, `mended` (null: nothing to say) and notes of every row. rows: the same with `source_row`, read
    again only where something has to be kept. repeated: rows of `rows` that repeat another. broken: lines of the
    file that are no rows (source_row, reason).
    """
    table = report.table(name)
    table.rows += int(staged.count().to_pyarrow().as_py())
    count_by(table.rejected, staged, "reason")
    good = staged.filter(staged.reason.isnull())
    count_by(table.mended, good, "mended")
    notes = [column for column in NOTES if column in staged.columns]
    if notes:
        sums = good.aggregate(**{column: good[column].sum() for column in notes}).to_pyarrow().to_pylist()[0]
        table.noted.update({NOTES[column]: int(n) for column, n in sums.items() if n})
    aside = [*_aside(table, rows)]
    if repeated is not None:
        aside.append(repeated.select("source_row", "reason", kept=ibis.literal(False)))
    if broken is not None:
        table.rows += int(broken.count().to_pyarrow().as_py())
        count_by(table.rejected, broken, "reason")
        aside.append(broken.select("source_row", "reason", kept=ibis.literal(False)))
    if aside:
        space.set_aside(name, reduce(lambda left, right: left.union(right), aside))


def count_by(counter: Counter[str], rows: ir.Table, column: str) -> None:
    """Add the number of rows by the values of a column, nulls left out."""
    found = rows.filter(rows[column].notnull()).group_by(column).agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
    counter.update({row[column]: row["n"] for row in found})


def _aside(table: TableReport, rows: ir.Table) -> Iterator[ir.Table]:
    if table.rejected:
        out = rows.filter(rows.reason.notnull())
        yield out.select("source_row", "reason", kept=ibis.literal(False))
    if table.mended:
        out = rows.filter(rows.reason.isnull(), rows.mended.notnull())
        yield out.select("source_row", reason=out.mended, kept=ibis.literal(True))
