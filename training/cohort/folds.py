"""Folds of people: rows of one person together, people with the event spread evenly, whatever the row order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.cohort.outcome import EVENT


def person_folds(
    persons: npt.NDArray[np.int64], event: npt.NDArray[np.int8], *, folds: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(n,) fold of each row, from 0; people with the event, then with a competing one, spread evenly."""
    people, row_person = np.unique(persons, return_inverse=True)
    stratum = np.zeros(len(people), dtype=np.int64)
    rank = np.where(event == EVENT, 2, np.where(event > EVENT, 1, 0))
    np.maximum.at(stratum, row_person, rank)
    order = rng.permutation(len(people))
    order = order[np.argsort(stratum[order], kind="stable")]
    fold = np.empty(len(people), dtype=np.int64)
    fold[order] = np.arange(len(people)) % folds
    return fold[row_person]
