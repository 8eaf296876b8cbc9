"""Each person's true cumulative incidence at each landmark: the simulation's own hazards, integrated exactly.

The risk is conditional on what a person is (all traits of `People`, hence every trajectory of risk factors, smoking and
chronic disease) and on the state at the landmark (coronary disease, diabetes, statin). It is averaged over what is
still to be drawn: new diabetes, new coronary disease, the start of a statin, and death, which competes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Bools, Floats
from features.progress import Progress, silent
from training.simulation import effects as published
from training.simulation.hazards import JANUARY_FIRSTS, N_RECORD_YEARS, STATIN_AFTER_CHD, Hazards
from training.simulation.lives import Lives
from training.simulation.population import DAYS_PER_YEAR, EPOCH, People

HORIZON_DAYS = {"chd": 3650, "t2d": 1825, "breast_cancer": 3650, "unplanned_admission": 365}
SCHEMA = pa.schema(
    [
        pa.field("person_id", pa.int64(), nullable=False),
        pa.field("landmark", pa.date32(), nullable=False),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("horizon_days", pa.int32(), nullable=False),
        pa.field("risk", pa.float64(), nullable=False),
        pa.field("risk_treated", pa.float64(), nullable=False),
        pa.field("risk_untreated", pa.float64(), nullable=False),
    ]
)
AS_IS, NEVER, ALWAYS = "as is", "never", "always"


@dataclass(frozen=True, slots=True)
class State:
    """Where people stand on one 1 January."""

    chd: Bools
    t2d: Bools
    breast: Bools
    statin: Bools

    def take(self, rows: NDArray[np.intp]) -> State:
        """The same for these people."""
        return State(self.chd[rows], self.t2d[rows], self.breast[rows], self.statin[rows])


def state_at(lives: Lives, day: int) -> State:
    """Who had what before this day."""
    return State(lives.chd_day < day, lives.t2d_day < day, lives.breast_day < day, lives.statin_day < day)


def true_risks(people: People, hazards: Hazards, *, lives: Lives, progress: Progress = silent) -> pa.Table:
    """One row per person, landmark and outcome: alive, enrolled, adult and free of the outcome on that 1 January.

    `risk_treated`: on a statin from the landmark to the horizon; `risk_untreated`: without one, current users included.
    """
    blocks = []
    with progress("true risks", total=N_RECORD_YEARS) as advance:
        for year in range(N_RECORD_YEARS):
            blocks += _landmark(people, hazards, lives=lives, year=year)
            advance(1)
    table = pa.concat_tables(blocks)
    return table.sort_by([("outcome", "ascending"), ("landmark", "ascending"), ("person_id", "ascending")])


def _landmark(people: People, hazards: Hazards, *, lives: Lives, year: int) -> list[pa.Table]:
    day = int(JANUARY_FIRSTS[year])
    state = state_at(lives, day)
    here = (lives.death_day >= day) & lives.enrolled(slice(None), np.full(len(people), day))
    at_risk = {
        "chd": here & ~state.chd,
        "t2d": here & ~state.t2d,
        "breast_cancer": here & people.female & ~state.breast,
        "unplanned_admission": here,
    }
    tables = []
    for outcome, mask in at_risk.items():
        rows = np.flatnonzero(mask)
        risks = [
            cumulative_incidence(hazards, rows, state=state.take(rows), outcome=outcome, year=year, statin=statin)
            for statin in (AS_IS, ALWAYS, NEVER)
        ]
        n = len(rows)
        columns = [
            pa.array(people.person_id[rows]),
            pa.array(np.full(n, EPOCH + day)),
            pa.array(np.full(n, outcome)),
            pa.array(np.full(n, HORIZON_DAYS[outcome], dtype=np.int32)),
            *(pa.array(risk) for risk in risks),
        ]
        tables.append(pa.table(columns, schema=SCHEMA))
    return tables


def cumulative_incidence(
    hazards: Hazards, rows: NDArray[np.intp], *, state: State, outcome: str, year: int, statin: str
) -> Floats:
    """(rows,) probability of `outcome` within its horizon of the 1 January of `year`, before death.

    `rows` are free of the outcome on that day and `state` is theirs; `statin` is AS_IS, NEVER or ALWAYS.

    Backwards over calendar years. With total hazard A, event hazard e and a fraction D of a year, a year contributes
    e/A (1 - exp(-A D)), plus exp(-A D) times the expectation of what follows over the state on the next 1 January.
    """
    if outcome == "unplanned_admission":
        return _admission_risk(hazards, rows, state=state, year=year, statin=statin)
    fractions = _year_fractions(year, HORIZON_DAYS[outcome])
    on = {AS_IS: (False, True), NEVER: (False,), ALWAYS: (True,)}[statin]
    diseases = [
        (chd, t2d)
        for chd in ((False,) if outcome == "chd" else (False, True))
        for t2d in ((False,) if outcome == "t2d" else (False, True))
    ]
    value = {(chd, t2d, treated): np.zeros(len(rows)) for chd, t2d in diseases for treated in on}
    for ahead in range(len(fractions) - 1, -1, -1):
        rates = _Rates(hazards, rows, year=year + ahead)
        value = {
            key: _one_year_value(rates, value, key=key, outcome=outcome, fraction=fractions[ahead]) for key in value
        }
    risk = np.zeros(len(rows))
    for (chd, t2d, treated), risk_here in value.items():
        here = (state.chd == chd) & (state.t2d == t2d) & ((state.statin == treated) | (statin != AS_IS))
        risk[here] = risk_here[here]
    return risk


class _Rates:
    """Hazards of these people in one calendar year, by their state on its 1 January."""

    def __init__(self, hazards: Hazards, rows: NDArray[np.intp], *, year: int) -> None:
        def column(x: Floats) -> Floats:
            return np.asarray(x[rows, year])

        self.t2d, self.breast_cancer = column(hazards.t2d), column(hazards.breast_cancer)
        self._chd = tuple(column(x) for x in hazards.chd)
        self._statin_hr = np.exp(hazards.statin_log_hr[rows, 0])
        self._statin = tuple(column(x) for x in hazards.statin)
        self._death = column(hazards.death)

    def chd(self, *, t2d: bool, statin: bool) -> Floats:
        return self._chd[t2d] * self._statin_hr if statin else self._chd[t2d]

    def death(self, *, chd: bool, t2d: bool) -> Floats:
        log_hr = published.DEATH_LOG_HR
        return self._death * float(np.exp(log_hr["chd"] * chd + log_hr["t2d"] * t2d))

    def statin(self, *, chd: bool, t2d: bool) -> Floats | float:
        return STATIN_AFTER_CHD if chd else self._statin[t2d]


def _one_year_value(
    rates: _Rates,
    after: dict[tuple[bool, bool, bool], Floats],
    *,
    key: tuple[bool, bool, bool],
    outcome: str,
    fraction: float,
) -> Floats:
    chd, t2d, statin = key
    event = {
        "chd": lambda: rates.chd(t2d=t2d, statin=statin),
        "t2d": lambda: rates.t2d,
        "breast_cancer": lambda: rates.breast_cancer,
    }[outcome]()
    total = event + rates.death(chd=chd, t2d=t2d)
    survive = np.exp(-total * fraction)
    changes: list[tuple[int, Floats | float]] = []
    if not chd and outcome != "chd":
        changes.append((0, rates.chd(t2d=t2d, statin=statin)))
    if not t2d and outcome != "t2d":
        changes.append((1, rates.t2d))
    if not statin and (chd, t2d, True) in after:
        changes.append((2, rates.statin(chd=chd, t2d=t2d)))
    return np.asarray(
        event / total * (1 - survive) + survive * _expectation(after, key, changes=changes, fraction=fraction)
    )


def _expectation(
    after: dict[tuple[bool, bool, bool], Floats],
    key: tuple[bool, bool, bool],
    *,
    changes: list[tuple[int, Floats | float]],
    fraction: float,
) -> Floats:
    """Mean of `after` over the independent changes of state that may happen within the year."""
    if not changes:
        return after[key]
    position, rate = changes[0]
    stays = np.exp(-np.asarray(rate) * fraction)
    changed = (key[0] or position == 0, key[1] or position == 1, key[2] or position == 2)
    return stays * _expectation(after, key, changes=changes[1:], fraction=fraction) + (1 - stays) * _expectation(
        after, changed, changes=changes[1:], fraction=fraction
    )


def _year_fractions(year: int, horizon_days: int) -> list[float]:
    """Length of each calendar year from `year` on within the horizon, in units of 365.25 days."""
    days: list[int] = []
    while horizon_days > 0:
        length = int(JANUARY_FIRSTS[year + len(days) + 1] - JANUARY_FIRSTS[year + len(days)])
        days.append(min(length, horizon_days))
        horizon_days -= length
    return [d / DAYS_PER_YEAR for d in days]


def _admission_risk(hazards: Hazards, rows: NDArray[np.intp], *, state: State, year: int, statin: str) -> Floats:
    """First of any admission and a first infarction, before death, within the calendar year.

    An infarction is a share w of first coronary events (hazard c). Alive and without admission until t with
    probability exp(-A t) (1 - w + w exp(-c t)), A = admission + death.
    """
    (fraction,) = _year_fractions(year, HORIZON_DAYS["unplanned_admission"])
    rates = _Rates(hazards, rows, year=year)
    on = {AS_IS: state.statin, NEVER: np.zeros(len(rows), dtype=bool), ALWAYS: np.ones(len(rows), dtype=bool)}[statin]
    untreated = np.where(state.t2d, rates.chd(t2d=True, statin=False), rates.chd(t2d=False, statin=False))
    treated = np.where(state.t2d, rates.chd(t2d=True, statin=True), rates.chd(t2d=False, statin=True))
    coronary = np.where(state.chd, 0.0, np.where(on, treated, untreated))
    log_hr = published.ADMISSION_LOG_HR
    admission = hazards.admission[rows, year] * np.exp(log_hr["chd"] * state.chd + log_hr["t2d"] * state.t2d)
    log_hr = published.DEATH_LOG_HR
    death = hazards.death[rows, year] * np.exp(log_hr["chd"] * state.chd + log_hr["t2d"] * state.t2d)
    share, slow = published.INFARCTION_SHARE, admission + death
    fast = slow + coronary
    still = np.exp(-slow * fraction) * (1 - share + share * np.exp(-coronary * fraction))
    dead_first = death * ((1 - share) * -np.expm1(-slow * fraction) / slow + share * -np.expm1(-fast * fraction) / fast)
    return np.asarray(1 - still - dead_first)
