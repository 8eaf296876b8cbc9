"""The cohort of a record: population, index rule, outcome with competing events and censoring, attrition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.arrays import Bools, Floats, Ints, Moments, Strings
from features.errors import PresageError
from features.record import Record
from training.cohort.index import enrolment_notes, index_facts
from training.cohort.outcome import CENSORED, COMPETING, EVENT, Outcome
from training.cohort.rows import Step, people_and_rows
from training.cohort.sides import sides
from training.study import OutcomeSection, Population, Study

DAY = np.timedelta64(86_400_000_000, "us")
YEAR_DAYS = 365.25
BEYOND_DAYS = 0.5  # follow-up is cut half a day after the last horizon: known to be free of the event by then


@dataclass(frozen=True, slots=True)
class Selected:
    """Index rows of a study and what happened to them, in order of person and time."""

    subject_ids: Ints
    as_of: Moments
    outcome: Outcome
    attrition: tuple[Step, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What `index_facts` found, as arrays; NaT where there is none."""

    subject_ids: Ints
    sex: Strings
    as_of: Moments
    period_start: Moments
    period_end: Moments
    birth: Moments
    death: Moments
    excluded: Moments
    prior: Moments
    event: Moments
    competed: Moments

    @classmethod
    def of(cls, table: pa.Table) -> Facts:
        """Columns of the table."""
        moments = {
            name: table[name].to_numpy().astype("datetime64[us]")
            for name in cls.__dataclass_fields__
            if name not in {"subject_ids", "sex"}
        }
        return cls(table["subject_id"].to_numpy(), np.array(table["sex"].to_pylist(), dtype=object), **moments)


def select(study: Study, folder: Path, *, record: Record, backend: Backend) -> Selected:
    """The study's index rows. Raises PresageError where a code list finds nothing in the record, or nobody is left."""
    population, section = study.population, study.outcome
    _distinct([population.index.removeprefix("first:"), *population.exclude, str(section.codes), *section.competing])
    first = population.index.removeprefix("first:") if population.index.startswith("first:") else None
    table = index_facts(
        record,
        backend,
        population=population,
        first_codes=[] if first is None else resolve([first], folder, record=record, backend=backend),
        exclude=resolve(population.exclude, folder, record=record, backend=backend, may_be_absent=True),
        outcome=resolve([str(section.codes)], folder, record=record, backend=backend),
        competing=resolve(section.competing, folder, record=record, backend=backend, may_be_absent=True),
    )
    facts = Facts.of(table)
    keep = np.ones(len(facts.subject_ids), dtype=np.bool_)
    attrition = [people_and_rows("enrolled at the index date", facts.subject_ids)]
    for step, passed in criteria(facts, population, section=section):
        keep &= passed
        attrition.append(people_and_rows(step, facts.subject_ids[keep]))
    if not bool(keep.any()):
        lost = next(each.step for each in attrition if not each.rows)
        raise PresageError(
            "[population]",
            "at least one person",
            found=f"nobody after the step '{lost}'",
            way_out="widen it, or check the record",
        )
    if study.validation.test_from is not None:
        early, late = sides(facts.as_of, section.horizons_days, validation=study.validation)
        keep &= early | late
        attrition.append(people_and_rows("whose window closes before the test, or tested", facts.subject_ids[keep]))
    outcome = outcome_of(facts, section)
    rows = np.flatnonzero(keep)
    notes = enrolment_notes(record, backend)
    return Selected(facts.subject_ids[rows], facts.as_of[rows], outcome.take(rows), tuple(attrition), notes)


def _distinct(entries: Sequence[str]) -> None:
    """Copies of the code lists are sealed in the bundle by their file's name."""
    lists = sorted({entry for entry in entries if entry.endswith(".csv")})
    names = [Path(entry).name for entry in lists]
    for entry, name in zip(lists, names, strict=True):
        if names.count(name) > 1:
            raise PresageError(
                entry,
                "a file name that no other code list of the study has",
                found="one that another has",
                way_out="rename one",
            )


def resolve(
    entries: Sequence[str], folder: Path, *, record: Record, backend: Backend, may_be_absent: bool = False
) -> list[str]:
    """Codes of code lists (files ending in .csv, relative to the study) and of codes written as they are."""
    from features.codes import read

    codes: set[str] = set()
    for entry in entries:
        found = set(read(folder / entry).expand(record)) if entry.endswith(".csv") else {entry}
        if not found and not may_be_absent:
            raise PresageError(str(folder / entry), "at least one code that the record has", found="none")
        codes |= found
    return sorted(codes)


def criteria(facts: Facts, population: Population, *, section: OutcomeSection) -> list[tuple[str, Bools]]:
    """Who may be in the study, one rule after the other, each (n,).

    What excludes somebody counts from when it happened, not from when it was known: a model for people free of the
    outcome is learned on people who were. Somebody whose diagnosis is not recorded yet is scored all the same.
    """
    low, high = population.age_years
    age = np.floor(age_years(facts.birth, facts.as_of))
    history = population.history_days * DAY
    rules: list[tuple[str, Bools]] = [
        ("alive, and born before", ~(facts.death <= facts.as_of) & (facts.birth < facts.as_of)),
        (f"enrolled for {population.history_days} days before", facts.as_of - facts.period_start >= history),
        (f"aged {low} to {high} years", (age >= low) & (age <= high)),
    ]
    if population.sex is not None:
        rules.append((f"sex {population.sex}", facts.sex == population.sex))
    if population.exclude:
        rules.append(("without an excluded condition before", ~(facts.excluded <= facts.as_of)))
    if section.washout_days is None:
        rules.append(("without the outcome before", np.isnat(facts.prior)))
    elif section.washout_days > 0:
        washout = section.washout_days * DAY
        rules.append((f"without the outcome in {section.washout_days} days", ~(facts.as_of - facts.prior <= washout)))
    return rules


def age_years(birth: Moments, as_of: Moments) -> Floats:
    """(n,) completed and part years; NaN where the birth is unknown."""
    days = (as_of - birth) / DAY
    return np.where(np.isnat(birth), np.nan, days / YEAR_DAYS)


def outcome_of(facts: Facts, section: OutcomeSection) -> Outcome:
    """First of outcome, competing event, and the end of enrolment; at a tie the outcome, then the competing event.

    Time at risk starts after the index moment. A death with a date and no clock time stands at the start of its day: an
    outcome later on that day came first, and is not lost to the death. Enrolment ends with its last day, so that a
    death recorded on it is a death. Follow-up is cut just after the last horizon: nothing later may be learned from.
    """
    last = max(section.horizons_days)
    event = (facts.event - facts.as_of) / DAY
    day = facts.competed.astype("datetime64[D]")
    dated = (facts.competed == day) & (facts.event.astype("datetime64[D]") == day)
    competed = (np.where(dated, facts.event, facts.competed) - facts.as_of) / DAY
    left = (facts.period_end + DAY - facts.as_of) / DAY
    event, competed = _inf(event), _inf(competed)
    left = np.minimum(_inf(left), last + BEYOND_DAYS)
    time = np.minimum(np.minimum(event, competed), left)
    kind = np.where(event <= time, EVENT, np.where(competed <= time, COMPETING, CENSORED)).astype(np.int8)
    followable = (facts.period_end.max() + DAY - facts.as_of) / DAY  # to the record's last day, whoever it is
    return Outcome(time, kind, section.horizons_days, followable)


def _inf(days: npt.NDArray[np.float64]) -> Floats:
    return np.where(np.isnan(days), np.inf, days)
