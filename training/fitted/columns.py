"""The columns that a booster reads, and their matrix of the rows of a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.frame import FeatureFrame
from training.disclosure import recoded

Matrix = npt.NDArray[np.float32] | sparse.csr_matrix


@dataclass(frozen=True, slots=True)
class Columns:
    """Which features a booster reads, in which order; declared categories go to XGBoost as such.

    levels: of each category, as they are numbered here.
    """

    names: tuple[str, ...]
    categorical: tuple[str, ...]
    code_names: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: FeatureFrame) -> Columns:
        """Every column of a frame."""
        categorical = tuple(name for name in frame.names if name in frame.levels)
        codes = frame.code_names if frame.codes is not None else ()
        return cls(frame.names, categorical, codes, dict(frame.levels))

    @property
    def types(self) -> list[str] | None:
        """XGBoost's feature types; None without categories, as XGBoost reads the list anew in every round."""
        if not self.categorical:
            return None
        return ["c" if name in self.categorical else "q" for name in self.names] + ["q"] * len(self.code_names)

    def matrix(self, frame: FeatureFrame) -> Matrix:
        """(n, p) dense, or sparse with the codes appended; no code and no value both count as absent."""
        dense = _dense(frame, self.names, levels=self.levels)
        if not self.code_names:
            return dense
        if frame.codes is None:
            raise ValueError("the frame lacks the code columns on which the model was fitted")
        if frame.code_names == self.code_names:
            return _joined(dense, frame.codes)
        where = {name: i for i, name in enumerate(frame.code_names)}
        lacking = [name for name in self.code_names if name not in where]
        if lacking:
            raise ValueError(f"the frame lacks code columns on which the model was fitted ({len(lacking)} are absent)")
        return _joined(dense, frame.codes[:, [where[name] for name in self.code_names]])

    def to_json(self) -> dict[str, Any]:
        """Names only."""
        names = {"names": [*self.names], "categorical": [*self.categorical], "code_names": [*self.code_names]}
        return names | {"levels": {name: list(levels) for name, levels in self.levels.items()}}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Columns:
        """What `to_json` gave; levels were not told before they were merged, and are then those of the frame."""
        levels = {name: tuple(known) for name, known in stored.get("levels", {}).items()}
        return cls(tuple(stored["names"]), tuple(stored["categorical"]), tuple(stored["code_names"]), levels)


def _dense(
    frame: FeatureFrame, names: tuple[str, ...], *, levels: Mapping[str, tuple[str, ...]]
) -> npt.NDArray[np.float32]:
    known = set(frame.names)
    lacking = [name for name in names if name not in known]
    if lacking:
        raise ValueError(f"the frame lacks '{lacking[0]}', on which the model was fitted ({len(lacking)} are absent)")
    return np.ascontiguousarray(recoded(frame, names, levels=levels))


def _joined(dense: npt.NDArray[np.float32], codes: sparse.csr_matrix) -> sparse.csr_matrix:
    """Dense columns as explicit entries (a measured zero is not absence), codes after them."""
    n, p = dense.shape
    known = ~np.isnan(dense)
    rows, columns = np.nonzero(known)
    counts = np.bincount(rows, minlength=n)
    left = sparse.csr_matrix((dense[known], columns, np.append(0, np.cumsum(counts))), shape=(n, p))
    return sparse.csr_matrix(sparse.hstack([left, codes], format="csr", dtype=np.float32))
