"""Ridge regression by Newton's method, each group's penalty learned as a variance (empirical Bayes).

The penalised maximum is the mode under independent normal priors with one variance per group of columns. The
variances follow Schall's fixed point (Biometrika 1991;78:719), the Laplace approximation of the marginal likelihood
that mgcv's REML maximises too: a group that carries nothing is shrunk to nothing, with 3 events for 200 columns too.

The information matrix costs a hundred gradients; it is kept while steps with it still converge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import linalg

from features.arrays import Floats, Ints
from features.errors import PresageError

FREE = -1  # the group of columns without a penalty
PENALTY_RANGE = (1e-2, 1e6)
EXPECTED_COLUMNS = 2.0
EXPECTED_SPREAD = 0.1
PENALTY_STEPS = 30
INFORMATION_ROUNDS = 8
STEPS = 300
TOLERANCE = 1e-9  # expected gain in log likelihood


class Likelihood(Protocol):
    """A log likelihood that is concave in its coefficients (P,)."""

    def gradient(self, beta: Floats) -> tuple[float, Floats]:
        """Value and gradient (P,)."""
        ...

    def information(self, beta: Floats) -> Floats:
        """(P, P) minus the second derivatives."""
        ...


@dataclass(frozen=True, slots=True)
class RidgeFit:
    """The penalised maximum: coefficients (P,), one penalty per group, effective number of parameters.

    information: (P, P) near the maximum, without the penalty.
    """

    beta: Floats
    penalties: Floats
    effective_parameters: float
    information: Floats


def learn_penalties(likelihood: Likelihood, groups: Ints, *, start: Floats, expected: Floats | None = None) -> RidgeFit:
    """Coefficients and penalties together; `start` holds each group's first penalty.

    expected: (groups,) variance of the linear predictor that each group is expected to make, where its columns have a
    variance of 1; None: `EXPECTED_SPREAD` for each.
    """
    spread = np.full(len(start), EXPECTED_SPREAD) if expected is None else expected
    penalties, beta = start, np.zeros(len(groups))
    information = likelihood.information(beta)
    for _ in range(INFORMATION_ROUNDS):
        for _ in range(PENALTY_STEPS):
            beta, gain = _step(likelihood, information, beta=beta, ridge=_per_column(groups, penalties))
            updated = _update(information, beta, groups=groups, penalties=penalties, expected=spread)
            moved = float(np.abs(np.log(updated / penalties)).max(initial=0.0))
            penalties = updated
            if moved < 0.02 and gain < 1e-3:
                break
        fresh = likelihood.information(beta)
        drift = np.abs(np.diag(fresh) - np.diag(information)).sum() / max(np.diag(fresh).sum(), 1e-300)
        information = fresh
        if drift < 0.02:
            break
    return fit_ridge(likelihood, groups, penalties=penalties, beta=beta, information=information)


def fit_ridge(
    likelihood: Likelihood,
    groups: Ints,
    *,
    penalties: Floats,
    beta: Floats | None = None,
    information: Floats | None = None,
    tolerance: float = TOLERANCE,
) -> RidgeFit:
    """Coefficients at known penalties, from `beta` and with `information` near the maximum where they are known.

    Raises PresageError where no maximum is found.
    """
    ridge = _per_column(groups, penalties)
    beta = np.zeros(len(groups)) if beta is None else beta
    information = likelihood.information(beta) if information is None else information
    before = np.inf
    for _ in range(STEPS):
        beta, gain = _step(likelihood, information, beta=beta, ridge=ridge)
        if gain < tolerance:
            return RidgeFit(beta, penalties, _effective(information, ridge), information)
        if gain > 0.3 * before:  # converges slowly: the information is too old
            information = likelihood.information(beta)
            before = np.inf
        else:
            before = gain
    raise PresageError(
        "[features]",
        "features under which the likelihood has a maximum",
        found=f"none within {STEPS} steps",
        way_out="exclude what may be the outcome under another name",
    )


def _step(likelihood: Likelihood, information: Floats, *, beta: Floats, ridge: Floats) -> tuple[Floats, float]:
    """One step that does not fall, and its expected gain; the same beta where none climbs."""
    value, gradient = _penalised(likelihood, beta, ridge=ridge)
    direction = _solve(information + np.diag(ridge), gradient)
    gain = float(gradient @ direction) / 2
    size = 1.0
    while size > 1e-8:
        moved = beta + size * direction
        reached = _penalised(likelihood, moved, ridge=ridge)[0]
        if np.isfinite(reached) and reached >= value - 1e-11 * abs(value):
            return moved, gain
        size /= 2
    return beta, 0.0 if gain < 1e-6 else gain


def _update(information: Floats, beta: Floats, *, groups: Ints, penalties: Floats, expected: Floats) -> Floats:
    spread = np.diag(_solve(information + np.diag(_per_column(groups, penalties)), np.eye(len(beta))))
    updated = penalties.copy()
    for g in range(len(penalties)):
        mine = groups == g
        if not mine.any():
            continue
        columns = int(mine.sum())
        learned = max(float(columns - penalties[g] * spread[mine].sum()), 0.0) + EXPECTED_COLUMNS
        found = float(beta[mine] @ beta[mine]) + EXPECTED_COLUMNS * expected[g] / columns
        ratio = learned / found / penalties[g]
        updated[g] = np.clip(penalties[g] * np.clip(ratio, 1 / 30, 30), *PENALTY_RANGE)
    return updated


def _effective(information: Floats, ridge: Floats) -> float:
    return float(np.trace(_solve(information + np.diag(ridge), information))) if len(ridge) else 0.0


def _per_column(groups: Ints, penalties: Floats) -> Floats:
    return np.append(penalties, 0.0)[groups]  # FREE picks the last


def _penalised(likelihood: Likelihood, beta: Floats, *, ridge: Floats) -> tuple[float, Floats]:
    value, gradient = likelihood.gradient(beta)
    return value - float(ridge @ beta**2) / 2, gradient - ridge * beta


def _solve(information: Floats, right: Floats) -> Floats:
    if len(information) == 0:
        return np.zeros_like(right)
    jitter = 1e-10 * max(float(np.diag(information).max()), 1.0)
    factor = linalg.cho_factor(information + jitter * np.eye(len(information)), check_finite=False)
    return np.asarray(linalg.cho_solve(factor, right, check_finite=False), dtype=np.float64)
