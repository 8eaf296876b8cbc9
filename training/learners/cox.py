"""Penalised Cox regression with splines; competing events by a second, cause-specific model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.errors import PresageError
from features.frame import FeatureFrame
from training.learners.baseline import Baseline, learn_baseline
from training.learners.design import Design, learn_design
from training.learners.folds import INNER_FOLDS, MIN_EVENTS, check_learnable, person_folds
from training.learners.linear import START_PENALTIES, linear_terms, penalty_settings, read_learner, write_learner
from training.learners.partial_likelihood import partial_likelihood, risk_sets
from training.learners.protocol import Contributions
from training.learners.ridge import RidgeFit, fit_ridge, learn_penalties
from training.outcomes import COMPETING, EVENT, Outcome, RiskCurves

Floats = npt.NDArray[np.float64]
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
        return linear_terms(self.design, self.beta[0], frame)

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
        check_learnable(outcome, persons)
        fitted, penalties = _fit_causes(frame, outcome, persons, weights, None)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        risks = np.empty((len(frame), len(outcome.horizons_days)))
        for k in range(INNER_FOLDS):
            learn, hold = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
            some = None if weights is None else weights[learn]
            part, _ = _fit_causes(frame.take(learn), outcome.take(learn), persons[learn], some, penalties)
            risks[hold] = part.risk_at(frame.take(hold), outcome.horizons_days).probabilities
        return replace(fitted, out_of_fold=RiskCurves(outcome.horizons_days, risks))


def _fit_causes(
    frame: FeatureFrame,
    outcome: Outcome,
    persons: npt.NDArray[np.int64],
    weights: Floats | None,
    penalties: list[Floats] | None,
) -> tuple[CoxFit, list[Floats]]:
    event = outcome.event == EVENT
    design = learn_design(frame, relevance=event - float(event.mean()))
    X = design.matrix(frame)
    causes = [EVENT, COMPETING] if outcome.kind == "competing" else [EVENT]
    fits = []
    for position, cause in enumerate(causes):
        if cause == COMPETING and len(np.unique(persons[outcome.event == cause])) < MIN_EVENTS:
            fits.append(RidgeFit(np.zeros(X.shape[1]), START_PENALTIES, 0.0))
            continue
        given = penalties[position] if penalties is not None and position < len(penalties) else None
        fits.append(fit_cause(X, design, outcome.time_days, outcome.event == cause, weights, given))
    beta = np.stack([fit.beta for fit in fits])
    baseline = learn_baseline(outcome, X @ beta.T, weights)
    settings = penalty_settings(fits[0].penalties) | {"effective_parameters": fits[0].effective_parameters}
    return CoxFit(design, beta, baseline, settings), [fit.penalties for fit in fits]


def fit_cause(
    X: Floats,
    design: Design,
    time: Floats,
    event: npt.NDArray[np.bool_],
    weights: Floats | None,
    penalties: Floats | None,
) -> RidgeFit:
    """One cause's penalised partial likelihood; learns the penalties where none are given."""
    sets = risk_sets(time, event, weights)
    ordered = X[sets.order]

    def objective(beta: Floats) -> tuple[float, Floats, Floats]:
        return partial_likelihood(ordered, sets, beta)

    if penalties is None:
        return learn_penalties(objective, design.groups, start=START_PENALTIES)
    return fit_ridge(objective, design.groups, penalties)
