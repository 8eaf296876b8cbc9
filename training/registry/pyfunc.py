"""The registered model as code: MLflow loads this file and the bundle beside it, never a pickle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from features.frame import FeatureFrame
from training.bundle import Bundle, load
from training.disclosure import OTHER


class PresageModel(PythonModel):
    """Scores a data frame of features: one risk column per horizon, the model used, and why."""

    def load_context(self, context: PythonModelContext) -> None:
        """Verify and load the bundle."""
        self.bundle: Bundle = load(Path(context.artifacts["bundle"]))

    def predict(
        self, context: PythonModelContext | None, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """One row out per row in; columns of the frame are the bundle's features, levels given by name or number."""
        answer = self.bundle.risk(frame_of(model_input, self.bundle))
        risks = {
            "risk" if np.isnan(horizon) else f"risk_{horizon:g}d": answer.risk[:, i]
            for i, horizon in enumerate(answer.horizons_days)
        }
        notes = {"model": answer.model, "reason": answer.reason, "not_scored": answer.not_scored}
        return pd.DataFrame({**risks, **notes}, index=model_input.index)


def frame_of(table: pd.DataFrame, bundle: Bundle) -> FeatureFrame:
    """The bundle's features out of a data frame; absent columns are missing values."""
    levels = {name: tuple(known) for name, known in bundle.manifest["levels"].items()}
    values = np.full((len(table), len(bundle.names)), np.nan, dtype=np.float32)
    for j, name in enumerate(bundle.names):
        if name not in table.columns:
            continue
        column = table[name]
        if name in levels and not pd.api.types.is_numeric_dtype(column):
            column = column.map(number_of(levels[name]))
        values[:, j] = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    as_of = np.full(len(table), np.datetime64("NaT", "us"))
    return FeatureFrame(np.arange(len(table), dtype=np.int64), as_of, bundle.names, values, levels)


def number_of(levels: tuple[str, ...]) -> Callable[[Any], float]:
    """The number of a level by its name; the rest is one level where it was one in training, else missing."""
    number = {level: float(i) for i, level in enumerate(levels)}
    unknown = number.get(OTHER, np.nan)
    return lambda word: np.nan if pd.isna(word) else number.get(word, unknown)


set_model(PresageModel())
