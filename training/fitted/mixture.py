"""The terms of a weighted mean of risks, from its members' terms, on one scale.

A stack's risk is the mean of its members' risks, so its log hazard is no mean of theirs. Each member's terms move its
linear predictor in a straight line from its baseline to the person's; the stack moves along, and what it moves is
credited to members by the path integral of its gradient, and within a member in proportion to its terms (Aumann and
Shapley 1974; integrated gradients, Sundararajan, ICML 2017). The terms and the baseline add up to the stack's own
prediction exactly, whatever the scales of the members.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from features.arrays import Floats
from training.fitted.protocol import Contributions

NODES = 24  # of Gauss and Legendre: exact to 1e-9 for linear predictors ten apart
SMALLEST_RISK = 1e-12


def mixed(parts: Sequence[Contributions], weights: Floats, *, horizon_days: float) -> Contributions:
    """Terms of the mean of the members' risks by the horizon, weights (m,) summing to one.

    On the log of the cumulative hazard where a member is of hazards, else on the log odds. Competing events are left
    out of it, as they are out of the members' terms: it is the event's hazard that is explained.
    """
    hazards = [None if part.hazard is None else part.hazard.at(horizon_days) for part in parts]
    loglog = any(hazard is not None for hazard in hazards)
    start = np.array([part.baseline for part in parts])
    moved = np.column_stack([part.values.sum(axis=1) for part in parts])
    credit = np.zeros_like(moved)
    nodes, shares = np.polynomial.legendre.leggauss(NODES)
    for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
        risk, slope = _members(start + node * moved, hazards)
        whole = np.clip(risk @ weights, SMALLEST_RISK, 1 - SMALLEST_RISK)
        gradient = 1 / ((1 - whole) * -np.log1p(-whole)) if loglog else 1 / (whole * (1 - whole))
        credit += share * gradient[:, None] * slope * weights
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    where = {name: i for i, name in enumerate(names)}
    values = np.zeros((len(moved), len(names)))
    for i, part in enumerate(parts):
        values[:, [where[name] for name in part.names]] += credit[:, i : i + 1] * part.values
    first = float((_members(start[None, :], hazards)[0] @ weights)[0])
    baseline = np.log(-np.log1p(-first)) if loglog else np.log(first / (1 - first))
    return Contributions(names, values, float(baseline))


def _members(predictors: Floats, hazards: Sequence[float | None]) -> tuple[Floats, Floats]:
    """(n, m) risks of the members at their predictors (n, m), and their derivatives."""
    risk, slope = np.empty_like(predictors), np.empty_like(predictors)
    for i, hazard in enumerate(hazards):
        if hazard is None:
            risk[:, i] = expit(predictors[:, i])
            slope[:, i] = risk[:, i] * (1 - risk[:, i])
        else:
            cumulative = hazard * np.exp(predictors[:, i])
            risk[:, i], slope[:, i] = -np.expm1(-cumulative), cumulative * np.exp(-cumulative)
    return risk, slope
