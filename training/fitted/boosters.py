"""What is asked of XGBoost's boosters: margins, exact terms, and their files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xgboost as xgb

from features.arrays import Floats
from features.frame import FeatureFrame
from training.fitted.columns import Columns, Matrix
from training.fitted.protocol import Contributions


def margin(booster: xgb.Booster, matrix: Matrix, *, rounds: int = 0) -> Floats:
    """(n,) margins without building a DMatrix."""
    predicted = booster.inplace_predict(matrix, iteration_range=(0, rounds), predict_type="margin")
    return np.asarray(predicted, dtype=np.float64).reshape(-1)


def tree_shap(booster: xgb.Booster, columns: Columns, *, frame: FeatureFrame, slope: float = 1.0) -> Contributions:
    """TreeSHAP on the margin times `slope`; XGBoost's own, exact."""
    matrix = xgb.DMatrix(columns.matrix(frame), feature_types=columns.types, enable_categorical=True)
    values = np.asarray(booster.predict(matrix, pred_contribs=True), dtype=np.float64) * slope
    baseline = float(values[0, -1]) if len(values) else 0.0
    return Contributions(columns.names + columns.code_names, values[:, :-1], baseline)


def write_boosters(folder: Path, boosters: Sequence[xgb.Booster]) -> None:
    """One UBJ for each: `booster_0.ubj`, ..."""
    for i, booster in enumerate(boosters):
        booster.save_model(folder / f"booster_{i}.ubj")


def read_boosters(folder: Path, count: int) -> tuple[xgb.Booster, ...]:
    """What `write_boosters` wrote, `count` of them."""
    return tuple(xgb.Booster(model_file=folder / f"booster_{i}.ubj") for i in range(count))
