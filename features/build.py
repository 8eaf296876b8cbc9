"""Features of an index from a record: the one way to a feature frame, for training, batch and bedside alike."""

from __future__ import annotations

import fnmatch
import math
import threading
from collections.abc import Sequence
from dataclasses import replace

import ibis
import numpy as np
import pyarrow as pa
from ibis.backends import BaseBackend
from scipy import sparse

from features.arrays import Positions
from features.catalogue import FAMILIES, Catalogue
from features.catalogue import catalogue as declared
from features.codes import ancestors_of
from features.engine import CodeMap, Engine, IbisSession, WarmSession, duckdb_session, texts
from features.errors import PresageError, meant
from features.frame import FeatureFrame
from features.index import Index
from features.progress import Progress, silent
from features.record import GENOMIC, Record, distinct_codes

SHARD_PAIRS = 1_000_000  # index rows times events in a shard, about: bounds memory
# Facts about people and care that are no clinical codes.
NOT_CODES = ("MEDS_", "Gender//", "Race//", "Ethnicity//", "CARE_SITE", "PROVIDER", "OBSERVATION_PERIOD//",
             "VISIT_END//", "Presage//")  # fmt: skip


def build(
    index: Index,
    record: Record,
    *,
    catalogue: Catalogue,
    progress: Progress = silent,
    backend: BaseBackend | None = None,
    max_memory: str | None = None,
) -> FeatureFrame:
    """Compute the catalogue's features for every row of the index, in the index's order.

    Returns a frame with one row per index row and one float32 column per feature. A row sees what was available
    strictly before its as-of moment. The bits are the same whether a person is alone or in a batch, and in whatever
    order events stand. By default a DuckDB of its own runs in shards of people, with at most `max_memory` (`"2GB"`);
    `backend` runs the same expressions elsewhere. A record in memory is answered by a connection that is kept warm.
    """
    if record.path is None and backend is None:
        return _warm(catalogue).build(index, record)
    reading = Reading(record, Engine(catalogue), session=_session(backend, max_memory))
    shards = [np.arange(len(index), dtype=np.intp)] if backend is not None else shard_rows(index, record)
    frames = []
    with progress("features", total=len(index)) as advance:
        for rows in shards:
            frames.append(reading.frame(index.take(rows)))
            advance(len(rows))
    return _stack(frames, np.concatenate(shards), index=index)


def chosen(
    index: Index,
    record: Record,
    *,
    families: Sequence[str],
    polygenic: Sequence[str] = (),
    names: Sequence[str] | None = None,
    catalogue: Catalogue | None = None,
) -> Catalogue:
    """The catalogue, or that of these names or globs, or of these families and scores.

    The vocabulary of the family `codes`, where a catalogue has none yet, is learned on these rows. Raises PresageError
    for a family or a name that does not exist.
    """
    everything = [family for family in FAMILIES if family != "codes"] if names is not None else families
    whole = declared(everything, polygenic=polygenic) if catalogue is None else catalogue
    if names is not None:
        wanted = _matching(names, whole.names)
        kept = whole.only(wanted)
        return replace(kept, specs=tuple(kept.spec(name) for name in wanted))
    return whole if whole.vocabulary else learn_vocabulary(index, record, catalogue=whole)


def check_known(index: Index, record: Record) -> None:
    """Raise PresageError where the record has no event of somebody: their features would all be missing."""
    unknown = np.setdiff1d(index.subject_ids, record.subject_ids())
    if len(unknown):
        raise PresageError(
            "subject_ids",
            "people of whom the record holds an event",
            found=f"{len(unknown):,} of {len(np.unique(index.subject_ids)):,} without",
            way_out="take ids among record.subject_ids()",
        )


def _matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    matched: dict[str, None] = {}
    for pattern in patterns:
        matches = fnmatch.filter(names, pattern)
        if not matches:
            way_out = meant(pattern, names) or "choose among those of ps.catalogue()"
            raise PresageError("names", "features of the catalogue, or globs", found=f"'{pattern}'", way_out=way_out)
        matched |= dict.fromkeys(matches)
    return list(matched)


def learn_vocabulary(
    index: Index, record: Record, *, catalogue: Catalogue, backend: BaseBackend | None = None
) -> Catalogue:
    """Learn which codes at least `code_prevalence` of these index rows have ever had: the vocabulary.

    Returns the catalogue with these codes frozen in. Call it with the rows of training folds only. A catalogue without
    the code-based family comes back as it is.
    """
    if catalogue.code_prevalence is None:
        return catalogue
    reading = Reading(record, Engine(catalogue), session=_session(backend, None))
    codes = [code for code in distinct_codes(reading.keys) if not code.startswith(NOT_CODES)]
    everything = Catalogue((), catalogue.code_prevalence, (None,), tuple(codes))
    counting = Reading(record, Engine(everything), session=reading.session, pairs=[], keys=reading.keys)
    people = np.zeros(len(codes), dtype=np.int64)
    for rows in shard_rows(index, record):
        counts = counting.frame(index.take(rows)).codes
        if counts is not None:
            people += np.bincount(counts.indices, minlength=len(codes))
    least = max(1, math.ceil(catalogue.code_prevalence * len(index)))
    return catalogue.with_vocabulary(code for code, n in zip(codes, people.tolist(), strict=True) if n >= least)


def shard_rows(index: Index, record: Record, *, largest: int = SHARD_PAIRS) -> list[Positions]:
    """Part the rows of an index into shards of whole people, in order of subject.

    Each shard is an array of positions in the index. `largest` bounds index rows times events of a shard, roughly, and
    with it the memory that a shard takes.
    """
    order = np.argsort(index.subject_ids, kind="stable")
    subjects = np.unique(index.subject_ids)
    pairs = record.count() * max(1.0, len(index) / max(1, len(subjects)))
    edges = np.linspace(0, len(subjects), 1 + max(1, math.ceil(pairs / largest))).astype(np.intp)
    if not len(subjects):
        return [order]
    starts = np.searchsorted(index.subject_ids[order], subjects[np.unique(edges[1:-1])])
    return [rows for rows in np.split(order, starts) if len(rows)]


def _session(backend: BaseBackend | None, max_memory: str | None) -> IbisSession:
    return duckdb_session(max_memory=max_memory) if backend is None else IbisSession(backend)


class Reading:
    """A record being read by an engine through a session: codes are resolved once, events are shown shard by shard."""

    def __init__(
        self,
        record: Record,
        engine: Engine,
        *,
        session: IbisSession,
        pairs: list[tuple[str, str]] | None = None,
        keys: list[str] | None = None,
    ) -> None:
        self.session, self._engine, self._tells = session, engine, record.tells
        self._events = _events(record, session)
        self.pairs = _pairs(self._events, session) if pairs is None else pairs
        self.keys = sorted({key for key, _ in self.pairs}) if keys is None else keys
        patterns = [pattern for source in engine.plan.sources for pattern in source.codes]
        code_map = CodeMap(engine.plan, ancestors_of(record, session.backend, patterns=patterns))
        session.put("presage_codes", code_map.table(self.pairs))
        session.put("presage_vocabulary", engine.vocabulary_table(self.keys))
        session.put("presage_texts", texts(engine.plan))
        self._genomic = {
            name: _genomic(record, session, name=name, score_ids=engine.score_ids) for name in engine.genomic_tables
        }

    def frame(self, index: Index) -> FeatureFrame:
        """Compute the feature frame of one shard of the index."""
        self.show(index)
        return self._engine.frame(index, self.session, genomic_tables=self._genomic, tells=self._tells)

    def show(self, index: Index | None = None) -> None:
        """Make the events of the shard's people the table `presage_events`, which the engine's expressions read.

        Without an index the table holds everybody's events; with an empty index it holds none.
        """
        events = self._events
        if index is not None and len(index):
            events = events.filter(
                events.subject_id.between(int(index.subject_ids.min()), int(index.subject_ids.max()))
            )
        self.session.put("presage_events", events if index is None or len(index) else events.limit(0))


def _events(record: Record, session: IbisSession) -> ibis.expr.types.Table:
    if record.path is not None:
        return record.events(session.backend)
    session.put("presage_record", record.tables["events"])
    return session.backend.table("presage_record")


def _pairs(events: ibis.expr.types.Table, session: IbisSession) -> list[tuple[str, str]]:
    recorded = session.backend.to_pyarrow(events.select(code=events.code, unit=events.unit.coalesce("")).distinct())
    return sorted(zip(recorded["code"].to_pylist(), recorded["unit"].to_pylist(), strict=True))


def _genomic(record: Record, session: IbisSession, *, name: str, score_ids: tuple[str, ...]) -> pa.Table:
    table = record.genomic(session.backend, name)
    if name == "polygenic":
        table = table.filter(table.score_id.isin(score_ids))
    return session.backend.to_pyarrow(table)


def _stack(frames: list[FeatureFrame], order: Positions, *, index: Index) -> FeatureFrame:
    first = frames[0]
    back = np.empty(len(index), dtype=np.intp)
    back[order] = np.arange(len(index), dtype=np.intp)
    codes = None
    if first.codes is not None:
        blocks = [frame.codes for frame in frames if frame.codes is not None]
        codes = sparse.csr_matrix(sparse.vstack(blocks, format="csr", dtype=np.float32)[back])
    values = np.concatenate([frame.values for frame in frames])[back]
    derived = {name: np.concatenate([frame.derived[name] for frame in frames])[back] for name in first.derived}
    return FeatureFrame(
        index.subject_ids, index.as_of, first.names, values, first.levels, codes, first.code_names, derived
    )


class Warm:
    """The engine of a catalogue with a DuckDB connection kept open, for records in memory."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._engine, self._session, self._lock = Engine(catalogue), WarmSession(), threading.Lock()
        self._session.put("presage_texts", texts(self._engine.plan))
        self._patterns = [pattern for source in self._engine.plan.sources for pattern in source.codes]
        self._hierarchy: pa.Table | None = None
        self._code_map = CodeMap(self._engine.plan, {})

    def build(self, index: Index, record: Record) -> FeatureFrame:
        """Compute the features of an index from a record in memory, as the function `build` does.

        One caller at a time; others wait.
        """
        events = record.tables["events"]
        units = (unit or "" for unit in events["unit"].to_pylist())
        with self._lock:
            self._use(record)
            self._session.put(
                "presage_codes", self._code_map.table(zip(events["code"].to_pylist(), units, strict=True))
            )
            self._session.put("presage_vocabulary", self._engine.vocabulary_table(events["code"].to_pylist()))
            self._session.put("presage_events", events)
            tables = {
                name: record.tables.get(name, GENOMIC[name].empty_table()) for name in self._engine.genomic_tables
            }
            return self._engine.frame(index, self._session, genomic_tables=tables, tells=record.tells)

    def _use(self, record: Record) -> None:
        """Resolve codes by this record's hierarchy; the same table is not read twice."""
        hierarchy = record.tables.get("ancestors")
        if hierarchy is self._hierarchy:
            return
        self._code_map = CodeMap(self._engine.plan, ancestors_of(record, None, patterns=self._patterns))
        self._hierarchy = hierarchy


_WARM: list[Warm] = []
_WARM_LOCK = threading.Lock()
_KEPT = 8  # catalogues; a service has one for each model


def _warm(catalogue: Catalogue) -> Warm:
    with _WARM_LOCK:
        for warm in _WARM:
            if warm.catalogue is catalogue:
                return warm
        _WARM.insert(0, Warm(catalogue))
        del _WARM[_KEPT:]
        return _WARM[0]
