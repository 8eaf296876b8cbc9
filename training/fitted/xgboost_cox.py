"""Fitted gradient boosted trees on Cox's partial likelihood, with the baselines that make risks of their margins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import xgboost as xgb

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.baseline import BASELINE_FILE, Baseline
from training.fitted.boosters import margin, read_boosters, tree_shap, write_boosters
from training.fitted.columns import Columns
from training.fitted.protocol import Contributions
from training.fitted.stored import read_learner, write_learner


@dataclass(frozen=True, slots=True)
class XGBoostCoxFit:
    """Boosted log hazard of each cause, its slope, and the baselines."""

    columns: Columns
    boosters: tuple[xgb.Booster, ...]
    slopes: tuple[float, ...]
    centres: tuple[float, ...]
    baseline: Baseline
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "xgboost_cox"

    def linear_predictor(self, frame: FeatureFrame) -> Floats:
        """(n, causes) log hazard ratios."""
        matrix = self.columns.matrix(frame)
        parts = [margin(booster, matrix) for booster in self.boosters]
        return (np.column_stack(parts) - self.centres) * self.slopes

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence by each horizon."""
        return self.baseline.risk(self.linear_predictor(frame), horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """TreeSHAP on the event's log hazard."""
        found = tree_shap(self.boosters[0], self.columns, frame=frame, slope=self.slopes[0])
        return replace(found, baseline=found.baseline - self.centres[0] * self.slopes[0], hazard=self.baseline)

    def write(self, folder: Path) -> None:
        """`learner.json`, `baseline.parquet` and one UBJ per cause."""
        stored = {"learner": self.name, "columns": self.columns.to_json(), "slopes": [*self.slopes]}
        write_learner(folder, stored | {"centres": [*self.centres], "settings": dict(self.settings)})
        self.baseline.write(folder / BASELINE_FILE)
        write_boosters(folder, self.boosters)

    @classmethod
    def read(cls, folder: Path) -> XGBoostCoxFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        slopes, centres = tuple(stored["slopes"]), tuple(stored["centres"])
        boosters = read_boosters(folder, len(slopes))
        baseline = Baseline.read(folder / BASELINE_FILE)
        return cls(Columns.from_json(stored["columns"]), boosters, slopes, centres, baseline, stored["settings"])
