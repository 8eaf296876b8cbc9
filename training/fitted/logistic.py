"""A fitted logistic regression, one for each horizon on one design."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.design import Design
from training.fitted.horizons import horizons_json, horizons_of, rising
from training.fitted.linear import linear_terms
from training.fitted.protocol import Contributions
from training.fitted.stored import read_learner, write_learner


@dataclass(frozen=True, slots=True)
class LogisticFit:
    """One logistic regression per horizon on one design."""

    design: Design
    horizons_days: tuple[float, ...]
    beta: Floats  # (h, P)
    intercept: Floats  # (h,)
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "logistic"

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Probability of the event by each horizon."""
        odds = self.design.matrix(frame) @ self.beta.T + self.intercept
        return rising(self.horizons_days, expit(odds), asked=horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """Exact terms of the log odds at the last horizon."""
        return linear_terms(self.design, self.beta[-1], frame=frame, intercept=float(self.intercept[-1]))

    def write(self, folder: Path) -> None:
        """`learner.json`."""
        stored = {
            "learner": self.name,
            "design": self.design.to_json(),
            "horizons_days": horizons_json(self.horizons_days),
            "beta": self.beta.tolist(),
            "intercept": self.intercept.tolist(),
            "settings": dict(self.settings),
        }
        write_learner(folder, stored)

    @classmethod
    def read(cls, folder: Path) -> LogisticFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        horizons = horizons_of(stored["horizons_days"])
        beta = np.array(stored["beta"], dtype=np.float64).reshape(len(horizons), -1)
        intercept = np.array(stored["intercept"], dtype=np.float64)
        return cls(Design.from_json(stored["design"]), horizons, beta, intercept, stored["settings"])
