"""Who belongs to the population a model was studied in on a day, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from ibis.backends.duckdb import Backend

from features.arrays import Bools
from features.record import EVENTS, Record
from training.bundle import Bundle
from training.cohort import BIRTH, PERIOD_END, PERIOD_START, Facts, criteria, index_facts, resolve
from training.study import OutcomeSection, Population

DAY_US = 86_400_000_000
OTHERS = "others"  # a table of one person's record in memory: what `others_of` the whole record says
NO_ONE, LAST_SEEN = -(2**63), "Presage//LAST_SEEN"


@dataclass(frozen=True, slots=True)
class Eligible:
    """People who are enrolled and alive at the index moment, by subject.

    subject_ids, as_of: (n,). outside: (n,) why a person is not of the studied population, "" for those who are.
    """

    subject_ids: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.datetime64]
    outside: npt.NDArray[np.object_]


def eligible(bundle: Bundle, record: Record, *, backend: Backend, as_of: datetime) -> Eligible:
    """Find everybody who is enrolled and alive, and why some of them are outside the studied population.

    The rules are the study's own, from its bundle. A study of landmark dates looks at everybody at `as_of`. A study
    that starts at a first event looks at people whose event lies within the last horizon before `as_of`, each at that
    event: the prediction it has learned starts there, and its horizons count from there. People who have since died,
    had the outcome, or left are no longer at risk, and are not scored.
    """
    record, alone = _nullable(record), _alone(record)
    population = _at(Population.model_validate(bundle.manifest["population"]), bundle, as_of=as_of)
    section = OutcomeSection.model_validate(bundle.manifest["outcome"])
    first = [population.index.removeprefix("first:")] if population.index.startswith("first:") else []
    table = index_facts(
        record,
        backend,
        population=population,
        first_codes=_codes(first, bundle, record=record, backend=backend),
        exclude=_codes(population.exclude, bundle, record=record, backend=backend),
        outcome=_codes([str(section.codes)], bundle, record=record, backend=backend),
        competing=_codes(section.competing, bundle, record=record, backend=backend),
    )
    facts = Facts.of(table.filter(pc.is_in(table["subject_id"], alone)) if alone is not None else table)
    (_, alive), *rules = criteria(facts, population, section=section)
    outside = np.full(len(facts.subject_ids), "", dtype=object)
    for rule, passed in reversed(rules):
        outside[~passed] = f"outside the studied population (people {rule})"
    for reason, happened in reversed(_since(facts, bundle, now=np.datetime64(as_of, "us"))):
        outside[happened] = reason
    rows = np.flatnonzero(alive)
    return Eligible(facts.subject_ids[rows], facts.as_of[rows], outside[rows])


def others_of(record: Record, backend: Backend) -> pa.Table:
    """The facts about everybody in a record that decide on the follow-up of one person, as events of nobody: `OTHERS`
    in memory.

    They are whether anybody is enrolled, since only where nobody is does the record's last day end a person's
    follow-up; and that day, the last on which anything had happened and was known (see `training.cohort.index`).
    """
    events = record.events(backend)
    timed = events.filter(events.time.notnull(), events.code != BIRTH)
    periods = timed.filter(timed.code.isin([PERIOD_START, PERIOD_END]))
    whole = periods.group_by("subject_id").agg(kinds=periods.code.nunique()).filter(lambda t: t.kinds == 2)
    seen = ibis.least(timed.time, timed.available_time.coalesce(timed.time))
    is_enrolled = bool(whole.count().to_pyarrow().as_py())
    last = timed.aggregate(last=seen.max()).to_pyarrow()["last"][0].as_py()
    codes = [] if last is None else [PERIOD_START, PERIOD_END] if is_enrolled else [LAST_SEEN]
    rows = [{"subject_id": NO_ONE, "code": code, "time": last, "available_time": last} for code in codes]
    return pa.Table.from_pylist(rows, schema=EVENTS)


def _alone(record: Record) -> pa.Array | None:
    """Whom a record in memory is about, where it holds what others decide."""
    return pc.unique(record.tables["events"]["subject_id"]) if OTHERS in record.tables else None


def _since(facts: Facts, bundle: Bundle, *, now: np.datetime64) -> list[tuple[str, Bools]]:
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
    """A record in memory, with what others decide, typed as one on disk is: Parquet's columns may be null, and Ibis
    joins like with like only.
    """
    if record.path is not None:
        return record
    tables = dict(record.tables)
    if OTHERS in tables:
        tables["events"] = pa.concat_tables([tables["events"], tables.pop(OTHERS)])
    relaxed = {
        name: table.cast(pa.schema([field.with_nullable(True) for field in table.schema]))
        for name, table in tables.items()
    }
    return Record(tables=relaxed)


def _at(population: Population, bundle: Bundle, *, as_of: datetime) -> Population:
    if not population.index.startswith("first:"):
        return population.model_copy(update={"index": as_of.isoformat()})
    since = (as_of - timedelta(days=_longest(bundle))).date()
    return population.model_copy(update={"index_from": since, "index_until": as_of.date()})


def _codes(entries: Sequence[str], bundle: Bundle, *, record: Record, backend: Backend) -> list[str]:
    """Codes of the bundle's own copies of the study's code lists."""
    copies = [f"codelist_{Path(entry).name}" if entry.endswith(".csv") else entry for entry in entries]
    return resolve(copies, bundle.folder, record=record, backend=backend, may_be_absent=True)
