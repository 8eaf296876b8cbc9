"""The windowed aggregates as Ibis expressions over three named tables, neutral to the engine that runs them.

Tables: `presage_events` (the record's events), `presage_index` (row, subject_id, as_of, `from_W` for every window),
`presage_codes` (code, unit -> source, and how a value is understood), `presage_texts` (source, text -> number).

Every aggregate is independent of the order of rows: values are whole millionths (so sums are exact), days are whole,
and of several values at the latest moment the largest counts. So one person alone and a batch give the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from features.engine.plan import Plan, column_name

MICRO = 1e6  # values are whole millionths of their unit
LARGEST = 1e12  # beyond it a number in a record is no measurement
# The latest value is the largest of one number that holds the moment above and the value below: `MAX` of a struct costs
# twice as much, and engines do not agree on where it puts a missing value. Moment: microseconds since 1970 in the upper
# 64 bits; value: millionths from zero up in the lower, 0 where there is none.
HALF = 64
ZERO_VALUE = 1 << 62
DAY_SECONDS = 86_400
BEFORE_ALL = ibis.timestamp("1800-01-01")  # where static facts stand

EVENTS = ibis.table(
    {
        "subject_id": "int64",
        "time": "timestamp(6)",
        "code": "string",
        "numeric_value": "float32",
        "text_value": "string",
        "available_time": "timestamp(6)",
        "unit": "string",
    },
    name="presage_events",
)
CODES = ibis.table(
    {
        "code": "string",
        "unit": "string",
        "source": "int32",
        "factor": "float64",
        "offset": "float64",
        "constant": "float64",
        "low": "float64",
        "high": "float64",
        "otherwise": "float64",
        "needs_value": "boolean",
    },
    name="presage_codes",
)
TEXTS = ibis.table({"source": "int32", "text": "string", "number": "float64"}, name="presage_texts")
_READ = (
    "subject_id", "time", "known", "numeric_value", "source", "factor", "offset", "constant", "low", "high",
    "otherwise", "needs_value",
)  # fmt: skip
VOCABULARY = ibis.table({"code": "string", "number": "int32"}, name="presage_vocabulary")


def index_table(windows_days: Iterable[int]) -> ir.Table:
    """The table `presage_index` as an expression, with the start of each of these windows."""
    starts = {f"from_{days}": "timestamp(6)" for days in windows_days}
    return ibis.table(
        {"row": "int32", "subject_id": "int64", "as_of": "timestamp(6)", "as_of_day": "int32", **starts},
        name="presage_index",
    )


def known_events(events: ir.Table) -> ir.Table:
    """Events with a `time` that is never null, and with `known`: the moment from which a feature may see the event.

    An event is seen when it was available and had happened: an appointment that is known today lies ahead.
    """
    time = events.time.coalesce(BEFORE_ALL)
    return events.mutate(time=time, known=ibis.greatest(events.available_time.coalesce(time), time))


def seen(events: ir.Table, index: ir.Table, *columns: str) -> ir.Table:
    """Pairs of an index row and an event that was known strictly before the row's moment."""
    joined = events.inner_join(index, "subject_id")
    moments = (name for name in index.columns if name.startswith("from_"))
    return joined.filter(joined.known < joined.as_of).select(*columns, "row", "time", "as_of_day", *moments)


def valued(plan: Plan) -> ir.Table:
    """Events that some source of the plan reads, with the number of the `source`, and the `value` in whole millionths.

    The value is null where the event has none that can be used.
    """
    events = known_events(EVENTS.mutate(unit=EVENTS.unit.coalesce(""), text=EVENTS.text_value.lower()))
    joined = events.inner_join(CODES, ["code", "unit"])
    if any(source.levels for source in plan.sources):
        joined = joined.left_join(TEXTS, ["source", "text"])
    table = joined.select(*_READ, *(["number"] if "number" in joined.columns else []))
    number = table.numeric_value.cast("float64") * table.factor + table.offset
    if "number" in table.columns:
        number = number.coalesce(table.number)
    number = table.constant.coalesce(number)
    plausible = ibis.ifelse((number >= table.low) & (number <= table.high), number, ibis.null("float64"))
    value = (plausible.coalesce(table.otherwise) * MICRO).round().cast("int64")
    usable = table.mutate(value=value)
    usable = usable.filter(~usable.needs_value | usable.value.notnull())
    return usable.select("subject_id", "source", "time", "known", "value")


def aggregates(plan: Plan) -> ir.Table:
    """The plan's aggregates in long form: one row for each index row and source that has events, one column for each
    aggregate.
    """
    pairs = seen(valued(plan), index_table(plan.windows_days), "source", "value")
    day = (pairs.time.epoch_seconds() / DAY_SECONDS).floor().cast("int64")
    pairs = pairs.mutate(days=day - pairs.as_of_day)
    return pairs.group_by("row", "source").aggregate(
        **{column_name(kind, window): _aggregate(pairs, kind, window=window) for kind, window in plan.columns}
    )


def _aggregate(pairs: ir.Table, kind: str, *, window: int | None) -> ir.Value:
    where = None if window is None else pairs.time >= pairs[f"from_{window}"]
    value = pairs.value
    if kind == "n":
        return pairs.count(where=where)
    if kind == "m":
        return value.count(where=where)
    if kind == "late":
        return _moment_and_value(pairs.time, value).max()
    if kind in {"last", "first"}:
        return pairs.time.max() if kind == "last" else pairs.time.min()
    if kind in {"lo", "hi"}:
        return value.min(where=where) if kind == "lo" else value.max(where=where)
    if kind == "until":
        return (pairs.days * int(MICRO) + value).max(where=where)
    if kind == "cover":
        return _covered(pairs, window=window).sum(where=value.notnull()).cast("float64")
    if kind == "s":
        return value.sum(where=where).cast("float64")
    summed = {"st": pairs.days, "stt": pairs.days * pairs.days, "stv": pairs.days * value}[kind]
    return summed.sum(where=where).cast("float64")


def _covered(pairs: ir.Table, *, window: int | None) -> ir.IntegerValue:
    """How many millionths of a day of each supply lie in the window, of those before and beyond it none."""
    start = pairs.days if window is None else ibis.greatest(pairs.days, -window)
    end = ibis.least(pairs.days * int(MICRO) + pairs.value, 0)
    return ibis.greatest(end - start * int(MICRO), 0)


def _moment_and_value(time: ir.TimestampValue, value: ir.IntegerValue) -> ir.DecimalValue:
    moment = time.delta(ibis.timestamp("1970-01-01"), unit="microsecond").cast(dt.Decimal(18, 0))
    upper = ibis.literal(Decimal(1 << HALF), dt.Decimal(20, 0))
    zero, nothing = (ibis.literal(Decimal(number), dt.Decimal(19, 0)) for number in (ZERO_VALUE, 0))
    return (moment * upper + (value.cast(dt.Decimal(19, 0)) + zero).coalesce(nothing)).cast(dt.Decimal(38, 0))


def code_values(windows_days: Iterable[int | None], kinds: Iterable[str]) -> ir.Table:
    """These kinds of aggregates of each code of `presage_vocabulary`, by window, in long form: a row for each index row
    and code.

    Rows are those with an event in the widest window; kinds that look at the whole history have no window.
    """
    windows = tuple(windows_days)
    finite = [days for days in windows if days is not None]
    coded = known_events(EVENTS).inner_join(VOCABULARY, "code")
    value = coded.numeric_value.cast("float64")
    usable = ibis.ifelse((value > -LARGEST) & (value < LARGEST), value, ibis.null("float64"))
    coded = coded.mutate(value=(usable * MICRO).round().cast("int64"))
    coded = coded.select("subject_id", "number", "time", "known", "value")
    pairs = seen(coded, index_table(finite), "number", "value")
    if finite and None not in windows:
        pairs = pairs.filter(pairs.time >= pairs[f"from_{max(finite)}"])
    columns = {column_name(kind, days): (kind, days) for kind in kinds for days in windows}
    return pairs.group_by("row", "number").aggregate(
        **{name: _aggregate(pairs, kind, window=days) for name, (kind, days) in columns.items()}
    )


def code_counts(windows_days: Iterable[int | None]) -> ir.Table:
    """How often each code of `presage_vocabulary` was recorded in each window, in long form: a row for each index row
    and code.
    """
    windows = tuple(windows_days)
    coded = known_events(EVENTS).inner_join(VOCABULARY, "code").select("subject_id", "number", "time", "known")
    pairs = seen(coded, index_table(days for days in windows if days is not None), "number")
    return pairs.group_by("row", "number").aggregate(
        **{
            column_name("n", days): pairs.count(where=None if days is None else pairs.time >= pairs[f"from_{days}"])
            for days in windows
        }
    )
