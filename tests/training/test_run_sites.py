from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from training.train import train

STUDY = """
name = "sites"
[source]
table = "people.csv"
id = "patient"
[outcome]
event = "ill"
[validation]
site_column = "site"
bootstraps = 40
[models]
candidates = ["logistic"]
"""


def test_each_site_is_measured_by_the_model_that_never_saw_it_and_the_one_where_it_fails_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(1)
    n, site = 1600, np.repeat(["A", "B", "C", "D"], 400)
    x = rng.normal(size=n)
    ill = rng.random(n) < 1 / (1 + np.exp(1 - np.where(site == "D", -0.2, 1.2) * x))
    table = pd.DataFrame({"patient": [f"P{i}" for i in range(n)], "x": x, "site": site, "ill": ill.astype(int)})
    table.to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    found = train(tmp_path / "study.toml", seed=3, predictions_out=tmp_path / "out.parquet").document
    told = pd.read_parquet(tmp_path / "out.parquet").set_index("id")["risk"].loc[table["patient"]].to_numpy()
    sites = found["sites"]["by_site"]
    for name in "ABCD":
        own = site == name
        expected = roc_auc_score(ill[own], told[own])
        assert sites[f"site {name}"]["metrics"]["auc"]["value"] == pytest.approx(expected)
    assert sites["site D"]["metrics"]["auc"]["value"] < 0.5
    between = found["sites"]["between_sites"]["auc"]
    assert between["tau"] > 0.1
    assert between["predicted_low"] < 0.5
    assert any("another site's is to be expected within" in note for note in found["notes"])
