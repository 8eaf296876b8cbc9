"""The declaration of a feature: name, unit, the codes it reads, the meaning of a missing value, and its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, cast

Aggregate = Literal[
    "latest",  # value at the latest moment; of several then, the largest
    "mean",
    "min",
    "max",
    "slope",  # per year, least squares over whole days; two different days at least
    "sum",
    "count",
    "any",  # 1 where there is an event
    "days_since",  # since the latest event
    "years_since_first",
    "current",  # 1 where the supply of a medication reaches the as-of moment, give or take its grace
    "covered",  # share of the window's days covered by supply, also by supply from before it; at most 1
    "polygenic_z",
    "polygenic_tested",
    "polygenic_matched_weight",
    "carrier",  # 1 carrier, 0 every gene looked at and no finding, missing otherwise
    "tested",
    "derived",  # computed from other features: an index or a published equation
]
VALUED: frozenset[Aggregate] = frozenset({"latest", "mean", "min", "max", "slope", "sum"})
GENOMIC: frozenset[Aggregate] = frozenset(
    {"polygenic_z", "polygenic_tested", "polygenic_matched_weight", "carrier", "tested"}
)


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One column of the feature frame.

    unit: of the feature, UCUM; `1` for counts, shares, yes (1) and no (0).
    missing: in words, what it means that there is no value. absent: the number that stands then (NaN or 0).
    codes: patterns of `features.codes.lists` (for genomic features: score id, or genes).
    window_days: looks back so far from the as-of moment, its start included; None: the whole history.
    value_unit: the unit that recorded values are brought to; None: values are not read.
    valid: plausible range of a recorded value in value_unit, ends included; outside it is set aside and counted.
    values: numbers that stand for codes, by pattern. levels: numbers that stand for recorded text, in lower case.
    categories: names of the levels of a categorical feature, in order of their numbers.
    default_value: taken where an event has no value (days of supply). grace_days: for `current`.
    monotone: 1 risk may only rise with it, -1 only fall, 0 not known. modifiable: whether care can change it.
    inputs: other features that a derived one is computed from.
    otherwise: by which rule of `features.engine.derivations` a value is computed from the inputs where the record has
    the parts and no value of its own; the second input is the days since the value that it is computed from.
    other_units: units in use for the same quantity, each with the range of plausible values in it: a value without a
    unit that may be in one of them is not read.
    kind: of the facts whose absence counts as `absent` (condition, drug, visit, measurement), where the record could
    have told them (`features.record.Tells`); elsewhere, and where the kind is empty, see `missing`.
    """

    name: str
    family: str
    label: str
    unit: str
    missing: str
    aggregate: Aggregate
    codes: tuple[str, ...] = ()
    window_days: int | None = None
    value_unit: str | None = None
    valid: tuple[float, float] | None = None
    values: tuple[tuple[str, float], ...] = ()
    levels: tuple[tuple[str, float], ...] = ()
    categories: tuple[str, ...] = ()
    absent: float = math.nan
    default_value: float | None = None
    grace_days: int = 0
    monotone: Literal[-1, 0, 1] = 0
    modifiable: bool = False
    reference: str = ""
    inputs: tuple[str, ...] = ()
    kind: str = ""
    other_units: tuple[tuple[str, float, float], ...] = ()
    otherwise: str = ""

    def __post_init__(self) -> None:
        if not self.missing:
            raise ValueError(f"{self.name}: says what missing means")
        if self.valid is not None and not self.valid[0] < self.valid[1]:
            raise ValueError(f"{self.name}: an empty plausible range")
        if not math.isnan(self.absent) and not self.kind and self.aggregate not in GENOMIC:
            raise ValueError(f"{self.name}: says what kind of fact its absence is of")

    @property
    def needs_value(self) -> bool:
        """Whether events without a usable value say nothing about this feature."""
        return bool(self.value_unit is not None or self.values or self.levels) and self.default_value is None

    def to_dict(self) -> dict[str, object]:
        """The declaration as JSON's types; fields that have their default value are left out."""
        default = {each.name: each.default for each in fields(self)}
        row = {
            name: value
            for name, value in asdict(self).items()
            if name in _REQUIRED or not (value == default[name] or value != value)  # NaN
        }
        return {name: list(value) if isinstance(value, tuple) else value for name, value in row.items()}

    @classmethod
    def from_dict(cls, row: Mapping[str, object]) -> FeatureSpec:
        """Read a declaration from what `to_dict` gives."""
        values = {name: _tuples(value) for name, value in row.items()}
        return cls(**cast("dict[str, Any]", values))


_REQUIRED = frozenset({"name", "family", "label", "unit", "missing", "aggregate"})


def _tuples(value: object) -> object:
    return tuple(_tuples(each) for each in value) if isinstance(value, list) else value
