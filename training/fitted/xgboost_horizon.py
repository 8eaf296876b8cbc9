"""Fitted gradient boosted trees on the horizon: one booster for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xgboost as xgb
from scipy.special import expit

from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.boosters import margin, read_boosters, tree_shap, write_boosters
from training.fitted.columns import Columns
from training.fitted.horizons import horizons_json, horizons_of, rising
from training.fitted.protocol import Contributions
from training.fitted.stored import read_learner, write_learner


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
        horizons = horizons_json(self.horizons_days)
        stored = {"learner": self.name, "columns": self.columns.to_json(), "horizons_days": horizons}
        write_learner(folder, stored | {"settings": dict(self.settings)})
        write_boosters(folder, self.boosters)

    @classmethod
    def read(cls, folder: Path) -> XGBoostHorizonFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        horizons = horizons_of(stored["horizons_days"])
        boosters = read_boosters(folder, len(horizons))
        return cls(Columns.from_json(stored["columns"]), horizons, boosters, stored["settings"])
