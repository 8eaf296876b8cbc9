"""Penalised Cox regression with splines; competing events by a second, cause-specific model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Positions
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import COMPETING, EVENT, Outcome
from training.fitted import CoxFit
from training.learners.baseline import learn_baseline
from training.learners.folds import MIN_EVENTS, check_learnable
from training.learners.linear import START_PENALTIES, Warm, design_of, fit_warm, fit_with_held_out, penalty_settings
from training.learners.partial_likelihood import PartialLikelihood
from training.learners.ridge import RidgeFit


@dataclass(frozen=True, slots=True)
class Cox:
    """Ridge-penalised Cox regression, Efron ties, penalties learned per group of columns (see `ridge`)."""

    name: str = "cox"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> CoxFit:
        """Coefficients for the event and, with competing events, for what competes with it."""
        if outcome.kind == "binary":
            raise PresageError(
                "[models] candidates",
                "learners of a binary outcome",
                found="'cox', which needs times",
                way_out="name 'logistic' instead",
            )
        check_learnable(frame, outcome, persons=persons)
        rows = _Followed(frame, outcome, persons, weights)
        return fit_with_held_out(_fit_causes, rows, outcome, persons=persons, rng=rng)


@dataclass(frozen=True, slots=True)
class _Followed:
    """n rows and what became of them; weights: (n,) how many people each stands for."""

    frame: FeatureFrame
    outcome: Outcome
    persons: npt.NDArray[np.int64]
    weights: Floats | None

    def take(self, rows: Positions) -> _Followed:
        weights = None if self.weights is None else self.weights[rows]
        return _Followed(self.frame.take(rows), self.outcome.take(rows), self.persons[rows], weights)


def _fit_causes(rows: _Followed, warm: Warm | None) -> tuple[CoxFit, list[RidgeFit]]:
    outcome, persons, weights = rows.outcome, rows.persons, rows.weights
    event = outcome.event == EVENT
    design = design_of(rows.frame, warm, relevance=event - float(event.mean()))
    X = design.matrix(rows.frame)
    fits = []
    for position, cause in enumerate([EVENT, COMPETING] if outcome.kind == "competing" else [EVENT]):
        happened = outcome.event == cause
        if cause == COMPETING and len(np.unique(persons[happened])) < MIN_EVENTS:
            fits.append(RidgeFit(np.zeros(X.shape[1]), START_PENALTIES, 0.0, np.eye(X.shape[1])))
            continue
        likelihood = PartialLikelihood.of(X, outcome.time_days, event=happened, weights=weights)
        fits.append(fit_warm(likelihood, design.groups, warm=None if warm is None else warm.at(position, design)))
    beta = np.stack([fit.beta for fit in fits])
    baseline = learn_baseline(outcome, X @ beta.T, weights=weights, persons=persons)
    settings = penalty_settings(fits[0].penalties) | {"effective_parameters": fits[0].effective_parameters}
    return CoxFit(design, beta, baseline, settings), fits
