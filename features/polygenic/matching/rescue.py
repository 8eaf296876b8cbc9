"""Palindromes whose strand is told by frequencies: off unless asked for, and each of them on record.

The strand of an A/T or C/G variant cannot be seen from its alleles. Where the scoring file tells the effect allele's
frequency and a reference tells the genotypes', both far from one half, only one strand fits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.polygenic.matching.rules import PALINDROME, Matches
from features.polygenic.scores import ScoreRows

MAX_MINOR_FREQUENCY = 0.4  # beyond it the strands cannot be told apart
MAX_DIFFERENCE = 0.15  # between the scoring file and the reference
OUTCOMES = ("as given", "other strand", "frequency near one half", "frequencies differ", "frequency unknown")
# What each kind of match is on the other strand: the effect allele is then the other one.
_OTHER_STRAND = np.array([3, 2, 1, 0, 7, 6, 5, 4], np.int8)


@dataclass(frozen=True, slots=True)
class Rescue:
    """The outcome of the rescue for each row of a score: an index of `OUTCOMES`, -1 where there was nothing to rescue.

    `reference`: the reference's frequency of the effect allele, as the file names it.
    """

    outcome: NDArray[np.int8]
    reference: NDArray[np.float64]


def rescue_palindromes(rows: ScoreRows, matches: Matches, *, frequencies: NDArray[np.float64] | None) -> Rescue:
    """Bring palindromes back into `matches` where frequencies tell their strand.

    `frequencies` (variant,): of each variant's ALT.
    """
    outcome = np.full(len(rows), -1, np.int8)
    reference = np.full(len(rows), np.nan)
    chosen = np.flatnonzero(matches.reasons == PALINDROME)
    alternate = np.full(len(chosen), np.nan) if frequencies is None else frequencies[matches.variant[chosen]]
    named = np.where(matches.counts_ref[chosen], 1 - alternate, alternate)
    told = rows.frequency[chosen]
    reference[chosen] = named
    minor = np.maximum(np.minimum(told, 1 - told), np.minimum(named, 1 - named))
    same, other = np.abs(told - named), np.abs(told - (1 - named))
    decided = np.where(same <= other, 0, 1)
    decided = np.where(np.minimum(same, other) > MAX_DIFFERENCE, 3, decided)
    decided = np.where(minor > MAX_MINOR_FREQUENCY, 2, decided)
    outcome[chosen] = np.where(np.isnan(told) | np.isnan(named), 4, decided)
    turned = outcome == 1
    matches.kind[turned] = _OTHER_STRAND[matches.kind[turned]]
    matches.reasons[(outcome == 0) | turned] = 0
    return Rescue(outcome, reference)
