"""Canaries: facts that every feature of a catalogue would show if it saw them. Each source of the catalogue has one.

A canary's value is plausible, so that no range sets it aside, and stands at an end of that range, so that it is unlike
the person's own: every second row's at the low end, the others' at the high end. Among genomic canaries every second
row's is a result withheld, or a variant found; the others' a high score, or genes looked at without a finding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from features.arrays import Ints, Moments
from features.catalogue import Catalogue, FeatureSpec
from features.engine import Plan, Source
from features.index import Index
from features.record import COVERAGE, EVENTS, FINDINGS, POLYGENIC

DAY = np.timedelta64(86_400_000_000, "us")
LATEST = 365 * DAY
# A canary stands at the moment itself, a day and a year later; and one that happened before the moment and became known
# at it. What counts from the first event is moved by no later one: its late canary happened before everybody was born.
DELAYS = (0 * DAY, DAY, LATEST)
BEFORE, BEFORE_BIRTH = DAY, 150 * 365 * DAY
INSIDE = 1e-4  # of the plausible range: a value at its very end may leave it when it is rounded to float32
ANY_VALUE = (-1e6, 1e6)  # of a source without a plausible range
HIGH_Z, MATCHED = 7.5, 0.987


def canaries(index: Index, catalogue: Catalogue) -> dict[str, pa.Table]:
    """Make canaries for every row of the index, each available at or after the row's as-of moment.

    Returns tables of the record, by name. Each source of the catalogue has a canary in every row; each code of the
    vocabulary has one in a single row, since all codes are counted by one expression.
    """
    specs = (*catalogue.helpers, *catalogue.specs)
    first = {Source.of(spec) for spec in specs if spec.aggregate == "years_since_first"}
    events = [_of_source(index, source, from_first=source in first) for source in Plan.of(specs).sources]
    events.append(_of_vocabulary(index, catalogue.vocabulary))
    return {"events": pa.concat_tables(events), **_genomic(index, specs)}


def earlier(planted: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The same canaries, moved to a year and a microsecond earlier, where every feature may see them."""
    return {name: _earlier(table) for name, table in planted.items()}


def _earlier(table: pa.Table) -> pa.Table:
    for name in {"time", "available_time"} & set(table.column_names):
        moved = pa.array(table[name].to_numpy() - (LATEST + np.timedelta64(1, "us")))
        table = table.set_column(table.column_names.index(name), table.schema.field(name), moved)
    return table


def _of_source(index: Index, source: Source, *, from_first: bool) -> pa.Table:
    low = np.arange(len(index)) % 2 == 0
    late = BEFORE_BIRTH if from_first else BEFORE
    return pa.concat_tables(
        _events(index.take(np.flatnonzero(rows)), late, *_signal(source, high=high))
        for rows, high in ((low, False), (~low, True))
    )


def _of_vocabulary(index: Index, codes: tuple[str, ...]) -> pa.Table:
    rows = np.arange(len(codes) if len(index) else 0) % max(1, len(index))
    return _events(index.take(rows), BEFORE, code=pa.array(codes[: len(rows)], pa.string()))


def _signal(source: Source, *, high: bool) -> tuple[str, float | None, str | None]:
    """Code, value and text that this source reads as the highest or lowest it can."""
    extreme = max if high else min
    constants = dict(source.values)
    plain = [pattern for pattern in source.codes if pattern not in constants]
    if source.value_unit is not None and plain:
        low_end, high_end = source.valid or ANY_VALUE
        inside = INSIDE * (high_end - low_end)
        return _code(plain[0]), high_end - inside if high else low_end + inside, None
    if source.levels and plain:
        return _code(plain[0]), None, extreme(source.levels, key=lambda level: level[1])[0]
    return _code(extreme(source.values, key=lambda value: value[1])[0] if constants else plain[0]), None, None


def _code(pattern: str) -> str:
    """A code that the pattern matches, in any record: the concept itself, or the prefix."""
    return pattern.removeprefix("<<").removesuffix("*")


def _events(
    index: Index, late: np.timedelta64, code: str | pa.Array, value: float | None = None, text: str | None = None
) -> pa.Table:
    available = np.concatenate([*(index.as_of + delay for delay in DELAYS), index.as_of])
    time = np.concatenate([available[: len(DELAYS) * len(index)], index.as_of - late])
    codes = code if isinstance(code, str) else pa.concat_arrays([code] * (len(DELAYS) + 1))
    subjects = np.tile(index.subject_ids, len(DELAYS) + 1)
    return _table(
        EVENTS, subjects, available=available, time=pa.array(time), code=codes, numeric_value=value, text_value=text
    )


def _genomic(index: Index, specs: tuple[FeatureSpec, ...]) -> dict[str, pa.Table]:
    """Rows of the genomic tables for the scores and genes that these features read."""
    scores = dict.fromkeys(spec.codes[0] for spec in specs if spec.aggregate.startswith("polygenic_"))
    panels = dict.fromkeys(spec.codes for spec in specs if spec.aggregate in {"carrier", "tested"})
    carriers, cleared = (index.take(np.flatnonzero(np.arange(len(index)) % 2 == half)) for half in (0, 1))
    polygenic = [
        _results(POLYGENIC, rows, score_id=score, z=z, matched_weight=MATCHED)
        for score in scores
        for rows, z in ((carriers, None), (cleared, HIGH_Z))
    ]
    findings = [
        _results(FINDINGS, carriers, gene_symbol=genes[0], variant="canary", classification="pathogenic")
        for genes in panels
    ]
    looked = dict.fromkeys(gene for genes in panels for gene in genes)
    coverage = [_results(COVERAGE, cleared, gene_symbol=gene, result="negative") for gene in looked]
    made = {"polygenic": polygenic, "findings": findings, "coverage": coverage}
    return {name: pa.concat_tables(tables) for name, tables in made.items() if tables}


def _results(schema: pa.Schema, index: Index, **facts: str | float | None) -> pa.Table:
    available = np.concatenate([index.as_of + delay for delay in DELAYS])
    return _table(schema, np.tile(index.subject_ids, len(DELAYS)), available=available, **facts)


def _table(
    schema: pa.Schema, subjects: Ints, *, available: Moments, **facts: pa.Array | str | float | None
) -> pa.Table:
    """Rows of a schema; what is not said is null."""
    columns: dict[str, pa.Array] = {"subject_id": pa.array(subjects), "available_time": pa.array(available)}
    for field in schema:
        fact = facts.get(field.name)
        values = fact if isinstance(fact, pa.Array) else pa.repeat(pa.scalar(fact, field.type), len(subjects))
        columns.setdefault(field.name, values)
    return pa.table({field.name: columns[field.name] for field in schema}, schema=schema)
