"""FHIR's dates, from a year to a moment with its offset, as Ibis expressions."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features.sources.checks import LAST_YEAR, TIMESTAMP, in_calendar, moment

_WALL = r"^.{10}[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"  # what the clock on the wall says; the offset behind it is dropped


def with_moments(rows: ir.Table, *names: str) -> ir.Table:
    """Rows with `<name>_time` and `<name>_known` of columns of FHIR dates, without blanks around them: when each
    happened, and was known at the latest.

    Null where the text is no date, or out of the calendar. The record keeps the local time as it is written, without
    its offset: a day is the person's own day, as in OMOP. A year or a month stands at its first day and was known at
    its end.
    """
    # Each step is a subquery (`view`): written as one, an expression would stand in the query once for every use of it.
    days = {f"{name}_day": _day(rows[name]) for name in names}
    walls = {f"{name}_wall": _on_the_wall(rows[name]) for name in names}
    rows = rows.mutate(**days, **walls).view()
    found: dict[str, ir.TimestampValue] = {}
    for name in names:
        day, n = in_calendar(rows[f"{name}_day"]), rows[name].length()
        whole = moment(day, in_calendar(rows[f"{name}_wall"]))
        found[f"{name}_time"], found[f"{name}_known"] = whole.time, _known(whole.known, day, n)
    made = [f"{name}_{step}" for name in names for step in ("day", "wall")]
    return rows.mutate(found).drop(*made).view()


def _day(text: ir.StringValue) -> ir.DateValue:
    n = text.length()
    return ibis.cases((n == 4, text + "-01-01"), (n == 7, text + "-01"), else_=text.substr(0, 10)).try_cast("date")


def _known(whole: ir.TimestampValue, day: ir.DateValue, n: ir.IntegerValue) -> ir.TimestampValue:
    first, last_moment = day.cast(TIMESTAMP), ibis.interval(microseconds=1)
    return ibis.cases(
        (n == 4, first + ibis.interval(years=1) - last_moment),
        (n == 7, first + ibis.interval(months=1) - last_moment),
        else_=whole,
    )


def _on_the_wall(text: ir.StringValue) -> ir.TimestampValue:
    """What the clock on the wall says; null where the text has none.

    The two shapes in which servers write moments are read without a regular expression, which costs more than all else.
    """
    is_clock = (text.substr(10, 1) == "T") & text.substr(11, 1).isin(["0", "1", "2"])
    behind, behind_fraction = text.substr(19, 1), text.substr(23, 1)
    plain = ibis.cases(
        (is_clock & behind.isin(["+", "-", "Z", ""]), text.substr(0, 19)),
        (is_clock & (behind == ".") & behind_fraction.isin(["+", "-", "Z"]), text.substr(0, 23)),
        else_=ibis.null("string"),
    )
    other = text.re_extract(_WALL, 0).replace("T", " ").nullif("")
    return ibis.coalesce(plain.try_cast("timestamp"), other.try_cast("timestamp")).cast(TIMESTAMP)


def is_never(text: ir.StringValue) -> ir.BooleanValue:
    """Whether a date lies past the calendar: `9999-12-31` is what systems write for an end that has not come."""
    return (text.strip().substr(0, 4).try_cast("int64") > LAST_YEAR).fill_null(False)
