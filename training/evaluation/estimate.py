"""A number with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from features.arrays import Floats

INTERVAL = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate with a 95 % percentile interval over people resampled; nan where it is not defined."""

    value: float
    low: float
    high: float


def estimate(value: float, replicates: Floats) -> Estimate:
    """The interval of the replicates that are defined; none where fewer than half are."""
    defined = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or len(defined) == 0 or 2 * len(defined) < len(replicates):
        return Estimate(value, math.nan, math.nan)
    low, high = np.percentile(defined, INTERVAL)
    return Estimate(value, float(low), float(high))
