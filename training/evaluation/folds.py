"""Which model tested which row: pairs of people are compared within a split, and splits share what they learned from.

What is estimated under each scheme, and why intervals are stretched: docs/decisions/0018-pairs-within-folds.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Ints, Strings


@dataclass(frozen=True, slots=True)
class Folds:
    """The J splits that tested n rows.

    split: (n,) the split of each row, from 0. pass_of: (J,) the pass of each split, from 0: within a pass nobody is
    tested twice, so that five times 5 folds are five passes. stretch: what a replicate's distance from the estimate is
    multiplied by, as models held fixed hide that people tested in one split were learned from in the others.
    """

    split: Ints
    pass_of: Ints
    stretch: float

    @classmethod
    def of(cls, names: Strings, persons: Ints, *, learned_from: Mapping[str, int]) -> Folds:
        """names: (n,) of the split that tested each row. learned_from: people on each split's training side.

        >>> two_folds = Folds.of(np.array(["1", "2"]), np.array([7, 8]), learned_from={"1": 1, "2": 1})
        >>> two_folds.pass_of.tolist(), round(two_folds.stretch**2, 3)
        ([0, 0], 1.5)
        """
        order = {name: code for code, name in enumerate(dict.fromkeys(names.tolist()))}
        split = np.array([order[name] for name in names.tolist()], dtype=np.int64)
        tested = [frozenset(persons[split == code].tolist()) for code in order.values()]
        passes: list[set[int]] = []
        pass_of = []
        for people in tested:
            free = next((k for k, seen in enumerate(passes) if not seen & people), len(passes))
            if free == len(passes):
                passes.append(set())
            passes[free] |= people
            pass_of.append(free)
        shares = [len(people) / (len(people) + learned_from[name]) for name, people in zip(order, tested, strict=True)]
        variance = variance_factor(len(order), passes=len(passes), share=float(np.mean(shares)) if shares else 0.0)
        return cls(split, np.array(pass_of, dtype=np.int64), float(np.sqrt(variance)))

    def take(self, rows: Ints) -> Folds:
        """The same splits, of some of the rows."""
        return replace(self, split=self.split[rows])

    @property
    def passes(self) -> tuple[Ints, ...]:
        """The rows of each pass that has any."""
        of_row = self.pass_of[self.split]
        return tuple(np.flatnonzero(of_row == k) for k in np.unique(of_row))


def variance_factor(splits: int, *, passes: int, share: float) -> float:
    """Variance of the mean over J splits, in units of one pass's variance given its models.

    share: of the people of a split those that are tested, which Nadeau and Bengio take for the correlation between the
    results of two splits (Mach Learn 2003;52:239).

    >>> variance_factor(1, passes=1, share=0.4), round(variance_factor(5, passes=1, share=0.2), 3)
    (1.0, 1.8)
    """
    return splits / passes * (1 / splits + (1 - 1 / splits) * share) if splits else 1.0
