"""Outcomes and predicted risks as typed values: event, time, competing events, censoring, horizons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

CENSORED, EVENT, COMPETING = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to each index row.

    time_days: (n,) days from index to event, competing event or censoring, whichever is first; all NaN when binary.
    event: (n,) 0 censored, 1 event, 2 competing event. Binary with complete follow-up: 0 no, 1 yes.
    horizons_days: increasing; empty when binary.
    followable_days: (n,) days for which somebody indexed then could have been followed at most, whatever happened: the
    data's last day minus the index. None where no dates are known.
    """

    time_days: npt.NDArray[np.float64]
    event: npt.NDArray[np.int8]
    horizons_days: tuple[float, ...]
    followable_days: npt.NDArray[np.float64] | None = None

    @property
    def kind(self) -> Literal["binary", "survival", "competing"]:
        """Which estimators apply."""
        if not self.horizons_days:
            return "binary"
        return "competing" if bool((self.event == COMPETING).any()) else "survival"

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: npt.NDArray[np.intp]) -> Outcome:
        """The same outcome for these rows."""
        followable = None if self.followable_days is None else self.followable_days[rows]
        return Outcome(self.time_days[rows], self.event[rows], self.horizons_days, followable)


@dataclass(frozen=True, slots=True)
class RiskCurves:
    """Cumulative incidence of the event by each horizon, never falling along a row.

    horizons_days: (h,) increasing; (nan,) for a binary outcome.
    probabilities: (n, h) in [0, 1].
    """

    horizons_days: tuple[float, ...]
    probabilities: npt.NDArray[np.float64]
