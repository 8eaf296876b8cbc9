"""The identity map: which id of which source is which subject; kept apart from the features.

A `subject_id` says nothing about the source's id: numbers are given out in the order of the ids' digests. A person
keeps the number for ever, however often the source is read again.
"""

from __future__ import annotations

from pathlib import Path

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.record.schema import IDENTITY

FILE = Path("identity") / "subjects.parquet"


def read(record_dir: Path, *, source: str | None = None) -> pa.Table:
    """Read the identity map: columns subject_id, source and source_id, of one source or of all.

    The table is empty where the record has no map yet.
    """
    path = record_dir / FILE
    if not path.exists():
        return IDENTITY.empty_table()
    known = pq.read_table(path, schema=IDENTITY)
    return known if source is None else known.filter(pc.equal(known["source"], source))


def assign(con: Backend, record_dir: Path, *, source: str, people: ir.Table) -> ir.Table:
    """Give a subject to every `source_id` that a source holds, the known number or a new one.

    people: one row for each `source_id`, perhaps with `wish`, the number that a person would like to keep; a wish is
    granted where no other source has given the number out. Returns the source's whole map (columns of IDENTITY), people
    that are not in this reading included. Nothing is written yet.
    """
    everyone = read(record_dir)
    # Ibis unites columns only where both may be null.
    everyone = everyone.cast(pa.schema([column.with_nullable(True) for column in IDENTITY]))
    taken = con.create_table(f"taken_{source}", everyone, overwrite=True)
    known = taken.filter(taken.source == source)
    new = people.anti_join(known, "source_id")
    last = everyone["subject_id"]
    if "wish" in people.columns:
        granted = new.anti_join(taken, new.wish == taken.subject_id)
        granted = granted.select(subject_id=granted.wish, source=ibis.literal(source), source_id=granted.source_id)
        known = con.create_table(f"granted_{source}", known.union(granted), overwrite=True)
        new = new.anti_join(known, "source_id")
        last = pa.chunked_array([*last.chunks, *known.select("subject_id").to_pyarrow()["subject_id"].chunks])
    first = max(pc.max(last).as_py() or 0, 0) + 1
    order = ibis.row_number().over(order_by=[new.source_id.hexdigest("md5"), new.source_id])
    new = new.select(subject_id=(order + first).cast("int64"), source=ibis.literal(source), source_id=new.source_id)
    return con.create_table(f"identity_{source}", known.union(new), overwrite=True)


def merged(record_dir: Path, source: str, *, identity: ir.Table) -> pa.Table:
    """The whole identity map with the part of one source replaced, in the order of subject_id, ready to be written."""
    everyone = read(record_dir)
    others = everyone.filter(pc.not_equal(everyone["source"], source))
    mine = identity.select(IDENTITY.names).to_pyarrow().cast(IDENTITY)
    return pa.concat_tables([others, mine]).sort_by([("subject_id", "ascending"), ("source", "ascending")])
