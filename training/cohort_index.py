"""Index rows of a study in a record: who was enrolled when, what came before, what came next. Ibis throughout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir
import pandas as pd
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.errors import PresageError
from features.record import Record
from features.schema import TIME
from training.study import Population

BIRTH, DEATH = "MEDS_BIRTH", "MEDS_DEATH"
MOMENT = dt.Timestamp(scale=6)
PERIOD_START, PERIOD_END = "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END"


def index_facts(
    record: Record,
    backend: Backend,
    population: Population,
    *,
    first_codes: Sequence[str],
    exclude: Sequence[str],
    outcome: Sequence[str],
    competing: Sequence[str],
) -> pa.Table:
    """One row per person and index moment within enrolment, with what decides on it.

    Columns: subject_id, as_of, period_start, period_end, birth, death, sex, excluded (first code of the exclusion
    lists), prior (last outcome at or before as_of), event (first outcome after as_of), competed (first competing event
    after it). Enrolment is the span of the person's events where the record holds no enrolment at all.
    """
    events = record.events(backend)
    index = _index_rows(events, backend, population, first_codes)
    facts = index.left_join(_first(events, [BIRTH], "birth"), "subject_id").drop("subject_id_right")
    facts = facts.left_join(_first(events, [DEATH], "death"), "subject_id").drop("subject_id_right")
    facts = facts.left_join(_sex(events), "subject_id").drop("subject_id_right")
    if exclude:
        facts = facts.left_join(_first(events, exclude, "excluded"), "subject_id").drop("subject_id_right")
    else:
        facts = facts.mutate(excluded=ibis.null("timestamp(6)"))
    facts = _around(facts, _of(events, outcome), after="event", before="prior")
    facts = _around(facts, _of(events, competing), after="competed", before=None)
    columns = ["subject_id", "as_of", "period_start", "period_end", "birth", "death", "sex"]
    ordered = facts.select(*columns, "excluded", "prior", "event", "competed").order_by("subject_id", "as_of")
    table: pa.Table = backend.to_pyarrow(ordered)
    return table


def data_span(record: Record, backend: Backend) -> tuple[datetime, datetime]:
    """First and last moment of enrolment in the record (of events, where it holds no enrolment)."""
    periods = _periods(record.events(backend))
    span = backend.to_pyarrow(
        periods.aggregate(low=periods.period_start.min(), high=periods.period_end.max())
    ).to_pylist()
    if span[0]["low"] is None:
        raise PresageError("record", "events with a time; there is none")
    return span[0]["low"], span[0]["high"]


def landmarks(first: date, last: date) -> list[datetime]:
    """Every 1 January from the first day to the last."""
    years = range(first.year, last.year + 1)
    return [datetime(year, 1, 1) for year in years if first <= date(year, 1, 1) <= last]  # noqa: DTZ001 (MEDS is naive)


def _index_rows(events: ir.Table, backend: Backend, population: Population, first_codes: Sequence[str]) -> ir.Table:
    periods = _periods(events)
    if population.index.startswith("first:"):
        moments = _first(events, first_codes, "as_of")
        if population.index_from is not None:
            moments = moments.filter(moments.as_of >= ibis.literal(population.index_from).cast("timestamp"))
        if population.index_until is not None:
            moments = moments.filter(moments.as_of <= ibis.literal(population.index_until).cast("timestamp"))
        joined = periods.inner_join(moments, "subject_id")
    else:
        joined = periods.cross_join(ibis.memtable(_moments(events, backend, population)))
    return joined.filter(joined.period_start <= joined.as_of, joined.period_end >= joined.as_of)


def _moments(events: ir.Table, backend: Backend, population: Population) -> pa.Table:
    if population.index != "yearly":
        moments = [datetime.fromisoformat(population.index)]
    elif population.index_years:
        moments = [datetime(year, 1, 1) for year in sorted(set(population.index_years))]  # noqa: DTZ001 (MEDS is naive)
    else:
        low, high = population.index_from, population.index_until
        if low is None or high is None:
            periods = _periods(events)
            span = backend.to_pyarrow(periods.aggregate(low=periods.period_start.min(), high=periods.period_end.max()))
            found: dict[str, Any] = span.to_pylist()[0]
            low, high = low or found["low"].date(), high or found["high"].date()
        moments = landmarks(low, high)
    return pa.table({"as_of": pa.array(moments, TIME)})


def _periods(events: ir.Table) -> ir.Table:
    """Enrolment: the k-th start of a person goes with the k-th end (sources merge overlapping periods)."""
    ranked = events.filter(events.code.isin([PERIOD_START, PERIOD_END]), events.time.notnull())
    ranked = ranked.mutate(
        k=ibis.row_number().over(ibis.window(group_by=["subject_id", "code"], order_by="time")),
        is_start=ranked.code == PERIOD_START,
    )
    enrolled = ranked.group_by("subject_id", "k").aggregate(
        period_start=ranked.time.min(where=ranked.is_start), period_end=ranked.time.max(where=~ranked.is_start)
    )
    enrolled = enrolled.filter(enrolled.period_start.notnull(), enrolled.period_end.notnull())
    timed = events.filter(events.time.notnull(), events.code != BIRTH)
    span = timed.group_by("subject_id").aggregate(period_start=timed.time.min(), period_end=timed.time.max())
    nobody = enrolled.aggregate(n=enrolled.count())
    fallback = span.cross_join(nobody)
    fallback = fallback.filter(fallback.n == 0).drop("n")
    return _nullable(enrolled).union(_nullable(fallback))


def _nullable(periods: ir.Table) -> ir.Table:
    """Tables in memory know which columns are never null, files do not; a union wants both alike."""
    types = {"subject_id": dt.Int64(nullable=True), "period_start": MOMENT, "period_end": MOMENT}
    return periods.select(**{name: periods[name].cast(kind) for name, kind in types.items()})


def _of(events: ir.Table, codes: Sequence[str]) -> ir.Table:
    """(subject_id, time) of these codes."""
    wanted = ibis.memtable(pd.DataFrame({"code": pd.Series(sorted(codes), dtype="object")}), schema={"code": "string"})
    return events.filter(events.time.notnull()).semi_join(wanted, "code").select("subject_id", "time")


def _first(events: ir.Table, codes: Sequence[str], name: str) -> ir.Table:
    found = _of(events, codes)
    return found.group_by("subject_id").aggregate(**{name: found.time.min()})


def _sex(events: ir.Table) -> ir.Table:
    """M or F as the last part of a Gender code."""
    said = events.filter(events.code.startswith("Gender//"))
    return said.group_by("subject_id").aggregate(sex=said.code.max().replace("Gender//", ""))


def _around(facts: ir.Table, happened: ir.Table, *, after: str, before: str | None) -> ir.Table:
    """The first time after, and the last at or before, each index moment."""
    keys = facts.select("subject_id", "as_of").distinct()
    joined = keys.inner_join(happened, "subject_id")
    found = joined.group_by("subject_id", "as_of").aggregate(
        **{after: joined.time.min(where=joined.time > joined.as_of)},
        **({} if before is None else {before: joined.time.max(where=joined.time <= joined.as_of)}),
    )
    return facts.left_join(found, ["subject_id", "as_of"]).drop("subject_id_right", "as_of_right")
