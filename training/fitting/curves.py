"""The shape of the incidence among the rows that were learned from: of the curves of a learner of horizons alone."""

from __future__ import annotations

import numpy as np

from features.arrays import Ints
from training.cohort import EVENT, Outcome
from training.disclosure import event_grid
from training.evaluation import aalen_johansen
from training.models import LEARNED_FROM, Shape, times_of


def learned_shape(outcome: Outcome, persons: Ints) -> Shape:
    """Of the incidence (Aalen-Johansen) among the rows that were learned from; it is kept with the model, so straight
    between times that part at least 11 people with the event.
    """
    times = times_of(outcome.horizons_days)
    happened = outcome.event == EVENT
    at = event_grid(outcome.time_days[happened], persons[happened], edges=np.array(times), fixed=outcome.horizons_days)
    risks = np.interp(times, at, [0.0, *(aalen_johansen(outcome, float(t)) for t in at[1:])])
    return Shape(times, risks[None, :], LEARNED_FROM)
