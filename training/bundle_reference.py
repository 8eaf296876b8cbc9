"""The training distribution of every feature, kept in the bundle so that drift has something to be measured against."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.frame import FeatureFrame

QUANTILES = tuple(np.round(np.linspace(0.0, 1.0, 11), 2).tolist())
FEW = 10  # counts of 1 to 10 people are not exported


def reference_distribution(frame: FeatureFrame) -> pa.Table:
    """One row per feature: n, share missing, mean, sd, the ten-percent quantiles, and shares of a category's levels.

    The extreme quantiles are the 1st and 99th percentile, so that no single person's value is written.
    """
    rows = []
    at = np.clip(np.array(QUANTILES), 0.01, 0.99)
    for j, name in enumerate(frame.names):
        column = frame.values[:, j].astype(np.float64)
        known = column[~np.isnan(column)]
        levels = frame.levels.get(name)
        enough = len(known) > FEW
        rows.append(
            {
                "feature": name,
                "n": len(column),
                "missing": float(np.isnan(column).mean()) if len(column) else 0.0,
                "mean": float(known.mean()) if enough and levels is None else None,
                "sd": float(known.std()) if enough and levels is None else None,
                "quantiles": np.quantile(known, at).tolist() if enough and levels is None else None,
                "levels": None if levels is None else list(levels),
                "shares": None if levels is None else _shares(known, len(levels)),
            }
        )
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


def _shares(known: np.ndarray[tuple[int], np.dtype[np.float64]], n_levels: int) -> list[float | None]:
    counts = np.bincount(known.astype(np.int64), minlength=n_levels)
    total = max(1, int(counts.sum()))
    return [None if 0 < count <= FEW else float(count / total) for count in counts]
