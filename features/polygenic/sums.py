"""What summing finds: sums, and what missing calls hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_OWN_FREQUENCY_SAMPLES = 50  # as in plink2


@dataclass(frozen=True, slots=True)
class Sums:
    """Per score and sample, in the order of the contributions and of the file.

    `sums` (score, sample): nan where a call is missing and nothing says what to expect.
    `missing`: sites of the score that are not called. `lost`: variance of the sum that the missing calls hide, and
    `variance` (score,) of the whole sum, both as if sites were independent and in Hardy-Weinberg proportions.
    """

    sums: NDArray[np.float64]
    missing: NDArray[np.int64]
    lost: NDArray[np.float64]
    variance: NDArray[np.float64]
