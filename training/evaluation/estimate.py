"""A number with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from features.arrays import Floats

INTERVAL = (2.5, 50.0, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A point estimate with a 95 % interval over people resampled; nan where it is not defined."""

    value: float
    low: float
    high: float


def estimate(value: float, replicates: Floats, *, within: tuple[float, float] = (-math.inf, math.inf)) -> Estimate:
    """The estimate plus the replicates' percentiles less their median, so that it always lies in its interval.

    Replicates that are not defined are left out; where more than half are, there is no interval. within: the range
    that the number cannot leave.
    """
    defined = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or len(defined) == 0 or 2 * len(defined) < len(replicates):
        return Estimate(value, math.nan, math.nan)
    # Of B replicates the (B + 1) p-th smallest: any other count is too narrow (Davison, Hinkley 1997, section 5.2.1).
    low, middle, high = np.percentile(defined, INTERVAL, method="weibull")
    least, most = within
    return Estimate(value, max(value + float(low - middle), least), min(value + float(high - middle), most))
