"""Penalised Cox regression with splines; competing events by a second, cause-specific model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import COMPETING, EVENT, Outcome, RiskCurves, person_folds
from training.learners.baseline import Baseline, learn_baseline
from training.learners.design import Design
from training.learners.folds import INNER_FOLDS, MIN_EVENTS, check_learnable, out_of_fold
from training.learners.linear import (
    START_PENALTIES,
    Warm,
    design_of,
    fit_warm,
    linear_terms,
    penalty_settings,
    read_learner,
    write_learner,
)
from training.learners.partial_likelihood import PartialLikelihood
from training.learners.protocol import Contributions
from training.learners.ridge import RidgeFit

BASELINE_FILE = "baseline.parquet"


@dataclass(frozen=True, slots=True)
class CoxFit:
    """Proportional hazards on the design, one row of coefficients per cause."""

    design: Design
    beta: Floats  # (causes, P)
    baseline: Baseline
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "cox"

    def linear_predictor(self, frame: FeatureFrame) -> Floats:
        """(n, causes) log hazard ratios against the average person."""
        return np.asarray(self.design.matrix(frame) @ self.beta.T, dtype=np.float64)

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence by each horizon."""
        return self.baseline.risk(self.linear_predictor(frame), horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """Exact terms of the event's log hazard."""
        return replace(linear_terms(self.design, self.beta[0], frame=frame), hazard=self.baseline)

    def write(self, folder: Path) -> None:
        """`learner.json` and `baseline.parquet`."""
        write_learner(
            folder,
            {
                "learner": self.name,
                "design": self.design.to_json(),
                "beta": self.beta.tolist(),
                "settings": dict(self.settings),
            },
        )
        self.baseline.write(folder / BASELINE_FILE)

    @classmethod
    def read(cls, folder: Path) -> CoxFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        return cls(
            Design.from_json(stored["design"]),
            np.array(stored["beta"], dtype=np.float64).reshape(len(stored["beta"]), -1),
            Baseline.read(folder / BASELINE_FILE),
            stored["settings"],
        )


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
            raise PresageError("models", "a time-to-event outcome for 'cox'", way_out="name 'logistic' instead")
        check_learnable(frame, outcome, persons=persons)
        fitted, fits = _fit_causes(frame, outcome, persons=persons, weights=weights, warm=None)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)

        def part(learn: npt.NDArray[np.intp]) -> CoxFit:
            some = None if weights is None else weights[learn]
            warm = Warm(fitted.design, fits, len(learn) / len(frame))
            return _fit_causes(frame.take(learn), outcome.take(learn), persons=persons[learn], weights=some, warm=warm)[
                0
            ]

        return replace(fitted, out_of_fold=out_of_fold(frame, folds, horizons_days=outcome.horizons_days, fit=part))


def _fit_causes(
    frame: FeatureFrame,
    outcome: Outcome,
    *,
    persons: npt.NDArray[np.int64],
    weights: Floats | None,
    warm: Warm | None,
) -> tuple[CoxFit, list[RidgeFit]]:
    event = outcome.event == EVENT
    design = design_of(frame, warm, relevance=event - float(event.mean()))
    X = design.matrix(frame)
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
