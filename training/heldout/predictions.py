"""Out-of-fold predictions as Parquet: id, fold, candidate, horizon_days, risk; written under the table's own ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.writing import whole_files
from training.cohort import Cohort
from training.heldout.candidates import HeldOut


def predictions_of(cohort: Cohort, *, held: Sequence[HeldOut]) -> pa.Table:
    """One row per test row, candidate and horizon; `model` says which variant served it."""
    return pa.concat_tables(_of(cohort, found, h=h) for found in held for h in range(len(cohort.horizons)))


def write_predictions(path: Path, table: pa.Table) -> None:
    """The file, whole or not at all."""
    with whole_files(path) as (scratch,):
        pq.write_table(table, scratch)


def _of(cohort: Cohort, found: HeldOut, *, h: int) -> pa.Table:
    n = len(found.rows)
    combined = ~np.isnan(found.combined[:, h])
    horizon = cohort.horizons[h]
    return pa.table(
        {
            "id": pa.array(cohort.ids[found.rows], pa.string()),
            "as_of": pa.array(cohort.as_of[found.rows]),
            "fold": pa.array(found.fold, pa.string()),
            "candidate": pa.array([found.candidate] * n, pa.string()),
            "horizon_days": pa.array([None if np.isnan(horizon) else horizon] * n, pa.float64()),
            "risk": found.served[:, h],
            "risk_clinical": found.clinical[:, h],
            "risk_combined": pa.array(found.combined[:, h], from_pandas=True),
            "model": pa.array(np.where(combined, "combined", "clinical").astype(object), pa.string()),
        }
    )
