"""The feature side of the leakage guard: canaries planted at and after the moment must move no feature."""

from __future__ import annotations

from dataclasses import dataclass

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from ibis.backends import BaseBackend
from scipy import sparse

from features.build import build
from features.catalogue import Catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.progress import Progress, silent
from features.record import Record
from features.schema import EVENTS

DAY = np.timedelta64(86_400_000_000, "us")
CANARY_VALUE, CANARY_TEXT = 100.0, "current"
# A canary of a code stands at the moment itself, a day and a year later; and one that happened before the moment and
# became known at it.
DELAYS = (np.timedelta64(0, "us"), DAY, 365 * DAY)
PEOPLE = 100
CODES = 1000


@dataclass(frozen=True, slots=True)
class CanaryProof:
    """What came of planting canaries. moved: features that changed; the guard holds where there are none."""

    rows: int
    canaries: int
    moved: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no feature moved, although canaries were planted."""
        return self.canaries > 0 and not self.moved


def prove_no_movement(
    index: Index,
    record: Record,
    catalogue: Catalogue,
    *,
    rng: np.random.Generator,
    people: int = PEOPLE,
    progress: Progress = silent,
) -> CanaryProof:
    """Build features of some people's last index rows with and without canaries of every code the record knows.

    Only a person's last row is asked: for an earlier one a canary after the last would be no canary at all.
    """
    chosen = _last_rows(index, people, rng)
    backend = ibis.duckdb.connect()
    clean = _in_memory(record, chosen, backend)
    planted = canaries(chosen, _codes(clean, record, backend))
    events = pa.concat_tables([clean.tables["events"], planted])
    with progress("planting canaries", total=2) as advance:
        before = build(chosen, clean, catalogue)
        advance(1)
        after = build(chosen, Record(tables={**clean.tables, "events": events}), catalogue)
        advance(1)
    return CanaryProof(len(chosen), planted.num_rows, tuple(moved(before, after)))


def moved(before: FeatureFrame, after: FeatureFrame) -> list[str]:
    """Names of the features that differ in any row, by bits."""
    same = (before.values == after.values) | (np.isnan(before.values) & np.isnan(after.values))
    names = [name for name, column in zip(before.names, same.T, strict=True) if not bool(column.all())]
    if before.codes is not None and after.codes is not None:
        differing = sparse.coo_matrix(before.codes - after.codes)
        differing.eliminate_zeros()
        names += [before.code_names[column] for column in np.unique(differing.col).tolist()]
    return names


def shifted(index: Index, days: int) -> Index:
    """The same people, `days` earlier: a fall in performance betrays facts that were recorded late."""
    return Index(index.subject_ids, index.as_of - days * DAY)


def canaries(index: Index, codes: list[str]) -> pa.Table:
    """Events of every code for every index row, each available at or after its moment."""
    n, k = len(index), len(codes)
    subjects = np.repeat(index.subject_ids, k)
    as_of = np.repeat(index.as_of, k)
    names = pa.array(codes, pa.string()).take(pa.array(np.tile(np.arange(k), n)))
    tables = [_events(subjects, names, as_of + delay, as_of + delay) for delay in DELAYS]
    tables.append(_events(subjects, names, as_of - DAY, as_of))
    return pa.concat_tables(tables)


def _events(
    subjects: npt.NDArray[np.int64], codes: pa.Array, time: npt.NDArray[np.datetime64],
    available: npt.NDArray[np.datetime64],
) -> pa.Table:  # fmt: skip
    n = len(subjects)
    return pa.table(
        {
            "subject_id": subjects,
            "time": pa.array(time),
            "code": codes,
            "numeric_value": pa.array(np.full(n, CANARY_VALUE, dtype=np.float32)),
            "text_value": pa.repeat(pa.scalar(CANARY_TEXT, pa.large_string()), n),
            "available_time": pa.array(available),
            "unit": pa.nulls(n, pa.string()),
        },
        schema=EVENTS,
    )


def _last_rows(index: Index, people: int, rng: np.random.Generator) -> Index:
    order = np.lexsort((index.as_of, index.subject_ids))
    subjects = index.subject_ids[order]
    last = order[np.append(subjects[1:] != subjects[:-1], True)] if len(order) else order
    return index.take(np.sort(rng.permutation(last)[:people]))


def _in_memory(record: Record, index: Index, backend: BaseBackend) -> Record:
    """The same people's events, and the hierarchy, in memory."""
    if record.path is None:
        return record
    people = np.unique(index.subject_ids).tolist()
    events = record.events(backend)
    mine = events.filter(events.subject_id.isin(people))
    genomic = {}
    for name in ("polygenic", "findings", "coverage"):
        table = record.genomic(backend, name)
        genomic[name] = backend.to_pyarrow(table.filter(table.subject_id.isin(people)))
    ancestors = backend.to_pyarrow(record.ancestors(backend))
    return Record.in_memory(backend.to_pyarrow(mine), ancestors=ancestors, **genomic)


def _codes(clean: Record, record: Record, backend: BaseBackend) -> list[str]:
    """Codes that the record knows, the ones of these people first."""
    known = backend.to_pyarrow(record.events(backend).select("code").distinct())["code"].to_pylist()
    mine = set(clean.tables["events"]["code"].to_pylist())
    return sorted(known, key=lambda code: (code not in mine, code))[:CODES]
