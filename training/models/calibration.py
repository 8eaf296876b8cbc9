"""Recalibration on people the model has not seen, strictly rising: different risks stay different.

Isotonic regression would make steps, hence ties, hence arbitrary lists. Logistic: D. Cox, Biometrika 1958;45:562;
Platt 1999. Beta: Kull, EJS 2017;11:5052.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.arrays import Floats
from features.errors import PresageError
from training.cohort import EVENT, Outcome, RiskCurves, Uncensored, known_by, marginal
from training.evaluation import weighted_logistic

Method = Literal["none", "logistic", "beta"]

SMALLEST_RISK = 1e-12
SMALLEST_EXPONENT = 0.05  # an order learned elsewhere is kept, even where these people do not confirm it
MIN_EVENTS = 10


@dataclass(frozen=True, slots=True)
class Calibrator:
    """log odds = intercept + rise * ln(risk) - fall * ln(1 - risk); rise = fall is the logistic method.

    Both are at least zero and one is above, so the map is strictly increasing. Identity: 0, 1, 1. hazard: what the
    hazard is multiplied by afterwards, above zero: 1, or that of the last calendar years (`training.models.period`).
    """

    intercept: float = 0.0
    rise: float = 1.0
    fall: float = 1.0
    hazard: float = 1.0

    def apply(self, risk: Floats) -> Floats:
        """Recalibrated risks, of any shape."""
        p = np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)
        odds = self.intercept + self.rise * np.log(p) - self.fall * np.log1p(-p)
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
        raise PresageError("horizons_days", "a horizon that was calibrated", way_out="train the model for that horizon")

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


def learn_calibration(
    curves: RiskCurves, outcome: Outcome, *, method: Method = "logistic", uncensored: Uncensored | None = None
) -> Calibration:
    """Learn one calibrator per horizon from risks (n, h) of people held out, or of the training people out of fold.

    uncensored: covariate-conditional probabilities of being followed; None uses Kaplan-Meier.
    """
    calibrators = []
    followed = uncensored
    if followed is None and outcome.kind != "binary":
        followed = marginal(outcome)
    for i, horizon in enumerate(curves.horizons_days):
        if followed is None:
            label, weight = outcome.event == EVENT, np.ones(len(outcome))
        else:
            label, weight = known_by(outcome, horizon, uncensored=followed)
        calibrators.append(learn_calibrator(curves.probabilities[:, i], label, weight=weight, method=method))
    return Calibration(curves.horizons_days, tuple(calibrators))


def learn_calibrator(risk: Floats, label: npt.NDArray[np.bool_], *, weight: Floats, method: Method) -> Calibrator:
    """Maximum likelihood on weighted rows; the identity where fewer than 10 have, or have not, the event.

    A slope the data put below 0.05 is held there.
    """
    cases, controls = int((label & (weight > 0)).sum()), int((~label & (weight > 0)).sum())
    if method == "none" or min(cases, controls) < MIN_EVENTS:
        return Calibrator()
    p = np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)
    y, rise, fall = label.astype(np.float64), np.log(p), -np.log1p(-p)
    if method == "beta":
        both = _coefficients([rise, fall], y, weight=weight)
        if both is not None and both[1] > 0 and both[2] > 0 and both[1] + both[2] > SMALLEST_EXPONENT:
            return Calibrator(float(both[0]), float(both[1]), float(both[2]))
    line = _coefficients([rise + fall], y, weight=weight)
    if line is None:
        return Calibrator()
    slope = max(float(line[1]), SMALLEST_EXPONENT)
    intercept = float(line[0])
    if slope != float(line[1]):
        intercept = float(weighted_logistic(np.ones((len(y), 1)), y, weight, slope * (rise + fall))[0])
    return Calibrator(intercept, slope, slope)


def _coefficients(columns: list[Floats], y: Floats, *, weight: Floats) -> Floats | None:
    """Intercept and coefficients; None where they are not identified."""
    X = np.column_stack([np.ones(len(y)), *columns])
    if any(float(np.std(column)) < 1e-9 for column in columns):
        return None
    beta = weighted_logistic(X, y, weight, np.zeros(len(y)))
    return beta if bool(np.isfinite(beta).all()) else None
