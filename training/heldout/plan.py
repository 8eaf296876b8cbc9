"""A study on its rows: who learns and who is tested in each split, who was followed, and where chance comes from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from features.arrays import Ints
from training.cohort import Cohort, Scheme, Split, Uncensored, make_splits
from training.fitting import followed
from training.study import Study

SPLITTING = "splitting, and looking who was followed"


@dataclass(frozen=True, slots=True)
class Plan:
    """What every step of a training shares; it is made once, before anything is fitted.

    uncensored: for each split of the scheme, of its training rows, the chance of still being followed given the
    clinical features; None where nothing is censored (a binary outcome). seed: of all chance, see `stream`.
    """

    study: Study
    cohort: Cohort
    scheme: Scheme
    uncensored: tuple[Uncensored | None, ...]
    seed: int

    @classmethod
    def of(cls, study: Study, cohort: Cohort, *, seed: int) -> Plan:
        """Split the cohort by the study's scheme, and look who was followed in each training side.

        Raises PresageError for a scheme that the cohort has too few people or events for.
        """
        scheme = make_splits(cohort, study.validation, folder=study.folder, rng=stream(seed, "splits"))
        return cls(study, cohort, scheme, tuple(followed(cohort, split.train) for split in scheme.splits), seed)

    def stream(self, *names: str) -> np.random.Generator:
        """The random generator of one piece of work of this training, as `stream` gives it."""
        return stream(self.seed, *names)

    @property
    def parts(self) -> Iterator[tuple[Split, Uncensored | None]]:
        """Each split with the chances of its training rows."""
        return zip(self.scheme.splits, self.uncensored, strict=True)

    @property
    def learned_rows(self) -> Ints:
        """Rows that any split learns from, each once."""
        return np.unique(np.concatenate([split.train for split in self.scheme.splits]))

    @property
    def tested_rows(self) -> Ints:
        """Rows that any split tests, each once."""
        return np.unique(np.concatenate([split.test for split in self.scheme.splits]))


def stream(seed: int, *names: str) -> np.random.Generator:
    """A random generator for one piece of work, from the run's seed and the names of the work.

    Every piece has random numbers of its own, so that the order in which pieces run changes no result.
    """
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
