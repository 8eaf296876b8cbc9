"""A fitted Cox regression, cause-specific where events compete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.baseline import BASELINE_FILE, Baseline
from training.fitted.design import Design
from training.fitted.linear import linear_terms
from training.fitted.protocol import Contributions
from training.fitted.stored import read_learner, write_learner


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
