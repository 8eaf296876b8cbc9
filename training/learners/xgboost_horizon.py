"""XGBoost on the horizon: one booster per horizon, censored people stood in for by others like them.

With competing events the weighted label estimates the cumulative incidence directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy.special import expit

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Outcome, RiskCurves, person_folds
from training.disclosure import coarse
from training.learners.boosting import Columns, Grid, boost, default_grid, margin, tree_shap
from training.learners.folds import INNER_FOLDS, check_learnable
from training.learners.linear import read_learner, write_learner
from training.learners.protocol import Contributions
from training.learners.targets import rising, targets


@dataclass(frozen=True, slots=True)
class XGBoostHorizonFit:
    """One booster per horizon."""

    columns: Columns
    horizons_days: tuple[float, ...]
    boosters: tuple[xgb.Booster, ...]
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "xgboost"

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Probability of the event by each horizon, never falling."""
        matrix = self.columns.matrix(frame)
        odds = np.column_stack([margin(booster, matrix) for booster in self.boosters])
        return rising(self.horizons_days, expit(odds), asked=horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """TreeSHAP on the log odds at the last horizon."""
        return tree_shap(self.boosters[-1], self.columns, frame=frame)

    def write(self, folder: Path) -> None:
        """`learner.json` and one UBJ per horizon."""
        horizons = [None if np.isnan(h) else h for h in self.horizons_days]
        stored = {"learner": self.name, "columns": self.columns.to_json(), "horizons_days": horizons}
        write_learner(folder, stored | {"settings": dict(self.settings)})
        for i, booster in enumerate(self.boosters):
            booster.save_model(folder / f"booster_{i}.ubj")

    @classmethod
    def read(cls, folder: Path) -> XGBoostHorizonFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        horizons = tuple(float("nan") if h is None else float(h) for h in stored["horizons_days"])
        boosters = tuple(xgb.Booster(model_file=folder / f"booster_{i}.ubj") for i in range(len(horizons)))
        return cls(Columns.from_json(stored["columns"]), horizons, boosters, stored["settings"])


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
        check_learnable(frame, outcome, persons=persons)
        seen = coarse(frame)
        columns = Columns.of(seen)
        matrix = columns.matrix(seen)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        grid = self.grid(columns, len(frame), seed=int(rng.integers(2**31)))
        goals = targets(frame, outcome, weights=weights)
        boosted = [
            boost(matrix, columns.types, label=g.label.astype(np.float64), weight=g.weight, folds=folds, grid=grid)
            for g in goals
        ]
        horizons = tuple(goal.horizon_days for goal in goals)
        risks = rising(horizons, expit(np.column_stack([b.margins_out_of_fold for b in boosted])), asked=horizons)
        settings = {"rounds": boosted[-1].rounds, "depth": boosted[-1].depth}
        return XGBoostHorizonFit(columns, horizons, tuple(b.booster for b in boosted), settings, risks)

    def grid(self, columns: Columns, rows: int, *, seed: int) -> Grid:
        """The depths to try and what XGBoost is told."""
        default = default_grid(columns, rows, seed=seed, monotone=self.monotone)
        goal = {"objective": "binary:logistic", "eval_metric": "logloss"}
        return Grid(self.depths or default.depths, {**default.parameters, **goal, **self.parameters})
