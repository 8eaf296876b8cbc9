"""One small model of a flat table, trained once: what the tests of its report, its validation and its card look at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

STUDY = """
name = "drawn"
title = "Survival of drawn people"
[source]
table = "people.csv"
id = "patient"
[outcome]
time = "days"
event = "status"
horizons_days = [200, 400]
[features.blocks]
clinical = ["age", "stage", "frail"]
genomic = ["gene_*"]
[models]
candidates = ["cox", "xgboost"]
[validation]
test_column = "held_out"
bootstraps = 40
[equity]
groups = ["sex", "site"]
min_people = 40
"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """home: $PRESAGE_HOME of the training. table: everybody, with `held_out` 1 for those who were tested.

    document: the result as its JSON.
    """

    folder: Path
    home: Path
    table: pd.DataFrame
    document: dict[str, Any]


def draw_people(n: int = 900, *, seed: int = 2, age_effect: float = 0.05) -> pd.DataFrame:
    """Hazard rises with age, stage and gene_1; half are genotyped; some die of something else; few at site C."""
    rng = np.random.default_rng(seed)
    age, stage = rng.normal(60, 10, n), rng.choice(["I", "II", "III"], n)
    gene = rng.binomial(1, 0.4, (n, 2)).astype(float)
    rate = np.exp(age_effect * (age - 60) + 0.7 * (stage == "III") + 1.1 * gene[:, 0]) / 600
    event, other, left = rng.exponential(1 / rate), rng.exponential(2500, n), rng.uniform(100, 1200, n)
    days = np.minimum(np.minimum(event, other), left)
    gene[rng.random(n) < 0.5] = np.nan
    site = np.where(np.arange(n) < 12, "C", rng.choice(["A", "B"], n))
    table = pd.DataFrame(
        {"patient": [f"P{seed}-{i:05d}" for i in range(n)], "age": age, "stage": stage, "frail": rng.normal(0, 1, n),
         "sex": rng.choice(["F", "M"], n), "site": site, "gene_1": gene[:, 0], "gene_2": gene[:, 1], "days": days,
         "status": np.where(days == event, 1, np.where(days == other, 2, 0)), "held_out": rng.permutation(n) % 2}
    )  # fmt: skip
    for name in ("stage", "frail"):
        table.loc[rng.random(n) < 0.1, name] = None  # a model has to have seen what an absence goes with
    return table


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    """The model, in a store of its own; use `at_home` to look into it."""
    from training.train import train

    folder = tmp_path_factory.mktemp("drawn")
    table = draw_people()
    table.to_csv(folder / "people.csv", index=False)
    (folder / "drawn.toml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        document = train(folder / "drawn.toml", seed=5).document
    return Drawn(folder, folder / "home", table, document)


@pytest.fixture
def at_home(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The same, with $PRESAGE_HOME pointing to it."""
    monkeypatch.setenv("PRESAGE_HOME", str(drawn.home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return drawn
