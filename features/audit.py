"""How many recorded values a catalogue can use: results read and results set aside, by feature and reason."""

from __future__ import annotations

import ibis
import pyarrow as pa
from ibis.backends import BaseBackend

from features.build import Reading
from features.catalogue import Catalogue
from features.engine import CODES, EVENTS, Engine, IbisSession, Source, duckdb_session
from features.record import Record

COUNTS = pa.schema(
    [
        pa.field("feature", pa.string()),  # the first of those that read the same values
        pa.field("results", pa.int64()),  # events with a number
        pa.field("without_unit", pa.int64()),  # taken to be in the feature's unit
        pa.field("converted", pa.int64()),
        pa.field("not_convertible", pa.int64()),  # set aside
        pa.field("implausible", pa.int64()),  # set aside
    ]
)


def audit(record: Record, catalogue: Catalogue, *, backend: BaseBackend | None = None) -> pa.Table:
    """Count, over the whole record, the results that features read and those that were set aside, with the reason.

    Returns one row for each group of features that read the same values (columns of COUNTS). Results without a unit are
    taken to be in the feature's unit; those in a unit that cannot be converted, and implausible ones, are set aside.
    """
    engine = Engine(catalogue)
    session = duckdb_session() if backend is None else IbisSession(backend)
    Reading(record, engine, session=session)
    session.put("presage_events", record.events(session.backend))
    counts = {row["source"]: row for row in session.run(_counts()).to_pylist()}
    rows = [
        {"feature": _first(engine, source), **counts[number]}
        for number, source in enumerate(engine.plan.sources)
        if source.value_unit is not None and number in counts
    ]
    return pa.Table.from_pylist(rows, schema=COUNTS)


def _first(engine: Engine, source: Source) -> str:
    return next(spec.name for spec in engine.specs if Source.of(spec) == source)


def _counts() -> ibis.expr.types.Table:
    events = EVENTS.filter(EVENTS.numeric_value.notnull() & ~EVENTS.numeric_value.isnan())
    events = events.mutate(unit=events.unit.coalesce(""))
    table = events.inner_join(CODES, ["code", "unit"])
    table = table.filter(table.constant.isnull())
    value = table.numeric_value.cast("float64") * table.factor + table.offset
    return table.group_by("source").aggregate(
        results=table.count(),
        without_unit=table.count(where=table.unit == ""),
        converted=table.count(where=table.factor.notnull() & ((table.factor != 1.0) | (table.offset != 0.0))),
        not_convertible=table.count(where=table.factor.isnull()),
        implausible=table.count(where=(value < table.low) | (value > table.high)),
    )
