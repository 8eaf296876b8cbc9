"""Risk never falls as a constrained feature rises, whatever the other features are."""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import catalogue
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.blocks import monotone_signs
from training.cohort.outcome import Outcome
from training.cohort.table import read_flat
from training.fitted import Fitted
from training.learners import make_learner
from training.study import FeaturesSection, read_study

Floats = npt.NDArray[np.float64]


def frame_of(values: npt.NDArray[np.float32]) -> FeatureFrame:
    when = np.full(len(values), np.datetime64("2020-01-01", "us"))
    return FeatureFrame(np.arange(len(values)), when, ("rising", "falling", "c", "d"), values)


@functools.cache
def fitted(name: str, kind: str, signs: tuple[int, int]) -> Fitted:
    """The truth is a wave in the first two features, so that an unconstrained booster goes up and down."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, 4)).astype(np.float32)
    values[rng.random(500) < 0.1, 0] = np.nan
    score = np.nan_to_num(np.sin(3 * values[:, 0]) + np.cos(3 * values[:, 1]) + 0.5 * values[:, 2])
    event_at, left_at = rng.exponential(np.exp(-score)), rng.uniform(0.3, 3, 500)
    other_at = rng.exponential(1.5, 500) if kind == "competing" else np.full(500, np.inf)
    outcome = Outcome(np.full(500, np.nan), (event_at < 1).astype(np.int8), ())
    if kind != "binary":
        time = np.minimum(np.minimum(event_at, other_at), left_at)
        outcome = Outcome(time, np.argmin([left_at, event_at, other_at], axis=0).astype(np.int8), (0.5, 1.0))
    learner = make_learner(name, monotone=dict(zip(("rising", "falling"), signs, strict=True)), budget=None)
    return learner.fit(frame_of(values), outcome, persons=np.arange(500), rng=rng)


def sweep(name: str, kind: str, feature: int, others: list[float], signs: tuple[int, int] = (1, -1)) -> Floats:
    values = np.tile(np.array([0.0, 0.0, *others], dtype=np.float32), (60, 1))
    values[:, 1 - feature] = others[0]
    values[:, feature] = np.linspace(-3, 3, 60)
    horizon = math.nan if kind == "binary" else 1.0
    return fitted(name, kind, signs).risk_at(frame_of(values), (horizon,)).probabilities[:, 0]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("xgboost", "binary"), ("xgboost", "survival"), ("xgboost", "competing"), ("xgboost_cox", "survival")],
)
@settings(deadline=None, max_examples=30)
@given(others=st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=2))
def test_risk_never_falls_or_never_rises_whatever_the_rest(name: str, kind: str, others: list[float]) -> None:
    assert (np.diff(sweep(name, kind, 0, others)) >= -1e-9).all()
    assert (np.diff(sweep(name, kind, 1, others)) <= 1e-9).all()


@pytest.mark.parametrize(("name", "kind"), [("xgboost", "binary"), ("xgboost_cox", "survival")])
def test_unconstrained_the_same_risks_do_fall(name: str, kind: str) -> None:
    assert (np.diff(sweep(name, kind, 0, [0.0, 0.0], (0, 0))) < -1e-3).any()


def test_the_catalogue_constrains_what_is_undisputed_and_a_study_may_free_it() -> None:
    whole = catalogue(["demographics", "measurements", "social", "monogenic"], polygenic=("SIM-CHD",))
    declared = {spec.name: spec.monotone for spec in whole.specs if spec.monotone}
    assert {"age_years", "sbp_mmhg_latest_1825d", "sbp_mmhg_mean_1825d", "smoking_current", "prs_SIM-CHD_z"} <= set(
        declared
    )
    assert "hba1c_percent_latest_1825d" in declared
    assert not [name for name in declared if name.startswith(("bmi", "dbp", "ldl"))]  # U-shaped, or treated
    section = FeaturesSection(monotone={"sbp_mmhg_*": 0, "hdl_mg_dl_latest_*": -1})
    found = monotone_signs(section, whole.names, catalogue=declared, where="[features]")
    assert {name: found[name] for name in found if name.startswith(("sbp_mmhg_latest", "sbp_mmhg_mean", "hdl"))} == {
        "sbp_mmhg_latest_1825d": 0, "sbp_mmhg_mean_1825d": 0, "hdl_mg_dl_latest_1825d": -1
    }  # fmt: skip
    assert found["age_years"] == 1


FLAT = """
name = "drawn"
[source]
table = "people.csv"
[outcome]
event = "ill"
[features]
modifiable = ["ldl"]
[features.monotone]
age = 1
"""


def test_a_flat_study_declares_its_own_and_a_category_is_refused(tmp_path: Path) -> None:
    lines = [f"{40 + i},{'ab'[i % 2]},{i % 7},{i % 2}" for i in range(30)]
    (tmp_path / "people.csv").write_text("age,stage,ldl,ill\n" + "\n".join(lines) + "\n")
    (tmp_path / "study.toml").write_text(FLAT)
    cohort = read_flat(read_study(tmp_path / "study.toml"), tmp_path)
    assert cohort.monotone == {"age": 1}
    assert [name for name, found in cohort.described.items() if found.modifiable] == ["ldl"]
    (tmp_path / "study.toml").write_text(FLAT.replace("age = 1", "stage = 1"))
    with pytest.raises(PresageError, match=r"monotone.*'stage'"):
        read_flat(read_study(tmp_path / "study.toml"), tmp_path)
