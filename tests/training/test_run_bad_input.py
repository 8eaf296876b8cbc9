"""Tables that are hard to learn from: a clear refusal or a sober answer, by every learner, from file to summary."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.evaluation.incidence import aalen_johansen
from training.learners import LEARNERS, Learner
from training.learners.extra_trees import ExtraTrees
from training.train import train

BINARY = ("logistic", "xgboost", "extra_trees", "stack")
TIMED = ("logistic", "cox", "xgboost", "xgboost_cox", "extra_trees", "stack")


def learner_of(name: str) -> Learner:
    return ExtraTrees(trees=20) if name == "extra_trees" else LEARNERS[name]()


def frame_of(values: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> FeatureFrame:
    n, p = values.shape
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    return FeatureFrame(np.arange(n), when, tuple(f"f{j}" for j in range(p)), values)


@pytest.mark.parametrize("name", BINARY)
def test_three_without_the_event_leave_inner_folds_of_one_class_and_a_sober_answer(name: str) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(120, 3)).astype(np.float32)
    event = np.ones(120, dtype=np.int8)
    event[:3] = 0
    outcome = Outcome(np.full(120, np.nan), event, ())
    fitted = learner_of(name).fit(frame_of(values), outcome, persons=np.arange(120), rng=rng)
    risk = fitted.risk_at(frame_of(values), (math.nan,)).probabilities
    assert fitted.out_of_fold is not None
    for found in (risk, fitted.out_of_fold.probabilities):
        assert np.isfinite(found).all()
        assert 0.9 < found.mean() <= 1


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("kind", ["survival", "competing"])
def test_whole_days_with_many_ties_and_zeros_give_the_incidence_on_average(name: str, kind: str) -> None:
    rng = np.random.default_rng(2)
    n = 400
    values = rng.normal(size=(n, 4)).astype(np.float32)
    values[:, 2], values[:, 3] = 1.0, np.nan
    other = rng.exponential(4, n) if kind == "competing" else np.full(n, np.inf)
    drawn = np.stack([rng.uniform(0, 6, n), rng.exponential(3 * np.exp(-values[:, 0])), other])
    outcome = Outcome(np.floor(drawn.min(axis=0)), drawn.argmin(axis=0).astype(np.int8), (1.0, 3.0))
    assert (outcome.time_days == 0).sum() > 50
    fitted = learner_of(name).fit(frame_of(values), outcome, persons=np.arange(n), rng=rng)
    assert fitted.out_of_fold is not None
    risk = fitted.out_of_fold.probabilities  # held out: a booster's risks of those it has seen are too extreme
    assert (np.diff(risk, axis=1) >= 0).all()
    for h, horizon in enumerate((1.0, 3.0)):
        assert risk[:, h].mean() == pytest.approx(aalen_johansen(outcome, horizon), abs=0.05)


@pytest.mark.parametrize("name", TIMED)
def test_everybody_followed_to_the_same_day_is_no_reason_to_fail(name: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(200, 2)).astype(np.float32)
    event = (rng.random(200) < 1 / (1 + np.exp(1 - 1.5 * values[:, 0]))).astype(np.int8)
    outcome = Outcome(np.full(200, 30.0), event, (30.0,))
    fitted = learner_of(name).fit(frame_of(values), outcome, persons=np.arange(200), rng=rng)
    assert fitted.out_of_fold is not None
    risk = fitted.out_of_fold.probabilities[:, 0]
    assert risk.mean() == pytest.approx(event.mean(), abs=0.05)
    assert np.corrcoef(risk, values[:, 0])[0, 1] > 0.5


STUDY = """
name = "hard"
[source]
table = "people.csv"
[outcome]
time = "days"
event = "status"
horizons_days = [3]
[models]
candidates = ["cox", "logistic", "xgboost", "xgboost_cox", "extra_trees", "stack"]
[validation]
fold_column = "fold"
bootstraps = 10
"""


def people(n: int = 300) -> pd.DataFrame:
    """Whole days with zeros, a constant, a column without a value; fold 3 holds nobody with the event."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=n)
    days = np.floor(np.minimum(rng.exponential(3 * np.exp(-1.5 * x)), rng.uniform(0, 6, n)))
    status = (rng.random(n) < 0.7).astype(int)
    fold = rng.integers(1, 3, n)
    fold[np.flatnonzero(status == 0)[:40]] = 3
    return pd.DataFrame({"x": x, "constant": 1, "empty": np.nan, "days": days, "status": status, "fold": fold})


def trained(folder: Path, table: pd.DataFrame, study: str = STUDY) -> dict[str, object]:
    table.to_csv(folder / "people.csv", index=False)
    (folder / "hard.toml").write_text(study)
    return train(folder / "hard.toml").document


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("hard")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        yield folder


def test_a_fold_without_events_ties_zeros_constants_and_empty_columns_train_every_learner(home: Path) -> None:
    document = trained(home, people())
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["validation"]["splits"] == 3
    for name, horizons in document["candidates"].items():  # type: ignore[attr-defined]
        assert 0.55 < horizons["3"]["auc"]["value"] < 0.95, name
        assert horizons["3"]["brier"]["value"] < 0.26, name


def test_a_horizon_that_nobody_reaches_is_left_out_and_the_others_are_as_without_it(home: Path) -> None:
    quick = STUDY.replace('["cox", "logistic", "xgboost", "xgboost_cox", "extra_trees", "stack"]', '["cox"]')
    alone = trained(home, people(), quick)
    beside = trained(home, people(), quick.replace("[3]", "[3, 1000]"))
    assert beside["candidates"] == alone["candidates"]
    notes: list[str] = beside["notes"]  # type: ignore[assignment]
    assert [note for note in notes if note.startswith("no model at 1000 days")]
    with pytest.raises(PresageError, match="known to be free of the event at 1000 days"):
        trained(home, people(), quick.replace("[3]", "[1000]"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.assign(status=0), "events to learn from"),
        (
            lambda t: t.assign(status=np.where(t["fold"] == 1, t["status"], 0)),
            "events to learn from in the training set",
        ),
        (lambda t: t.assign(status=(np.arange(len(t)) < 3).astype(int)), "events to learn from"),
        (lambda t: t.assign(x=np.inf), "'x'.*finite"),
        (lambda t: t.drop(columns=["x", "constant", "empty"]), "at least one feature"),
        (lambda t: t.head(0), "at least two folds"),
        (lambda t: t.assign(days=np.where(t["status"] == 1, 5.0, 6.0)), "by each horizon|events"),
    ],
    ids=["never", "one class in a fold", "three events", "infinite", "no feature", "no row", "after the horizon"],
)
def test_what_cannot_be_learned_from_is_one_sentence(home: Path, change: object, said: str) -> None:
    with pytest.raises(PresageError, match=said):
        trained(home, change(people()))  # type: ignore[operator]
    assert not list(home.glob("*.part"))


def test_three_events_for_two_hundred_features_are_refused_and_twelve_give_no_false_confidence(home: Path) -> None:
    rng = np.random.default_rng(5)
    wide = pd.DataFrame(rng.normal(size=(200, 200)), columns=[f"f{j}" for j in range(200)])
    event = np.zeros(200, dtype=int)
    event[rng.choice(200, 24, replace=False)] = 1
    study = (
        STUDY.replace('fold_column = "fold"', "folds = 2")
        .replace('time = "days"\n', "")
        .replace("horizons_days = [3]\n", "")
        .replace('"cox", "logistic", "xgboost", "xgboost_cox", "extra_trees", "stack"', '"logistic", "xgboost"')
    )
    document = trained(home, wide.assign(status=event), study)
    for name, found in document["candidates"].items():  # type: ignore[attr-defined]
        assert found["all"]["auc"]["low"] < 0.65, name
        assert found["all"]["brier"]["value"] < 0.14, name  # that of the incidence is .11
    event[np.flatnonzero(event)[3:]] = 0
    with pytest.raises(PresageError, match="events to learn from"):
        trained(home, wide.assign(status=event), study)
