"""The training distribution of every feature, kept in the bundle so that drift has something to be measured against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import Positions
from features.frame import FeatureFrame
from training.disclosure import SMALLEST, coarse, last_rows

QUANTILES = tuple(np.round(np.linspace(0.0, 1.0, 11), 2).tolist())


def reference_distribution(frame: FeatureFrame) -> pa.Table:
    """One row per feature: n, share missing, mean, sd, the ten-percent quantiles, and shares of a category's levels.

    Of `coarse` rows, so that at least 11 people reach every quantile (the extreme ones are the 1st and 99th percentile)
    and have every level. A share of 1 to 10 people without a value is written as 0, of 1 to 10 people with one as 1.
    """
    seen, one_each = coarse(frame), last_rows(frame.subject_ids)
    rows = [_row(frame, seen, j=j, one_each=one_each) for j in range(len(frame.names))]
    schema = pa.schema(
        [
            ("feature", pa.string()),
            ("n", pa.int64()),
            ("missing", pa.float64()),
            ("mean", pa.float64()),
            ("sd", pa.float64()),
            ("quantiles", pa.list_(pa.float64())),
            ("levels", pa.list_(pa.string())),
            ("shares", pa.list_(pa.float64())),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _row(frame: FeatureFrame, seen: FeatureFrame, *, j: int, one_each: Positions) -> Mapping[str, Any]:
    name, column = frame.names[j], seen.values[:, j].astype(np.float64)
    known = column[~np.isnan(column)]
    levels = seen.levels.get(name)
    numbers = levels is None and len(known) > 0
    own = frame.values[:, j].astype(np.float64)
    at = np.clip(np.array(QUANTILES), 0.01, 0.99)
    return {
        "feature": name,
        "n": len(column),
        "missing": _missing(np.isnan(frame.values[:, j]), one_each),
        "mean": float(np.nanmean(own)) if numbers else None,
        "sd": float(np.nanstd(own)) if numbers else None,
        "quantiles": np.quantile(known, at).tolist() if numbers else None,
        "levels": None if levels is None else list(levels),
        "shares": None if levels is None else _shares(known, len(levels)),
    }


def _missing(absent: npt.NDArray[np.bool_], one_each: Positions) -> float:
    """Share of rows; of people where it tells of a few."""
    without = int(absent[one_each].sum())
    if without < SMALLEST:
        return 0.0
    return 1.0 if len(one_each) - without < SMALLEST else float(absent.mean())


def _shares(known: npt.NDArray[np.float64], n_levels: int) -> list[float]:
    counts = np.bincount(known.astype(np.int64), minlength=n_levels)
    return (counts / max(1, int(counts.sum()))).tolist()  # type: ignore[no-any-return]
