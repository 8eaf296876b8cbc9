"""Terms and baseline add up to what the model says, for single learners and for their stack."""

from __future__ import annotations

import json
import math
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import logit

from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.fitted import Contributions, CoxFit, Fitted, StackFit, XGBoostCoxFit
from training.fitted.mixture import mixed
from training.learners import Learner
from training.learners.cox import Cox
from training.learners.logistic import Logistic
from training.learners.stack import Stack
from training.learners.xgboost_cox import XGBoostCox
from training.learners.xgboost_horizon import XGBoostHorizon

Floats = npt.NDArray[np.float64]
HORIZON = 1.0


def drawn(kind: str, n: int = 400, seed: int = 1) -> tuple[FeatureFrame, Outcome]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 4)).astype(np.float32)
    values[rng.random(n) < 0.1, 1] = np.nan
    values[:, 3] = rng.integers(0, 3, n)
    score = 1.2 * values[:, 0] + np.nan_to_num(values[:, 1] ** 2) * 0.4 + 0.5 * (values[:, 3] == 2)
    event_at, left_at = rng.exponential(2 * np.exp(-score)), rng.uniform(0.3, 3, n)
    other_at = rng.exponential(2, n) if kind == "competing" else np.full(n, np.inf)
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, ("a", "b", "c", "d"), values, {"d": ("x", "y", "z")})
    if kind == "binary":
        return frame, Outcome(np.full(n, np.nan), (event_at < 1).astype(np.int8), ())
    time = np.minimum(np.minimum(event_at, other_at), left_at)
    return frame, Outcome(time, np.argmin([left_at, event_at, other_at], axis=0).astype(np.int8), (HORIZON,))


LEARNERS: dict[str, Learner] = {
    "logistic": Logistic(),
    "cox": Cox(),
    "xgboost": XGBoostHorizon(),
    "xgboost_cox": XGBoostCox(),
    "stack": Stack(),
    "hazard and odds": Stack(members=(Cox(), XGBoostHorizon())),
}


@cache
def fitted(name: str, kind: str) -> Fitted:
    frame, outcome = drawn(kind)
    return LEARNERS[name].fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(3))


def total(found: Contributions) -> Floats:
    return np.asarray(found.values.sum(axis=1) + found.baseline, dtype=np.float64)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("logistic", "binary"), ("xgboost", "binary"), ("stack", "binary"), ("logistic", "competing"),
     ("xgboost", "competing"), ("cox", "survival"), ("xgboost_cox", "survival"), ("stack", "survival"),
     ("hazard and odds", "survival")],
)  # fmt: skip
def test_terms_and_baseline_are_the_prediction_of_new_people_on_its_scale(name: str, kind: str) -> None:
    frame, _ = drawn(kind, 60, seed=2)
    model = fitted(name, kind)
    found = model.contributions(frame)
    risk = model.risk_at(frame, (math.nan if kind == "binary" else HORIZON,)).probabilities[:, 0]
    if found.hazard is not None:
        expected = np.log(-np.log1p(-risk)) - np.log(found.hazard.at(HORIZON))
    elif "stack" in name or " and " in name:
        expected = np.log(-np.log1p(-risk)) if kind == "survival" else logit(risk)
    else:
        expected = logit(risk)
    assert total(found) == pytest.approx(expected, abs=2e-5)  # TreeSHAP in XGBoost is in single precision


@pytest.mark.parametrize("name", ["cox", "xgboost_cox"])
def test_with_competing_events_it_is_the_hazard_of_the_event_that_is_explained(name: str) -> None:
    frame, _ = drawn("competing", 60, seed=2)
    model = fitted(name, "competing")
    assert isinstance(model, CoxFit | XGBoostCoxFit)
    assert total(model.contributions(frame)) == pytest.approx(model.linear_predictor(frame)[:, 0], abs=2e-5)


def test_a_stack_of_competing_hazards_adds_up_to_the_mean_of_its_members_risks_without_competition() -> None:
    frame, _ = drawn("competing", 60, seed=2)
    model = fitted("stack", "competing")
    assert isinstance(model, StackFit)
    parts = [(member.contributions(frame), w) for member, w in zip(model.members, model.weights, strict=True)]
    risk = sum(w * -np.expm1(-p.hazard.at(HORIZON) * np.exp(total(p))) for p, w in parts if p.hazard is not None)
    assert total(model.contributions(frame)) == pytest.approx(np.log(-np.log1p(-np.asarray(risk))), abs=2e-5)


def expectation(node: dict[str, Any], known: frozenset[int], row: Floats) -> float:
    """Of a tree, where only the features in `known` are: elsewhere both ways, by how many went there in training."""
    if "leaf" in node:
        return float(node["leaf"])
    ways = {child["nodeid"]: child for child in node["children"]}
    feature = int(node["split"][1:])
    if feature in known:
        value = row[feature]
        way = node["missing"] if np.isnan(value) else node["yes"] if value < node["split_condition"] else node["no"]
        return expectation(ways[way], known, row)
    parts = [(child["cover"], expectation(child, known, row)) for child in ways.values()]
    return sum(cover * found for cover, found in parts) / sum(cover for cover, _ in parts)


def test_terms_of_trees_are_shapley_values_by_their_definition() -> None:
    whole, outcome = drawn("binary")
    numbers = whole.only(("a", "b", "c"))
    model = XGBoostHorizon().fit(numbers, outcome, persons=whole.subject_ids, rng=np.random.default_rng(3))
    trees = [json.loads(tree) for tree in model.boosters[0].get_dump(dump_format="json", with_stats=True)]
    some = drawn("binary", 6, seed=2)[0].only(("a", "b", "c"))
    found = model.contributions(some)
    for row in range(6):
        worth = {
            known: sum(expectation(tree, known, some.values[row]) for tree in trees)
            for size in range(4)
            for known in map(frozenset, combinations(range(3), size))
        }
        for feature in range(3):
            terms = [
                math.factorial(len(known)) * math.factorial(2 - len(known)) / 6 * (worth[known | {feature}] - value)
                for known, value in worth.items()
                if feature not in known
            ]
            assert found.values[row, feature] == pytest.approx(sum(terms), abs=1e-4)


def test_one_member_alone_keeps_its_terms_and_equal_members_share_them() -> None:
    rng = np.random.default_rng(4)
    part = Contributions(("a", "b"), rng.normal(size=(20, 2)), -1.0)
    alone = mixed([part], np.ones(1), horizon_days=math.nan)
    assert alone.values == pytest.approx(part.values)
    assert alone.baseline == pytest.approx(-1.0)
    twice = mixed([part, part], np.array([0.3, 0.7]), horizon_days=math.nan)
    assert twice.values == pytest.approx(part.values)


def test_members_far_apart_still_add_up() -> None:
    rng = np.random.default_rng(5)
    parts = [Contributions(("a", "b"), rng.normal(0, 4, size=(200, 2)), base) for base in (-6.0, 1.0)]
    weights = np.array([0.8, 0.2])
    risk = sum(w / (1 + np.exp(-total(part))) for part, w in zip(parts, weights, strict=True))
    assert total(mixed(parts, weights, horizon_days=math.nan)) == pytest.approx(logit(np.asarray(risk)), abs=1e-3)
