"""A version registered before keeps loading: it holds a copy of the code that scores it, as that code was then."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest

from features.frame import FeatureFrame
from training.bundle.bundle import Serving, load, write
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.disclosure.values import OTHER
from training.fitting.pair import fit_pair
from training.registry.tracking import quiet

# Word for word the file that MLflow kept with each version until training/registry_model.py was moved.
REGISTERED = '''\
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
'''


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng, n = np.random.default_rng(3), 300
    values = np.column_stack([rng.normal(60, 10, n), rng.integers(0, 3, n)]).astype(np.float32)
    rate = np.exp(0.05 * (values[:, 0] - 60) + (values[:, 1] == 2)) / 600
    time = rng.exponential(1 / rate)
    outcome = Outcome(np.minimum(time, 900.0), (time <= 900).astype(np.int8), (400.0,))
    levels = {"stage": ("I", "II", OTHER)}
    frame = FeatureFrame(np.arange(n), np.full(n, np.datetime64("NaT", "us")), ("age", "stage"), values, levels)
    nothing = np.full(n, "", dtype=object)
    blocks = (Block("clinical", ("age", "stage"), False),)
    cohort = Cohort(frame, outcome, np.arange(n).astype(object), blocks, np.zeros(n, dtype=np.bool_), nothing, {})
    pair = fit_pair("cox", cohort, rows=np.arange(n), uncensored=None, rng=rng)
    stated = {
        "name": "before",
        "catalogue_hash": "none",
        "horizons_days": [400.0],
        "levels": {name: list(known) for name, known in levels.items()},
        "labels": {"age": "Age"},
    }
    folder = tmp_path_factory.mktemp("before") / "bundle"
    write(folder, pair, manifest=stated, serving=Serving(required=("age",)), documents={}, tables={})
    return folder


def test_the_code_kept_with_a_version_registered_before_still_scores_its_bundle(bundle: Path, tmp_path: Path) -> None:
    code = tmp_path / "registry_model.py"
    code.write_text(REGISTERED, encoding="utf-8")
    kept = tmp_path / "kept"
    table = pd.DataFrame({"stage": ["I", "II", "never seen", None], "age": [50.0, 70.0, 70.0, np.nan]})
    with quiet():
        artifacts, needs = {"bundle": str(bundle)}, ["presage"]
        mlflow.pyfunc.save_model(kept, python_model=str(code), artifacts=artifacts, pip_requirements=needs)
        answer = mlflow.pyfunc.load_model(str(kept)).predict(table)

    by_hand = np.array([[50, 0], [70, 1], [70, 2], [np.nan, np.nan]], dtype=np.float32)
    when = np.full(4, np.datetime64("NaT", "us"))
    frame = FeatureFrame(np.arange(4), when, ("age", "stage"), by_hand, {"stage": ("I", "II", OTHER)})
    expected = load(bundle).risk(frame)
    assert answer["risk_400d"].tolist()[:3] == expected.risk[:3, 0].tolist()
    assert 0 < expected.risk[0, 0] < expected.risk[1, 0] < expected.risk[2, 0] < 1
    assert np.isnan(answer["risk_400d"].iloc[3])
    assert answer["not_scored"].tolist() == ["", "", "", "needs Age, which is not recorded"]
    assert answer["model"].tolist() == ["clinical", "clinical", "clinical", ""]
