"""The result of a validation: a model, as it is, on people it was not made for; one frozen tree like a training's.

It is what `presage validate --json` writes and what MLflow keeps as `validation.json` beside the training's run. Keys
may be added to it, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from training.result import AgainstEquation, Document, Figures, Gap, Groups, Metrics, Part, Step


class Drift(Part):
    """A feature that moved: share of rows without it, and its mean in standard deviations of training."""

    feature: str
    missing_training: float
    missing_here: float | None
    """None where it would tell of 1 to 10 rows."""
    shift: float | None


class Recalibration(Part):
    """A suggestion: log odds become intercept + slope x log odds. Nothing of the model is changed."""

    kind: Literal["unknown", "none", "shift", "slope"]
    intercept: float | None
    slope: float | None
    sentence: str


class ExternalResult(Document):
    """Every number of a model, as it is, on people it was not made for. It holds aggregates only."""

    ABSENT_IF_NONE = frozenset({"run_id"})
    VERSION, VERSION_KEY = 1, "format"
    format: int | None = None
    """Of this tree; its `version` is the model's. None where it was written before there were versions."""
    study: str
    people: int
    rows: int
    events: int
    attrition: tuple[Step, ...]
    left_out: Mapping[str, int | None]
    """Rows that could not be scored, by reason; None for a count that may not be told, here and below."""
    served_by: Mapping[str, int | None]
    """Rows by the model that served them: clinical or combined."""
    metrics: Metrics
    """Of the served risk at the last horizon."""
    curves_follow: str | None = None
    horizons: Mapping[str, Metrics]
    groups: Groups
    gaps: Mapping[str, Gap]
    equation: AgainstEquation | None
    recalibration: Recalibration
    figures: Figures | None = None
    drift: tuple[Drift, ...]
    """The features that moved, most first."""
    drift_sentence: str
    notes: tuple[str, ...] = ()
    sentence: str
    """Whether discrimination holds."""
    bootstraps: int
    seed: int
    model: str
    version: int | None
    """Of the registered model; None for a bundle's folder."""
    bundle_digest: str
    source: str
    """How the other people are called."""
    by: str | None
    """Who validated."""
    at: str
    """UTC, to the second."""
    run_id: str | None = None
    """MLflow's run that keeps it."""
