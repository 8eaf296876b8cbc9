"""When the simulated people see the health system: irregular routine visits, event visits, admissions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.arrays import Bools, Floats, Ints
from training.simulation.lives import Lives
from training.simulation.population import CHRONIC, DAYS_PER_YEAR, END_DAY, People, risk_factors

ROUTINE, INTAKE, CHECKUP, EVENT, EMERGENCY, ADMITTED, PLANNED = range(7)  # why a visit happened
CONCEPT_OF_REASON = ("OP", "OP", "OP", "OP", "ER", "ERIP", "IP")
CHECKUPS_PER_YEAR, EMERGENCY_PER_YEAR, PLANNED_PER_YEAR = 0.36, 0.10, 0.02


@dataclass(frozen=True, slots=True)
class Visits:
    """One element per visit, in order of person and time. `person`: row in `People`; days from 2000-01-01.

    `diagnosis`: key of the concept that the visit was made for; empty for routine and intake visits and check-ups.
    """

    person: NDArray[np.intp]
    start: Floats  # day with the clock time as its fraction
    end: Floats
    reason: NDArray[np.int8]
    diagnosis: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.person)

    @property
    def day(self) -> Ints:
        """Calendar day of the start."""
        return np.floor(self.start).astype(np.int64)


def make_visits(rng: np.random.Generator, people: People, *, lives: Lives) -> Visits:
    """All visits while enrolled and alive. People with a known disease always come soon after joining."""
    routine_rng, intake_rng, other_rng, stay_rng = rng.spawn(4)
    parts = [
        _routine(routine_rng, people, lives=lives),
        _intake(intake_rng, people, lives=lives),
        *_events(people, lives),
        _admissions(other_rng, people, lives=lives),
        *(
            _poisson(other_rng, people, rate=rate * people.care_seeking, reason=reason)
            for rate, reason in (
                (CHECKUPS_PER_YEAR - 0.03 * (people.deprivation - 3), CHECKUP),
                (EMERGENCY_PER_YEAR, EMERGENCY),
                (PLANNED_PER_YEAR, PLANNED),
            )
        ),
    ]
    person = np.concatenate([part[0] for part in parts])
    when = np.concatenate([part[1] for part in parts])
    reason = np.concatenate([np.full(len(part[0]), part[2], dtype=np.int8) for part in parts])
    diagnosis = np.concatenate([np.broadcast_to(np.asarray(part[3], dtype="U20"), len(part[0])) for part in parts])
    keep = (when < END_DAY) & (when <= lives.death_day[person]) & lives.enrolled(person, when)
    person, when, reason, diagnosis = person[keep], when[keep], reason[keep], diagnosis[keep]
    inpatient = (reason == ADMITTED) | (reason == PLANNED)
    clock = np.where(inpatient | (reason == EMERGENCY), when - np.floor(when), stay_rng.uniform(8, 17, len(when)) / 24)
    start = np.floor(when) + np.floor(clock * 1440) / 1440  # to the minute
    stay = np.where(inpatient, 0.5 + stay_rng.exponential(4.0, len(when)), stay_rng.uniform(0.01, 0.05, len(when)))
    latest = np.minimum(lives.death_day[person], END_DAY - 1 / 1440)
    end = np.maximum(start, np.minimum(start + np.round(stay * 1440) / 1440, latest))
    order = np.lexsort((reason, start, person))
    return Visits(person[order], start[order], end[order], reason[order], diagnosis[order])


Part = tuple[NDArray[np.intp], Floats, int, "str | NDArray[np.str_]"]


def _poisson(rng: np.random.Generator, people: People, *, rate: Floats, reason: int, diagnosis: str = "") -> Part:
    years = (END_DAY - people.entry_day) / DAYS_PER_YEAR
    count = rng.poisson(rate * years)
    person = np.repeat(np.arange(len(people)), count)
    when = people.entry_day[person] + rng.random(len(person)) * (END_DAY - people.entry_day[person])
    return person, when, reason, diagnosis


def _routine(rng: np.random.Generator, people: People, *, lives: Lives) -> Part:
    """A Poisson process whose rate grows with age and chronic disease: thinned from its highest rate."""
    most = 3.2 * people.care_seeking
    person, when, reason, diagnosis = _poisson(rng, people, rate=most, reason=ROUTINE)
    age = (when - people.birth_day[person]) / DAYS_PER_YEAR
    ill = sum((day[person] < when).astype(np.int64) for day in people.onset_day.values())
    ill = ill + (lives.t2d_day[person] < when) + (lives.chd_day[person] < when) + (lives.statin_day[person] < when)
    rate = 0.10 + 0.006 * np.clip(age - 30, 0, 60) + 0.15 * ill + 0.10 * people.female[person]
    rate -= 0.05 * (people.deprivation[person] - 3)
    keep = rng.random(len(person)) < np.clip(rate, 0.1, 3.2) / 3.2
    return person[keep], when[keep], reason, diagnosis


def _intake(rng: np.random.Generator, people: People, *, lives: Lives) -> Part:
    """A visit within 60 days of each enrolment: everybody with a chronic disease, nine of ten others."""
    persons, days = [], []
    for which in (0, 1):
        start = lives.periods[:, which, 0]
        ill = np.zeros(len(people), dtype=bool)
        for day in (lives.chd_day, lives.t2d_day, lives.breast_day, lives.statin_day, *people.onset_day.values()):
            ill |= day < start
        comes = (start <= lives.periods[:, which, 1]) & (ill | (rng.random(len(people)) < 0.9))
        when = start + rng.integers(0, 60, len(people)) + 0.4
        last = lives.periods[:, which, 1].astype(np.float64)
        when = np.minimum(when, np.minimum(last, lives.death_day))
        persons.append(np.flatnonzero(comes))
        days.append(when[comes])
    return np.concatenate(persons), np.concatenate(days), INTAKE, ""


def _events(people: People, lives: Lives) -> list[Part]:
    """A visit on the day of each first diagnosis or first prescription."""
    everyone = np.arange(len(people))
    not_infarction = ~lives.infarction & np.isfinite(lives.chd_day)
    presenting = np.where(people.person_id % 2 == 0, "cad", "angina")
    parts: list[Part] = [(everyone[not_infarction], lives.chd_day[not_infarction], EVENT, presenting[not_infarction])]
    first = {"t2d": lives.t2d_day, "breast_cancer": lives.breast_day, "": lives.statin_day}
    for diagnosis, day in first.items():
        rows = np.isfinite(day)
        parts.append((everyone[rows], day[rows], EVENT, diagnosis))
    for name in CHRONIC:
        rows = people.onset_day[name] < END_DAY
        parts.append((everyone[rows], people.onset_day[name][rows], EVENT, name))
    return parts


def _admissions(rng: np.random.Generator, people: People, *, lives: Lives) -> Part:
    """Unplanned admissions and what they were for."""
    infarction = np.flatnonzero(lives.infarction)
    person = np.concatenate([lives.admission_person, infarction])
    when = np.concatenate([lives.admission_day, lives.chd_day[infarction]])
    causes = np.array(["pneumonia", "gi_bleed", "hip", "sepsis", "chest_pain", "uti"])
    cause = rng.choice(causes, size=len(person), p=[0.25, 0.12, 0.10, 0.18, 0.20, 0.15]).astype("U20")
    for name, share in (("heart_failure", 0.35), ("copd", 0.35)):
        own = (people.onset_day[name][person] < when) & (rng.random(len(person)) < share)
        cause[own] = name
    cause[len(lives.admission_person) :] = "mi"
    return person, when, ADMITTED, cause


def known_disease(people: People, lives: Lives, *, visits: Visits) -> dict[str, Bools]:
    """Per visit, which chronic diseases the person has by then."""
    factors = risk_factors(people.take(visits.person), visits.start)
    person, start = visits.person, visits.start
    on_statin = lives.statin_day[person] <= start
    return {
        "cad": lives.chd_day[person] < start,
        "t2d": lives.t2d_day[person] < start,
        "breast_cancer": lives.breast_day[person] < start,
        "hypertension": factors.on_antihypertensive,
        "hyperlipidaemia": on_statin | (factors.ldl > 175),
        "ckd": factors.egfr < 60,
        **{name: people.onset_day[name][person] < start for name in CHRONIC},
    }
