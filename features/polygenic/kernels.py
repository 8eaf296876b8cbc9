"""The inner loops over genotypes, compiled: tallies, centring, sums and missing calls. All run without the GIL."""

from __future__ import annotations

import numpy as np
from numba import njit

# Arguments: genotypes (site, sample), negative where missing, as int8 counts or float32 dosages.
_BOTH = ("int8", "float32")


def _signatures(template: str) -> list[str]:
    return [template.format(kind) for kind in _BOTH]


@njit(_signatures("void({}[:,::1], float64[::1], int64[::1])"), nogil=True, cache=True)
def tally(genotypes, totals, missing):  # type: ignore[no-untyped-def]
    """Per site the sum of counts over called samples, and how many are missing."""
    for j in range(genotypes.shape[0]):
        total = np.float64(0)
        absent = 0
        for i in range(genotypes.shape[1]):
            g = genotypes[j, i]
            if g >= 0:
                total += g
            else:
                absent += 1
        totals[j] = total
        missing[j] = absent


@njit("int64(int8[:,::1])", nogil=True, cache=True)
def count_missing(genotypes):  # type: ignore[no-untyped-def]
    """How many calls are missing: the sign bits."""
    absent = 0
    for j in range(genotypes.shape[0]):
        row = 0
        for i in range(genotypes.shape[1]):
            row += genotypes[j, i] < 0
        absent += row
    return absent


@njit(_signatures("void({}[:,::1], float64[::1], float64[:,::1])"), nogil=True, cache=True)
def centre(genotypes, centres, out):  # type: ignore[no-untyped-def]
    """Counts minus the site's expectation; 0, that is the expectation itself, where missing."""
    for j in range(genotypes.shape[0]):
        expected = centres[j]
        for i in range(genotypes.shape[1]):
            g = genotypes[j, i]
            out[j, i] = g - expected if g >= 0 else 0.0


@njit(_signatures("void({}[:,::1], float64[:,::1])"), nogil=True, cache=True)
def heterozygotes(genotypes, out):  # type: ignore[no-untyped-def]
    """1 for one copy, 0 for none or two, linear between; 0 where missing."""
    for j in range(genotypes.shape[0]):
        for i in range(genotypes.shape[1]):
            g = genotypes[j, i]
            out[j, i] = 1.0 - abs(g - 1.0) if g >= 0 else 0.0


@njit(_signatures("void({}[:,::1], float64[::1], float64[:,::1], float64[:,::1])"), nogil=True, cache=True)
def add_centred(genotypes, centres, weights, sums):  # type: ignore[no-untyped-def]
    """`sums` (score, sample) += weights (score, site) times centred counts: for a few scores, without a matrix between."""
    for s in range(weights.shape[0]):
        for j in range(genotypes.shape[0]):
            weight = weights[s, j]
            if weight == 0:
                continue
            offset = -weight * centres[j]
            for i in range(genotypes.shape[1]):
                g = genotypes[j, i]
                sums[s, i] += weight * g + offset if g >= 0 else 0.0


@njit(
    _signatures("void({}[:,::1], float32[:,::1], float32[:,::1], float32[:,::1], float32[:,::1])"),
    nogil=True,
    cache=True,
)
def add_missing(genotypes, variances, used, lost, absent):  # type: ignore[no-untyped-def]
    """For every missing call add, per score, the site's variance to `lost` and 1 to `absent` (sample, score).

    `variances`, `used`: (site, score).
    """
    n_scores = variances.shape[1]
    for j in range(genotypes.shape[0]):
        for i in range(genotypes.shape[1]):
            if genotypes[j, i] < 0:
                for s in range(n_scores):
                    lost[i, s] += variances[j, s]
                    absent[i, s] += used[j, s]
