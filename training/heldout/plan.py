"""A study on its rows: who learns and who is tested in each split, who was followed, and where chance comes from."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Ints
from training.card import horizon_words
from training.cohort import Cohort, Scheme, Split, Uncensored, known_controls, make_splits
from training.fitting import followed
from training.learners import MIN_EVENTS
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

        A horizon to which too few people are followed to learn from is left out, with a note, while another remains.

        Raises PresageError for a scheme that the cohort has too few people or events for.
        """
        while True:
            scheme = make_splits(cohort, study.validation, folder=study.folder, rng=stream(seed, "splits"))
            if len(cohort.outcome.horizons_days) < 2 or _is_reached(cohort, scheme):
                break
            cohort = _without_last_horizon(cohort, study)
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


def _is_reached(cohort: Cohort, scheme: Scheme) -> bool:
    """Whether every training side knows enough people who are free of the event at the last horizon."""
    free = known_controls(cohort.outcome)
    persons = cohort.persons
    return all(len(np.unique(persons[split.train[free[split.train]]])) >= MIN_EVENTS for split in scheme.splits)


def _without_last_horizon(cohort: Cohort, study: Study) -> Cohort:
    outcome = cohort.outcome
    last, unit = outcome.horizons_days[-1], study.outcome.time_unit
    when = f"{last:g} days" if unit in (None, "days") else horizon_words(last, unit)
    said = (
        f"no model at {when}: fewer than {MIN_EVENTS} people of a training side are known to be free of the event "
        f"then; give that horizon more follow-up"
    )
    shorter = replace(outcome, horizons_days=outcome.horizons_days[:-1])
    return replace(cohort, outcome=shorter, notes=(*cohort.notes, said))


def stream(seed: int, *names: str) -> np.random.Generator:
    """A random generator for one piece of work, from the run's seed and the names of the work.

    Every piece has random numbers of its own, so that the order in which pieces run changes no result.
    """
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
