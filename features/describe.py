"""What of a record is read: codes by vocabulary, the commonest that nobody reads, and results set aside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import ibis
import pyarrow as pa
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from features.build import NOT_CODES, Reading
from features.catalogue import catalogue, dense_families
from features.engine import CODES, EVENTS, Engine, duckdb_session
from features.record import Record, Tells, codes_of

COMMONEST = 10
FEWEST_SHOWN = 11  # a count of 1 to 10 may point at somebody
UNIT, RANGE, MISSING_UNIT = (
    "the unit cannot be converted",
    "outside the plausible range",
    "no unit, and it may be in several",
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Codes and facts of one vocabulary, and how many of each some feature reads."""

    name: str
    codes: int
    codes_read: int
    facts: int
    facts_read: int


@dataclass(frozen=True, slots=True)
class SetAside:
    """Results of one code and unit that no feature can use, and why."""

    code: str
    unit: str
    results: int
    why: str


@dataclass(frozen=True, slots=True)
class Description:
    """A record as features read it. unread: the commonest codes that no feature reads, with words and facts.

    is_empty: nothing in it is read by any feature of the catalogue, not even a birth. pending: rows of updates that lie
    beside `data/`.
    """

    people: int
    facts: int
    vocabularies: tuple[Vocabulary, ...]
    unread: tuple[tuple[str, str, int], ...]
    set_aside: tuple[SetAside, ...]
    tells: Tells = field(repr=False)
    is_empty: bool = False
    pending: int = 0

    @property
    def codes(self) -> int:
        """Clinical codes in the record."""
        return sum(each.codes for each in self.vocabularies)

    @property
    def codes_read(self) -> int:
        """Those of them that some feature reads."""
        return sum(each.codes_read for each in self.vocabularies)

    def in_short(self) -> Iterator[str]:
        """A few sentences, for the end of an ingest."""
        if self.is_empty:
            yield "No feature can be filled from this record: none of its codes is read, not even a birth."
        if self.pending:
            yield f"Updates are pending: {self.pending:,} rows beside data/ (presage record compact writes it anew)."
        yield f"Of {self.codes:,} codes, {self.codes_read:,} are read by a feature."
        if self.unread:
            listed = ", ".join(f"{code}{f' ({words})' if words else ''}" for code, words, _ in self.unread)
            yield f"The commonest that are not: {listed}"
        results = sum(each.results for each in self.set_aside)
        if results:
            yield f"Set aside for their unit or range: {results:,} results (presage record describe lists them)"

    def to_json(self) -> dict[str, Any]:
        """Plain types; counts of 1 to 10 are None."""
        return {
            "people": self.people,
            "facts": self.facts,
            "is_empty": self.is_empty,
            "pending": self.pending,
            "vocabularies": [
                {
                    "vocabulary": each.name,
                    "codes": each.codes,
                    "codes_read": each.codes_read,
                    "facts": _shown(each.facts),
                    "facts_read": _shown(each.facts_read),
                }
                for each in self.vocabularies
            ],
            "unread": [{"code": code, "words": words, "facts": _shown(n)} for code, words, n in self.unread],
            "set_aside": [
                {"code": each.code, "unit": each.unit, "results": _shown(each.results), "why": each.why}
                for each in self.set_aside
            ],
            "tells": self.tells.to_json(),
        }

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.in_short()
        by_vocabulary = _table("Codes by vocabulary", "vocabulary", "codes", "read", "facts", "read")
        for each in self.vocabularies:
            by_vocabulary.add_row(
                each.name, f"{each.codes:,}", f"{each.codes_read:,}", _words(each.facts), _words(each.facts_read)
            )
        yield by_vocabulary
        if self.unread:
            unread = _table("Not read by any feature, the commonest", "code", "words", "facts")
            for code, words, n in self.unread:
                unread.add_row(code, words, _words(n))
            yield unread
        if self.set_aside:
            aside = _table("Results set aside", "code", "unit", "results", "why")
            for result in self.set_aside:
                aside.add_row(result.code, result.unit or "none", _words(result.results), result.why)
            yield aside
        since = _table("What this record can tell, and since when", "kind of fact", "vocabulary", "since")
        for kind, vocabularies in sorted(self.tells.kinds.items()):
            for vocabulary, first in sorted(vocabularies.items()):
                since.add_row(kind, vocabulary, first[:10])
        yield since


def describe(record: Record) -> Description:
    """Count what the features of the whole catalogue read of a record.

    Over everybody and all time; a fact counts once for each vocabulary that it was coded in.
    """
    session = duckdb_session()
    engine = Engine(catalogue(dense_families()))
    reading = Reading(record, engine, session=session)
    reading.show()
    read = set(session.run(CODES.select("code").distinct())["code"].to_pylist())
    counted = session.run(EVENTS.group_by("code").aggregate(n=EVENTS.count())).to_pylist()
    facts = {row["code"]: int(row["n"]) for row in counted}
    people = session.run(EVENTS.aggregate(n=EVENTS.subject_id.nunique()))["n"][0].as_py()
    clinical = {key: n for key, n in facts.items() if not key.startswith(NOT_CODES)}
    return Description(
        people=int(people),
        facts=sum(facts.values()),
        vocabularies=_vocabularies(clinical, read),
        unread=_unread(clinical, read, record=record),
        set_aside=_set_aside(session.run(_results())),
        tells=record.tells,
        is_empty=not (read & set(facts)),
        pending=record.pending,
    )


def _vocabularies(facts: dict[str, int], read: set[str]) -> tuple[Vocabulary, ...]:
    codes: dict[str, set[str]] = defaultdict(set)
    codes_read: dict[str, set[str]] = defaultdict(set)
    n: Counter[str] = Counter()
    n_read: Counter[str] = Counter()
    for key, count in facts.items():
        for code in codes_of(key):
            name = code.partition("//")[0]
            codes[name].add(code)
            n[name] += count
            if key in read:
                codes_read[name].add(code)
                n_read[name] += count
    rows = (Vocabulary(name, len(codes[name]), len(codes_read[name]), n[name], n_read[name]) for name in codes)
    return tuple(sorted(rows, key=lambda row: -row.facts))


def _unread(facts: dict[str, int], read: set[str], *, record: Record) -> tuple[tuple[str, str, int], ...]:
    common = sorted(((n, key) for key, n in facts.items() if key not in read), reverse=True)[:COMMONEST]
    known = record.codes(ibis.duckdb.connect()) if record.path is not None else None
    wanted = [codes_of(key)[0] for _, key in common]
    words: dict[str, str] = {}
    if known is not None and wanted:
        table = known.filter(known.code.isin(wanted)).select("code", "description").to_pyarrow().to_pylist()
        words = {row["code"]: row["description"] or "" for row in table}
    return tuple((code, words.get(code, ""), n) for code, (n, _) in zip(wanted, common, strict=True))


def _results() -> ibis.expr.types.Table:
    """Results by code and unit: how many cannot be converted, how many are outside the plausible range."""
    events = EVENTS.filter(EVENTS.numeric_value.notnull() & ~EVENTS.numeric_value.isnan())
    events = events.mutate(unit=events.unit.coalesce(""))
    table = events.inner_join(CODES, ["code", "unit"])
    table = table.filter(table.constant.isnull() & table.needs_value)
    value = table.numeric_value.cast("float64") * table.factor + table.offset
    table = table.mutate(unconverted=table.factor.isnull(), outside=(value < table.low) | (value > table.high))
    # Several features read the same results: each result counts once.
    by_source = table.group_by("code", "unit", "source").aggregate(
        unconverted=table.count(where=table.unconverted), outside=table.count(where=table.outside.fill_null(False))
    )
    return by_source.group_by("code", "unit").aggregate(
        unconverted=by_source.unconverted.min(), outside=by_source.outside.min()
    )


def _set_aside(table: pa.Table) -> tuple[SetAside, ...]:
    rows = []
    for row in table.to_pylist():
        code = codes_of(row["code"])[0]
        if row["unconverted"]:
            rows.append(SetAside(code, row["unit"], int(row["unconverted"]), UNIT))
        if row["outside"]:
            rows.append(SetAside(code, row["unit"], int(row["outside"]), RANGE if row["unit"] else MISSING_UNIT))
    return tuple(sorted(rows, key=lambda row: (-row.results, row.code, row.unit)))


def _shown(n: int) -> int | None:
    return n if n == 0 or n >= FEWEST_SHOWN else None


def _words(n: int) -> str:
    return f"{n:,}" if _shown(n) is not None else "1–10"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right" if column in {"codes", "read", "facts", "results"} else "left")
    return table
