"""A model is handed on, so nothing in it is one person's: looked for in every file that a training leaves."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xgboost as xgb
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.frame import FeatureFrame
from features.home import presage_home
from training.bundle.reference import reference_distribution
from training.cohort.outcome import Outcome
from training.cohort.table import labels
from training.disclosure.attrition import shown_steps
from training.disclosure.values import OTHER, coarse, common_levels, event_grid, pooled, reached, recoded
from training.learners.cox import Cox
from training.learners.xgboost_cox import XGBoostCox
from training.learners.xgboost_horizon import XGBoostHorizon
from training.registry.versions import find
from training.report.page import report
from training.result import Step
from training.train import train
from training.validate import validate

WHEN = np.datetime64("2020-01-01", "us")
EXTREME = 987654.3125


def frame_of(values: npt.ArrayLike, persons: npt.NDArray[np.int64] | None = None, **more: Any) -> FeatureFrame:
    array = np.asarray(values, dtype=np.float32)
    who = np.arange(len(array)) if persons is None else persons
    return FeatureFrame(who, np.full(len(array), WHEN), tuple(f"f{j}" for j in range(array.shape[1])), array, **more)


def naive_reached(values: list[float], persons: list[int]) -> tuple[float, float]:
    """By looking at every value and counting who is at or beyond it."""
    ends = []
    for sign in (1.0, -1.0):
        fits = [
            v for v in values if len({p for w, p in zip(values, persons, strict=True) if sign * w <= sign * v}) >= 11
        ]
        ends.append(sign * min(sign * v for v in fits) if fits else math.nan)
    return ends[0], ends[1]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 20)), min_size=1, max_size=80))
def test_limits_are_reached_by_eleven_people(rows: list[tuple[int, int]]) -> None:
    values, persons = [float(v) for v, _ in rows], [p for _, p in rows]
    found = reached(np.array(values, dtype=np.float32), np.array(persons))
    assert found == pytest.approx(naive_reached(values, persons), nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 40)), min_size=1, max_size=150))
def test_every_level_that_is_kept_has_eleven_people_the_rest_included(rows: list[tuple[int, int]]) -> None:
    names = tuple("abcdefg")
    column, persons = np.array([v for v, _ in rows], dtype=np.float32), np.array([p for _, p in rows])
    kept = common_levels(column, persons, levels=names)
    frame = FeatureFrame(persons, np.full(len(rows), WHEN), ("x",), column[:, None], {"x": names})
    numbers = recoded(frame, ("x",), levels={"x": kept})[:, 0]
    for i, level in enumerate(kept):
        people = len({p for p, n in zip(persons.tolist(), numbers.tolist(), strict=True) if n == i})
        assert people >= 11 or (kept == (OTHER,) and people == len(set(persons.tolist()))), level
    assert not np.isnan(numbers).any()  # everybody is counted somewhere
    own = Counter(v for v, _ in {(v, p) for v, p in rows})
    assert all(own[names.index(level)] >= 11 for level in kept if level != OTHER)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 30)), max_size=120), st.lists(st.integers(1, 15), max_size=3)
)
def test_between_times_of_the_grid_are_eleven_people_or_nobody(rows: list[tuple[float, int]], named: list[int]) -> None:
    times, persons = np.array([t for t, _ in rows]), np.array([p for _, p in rows], dtype=np.int64)
    fixed = sorted({float(h) for h in named})
    grid = event_grid(times, persons, edges=np.linspace(0, 18, 73), fixed=fixed)
    assert set(fixed) <= set(grid)
    for before, after in itertools.pairwise(grid):
        inside = {p for t, p in rows if before < t <= after or (before == 0 and t == 0)}
        nobody_or_many = len(inside) == 0 or len(inside) >= 11  # counts of 1 to 10 are what gives people away
        assert nobody_or_many or (after in fixed and (before in fixed or before == 0))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(0.01, 1000))
def test_coarse_numbers_lie_between_what_eleven_people_reach_on_a_grid(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values = np.column_stack([scale * rng.lognormal(size=150), rng.normal(140, 3, 150)])
    values[rng.random((150, 2)) < 0.2] = np.nan
    values[3, 0], values[4, 1] = EXTREME, -EXTREME
    frame = frame_of(values, rng.integers(0, 90, 150))
    seen = coarse(frame)
    for before, after in zip(frame.values.T, seen.values.T, strict=True):
        has = ~np.isnan(before)
        low, high = naive_reached(before[has].tolist(), frame.subject_ids[has].tolist())
        quartiles = np.nanpercentile(before, (25, 75))
        step = 2.0 ** np.floor(np.log2((quartiles[1] - quartiles[0]) / 64))
        assert np.nanmax(after) <= high
        assert np.nanmin(after) > low - step
        assert (np.isnan(after) == np.isnan(before)).all()
        known = after[~np.isnan(after)].astype(np.float64) / step
        assert (known == np.floor(known)).all()


@pytest.mark.parametrize("learner", [XGBoostHorizon(depths=(3,)), XGBoostCox(depths=(3,))])
def test_trees_learned_on_coarse_rows_say_the_same_of_the_rows_as_they_are(learner: Any) -> None:
    """And no threshold is anybody's value, or lies where fewer than 11 people are."""
    rng = np.random.default_rng(2)
    n = 400
    values = np.column_stack([rng.lognormal(size=n), rng.normal(140, 3, n).round(1), rng.integers(40, 90, n)])
    values[3, 0] = EXTREME
    codes = sparse.csr_matrix(np.where(rng.random((n, 2)) < 0.3, rng.integers(1, 30, (n, 2)), 0).astype(np.float32))
    frame = frame_of(values, codes=codes, code_names=("A@ever", "B@ever"))
    time = rng.exponential(8 / np.exp(0.4 * np.log(values[:, 0].clip(0.1, 20))))
    outcome = Outcome(np.minimum(time, 10), (time <= 10).astype(np.int8), (5.0,))
    fitted = learner.fit(frame, outcome, persons=frame.subject_ids, rng=rng)
    raw, seen = fitted.columns.matrix(frame), fitted.columns.matrix(coarse(frame))
    boosters = getattr(fitted, "boosters")  # noqa: B009
    for booster in boosters:
        assert (booster.inplace_predict(raw) == booster.inplace_predict(seen)).all()
    low, high = reached(frame.values[:, 0], frame.subject_ids)
    cuts = [t for booster in boosters for feature, t in thresholds(booster) if feature == 0]
    assert len(cuts) > 3
    assert not set(cuts) & set(frame.values[:, 0].tolist())
    assert all(low <= t <= high or t == pytest.approx(2 * np.nanmax(seen[:, 0].toarray()), rel=1e-3) for t in cuts)


def thresholds(booster: xgb.Booster) -> list[tuple[int, float]]:
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    return [
        (feature, float(np.float32(at)))
        for tree in trees
        for feature, at, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        )
        if left != -1
    ]


STUDY = """
name = "small"
[source]
table = "table.csv"
id = "id"
index_date = "seen"
[outcome]
time = "days"
event = "status"
horizons_days = [400, 800]
[models]
candidates = ["stack", "cox", "xgboost"]
[validation]
folds = 3
bootstraps = 5
[equity]
groups = ["score", "kind"]
min_people = 15
"""


def table_of(n: int, seed: int) -> pd.DataFrame:
    """Every number has digits of its own; one person has a kind that nobody else has, and one an extreme weight."""
    rng = np.random.default_rng(seed)
    score, weight = rng.normal(50, 10, n), rng.lognormal(4, 0.3, n)
    weight[5] = EXTREME
    weight[rng.random(n) < 0.1] = np.nan
    kind = np.array(["common", "usual", "scarce"], dtype=object)[rng.choice(3, n, p=[0.6, 0.35, 0.05])]
    kind[7] = "zebra-of-one"
    days = rng.exponential(900 / np.exp(0.06 * (score - 50)))
    left = rng.uniform(300, 1800, n)
    seen = pd.Timestamp("2011-03-01") + pd.to_timedelta(rng.integers(0, 2000, n), unit="D")
    status = np.where(days <= left, rng.choice([1, 2], n, p=[0.75, 0.25]), 0)
    columns = {"id": [f"person-{i:04d}" for i in range(n)], "seen": seen.date, "score": score, "weight": weight}
    return pd.DataFrame({**columns, "kind": kind, "days": np.minimum(days, left), "status": status})


def numbers_in(path: Path) -> Iterator[float]:
    """Every number of a file: JSON, Parquet and boosters whole; of texts whatever looks like one."""
    if path.suffix == ".parquet":
        content: Any = pq.read_table(path).to_pylist()
    elif path.suffix == ".ubj":
        content = json.loads(xgb.Booster(model_file=path).save_raw("json"))
    elif path.suffix == ".json":
        content = json.loads(path.read_text())
    else:
        content = [float(word) for word in re.findall(r"-?\d+\.?\d*", path.read_text(errors="ignore"))]
    queue = [content]
    while queue:
        one = queue.pop()
        if isinstance(one, dict):
            queue += [*one.keys(), *one.values()]
        elif isinstance(one, list):
            queue += one
        elif isinstance(one, str):
            queue += [float(one)] if re.fullmatch(r"-?\d+\.\d+(E-?\d+)?", one) else []
        elif isinstance(one, int | float):
            yield float(one)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("n", [90, 700])
def test_no_file_of_a_training_holds_a_value_of_one_person(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bundle, MLflow's files, summary, report and validation against everybody's score, weight, time, date and risk."""
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    table = table_of(n, 4)
    table.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY)
    train(tmp_path / "study.toml", json_out=tmp_path / "out" / "summary.json", seed=3)
    report("small", out=tmp_path / "out" / "report.html")
    elsewhere = table_of(n, 5)
    elsewhere.to_csv(tmp_path / "elsewhere.csv", index=False)
    validate(
        "small",
        "latest",
        now=pd.Timestamp("2025-01-01").to_pydatetime(),
        table=tmp_path / "elsewhere.csv",
        json_out=tmp_path / "out" / "validation.json",
    )
    bundle, _, _ = find("small", "latest")
    values = pd.concat([table, elsewhere])[["score", "weight", "days"]].to_numpy().ravel()
    values = values[np.isfinite(values)]
    theirs = {v for one in values for v in (float(one), float(np.float32(one)), round(float(one), 5))}
    words = {*table["id"], "zebra-of-one"}
    dates = {str(day) for day in pd.concat([table, elsewhere])["seen"]}
    written = [path for folder in (presage_home(), tmp_path / "out") for path in folder.rglob("*") if path.is_file()]
    looked_at = [p for p in written if p.suffix in {".json", ".parquet", ".ubj", ".md", ".html", ".svg", ".toml"}]
    assert {"baseline.parquet", "booster_0.ubj", "reference.parquet", "report.html"} <= {p.name for p in looked_at}
    assert any(path.is_relative_to(presage_home()) for path in looked_at)
    for path in written:
        content = path.read_bytes()
        assert not [word for word in words if word.encode() in content], path
    for path in looked_at:
        found = np.array(list(numbers_in(path)))
        assert not theirs & set(found.tolist()), path
        if path.suffix in {".json", ".html", ".md"}:
            assert not [day for day in dates if day in path.read_text()], path
    assert bundle.manifest["levels"]["kind"][-1] == OTHER
    own = bundle.risk(table_frame(table, bundle)).risk.ravel()
    kept = json.loads((bundle.folder / "evaluation.json").read_text())["figures"]["calibration"]
    for curve in kept.values():
        assert len(set(curve["grid"]) & set(np.round(own, 5).tolist())) < 0.2 * len(curve["grid"])  # by chance


def table_frame(table: pd.DataFrame, bundle: Any) -> FeatureFrame:
    from training.registry.pyfunc import frame_of as read

    return read(table, bundle)


def test_a_rare_level_is_scored_as_the_rest_and_a_new_one_too(tmp_path: Path) -> None:
    """Levels of 4 and of 8 people share one coefficient; a third name gets the same answer."""
    rng = np.random.default_rng(0)
    n = 600
    kind = np.array([0] * 300 + [1] * 288 + [2] * 4 + [3] * 8, dtype=np.float32)
    levels = {"f1": ("a", "b", "c", "d")}
    time = rng.exponential(5 / np.where(kind >= 2, 4.0, 1.0))
    outcome = Outcome(np.minimum(time, 6), (time <= 6).astype(np.int8), (3.0,))
    frame = frame_of(np.column_stack([rng.normal(size=n), kind]), levels=levels)
    for learner in (Cox(), XGBoostCox(depths=(2,))):
        fitted: Any = learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
        asked = frame_of([[0.0, 0], [0.0, 2], [0.0, 3], [0.0, 4]], levels={"f1": ("a", "b", "c", "d", "new")})
        fitted.write(tmp_path / fitted.name)
        again = type(fitted).read(tmp_path / fitted.name)
        for model in (fitted, again):
            risk = model.risk_at(asked, (3.0,)).probabilities[:, 0]
            assert risk[1] == risk[2] == risk[3] > risk[0]
        stored = (tmp_path / fitted.name / "learner.json").read_text()
        assert not [name for name in ("c", "d") if f'"{name}"' in stored]


def test_a_bundle_from_before_levels_were_told_reads_them_as_the_frame_numbers_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kind = np.repeat([0.0, 1.0, 2.0], 100)
    time = rng.exponential(5 / np.exp(0.5 * kind))
    outcome = Outcome(np.minimum(time, 6), (time <= 6).astype(np.int8), (3.0,))
    frame = frame_of(np.column_stack([rng.normal(size=300), kind]), levels={"f1": ("a", "b", "c")})
    for learner in (Cox(), XGBoostCox(depths=(2,))):
        fitted: Any = learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
        fitted.write(tmp_path / fitted.name)
        path = tmp_path / fitted.name / "learner.json"
        stored = json.loads(path.read_text())
        del stored["design" if "design" in stored else "columns"]["levels"]
        path.write_text(json.dumps(stored))
        again = type(fitted).read(tmp_path / fitted.name)
        assert (again.risk_at(frame, (3.0,)).probabilities == fitted.risk_at(frame, (3.0,)).probabilities).all()


def test_the_reference_tells_no_count_of_one_to_ten() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(200, 3))
    values[:4, 0], values[4:, 1] = np.nan, np.nan
    values[0, 2] = EXTREME
    level = np.array([0] * 150 + [1] * 43 + [2] * 7, dtype=np.float32)
    frame = frame_of(np.column_stack([values, level]), levels={"f3": ("x", "y", "rare")})
    rows = {row["feature"]: row for row in reference_distribution(frame).to_pylist()}
    assert (rows["f0"]["missing"], rows["f1"]["missing"]) == (0.0, 1.0)
    assert rows["f1"]["quantiles"] is None
    assert max(rows["f2"]["quantiles"]) < 3
    assert rows["f3"]["levels"] == ["x", OTHER]
    assert rows["f3"]["shares"] == [0.75, 0.25]


def test_a_group_of_few_loses_its_name_and_no_other_group_joins_it() -> None:
    #   A: 20 people; B: 11; C: 12 rows of 4 people; D: 1; unknown: 2
    labels = np.array(["A"] * 20 + ["B"] * 11 + ["C"] * 12 + ["D"] + [None] * 2, dtype=object)
    persons = np.concatenate([np.arange(31), 100 + np.arange(12) % 4, [200, 201, 202]])
    found = pooled(labels, persons).tolist()
    assert found == ["A"] * 20 + ["B"] * 11 + [OTHER] * 13 + [None] * 2


def test_quarters_of_a_number_are_not_named_by_its_ends() -> None:
    column = pd.Series([18.25, *np.linspace(30, 60, 198), 103.5, np.nan])
    found = labels(column)
    named = sorted({label for label in found if label is not None})
    assert len(named) == 4
    assert not [label for label in named if "18.2" in label or "103.5" in label]
    assert found[-1] is None
    assert found[0].startswith("at most 3")
    assert found[-2].startswith("above 5")


def test_an_attrition_that_is_kept_tells_of_no_one_to_ten() -> None:
    steps = [("all", 900), ("adult", 700), ("known", 695), ("of them tested", 9)]
    shown = shown_steps([Step(step=name, people=n, rows=2 * n) for name, n in steps])
    assert [(one.step, one.people, one.rows) for one in shown] == [
        ("all", 900, 1800),
        ("adult; known", 695, 1390),
        ("of them tested", None, None),
    ]


@settings(deadline=None, max_examples=200)
@given(
    lost=st.lists(st.sampled_from([0, 1, 5, 10, 11, 40]), min_size=1, max_size=6),
    part=st.one_of(st.none(), st.sampled_from([0, 3, 5, 10, 11, 40, 395])),
)
def test_no_two_counts_of_a_result_differ_by_one_to_ten(lost: list[int], part: int | None) -> None:
    """Attrition, and the people that every other part of a result counts."""
    counts = [400, *(400 - total for total in itertools.accumulate(lost))]
    steps = [Step(step=f"step {i}", people=n, rows=n) for i, n in enumerate(counts)]
    if part is not None:
        known = max(counts[-1] - part, 0)
        steps.append(Step(step="of them with genomic results", people=known, rows=known))
    shown = shown_steps(steps)
    told = {one.people for one in shown if one.people is not None} | {counts[-1]}
    assert not [(a, b) for a, b in itertools.permutations(told, 2) if 0 < a - b < 11]
    assert not [count for count in told if 0 < count < 11]
    assert shown_steps(shown) == shown
