"""The chance of still being followed given covariates: a penalised Cox regression of the censoring itself.

A marginal Kaplan-Meier would let a horizon model learn whatever predicts censoring; with administrative censoring that
is any covariate that moves with calendar time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from features.frame import FeatureFrame
from training.censoring import Uncensored, marginal
from training.learners.design import learn_design
from training.learners.folds import MIN_EVENTS
from training.learners.linear import fit_warm
from training.learners.partial_likelihood import PartialLikelihood, baseline_jumps
from training.outcomes import CENSORED, Outcome

Floats = npt.NDArray[np.float64]


def conditional(frame: FeatureFrame, outcome: Outcome, *, weights: Floats | None = None) -> Uncensored:
    """P(followed | covariates) for the rows it is learned on; marginal where hardly anybody is censored early.

    Only censoring before the last horizon counts; events come first at a tie.
    """
    last = max(outcome.horizons_days)
    early = (outcome.event == CENSORED) & (outcome.time_days < last)
    if int(early.sum()) < MIN_EVENTS:
        return marginal(outcome)
    time = np.minimum(outcome.time_days, last)
    time = np.where(early, np.nextafter(time, np.inf), time)  # leave the risk set after a tied event
    design = learn_design(frame, relevance=early - float(early.mean()))
    X = design.matrix(frame)
    eta = X @ fit_warm(PartialLikelihood.of(X, time, early, weights), design.groups, None).beta
    times, jumps = baseline_jumps(time, early, eta, weights)
    cumulative = np.append(0.0, np.cumsum(jumps))
    ratio = np.exp(eta)
    return Uncensored(
        np.exp(-cumulative[np.searchsorted(times, time)] * ratio),
        np.exp(-cumulative[np.searchsorted(times, outcome.horizons_days)][None, :] * ratio[:, None]),
    )
