"""XGBoost on Cox's partial likelihood, with slope and Breslow baseline fitted on out-of-fold margins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import COMPETING, EVENT, Outcome
from training.fitted import Columns, XGBoostCoxFit
from training.learners.baseline import learn_baseline
from training.learners.boosting import Boosted, Grid, Prepared, default_grid
from training.learners.folds import MIN_EVENTS
from training.learners.partial_likelihood import PartialLikelihood
from training.learners.ridge import fit_ridge

SMALLEST_SLOPE = 0.05  # margins that mean nothing out of fold still order people, without spreading their risks


@dataclass(frozen=True, slots=True)
class XGBoostCox:
    """Gradient boosted trees on the partial likelihood; competing events get boosters of their own."""

    monotone: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    depths: tuple[int, ...] = ()
    name: str = "xgboost_cox"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> XGBoostCoxFit:
        """Boosters with rounds and depth by the inner folds; slopes and baselines on their out-of-fold margins."""
        if outcome.kind == "binary":
            raise PresageError(
                "[models] candidates",
                "learners of a binary outcome",
                found="'xgboost_cox', which needs times",
                way_out="name 'xgboost' instead",
            )
        prepared = Prepared.of(frame, outcome, persons=persons, rng=rng)
        own = np.ones(len(frame)) if weights is None else weights
        competing = np.unique(persons[outcome.event == COMPETING])
        causes = [EVENT, COMPETING] if len(competing) >= MIN_EVENTS else [EVENT]
        boosted = []
        for cause in causes:
            grid = self.grid(prepared.columns, len(frame), seed=prepared.seed, monotone=cause == EVENT)
            boosted.append(prepared.boost(signed_ranks(outcome.time_days, outcome.event == cause), own, grid=grid))
        return _assemble(prepared.columns, boosted, causes=causes, outcome=outcome, weights=weights, persons=persons)

    def grid(self, columns: Columns, rows: int, *, seed: int, monotone: bool) -> Grid:
        """The depths to try and what XGBoost is told."""
        default = default_grid(columns, rows, seed=seed, monotone=self.monotone if monotone else {})
        goal = {"objective": "survival:cox", "eval_metric": "cox-nloglik"}
        return default.told(goal, self.parameters, depths=self.depths)


def _assemble(
    columns: Columns,
    boosted: list[Boosted],
    *,
    causes: list[int],
    outcome: Outcome,
    weights: Floats | None,
    persons: npt.NDArray[np.int64],
) -> XGBoostCoxFit:
    centres = tuple(float(np.mean(b.margins_out_of_fold)) for b in boosted)
    margins = np.column_stack([b.margins_out_of_fold for b in boosted]) - centres
    slopes = tuple(
        _slope(margins[:, i], outcome.time_days, event=outcome.event == cause, weights=weights)
        for i, cause in enumerate(causes)
    )
    baseline = learn_baseline(outcome, margins * slopes, weights=weights, persons=persons)
    risks = baseline.risk(margins * slopes, outcome.horizons_days)
    settings = {"rounds": boosted[0].rounds, "depth": boosted[0].depth, "slope": slopes[0]}
    return XGBoostCoxFit(columns, tuple(b.booster for b in boosted), slopes, centres, baseline, settings, risks)


def signed_ranks(time: Floats, event: npt.NDArray[np.bool_]) -> Floats:
    """XGBoost's labels: positive for the event, negative for censoring; ranks, since only the order counts."""
    ranks = np.unique(time, return_inverse=True)[1] + 1.0
    return np.where(event, ranks, -ranks)


def _slope(margins: Floats, time: Floats, *, event: npt.NDArray[np.bool_], weights: Floats | None) -> float:
    """Slope of the log hazard on the out-of-fold margin."""
    if float(np.std(margins)) < 1e-9:
        return 1.0
    likelihood = PartialLikelihood.of(margins[:, None], time, event=event, weights=weights)
    fit = fit_ridge(likelihood, np.zeros(1, dtype=np.int64), penalties=np.full(1, 1e-6))
    return max(float(fit.beta[0]), SMALLEST_SLOPE)
