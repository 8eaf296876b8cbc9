"""The feature frame: one row per index row, float32, with NaN where a fact is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

if TYPE_CHECKING:
    import pandas as pd

LISTED = 30  # features that a notebook shows before they are only counted


@dataclass(frozen=True, slots=True, repr=False)
class FeatureFrame:
    """Features of n index rows.

    subject_ids: (n,). as_of: (n,) microseconds. names: p feature names.
    values: (n, p) float32; NaN means what the feature's declaration says absence means. A categorical feature holds
    the number of its level. levels: the levels of categorical features, by name.
    codes: (n, q) sparse counts of the code-based family, code_names its columns; None where not asked for.
    derived: by the name of a feature that can be computed from its parts, in which rows (n,) the value is not the
    record's own but computed; other features have no entry.

    >>> frame = FeatureFrame(np.array([7]), np.array(["2025-01-01"], "datetime64[us]"), ("age_years",),
    ...                      np.array([[61.5]], np.float32))
    >>> frame
    <FeatureFrame: 1 rows of 1 people, 1 features>
    """

    subject_ids: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.datetime64]
    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: sparse.csr_matrix | None = None
    code_names: tuple[str, ...] = ()
    derived: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.subject_ids)
        if self.subject_ids.shape != (n,) or self.as_of.shape != (n,):
            raise ValueError("a feature frame has one moment for each subject")
        if self.as_of.dtype != np.dtype("datetime64[us]"):
            raise ValueError("as_of is datetime64[us]")
        if self.values.shape != (n, len(self.names)):
            raise ValueError(f"values are {n} rows of {len(self.names)} features, got {self.values.shape}")
        if any(mask.shape != (n,) for mask in self.derived.values()):
            raise ValueError("a mask of derived values has one answer for each row")
        if self.codes is not None and self.codes.shape != (n, len(self.code_names)):
            raise ValueError(f"codes are {n} rows of {len(self.code_names)} columns, got {self.codes.shape}")

    def __repr__(self) -> str:
        """Counts only: nobody's values."""
        codes = "" if self.codes is None else f", {len(self.code_names):,} code columns"
        people = len(np.unique(self.subject_ids))
        return f"<FeatureFrame: {len(self):,} rows of {people:,} people, {len(self.names):,} features{codes}>"

    def _repr_html_(self) -> str:
        """The features and how many rows have a value: nobody's values."""
        shown = self.names[:LISTED]
        known = np.zeros(len(shown)) if not len(self) else 1 - np.isnan(self.values[:, : len(shown)]).mean(axis=0)
        rows = [
            f"<tr><td>{escape(name)}</td><td>{len(self.levels[name])} levels</td><td>{share:.0%}</td></tr>"
            if name in self.levels
            else f"<tr><td>{escape(name)}</td><td>number</td><td>{share:.0%}</td></tr>"
            for name, share in zip(shown, known, strict=True)
        ]
        more = len(self.names) - len(shown)
        rest = f"<p>and {more:,} features more</p>" if more else ""
        head = "<tr><th>feature</th><th>kind</th><th>rows with a value</th></tr>"
        return f"<p>{escape(repr(self)[1:-1])}</p><table>{head}{''.join(rows)}</table>{rest}"

    def to_pandas(self, *, codes: bool = False) -> pd.DataFrame:
        """A column for each feature, a row for each subject_id and as_of; categories by the names of their levels.

        codes: the counts of codes beside them, as sparse columns.
        """
        import pandas as pd

        index = pd.MultiIndex.from_arrays([self.subject_ids, self.as_of], names=["subject_id", "as_of"])
        columns = {name: self._as_series(name, index) for name in self.names}
        table = pd.DataFrame(columns, index=index)
        if not codes or self.codes is None:
            return table
        sparse_frames: Any = pd.DataFrame.sparse  # the stubs know it of a data frame only, not of the class
        counts: pd.DataFrame = sparse_frames.from_spmatrix(self.codes, index=index, columns=list(self.code_names))
        return pd.concat([table, counts], axis=1)

    def _as_series(self, name: str, index: pd.MultiIndex) -> pd.Series[float] | pd.Series[str]:
        import pandas as pd

        values = self.column(name)
        if name not in self.levels:
            return pd.Series(values, index=index)
        numbers = np.where(np.isnan(values), -1, values).astype(np.int64)
        return pd.Series(pd.Categorical.from_codes(numbers, categories=pd.Index(self.levels[name])), index=index)

    def __len__(self) -> int:
        return len(self.subject_ids)

    def column(self, name: str) -> npt.NDArray[np.float32]:
        """Values (n,) of one feature, float32, NaN where the fact is absent."""
        return self.values[:, self.names.index(name)]

    def take(self, rows: npt.NDArray[np.intp]) -> FeatureFrame:
        """The same features for the index rows at these positions."""
        codes = None if self.codes is None else self.codes[rows]
        return FeatureFrame(
            self.subject_ids[rows],
            self.as_of[rows],
            self.names,
            self.values[rows],
            self.levels,
            codes,
            self.code_names,
            {name: mask[rows] for name, mask in self.derived.items()},
        )

    def only(self, names: tuple[str, ...]) -> FeatureFrame:
        """The same rows with these dense features, in this order."""
        columns = [self.names.index(name) for name in names]
        levels = {name: self.levels[name] for name in names if name in self.levels}
        derived = {name: self.derived[name] for name in names if name in self.derived}
        return FeatureFrame(
            self.subject_ids, self.as_of, names, self.values[:, columns], levels, self.codes, self.code_names, derived
        )
