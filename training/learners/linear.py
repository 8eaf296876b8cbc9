"""What the linear learners share: exact terms per feature, and their JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.errors import PresageError
from features.frame import FeatureFrame
from training.learners.design import GROUP_NAMES, Design, learn_design
from training.learners.protocol import Contributions
from training.learners.ridge import Likelihood, RidgeFit, fit_ridge, learn_penalties

LEARNER_FILE = "learner.json"
START_PENALTIES = np.full(len(GROUP_NAMES), 10.0)
FOLD_TOLERANCE = 1e-4  # nats: held-out risks need no more


@dataclass(frozen=True, slots=True)
class Warm:
    """What a fit on all rows tells the fits without one fold: design, penalties, and where to start.

    share: of the rows that the fold's fit sees. The design is shared unless it chose codes by the outcome.
    """

    design: Design
    fits: Sequence[RidgeFit]
    share: float

    def at(self, position: int, design: Design) -> RidgeFit | None:
        """The start of one cause or horizon; without coefficients where the columns are not the same."""
        if position >= len(self.fits):
            return None
        fit = self.fits[position]
        if design is self.design:
            return replace(fit, information=fit.information * self.share)
        return replace(fit, beta=np.empty(0), information=np.empty((0, 0)))


def design_of(frame: FeatureFrame, warm: Warm | None, *, relevance: Floats) -> Design:
    """The design of all rows for a fold of them, or one learned here."""
    if warm is not None and not warm.design.code_names:
        return warm.design
    return learn_design(frame, relevance=relevance)


def fit_warm(likelihood: Likelihood, groups: npt.NDArray[np.int64], *, warm: RidgeFit | None) -> RidgeFit:
    """Penalties learned here without a warm start, else taken from it."""
    if warm is None:
        return learn_penalties(likelihood, groups, start=START_PENALTIES)
    if len(warm.beta) != len(groups):
        return fit_ridge(likelihood, groups, penalties=warm.penalties, tolerance=FOLD_TOLERANCE)
    return fit_ridge(
        likelihood,
        groups,
        penalties=warm.penalties,
        beta=warm.beta,
        information=warm.information,
        tolerance=FOLD_TOLERANCE,
    )


def linear_terms(design: Design, beta: Floats, *, frame: FeatureFrame, intercept: float = 0.0) -> Contributions:
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
