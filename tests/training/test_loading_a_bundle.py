"""What loading a bundle imports, each time in a fresh interpreter: the module of the learner it holds, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.frame import FeatureFrame
from training.bundle.bundle import Serving, load, write
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.fitting.pair import fit_pair

FITTING = (
    "optuna",
    "sksurv",
    "numba",
    "mlflow",
    "training.learners",
    "training.fitting",
    "training.evaluation",
    "training.cohort.splits",
    "training.heldout",
    "training.registry",
)
HORIZON = 365.0
SCORE = """
import json, sys
from pathlib import Path
import training.bundle
bundle = training.bundle.load(Path(sys.argv[1]))
import numpy as np
from features.frame import FeatureFrame
values = np.array(json.loads(sys.argv[2]), dtype=np.float32)
n = len(values)
frame = FeatureFrame(np.arange(n), np.full(n, np.datetime64("2020-01-01", "us")), ("age", "sbp", "gene"), values)
print(json.dumps({"risk": bundle.risk(frame).risk[:, 0].tolist(), "modules": sorted(sys.modules)}))
"""
LISTED = """
import json, sys
from training.learners import LEARNERS, TUNABLE
names = [*LEARNERS, "cox" in LEARNERS, "no such learner" in LEARNERS, len(LEARNERS)]
print(json.dumps({"names": names, "modules": sorted(sys.modules)}))
"""


def drawn(n: int = 300) -> Cohort:
    """People whose hazard rises with age, half of them with a gene that tells a little more."""
    rng = np.random.default_rng(7)
    values = rng.normal(size=(n, 3)).astype(np.float32)
    time = rng.exponential(500 * np.exp(-values[:, 0] - 0.5 * values[:, 2]))
    values[::2, 2] = np.nan
    outcome = Outcome(np.minimum(time, 700.0), (time <= 700).astype(np.int8), (HORIZON,))
    frame = FeatureFrame(np.arange(n), np.full(n, np.datetime64("2020-01-01", "us")), ("age", "sbp", "gene"), values)
    blocks = (Block("clinical", ("age", "sbp"), False), Block("genomic", ("gene",), True))
    nothing = np.full(n, "", dtype=object)
    return Cohort(frame, outcome, np.arange(n).astype(object), blocks, ~np.isnan(values[:, 2]), nothing, {})


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle of each candidate, each with a clinical and a combined model."""
    folder, cohort = tmp_path_factory.mktemp("bundles"), drawn()
    for candidate in ("cox", "xgboost", "xgboost_cox", "stack"):
        pair = fit_pair(candidate, cohort, rows=np.arange(len(cohort)), uncensored=None, rng=np.random.default_rng(1))
        assert pair.combined is not None, pair.why_no_combined
        stated = {"name": candidate, "catalogue_hash": "none", "horizons_days": [HORIZON], "levels": {}}
        serving = Serving(genomic_any=("gene",))
        write(folder / candidate, pair, manifest=stated, serving=serving, documents={}, tables={})
    return folder


def fresh(script: str, *arguments: str) -> dict[str, list[object]]:
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[object]] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("candidate", "neither"),
    [
        ("cox", ("xgboost", "sklearn", "pandas", "training.fitted.xgboost_cox", "training.fitted.stack")),
        ("xgboost", ("training.fitted.xgboost_cox", "training.fitted.stack")),
        ("xgboost_cox", ("training.fitted.xgboost_horizon", "training.fitted.stack")),
        ("stack", ("training.fitted.xgboost_horizon", "training.fitted.logistic")),
    ],
)
def test_a_bundle_is_loaded_and_scores_without_any_code_that_fits(
    bundles: Path, candidate: str, neither: tuple[str, ...]
) -> None:
    frame = drawn(40).frame
    people = json.dumps([[None if np.isnan(x) else float(x) for x in row] for row in frame.values])
    answer = fresh(SCORE, str(bundles / candidate), people)
    assert [name for name in (*FITTING, *neither) if name in answer["modules"]] == []
    assert answer["risk"] == load(bundles / candidate).risk(frame).risk[:, 0].tolist()


def test_the_names_of_learners_are_listed_without_importing_any() -> None:
    answer = fresh(LISTED)
    assert answer["names"] == [
        "logistic",
        "cox",
        "xgboost",
        "xgboost_cox",
        "extra_trees",
        "stack",
        "equation_update",
        True,
        False,
        7,
    ]
    assert [name for name in ("optuna", "sksurv", "sklearn", "xgboost") if name in answer["modules"]] == []
    ours = {str(name) for name in answer["modules"] if str(name).startswith("training.learners.")}
    assert ours == {"training.learners.budget", "training.learners.named", "training.learners.protocol"}
