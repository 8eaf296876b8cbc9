"""What the linear learners share: exact terms per feature, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.errors import PresageError
from features.frame import FeatureFrame
from training.learners.design import GROUP_NAMES, Design
from training.learners.protocol import Contributions

Floats = npt.NDArray[np.float64]

LEARNER_FILE = "learner.json"
START_PENALTIES = np.full(len(GROUP_NAMES), 10.0)


def linear_terms(design: Design, beta: Floats, frame: FeatureFrame, *, intercept: float = 0.0) -> Contributions:
    """Each feature's exact part of the linear predictor; the columns are centred, so the baseline is the average."""
    owners, features = design.owners, design.feature_names
    terms = np.zeros((len(frame), len(features)))
    columns = design.matrix(frame) * beta
    for j in np.unique(owners):
        terms[:, j] = columns[:, owners == j].sum(axis=1)
    return Contributions(features, terms, intercept)


def penalty_settings(penalties: Floats) -> dict[str, float | int | str]:
    """The learned penalties by name."""
    return {f"penalty_{name}": float(value) for name, value in zip(GROUP_NAMES, penalties, strict=True)}


def write_learner(folder: Path, stored: Mapping[str, Any]) -> None:
    """`learner.json` in a folder made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LEARNER_FILE).write_text(json.dumps(stored, allow_nan=False, sort_keys=True), encoding="utf-8")


def read_learner(folder: Path) -> dict[str, Any]:
    """What `write_learner` wrote."""
    path = folder / LEARNER_FILE
    if not path.is_file():
        raise PresageError(str(path), "a learner written by Presage")
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return stored
