"""What happens to the simulated people: disease, treatment, unplanned admission, death, joining and leaving.

Within a calendar year every hazard is constant given the state on 1 January, so waiting times are exponential and the
events of one year compete as independent clocks. `training.simulation.truth` integrates the same hazards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.arrays import Bools, Floats, Ints
from training.simulation import effects as published
from training.simulation.hazards import JANUARY_FIRSTS, N_RECORD_YEARS, Hazards, statin_start
from training.simulation.population import DAYS_PER_YEAR, END_DAY, People

MOST_ADMISSIONS_A_YEAR = 6
LEAVING_PER_YEAR = 0.012
RETURNING = 0.3


@dataclass(frozen=True, slots=True)
class Lives:
    """Day of each event, counted from 2000-01-01; inf: not before 2025, the day before entry: already there at entry.

    `admission_person`, `admission_day`: unplanned admissions other than first infarctions, sorted by person and day.
    `periods`: (person, 2, 2) start and end day (last day included) of enrolment; an absent second period is (1, 0).
    """

    chd_day: Floats
    infarction: Bools
    t2d_day: Floats
    breast_day: Floats
    statin_day: Floats
    death_day: Floats
    admission_person: NDArray[np.intp]
    admission_day: Floats
    periods: Ints

    def enrolled(self, person: NDArray[np.intp] | slice, day: Floats | Ints) -> Bools:
        """Whether a person was enrolled (so that what happened is in the record) on a day."""
        whole, periods = np.floor(day), self.periods[person]
        inside = (periods[:, :, 0] <= whole[:, None]) & (whole[:, None] <= periods[:, :, 1])
        return np.asarray(inside.any(axis=1))


def live(rng: np.random.Generator, people: People, *, hazards: Hazards) -> Lives:
    """Draw everybody's events. The random numbers used do not depend on the hazards, so scenarios are comparable."""
    entry_rng, event_rng, admission_rng, enrolment_rng = rng.spawn(4)
    days = _prevalent(entry_rng, people, hazards=hazards)
    infarction = event_rng.random(len(people)) < published.INFARCTION_SHARE
    admissions = []
    for year in range(N_RECORD_YEARS):
        clocks = event_rng.standard_exponential((5, len(people)))
        gaps = admission_rng.standard_exponential((MOST_ADMISSIONS_A_YEAR, len(people)))
        admissions.append(_one_year(people, hazards, days=days, year=year, clocks=clocks, gaps=gaps))
    person = np.concatenate([p for p, _ in admissions])
    day = np.concatenate([d for _, d in admissions])
    order = np.lexsort((day, person))
    return Lives(
        chd_day=days["chd"],
        infarction=infarction & (days["chd"] >= people.entry_day),
        t2d_day=days["t2d"],
        breast_day=days["breast"],
        statin_day=days["statin"],
        death_day=days["death"],
        admission_person=person[order],
        admission_day=day[order],
        periods=_enrol(enrolment_rng, people, death_day=days["death"]),
    )


def _one_year(
    people: People, hazards: Hazards, *, days: dict[str, Floats], year: int, clocks: Floats, gaps: Floats
) -> tuple[NDArray[np.intp], Floats]:
    """Fill in the first occurrences of one calendar year in `days`; return its admissions."""
    start = np.maximum(JANUARY_FIRSTS[year], people.entry_day).astype(np.float64)
    end = float(JANUARY_FIRSTS[year + 1])
    chd, t2d, statin = (days[name] < start for name in ("chd", "t2d", "statin"))
    rates = {
        "chd": np.where(t2d, hazards.chd[1][:, year], hazards.chd[0][:, year])
        * np.exp(hazards.statin_log_hr[:, 0] * statin),
        "t2d": hazards.t2d[:, year],
        "breast": hazards.breast_cancer[:, year],
        "statin": statin_start(hazards, chd=chd, t2d=t2d, year=year),
        "death": hazards.death[:, year]
        * np.exp(published.DEATH_LOG_HR["chd"] * chd + published.DEATH_LOG_HR["t2d"] * t2d),
    }
    with np.errstate(divide="ignore"):
        drawn = {name: start + clock / rates[name] * DAYS_PER_YEAR for name, clock in zip(rates, clocks, strict=True)}
    present = (start < end) & (days["death"] >= start)
    stop = np.minimum(drawn["death"], end)
    for name in rates:
        happens = present & (drawn[name] < end) & (drawn[name] <= stop) & np.isinf(days[name])
        days[name][happens] = drawn[name][happens]
    rate = hazards.admission[:, year] * np.exp(
        published.ADMISSION_LOG_HR["chd"] * chd + published.ADMISSION_LOG_HR["t2d"] * t2d
    )
    when = start + np.cumsum(gaps, axis=0) / rate * DAYS_PER_YEAR
    event, person = np.nonzero(present & (when < stop))
    return person, when[event, person]


def _prevalent(rng: np.random.Generator, people: People, *, hazards: Hazards) -> dict[str, Floats]:
    """State on entry, by the hazards of that year carried back along their slopes in age."""
    n = len(people)
    year = np.searchsorted(JANUARY_FIRSTS, people.entry_day, side="right") - 1
    rows = np.arange(n)
    age = (people.entry_day - people.birth_day) / DAYS_PER_YEAR
    before = people.entry_day - 1.0

    def draw(cumulative: Floats) -> Floats:
        return np.where(rng.random(n) < -np.expm1(-cumulative), before, np.inf)

    t2d = draw(0.7 * hazards.t2d[rows, year] * _carried_back(age - 30, slope=0.0465))
    at_entry = np.where(np.isfinite(t2d), hazards.chd[1][rows, year], hazards.chd[0][rows, year])
    chd = draw(0.8 * at_entry * _carried_back(age - 30, slope=0.075))
    breast = draw(0.8 * hazards.breast_cancer[rows, year] * _carried_back(age - 30, slope=0.06))
    diabetic, coronary = np.isfinite(t2d), np.isfinite(chd)
    rate = np.where(diabetic, hazards.statin[1][rows, year], hazards.statin[0][rows, year])
    statin = draw(4 * np.where(coronary, 0.5, rate))
    return {"chd": chd, "t2d": t2d, "breast": breast, "statin": statin, "death": np.full(n, np.inf)}


def _carried_back(years: Floats, *, slope: float) -> Floats:
    return -np.expm1(-slope * np.maximum(years, 0)) / slope


def _enrol(rng: np.random.Generator, people: People, *, death_day: Floats) -> Ints:
    """Leaving depends on age and deprivation alone; the second period is a return after half a year to three years."""
    n = len(people)
    age = (people.entry_day - people.birth_day) / DAYS_PER_YEAR
    rate = LEAVING_PER_YEAR * np.exp(0.15 * (people.deprivation - 3) - 0.02 * (age - 50))
    leave = people.entry_day + 120 + rng.standard_exponential(n) / rate * DAYS_PER_YEAR
    back = leave + DAYS_PER_YEAR * rng.uniform(0.5, 3.0, size=n)
    again = back + 120 + rng.standard_exponential(n) / rate * DAYS_PER_YEAR
    last = np.minimum(death_day, END_DAY - 1)
    returns = (rng.random(n) < RETURNING) & (back <= last)
    periods = np.empty((n, 2, 2), dtype=np.int64)
    periods[:, 0, 0], periods[:, 0, 1] = people.entry_day, np.minimum(leave, last)
    periods[:, 1, 0] = np.where(returns, np.minimum(back, END_DAY), 1)
    periods[:, 1, 1] = np.where(returns, np.minimum(again, last), 0)
    return periods
