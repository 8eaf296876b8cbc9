"""A fact and its codings: one event however many vocabularies it was coded in, known by a key of all its codes.

The key of a fact with one code is that code; of one with several, the codes joined by a separator that no code holds.
So features, cohorts and counts read one row a fact, and a pattern matches a fact when it matches any of its codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa

from features.record.schema import EVENTS

if TYPE_CHECKING:
    import ibis.expr.types as ir

SEPARATOR = "\x1f"


def codes_of(key: str) -> tuple[str, ...]:
    """The codes that a key stands for, the fact's own first.

    >>> codes_of("SNOMED//59621000\\x1fICD10CM//I10")
    ('SNOMED//59621000', 'ICD10CM//I10')
    """
    return tuple(key.split(SEPARATOR))


def key_of(code: str, codings: Iterable[str] | None) -> str:
    """The key of a fact with this code and these other codings."""
    return SEPARATOR.join((code, *(codings or ())))


def keyed(rows: ir.Table) -> ir.Table:
    """Rows as the record keeps them (columns of ROWS; `codings` may be absent) as EVENTS, `code` being the key."""
    import ibis

    if "codings" not in rows.columns:
        return rows.select(EVENTS.names)
    joined = rows.code + SEPARATOR + ibis.literal(SEPARATOR).join(rows.codings)
    several = rows.codings.notnull() & (rows.codings.length() > 0)
    return rows.mutate(code=ibis.ifelse(several, joined, rows.code)).select(EVENTS.names)


def keyed_table(rows: pa.Table) -> pa.Table:
    """The same for a table in memory."""
    if "codings" not in rows.column_names:
        return rows.cast(EVENTS)
    codes, others = rows["code"].to_pylist(), rows["codings"].to_pylist()
    keys = pa.array([key_of(code, codings) for code, codings in zip(codes, others, strict=True)], pa.string())
    return rows.set_column(rows.column_names.index("code"), "code", keys).select(EVENTS.names).cast(EVENTS)


def rows_of(events: pa.Table) -> pa.Table:
    """Columns of ROWS of a table of EVENTS: a key becomes the code and the other codings again."""
    keys = [codes_of(key) for key in events["code"].to_pylist()]
    codings = pa.array([list(codes[1:]) or None for codes in keys], pa.list_(pa.string()))
    own = pa.array([codes[0] for codes in keys], pa.string())
    return events.set_column(events.column_names.index("code"), "code", own).append_column("codings", codings)


def distinct_codes(keys: Iterable[str]) -> list[str]:
    """Every code of these keys, sorted, once each."""
    return sorted({code for key in keys for code in codes_of(key)})
