"""The report of an ingest: rows read, events written, and every row set aside, by table and reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from features.shown import Shown

if TYPE_CHECKING:
    import pandas as pd

_NAMED_AT_MOST = 20  # files of one folder and ending that are named one by one


def in_few_names(files: Iterable[str]) -> tuple[str, ...]:
    """Names of files, those of one folder and ending together where they are many.

    >>> in_few_names(["b/x.pdf", "a.csv"])
    ('a.csv', 'b/x.pdf')
    >>> in_few_names(f"b/{n}.pdf" for n in range(1200))
    ('b/*.pdf (1,200 files)',)
    """
    groups = defaultdict[str, list[str]](list)
    for file in files:
        path = Path(file)
        groups[str(path.parent / f"*{path.suffix}")].append(file)
    told: list[str] = []
    for pattern, names in sorted(groups.items()):
        told += names if len(names) <= _NAMED_AT_MOST else [f"{pattern} ({len(names):,} files)"]
    return tuple(sorted(told))


@dataclass(slots=True)
class TableReport:
    """One table (OMOP) or resource type (FHIR) of the source.

    rejected: rows that are not in the record, by reason; each is kept in `rejects/`.
    mended: rows in the record without a part that could not be right, by reason; each is kept in `rejects/`, too.
    noted: rows in the record as they are that somebody should know of, by reason; only counted.
    """

    rows: int = 0
    events: int = 0
    status: str = "read"
    rejected: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The report of the table as JSON's types, reasons in the order of their names."""
        return {
            "status": self.status,
            "rows": self.rows,
            "events": self.events,
            "rejected": dict(sorted(self.rejected.items())),
            "mended": dict(sorted(self.mended.items())),
            "noted": dict(sorted(self.noted.items())),
        }


@dataclass(slots=True, repr=False)
class IngestReport(Shown):
    """The report of one run of one source.

    `tables` stand in the order they were read; a table the source lacks has status `absent`. vocabularies: those
    loaded, by release and digest. unread: tables and files that are not read; unread_rows: the number of rows of those
    tables among them that hold facts about people. update: what an update did, by what befell rows; people and events
    are then those of the record as it now stands. pending: rows of updates that wait to be compacted.
    """

    source: str
    version: str | None = None
    people: int = 0
    events: int = 0
    codes: int = 0
    unread: tuple[str, ...] = ()
    unread_rows: dict[str, int] = field(default_factory=dict)
    tables: dict[str, TableReport] = field(default_factory=dict)
    vocabularies: tuple[dict[str, Any], ...] = ()
    update: dict[str, int] | None = None
    pending: int = 0

    def table(self, name: str) -> TableReport:
        """The report of one table, made on first use."""
        return self.tables.setdefault(name, TableReport())

    @property
    def rejected(self) -> int:
        """The number of rows that are not in the record."""
        return sum(sum(table.rejected.values()) for table in self.tables.values())

    def as_json(self) -> dict[str, Any]:
        """The report as `ingest_report.json` holds it for this source."""
        return {
            "source": self.source,
            "version": self.version,
            "people": self.people,
            "events": self.events,
            "codes": self.codes,
            "unread": list(self.unread),
            "unread_rows": self.unread_rows,
            "vocabularies": list(self.vocabularies),
            "tables": {name: table.as_json() for name, table in self.tables.items()},
            **({} if self.update is None else {"update": self.update}),
        }

    def to_pandas(self) -> pd.DataFrame:
        """A row for each table and what befell its rows: read, rejected, mended or noted, by reason."""
        import pandas as pd

        rows = [
            (name, what, reason, n)
            for name, table in self.tables.items()
            for what, reasons in (
                ("read", {"": table.rows}),
                ("rejected", table.rejected),
                ("mended", table.mended),
                ("noted", table.noted),
            )
            for reason, n in sorted(reasons.items())
            if table.status != "absent"
        ]
        return pd.DataFrame(rows, columns=["table", "what", "reason", "rows"])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = self.source if self.version is None else f"{self.source} {self.version}"
        grid = Table(title=f"{title}: {self.people:,} people, {self.events:,} events, {self.codes:,} codes")
        for header, justify in (("table", "left"), ("rows", "right"), ("events", "right")):
            grid.add_column(header, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        grid.add_column("set aside, mended or noted")
        for name, table in self.tables.items():
            if table.status == "absent":
                grid.add_row(name, "absent", "", "", style="dim")
            else:
                grid.add_row(name, f"{table.rows:,}", f"{table.events:,}", "\n".join(_remarks(table)))
        yield grid
        if self.update is not None:
            yield f"Update: {', '.join(f'{n:,} {what}' for what, n in self.update.items())}"
        if self.pending:
            yield f"Pending: {self.pending:,} rows beside data/ (presage record compact writes the folder anew)"
        if self.unread:
            counted = {name: f" ({rows:,} rows)" for name, rows in self.unread_rows.items()}
            yield f"Not read: {', '.join(name + counted.get(name, '') for name in self.unread)}"


def _remarks(table: TableReport) -> Iterator[str]:
    if table.status != "read":
        yield table.status
    for verb, reasons in (("rejected", table.rejected), ("mended", table.mended), ("noted", table.noted)):
        for reason, rows in sorted(reasons.items()):
            yield f"{verb} {rows:,}: {reason}"
