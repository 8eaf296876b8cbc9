"""The results of summing: the sums, and the variance that missing calls hide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_OWN_FREQUENCY_SAMPLES = 50  # as in plink2


@dataclass(frozen=True, slots=True)
class Hidden:
    """Variance of a sum that missing calls hide: `lost` (score, sample), of the whole sum's `variance` (score,).

    Both as if sites were independent and in Hardy-Weinberg proportions.
    """

    lost: NDArray[np.float64]
    variance: NDArray[np.float64]

    @staticmethod
    def zeros(n_scores: int, n_samples: int) -> Hidden:
        """The hidden variance before any site is summed."""
        return Hidden(np.zeros((n_scores, n_samples)), np.zeros(n_scores))


@dataclass(frozen=True, slots=True)
class Sums:
    """The sums of all scores, in the order of the contributions and of the file's samples.

    `sums` (score, sample): nan where a call is missing and no frequency tells what to expect. `missing` (score,
    sample): the score's sites that are not called. `hidden`: None where it was not asked for.
    """

    sums: NDArray[np.float64]
    missing: NDArray[np.int64]
    hidden: Hidden | None

    def first(self, n_scores: int) -> Sums:
        """The sums of the first scores only."""
        hidden = self.hidden and Hidden(self.hidden.lost[:n_scores], self.hidden.variance[:n_scores])
        return Sums(self.sums[:n_scores], self.missing[:n_scores], hidden)
