"""Learns a score of many genotypes inside the training rows: ridge on all variants, its strength by inner folds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from training.cohort import Dosages, person_folds
from training.disclosure import SMALLEST, last_rows
from training.models import DosageScore

HERITABILITIES = (0.02, 0.1, 0.3, 0.6)  # share of the residual's variance; ridge strength is (1 - h) / h per variant
FOLDS = 5


def learn_dosage_score(dosages: Dosages, residual: Floats, *, persons: Ints, rng: np.random.Generator) -> DosageScore:
    """Ridge of the outcome's residual (given the clinical risk) on all dosages of n rows.

    residual: (n,) label minus expected risk, times any censoring weight.
    The strength is the one of `HERITABILITIES` whose held-out scores go best with the residual; a person's rows stay
    in one fold. Variants that fewer than 11 people have otherwise than most weigh nothing. Nothing is screened on rows
    that later test it. (Goddard, Genetica 2009;136:245: ridge and BLUP.)
    """
    n_called = np.maximum(1, (~np.isnan(dosages.values)).sum(axis=0))
    mean = np.nansum(dosages.values, axis=0, dtype=np.float64) / n_called
    centred = np.nan_to_num(dosages.values - mean.astype(np.float32), nan=0.0).astype(np.float64)
    scale = centred.std(axis=0)
    usable = _shared(dosages, persons)
    mean = np.where(usable, mean, 0.0)  # a rare allele's frequency would tell who carries it
    G = centred[:, usable] / scale[usable]
    kernel = G @ G.T / max(1, G.shape[1])
    target = residual - residual.mean()
    folds = person_folds(persons, (residual > 0).astype(np.int8), folds=FOLDS, rng=rng)
    held = np.stack([_held_out(kernel, target, folds=folds, strength=_strength(h)) for h in HERITABILITIES])
    spread = held.std(axis=1)
    agreement = (held @ target) / np.where(spread > 0, spread, 1.0)
    best = int(np.argmax(agreement))
    dual = np.linalg.solve(kernel + _strength(HERITABILITIES[best]) * np.eye(len(target)), target)
    weight = np.zeros(len(scale))
    weight[usable] = (G.T @ dual) / max(1, G.shape[1]) / scale[usable]
    return DosageScore(dosages.variants, dosages.alleles, mean, weight, held[best])


def _shared(dosages: Dosages, persons: Ints) -> npt.NDArray[np.bool_]:
    """(m,) variants of which at least 11 people have another genotype than the most common one."""
    each = dosages.values[last_rows(persons)]
    classes = [(each < 0.5).sum(axis=0), ((each >= 0.5) & (each < 1.5)).sum(axis=0), (each >= 1.5).sum(axis=0)]
    rarer: Ints = np.sum(classes, axis=0) - np.max(classes, axis=0)
    return np.asarray(rarer >= SMALLEST, dtype=np.bool_)


def _strength(heritability: float) -> float:
    return (1.0 - heritability) / heritability


def _held_out(kernel: Floats, target: Floats, *, folds: Ints, strength: float) -> Floats:
    scores = np.empty(len(target))
    for k in np.unique(folds):
        learn, hold = folds != k, folds == k
        centre = target[learn].mean()
        inner = kernel[np.ix_(learn, learn)] + strength * np.eye(int(learn.sum()))
        scores[hold] = kernel[np.ix_(hold, learn)] @ np.linalg.solve(inner, target[learn] - centre)
    return scores
