"""The protocol of an equation: inputs with their valid ranges, a horizon, and a risk or a refusal for each person."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats

Column = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class EquationRisk:
    """The answers of an equation for n people.

    risk: (n,) probability by the horizon (points, for equations that give points), NaN where the equation refuses.
    reason: (n,) why it refuses, empty where it does not. Reasons name inputs, never values.
    """

    risk: Floats
    reason: npt.NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Input:
    """A feature that an equation reads, and the range in which the equation is valid (ends included)."""

    feature: str
    words: str
    valid: tuple[float, float]
    below: bool = False  # the upper end itself is outside

    def usable(self, values: Floats) -> npt.NDArray[np.bool_]:
        """Whether each value (n,) is there and within the range."""
        low, high = self.valid
        return np.asarray((values >= low) & (values < high if self.below else values <= high), dtype=np.bool_)

    def reason(self, values: Floats) -> npt.NDArray[np.str_]:
        """Why each value (n,) cannot be used; empty where it can."""
        low, high = self.valid
        outside = f"{self.words} outside {low:g} to {'below ' if self.below else ''}{high:g}"
        if low == high:
            outside = missing = f"needs {self.words}"
        else:
            missing = f"{self.words} missing"
        return np.where(self.usable(values), "", np.where(np.isnan(values), missing, outside))


@dataclass(frozen=True, slots=True)
class Equation:
    """A published equation. `points` says that it gives a number of points rather than a probability."""

    name: str
    label: str
    inputs_valid: tuple[Input, ...]
    horizon_days: float
    compute: Callable[[Mapping[str, Floats]], Floats]
    reference: str
    points: bool = False

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the catalogue's features that the equation reads."""
        return tuple(each.feature for each in self.inputs_valid)

    def value(self, columns: Mapping[str, Column]) -> Floats:
        """The risk (or the points) by the horizon (n,), NaN where the equation refuses."""
        values = self._values(columns)
        usable = np.logical_and.reduce([each.usable(values[each.feature]) for each in self.inputs_valid])
        filled = {name: np.where(usable, value, 1.0) for name, value in values.items()}
        with np.errstate(all="ignore"):
            return np.where(usable, self.compute(filled), np.nan)

    def risk(self, columns: Mapping[str, Column]) -> EquationRisk:
        """The risk by the horizon, or the reason for refusing it, for each of n people.

        `columns` holds at least the columns of `inputs`, each (n,); NaN is a missing value.
        """
        values = self._values(columns)
        reasons = [each.reason(values[each.feature]) for each in self.inputs_valid]
        reason = np.array(["; ".join(filter(None, row)) for row in zip(*reasons, strict=True)], dtype=np.str_)
        return EquationRisk(self.value(columns), reason)

    def _values(self, columns: Mapping[str, Column]) -> dict[str, Floats]:
        return {name: np.ascontiguousarray(columns[name], dtype=np.float64) for name in self.inputs}
