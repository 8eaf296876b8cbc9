"""From the long form to columns: each feature of each index row from the aggregates of its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import Floats, Ints, Moments
from features.catalogue.spec import Aggregate, FeatureSpec
from features.engine.expression import MICRO, ZERO_VALUE
from features.engine.plan import column_name, window_of
from features.record import Tells

DAY = np.timedelta64(86_400_000_000, "us")
YEAR_DAYS = 365.25
STATIC = np.datetime64("1800-01-01", "us")


@dataclass(frozen=True, slots=True)
class Long:
    """The long form of aggregates as arrays: m rows, one for each index row and source that has events.

    row, source: (m,) numbers of the index row and of the source (or code). columns: (m,) floats by the name of the
    aggregate, NaN where null. moments: (m,) moments by name, NaT where null.
    """

    row: Ints
    source: Ints
    columns: Mapping[str, Floats]
    moments: Mapping[str, Moments]

    @classmethod
    def of(cls, table: pa.Table) -> Long:
        """Read the long form from the table that `expression.aggregates` or `expression.code_values` gives."""
        columns: dict[str, Floats] = {}
        moments: dict[str, Moments] = {}
        for name in table.column_names[2:]:
            values = table[name].combine_chunks()
            if pa.types.is_decimal(values.type):
                moments[name], columns[name] = _moments_and_values(values)
            elif pa.types.is_timestamp(values.type):
                moments[name] = _moments(values)
            else:
                columns[name] = _floats(values)
        return cls(_ints(table["row"]), _ints(table.column(1)), columns, moments)


def _floats(values: pa.Array) -> Floats:
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)


def _ints(values: pa.ChunkedArray) -> Ints:
    return np.asarray(values.to_numpy(), dtype=np.int64)


def _moments_and_values(packed: pa.Array) -> tuple[Moments, Floats]:
    """The two halves of what `expression` packs; no missing ones, as a group has an event."""
    halves = np.frombuffer(packed.buffers()[1], dtype="<i8", count=2 * len(packed), offset=16 * packed.offset)
    lower, upper = halves[0::2], halves[1::2]
    values = np.where(lower == 0, np.nan, lower - ZERO_VALUE)
    return upper.view("datetime64[us]"), values


def _moments(values: pa.Array) -> Moments:
    return np.asarray(values.to_numpy(zero_copy_only=False)).astype("datetime64[us]")


def fill(
    out: npt.NDArray[np.float32],
    specs: tuple[FeatureSpec, ...],
    *,
    sources: tuple[int, ...],
    long: Long,
    as_of: Moments,
    tells: Tells,
) -> None:
    """Write the features that are read from events into their columns of `out` (n, p), in place.

    sources: the number of each feature's source, -1 where it reads no events. tells: what the absence of events means.
    """
    order = np.argsort(long.source, kind="stable")
    edges = np.searchsorted(long.source[order], np.arange(max(sources, default=-1) + 2))
    for column, (spec, number) in enumerate(zip(specs, sources, strict=True)):
        if number < 0:
            continue
        absent = absence(spec, tells, as_of)
        out[:, column] = absent
        at = order[edges[number] : edges[number + 1]]
        if len(at):
            values = _COMPUTE[spec.aggregate](Group(long, at, as_of[long.row[at]], spec))
            # A value that says no more than absence (no supply reaches the moment) is known no better than absence.
            unsaid = np.isnan(values) | (values == spec.absent)
            out[long.row[at], column] = np.where(unsaid, absent[long.row[at]], values)


def absence(spec: FeatureSpec, tells: Tells, as_of: Moments) -> Floats:
    """(n,) what it means that nobody has said anything of this feature: `absent` where the record could have told it by
    then, else NaN.
    """
    if math.isnan(spec.absent):
        return np.full(len(as_of), np.nan)
    return np.where(as_of > tells.since(spec.kind, spec.codes), spec.absent, np.nan)


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of the long form, at positions `at`, that belong to one source, seen as the aggregates
    of one feature.
    """

    long: Long
    at: npt.NDArray[np.intp]
    as_of: Moments
    spec: FeatureSpec

    def column(self, kind: str) -> Floats:
        """Values (k,) of one kind of aggregate over the feature's window."""
        return self.long.columns[column_name(kind, window_of(kind, self.spec))][self.at]

    def moment(self, kind: str) -> Moments:
        """Moments (k,) of one kind of aggregate; NaT for static facts and for facts outside the feature's window."""
        moments = self.long.moments[kind][self.at]
        if self.spec.window_days is not None:
            moments = np.where(moments >= self.as_of - self.spec.window_days * DAY, moments, np.datetime64("NaT"))
        return moments


def _latest(group: Group) -> Floats:
    late = group.column("late") / MICRO
    return late if group.spec.window_days is None else np.where(np.isnat(group.moment("late")), np.nan, late)


def _mean(group: Group) -> Floats:
    n = group.column("n")
    return np.where(n > 0, group.column("s") / MICRO / np.maximum(n, 1), np.nan)


def _slope(group: Group) -> Floats:
    n, s, st = group.column("n"), group.column("s"), group.column("st")
    spread = n * group.column("stt") - st * st
    rise = n * group.column("stv") - st * s
    return np.where(spread > 0, rise / np.where(spread > 0, spread, 1) / MICRO * YEAR_DAYS, np.nan)


def _days(moments: Moments) -> Callable[[Moments], Floats]:
    return lambda as_of: np.where(moments == STATIC, np.nan, (as_of - moments) / DAY)


_COMPUTE: Mapping[Aggregate, Callable[[Group], Floats]] = {
    "latest": _latest,
    "mean": _mean,
    "min": lambda group: group.column("lo") / MICRO,
    "max": lambda group: group.column("hi") / MICRO,
    "slope": _slope,
    "sum": lambda group: group.column("s") / MICRO,
    "count": lambda group: group.column("n"),
    "any": lambda group: (group.column("n") > 0).astype(np.float64),
    "days_since": lambda group: _days(group.moment("last"))(group.as_of),
    "years_since_first": lambda group: _days(group.moment("first"))(group.as_of) / YEAR_DAYS,
    "current": lambda group: (group.column("until") >= -group.spec.grace_days * MICRO).astype(np.float64),
    "covered": lambda group: np.minimum(1.0, group.column("cover") / MICRO / float(group.spec.window_days or 1)),
}
