"""Baseline hazards of the event and what competes with it, and the cumulative incidence they give a person.

Statistics: docs/decisions/0001-competing-risks.md. Each cause has its own proportional hazards model; risk by h is the
sum over times t of S(t-) times the event's hazard, S from all causes. Without competing events this is
1 - exp(-H(h) exp(eta)).

No step tells when somebody had the event: the hazard is that of Breslow at the horizons and wherever at least 11 people
had the event since the last such time, and constant in between. The times are parts of the last horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Floats
from training.cohort import EVENT, Outcome, RiskCurves
from training.disclosure import event_grid
from training.learners.partial_likelihood import baseline_jumps

GRID_ONE_CAUSE = 1000  # parts of the last horizon
GRID_COMPETING = 200
ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Baseline:
    """Cumulative baseline hazards on one grid of times.

    times: (m,) increasing days. hazards: (causes, m) cumulative at linear predictor zero; the event first.
    """

    times: Floats
    hazards: Floats

    def risk(self, eta: Floats, horizons_days: tuple[float, ...]) -> RiskCurves:
        """(n, h) cumulative incidence; eta (n, causes) linear predictors. Beyond the last time it stays level."""
        if self.hazards.shape[0] == 1:
            at = np.searchsorted(self.times, horizons_days, side="right")
            cumulative = np.append(0.0, self.hazards[0])[at]
            return RiskCurves(horizons_days, -np.expm1(-cumulative * np.exp(eta[:, :1])))
        parts = [self._competing(eta[i : i + ROWS_AT_ONCE], horizons_days) for i in range(0, len(eta), ROWS_AT_ONCE)]
        empty = np.empty((0, len(horizons_days)))
        return RiskCurves(horizons_days, np.concatenate(parts) if parts else empty)

    def _competing(self, eta: Floats, horizons_days: tuple[float, ...]) -> Floats:
        jumps = np.diff(self.hazards, axis=1, prepend=0.0)
        incidence = cumulative_incidence(np.exp(eta[:, :1]) * jumps[0], np.exp(eta[:, 1:2]) * jumps[1])
        at = np.searchsorted(self.times, horizons_days, side="right")
        return np.concatenate([np.zeros((len(eta), 1)), incidence], axis=1)[:, at]

    def at(self, horizon_days: float) -> float:
        """Cumulative hazard of the event by a time, at linear predictor zero."""
        return float(np.append(0.0, self.hazards[0])[np.searchsorted(self.times, horizon_days, side="right")])

    def write(self, path: Path) -> None:
        """One Parquet file: time_days, then one cumulative hazard per cause."""
        causes = {f"hazard_{i}": column for i, column in enumerate(self.hazards)}
        pq.write_table(pa.table({"time_days": self.times, **causes}), path)

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """What `write` wrote."""
        table = pq.read_table(path)
        columns = [table.column(name).to_numpy() for name in table.column_names]
        return cls(columns[0], np.stack(columns[1:]))


def cumulative_incidence(event: Floats, other: Floats) -> Floats:
    """(n, m) incidence from the jumps (n, m) of both cumulative hazards, their ratio constant between grid times."""
    both = event + other
    before = np.exp(-(np.cumsum(both, axis=1) - both))
    share = np.divide(event, both, out=np.zeros_like(event), where=both > 0)
    return np.asarray(np.cumsum(before * -np.expm1(-both) * share, axis=1), dtype=np.float64)


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
