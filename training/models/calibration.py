"""Recalibration on people the model has not seen, strictly rising: different risks stay different.

Isotonic regression would make steps, hence ties, hence arbitrary lists. Logistic: D. Cox, Biometrika 1958;45:562;
Platt 1999. Beta: Kull, EJS 2017;11:5052.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from features.arrays import Floats
from features.errors import PresageError
from training.cohort import RiskCurves

SMALLEST_RISK = 1e-12


@dataclass(frozen=True, slots=True)
class Calibrator:
    """log odds = intercept + rise * ln(risk) - fall * ln(1 - risk); rise = fall is the logistic method.

    Both are at least zero and one is above, so the map is strictly increasing. Identity: 0, 1, 1. hazard: what the
    hazard is multiplied by afterwards, above zero: 1, or that of the last calendar years (`training.fitting.period`).
    """

    intercept: float = 0.0
    rise: float = 1.0
    fall: float = 1.0
    hazard: float = 1.0

    def apply(self, risk: Floats) -> Floats:
        """Recalibrated risks, of any shape."""
        rising, falling = log_terms(risk)
        odds = self.intercept + self.rise * rising + self.fall * falling
        usual = expit(odds) if self.hazard == 1.0 else -np.expm1(-self.hazard * np.logaddexp(0.0, odds))
        return np.asarray(usual, dtype=np.float64)

    def to_json(self) -> dict[str, float]:
        """Three numbers, and the hazard's factor where it is not 1."""
        later = {} if self.hazard == 1.0 else {"hazard": self.hazard}
        return {"intercept": self.intercept, "rise": self.rise, "fall": self.fall, **later}


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibrator per horizon."""

    horizons_days: tuple[float, ...]
    calibrators: tuple[Calibrator, ...]

    def apply(self, curves: RiskCurves) -> RiskCurves:
        """Recalibrated curves that still never fall. Raises PresageError at a horizon that was not calibrated."""
        columns = []
        for i, horizon in enumerate(curves.horizons_days):
            columns.append(self._at(horizon).apply(curves.probabilities[:, i]))
        rising = np.maximum.accumulate(np.column_stack(columns), axis=1)
        return RiskCurves(curves.horizons_days, rising)

    def times(self, hazards: Sequence[float]) -> Calibration:
        """The same, hazards multiplied by one factor for each horizon."""
        pairs = zip(self.calibrators, hazards, strict=True)
        return replace(self, calibrators=tuple(replace(one, hazard=factor) for one, factor in pairs))

    def _at(self, horizon: float) -> Calibrator:
        for known, calibrator in zip(self.horizons_days, self.calibrators, strict=True):
            if known == horizon or (math.isnan(known) and math.isnan(horizon)):
                return calibrator
        raise PresageError(
            "horizons_days",
            "horizons that were calibrated",
            found=f"{horizon:g}",
            way_out="train the model for that horizon",
        )

    def to_json(self) -> list[dict[str, float | None]]:
        """One row per horizon; a binary outcome's horizon is None."""
        return [
            {"horizon_days": None if math.isnan(h) else h, **c.to_json()}
            for h, c in zip(self.horizons_days, self.calibrators, strict=True)
        ]

    @classmethod
    def from_json(cls, stored: Sequence[Mapping[str, Any]]) -> Calibration:
        """What `to_json` gave."""
        horizons = tuple(math.nan if row["horizon_days"] is None else float(row["horizon_days"]) for row in stored)
        rows = [{name: float(value) for name, value in row.items() if name != "horizon_days"} for row in stored]
        return cls(horizons, tuple(Calibrator(**row) for row in rows))


def log_terms(risk: Floats) -> tuple[Floats, Floats]:
    """ln(risk), what `rise` multiplies, and -ln(1 - risk), what `fall` does; risks are drawn in from 0 and 1."""
    p = np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)
    return np.log(p), -np.log1p(-p)
