"""What is to be summed, and what summing a chunk of sites gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.polygenic.columns import SiteWeights
from features.polygenic.genotypes import Genotypes
from features.polygenic.sums.contributions import Contributions
from features.polygenic.sums.found import Hidden


@dataclass(frozen=True, slots=True)
class Task:
    """One group of scores over all sites. `site_set`: for each score which set of sites it uses; `first_of_set`: of
    each set a score. `uncertain`: the variance that missing calls hide is wanted too.
    """

    genotypes: Genotypes
    contributions: Contributions
    scores: range
    site_set: NDArray[np.intp]
    first_of_set: NDArray[np.intp]
    uncertain: bool

    @staticmethod
    def of(genotypes: Genotypes, contributions: Contributions, *, scores: range, uncertain: bool) -> Task:
        """With the scores' sets of sites."""
        site_set = contributions.site_sets(scores)
        first = np.unique(site_set, return_index=True)[1]
        return Task(genotypes, contributions, scores, site_set, first, uncertain)

    @property
    def n_samples(self) -> int:
        """People in the file."""
        return len(self.genotypes.samples)

    @property
    def n_products(self) -> int:
        """Sites x samples x scores, of all groups."""
        return len(self.contributions.sites) * self.n_samples * len(self.contributions)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Of each score: `sums` (score, sample) less `constants` (score,), and what is `hidden`; of each set of sites the
    calls `missing` (set, sample).
    """

    n_sites: int
    sums: NDArray[np.float64]
    constants: NDArray[np.float64]
    missing: NDArray[np.int64]
    hidden: Hidden | None

    @staticmethod
    def zeros(task: Task, n_sites: int) -> Chunk:
        """Nothing summed yet."""
        n, s = task.n_samples, len(task.scores)
        n_sets = len(task.first_of_set)
        hidden = Hidden.zeros(s, n) if task.uncertain else None
        return Chunk(n_sites, np.zeros((s, n)), np.zeros(s), np.zeros((n_sets, n), np.int64), hidden)


def site_variances(weights: SiteWeights) -> NDArray[np.float64]:
    """Variance (site, score) of what each site adds to each score, in Hardy-Weinberg proportions."""
    frequency = weights.expected[:, None] / 2
    additive, het = weights.additive, weights.heterozygote
    pq = 2 * frequency * (1 - frequency)
    variance: NDArray[np.float64] = additive**2 * pq
    if het is not None:
        variance += 2 * additive * het * pq * (1 - 2 * frequency) + het**2 * pq * (1 - pq)
    return variance


def used_sites(weights: SiteWeights, first_of_set: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(site, set): where the scores of a set add anything."""
    used: NDArray[np.bool_] = weights.additive[:, first_of_set] != 0
    return used if weights.heterozygote is None else used | (weights.heterozygote[:, first_of_set] != 0)
