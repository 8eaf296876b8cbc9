"""XGBoost on the horizon: one booster per horizon, censored people stood in for by others like them.

With competing events the weighted label estimates the cumulative incidence directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Outcome
from training.fitted import Columns, XGBoostHorizonFit, rising
from training.learners.boosting import Grid, Prepared, default_grid
from training.learners.targets import targets


@dataclass(frozen=True, slots=True)
class XGBoostHorizon:
    """Gradient boosted trees on the weighted log loss.

    monotone: feature to 1 (risk never falls with it) or -1. parameters: XGBoost's, over the defaults here, as tuning
    finds them; `depths` are tried by out-of-fold loss.
    """

    monotone: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    depths: tuple[int, ...] = ()
    name: str = "xgboost"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> XGBoostHorizonFit:
        """One booster per horizon, rounds and depth by the inner folds."""
        prepared = Prepared.of(frame, outcome, persons=persons, rng=rng)
        grid = self.grid(prepared.columns, len(frame), seed=prepared.seed)
        goals = targets(frame, outcome, weights=weights)
        boosted = [prepared.boost(goal.label.astype(np.float64), goal.weight, grid=grid) for goal in goals]
        horizons = tuple(goal.horizon_days for goal in goals)
        risks = rising(horizons, expit(np.column_stack([b.margins_out_of_fold for b in boosted])), asked=horizons)
        settings = {"rounds": boosted[-1].rounds, "depth": boosted[-1].depth}
        return XGBoostHorizonFit(prepared.columns, horizons, tuple(b.booster for b in boosted), settings, risks)

    def grid(self, columns: Columns, rows: int, *, seed: int) -> Grid:
        """The depths to try and what XGBoost is told."""
        default = default_grid(columns, rows, seed=seed, monotone=self.monotone)
        goal = {"objective": "binary:logistic", "eval_metric": "logloss"}
        return default.told(goal, self.parameters, depths=self.depths)
