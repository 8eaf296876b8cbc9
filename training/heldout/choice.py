"""The one rule that chooses the candidate to serve, by rows that were held out inside the training sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from training.heldout.candidates import HeldOut, Inner

SURE = 1.96  # standard errors by which a later candidate has to be better; by one, 45 events chose a booster of noise


def choose(held: Sequence[HeldOut]) -> HeldOut:
    """The earliest candidate that no other beats by more than 1.96 standard errors (mean over splits), paired by row
    and clustered by person, and that is no worse than any candidate passed over before it.

    The study lists what it would rather have first: a later candidate has to earn it, as its settings were chosen on
    the same held-out rows. The standard error is that of a difference, so a noisy candidate has a large one; alone it
    would let a worse candidate stand where a better one, listed before it, was beaten.
    """
    best = min(held, key=lambda found: found.inner_brier)
    passed_over = math.inf
    for found in held:
        if found is best or (found.inner_brier <= passed_over and not _surely_worse(found, best)):
            return found
        passed_over = min(passed_over, found.inner_brier)
    return best


def _surely_worse(found: HeldOut, best: HeldOut) -> bool:
    gains = [gain(a, b) for a, b in zip(found.inner, best.inner, strict=True)]
    return bool(np.mean([mean for mean, _ in gains]) > SURE * np.mean([error for _, error in gains]))


def gain(worse: Inner, better: Inner) -> tuple[float, float]:
    """Mean difference of squared errors, and its standard error over people: rows of one person share their fate."""
    weight = worse.weight / worse.weight.sum()
    difference = worse.squared - better.squared
    mean = float(weight @ difference)
    people = np.unique(worse.persons, return_inverse=True)[1]
    return mean, float(np.sqrt(np.sum(np.bincount(people, weights=weight * (difference - mean)) ** 2)))
