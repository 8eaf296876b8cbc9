from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import pytest
from sklearn.metrics import log_loss

from features.frame import FeatureFrame
from tests.made import plan_of
from training.cohort.folds import person_folds
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.cohort.splits import Scheme, Split
from training.fitted import read_fitted
from training.heldout.candidates import hold_out
from training.learners import Budget, make_learner
from training.learners.budget import SEARCHED
from training.learners.extra_trees import ExtraTrees
from training.learners.folds import INNER_FOLDS
from training.learners.targets import targets
from training.learners.tuning import AS_UNTUNED, Tuned, tune
from training.learners.xgboost_cox import XGBoostCox
from training.learners.xgboost_horizon import XGBoostHorizon

LEARNERS = {"xgboost": XGBoostHorizon(), "xgboost_cox": XGBoostCox()}


def world(n: int = 150) -> tuple[FeatureFrame, Outcome]:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(n, 4)).astype(np.float32)
    event_at, censored_at = rng.exponential(np.exp(-values[:, 0])), rng.uniform(0.1, 3, n)
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, ("a", "b", "c", "d"), values)
    return frame, Outcome(np.minimum(event_at, censored_at), (event_at <= censored_at).astype(np.int8), (1.0,))


def search(name: str, trials: int, **kept: Any) -> Tuned:
    frame, outcome = world()
    budget = Budget(trials, **kept)
    return tune(
        LEARNERS[name],  # type: ignore[arg-type]
        frame,
        outcome=outcome,
        persons=frame.subject_ids,
        rng=np.random.default_rng(2),
        budget=budget,
    )


@pytest.mark.parametrize("name", ["xgboost", "xgboost_cox"])
def test_the_same_seed_finds_the_same_settings(name: str) -> None:
    found = [search(name, 3) for _ in range(2)]
    assert found[0] == found[1]
    assert found[0].trials == 3


def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    stopped_after = 4
    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    told: list[int] = []
    first = search("xgboost_cox", stopped_after, storage=storage)
    second = search("xgboost_cox", 11, storage=storage, advance=told.append)
    assert (first.trials, second.trials) == (stopped_after, 11)
    assert told == [stopped_after] + [1] * (11 - stopped_after)
    assert second == search("xgboost_cox", 11)
    assert second.loss <= first.loss
    assert search("xgboost_cox", stopped_after, storage=storage) == first  # a smaller budget looks at no later trial


def test_other_rows_are_another_search(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    frame, outcome = world()
    for rows in (np.arange(150), np.arange(120)):
        tune(
            XGBoostCox(),
            frame.take(rows),
            outcome=outcome.take(rows),
            persons=rows,
            rng=np.random.default_rng(2),
            budget=Budget(1, storage, "drawn"),
        )
    names = optuna.get_all_study_names(storage)
    assert len(names) == 2
    assert all(name.startswith("drawn ") for name in names)


def test_poor_trials_stop_after_a_fold_and_the_first_is_the_untuned_settings(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    found = search("xgboost_cox", 12, storage=storage)
    [name] = optuna.get_all_study_names(storage)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    assert trials[0].params == {**AS_UNTUNED, "lambda": 1.0}
    assert len({trial.params["eta"] for trial in trials}) == len(trials)
    pruned = [trial for trial in trials if trial.state == optuna.trial.TrialState.PRUNED]
    assert 0 < len(pruned) == found.pruned
    assert all(0 <= trial.last_step < 3 for trial in pruned)
    complete = [trial for trial in trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert found.loss == min(trial.value for trial in complete)


@pytest.mark.parametrize("name", ["xgboost", "xgboost_cox", "stack"])
def test_a_tuned_learner_fits_with_what_was_found_and_says_so(name: str, tmp_path: Path) -> None:
    frame, outcome = world()
    learner = make_learner(name, monotone={}, budget=Budget(3))
    fitted = learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(2))
    assert set(SEARCHED) | {"tuning_trials", "tuning_score"} <= set(fitted.settings)
    fitted.write(tmp_path / "model")
    assert read_fitted(tmp_path / "model").settings == fitted.settings
    if name == "stack":
        return
    rng = np.random.default_rng(2)
    found = tune(LEARNERS[name], frame, outcome=outcome, persons=frame.subject_ids, rng=rng, budget=Budget(3))  # type: ignore[arg-type]
    by_hand = replace(LEARNERS[name], parameters=found.parameters, depths=(found.depth,))  # type: ignore[type-var]
    again = by_hand.fit(frame, outcome, persons=frame.subject_ids, rng=rng)  # type: ignore[attr-defined]
    assert (again.risk_at(frame, (1.0,)).probabilities == fitted.risk_at(frame, (1.0,)).probabilities).all()


def cohort_of(frame: FeatureFrame, outcome: Outcome) -> Cohort:
    n = len(frame)
    empty = np.full(n, "", dtype=object)
    blocks = (Block("clinical", frame.names, genomic=False),)
    return Cohort(frame, outcome, frame.subject_ids.astype(str).astype(object), blocks, np.zeros(n, bool), empty, {})


def settings_found(cohort: Cohort, splits: tuple[Split, ...]) -> list[dict[str, Any]]:
    scheme = Scheme("drawn", splits)
    held = hold_out(plan_of(cohort, scheme), "xgboost", advance=lambda done: None, budget=Budget(4))
    return [dict(pair.clinical.fitted.settings) for pair in held.pairs]


def test_what_happens_to_people_of_the_test_fold_changes_no_tuned_setting() -> None:
    frame, outcome = world(300)
    binary = Outcome(np.full(300, np.nan), outcome.event, ())
    test: npt.NDArray[np.int64] = np.arange(200, 300)
    splits = (Split("1", np.arange(200), test), Split("2", np.arange(100, 300), np.arange(100)))
    before = settings_found(cohort_of(frame, binary), splits)
    event = binary.event.copy()
    event[test] = 1 - event[test]
    after = settings_found(cohort_of(frame, replace(binary, event=event)), splits)
    assert before[0] == after[0]
    assert before[1] != after[1]  # where those people are learned from, it does


@pytest.mark.parametrize("binary", [False, True])
def test_the_comparator_is_tuned_too_and_by_what_sklearn_would_score(*, binary: bool) -> None:
    """The first trial's loss is that of forests fitted by hand on the same folds; the best is none the worse."""
    frame, outcome = world(240)
    if binary:
        outcome = Outcome(np.full(240, np.nan), outcome.event, ())
    budget = Budget(6)
    learner = make_learner("extra_trees", monotone={}, budget=budget)
    fitted = learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(2))
    settings = fitted.settings
    assert settings["tuning_trials"] == 6
    assert 2 <= float(settings["min_leaf"]) <= 60
    rng = np.random.default_rng(2)
    seed = int(rng.integers(2**31))
    folds = person_folds(frame.subject_ids, outcome.event, folds=INNER_FOLDS, rng=rng)
    goal = targets(frame, outcome)[-1]

    def by_hand(min_leaf: int, max_features: float) -> float:
        losses, weights = [], []
        for k in range(INNER_FOLDS):
            learn, hold = np.flatnonzero(folds != k), np.flatnonzero(folds == k)
            tried = ExtraTrees(trees=50, min_leaf=min_leaf, max_features=max_features)
            forest = tried.forests(frame.take(learn), outcome.take(learn), weights=None, seed=seed)
            p = forest.risk_at(frame.take(hold), (goal.horizon_days,)).probabilities[:, 0].clip(1e-3, 1 - 1e-3)
            losses.append(log_loss(goal.label[hold], p, sample_weight=goal.weight[hold], labels=[False, True]))
            weights.append(goal.weight[hold].sum())
        return float(np.average(losses, weights=weights))

    best = by_hand(int(settings["min_leaf"]), float(settings["max_features"]))
    assert settings["tuning_score"] == pytest.approx(best, abs=1e-9)
    assert best <= by_hand(10, 0.5 if binary else 1.0) + 1e-12
