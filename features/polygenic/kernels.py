"""The inner loops over genotypes, compiled: tallies, centring, sums and missing calls. All run without the GIL.

Compiled when first called for int8 counts or float32 dosages, and kept in Numba's cache: beside this file, or where
that cannot be written in the user's cache folder (NUMBA_CACHE_DIR).
"""

from __future__ import annotations

import numpy as np
from numba import njit

# Arguments: genotypes (site, sample), negative where missing, as int8 counts or float32 dosages.


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def centre(genotypes, centres, stand_ins, out):  # type: ignore[no-untyped-def]
    """Counts minus the site's centre; the site's stand-in where missing. In the precision of `out`."""
    for j in range(genotypes.shape[0]):
        subtracted = centres[j]
        stand_in = stand_ins[j]
        for i in range(genotypes.shape[1]):
            g = genotypes[j, i]
            out[j, i] = g - subtracted if g >= 0 else stand_in


@njit(nogil=True, cache=True)
def heterozygotes(genotypes, out):  # type: ignore[no-untyped-def]
    """1 for one copy, 0 for none or two, linear between; 0 where missing."""
    for j in range(genotypes.shape[0]):
        for i in range(genotypes.shape[1]):
            g = genotypes[j, i]
            out[j, i] = 1.0 - abs(g - 1.0) if g >= 0 else 0.0


@njit(nogil=True, cache=True)
def add_centred(genotypes, centres, weights, sums):  # type: ignore[no-untyped-def]
    """`sums` (score, sample) += weights (score, site) times centred counts: for a few scores, without a matrix
    between.
    """
    for s in range(weights.shape[0]):
        for j in range(genotypes.shape[0]):
            weight = weights[s, j]
            if weight == 0:
                continue
            offset = -weight * centres[j]
            for i in range(genotypes.shape[1]):
                g = genotypes[j, i]
                sums[s, i] += weight * g + offset if g >= 0 else 0.0


@njit(nogil=True, cache=True)
def add_missing(places, n_samples, effects, out):  # type: ignore[no-untyped-def]
    """For every missing call (flat place) add its site's row of `effects` to its sample's row of `out`."""
    for place in places:
        j = place // n_samples
        i = place - j * n_samples
        for s in range(effects.shape[1]):
            out[i, s] += effects[j, s]
