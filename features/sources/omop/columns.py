"""Columns as they come (text from CSV, typed from Parquet) turned into the types of the record; what cannot be is null."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

TIMESTAMP = "timestamp(6)"
_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"

Key = Callable[[ir.Table, str], ir.Value]


def text(raw: ir.Table, name: str) -> ir.StringValue:
    """Trimmed text; null where empty or where the table has no such column."""
    if name not in raw.columns:
        return ibis.null("string")
    value = raw[name] if raw[name].type().is_string() else raw[name].cast("string")
    return value.strip().nullif("")


def integer(raw: ir.Table, name: str) -> ir.IntegerValue:
    """A whole number; null where it is not one (`12.5` is not rounded to somebody else's id)."""
    if name not in raw.columns:
        return ibis.null("int64")
    if raw[name].type().is_integer():
        return raw[name].cast("int64")
    written = text(raw, name)
    return ibis.ifelse(written.re_search(_WHOLE), written.try_cast("int64"), ibis.null("int64"))


def concept(raw: ir.Table, name: str) -> ir.IntegerValue:
    """A concept id; null for 0, which says that no concept matches."""
    if name not in raw.columns:
        return ibis.null("int64")
    value = raw[name]
    value = value.cast("int64") if value.type().is_integer() else value.cast("string").try_cast("int64")
    return value.nullif(0)


def number(raw: ir.Table, name: str) -> ir.FloatingValue:
    """A finite float32; null otherwise."""
    if name not in raw.columns:
        return ibis.null("float32")
    value = raw[name]
    value = value.cast("float64") if value.type().is_numeric() else value.cast("string").try_cast("float64")
    finite = ~(value.isnan() | (value.abs() > 3.4e38))
    return ibis.ifelse(finite, value, ibis.null("float64")).cast("float32")


def day(raw: ir.Table, name: str) -> ir.DateValue:
    """A calendar day; null where it is not one."""
    if name not in raw.columns:
        return ibis.null("date")
    value = raw[name]
    return value.try_cast("date") if value.type().is_string() else value.cast(TIMESTAMP).cast("date")


def clock(raw: ir.Table, name: str) -> ir.TimestampValue:
    """A day with its clock time; null where it is not one."""
    if name not in raw.columns:
        return ibis.null(TIMESTAMP)
    value = raw[name]
    return value.try_cast("timestamp").cast(TIMESTAMP) if value.type().is_string() else value.cast(TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something happened, and the latest moment at which it was known.

    Without a clock time the fact stands at the day's midnight and was known at the day's end. Midnight sharp counts
    as no clock time: that is what record systems write when they have none.
    """

    time: ir.TimestampValue
    known: ir.TimestampValue


def moment(date: ir.DateValue, stamp: ir.TimestampValue) -> Moment:
    """Of a date column and the datetime column beside it; the datetime counts where it is on that day."""
    date = ibis.coalesce(date, stamp.cast("date"))
    midnight = date.cast(TIMESTAMP)
    day_end = midnight + ibis.interval(days=1) - ibis.interval(microseconds=1)
    timed = stamp.notnull() & (stamp != midnight) & (stamp.cast("date") == date)
    return Moment(ibis.ifelse(timed, stamp, midnight), ibis.ifelse(timed, stamp, day_end))


def has_value(raw: ir.Table, *names: str) -> ir.BooleanValue:
    """Whether any of these columns holds something, readable or not."""
    found: ir.BooleanValue = ibis.literal(False)
    for name in names:
        found = found | text(raw, name).notnull()
    return found
