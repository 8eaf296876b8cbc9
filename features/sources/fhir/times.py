"""FHIR's dates, from a year to a moment with its offset, as Ibis expressions."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features.sources.checks import LAST_YEAR, TIMESTAMP, Moment, in_calendar, moment

_WALL = r"^.{10}[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"  # what the clock on the wall says; the offset behind it is dropped


def fhir_moment(text: ir.StringValue) -> Moment:
    """When a fact with this FHIR date happened and was known at the latest.

    Null where the text is no date, or out of the calendar. The record keeps the local time as it is written, without
    its offset: a day is the person's own day, as in OMOP. A year or a month stands at its first day and was known at
    its end.
    """
    text = text.strip()
    n = text.length()
    written = ibis.cases((n == 4, text + "-01-01"), (n == 7, text + "-01"), else_=text.substr(0, 10))
    day = in_calendar(written.try_cast("date"))
    clock = text.re_extract(_WALL, 0).replace("T", " ").nullif("")
    whole = moment(day, in_calendar(clock.try_cast("timestamp").cast(TIMESTAMP)))
    first = day.cast(TIMESTAMP)
    last_moment = ibis.interval(microseconds=1)
    known = ibis.cases(
        (n == 4, first + ibis.interval(years=1) - last_moment),
        (n == 7, first + ibis.interval(months=1) - last_moment),
        else_=whole.known,
    )
    return Moment(whole.time, known)


def is_never(text: ir.StringValue) -> ir.BooleanValue:
    """Whether a date lies past the calendar: `9999-12-31` is what systems write for an end that has not come."""
    return (text.strip().substr(0, 4).try_cast("int64") > LAST_YEAR).fill_null(False)
