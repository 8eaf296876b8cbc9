"""Columns of a source, text or typed, as the types of the record; values of another type become null."""

from __future__ import annotations

from collections.abc import Callable

import ibis
import ibis.expr.types as ir

from features.sources.checks import TIMESTAMP, after_calendar, in_calendar

_OFFSET = r"\s*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
_WHOLE = r"^[+-]?[0-9]+(\.0*)?$"

_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"

Key = Callable[[ir.Table, str], ir.Value]


def text(raw: ir.Table, name: str) -> ir.StringValue:
    """A column as trimmed text; null where it is empty, or where the table has no such column."""
    if name not in raw.columns:
        return ibis.null("string")
    value = raw[name] if raw[name].type().is_string() else raw[name].cast("string")
    return value.strip().nullif("")


def integer(raw: ir.Table, name: str) -> ir.IntegerValue:
    """A column as whole numbers; null where a value is not whole (`12.5` is not rounded to somebody else's id)."""
    if name not in raw.columns:
        return ibis.null("int64")
    value = raw[name]
    if value.type().is_integer():
        return value.cast("int64")
    if value.type().is_numeric():
        whole = value.try_cast("int64")
        return ibis.ifelse(whole == value, whole, ibis.null("int64"))
    written = text(raw, name)
    return ibis.ifelse(written.re_search(_WHOLE), written.try_cast("int64"), ibis.null("int64"))


def is_number(raw: ir.Table, name: str) -> ir.BooleanValue:
    """Whether a column's value is a number, whole or not, of whatever size."""
    if raw[name].type().is_numeric():
        return ibis.literal(True)
    return text(raw, name).re_search(_NUMBER).fill_null(False)


def key(raw: ir.Table, name: str) -> ir.Value:
    """A row's id: a whole number where the column holds numbers, else text; null for 0 and where there is none."""
    if name in raw.columns and raw[name].type().is_numeric():
        return integer(raw, name).nullif(0)
    # Nullable numbers come out of some tools as `25.0`.
    return text(raw, name).re_replace(r"\.0+$", "").nullif("0")


def concept(raw: ir.Table, name: str) -> ir.IntegerValue:
    """A column of concept ids; null for 0, which OMOP writes where no concept matches, and for what is not whole: a
    cast would round it to another concept's id.
    """
    if name not in raw.columns:
        return ibis.null("int64")
    value = raw[name]
    if value.type().is_string():  # few have a point, and only those are looked at closely
        return ibis.ifelse(value.contains("."), integer(raw, name), value.try_cast("int64")).nullif(0)
    return integer(raw, name).nullif(0)


def number(raw: ir.Table, name: str) -> ir.FloatingValue:
    """A column as finite float32; null otherwise."""
    if name not in raw.columns:
        return ibis.null("float32")
    value = raw[name]
    value = value.cast("float64") if value.type().is_numeric() else value.cast("string").try_cast("float64")
    finite = ~(value.isnan() | (value.abs() > 3.4e38))
    return ibis.ifelse(finite, value, ibis.null("float64")).cast("float32")


def day(raw: ir.Table, name: str) -> ir.DateValue:
    """A column as calendar days; null where a value is not a day, or out of the calendar."""
    if name not in raw.columns:
        return ibis.null("date")
    if raw[name].type().is_timestamp():
        return clock(raw, name).cast("date")
    return in_calendar(_readable(raw[name]).try_cast("date"))


def never(raw: ir.Table, name: str) -> ir.BooleanValue:
    """Whether a column holds a day past the calendar, which systems write for an end that has not come."""
    if name not in raw.columns:
        return ibis.literal(False)
    return after_calendar(_readable(raw[name]).try_cast("timestamp" if raw[name].type().is_timestamp() else "date"))


def clock(raw: ir.Table, name: str) -> ir.TimestampValue:
    """A column as days with their clock time; null where a value has none, or is out of the calendar."""
    if name not in raw.columns:
        return ibis.null(TIMESTAMP)
    value = _readable(raw[name])
    if value.type().is_string():
        # The time as it stands on the wall: an offset behind it is dropped, not reckoned with.
        value = ibis.ifelse(value.length() > 19, value.re_replace(_OFFSET, ""), value)
    return in_calendar(value.try_cast("timestamp").cast(TIMESTAMP))


def has_value(raw: ir.Table, *names: str) -> ir.BooleanValue:
    """Whether any of these columns holds a value, readable or not."""
    filled: ir.BooleanValue = ibis.literal(False)
    for name in names:
        if name in raw.columns:
            # What is no text is never empty text: writing numbers and dates out to see that costs more than all else.
            filled = filled | (text(raw, name).notnull() if raw[name].type().is_string() else raw[name].notnull())
    return filled


def _readable(value: ir.Value) -> ir.Value:
    """Numbers as text: 20200101 is a date that is written otherwise, not a count of seconds."""
    return value.cast("string") if value.type().is_numeric() else value
