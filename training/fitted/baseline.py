"""Baseline hazards of the event and what competes with it, and the cumulative incidence they give a person.

Statistics: docs/decisions/0001-competing-risks.md. Each cause has its own proportional hazards model; risk by h is the
sum over times t of S(t-) times the event's hazard, S from all causes. Without competing events this is
1 - exp(-H(h) exp(eta)).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Floats
from training.cohort import RiskCurves

BASELINE_FILE = "baseline.parquet"
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
        with pq.ParquetFile(path) as file:
            table = file.read()
        # `read_table` and `to_numpy` would import pandas for a few hundred numbers.
        columns = [np.asarray(np.from_dlpack(column.combine_chunks()), np.float64) for column in table.columns]
        return cls(columns[0], np.stack(columns[1:]))


def cumulative_incidence(event: Floats, other: Floats) -> Floats:
    """(n, m) incidence from the jumps (n, m) of both cumulative hazards, their ratio constant between grid times."""
    both = event + other
    before = np.exp(-(np.cumsum(both, axis=1) - both))
    share = np.divide(event, both, out=np.zeros_like(event), where=both > 0)
    return np.asarray(np.cumsum(before * -np.expm1(-both) * share, axis=1), dtype=np.float64)
