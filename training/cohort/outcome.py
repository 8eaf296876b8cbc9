"""Outcomes and predicted risks as typed values: event, time, competing events, censoring, horizons."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

CENSORED, EVENT, COMPETING = 0, 1, 2


@dataclass(frozen=True, slots=True, repr=False)
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

    def __repr__(self) -> str:
        """The kind and the number of rows: nobody's outcome."""
        return f"<Outcome: {self.kind}, {len(self):,} rows{_by(self.horizons_days)}>"

    def take(self, rows: npt.NDArray[np.intp]) -> Outcome:
        """The same outcome for these rows."""
        followable = None if self.followable_days is None else self.followable_days[rows]
        return Outcome(self.time_days[rows], self.event[rows], self.horizons_days, followable)


@dataclass(frozen=True, slots=True, repr=False)
class RiskCurves:
    """Cumulative incidence of the event by each horizon, never falling along a row.

    horizons_days: (h,) increasing; (nan,) for a binary outcome.
    probabilities: (n, h) in [0, 1].
    """

    horizons_days: tuple[float, ...]
    probabilities: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.probabilities)

    def __repr__(self) -> str:
        """The number of rows and the horizons: nobody's risk."""
        return f"<RiskCurves: {len(self):,} rows{_by(self.horizons_days)}>"

    def to_pandas(self) -> pd.DataFrame:
        """A column of risk for each horizon.

        >>> RiskCurves((365.0, 730.0), np.array([[0.1, 0.2]])).to_pandas()
           risk_365d  risk_730d
        0        0.1        0.2
        """
        import pandas as pd

        return pd.DataFrame(self.probabilities, columns=[risk_column(days) for days in self.horizons_days])

    def _repr_html_(self) -> str:
        """As `repr`; nobody's risk."""
        return f"<p>{escape(repr(self)[1:-1])}</p>"


def risk_column(horizon_days: float | None) -> str:
    """What a column of risks by a horizon is called; None or nan is the horizon of a binary outcome.

    >>> risk_column(3650.0)
    'risk_3650d'
    """
    return "risk" if horizon_days is None or np.isnan(horizon_days) else f"risk_{horizon_days:g}d"


def _by(horizons_days: tuple[float, ...]) -> str:
    known = [f"{days:g}" for days in horizons_days if not np.isnan(days)]
    return f", by {' and '.join([', '.join(known[:-1]), known[-1]] if len(known) > 1 else known)} days" if known else ""
