"""The sum: many scores over many people in one pass, in bounded memory, the same whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from threading import local

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from features.polygenic import kernels, lookup
from features.polygenic.contributions import ChunkWeights, Contributions
from features.polygenic.genotypes.protocol import Genotypes, PackedSites, SiteReader, Sites
from features.polygenic.sums import MIN_OWN_FREQUENCY_SAMPLES, Sums
from features.progress import Progress, silent

BLOCK_SITES = 512
BLOCKS_PER_CHUNK = 16
MIN_LOOKUP_SAMPLES = 512  # from here on hard calls are summed by lookup
MIN_DENSE = 1 / 8  # share of a chunk's sites below which a score is summed site by site rather than by lookup
FEW_SCORES = 6  # up to here summing directly beats a matrix product

# Of dosages and of few samples. Beyond so many products (sites x samples x scores) the matrix product is in single
# precision over runs of sites and in double between: 1.5 times as fast at 20 scores, off by less than 1e-6 of a SD;
# from about 64 scores on it gains nothing. 64 sites a run: 512 would be off by 2.5e-6.
MAX_DOUBLE_PRODUCTS = 2e10
RUN_SITES = 64
MAX_SINGLE_SCORES = 64
_TILE_BYTES = 1 << 19
_STEPS = 1 << 12

Genotype = NDArray[np.int8] | NDArray[np.float32]


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
                lost, missing = np.split(done.missing.reshape(n, -1), [len(scores)], axis=1)
                out.sums[part] += done.sums
                out.lost[part] += lost.T
                out.missing[part] += missing.T[done.site_set].astype(np.int64)
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
    """`missing` (sample, lanes): of each score the variance hidden, then of each set of sites the calls missing."""

    n_sites: int
    sums: NDArray[np.float64]
    missing: NDArray[np.float32]
    variance: NDArray[np.float64]
    site_set: NDArray[np.intp]


def _accumulate(
    genotypes: Genotypes, contributions: Contributions, scores: range, threads: int, max_memory_mb: int
) -> Iterator[_Chunk]:
    """Chunks in order, so that the sum does not depend on which thread was first."""
    block = int(min(BLOCK_SITES, max_memory_mb * 1e6 / 8 / (9 * len(genotypes.samples))))
    block = max(lookup.SITES, block - block % lookup.SITES)
    chunk = block * BLOCKS_PER_CHUNK
    n_sites = len(contributions.sites)
    starts = range(0, n_sites, chunk) if n_sites else range(1)
    with closing(_Worker(genotypes, contributions, scores, block)) as worker, ThreadPoolExecutor(threads) as pool:
        jobs = ((start, min(start + chunk, n_sites)) for start in starts)
        waiting: list[Future[_Chunk]] = [pool.submit(worker, *job) for job in islice(jobs, threads + 1)]
        while waiting:
            done = waiting.pop(0).result()
            waiting += [pool.submit(worker, *job) for job in islice(jobs, 1)]
            yield done


class _Worker:
    """Sums one chunk of sites for one group of scores; each thread has its own reader and buffers."""

    def __init__(self, genotypes: Genotypes, contributions: Contributions, scores: range, block: int) -> None:
        self._genotypes = genotypes
        self._contributions = contributions
        self._scores = scores
        self._block = block
        n = len(genotypes.samples)
        self._by_lookup = n >= MIN_LOOKUP_SAMPLES and not genotypes.has_dosages
        products = len(contributions.sites) * n * len(contributions)
        self._single = products > MAX_DOUBLE_PRODUCTS and len(scores) <= MAX_SINGLE_SCORES
        self._site_set = contributions.site_sets(scores)
        self._own = local()
        self._readers: list[SiteReader] = []

    def __call__(self, start: int, stop: int) -> _Chunk:
        n, s = len(self._genotypes.samples), len(self._scores)
        width = -(-(s + int(self._site_set.max(initial=-1)) + 1) // lookup.LANES)
        missing = np.zeros((n, width, lookup.LANES), np.float32)
        out = _Chunk(stop - start, np.zeros((s, n)), missing, np.zeros(s), self._site_set)
        weights = self._contributions.weights(start, stop, self._scores)
        dense = self._dense(weights)
        by_lookup = lookup.room_for_sums(int(dense.sum()), n) if dense.any() else None
        packed_do = by_lookup is not None and bool(dense.all()) and self._contributions.frequencies is not None
        for low in range(start, stop, self._block):
            high = min(low + self._block, stop)
            part = slice(low - start, high - start)
            counts = self._read(self._contributions.sites[low:high], packed_do=packed_do)
            frequency = self._frequency(counts, low, high)
            additive = weights.additive[:, part]
            het = weights.heterozygote[:, part] if weights.heterozygote is not None else None
            if by_lookup is not None:
                self._look_up(frequency, additive, het, dense, by_lookup)
            self._multiply(counts, frequency, additive, het, dense, out.sums)
            self._add_missing(counts, frequency, additive, het, out)
        del weights
        if by_lookup is None:
            return out
        summed = lookup.by_score(by_lookup, int(dense.sum()))
        if dense.all():
            return replace(out, sums=summed)
        out.sums[dense] += summed
        return out

    def _dense(self, weights: ChunkWeights) -> NDArray[np.bool_]:
        """The scores to be summed by lookup."""
        if not self._by_lookup:
            return np.zeros(len(weights.additive), np.bool_)
        dense: NDArray[np.bool_] = np.count_nonzero(weights.additive, axis=1) >= MIN_DENSE * weights.additive.shape[1]
        return dense if weights.heterozygote is None else dense | weights.heterozygote.any(axis=1)

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers:
            reader.close()

    def _read(self, sites: Sites, *, packed_do: bool) -> Genotype:
        """The calls of a block; hard calls are packed too, the rows beyond the last site as if nobody had a copy.

        Where `packed_do` and the format knows how, they are only packed, and what is returned is not theirs.
        """
        own, n = self._own, len(self._genotypes.samples)
        if not hasattr(own, "reader"):
            own.reader = self._genotypes.reader()
            self._readers.append(own.reader)
            own.counts = np.empty((self._block, n), np.float32 if self._genotypes.has_dosages else np.int8)
            own.room = np.empty((self._block // 4, n), np.uint8)
            own.tables = lookup.room_for_tables()
            own.matrix = None
        counts: Genotype = own.counts[: len(sites)]
        if counts.dtype == np.float32:
            own.reader.read_dosages(sites, counts)
            return counts
        whole = -(-len(sites) // lookup.SITES) * lookup.SITES
        own.packed = own.room[: whole // 4]
        if packed_do and isinstance(own.reader, PackedSites) and own.reader.read_packed(sites, own.packed):
            return counts
        own.reader.read(sites, counts)
        own.counts[len(sites) : whole] = 0
        lookup.pack(own.counts[:whole], own.packed)
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

    def _look_up(
        self,
        frequency: NDArray[np.float64],
        additive: NDArray[np.float64],
        heterozygote: NDArray[np.float64] | None,
        dense: NDArray[np.bool_],
        sums: NDArray[np.float64],
    ) -> None:
        if not dense.all():
            additive = additive[dense]
            heterozygote = None if heterozygote is None else heterozygote[dense]
        lookup.add_scores(self._own.packed, additive, heterozygote, 2 * frequency, self._own.tables, sums)

    def _multiply(
        self,
        counts: Genotype,
        frequency: NDArray[np.float64],
        additive: NDArray[np.float64],
        heterozygote: NDArray[np.float64] | None,
        dense: NDArray[np.bool_],
        sums: NDArray[np.float64],
    ) -> None:
        """The scores that are not dense: directly where they are few or have few sites, else as a matrix product."""
        if dense.all() and len(dense):
            return
        if dense.any():
            part = np.zeros((int((~dense).sum()), counts.shape[1]))
            self._multiply(counts, frequency, additive[~dense], None, np.zeros(len(part), np.bool_), part)
            sums[~dense] += part
            return
        centres = 2 * frequency
        if self._by_lookup or len(additive) <= FEW_SCORES:
            kernels.add_centred(counts, centres, np.ascontiguousarray(additive), sums)
        else:
            centred = self._matrix(len(counts), np.float32 if self._single else np.float64)
            expected = centres
            if self._single:  # centres that single precision holds exactly, so that a count minus one is exact
                centres = np.round(expected * _STEPS) / _STEPS
            kernels.centre(counts, centres, expected - centres, centred)
            _add_product(additive, centred, sums)
        sums[:] += (additive @ centres)[:, None]
        if heterozygote is not None and heterozygote.any():
            centred = self._matrix(len(counts), np.float64)
            kernels.heterozygotes(counts, centred)
            np.add(sums, heterozygote @ centred, out=sums)

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
        effects = np.zeros((len(counts), *out.missing.shape[1:]), np.float32)
        by_site = effects.reshape(len(counts), -1)
        s = len(variance)
        by_site[:, :s] = variance.T
        for number, score in enumerate(np.unique(out.site_set, return_index=True)[1].tolist()):
            by_site[:, s + number] = used[score]
        if counts.dtype == np.int8:
            lookup.add_missing(self._own.packed, effects, *lookup.lanes_used(effects), out.missing)
        else:
            kernels.add_missing(
                np.flatnonzero(counts < 0), counts.shape[1], by_site, out.missing.reshape(-1, by_site.shape[1])
            )

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


__all__ = ["score_samples", "site_variances"]
