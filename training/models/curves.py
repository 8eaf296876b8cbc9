"""Risks over a grid of times: along the model's own curves, pinned to its calibrated risks at the horizons.

A learner of hazards knows the risk at every time; recalibration is learned at the horizons alone, so between them the
model's log cumulative hazard is shifted to meet its calibrated risk at the next. A learner of the horizons alone knows
nothing in between: there the curve takes the shape of the incidence among the rows it was *learned* from, never that
of those who test it, which would lend it knowledge of when events come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Floats, Ints
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import Dosages, RiskCurves
from training.models.pair import Pair

GRID_POINTS = 25
SMALLEST = 1e-9
OWN, LEARNED_FROM = "the model's own curves", "the incidence among the rows that were learned from"


@dataclass(frozen=True, slots=True)
class Shape:
    """Risks (n or 1, t) at increasing times, of whatever level: only how they rise is used. source: OWN, ..."""

    times_days: tuple[float, ...]
    risks: Floats
    source: str

    def through(self, risk: Floats, horizons_days: tuple[float, ...]) -> RiskCurves:
        """(n, 25) risks up to the last horizon, through risk (n, h) at the horizons, never falling."""
        grid = grid_of(horizons_days)
        hazard = -np.log1p(-np.clip(self.risks, SMALLEST, 1 - SMALLEST))
        base = hazard[:, np.searchsorted(self.times_days, grid)]
        at = hazard[:, np.searchsorted(self.times_days, horizons_days)]
        following = np.minimum(np.searchsorted(horizons_days, grid), len(horizons_days) - 1)
        pinned = -np.log1p(-np.clip(risk, 0.0, 1 - SMALLEST))[:, following]
        curves = -np.expm1(-pinned * (base / at[:, following]))
        return RiskCurves(grid, np.maximum.accumulate(curves, axis=1))


def grid_of(horizons_days: tuple[float, ...]) -> tuple[float, ...]:
    """25 equal steps to the last horizon."""
    last = horizons_days[-1]
    return (*(float(t) for t in np.linspace(last / GRID_POINTS, last, GRID_POINTS)[:-1]), float(last))


def times_of(horizons_days: tuple[float, ...]) -> tuple[float, ...]:
    """The grid and the horizons."""
    return tuple(sorted({*grid_of(horizons_days), *horizons_days}))


def own_shape(
    pair: Pair, frame: FeatureFrame, *, horizons_days: tuple[float, ...], both: Ints, dosages: Dosages | None
) -> Shape | None:
    """Of the model that serves each row, `both` (positions) by the combined one with their dosages; None where it
    knows the horizons alone.
    """
    times = times_of(horizons_days)
    try:
        risks = pair.clinical.fitted.risk_at(frame.only(pair.clinical.names), times).probabilities.copy()
    except PresageError:
        return None
    if pair.combined is not None and len(both):
        some = frame.take(both)
        stage = pair.combined.stage(some, pair.clinical.risk(some, horizons_days), dosages=dosages)
        risks[both] = pair.combined.fitted.risk_at(stage, times).probabilities
    return Shape(times, risks, OWN)
