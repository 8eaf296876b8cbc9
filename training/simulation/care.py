"""What is written down at the simulated visits: measurements, diagnoses, prescriptions and answers.

What is missing is missing for reasons: laboratory tests follow age, disease, treatment and the habits of person and
doctor; family history is asked of some, and more often told by those who have one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.arrays import Bools, Floats, Ints
from training.simulation.concepts import CONCEPTS
from training.simulation.lives import Lives
from training.simulation.population import END_DAY, People, RiskFactors, risk_factors
from training.simulation.visits import ADMITTED, CHECKUP, EVENT, INTAKE, ROUTINE, Visits, known_disease

KEYS = tuple(CONCEPTS)
KEY_INDEX = {key: i for i, key in enumerate(KEYS)}
Numbers = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.int8] | NDArray[np.bool_]
ACUTE = {"uri": 0.40, "back": 0.30, "uti": 0.13, "gerd": 0.17}
SUPPLY_DAYS, LONG_SUPPLY_DAYS = 180, 365


@dataclass(frozen=True, slots=True)
class Rows:
    """Facts of one OMOP table, in order of person, time and concept. `visit`: row in `Visits`, -1 for none.

    `key`: position in KEYS; `value`: a number, or nan.
    """

    visit: Ints
    person: NDArray[np.intp]
    time: Floats
    key: NDArray[np.int16]
    value: Floats

    def __len__(self) -> int:
        return len(self.visit)


class _Notes:
    """Collects facts at visits; `rng` decides what is done and how far a result is off."""

    def __init__(self, rng: np.random.Generator, visits: Visits) -> None:
        self.rng, self.visits = rng, visits
        self.parts: list[Rows] = []

    def happens(self, probability: Floats | float) -> Bools:
        return np.asarray(self.rng.random(len(self.visits)) < probability)

    def noisy(self, level: Floats, *, sd: float = 0.0, cv: float = 0.0, digits: int = 0) -> Floats:
        error = self.rng.standard_normal(len(level))
        return np.round(level * (1 + cv * error) + sd * error, digits)

    def add(self, key: str, at: Bools, *, value: Numbers | None = None) -> None:
        rows = np.flatnonzero(at)
        self.add_rows(
            key,
            rows,
            person=self.visits.person[rows],
            time=self.visits.start[rows],
            value=None if value is None else value[rows],
        )

    def add_rows(
        self, key: str, visit: Ints, *, person: NDArray[np.intp], time: Floats, value: Numbers | None = None
    ) -> None:
        n = len(person)
        number = np.full(n, np.nan) if value is None else value.astype(np.float64)
        self.parts.append(Rows(visit, person, time, np.full(n, KEY_INDEX[key], dtype=np.int16), number))

    def together(self) -> Rows:
        columns = {name: np.concatenate([getattr(part, name) for part in self.parts]) for name in Rows.__slots__}
        order = np.lexsort((columns["key"], columns["time"], columns["person"]))
        return Rows(**{name: column[order] for name, column in columns.items()})


def measurements(rng: np.random.Generator, people: People, *, lives: Lives, visits: Visits) -> Rows:
    """Vital signs and laboratory results, with the noise of biology and assay."""
    notes = _Notes(rng, visits)
    at = people.take(visits.person)
    factors = risk_factors(at, visits.start)
    ill = known_disease(people, lives, visits=visits)
    ambulatory = visits.reason <= EVENT

    thorough = (visits.reason == INTAKE) | (visits.reason == CHECKUP)

    def taken(routine: NDArray[np.floating] | float, when_thorough: float) -> Bools:
        return ambulatory & notes.happens(np.where(thorough, when_thorough, routine))

    _vital_signs(notes, factors, pressure=taken(0.40, 0.95), weighed=taken(0.08, 0.9))
    lipids = taken(
        0.03
        + 0.03 * (factors.age_years > 45)
        + 0.08 * ill["hyperlipidaemia"]
        + 0.08 * ill["t2d"]
        - 0.01 * (at.deprivation - 3),
        0.88,
    )
    _lipids(notes, factors, taken=lipids, on_statin=lives.statin_day[visits.person] < visits.start)
    sugar = taken(0.03 + 0.03 * (factors.bmi > 30) + 0.45 * ill["t2d"], 0.85)
    _sugar(notes, factors, at=at, taken=sugar, diabetes=ill["t2d"])
    kidney = taken(0.05 + 0.05 * (factors.age_years > 60) + 0.10 * (ill["t2d"] | ill["hypertension"]), 0.88)
    kidney |= (visits.reason == ADMITTED) & notes.happens(0.85)
    egfr = np.clip(notes.noisy(factors.egfr, sd=4.0), 5, 140)
    notes.add("egfr", kidney, value=egfr)
    notes.add("creatinine", kidney, value=np.round(creatinine(egfr, factors.age_years, female=at.female), 2))
    ratio = notes.noisy(np.exp(2.0 + 0.02 * (90 - factors.egfr)), cv=0.2, digits=1)
    notes.add("acr", taken(0.20 * ill["t2d"], 0.0), value=ratio)
    return notes.together()


def _vital_signs(notes: _Notes, factors: RiskFactors, *, pressure: Bools, weighed: Bools) -> None:
    notes.add("sbp", pressure, value=notes.noisy(factors.sbp, sd=4.0))
    notes.add("dbp", pressure, value=notes.noisy(45 + 0.28 * factors.sbp, sd=5.0))
    notes.add("bmi", weighed, value=notes.noisy(factors.bmi, sd=0.4, digits=1))


def _lipids(notes: _Notes, factors: RiskFactors, *, taken: Bools, on_statin: Bools) -> None:
    ldl = notes.noisy(factors.ldl_on(on_statin), cv=0.04)
    hdl = notes.noisy(factors.hdl, cv=0.04)
    triglycerides = np.maximum(notes.noisy(factors.triglycerides, cv=0.10), 30)
    notes.add("ldl", taken, value=ldl)
    notes.add("hdl", taken, value=hdl)
    notes.add("tg", taken, value=triglycerides)
    notes.add("tc", taken, value=np.round(ldl + hdl + triglycerides / 5))  # Friedewald's equation turned round


def _sugar(notes: _Notes, factors: RiskFactors, *, at: People, taken: Bools, diabetes: Bools) -> None:
    """Fasting glucose, and HbA1c by the ADAG line (Nathan 2008): average glucose = 28.7 HbA1c - 46.7."""
    glucose = np.where(diabetes, 150 + 25 * at.u_glucose, factors.glucose)
    notes.add("glucose", taken & notes.happens(0.9), value=np.clip(notes.noisy(glucose, cv=0.03), 55, 400))
    notes.add("hba1c", taken, value=notes.noisy((glucose * 1.12 + 46.7) / 28.7, sd=0.15, digits=1))


def creatinine(egfr: Floats, age_years: Floats, *, female: Bools) -> Floats:
    """Serum creatinine in mg/dL whose CKD-EPI 2021 value is `egfr` (Inker 2021, N Engl J Med 385:1737)."""
    kappa, low = np.where(female, 0.7, 0.9), np.where(female, -0.241, -0.302)
    at_kappa = 142 * 0.9938**age_years * np.where(female, 1.012, 1.0)
    share = egfr / at_kappa
    return kappa * share ** (1 / np.where(share < 1, -1.200, low))


def conditions(rng: np.random.Generator, people: People, *, lives: Lives, visits: Visits) -> Rows:
    """Diagnoses: what a visit was for, known chronic disease from time to time, and acute complaints."""
    notes = _Notes(rng, visits)
    ambulatory = visits.reason <= EVENT
    for key in sorted(set(visits.diagnosis) - {""}):
        notes.add(key, visits.diagnosis == key)
    for key, present in known_disease(people, lives, visits=visits).items():
        coded = np.where(visits.reason == INTAKE, 1.0, np.where(visits.reason == ADMITTED, 0.5, 0.12))
        notes.add(key, present & (visits.diagnosis != key) & notes.happens(coded))
    complaint = ambulatory & (visits.reason == ROUTINE) & notes.happens(0.20)
    which = np.searchsorted(np.cumsum(list(ACUTE.values())), rng.random(len(visits)), side="right")
    for i, key in enumerate(ACUTE):
        notes.add(key, complaint & (which == i))
    return notes.together()


def prescriptions(rng: np.random.Generator, people: People, *, lives: Lives, visits: Visits) -> Rows:
    """Drugs; `value` is the days' supply. Statins are refilled from the day they start, the others at visits."""
    notes = _Notes(rng, visits)
    _statins(notes, people, lives=lives)
    ill = known_disease(people, lives, visits=visits)
    ambulatory = visits.reason <= EVENT
    half_a_year = np.full(len(visits), float(SUPPLY_DAYS))
    year = np.full(len(visits), float(LONG_SUPPLY_DAYS))
    first_line = people.person_id[visits.person] % 3
    for i, key in enumerate(("lisinopril_10", "amlodipine_5", "hydrochlorothiazide_25")):
        notes.add(key, ambulatory & ill["hypertension"] & (first_line == i) & notes.happens(0.8), value=year)
    notes.add("metformin_500", ambulatory & ill["t2d"] & notes.happens(0.6), value=year)
    notes.add("aspirin_81", ambulatory & ill["cad"] & notes.happens(0.6), value=half_a_year)
    notes.add("warfarin_5", ambulatory & ill["atrial_fibrillation"] & notes.happens(0.4), value=half_a_year / 2)
    notes.add("albuterol_90", ambulatory & (ill["copd"] | ill["asthma"]) & notes.happens(0.3), value=half_a_year / 3)
    week = np.full(len(visits), 7.0)
    for key, share in (("ibuprofen_200", 0.08), ("amoxicillin_250", 0.05), ("prednisone_5", 0.02)):
        notes.add(key, ambulatory & notes.happens(share), value=week)
    return notes.together()


def _statins(notes: _Notes, people: People, *, lives: Lives) -> None:
    user = np.flatnonzero(np.isfinite(lives.statin_day))
    begin = np.maximum(np.floor(lives.statin_day[user]) + 0.5, people.entry_day[user] + 0.5)
    stop = np.minimum(lives.death_day[user], END_DAY)
    count = np.maximum(np.ceil((stop - begin) / SUPPLY_DAYS), 1).astype(np.int64)
    person, first = np.repeat(user, count), np.repeat(begin, count)
    number = np.arange(len(person)) - np.repeat(np.cumsum(count) - count, count)
    delay = np.where(number == 0, 0, notes.rng.integers(0, 25, len(person)))
    time = first + number * SUPPLY_DAYS + delay
    keep = (time < np.minimum(lives.death_day[person], END_DAY)) & lives.enrolled(person, time)
    person, time = person[keep], time[keep]
    for i, key in enumerate(("simvastatin_20", "atorvastatin_80")):
        mine = (people.person_id[person] % 5 == 0) == bool(i)
        n = int(mine.sum())
        notes.add_rows(key, np.full(n, -1), person=person[mine], time=time[mine], value=np.full(n, float(SUPPLY_DAYS)))


def observations(rng: np.random.Generator, people: People, *, lives: Lives, visits: Visits) -> Rows:
    """Smoking status (value 0 never, 1 former, 2 current), deprivation quintile, and family history where asked."""
    notes = _Notes(rng, visits)
    factors = risk_factors(people.take(visits.person), visits.start)
    ambulatory = visits.reason <= EVENT
    asked = ambulatory & notes.happens(
        np.where(visits.reason == INTAKE, 0.9, np.where(visits.reason == CHECKUP, 0.7, 0.08))
    )
    notes.add("smoking", asked, value=factors.smoking)
    for which in (0, 1):
        start = lives.periods[:, which, 0]
        joins = np.flatnonzero(start <= lives.periods[:, which, 1])
        notes.add_rows(
            "deprivation",
            np.full(len(joins), -1),
            person=joins,
            time=start[joins].astype(np.float64),
            value=people.deprivation[joins],
        )
    for trait, history in people.family_history.items():
        positive = history[visits.person]
        probability = np.where(visits.reason == INTAKE, np.where(positive, 0.95, 0.82), np.where(positive, 0.06, 0.03))
        of_interest = people.female[visits.person] if trait == "breast_cancer" else True
        notes.add(f"family_{trait}", ambulatory & of_interest & notes.happens(probability), value=positive)
    return notes.together()
