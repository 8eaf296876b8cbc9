"""What a block adds: against a count person by person, against dcurves, and where there is nothing to compare."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dcurves
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.frame import FeatureFrame
from training.cohort.censoring import known_by, marginal
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.heldout.bench import Bench
from training.heldout.blocks import added_by
from training.heldout.candidates import Nested
from training.train import train

Floats = npt.NDArray[np.float64]
CUTOFF = 0.3


def drawn(n: int, seed: int, kind: str) -> tuple[Outcome, Floats, Floats]:
    rng = np.random.default_rng(seed)
    score, more = rng.normal(-1, 0.8, n), rng.normal(0, 0.7, n)
    rate = np.exp(score + more)
    event_at, other_at, left_at = rng.exponential(1 / rate), rng.exponential(2, n), rng.uniform(0.2, 3, n)
    first, second = 1 - np.exp(-np.exp(score)), 1 - np.exp(-rate)
    if kind == "binary":
        return Outcome(np.full(n, np.nan), (event_at < 1).astype(np.int8), ()), first, second
    if kind == "survival":
        other_at[:] = np.inf
    time = np.minimum(np.minimum(event_at, other_at), left_at)
    event = np.argmin([left_at, event_at, other_at], axis=0).astype(np.int8)
    return Outcome(time, event, (1.0,)), first, second


def bench_of(outcome: Outcome, *, persons: npt.NDArray[np.int64] | None = None, n_boot: int = 20) -> Bench:
    n = len(outcome)
    return Bench(np.arange(n), outcome, np.arange(n) if persons is None else persons, None, n_boot, 1, (CUTOFF,), ())


def cohort_of(outcome: Outcome, ancestry: list[str | None] | None = None) -> Cohort:
    n = len(outcome)
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, ("x",), np.zeros((n, 1), dtype=np.float32))
    empty = np.full(n, "", dtype=object)
    groups = {} if ancestry is None else {"ancestry": np.array(ancestry, dtype=object)}
    return Cohort(frame, outcome, empty, (Block("clinical", ("x",), genomic=False),), np.zeros(n, bool), empty, groups)


def step_of(first: Floats, second: Floats, why: str = "") -> Nested:
    return Nested(Block("polygenic", ("prs",), genomic=True), ("clinical",), second[:, None], first[:, None], why)


def entry(outcome: Outcome, first: Floats, second: Floats, **kept: Any) -> dict[str, Any]:
    bench = bench_of(outcome, **kept)
    [added] = added_by(bench, [step_of(first, second)], cohort=cohort_of(outcome), min_people=50)
    return added.to_json()


@settings(deadline=None, max_examples=9)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["binary", "survival", "competing"]))
def test_reclassification_is_the_count_of_those_who_move_up_and_down_person_by_person(seed: int, kind: str) -> None:
    outcome, first, second = drawn(300, seed, kind)
    if kind == "binary":
        label, weight = outcome.event == 1, np.ones(300)
    else:
        label, weight = known_by(outcome, 1.0, uncensored=marginal(outcome))
    up = {True: 0.0, False: 0.0}
    down, total = dict(up), dict(up)
    for person in range(300):
        case = bool(label[person])
        total[case] += weight[person]
        if first[person] < CUTOFF <= second[person]:
            up[case] += weight[person]
        if second[person] < CUTOFF <= first[person]:
            down[case] += weight[person]
    [found] = entry(outcome, first, second)["reclassification"]
    assert found["cutoff"] == CUTOFF
    assert found["events"]["value"] == pytest.approx((up[True] - down[True]) / total[True])
    assert found["nonevents"]["value"] == pytest.approx((down[False] - up[False]) / total[False])
    assert found["events"]["low"] <= found["events"]["value"] <= found["events"]["high"]


def test_the_difference_in_net_benefit_is_that_of_dcurves() -> None:
    outcome, first, second = drawn(900, 3, "binary")
    table = pd.DataFrame({"label": outcome.event.astype(int), "first": first, "second": second})
    curve = dcurves.dca(data=table, outcome="label", modelnames=["first", "second"], thresholds=np.array([CUTOFF]))
    expected = curve.set_index("model")["net_benefit"]
    [found] = entry(outcome, first, second)["net_benefit"]
    assert found["delta"]["value"] == pytest.approx(expected["second"] - expected["first"])


def test_intervals_hold_the_difference_had_nobody_been_censored_as_often_as_they_say() -> None:
    outcome, first, second = drawn(200_000, 4, "competing")
    rng = np.random.default_rng(4)
    score, more = rng.normal(-1, 0.8, 200_000), rng.normal(0, 0.7, 200_000)
    event_at, other_at = rng.exponential(np.exp(-score - more)), rng.exponential(2, 200_000)
    truth = Outcome(np.minimum(event_at, other_at), np.where(event_at < other_at, 1, 2).astype(np.int8), (1.0,))
    expected = entry(truth, first, second, n_boot=0)
    held = {"events": 0, "nonevents": 0, "net benefit": 0}
    for part in range(40):
        rows = np.arange(part * 1000, (part + 1) * 1000)
        found = entry(outcome.take(rows), first[rows], second[rows], n_boot=100)
        for name in ("events", "nonevents"):
            seen, true = found["reclassification"][0][name], expected["reclassification"][0][name]["value"]
            held[name] += seen["low"] <= true <= seen["high"]
        seen, true = found["net_benefit"][0]["delta"], expected["net_benefit"][0]["delta"]["value"]
        held["net benefit"] += seen["low"] <= true <= seen["high"]
    assert all(count >= 34 for count in held.values()), held  # of 40; 38 expected


def test_people_of_repeated_rows_are_resampled_together() -> None:
    outcome, first, second = drawn(300, 5, "competing")
    twice = outcome.take(np.tile(np.arange(300), 4))
    copied = entry(twice, np.tile(first, 4), np.tile(second, 4), persons=np.tile(np.arange(300), 4), n_boot=200)
    once = entry(outcome, first, second, n_boot=200)
    for name in ("events", "nonevents"):
        one, four = once["reclassification"][0][name], copied["reclassification"][0][name]
        assert four["value"] == pytest.approx(one["value"])
        assert four["high"] - four["low"] == pytest.approx(one["high"] - one["low"], rel=1e-6)


def test_each_ancestry_is_compared_alone_and_a_small_one_says_so() -> None:
    outcome, first, second = drawn(600, 6, "competing")
    ancestry: list[str | None] = ["EUR"] * 400 + ["AFR"] * 150 + ["EAS"] * 5 + [None] * 45
    bench = bench_of(outcome)
    [added] = added_by(bench, [step_of(first, second)], cohort=cohort_of(outcome, ancestry), min_people=50)
    found = added.to_json()["groups"]["ancestry"]
    alone = entry(outcome.take(np.arange(400)), first[:400], second[:400])
    assert found["EUR"]["people"] == 400
    assert found["EUR"]["delta"]["auc"] == alone["delta"]["auc"]
    assert found["EUR"]["reclassification"] == alone["reclassification"]
    assert found["EAS"]["people"] is None
    assert found["AFR"]["people"] is None  # else the small one could be worked out
    json.dumps(found, allow_nan=False)


def test_where_there_is_no_combined_risk_there_is_a_sentence_and_no_number() -> None:
    outcome, first, _ = drawn(100, 7, "survival")
    nothing = np.full(100, math.nan)
    [added] = added_by(
        bench_of(outcome), [step_of(first, nothing, "outcome: too few")], cohort=cohort_of(outcome), min_people=50
    )
    found = added.to_json()
    assert (found["people"], found["delta"], found["reclassification"], found["groups"]) == (0, {}, [], {})
    assert found["sentence"] == "Beyond clinical, polygenic cannot be judged here: outcome: too few."


STUDY = """
name = "hardly"
[source]
table = "people.csv"
[outcome]
event = "ill"
[features.blocks]
clinical = ["age"]
polygenic = ["prs"]
monogenic = ["carrier_x"]
[models]
candidates = ["logistic"]
[validation]
folds = 2
bootstraps = 5
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hardly")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        yield folder


@pytest.mark.parametrize("tested", [0, 6, 60])
def test_too_few_genotyped_people_with_the_event_train_a_clinical_model_and_say_so(tested: int, home: Path) -> None:
    rng = np.random.default_rng(1)
    age = rng.normal(60, 10, 400)
    table = pd.DataFrame({"age": age, "ill": (rng.random(400) < 1 / (1 + np.exp(1.5 - 0.1 * (age - 60)))).astype(int)})
    table["prs"], table["carrier_x"] = rng.normal(size=400), rng.binomial(1, 0.3, 400).astype(float)
    table.loc[tested:, ["prs", "carrier_x"]] = np.nan
    table.to_csv(home / "people.csv", index=False)
    (home / "hardly.toml").write_text(STUDY)
    document = train(home / "hardly.toml").document
    sentences = [block["sentence"] for block in document["blocks"]]
    assert [block["added"] for block in document["blocks"]] == ["polygenic", "monogenic"]
    assert all("cannot be judged here" in sentence for sentence in sentences), sentences
    assert any("no combined model" in note for note in document["notes"])
    assert document["chosen"]["metrics"]["auc"]["value"] > 0.6
