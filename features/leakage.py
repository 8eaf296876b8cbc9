"""The feature side of the leakage guard: canaries planted at and after the moment must move no feature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import numpy as np
import pyarrow as pa
from ibis.backends import BaseBackend
from scipy import sparse

from features.build import build
from features.canaries import canaries, earlier
from features.catalogue import Catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.progress import Progress, silent
from features.record import Record

DAY = np.timedelta64(86_400_000_000, "us")
PEOPLE = 100


@dataclass(frozen=True, slots=True)
class CanaryProof:
    """The result of planting canaries in a record.

    moved: names of features that were changed by canaries from the as-of moment on; the guard holds where there are
    none. proven: how many features the same canaries move when they stand before the moment. unproven: names of
    features that the canaries do not move even then, about which this proof therefore says nothing.
    """

    rows: int
    canaries: int
    moved: tuple[str, ...]
    proven: int
    unproven: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no feature moved, although the canaries can move features."""
        return self.proven > 0 and not self.moved


def prove_no_movement(
    index: Index,
    record: Record,
    *,
    catalogue: Catalogue,
    rng: np.random.Generator,
    people: int = PEOPLE,
    progress: Progress = silent,
) -> CanaryProof:
    """Show that no feature of a catalogue is moved by facts from the as-of moment on.

    The features of some people's last index rows are built from three records. The first holds what was known before
    the moment and nothing else. The second holds all that these people's record holds, what became known later too, and
    canaries from the moment on: the same features must come out. The third, the positive control, is the first record
    with the canaries before the moment: canaries that move nothing when they may be seen prove nothing by moving
    nothing. Only a person's last row is asked, because for an earlier row a canary after the last one would be a fact
    of the past.
    """
    chosen = _last_rows(index, people, rng=rng)
    whole = _in_memory(record, chosen, backend=ibis.duckdb.connect())
    known = _known(whole, chosen)
    planted = canaries(chosen, catalogue)
    with progress("planting canaries", total=3) as advance:
        frames = []
        for seen in (known, _joined(whole, planted), _joined(known, earlier(planted))):
            frames.append(build(chosen, seen, catalogue=catalogue))
            advance(1)
    before, after, control = frames
    proven = set(moved(before, control))
    names = (*before.names, *before.code_names)
    return CanaryProof(
        rows=len(chosen),
        canaries=sum(table.num_rows for table in planted.values()),
        moved=tuple(moved(before, after)),
        proven=len(proven),
        unproven=tuple(name for name in names if name not in proven),
    )


def _known(record: Record, index: Index) -> Record:
    """What was available, and of events what had happened, strictly before the one moment of each of these people."""
    order = np.argsort(index.subject_ids)
    subjects, moments = index.subject_ids[order], index.as_of[order]
    kept = dict(record.tables)
    for name in {"events", "polygenic", "findings", "coverage"} & set(kept):
        table = kept[name]
        subject = table["subject_id"].to_numpy()
        at = np.minimum(np.searchsorted(subjects, subject), len(subjects) - 1)
        seen = subjects[at] == subject
        for column in ("time", "available_time") if name == "events" else ("available_time",):
            seen &= ~(table[column].to_numpy() >= moments[at])
        kept[name] = table.filter(pa.array(seen))
    return Record(tables=kept)


def _joined(record: Record, more: Mapping[str, pa.Table]) -> Record:
    """The record's tables with these rows added."""
    joined = dict(record.tables)
    for name, rows in more.items():
        there = joined.get(name, rows.slice(0, 0)).select(rows.schema.names).cast(rows.schema)
        joined[name] = pa.concat_tables([there, rows])
    return Record(tables=joined)


def moved(before: FeatureFrame, after: FeatureFrame) -> list[str]:
    """Names of the features whose values differ in any row, compared bit by bit."""
    same = (before.values == after.values) | (np.isnan(before.values) & np.isnan(after.values))
    names = [name for name, column in zip(before.names, same.T, strict=True) if not bool(column.all())]
    if before.codes is not None and after.codes is not None:
        differing = sparse.coo_matrix(before.codes - after.codes)
        differing.eliminate_zeros()
        names += [before.code_names[column] for column in np.unique(differing.col).tolist()]
    return names


def shifted(index: Index, days: int) -> Index:
    """The same people, each `days` earlier: a fall in performance there betrays facts that were recorded late."""
    return Index(index.subject_ids, index.as_of - days * DAY)


def _last_rows(index: Index, people: int, *, rng: np.random.Generator) -> Index:
    order = np.lexsort((index.as_of, index.subject_ids))
    subjects = index.subject_ids[order]
    last = order[np.append(subjects[1:] != subjects[:-1], True)] if len(order) else order
    return index.take(np.sort(rng.permutation(last)[:people]))


def _in_memory(record: Record, index: Index, *, backend: BaseBackend) -> Record:
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
