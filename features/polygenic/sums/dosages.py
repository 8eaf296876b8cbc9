"""Summing dosages, and the calls of few people, as matrix products."""

from __future__ import annotations

from threading import local

import numpy as np
from numpy.typing import NDArray

from features.arrays import Singles
from features.polygenic.columns import loops
from features.polygenic.genotypes import SiteReader, Sites
from features.polygenic.sums.chunk import Chunk, Task, site_variances, used_sites
from features.polygenic.sums.found import MIN_OWN_FREQUENCY_SAMPLES

MAX_BLOCK_SITES = 512
FEW_SCORES = 6  # up to here summing directly beats a matrix product

# Beyond so many products (sites x samples x scores) the matrix product is in single precision over runs of sites and
# in double between: 1.5 times as fast at 20 scores, off by less than 1e-6 of a SD; from about 64 scores on it gains
# nothing. 64 sites a run: 512 would be off by 2.5e-6.
MAX_DOUBLE_PRODUCTS = 2e10
RUN_SITES = 64
MAX_SINGLE_SCORES = 64
_TILE_BYTES = 1 << 19
_STEPS = 1 << 12


class DosageSums:
    """Sums chunks of sites for one group of scores; each thread has its own reader and room."""

    def __init__(self, task: Task, *, max_memory_mb: int) -> None:
        self._task = task
        self._block = max(1, int(min(MAX_BLOCK_SITES, max_memory_mb * 1e6 / 8 / (12 * task.n_samples))))
        self._single = task.n_products > MAX_DOUBLE_PRODUCTS and len(task.scores) <= MAX_SINGLE_SCORES
        self._own = local()
        self._readers: list[SiteReader] = []

    def __call__(self, start: int, stop: int) -> Chunk:
        """Sum sites start to stop."""
        task = self._task
        out = Chunk.zeros(task, stop - start)
        for low in range(start, stop, self._block):
            high = min(low + self._block, stop)
            dosages = self._read(task.contributions.sites[low:high])
            expected = 2 * self._frequency(dosages, low, high=high)
            weights = task.contributions.weights(low, high, scores=task.scores, expected=expected)
            out.constants[:] += expected @ weights.additive + weights.constants
            self._multiply(dosages, weights, sums=out.sums)
            _add_missing(dosages, weights, first_of_set=task.first_of_set, out=out)
        return out

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

    def _read(self, sites: Sites) -> Singles:
        own, n = self._own, self._task.n_samples
        if not hasattr(own, "reader"):
            own.reader = self._task.genotypes.reader()
            self._readers.append(own.reader)
            own.dosages = np.empty((self._block, n), np.float32)
            own.calls = None if self._task.genotypes.has_dosages else np.empty((self._block, n), np.int8)
            own.matrix = None
        dosages: Singles = own.dosages[: len(sites)]
        if own.calls is None:
            own.reader.read_dosages(sites, dosages)
        else:
            own.reader.read(sites, own.calls[: len(sites)])
            dosages[:] = own.calls[: len(sites)]
        return dosages

    def _frequency(self, dosages: Singles, low: int, *, high: int) -> NDArray[np.float64]:
        known = self._task.contributions.frequencies
        if known is not None:
            return known[low:high]
        if dosages.shape[1] < MIN_OWN_FREQUENCY_SAMPLES:
            return np.full(len(dosages), 0.5)
        totals, missing = loops.tally_dosages(dosages)
        frequency: NDArray[np.float64] = totals / (2 * np.maximum(dosages.shape[1] - missing, 1))
        return frequency

    def _multiply(self, dosages: Singles, weights: loops.SiteWeights, *, sums: NDArray[np.float64]) -> None:
        additive, expected = weights.additive, weights.expected
        if additive.shape[1] <= FEW_SCORES:
            for score in range(additive.shape[1]):
                loops.add_centred(dosages, weights, score=score, sums=sums[score])
        else:
            centred = self._matrix(len(dosages), np.float32 if self._single else np.float64)
            # In single precision, centres that it holds exactly, so that a count minus one is exact.
            centres = np.round(expected * _STEPS) / _STEPS if self._single else expected
            loops.centre(dosages, centres, stand_ins=expected - centres, out=centred)
            add_product(additive.T, centred, sums=sums)
            sums += ((centres - expected) @ additive)[:, None]
        if weights.heterozygote is not None and weights.heterozygote.any():
            np.add(sums, weights.heterozygote.T @ loops.heterozygotes(dosages), out=sums)

    def _matrix(self, n_sites: int, kind: type[np.float32 | np.float64]) -> NDArray[np.float32] | NDArray[np.float64]:
        if self._own.matrix is None or self._own.matrix.dtype != kind:
            self._own.matrix = np.empty((self._block, self._task.n_samples), kind)
        matrix: NDArray[np.float32] | NDArray[np.float64] = self._own.matrix[:n_sites]
        return matrix


def _add_missing(dosages: Singles, weights: loops.SiteWeights, *, first_of_set: NDArray[np.intp], out: Chunk) -> None:
    absent = dosages < 0
    some = absent.any(axis=1)
    missing = absent[some].astype(np.float64)
    out.missing[:] += (used_sites(weights, first_of_set)[some].T.astype(np.float64) @ missing).astype(np.int64)
    if out.hidden is not None:
        variance = site_variances(weights)
        out.hidden.variance[:] += variance.sum(axis=0)
        out.hidden.lost[:] += variance[some].T @ missing


def add_product(
    weights: NDArray[np.float64],
    centred: NDArray[np.float32] | NDArray[np.float64],
    *,
    sums: NDArray[np.float64],
) -> None:
    """Add weights @ centred to `sums` (score, sample).

    In single precision only over a run of sites, and over samples that fit the cache.
    """
    if centred.dtype == np.float64:
        np.add(sums, weights @ centred, out=sums)
        return
    single = np.ascontiguousarray(weights, np.float32)
    tile = max(64, _TILE_BYTES // (4 * len(weights)))
    for low in range(0, centred.shape[1], tile):
        part = sums[:, low : low + tile]
        for start in range(0, len(centred), RUN_SITES):
            run = slice(start, start + RUN_SITES)
            np.add(part, single[:, run] @ centred[run, low : low + tile], out=part)


__all__ = ["DosageSums", "add_product"]
