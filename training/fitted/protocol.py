"""What every fitted model promises: it answers with risk curves, explains itself, and is written without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.baseline import Baseline


@dataclass(frozen=True, slots=True)
class Contributions:
    """How each feature moved each person's log hazard or log odds, before recalibration.

    names: p features (dense ones, then codes). values: (n, p); a row plus `baseline` is that person's linear
    predictor: log odds at the last horizon where `hazard` is None, else the event's log hazard relative to `hazard`.
    Without competing events the risk is 1 - exp(-H exp(predictor)), H its cumulative hazard.
    """

    names: tuple[str, ...]
    values: Floats
    baseline: float
    hazard: Baseline | None = None


class Fitted(Protocol):
    """A learned model."""

    @property
    def name(self) -> str:
        """The learner's name in `LEARNERS`."""
        ...

    @property
    def out_of_fold(self) -> RiskCurves | None:
        """(n, h) risks of the training rows at the outcome's horizons, each from a fit without that person.

        Made by the inner folds that chose the settings; for calibration and stacking without fitting again. None
        after `read`: they are a by-product of fitting, not part of the model.
        """
        ...

    @property
    def settings(self) -> Mapping[str, float | int | str]:
        """What was chosen inside the training rows (rounds, depth, penalties), for the run's log."""
        ...

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence of the event, competing events counted; binary outcomes: horizons (nan,).

        Raises PresageError where the horizon was not learned, ValueError where the frame lacks a feature.
        """
        ...

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """TreeSHAP values or exact linear terms on the log-hazard (log-odds) scale."""
        ...

    def write(self, folder: Path) -> None:
        """UBJ, JSON and Parquet in a new folder; comparators raise PresageError."""
        ...
