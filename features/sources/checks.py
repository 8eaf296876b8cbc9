"""Checks that hold for rows of every source: when a fact was known, and why a row cannot be an event."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

import ibis
import ibis.expr.types as ir

TIMESTAMP = "timestamp(6)"

# OHDSI's Data Quality Dashboard (check plausibleBeforeDeath) allows 60 days: late results, autopsies, billing.
AFTER_DEATH_DAYS = 60

NO_SUCH_PERSON = "person is not among the persons"
NO_PERSON = "no person, or not a valid id"
NO_DATE = "no date"
# The calendar in which anybody can have lived. De-identified years reach back to 1800 (MIMIC-III, births of the very
# old) and forward past 2200 (MIMIC-IV); 9999 is a system's word for never, and Python knows no later year.
FIRST_YEAR, LAST_YEAR = 1800, 2249
_FIRST, _AFTER = date(FIRST_YEAR, 1, 1), date(LAST_YEAR + 1, 1, 1)
BAD_DATE = f"date is not a date of {FIRST_YEAR} to {LAST_YEAR}"
BEFORE_BIRTH = "before birth"
LONG_AFTER_DEATH = f"more than {AFTER_DEATH_DAYS} days after death"
END_BEFORE_START = "ends before it starts"
# Systems write 2099 or 9999 for an enrolment that has not ended. Nobody knows of an end further ahead than a contract.
OPEN_DAYS = 365
STILL_OPEN = "ends in a year that never comes (taken as not ended)"
NO_LAST_DAY = "has not ended, and the source has no last day"
STARTS_LATE = "starts after the source's last day"
NO_CONCEPT = "no concept and no source value"
REPEATED = "repeats a row with the same key"
SECOND_ROW = "a second row for one person"
BAD_NUMBER = "value is not a finite number"
NEGATIVE_SUPPLY = "supply of less than no days"
LONGEST_SUPPLY_DAYS = 730  # of a prescription with its refills
REFILLS_CUT = "refills beyond two years (left out)"

Time = TypeVar("Time", ir.DateValue, ir.TimestampValue)

NO_CODINGS: ir.ArrayValue = ibis.null("array<string>")
EVENT_COLUMNS = ("subject_id", "time", "code", "numeric_value", "text_value", "available_time", "unit", "codings")


@ibis.udf.scalar.builtin(name="to_json")  # type: ignore[untyped-decorator]
def _to_json(row) -> str:  # type: ignore[empty-body, no-untyped-def]
    """DuckDB's own."""


@ibis.udf.scalar.builtin(name="md5_number_lower", signature=(("string",), "uint64"))
def _md5_number_lower(text):  # type: ignore[no-untyped-def]
    """DuckDB's own."""


def key_number(key: ir.Value) -> ir.IntegerValue:
    """A key of a source as a number: whole numbers as they are, others by their digest; the same in every version."""
    if key.type().is_integer():
        return key.cast("int64")
    text = key.cast("string")
    return ibis.ifelse(
        text.re_search("^(0|-?[1-9][0-9]{0,17})$"),
        text.try_cast("int64"),
        (_md5_number_lower(text) >> ibis.literal(1, type="uint64")).cast("int64"),
    )


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, and the latest moment at which it was known.

    Without a clock time the fact stands at the day's midnight and was known at the day's end. Midnight sharp counts
    as no clock time: that is what record systems write when they have none.
    """

    time: ir.TimestampValue
    known: ir.TimestampValue


def in_calendar(when: Time) -> Time:
    """A day or moment if it lies in the calendar, FIRST_YEAR to LAST_YEAR; null otherwise."""
    inside = (when >= ibis.literal(_FIRST).cast(when.type())) & (when < ibis.literal(_AFTER).cast(when.type()))
    return ibis.ifelse(inside, when, ibis.null(when.type()))


def day_end(day: ir.DateValue) -> ir.TimestampValue:
    """The last microsecond of a day."""
    return day.cast(TIMESTAMP) + ibis.interval(days=1) - ibis.interval(microseconds=1)


def moment(date: ir.DateValue, stamp: ir.TimestampValue) -> Moment:
    """When a row's fact happened and was known, from a date column and the datetime column beside it.

    The datetime counts where it lies on that date.
    """
    date = ibis.coalesce(date, stamp.cast("date"))
    midnight = date.cast(TIMESTAMP)
    timed = stamp.notnull() & (stamp != midnight) & (stamp.cast("date") == date)
    return Moment(ibis.ifelse(timed, stamp, midnight), ibis.ifelse(timed, stamp, day_end(date)))


def row_as_text(raw: ir.Table) -> ir.StringValue:
    """The whole row as JSON text, in which `rejects/` keeps it."""
    return _to_json(ibis.struct({name: raw[name] for name in raw.columns}))


def person_and_date_reasons(rows: ir.Table) -> list[tuple[ir.BooleanValue, str]]:
    """The reasons for which a row cannot be an event, in the order in which they count, each with the rows it holds
    for.

    rows: person_key, subject_id (null: unknown), birth, death and day (dates), dated (whether the row has a date,
    readable or not).
    """
    return [
        (rows.person_key.isnull(), NO_PERSON),
        (rows.subject_id.isnull(), NO_SUCH_PERSON),
        (rows.day.isnull() & ~rows.dated, NO_DATE),
        (rows.day.isnull(), BAD_DATE),
        (rows.day < rows.birth, BEFORE_BIRTH),
        (rows.day > rows.death + ibis.interval(days=AFTER_DEATH_DAYS), LONG_AFTER_DEATH),
    ]


def after_calendar(when: Time) -> ir.BooleanValue:
    """Whether a day or moment lies past the calendar."""
    return (when >= ibis.literal(_AFTER).cast(when.type())).fill_null(False)


def is_open(end: ir.DateValue, *, never: ir.BooleanValue, last_day: date | None) -> ir.BooleanValue:
    """Whether an enrolment has not ended: its end is `never`, or lies over a year after the source's last day."""
    if last_day is None:
        return never
    ahead = ibis.literal(last_day + timedelta(days=OPEN_DAYS))
    return never | (end > ahead).fill_null(False)


def merged_periods(rows: ir.Table) -> ir.Table:
    """The periods of each person with those that overlap or touch made one, none before birth: subject_id, start, end
    (dates).

    rows: subject_id, start, end and birth.
    """
    start = ibis.greatest(rows.start, ibis.coalesce(rows.birth, rows.start))
    rows = rows.select("subject_id", start=start, end=rows.end)
    earlier = ibis.window(group_by="subject_id", order_by=["start", "end"], preceding=(None, 1))
    rows = rows.mutate(reached=rows.end.max().over(earlier))
    apart = rows.reached.isnull() | (rows.start > rows.reached + ibis.interval(days=1))
    so_far = ibis.window(group_by="subject_id", order_by=["start", "end"], preceding=None, following=0)
    rows = rows.mutate(island=apart.cast("int64").sum().over(so_far))
    return rows.group_by("subject_id", "island").agg(start=rows.start.min(), end=rows.end.max()).drop("island")
