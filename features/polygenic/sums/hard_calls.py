"""Summing hard calls of many people: by lookup, or site by site where a score has few sites."""

from __future__ import annotations

from threading import local

import numpy as np
from numpy.typing import NDArray

from features.arrays import Singles
from features.polygenic.columns import loops
from features.polygenic.genotypes import RowSites, SiteReader, Sites
from features.polygenic.sums.chunk import Chunk, Task, site_variances, used_sites

BLOCK_SITES = 1024
MIN_DENSE = 1 / 8  # share of a chunk's sites below which a score is summed site by site rather than by lookup

# Where there are more products (sites x samples x scores), lookups are in single precision over 512 sites and in
# double between: twice as fast, off by less than 1e-6 of a score's SD.
MAX_DOUBLE_PRODUCTS = 2e10


class HardCalls:
    """Sums chunks of sites for one group of scores; each thread has its own reader and room."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._single = task.n_products > MAX_DOUBLE_PRODUCTS
        self._own = local()
        self._readers: list[SiteReader] = []

    def __call__(self, start: int, stop: int) -> Chunk:
        """Sum sites start to stop."""
        task = self._task
        out = Chunk.zeros(task, stop - start)
        n_sites = task.contributions.n_sites_of(start, stop, scores=task.scores)
        dense = np.flatnonzero((n_sites >= MIN_DENSE * (stop - start)) & (n_sites > 0))
        few = np.setdiff1d(np.flatnonzero(n_sites), dense)
        look_up = loops.LookUp(len(dense), task.n_samples, single=self._single) if len(dense) else None
        lost = _room_for_lost(task) if task.uncertain else None
        for low in range(start, stop, BLOCK_SITES):
            high = min(low + BLOCK_SITES, stop)
            rows, words = self._read(task.contributions.sites[low:high])
            expected = 2 * self._frequency(rows, low, high=high)
            weights = task.contributions.weights(low, high, scores=task.scores, expected=expected)
            out.constants[:] += expected @ weights.additive + weights.constants
            if look_up is not None:
                look_up.add(words, weights, scores=dense)
            for score in few.tolist():
                loops.add_few(rows, weights, score=score, sums=out.sums[score])
            loops.count_missing(words, used_sites(weights, task.first_of_set), missing=out.missing)
            if lost is not None and out.hidden is not None:
                variance = site_variances(weights)
                _add_lost(words, variance, lost=lost)
                out.hidden.variance[:] += variance.sum(axis=0)
        if look_up is not None:
            out.sums[dense] += look_up.sums()
        if lost is not None and out.hidden is not None:
            out.hidden.lost[:] = lost.reshape(task.n_samples, -1)[:, : len(task.scores)].T
        return out

    def close(self) -> None:
        """Close the files."""
        for reader in self._readers:
            reader.close()

    def _read(self, sites: Sites) -> tuple[loops.Rows, loops.Rows]:
        """A block as rows and as words."""
        own, n = self._own, self._task.n_samples
        if not hasattr(own, "reader"):
            own.reader = self._task.genotypes.reader()
            self._readers.append(own.reader)
            own.rows, own.words = loops.room_for_rows(BLOCK_SITES, n), loops.room_for_words(BLOCK_SITES, n)
            own.counts = None
        rows, words = own.rows[: len(sites)], own.words[: -(-len(sites) // loops.SITES)]
        if not (isinstance(own.reader, RowSites) and own.reader.read_rows(sites, rows)):
            if own.counts is None:
                own.counts = np.empty((BLOCK_SITES, n), np.int8)
            own.reader.read(sites, own.counts[: len(sites)])
            rows[:] = 0
            loops.pack(own.counts[: len(sites)], rows)
        loops.turn(rows, words)
        return rows, words

    def _frequency(self, rows: loops.Rows, low: int, *, high: int) -> NDArray[np.float64]:
        known = self._task.contributions.frequencies
        if known is not None:
            return known[low:high]
        heterozygotes, homozygotes, missing = loops.tally(rows, self._task.n_samples).T
        frequency: NDArray[np.float64] = (heterozygotes + 2 * homozygotes) / (
            2 * np.maximum(self._task.n_samples - missing, 1)
        )
        return frequency


def _room_for_lost(task: Task) -> Singles:
    return np.zeros((task.n_samples, -(-len(task.scores) // 16), 16), np.float32)


def _add_lost(words: loops.Rows, variance: NDArray[np.float64], *, lost: Singles) -> None:
    effects = np.zeros((len(words) * loops.SITES, *lost.shape[1:]), np.float32)
    effects.reshape(len(effects), -1)[: len(variance), : variance.shape[1]] = variance
    loops.add_missing(words, effects, out=lost)


__all__ = ["HardCalls"]
