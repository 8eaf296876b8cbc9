"""Many scores summed over many people in one pass and bounded memory, the same whatever the number of threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice

import numpy as np
from threadpoolctl import threadpool_limits

from features.polygenic.genotypes import Genotypes
from features.polygenic.sums.chunk import Chunk, Task
from features.polygenic.sums.contributions import Contributions
from features.polygenic.sums.dosages import DosageSums
from features.polygenic.sums.found import MIN_OWN_FREQUENCY_SAMPLES, Hidden, Sums
from features.polygenic.sums.hard_calls import BLOCK_SITES, HardCalls
from features.progress import Progress, silent

MIN_LOOKUP_SAMPLES = 512  # from here on hard calls are summed by lookup
_MIN_CHUNK, _MAX_CHUNK, _CHUNKS = 4 * BLOCK_SITES, 32 * BLOCK_SITES, 24  # sites, sites, at least so many if long


def score_samples(
    genotypes: Genotypes,
    contributions: Contributions,
    *,
    uncertain: bool = False,
    threads: int = 1,
    max_memory_mb: int = 400,
    progress: Progress = silent,
) -> Sums:
    """Sum every score over every sample; a missing call stands at twice the allele frequency.

    A missing call of a dominant or recessive row adds its weight times the frequency, as in plink2 (not the probability
    of carrying the allele): the line through the amounts that 0 and 2 copies add, without the further amount of exactly
    1 copy. Frequencies are the contributions' where they have them, else the samples' own from 50 samples on, else
    there are none. `uncertain`: also compute the variance that missing calls hide. Memory grows with samples times
    scores: where that exceeds `max_memory_mb`, scores are taken in groups, with one pass each.
    """
    n, s = len(genotypes.samples), len(contributions)
    group = max(1, int(max_memory_mb * 1e6 / 2 / (n * 16 * (threads + 2))))
    out = Sums(np.zeros((s, n)), np.zeros((s, n), np.int64), Hidden.zeros(s, n) if uncertain else None)
    groups = [range(start, min(start + group, s)) for start in range(0, s, group)]
    total = len(groups) * len(contributions.sites)
    with progress("Scoring", total=total) as advance, threadpool_limits(1):
        for scores in groups:
            task = Task.of(genotypes, contributions, scores=scores, uncertain=uncertain)
            part = slice(scores.start, scores.stop)
            for done in _chunks(task, threads, max_memory_mb=max_memory_mb):
                out.sums[part] += done.sums
                out.sums[part] += done.constants[:, None]
                out.missing[part] += done.missing[task.site_set]
                if out.hidden is not None and done.hidden is not None:
                    out.hidden.lost[part] += done.hidden.lost
                    out.hidden.variance[part] += done.hidden.variance
                advance(done.n_sites)
    out.sums[:] += contributions.constants[:, None]
    if contributions.frequencies is None and n < MIN_OWN_FREQUENCY_SAMPLES:
        out.sums[out.missing > 0] = np.nan
    return out


def _chunks(task: Task, threads: int, *, max_memory_mb: int) -> Iterator[Chunk]:
    """Chunks in order, so that the sum does not depend on which thread was first."""
    by_lookup = task.n_samples >= MIN_LOOKUP_SAMPLES and not task.genotypes.has_dosages
    worker: HardCalls | DosageSums = HardCalls(task) if by_lookup else DosageSums(task, max_memory_mb=max_memory_mb)
    n_sites = len(task.contributions.sites)
    blocks = -(-n_sites // (_CHUNKS * BLOCK_SITES))
    chunk = min(max(blocks * BLOCK_SITES, _MIN_CHUNK), _MAX_CHUNK)
    starts = range(0, n_sites, chunk) if n_sites else range(1)
    with closing(worker), ThreadPoolExecutor(threads) as pool:
        jobs = ((start, min(start + chunk, n_sites)) for start in starts)
        waiting: list[Future[Chunk]] = [pool.submit(worker.__call__, *job) for job in islice(jobs, threads + 1)]
        while waiting:
            done = waiting.pop(0).result()
            waiting += [pool.submit(worker.__call__, *job) for job in islice(jobs, 1)]
            yield done


__all__ = ["score_samples"]
