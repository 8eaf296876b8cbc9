"""FHIR's dates, from a year to a moment with its offset, as Ibis expressions."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from features.sources.checks import LAST_YEAR, TIMESTAMP, in_calendar, moment

_WALL = r"^.{10}[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"  # what the clock on the wall says; the offset behind it is dropped


def with_moments(rows: ir.Table, *names: str) -> ir.Table:
    """Rows with `<name>_time` and `<name>_known` of columns of FHIR dates: when each happened, and was known at the
    latest.

    Null where the text is no date, or out of the calendar. The record keeps the local time as it is written, without
    its offset: a day is the person's own day, as in OMOP. A year or a month stands at its first day and was known at
    its end.
    """
    # Each step is a subquery (`view`): written as one, an expression would stand in the query once for every use of it.
    rows = rows.mutate({f"{name}_text": rows[name].strip() for name in names}).view()
    days = {f"{name}_day": _day(rows[f"{name}_text"]) for name in names}
    walls = {f"{name}_wall": _on_the_wall(rows[f"{name}_text"]).try_cast("timestamp").cast(TIMESTAMP) for name in names}
    rows = rows.mutate(**days, **walls).view()
    found: dict[str, ir.TimestampValue] = {}
    for name in names:
        day, n = in_calendar(rows[f"{name}_day"]), rows[f"{name}_text"].length()
        whole = moment(day, in_calendar(rows[f"{name}_wall"]))
        found[f"{name}_time"], found[f"{name}_known"] = whole.time, _known(whole.known, day, n)
    made = [f"{name}_{step}" for name in names for step in ("text", "day", "wall")]
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


def _on_the_wall(text: ir.StringValue) -> ir.StringValue:
    """What _WALL matches, with a blank before the clock; null where it matches nothing.

    The two shapes in which servers write moments are told without a regular expression.
    """
    shape = text.substr(10, 14).translate("123456789", "000000000")
    wall = ibis.cases(
        (shape.startswith("T00:00:00.000") & (shape != "T00:00:00.0000"), text.substr(0, 23)),
        (shape.startswith("T00:00:00") & (shape.substr(9, 1) != "."), text.substr(0, 19)),
        else_=text.re_extract(_WALL, 0),
    )
    return wall.replace("T", " ").nullif("")


def is_never(text: ir.StringValue) -> ir.BooleanValue:
    """Whether a date lies past the calendar: `9999-12-31` is what systems write for an end that has not come."""
    return (text.strip().substr(0, 4).try_cast("int64") > LAST_YEAR).fill_null(False)
