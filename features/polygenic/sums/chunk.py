"""The task of summing a group of scores, and the result of summing a chunk of sites."""

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
    """One group of scores to be summed over all sites.

    `site_set` (score,): the set of sites that each score uses. `first_of_set` (set,): a score of each set. `uncertain`:
    whether the variance that missing calls hide is wanted too.
    """

    genotypes: Genotypes
    contributions: Contributions
    scores: range
    site_set: NDArray[np.intp]
    first_of_set: NDArray[np.intp]
    uncertain: bool

    @staticmethod
    def of(genotypes: Genotypes, contributions: Contributions, *, scores: range, uncertain: bool) -> Task:
        """Make the task of these scores, with their sets of sites."""
        site_set = contributions.site_sets(scores)
        first = np.unique(site_set, return_index=True)[1]
        return Task(genotypes, contributions, scores, site_set, first, uncertain)

    @property
    def n_samples(self) -> int:
        """The number of people in the file."""
        return len(self.genotypes.samples)

    @property
    def n_products(self) -> int:
        """The number of products, sites x samples x scores, over all groups of scores."""
        return len(self.contributions.sites) * self.n_samples * len(self.contributions)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Sums over a chunk of sites.

    `sums` (score, sample): without the `constants` (score,), which everybody has. `missing` (set, sample): missing
    calls at the sites of each set. `hidden`: the variance that missing calls hide, None where it is not wanted.
    """

    n_sites: int
    sums: NDArray[np.float64]
    constants: NDArray[np.float64]
    missing: NDArray[np.int64]
    hidden: Hidden | None

    @staticmethod
    def zeros(task: Task, n_sites: int) -> Chunk:
        """A chunk in which nothing is summed yet."""
        n, s = task.n_samples, len(task.scores)
        n_sets = len(task.first_of_set)
        hidden = Hidden.zeros(s, n) if task.uncertain else None
        return Chunk(n_sites, np.zeros((s, n)), np.zeros(s), np.zeros((n_sets, n), np.int64), hidden)


def site_variances(weights: SiteWeights) -> NDArray[np.float64]:
    """The variance (site, score) of the amount each site adds to each score, in Hardy-Weinberg proportions."""
    frequency = weights.expected[:, None] / 2
    additive, het = weights.additive, weights.heterozygote
    pq = 2 * frequency * (1 - frequency)
    variance: NDArray[np.float64] = additive**2 * pq
    if het is not None:
        variance += 2 * additive * het * pq * (1 - 2 * frequency) + het**2 * pq * (1 - pq)
    return variance


def used_sites(weights: SiteWeights, first_of_set: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether the scores of each set add anything at each site (site, set)."""
    used: NDArray[np.bool_] = weights.additive[:, first_of_set] != 0
    return used if weights.heterozygote is None else used | (weights.heterozygote[:, first_of_set] != 0)
