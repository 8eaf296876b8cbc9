"""Landmarks before and after the first test landmark of a temporal validation."""

from __future__ import annotations

import numpy as np

from features.arrays import Bools, Moments
from training.study import Validation

DAY = np.timedelta64(86_400_000_000, "us")


def sides(as_of: Moments, horizons_days: tuple[float, ...], *, validation: Validation) -> tuple[Bools, Bools]:
    """(n,) whose longest window closes by the first test landmark, and (n,) test landmarks."""
    start = np.datetime64(validation.test_from, "us")
    closes = as_of + np.int64(np.ceil(max(horizons_days, default=0.0))) * DAY
    return closes <= start, as_of >= start
