"""What the linear learners share: one fit on all rows, and fits without one fold each that start where it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Positions
from features.frame import FeatureFrame
from training.cohort import Outcome, person_folds
from training.fitted import GROUP_NAMES, CoxFit, Design, LogisticFit, Updated
from training.learners.design import learn_design
from training.learners.folds import INNER_FOLDS, out_of_fold
from training.learners.ridge import Likelihood, RidgeFit, fit_ridge, learn_penalties

START_PENALTIES = np.full(len(GROUP_NAMES), 10.0)
# Of the log hazard or log odds: straight parts and categories are expected to say something, the others little.
EXPECTED_SPREADS = np.array([0.3, 0.3, 0.01, 0.01, 0.01])
FOLD_TOLERANCE = 1e-4  # nats: held-out risks need no more


@dataclass(frozen=True, slots=True)
class Warm:
    """What a fit on all rows tells the fits without one fold: design, penalties, and where to start.

    share: of the rows that the fold's fit sees. The design is shared unless it chose codes by the outcome.
    """

    design: Design
    fits: Sequence[RidgeFit]
    share: float

    def at(self, position: int, design: Design) -> RidgeFit | None:
        """The start of one cause or horizon; without coefficients where the columns are not the same."""
        if position >= len(self.fits):
            return None
        fit = self.fits[position]
        if design is self.design:
            return replace(fit, information=fit.information * self.share)
        return replace(fit, beta=np.empty(0), information=np.empty((0, 0)))


class Rows(Protocol):
    """What a linear learner learns from: features, and whatever it needs to know of each row beside them."""

    @property
    def frame(self) -> FeatureFrame:
        """The features of n rows."""
        ...

    def take(self, rows: Positions) -> Self:
        """The same of these rows."""
        ...


SomeRows = TypeVar("SomeRows", bound=Rows)
Linear = TypeVar("Linear", CoxFit, LogisticFit, Updated)


def fit_with_held_out(
    learn: Callable[[SomeRows, Warm | None], tuple[Linear, list[RidgeFit]]],
    rows: SomeRows,
    outcome: Outcome,
    *,
    persons: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> Linear:
    """The model of all rows, with risks held out by the inner folds.

    learn: the model of some rows and its ridge fits (one per cause or horizon), given where to start. The penalties are
    learned on all rows, once; the fits without one fold take them over.
    """
    fitted, fits = learn(rows, None)
    folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)

    def part(kept: Positions) -> Linear:
        return learn(rows.take(kept), Warm(fitted.design, fits, len(kept) / len(rows.frame)))[0]

    horizons = outcome.horizons_days or (float("nan"),)
    return replace(fitted, out_of_fold=out_of_fold(rows.frame, folds, horizons_days=horizons, fit=part))


def design_of(frame: FeatureFrame, warm: Warm | None, *, relevance: Floats) -> Design:
    """The design of all rows for a fold of them, or one learned here."""
    if warm is not None and not warm.design.code_names:
        return warm.design
    return learn_design(frame, relevance=relevance)


def fit_warm(
    likelihood: Likelihood,
    groups: npt.NDArray[np.int64],
    *,
    warm: RidgeFit | None,
    start: Floats = START_PENALTIES,
    expected: Floats = EXPECTED_SPREADS,
) -> RidgeFit:
    """Penalties learned here without a warm start, from `start` on and with what is `expected`; else taken from it."""
    if warm is None:
        return learn_penalties(likelihood, groups, start=start, expected=expected)
    if len(warm.beta) != len(groups):
        return fit_ridge(likelihood, groups, penalties=warm.penalties, tolerance=FOLD_TOLERANCE)
    return fit_ridge(
        likelihood,
        groups,
        penalties=warm.penalties,
        beta=warm.beta,
        information=warm.information,
        tolerance=FOLD_TOLERANCE,
    )


def penalty_settings(penalties: Floats) -> dict[str, float | int | str]:
    """The learned penalties by name."""
    return {f"penalty_{name}": float(value) for name, value in zip(GROUP_NAMES, penalties, strict=True)}
