"""The feature frame: one row per index row, float32, with NaN where a fact is absent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import sparse


@dataclass(frozen=True, slots=True)
class FeatureFrame:
    """Features of n index rows.

    subject_ids: (n,). as_of: (n,) microseconds. names: p feature names.
    values: (n, p) float32; NaN means what the feature's declaration says absence means. A categorical feature holds
    the number of its level. levels: the levels of categorical features, by name.
    codes: (n, q) sparse counts of the code-based family, code_names its columns; None where not asked for.
    """

    subject_ids: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.datetime64]
    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    codes: sparse.csr_matrix | None = None
    code_names: tuple[str, ...] = ()

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
        )

    def only(self, names: tuple[str, ...]) -> FeatureFrame:
        """The same rows with these dense features, in this order."""
        columns = [self.names.index(name) for name in names]
        levels = {name: self.levels[name] for name in names if name in self.levels}
        return FeatureFrame(
            self.subject_ids, self.as_of, names, self.values[:, columns], levels, self.codes, self.code_names
        )
