"""The engine of one catalogue: its plan and expressions, compiled once, and the frame they give over named tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from features.catalogue.catalogue import Catalogue
from features.codes import is_denied
from features.engine import assemble, derived, genomic
from features.engine.expression import aggregates, code_counts
from features.engine.plan import Plan, column_name
from features.engine.session import Session
from features.frame import FeatureFrame
from features.index import Index
from features.record import Tells, codes_of

DAY = np.timedelta64(86_400_000_000, "us")
GENOMIC_TABLES = ("polygenic", "findings", "coverage")


class Engine:
    """The plan and the expressions of one catalogue, compiled once, and the way its columns are filled from their
    results.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.specs = (*catalogue.helpers, *catalogue.specs)
        self.plan = Plan.of(self.specs)
        self._sources = self.plan.numbers(self.specs)
        self._derived = derived.in_order(self.specs)
        self._code_names = catalogue.code_names
        self.aggregates = aggregates(self.plan)
        self.code_counts = code_counts(catalogue.code_windows_days)
        self.genomic_tables = tuple(name for name in GENOMIC_TABLES if name in set(_genomic_tables(catalogue)))
        self.score_ids = tuple(
            dict.fromkeys(spec.codes[0] for spec in self.specs if spec.aggregate.startswith("polygenic_"))
        )

    def frame(
        self, index: Index, session: Session, *, genomic_tables: Mapping[str, pa.Table], tells: Tells
    ) -> FeatureFrame:
        """The frame of an index whose events, codes and vocabulary the session holds."""
        session.put("presage_index", self._index_table(index))
        out = np.empty((len(index), len(self.specs)), dtype=np.float32)
        if self.plan.sources:
            long = assemble.Long.of(session.run(self.aggregates))
            assemble.fill(out, self.specs, sources=self._sources, long=long, as_of=index.as_of, tells=tells)
        if self.genomic_tables:
            genomic.fill(out, self.specs, index=index, tables=genomic_tables)
        masks = derived.fill(out, self.specs, order=self._derived)
        shown = np.ascontiguousarray(out[:, len(self.catalogue.helpers) :])
        return FeatureFrame(
            index.subject_ids,
            index.as_of,
            self.catalogue.names,
            shown,
            {spec.name: spec.categories for spec in self.catalogue.specs if spec.categories},
            self._codes(len(index), session),
            self._code_names,
            {name: mask for name, mask in masks.items() if name in self.catalogue.names},
        )

    def vocabulary_table(self, keys: Iterable[str]) -> pa.Table:
        """Rows of `presage_vocabulary` for these keys of facts: a fact counts for each of its codes."""
        number = {code: at for at, code in enumerate(self.catalogue.vocabulary)}
        said = (key for key in dict.fromkeys(keys) if not is_denied(key))
        rows = [(key, number[code]) for key in said for code in codes_of(key) if code in number]
        return pa.table(
            {
                "code": pa.array([key for key, _ in rows], pa.string()),
                "number": pa.array([at for _, at in rows], pa.int32()),
            }
        )

    def _codes(self, n: int, session: Session) -> sparse.csr_matrix | None:
        if self.catalogue.code_prevalence is None:
            return None
        return sparse_counts(session.run(self.code_counts), n, catalogue=self.catalogue)

    def _index_table(self, index: Index) -> pa.Table:
        windows = {*self.plan.windows_days, *(days for days in self.catalogue.code_windows_days if days is not None)}
        return index_rows(index, sorted(windows))


def index_rows(index: Index, windows_days: Iterable[int]) -> pa.Table:
    """The table `presage_index`: the rows of an index, numbered, with the start of each window."""
    as_of = index.as_of
    columns: dict[str, pa.Array] = {
        "row": pa.array(np.arange(len(index), dtype=np.int32)),
        "subject_id": pa.array(index.subject_ids),
        "as_of": pa.array(as_of),
        "as_of_day": pa.array(as_of.astype("datetime64[D]").astype(np.int32)),
    }
    return pa.table(columns | {f"from_{days}": pa.array(as_of - days * DAY) for days in windows_days})


def sparse_counts(long: pa.Table, n: int, *, catalogue: Catalogue) -> sparse.csr_matrix:
    """Counts of codes (n, windows times codes), float32, columns in the order of the catalogue's `code_names`."""
    size = len(catalogue.vocabulary)
    row, number = long["row"].to_numpy(), long["number"].to_numpy()
    data: list[npt.NDArray[np.float32]] = []
    at: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]] = []
    for position, days in enumerate(catalogue.code_windows_days):
        counts = long[column_name("n", days)].to_numpy()
        there = np.flatnonzero(counts)
        data.append(counts[there].astype(np.float32))
        at.append((row[there], number[there] + position * size))
    rows, columns = (np.concatenate(each) for each in zip(*at, strict=True))
    shape = (n, size * len(catalogue.code_windows_days))
    matrix = sparse.csr_matrix((np.concatenate(data), (rows, columns)), shape=shape, dtype=np.float32)
    matrix.sort_indices()
    return matrix


def _genomic_tables(catalogue: Catalogue) -> Iterable[str]:
    for spec in (*catalogue.helpers, *catalogue.specs):
        if spec.aggregate.startswith("polygenic_"):
            yield "polygenic"
        elif spec.aggregate in {"carrier", "tested"}:
            yield from ("findings", "coverage")
