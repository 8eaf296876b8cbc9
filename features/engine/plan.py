"""The plan of a catalogue: the sources that are read, their windows, and the aggregates that each feature needs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from features.catalogue.spec import GENOMIC, Aggregate, FeatureSpec

# The kinds of columns that each aggregate is computed from. `n` counts events, `m` values; `s` sums values; `lo`, `hi`;
# `st`, `stt`, `stv` sums of days, squared days, days times value; `late` latest value, `last`, `first` moments,
# `until` the end of supply, `cover` the days of supply that lie in the window, whenever it began. Kinds that are not by
# window are cut to the window by their moment.
_KINDS: dict[Aggregate, tuple[str, ...]] = {
    "latest": ("late",),
    "mean": ("n", "s"),
    "min": ("lo",),
    "max": ("hi",),
    "slope": ("n", "s", "st", "stt", "stv"),
    "sum": ("s",),
    "count": ("n",),
    "any": ("n",),
    "days_since": ("last",),
    "years_since_first": ("first",),
    "current": ("until",),
    "covered": ("cover",),
}
ONCE = frozenset({"late", "last", "first"})


@dataclass(frozen=True, slots=True)
class Source:
    """The events that a group of features reads: codes, how values are understood, and which are plausible."""

    codes: tuple[str, ...]
    value_unit: str | None
    valid: tuple[float, float] | None
    values: tuple[tuple[str, float], ...]
    levels: tuple[tuple[str, float], ...]
    default_value: float | None
    needs_value: bool
    other_units: tuple[tuple[str, float, float], ...] = ()

    @property
    def means_presence(self) -> bool:
        """Whether that there is such an event says all, so that one which was answered with "no" says nothing."""
        return not (self.values or self.levels or self.needs_value)

    @classmethod
    def of(cls, spec: FeatureSpec) -> Source:
        """The source that a feature reads."""
        return cls(
            spec.codes,
            spec.value_unit,
            spec.valid,
            spec.values,
            spec.levels,
            spec.default_value,
            spec.needs_value,
            spec.other_units,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The aggregates that a catalogue needs.

    sources: in the order of their numbers. windows_days: the distinct finite windows. columns: (kind, window) of each
    aggregate.
    """

    sources: tuple[Source, ...]
    windows_days: tuple[int, ...]
    columns: tuple[tuple[str, int | None], ...]

    @classmethod
    def of(cls, specs: Iterable[FeatureSpec]) -> Plan:
        """Make the plan for those of these features that are read from events."""
        sources: dict[Source, None] = {}
        columns: set[tuple[str, int | None]] = set()
        windows: set[int] = set()
        for spec in specs:
            if spec.aggregate in GENOMIC or spec.aggregate == "derived":
                continue
            sources[Source.of(spec)] = None
            if spec.window_days is not None:
                windows.add(spec.window_days)
            columns |= {(kind, window_of(kind, spec)) for kind in _KINDS[spec.aggregate]}
        ordered = sorted(columns, key=lambda column: (column[0], math.inf if column[1] is None else column[1]))
        return cls(tuple(sources), tuple(sorted(windows)), tuple(ordered))

    def numbers(self, specs: Iterable[FeatureSpec]) -> tuple[int, ...]:
        """The number of each feature's source in the plan; -1 for features that are not read from events."""
        at = {source: number for number, source in enumerate(self.sources)}
        return tuple(
            -1 if spec.aggregate in GENOMIC or spec.aggregate == "derived" else at[Source.of(spec)] for spec in specs
        )


def window_of(kind: str, spec: FeatureSpec) -> int | None:
    """The window that a kind of aggregate is computed over for this feature."""
    return None if kind in ONCE else spec.window_days


def column_name(kind: str, window_days: int | None) -> str:
    """The column of an aggregate in the long form, from its kind and window: `n_365`, `hi_ever`, `late`.

    >>> column_name("n", 365), column_name("hi", None)
    ('n_365', 'hi_ever')
    """
    return kind if kind in ONCE else f"{kind}_{'ever' if window_days is None else window_days}"
