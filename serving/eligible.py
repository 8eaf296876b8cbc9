"""Who belongs to the population a model was studied in on a day, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis.backends.duckdb import Backend

from features.record import Record
from training.bundle import Bundle
from training.cohort_index import index_facts
from training.cohort_record import Facts, criteria, resolve
from training.study import OutcomeSection, Population

Bools = npt.NDArray[np.bool_]
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Eligible:
    """People who are enrolled and alive at the index moment, by subject.

    subject_ids, as_of: (n,). outside: (n,) why a person is not of the studied population, "" for those who are.
    """

    subject_ids: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.datetime64]
    outside: npt.NDArray[np.object_]


def eligible(bundle: Bundle, record: Record, backend: Backend, *, as_of: datetime) -> Eligible:
    """Everybody enrolled and alive, with the study's own rules from its bundle.

    A study of landmark dates looks at everybody at `as_of`. A study that starts at a first event looks at people whose
    event lies within the last horizon before `as_of`, each at that event: what it learned to predict starts there, and
    its horizons count from there. Who has died since, had the outcome, or left is no longer at risk, and not scored.
    """
    record = _nullable(record)
    population = _at(Population.model_validate(bundle.manifest["population"]), bundle, as_of)
    section = OutcomeSection.model_validate(bundle.manifest["outcome"])
    first = [population.index.removeprefix("first:")] if population.index.startswith("first:") else []
    table = index_facts(
        record,
        backend,
        population,
        first_codes=_codes(first, bundle, record, backend),
        exclude=_codes(population.exclude, bundle, record, backend),
        outcome=_codes([str(section.codes)], bundle, record, backend),
        competing=_codes(section.competing, bundle, record, backend),
    )
    facts = Facts.of(table)
    (_, alive), *rules = criteria(facts, population, section)
    outside = np.full(len(facts.subject_ids), "", dtype=object)
    for rule, passed in reversed(rules):
        outside[~passed] = f"outside the studied population (people {rule})"
    for reason, happened in reversed(_since(facts, bundle, np.datetime64(as_of, "us"))):
        outside[happened] = reason
    rows = np.flatnonzero(alive)
    return Eligible(facts.subject_ids[rows], facts.as_of[rows], outside[rows])


def _since(facts: Facts, bundle: Bundle, now: np.datetime64) -> list[tuple[str, Bools]]:
    """What may have ended a person's time at risk between the index and now, the gravest first, each (n,).

    Nothing has where the index is now. NaT, for what never happened, is not before anything.
    """
    last = facts.as_of + np.timedelta64(int(_longest(bundle) * DAY_US), "us")
    return [
        ("died since the index", facts.death <= now),
        ("had the outcome since the index", facts.event <= now),
        ("had a competing event since the index", facts.competed <= now),
        ("not enrolled any more", facts.period_end < now),
        ("the last horizon from the index has passed", last <= now),
    ]


def _longest(bundle: Bundle) -> float:
    """In days; a year for a binary outcome."""
    return max((days for days in bundle.horizons_days if not np.isnan(days)), default=365.0)


def _nullable(record: Record) -> Record:
    """A record in memory typed as one on disk is: Parquet's columns may be null, and Ibis joins like with like only."""
    if record.path is not None:
        return record
    relaxed = {
        name: table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))
        for name, table in record.tables.items()
    }
    return Record(tables=relaxed)


def _at(population: Population, bundle: Bundle, as_of: datetime) -> Population:
    if not population.index.startswith("first:"):
        return population.model_copy(update={"index": as_of.isoformat()})
    since = (as_of - timedelta(days=_longest(bundle))).date()
    return population.model_copy(update={"index_from": since, "index_until": as_of.date()})


def _codes(entries: Sequence[str], bundle: Bundle, record: Record, backend: Backend) -> list[str]:
    """Codes of the bundle's own copies of the study's code lists."""
    copies = [f"codelist_{Path(entry).name}" if entry.endswith(".csv") else entry for entry in entries]
    return resolve(copies, bundle.folder, record, backend, may_be_absent=True)
