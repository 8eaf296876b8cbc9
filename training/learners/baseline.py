"""Breslow's baseline hazards of the event and what competes with it, on a grid of times that tells of nobody.

No step tells when somebody had the event: the hazard is that of Breslow at the horizons and wherever at least 11 people
had the event since the last such time, and constant in between. The times are parts of the last horizon.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from training.cohort import EVENT, Outcome
from training.disclosure import event_grid
from training.fitted import Baseline
from training.learners.partial_likelihood import baseline_jumps

GRID_ONE_CAUSE = 1000  # parts of the last horizon
GRID_COMPETING = 200


def learn_baseline(
    outcome: Outcome, eta: Floats, *, weights: Floats | None, persons: npt.NDArray[np.int64]
) -> Baseline:
    """Breslow's estimate for every cause at the linear predictors (n, causes), on a fixed grid of times.

    Without competing events risks at the outcome's horizons are those of Breslow's steps. With them, the ratio of the
    two hazards within a part of the grid is that of the part.
    """
    causes = range(EVENT, EVENT + eta.shape[1])
    size = GRID_ONE_CAUSE if len(causes) == 1 else GRID_COMPETING
    edges = _edges(outcome, size)
    hazards, last = [], outcome.horizons_days[-1]
    for cause in causes:
        happened = outcome.event == cause
        times, jumps = baseline_jumps(outcome.time_days, happened, eta=eta[:, cause - EVENT], weights=weights)
        at = event_grid(outcome.time_days[happened], persons[happened], edges=edges, fixed=outcome.horizons_days)
        cumulative = np.append(0.0, np.cumsum(jumps))[np.searchsorted(times, at, side="right")]
        cumulative[0] = 0.0  # who has the event at once has it in the first part
        hazards.append(np.interp(edges, at, cumulative))
        last = max(last, at[-1])
    kept = edges <= last  # the last follow-up is somebody's
    return Baseline(edges[kept], np.stack(hazards)[:, kept])


def _edges(outcome: Outcome, size: int) -> Floats:
    """(m,) `size` equal parts of the last horizon and the horizons; beyond it, where somebody is followed longer, parts
    of a length that is a power of two times as much, so that their number stays bounded and tells of nobody.
    """
    last = outcome.horizons_days[-1]
    within = np.linspace(0.0, last, size + 1)[1:]
    part, beyond = last / size, float(outcome.time_days.max(initial=0.0)) - last
    if beyond <= 0:
        return np.unique(np.append(within, outcome.horizons_days))
    longer = part * 2.0 ** max(0, math.ceil(math.log2(beyond / last)))
    further = last + longer * np.arange(1, math.ceil(beyond / longer) + 1)
    return np.unique(np.concatenate([within, outcome.horizons_days, further]))
