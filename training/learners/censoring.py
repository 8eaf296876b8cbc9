"""The chance of still being followed given covariates: a penalised Cox regression of the censoring itself.

A marginal Kaplan-Meier would let a horizon model learn whatever predicts censoring; with administrative censoring that
is any covariate that moves with calendar time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.arrays import Bools, Floats
from features.frame import FeatureFrame
from training.cohort import CENSORED, Outcome, Uncensored, followable, marginal, reachable
from training.learners.design import learn_design
from training.learners.folds import MIN_EVENTS
from training.learners.linear import fit_warm
from training.learners.partial_likelihood import PartialLikelihood, baseline_jumps


def conditional(frame: FeatureFrame, outcome: Outcome, *, weights: Floats | None = None) -> Uncensored:
    """P(followed | covariates) for the rows it is learned on; marginal where hardly anybody is censored early.

    Only censoring before the last horizon counts; events come first at a tie. Who can be followed to a horizon at all
    is `training.cohort.censoring.reachable`, confirmed across halves of the people. Where some cannot to the last, the
    chances of the others are learned from the others alone: a closing date is no hazard that a proportional one
    stands for.
    """
    could = followable(outcome)
    first = _modelled(frame, outcome, could=could, weights=weights)
    if first is None:
        return marginal(outcome)
    reached = could
    if not np.array_equal(reachable(outcome, first.at_horizons, could=could), could):
        reached = _confirmed(frame, outcome, could=could, weights=weights)
    rows = reached[:, -1]
    if np.array_equal(rows, could[:, -1]) or not rows.any():
        return Uncensored(first.at_time, first.at_horizons, reached)
    second = _modelled(frame, outcome, could=reached, weights=weights) or marginal(
        replace(outcome, followable_days=_within(rows))
    )
    at_time = np.where(rows, second.at_time, first.at_time)
    return Uncensored(at_time, np.where(rows[:, None], second.at_horizons, first.at_horizons), reached)


def _within(rows: Bools) -> Floats:
    return np.where(rows, np.inf, -np.inf)


def _confirmed(frame: FeatureFrame, outcome: Outcome, *, could: Bools, weights: Floats | None) -> Bools:
    """(n, h) who is reachable, each half of the people in strata that the other half's model makes.

    A model's order of its own rows is partly that of when they left, however much it is shrunk.
    """
    half = np.unique(frame.subject_ids, return_inverse=True)[1] % 2
    found = could.copy()
    for side in (0, 1):
        model = _modelled(frame, outcome, could=could & (half != side)[:, None], weights=weights)
        if model is not None:
            own = np.flatnonzero(half == side)
            found[own] = reachable(outcome.take(own), model.at_horizons[own], could=could[own])
    return found


def _modelled(frame: FeatureFrame, outcome: Outcome, *, could: Bools, weights: Floats | None) -> Uncensored | None:
    """Of everybody, learned on those who `could` (n, h) be followed to the last horizon; None where fewer than 10 of
    them are censored before it.
    """
    rows = np.flatnonzero(could[:, -1])
    last = max(outcome.horizons_days)
    early = (outcome.event == CENSORED) & (outcome.time_days < last)
    if int(early[rows].sum()) < MIN_EVENTS:
        return None
    time = np.minimum(outcome.time_days, last)
    time = np.where(early, np.nextafter(time, np.inf), time)  # leave the risk set after a tied event
    some = frame if len(rows) == len(frame) else frame.take(rows)
    own = None if weights is None else weights[rows]
    design = learn_design(some, relevance=early[rows] - float(early[rows].mean()))
    X = design.matrix(frame)
    eta = (
        X
        @ fit_warm(
            PartialLikelihood.of(X[rows], time[rows], event=early[rows], weights=own), design.groups, warm=None
        ).beta
    )
    times, jumps = baseline_jumps(time[rows], early[rows], eta=eta[rows], weights=own)
    cumulative = np.append(0.0, np.cumsum(jumps))
    ratio = np.exp(eta)
    return Uncensored(
        np.exp(-cumulative[np.searchsorted(times, time)] * ratio),
        np.exp(-cumulative[np.searchsorted(times, outcome.horizons_days)][None, :] * ratio[:, None]),
    )
