"""Index rows of a study in a record: who was enrolled when, what came before, what came next. Ibis throughout.

One expression for each kind of index, over named tables: `presage_events`, `presage_lists` (role, code: what each code
list of the study means in this record), `presage_moments` (the dates to look at; for an index at a first event its
bounds). So a service prepares it once and asks it of one person after the other.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import date, datetime
from functools import cache

import ibis
import ibis.expr.types as ir
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.engine import EVENTS, IbisSession, Session, WarmSession
from features.errors import PresageError
from features.record import TIME, Record
from training.study import Population

BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
PERIOD_START, PERIOD_END = "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END"
COLUMNS = ("subject_id", "as_of", "period_start", "period_end", "birth", "death", "sex", "excluded", "prior", "event",
           "competed")  # fmt: skip
FEW, AT_LAST = 20, 0.9  # people who leave; share of them on the day of their last event that is no chance any more
NO_ENROLMENT = (
    "the record holds no enrolment: everybody counts as followed from the first event to death or the record's last "
    "day; who moves away without a trace counts as free of the outcome"
)
ENDS_AT_LAST = (
    "enrolment in this record seems to end at each person's last event: it then depends on what became of people, and "
    "risks close to its end are too high; give enrolment from another source, or none"
)
LISTS = ibis.table({"role": "string", "code": "string"}, name="presage_lists")
MOMENTS = ibis.table({"as_of": "timestamp(6)", "until": "timestamp(6)"}, name="presage_moments")


def index_facts(
    record: Record,
    backend: Backend,
    *,
    population: Population,
    first_codes: Sequence[str],
    exclude: Sequence[str],
    outcome: Sequence[str],
    competing: Sequence[str],
) -> pa.Table:
    """One row per person and index moment within enrolment, with what decides on it.

    Columns: subject_id, as_of, period_start, period_end, birth, death, sex, excluded (first code of the exclusion
    lists), prior (last outcome at or before as_of), event (first outcome after as_of), competed (first competing event
    after it). Where the record holds no enrolment at all, it lasts from the person's first event to death or the
    record's last day. A record in memory is answered by a warm connection.
    """
    lists = _lists(first=first_codes, excluded=exclude, outcome=outcome, competing=competing)
    if record.path is None:
        with _WARM_LOCK:
            return _facts(_warm(), record.tables["events"], population=population, lists=lists)
    return _facts(IbisSession(backend), record.events(backend), population=population, lists=lists)


def enrolment_notes(record: Record, backend: Backend) -> tuple[str, ...]:
    """What to know about enrolment in this record; nothing where it is recorded and plausible."""
    if record.path is None:
        with _WARM_LOCK:
            _warm().put("presage_events", record.tables["events"])
            row = _warm().run(_ends()).to_pylist()[0]
    else:
        session = IbisSession(backend)
        session.put("presage_events", record.events(backend))
        row = session.run(_ends()).to_pylist()[0]
    found = {name: int(number) for name, number in row.items()}  # DuckDB's sums are wider than 64 bits
    if not found["stretches"]:
        return (NO_ENROLMENT,)
    if found["leave"] >= FEW and found["at_last"] > AT_LAST * found["leave"]:
        return (ENDS_AT_LAST,)
    return ()


def _facts(session: Session, events: pa.Table | ir.Table, *, population: Population, lists: pa.Table) -> pa.Table:
    at_first = population.index.startswith("first:")
    session.put("presage_events", events)
    session.put("presage_lists", lists)
    session.put("presage_moments", _bounds(population) if at_first else _moments(session, population))
    return session.run(_expression(at_first=at_first)).select(COLUMNS)


def _lists(**codes: Sequence[str]) -> pa.Table:
    rows = [{"role": role, "code": code} for role, wanted in codes.items() for code in sorted(set(wanted))]
    return pa.Table.from_pylist(rows, schema=pa.schema({"role": pa.string(), "code": pa.string()}))


def _bounds(population: Population) -> pa.Table:
    low, high = (
        None if day is None else datetime.combine(day, datetime.min.time())
        for day in (population.index_from, population.index_until)
    )
    return _moments_table([low], [high])


def _moments(session: Session, population: Population) -> pa.Table:
    if population.index != "yearly":
        moments = [datetime.fromisoformat(population.index)]
    elif population.index_years:
        moments = [datetime(year, 1, 1) for year in sorted(set(population.index_years))]  # noqa: DTZ001 (MEDS is naive)
    else:
        low, high = population.index_from, population.index_until
        if low is None or high is None:
            first, last = _span(session)
            low, high = low or first, high or last
        moments = landmarks(low, high)
    return _moments_table(moments, [None] * len(moments))


def _moments_table(as_of: Sequence[datetime | None], until: Sequence[datetime | None]) -> pa.Table:
    return pa.table({"as_of": pa.array(as_of, TIME), "until": pa.array(until, TIME)})


def _span(session: Session) -> tuple[date, date]:
    """First and last day of enrolment in the record (of events, where it holds no enrolment)."""
    span = session.run(_extent()).to_pylist()[0]
    if span["low"] is None:
        raise PresageError("the record", "at least one event with a time", found="none")
    return span["low"].date(), span["high"].date()


@cache
def _extent() -> ir.Table:
    periods = _periods()
    return periods.aggregate(low=periods.period_start.min(), high=periods.period_end.max())


def landmarks(first: date, last: date) -> list[datetime]:
    """Every 1 January from the first day to the last."""
    years = range(first.year, last.year + 1)
    return [datetime(year, 1, 1) for year in years if first <= date(year, 1, 1) <= last]  # noqa: DTZ001 (MEDS is naive)


@cache
def _expression(*, at_first: bool) -> ir.Table:
    facts = _index_rows(at_first=at_first)
    birth = _first(EVENTS.filter(EVENTS.code == BIRTH), "birth")
    death = _first(EVENTS.filter(EVENTS.code == DEATH), "death")
    for known in (birth, death, _sex(), _first(_of("excluded"), "excluded")):
        facts = facts.left_join(known, "subject_id").drop("subject_id_right")
    facts = _around(facts, _of("outcome"), after="event", before="prior")
    facts = _around(facts, _of("competing"), after="competed", before=None)
    return facts.select(*COLUMNS).order_by("subject_id", "as_of")


def _index_rows(*, at_first: bool) -> ir.Table:
    periods = _periods()
    if at_first:
        bounds = MOMENTS.select(low=MOMENTS.as_of, high=MOMENTS.until)
        moments = _first(_of("first"), "as_of").cross_join(bounds)
        late = moments.low.isnull() | (moments.as_of >= moments.low)
        early = moments.high.isnull() | (moments.as_of <= moments.high)
        joined = periods.inner_join(moments.filter(late & early).select("subject_id", "as_of"), "subject_id")
    else:
        joined = periods.cross_join(MOMENTS.select("as_of"))
    return joined.filter(joined.period_start <= joined.as_of, joined.period_end >= joined.as_of)


def _periods() -> ir.Table:
    """Enrolment, one row for each unbroken stretch of a person; without any in the record what `_without` says."""
    enrolled = _enrolled()
    nobody = enrolled.aggregate(n=enrolled.count())
    fallback = _without().cross_join(nobody)
    return enrolled.union(fallback.filter(fallback.n == 0).drop("n"))


def _enrolled() -> ir.Table:
    """The k-th start of a person goes with the k-th end; stretches that overlap or touch are made one.

    Whichever starts and ends belong together, paired in order they cover the same days. So a person who is enrolled by
    two sources at once stands in one row, and not in two with different ends.
    """
    ranked = EVENTS.filter(EVENTS.time.notnull(), EVENTS.code.isin([PERIOD_START, PERIOD_END]))
    ranked = ranked.mutate(
        k=ibis.row_number().over(ibis.window(group_by=["subject_id", "code"], order_by="time")),
        is_start=ranked.code == PERIOD_START,
    )
    pairs = ranked.group_by("subject_id", "k").aggregate(
        start=ranked.time.min(where=ranked.is_start), end=ranked.time.max(where=~ranked.is_start)
    )
    pairs = pairs.filter(pairs.start.notnull(), pairs.end.notnull())
    in_order = ibis.window(group_by="subject_id", order_by="k")
    pairs = pairs.mutate(reached=pairs.end.lag().over(in_order))
    pairs = pairs.mutate(apart=pairs.reached.isnull() | (pairs.start > pairs.reached + ibis.interval(days=1)))
    so_far = ibis.window(group_by="subject_id", order_by="k", preceding=None, following=0)
    pairs = pairs.mutate(island=pairs.apart.cast("int64").sum().over(so_far))
    merged = pairs.group_by("subject_id", "island").aggregate(
        period_start=pairs.start.min(), period_end=pairs.end.max()
    )
    return merged.drop("island")


def _without() -> ir.Table:
    """Where the record holds no enrolment: from a person's first event to death, or to the record's last day.

    Not to the person's own last event: who is ill has more events, so that end would depend on what is to be predicted.
    The last day is the last on which something had happened and was known: an appointment lies ahead.
    """
    lived = EVENTS.filter(EVENTS.time.notnull(), EVENTS.code != BIRTH)
    span = lived.group_by("subject_id").aggregate(
        period_start=lived.time.min(), death=lived.time.min(where=lived.code == DEATH)
    )
    span = span.cross_join(_last_day(lived))
    return span.select("subject_id", "period_start", period_end=span.death.coalesce(span.last_day))


def _last_day(lived: ir.Table) -> ir.Table:
    seen = ibis.least(lived.time, lived.available_time.coalesce(lived.time))
    return lived.aggregate(last_day=seen.max())


@cache
def _ends() -> ir.Table:
    """One row: stretches of enrolment; people alive who leave before the record's last day; those of them who leave on
    the very day of their last event.
    """
    enrolled = _enrolled()
    lived = EVENTS.filter(EVENTS.time.notnull(), ~EVENTS.code.isin([BIRTH, PERIOD_START, PERIOD_END]))
    seen = lived.group_by("subject_id").aggregate(last=lived.time.max(), dead=(lived.code == DEATH).any())
    left = enrolled.group_by("subject_id").aggregate(left=enrolled.period_end.max(), n=enrolled.count())
    people = left.left_join(seen, "subject_id").cross_join(_last_day(lived))
    leaves = ~people.dead.coalesce(False) & (people.left.date() < people.last_day.date())
    at_last = leaves & (people.left.date() == people.last.date())
    counts = people.aggregate(stretches=people.n.sum(), leave=leaves.sum(), at_last=at_last.sum())
    return counts.select(**{name: counts[name].coalesce(0) for name in counts.columns})


def _of(role: str) -> ir.Table:
    """(subject_id, time) of the codes of a list."""
    return EVENTS.semi_join(LISTS.filter(LISTS.role == role), "code")


def _first(events: ir.Table, name: str) -> ir.Table:
    timed = events.filter(events.time.notnull())
    return timed.group_by("subject_id").aggregate(**{name: timed.time.min()})


def _sex() -> ir.Table:
    """M or F as the last part of a Gender code."""
    said = EVENTS.filter(EVENTS.code.startswith("Gender//"))
    return said.group_by("subject_id").aggregate(sex=said.code.max().replace("Gender//", ""))


def _around(facts: ir.Table, happened: ir.Table, *, after: str, before: str | None) -> ir.Table:
    """The first time after, and the last at or before, each index moment."""
    keys = facts.select("subject_id", "as_of").distinct()
    timed = happened.filter(happened.time.notnull()).select("subject_id", "time")
    joined = keys.inner_join(timed, "subject_id")
    found = joined.group_by("subject_id", "as_of").aggregate(
        **{after: joined.time.min(where=joined.time > joined.as_of)},
        **({} if before is None else {before: joined.time.max(where=joined.time <= joined.as_of)}),
    )
    return facts.left_join(found, ["subject_id", "as_of"]).drop("subject_id_right", "as_of_right")


_WARM_LOCK = threading.Lock()  # one connection, one caller at a time


@cache
def _warm() -> WarmSession:
    return WarmSession()
