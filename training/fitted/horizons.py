"""Risks of a model that knows its horizons alone, and how horizons stand in JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from features.arrays import Floats
from features.errors import PresageError
from training.cohort import RiskCurves


def rising(learned: tuple[float, ...], risks: Floats, *, asked: tuple[float, ...]) -> RiskCurves:
    """Risks (n, h) at the learned horizons, never falling, at the horizons asked for.

    Raises PresageError where a horizon was not learned: between two horizons this learner knows nothing.
    """
    if np.isnan(learned).all() and np.isnan(asked).all():
        return RiskCurves(learned, risks)
    positions = []
    for horizon in asked:
        if horizon not in learned:
            raise PresageError(
                "horizons_days",
                "horizons that the model was fitted for",
                found=f"{horizon:g}",
                way_out="train it for that horizon",
            )
        positions.append(learned.index(horizon))
    return RiskCurves(asked, np.maximum.accumulate(risks, axis=1)[:, positions])


def horizons_json(horizons_days: Sequence[float]) -> list[float | None]:
    """Days as JSON has them: the horizon of a binary outcome (nan) is null."""
    return [None if math.isnan(horizon) else horizon for horizon in horizons_days]


def horizons_of(stored: Sequence[float | None]) -> tuple[float, ...]:
    """What `horizons_json` was given.

    >>> horizons_of([365.0, None])
    (365.0, nan)
    """
    return tuple(math.nan if horizon is None else float(horizon) for horizon in stored)
