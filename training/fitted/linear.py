"""The exact terms of a linear predictor."""

from __future__ import annotations

import numpy as np

from features.arrays import Floats
from features.frame import FeatureFrame
from training.fitted.design import Design
from training.fitted.protocol import Contributions


def linear_terms(design: Design, beta: Floats, *, frame: FeatureFrame, intercept: float = 0.0) -> Contributions:
    """Each feature's exact part of the linear predictor; the columns are centred, so the baseline is the average."""
    owners, features = design.owners, design.feature_names
    terms = np.zeros((len(frame), len(features)))
    columns = design.matrix(frame) * beta
    for j in np.unique(owners):
        terms[:, j] = columns[:, owners == j].sum(axis=1)
    return Contributions(features, terms, intercept)
