"""What moves risk: each person's terms of the model that serves them, and how much each feature moves the many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from training.cohort import Cohort, Described
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan
from training.models import DOSAGE_SCORE, Pair, Terms
from training.models.terms import terms
from training.result import Importance

SAMPLE = 2000  # people explained: TreeSHAP takes milliseconds for each
SAMPLE_OF_OTHERS = 300  # by each of the other fits: how they differ among themselves needs fewer
REPLICATES = 200
SHOWN = 40


def importance(
    plan: Plan, held: HeldOut, *, replicates: int = REPLICATES, others: Sequence[Pair] = ()
) -> tuple[Importance, ...]:
    """Mean absolute term of each feature over people held out, those it serves; most important first.

    At most `SAMPLE` rows, each explained by the model that did not learn from it. The interval, and that of the rank,
    come from resampling the splits' models, where there are several, and people within them: what would be found
    with other people and other training rows. Where there is one split, `others` are its model fitted anew to other
    draws of its people, and each replicate moves by a draw from how they differ among themselves.
    """
    cohort, splits, rng = plan.cohort, plan.scheme.splits, plan.stream("importance")
    parts, split_of, persons = [], [], []
    for k, (split, pair) in enumerate(zip(splits, held.pairs, strict=True)):
        rows = _sample(split.test, SAMPLE // len(splits), rng=rng)
        dosages = None if cohort.dosages is None else cohort.dosages.take(rows)
        parts.append(
            terms(
                pair,
                cohort.frame.take(rows),
                combined=cohort.genotyped[rows],
                horizons=cohort.horizons,
                dosages=dosages,
            )
        )
        split_of.append(np.full(len(rows), k))
        persons.append(cohort.persons[rows])
    names, size = _stacked(parts)
    known = ~np.isnan(size)
    size = np.nan_to_num(np.abs(size))
    counts = _counts(np.concatenate(split_of), np.concatenate(persons), rng=rng, replicates=replicates)
    served = counts @ known
    value = np.divide(counts @ size, served, out=np.full(served.shape, np.nan), where=served > 0)
    value[1:] = np.maximum(
        value[1:] + _moved(others, names, cohort=cohort, test=splits[0].test, rng=rng, replicates=replicates),
        0.0,
    )
    rank = np.argsort(np.argsort(-np.nan_to_num(value), axis=1, kind="stable"), axis=1, kind="stable") + 1
    order = np.argsort(rank[0])[:SHOWN]
    return tuple(_row(cohort, names[j], value=value[:, j], rank=rank[:, j]) for j in order if value[0, j] > 0)


def describe(cohort: Cohort, name: str) -> Described:
    """A feature's own description; a code and a score of genotypes have none."""
    if name == DOSAGE_SCORE:
        return Described("score of all genotypes", "genomic")
    return cohort.described.get(name, Described(name.replace("@", ", "), "codes"))


def _row(cohort: Cohort, name: str, *, value: Floats, rank: npt.NDArray[np.int64]) -> Importance:
    described = describe(cohort, name)
    drawn, ranks = value[1:][np.isfinite(value[1:])], rank[1:]
    low, high = np.percentile(drawn, (2.5, 97.5)) if len(drawn) else (None, None)
    first, last = np.percentile(ranks, (2.5, 97.5), method="nearest") if len(ranks) else (rank[0], rank[0])
    return Importance(
        feature=name,
        label=described.label,
        family=described.family,
        modifiable=described.modifiable,
        value=float(value[0]),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        rank_low=int(first),
        rank_high=int(last),
    )


def _moved(
    others: Sequence[Pair],
    names: tuple[str, ...],
    *,
    cohort: Cohort,
    test: Ints,
    rng: np.random.Generator,
    replicates: int,
) -> Floats:
    """(replicates, p) draws with the spread and the correlations of the other fits' importances; zero without two."""
    if len(others) < 2:
        return np.zeros((replicates, len(names)))
    rows = _sample(test, SAMPLE_OF_OTHERS, rng=rng)
    dosages = None if cohort.dosages is None else cohort.dosages.take(rows)
    where = {name: j for j, name in enumerate(names)}
    means = np.zeros((len(others), len(names)))
    for k, pair in enumerate(others):
        found = terms(
            pair, cohort.frame.take(rows), combined=cohort.genotyped[rows], horizons=cohort.horizons, dosages=dosages
        )
        for name, column in zip(found.names, found.values.T, strict=True):
            known = column[~np.isnan(column)]
            if name in where and len(known):
                means[k, where[name]] = float(np.abs(known).mean())
    spread = (means - means.mean(axis=0)) / np.sqrt(len(others) - 1)
    return np.asarray(rng.normal(size=(replicates, len(others))) @ spread, dtype=np.float64)


def _sample(rows: Ints, most: int, *, rng: np.random.Generator) -> Ints:
    return rows if len(rows) <= most else np.sort(rng.choice(rows, max(most, 1), replace=False))


def _stacked(parts: Sequence[Terms]) -> tuple[tuple[str, ...], Floats]:
    """Rows of all splits under the union of their names; a feature that one split's model lacks moved nobody there."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    where = {name: i for i, name in enumerate(names)}
    values = []
    for part in parts:
        whole = np.zeros((len(part.values), len(names)))
        whole[:, [where[name] for name in part.names]] = part.values
        values.append(whole)
    return names, np.concatenate(values)


def _counts(split_of: Ints, persons: Ints, *, rng: np.random.Generator, replicates: int) -> Floats:
    """(1 + replicates, n) how often each row counts; everybody once comes first."""
    people, row_person = np.unique(persons, return_inverse=True)
    n_splits = int(split_of.max(initial=0)) + 1
    counts = np.ones((1 + replicates, len(persons)))
    for b in range(1, 1 + replicates):
        drawn = np.bincount(rng.integers(len(people), size=len(people)), minlength=len(people))
        models = np.bincount(rng.integers(n_splits, size=n_splits), minlength=n_splits)
        counts[b] = drawn[row_person] * models[split_of]
    return counts
