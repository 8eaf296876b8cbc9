"""The sum: many scores over many people in one pass, in bounded memory, the same whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import local

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.polygenic import kernels
from features.polygenic.contributions import Contributions
from features.polygenic.genotypes.protocol import Genotypes, SiteReader, Sites
from features.progress import Progress, silent

BLOCK_SITES = 512
BLOCKS_PER_CHUNK = 16
FEW_SCORES = 6  # up to here summing directly beats a matrix product

# Beyond so many products (sites x samples x scores) the matrix product is in single precision over runs of sites and in
# double between: 1.5 times as fast at 20 scores, off by less than 1e-6 of a SD; from about 64 scores on it gains
# nothing. 64 sites a run: 512 would be off by 2.5e-6.
MAX_DOUBLE_PRODUCTS = 2e10
RUN_SITES = 64
MAX_SINGLE_SCORES = 64
_TILE_BYTES = 1 << 19
_STEPS = 1 << 12
MIN_OWN_FREQUENCY_SAMPLES = 50  # as in plink2

Genotype = NDArray[np.int8] | NDArray[np.float32]


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


def score_samples(
    genotypes: Genotypes,
    contributions: Contributions,
    *,
    threads: int = 1,
    max_memory_mb: int = 400,
    progress: Progress = silent,
) -> Sums:
    """Sum every score over every sample; missing calls stand at twice the allele frequency.

    A missing call of a dominant or recessive row adds its weight times the frequency, as plink2 has it (not the
    probability of carrying the allele): the line through what 0 and 2 copies add, without what 1 copy adds beyond it.
    Frequencies: the contributions' where they have them, else the samples' own from 50 samples on, else none. Memory
    grows with samples times scores: where that exceeds `max_memory_mb`, scores are taken in groups, one pass each.
    """
    n, s = len(genotypes.samples), len(contributions)
    group = max(1, int(max_memory_mb * 1e6 / 2 / (n * 16 * (threads + 2))))
    out = Sums(np.zeros((s, n)), np.zeros((s, n), np.int64), np.zeros((s, n)), np.zeros(s))
    groups = [range(start, min(start + group, s)) for start in range(0, s, group)]
    total = len(groups) * len(contributions.sites)
    with progress("Scoring", total=total) as advance, threadpool_limits(1):
        for scores in groups:
            part = slice(scores.start, scores.stop)
            for done in _accumulate(genotypes, contributions, scores, threads, max_memory_mb):
                out.sums[part] += done.sums
                out.lost[part] += done.missing[:, : len(scores)].T
                out.missing[part] += done.missing[:, len(scores) :].T.astype(np.int64)
                out.variance[part] += done.variance
                advance(done.n_sites)
    return _finish(out, contributions, n_samples=n)


def _finish(out: Sums, contributions: Contributions, *, n_samples: int) -> Sums:
    out.sums[:] += contributions.constants[:, None]
    if contributions.frequencies is None and n_samples < MIN_OWN_FREQUENCY_SAMPLES:
        out.sums[out.missing > 0] = np.nan
    return out


@dataclass(frozen=True, slots=True)
class _Chunk:
    n_sites: int
    sums: NDArray[np.float64]
    missing: NDArray[np.float32]  # (sample, 2 x score): variance hidden, then calls missing
    variance: NDArray[np.float64]


def _accumulate(
    genotypes: Genotypes, contributions: Contributions, scores: range, threads: int, max_memory_mb: int
) -> Iterator[_Chunk]:
    """Chunks in order, so that the sum does not depend on which thread was first."""
    block = int(min(BLOCK_SITES, max(8, max_memory_mb * 1e6 / 8 / (9 * len(genotypes.samples)))))
    chunk = block * BLOCKS_PER_CHUNK
    n_sites = len(contributions.sites)
    starts = range(0, n_sites, chunk) if n_sites else range(1)
    worker = _Worker(genotypes, contributions, scores, block)
    with ThreadPoolExecutor(threads) as pool:
        jobs = ((start, min(start + chunk, n_sites)) for start in starts)
        waiting: list[Future[_Chunk]] = [pool.submit(worker, *job) for job in islice(jobs, threads + 1)]
        while waiting:
            done = waiting.pop(0).result()
            waiting += [pool.submit(worker, *job) for job in islice(jobs, 1)]
            yield done
    worker.close()


class _Worker:
    """Sums one chunk of sites for one group of scores; each thread has its own reader and buffers."""

    def __init__(self, genotypes: Genotypes, contributions: Contributions, scores: range, block: int) -> None:
        self._genotypes = genotypes
        self._contributions = contributions
        self._scores = scores
        self._block = block
        products = len(contributions.sites) * len(genotypes.samples) * len(contributions)
        self._single = products > MAX_DOUBLE_PRODUCTS and len(scores) <= MAX_SINGLE_SCORES
        self._own = local()
        self._readers: list[SiteReader] = []

    def __call__(self, start: int, stop: int) -> _Chunk:
        n, s = len(self._genotypes.samples), len(self._scores)
        out = _Chunk(stop - start, np.zeros((s, n)), np.zeros((n, 2 * s), np.float32), np.zeros(s))
        weights = self._contributions.weights(start, stop, self._scores)
        for low in range(start, stop, self._block):
            high = min(low + self._block, stop)
            part = slice(low - start, high - start)
            counts = self._read(self._contributions.sites[low:high])
            frequency = self._frequency(counts, low, high)
            additive = weights.additive[:, part]
            het = weights.heterozygote[:, part] if weights.heterozygote is not None else None
            self._add(counts, frequency, additive, het, out)
        return out

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers:
            reader.close()

    def _read(self, sites: Sites) -> Genotype:
        if not hasattr(self._own, "reader"):
            self._own.reader = self._genotypes.reader()
            self._readers.append(self._own.reader)
            kind = np.float32 if self._genotypes.has_dosages else np.int8
            self._own.counts = np.empty((self._block, len(self._genotypes.samples)), kind)
            self._own.matrix = None
            self._own.places = np.empty(self._block * len(self._genotypes.samples) // 32, np.int64)
        counts: Genotype = self._own.counts[: len(sites)]
        if counts.dtype == np.int8:
            self._own.reader.read(sites, counts)
        else:
            self._own.reader.read_dosages(sites, counts)
        return counts

    def _frequency(self, counts: Genotype, low: int, high: int) -> NDArray[np.float64]:
        known = self._contributions.frequencies
        if known is not None:
            return known[low:high]
        if counts.shape[1] < MIN_OWN_FREQUENCY_SAMPLES:
            return np.full(len(counts), 0.5)
        totals, missing = np.empty(len(counts)), np.empty(len(counts), np.int64)
        kernels.tally(counts, totals, missing)
        called: NDArray[np.float64] = np.maximum(counts.shape[1] - missing, 1)
        return totals / (2 * called)

    def _add(
        self,
        counts: Genotype,
        frequency: NDArray[np.float64],
        additive: NDArray[np.float64],
        heterozygote: NDArray[np.float64] | None,
        out: _Chunk,
    ) -> None:
        centres = 2 * frequency
        if len(additive) <= FEW_SCORES:
            kernels.add_centred(counts, centres, np.ascontiguousarray(additive), out.sums)
        else:
            centred = self._matrix(len(counts), np.float32 if self._single else np.float64)
            expected = centres
            if self._single:  # centres that single precision holds exactly, so that a count minus one is exact
                centres = np.round(expected * _STEPS) / _STEPS
            kernels.centre(counts, centres, expected - centres, centred)
            _add_product(additive, centred, out.sums)
        out.sums[:] += (additive @ centres)[:, None]
        if heterozygote is not None and heterozygote.any():
            centred = self._matrix(len(counts), np.float64)
            kernels.heterozygotes(counts, centred)
            np.add(out.sums, heterozygote @ centred, out=out.sums)
        self._add_missing(counts, frequency, additive, heterozygote, out)

    def _add_missing(
        self,
        counts: Genotype,
        frequency: NDArray[np.float64],
        additive: NDArray[np.float64],
        heterozygote: NDArray[np.float64] | None,
        out: _Chunk,
    ) -> None:
        variance, used = site_variances(frequency, additive, heterozygote)
        out.variance[:] += variance.sum(axis=1)
        places = self._missing(counts)
        if len(places):
            lost_and_absent = np.concatenate([variance, used]).T
            kernels.add_missing(places, counts.shape[1], np.ascontiguousarray(lost_and_absent, np.float32), out.missing)

    def _missing(self, counts: Genotype) -> NDArray[np.int64]:
        if counts.dtype != np.int8:
            return np.flatnonzero(counts < 0)
        room: NDArray[np.int64] = self._own.places
        found = kernels.find_missing(counts, room)
        if found > len(room):
            self._own.places = room = np.empty(found + found // 8, np.int64)
            kernels.find_missing(counts, room)
        return room[:found]

    def _matrix(self, n_sites: int, kind: type[np.float32 | np.float64]) -> NDArray[np.float32] | NDArray[np.float64]:
        if self._own.matrix is None or self._own.matrix.dtype != kind:
            self._own.matrix = np.empty((self._block, len(self._genotypes.samples)), kind)
        matrix: NDArray[np.float32] | NDArray[np.float64] = self._own.matrix[:n_sites]
        return matrix


def _add_product(
    weights: NDArray[np.float64],
    centred: NDArray[np.float32] | NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """sums += weights @ centred; of single precision only over a run of sites, and over samples that fit the cache."""
    if centred.dtype == np.float64:
        np.add(sums, weights @ centred, out=sums)
        return
    single = weights.astype(np.float32)
    tile = max(64, _TILE_BYTES // (4 * len(weights)))
    for low in range(0, centred.shape[1], tile):
        part = sums[:, low : low + tile]
        for start in range(0, len(centred), RUN_SITES):
            run = slice(start, start + RUN_SITES)
            np.add(part, single[:, run] @ centred[run, low : low + tile], out=part)


def site_variances(
    frequency: NDArray[np.float64], additive: NDArray[np.float64], heterozygote: NDArray[np.float64] | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Variance of what each site adds to each score, in Hardy-Weinberg proportions, and which sites a score uses."""
    pq = 2 * frequency * (1 - frequency)
    variance: NDArray[np.float64] = additive**2 * pq
    used: NDArray[np.bool_] = additive != 0
    if heterozygote is not None:
        variance = variance + 2 * additive * heterozygote * pq * (1 - 2 * frequency) + heterozygote**2 * pq * (1 - pq)
        used = used | (heterozygote != 0)
    return variance, used


__all__ = ["Sums", "score_samples", "site_variances"]
