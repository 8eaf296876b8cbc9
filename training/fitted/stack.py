"""A weighted mean of fitted models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.mixture import mixed
from training.fitted.protocol import Contributions, Fitted
from training.fitted.stored import read_learner, write_learner


@dataclass(frozen=True, slots=True)
class StackFit:
    """Members and their weights, which sum to one."""

    members: tuple[Fitted, ...]
    weights: Floats
    horizon_days: float  # the last; what it explains
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "stack"

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """The members' weighted mean."""
        parts = [w * m.risk_at(frame, horizons_days).probabilities for m, w in self._used()]
        return RiskCurves(horizons_days, np.sum(parts, axis=0))

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """The members' terms on one scale, adding up to the stack's own: see `mixed`."""
        parts = [member.contributions(frame) for member, _ in self._used()]
        return mixed(parts, np.array([w for _, w in self._used()]), horizon_days=self.horizon_days)

    def write(self, folder: Path) -> None:
        """`learner.json` and one folder per member with a weight. Raises ValueError if one cannot be written."""
        used = self._used()
        for i, (member, _) in enumerate(used):
            member.write(folder / f"member_{i}")
        horizon = None if np.isnan(self.horizon_days) else self.horizon_days
        stored = {"learner": self.name, "weights": [float(w) for _, w in used], "horizon_days": horizon}
        write_learner(folder, stored | {"settings": dict(self.settings)})

    def _used(self) -> list[tuple[Fitted, float]]:
        return [(m, float(w)) for m, w in zip(self.members, self.weights, strict=True) if w > 0]

    @classmethod
    def read(cls, folder: Path, *, member: Callable[[Path], Fitted]) -> StackFit:
        """What `write` wrote; `member` reads the model of one member from its folder."""
        stored = read_learner(folder)
        weights = np.array(stored["weights"], dtype=np.float64)
        members = tuple(member(folder / f"member_{i}") for i in range(len(weights)))
        horizon = math.nan if stored["horizon_days"] is None else float(stored["horizon_days"])
        return cls(members, weights, horizon, stored["settings"])
