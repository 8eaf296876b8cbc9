"""A model that adds nothing says so first, in words of whoever decides whether to use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.made import result_with
from training.report.page import report
from training.report.verdict import bottom_line
from training.result import Result
from training.train import train

STUDY = """
name = "noise"
[source]
table = "people.csv"
id = "patient"
[features]
exclude = ["truth"]
[outcome]
event = "ill"
[validation]
folds = 3
bootstraps = 100
[models]
candidates = ["logistic"]
"""


def trained(
    auc: tuple[float, float, float] = (0.7, 0.66, 0.74),
    *,
    delta: tuple[float, float, float] | None = None,
    served: float = 0.03,
    cutoffs: tuple[float, ...] = (0.1,),
) -> Result:
    """An incidence of 15 %: acting on everybody at a cut-off of .1 is worth .15 - .85 / 9 = .056."""
    thresholds = [0.05, 0.1, 0.3]
    everybody = [0.15 - 0.85 * t / (1 - t) for t in thresholds]
    equation = None
    if delta is not None:
        equation = {"name": "known", "people": 900, "delta": {"auc": _estimate(delta)}}
    decision = {
        "thresholds": thresholds,
        "treat_all": everybody,
        "models": {"as served": [served + max(0.0, each) for each in everybody]},
    }
    return result_with(
        chosen={"metrics": {"auc": _estimate(auc)}},
        validation={"cutoffs": list(cutoffs)},
        equation=equation,
        figures={"capacity": [], "decision": decision},
    )


def _estimate(numbers: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("value", "low", "high"), numbers, strict=True))


@pytest.mark.parametrize(
    ("given", "adds", "words"),
    [
        ({"auc": (0.51, 0.47, 0.55)}, "nothing", "no more often than people drawn by lot (AUC 0.510 (0.470 to 0.550)"),
        ({"auc": (0.45, 0.41, 0.49)}, "nothing", "less often than people drawn by lot"),
        ({"delta": (-0.03, -0.05, -0.01)}, "nothing", "It ranks people worse than the published equation (known)"),
        ({"served": -0.001}, "nothing", "Acting on those above 10 % does no more good than the better of"),
        ({"served": -0.001, "cutoffs": (0.3,)}, "nothing", "Acting on those above 30 %"),
        ({"delta": (0.01, -0.01, 0.03)}, "unsure", "not shown that this model adds anything to what is published"),
        (
            {"delta": (0.03, 0.01, 0.05)},
            "something",
            "than chance (AUC 0.700 (0.660 to 0.740)), and better than",
        ),
        ({}, "something", "No published equation was there to compare it with"),
        ({"cutoffs": (0.9,), "served": -1.0}, "something", "better than chance"),  # a cut-off that nobody drew
    ],
)
def test_the_first_sentence_claims_what_the_intervals_show(given: dict[str, Any], adds: str, words: str) -> None:
    found = bottom_line(trained(**given))
    assert found.adds == adds
    assert words in found.words


def test_without_intervals_nothing_is_claimed() -> None:
    auc = {"value": 0.7, "low": None, "high": None}
    assert bottom_line(result_with(chosen={"metrics": {"auc": auc}})).adds == "unsure"


@pytest.mark.parametrize("informative", [False, True])
def test_a_report_of_noise_says_first_that_the_model_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, informative: bool
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng = np.random.default_rng(11)
    n = 500
    x = rng.normal(size=(n, 3))
    ill = rng.random(n) < 1 / (1 + np.exp(1.0 - (1.5 * x[:, 0] if informative else 0.0)))
    table = pd.DataFrame({"patient": [f"P{i}" for i in range(n)], "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    table.assign(ill=ill.astype(int), truth=0).to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    summary = train(tmp_path / "study.toml", seed=3)
    page = report("noise", out=tmp_path / "page.html").read_text()
    first = page[page.index('<section id="short">') :]
    first = first[: first.index("</p>")]
    console = Console(width=400, record=True)
    console.print(summary)
    printed = console.export_text()
    if informative:
        assert "better than chance" in first
        assert 'class="said "' in first
    else:
        assert "This model adds nothing" in first
        assert "people drawn by lot" in first
        assert 'class="said bad"' in first
        assert "This model adds nothing" in printed.split("Candidates")[0]
    assert bottom_line(summary.result).words in printed
