"""What genomics is credited with where the tested differ from the others for a reason that is not in the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from training.train import train

STUDY = """
name = "tested"
[source]
table = "people.csv"
[outcome]
time = "days"
event = "status"
horizons_days = [5]
[features.blocks]
clinical = ["x", "age"]
genomic = ["prs"]
[validation]
folds = 3
bootstraps = 40
[models]
candidates = ["cox"]
"""


def document(folder: Path, effect: float, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Four in ten are genotyped, and have half the hazard; the score multiplies it by exp(effect)."""
    rng = np.random.default_rng(1)
    n = 4000
    x, tested, score = rng.normal(size=n), rng.random(n) < 0.4, rng.normal(size=n)
    hazard = 0.06 * np.exp(0.8 * x + effect * score) * np.where(tested, 0.5, 1.0)
    event, left = rng.exponential(1 / hazard), rng.uniform(3, 9, n)
    columns = {"x": x, "age": rng.normal(size=n), "prs": np.where(tested, score, np.nan)}
    table = pd.DataFrame(columns | {"days": np.minimum(event, left), "status": (event <= left).astype(int)})
    table.to_csv(folder / "people.csv", index=False)
    (folder / "study.toml").write_text(STUDY)
    monkeypatch.setenv("PRESAGE_HOME", str(folder / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return train(folder / "study.toml", seed=7).document


def test_a_score_of_pure_noise_is_credited_with_nothing_though_the_tested_have_half_the_hazard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the clinical model, which is calibrated on everybody, the difference in Brier score was -.0077."""
    found = document(tmp_path, 0.0, monkeypatch)
    [block] = found["blocks"]
    assert abs(block["delta"]["brier"]["value"]) < 0.001
    assert abs(block["delta"]["calibration_in_the_large"]["value"]) < 0.1
    benefit = block["net_benefit"][0]["delta"]
    assert benefit["low"] <= 0 <= benefit["high"]
    assert "adds nothing" in block["sentence"]
    models = found["comparison"]["genomic"]["models"]
    assert list(models) == ["clinical", "clinical refitted", "combined"]
    assert models["clinical"]["observed_to_expected"]["value"] < 0.75
    assert models["clinical refitted"]["observed_to_expected"]["value"] == pytest.approx(1, abs=0.15)
    assert models["clinical refitted"]["auc"]["value"] == pytest.approx(models["clinical"]["auc"]["value"], abs=0.01)
    assert "clinical refitted" not in found["comparison"]["everyone"]["models"]


def test_a_score_that_matters_is_still_credited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = document(tmp_path, 0.5, monkeypatch)["blocks"]
    assert block["delta"]["c_harrell"]["low"] > 0
    assert block["delta"]["brier"]["high"] < 0
