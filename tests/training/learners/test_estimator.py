"""A scikit-learn classifier as a candidate: cloned and encoded inside folds, weighed for censoring, never served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.learners.estimator import Encoding, Estimator, weight_argument
from training.study import Study
from training.train import train

Rows = npt.NDArray[np.float64]


class Spy(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Says one risk to everybody, and remembers what it was fitted on."""

    seen: list[pd.DataFrame] = []  # noqa: RUF012  # shared by the clones, which is what is looked at

    def __init__(self, random_state: int | None = None) -> None:
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: Any, sample_weight: Any = None) -> Spy:
        Spy.seen.append(X.assign(label=y, weight=1.0 if sample_weight is None else sample_weight))
        self.classes_ = np.array([0, 1])
        self.seed_ = self.random_state
        return self

    def predict_proba(self, X: pd.DataFrame) -> Rows:
        return np.tile([0.7, 0.3], (len(X), 1))


class Oracle(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Knows the outcome: a column that a study leaks to it."""

    def fit(self, X: pd.DataFrame, y: Any) -> Oracle:
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> Rows:
        risk = np.where(X["marker"] > 0, 0.999, 0.001)
        return np.column_stack([1 - risk, risk])


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Spy.seen.clear()


def frame_of(table: pd.DataFrame, levels: dict[str, tuple[str, ...]] | None = None) -> FeatureFrame:
    as_of = np.full(len(table), np.datetime64("NaT", "us"))
    values = table.to_numpy(dtype=np.float32)
    return FeatureFrame(np.arange(len(table)), as_of, tuple(table.columns), values, levels or {})


def survival(n: int = 1500, *, seed: int = 5, competing: bool = False) -> tuple[FeatureFrame, Outcome]:
    """Hazard rises with x; follow-up ends at random; perhaps some die of something else."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, n)
    event = rng.exponential(500 * np.exp(-0.7 * x))
    other = rng.exponential(900, n) if competing else np.full(n, np.inf)
    left = rng.uniform(50, 900, n)
    time = np.minimum(np.minimum(event, other), left)
    kind = np.where(time == event, 1, np.where(time == other, 2, 0)).astype(np.int8)
    return frame_of(pd.DataFrame({"x": x})), Outcome(time, kind, (200.0, 400.0))


def binary_table(n: int = 500, *, seed: int = 4) -> pd.DataFrame:
    """Repeated ids, gaps, a category; the outcome follows age and arm."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"id": rng.integers(0, n // 2, n), "age": rng.normal(60, 10, n), "arm": rng.choice(["a", "b", "c"], n)}
    )
    odds = 0.08 * (table["age"] - 60) + (table["arm"] == "b") * 1.2 - 0.7
    table["ill"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    table.loc[rng.random(n) < 0.15, "age"] = np.nan
    return table


STUDY = Study(
    name="binary",
    source={"id": "id"},
    outcome={"event": "ill"},
    models={"candidates": ["logistic"]},
    validation={"folds": 3, "bootstraps": 10},
)


def test_each_fold_is_ranked_as_a_clone_ranks_it_that_was_fitted_by_hand() -> None:
    table = binary_table()
    found = train(STUDY, table=table, comparators={"lr": LogisticRegression(C=1.0, max_iter=2000)}, seed=3)
    held = found.predictions().query("candidate == 'lr'")
    rows = {fold: part["risk"] for fold, part in held.groupby("fold")}
    by_id = table.assign(row=range(len(table)))
    for fold, risk in rows.items():
        ids = set(held[held["fold"] == fold]["id"])
        test = by_id[by_id["id"].astype(str).isin(ids)]
        learn = by_id[~by_id["id"].astype(str).isin(ids)]
        fill = learn["age"].median()

        def columns(part: pd.DataFrame, fill: float = fill) -> Rows:
            dummies = [(part["arm"] == level).to_numpy(dtype=float) for level in "abc"]
            return np.column_stack([part["age"].fillna(fill), *dummies, part["age"].isna()])

        by_hand = LogisticRegression(C=1.0, max_iter=2000).fit(columns(learn), learn["ill"])
        expected = by_hand.predict_proba(columns(test))[:, 1]
        assert spearmanr(expected, risk).statistic > 0.9999


def test_gaps_and_categories_are_learned_from_the_rows_of_each_fit_alone() -> None:
    table = binary_table()
    train(STUDY, table=table, comparators={"spy": Spy()}, seed=3)
    folds, inner = 3, 4
    assert len(Spy.seen) == folds * (inner + 1)
    known = table["age"].dropna().astype(np.float32)
    for seen in Spy.seen:
        assert len(seen) < len(table)
        assert set(seen.columns) >= {"age", "age is missing", "arm=a", "arm=b", "arm=c"}
        gaps = seen["age is missing"] == 1
        own = seen.loc[~gaps, "age"]
        assert (seen.loc[gaps, "age"] == np.float64(np.median(own.astype(np.float32)))).all()
        assert seen.drop(columns=["label", "weight"]).notna().all(axis=None)
    assert len({seen.loc[seen["age is missing"] == 1, "age"].iloc[0] for seen in Spy.seen} - {known.median()}) > 3


def test_the_estimator_that_was_given_is_never_fitted() -> None:
    forest = RandomForestClassifier(10)
    found = train(STUDY, table=binary_table(), comparators={"forest": forest}, seed=3)
    assert not hasattr(forest, "estimators_")
    again = train(STUDY, table=binary_table(), comparators={"forest": RandomForestClassifier(10)}, seed=3)
    pd.testing.assert_frame_equal(found.candidates(), again.candidates())  # chance it leaves open is the training's


def test_a_comparator_that_knows_everything_is_shown_as_best_and_still_not_chosen() -> None:
    table = binary_table().assign(marker=lambda part: part["ill"] * 2.0 - 1.0)
    study = STUDY.changed(features={"exclude": []})
    found = train(study, table=table, comparators={"oracle": Oracle()}, seed=3)
    auc = found.candidates().query("metric == 'auc'").set_index("candidate")
    assert auc.loc["oracle", "value"] == pytest.approx(1.0)
    assert bool(auc.loc["oracle", "comparator"])
    assert not bool(auc.loc["oracle", "chosen"])
    assert found.document["chosen"]["candidate"] == "logistic"


@pytest.mark.parametrize("name", ["cox", "xgboost", "stack", "a name/with a slash", ""])
def test_a_comparator_has_a_name_of_its_own(name: str) -> None:
    with pytest.raises(PresageError, match="candidates"):
        train(STUDY, table=binary_table(), comparators={name: Spy()})


@pytest.mark.parametrize("estimator", [RandomForestClassifier, StandardScaler(), "forest", None])
def test_what_is_no_classifier_is_refused_by_name_before_anything_is_fitted(estimator: Any) -> None:
    with pytest.raises(PresageError, match=r"candidates\['mine'\]: expected a scikit-learn classifier"):
        train(STUDY, table=binary_table(), comparators={"mine": estimator, "spy": Spy()})
    assert Spy.seen == []


def test_each_horizon_has_its_classifier_and_the_censored_are_stood_in_for() -> None:
    frame, outcome = survival()
    mean = DummyClassifier(strategy="prior")  # the weighted share of events, whoever is asked about
    fitted = Estimator("mean", mean).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
    risk = fitted.risk_at(frame, (200.0, 400.0)).probabilities
    oracle = KaplanMeierFitter().fit(outcome.time_days, outcome.event == 1)
    for j, horizon in enumerate((200.0, 400.0)):
        assert risk[:, j] == pytest.approx(1 - oracle.predict(horizon), abs=0.012)
    unweighted = np.mean(outcome.event[(outcome.event == 1) | (outcome.time_days > 400)] == 1)
    assert abs(unweighted - risk[0, 1]) > 0.05
    assert [len(fitted.classifiers), fitted.horizons_days] == [2, (200.0, 400.0)]
    with pytest.raises(PresageError, match="expected horizons that the model was fitted for, found 300"):
        fitted.risk_at(frame, (300.0,))


def test_a_competing_event_is_no_event_so_that_the_incidence_is_estimated() -> None:
    frame, outcome = survival(competing=True)
    mean = DummyClassifier(strategy="prior")
    fitted = Estimator("mean", mean).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
    risk = fitted.risk_at(frame, (200.0, 400.0)).probabilities
    oracle = AalenJohansenFitter(calculate_variance=False).fit(outcome.time_days, outcome.event, event_of_interest=1)
    for j, horizon in enumerate((200.0, 400.0)):
        assert risk[0, j] == pytest.approx(float(oracle.predict(horizon)), abs=0.012)


def test_risk_never_falls_as_the_horizon_grows() -> None:
    frame, outcome = survival()
    forest = RandomForestClassifier(20, min_samples_leaf=3)
    fitted = Estimator("forest", forest).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
    risk = fitted.risk_at(frame, (200.0, 400.0)).probabilities
    assert (np.diff(risk, axis=1) >= 0).all()
    assert fitted.out_of_fold is not None
    assert fitted.out_of_fold.probabilities.shape == (len(frame), 2)


def test_an_estimator_without_sample_weight_is_refused_by_name_where_follow_up_is_censored() -> None:
    frame, outcome = survival()
    learner = Estimator("neighbours", KNeighborsClassifier())
    with pytest.raises(PresageError, match=r"candidates\['neighbours'\].*sample_weight.*KNeighborsClassifier"):
        learner.check(outcome)
    third = np.arange(len(frame)) < 500
    uncensored = Outcome(np.where(third, 100.0, 401.0), third.astype(np.int8), (400.0,))
    learner.check(uncensored)
    fitted = learner.fit(frame, uncensored, persons=frame.subject_ids, rng=np.random.default_rng(1))
    assert fitted.risk_at(frame, (400.0,)).probabilities.mean() == pytest.approx(1 / 3, abs=0.05)


def test_weights_reach_the_last_step_of_a_pipeline_and_what_a_search_fits() -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    assert weight_argument(pipeline) == "logisticregression__sample_weight"
    assert weight_argument(GridSearchCV(LogisticRegression(), {"C": [1.0]})) == "sample_weight"
    assert weight_argument(GridSearchCV(pipeline, {})) == "logisticregression__sample_weight"
    assert weight_argument(make_pipeline(StandardScaler(), KNeighborsClassifier())) is None
    frame, outcome = survival(400)
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    fitted = Estimator("search", search).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
    risk = fitted.risk_at(frame, (200.0, 400.0)).probabilities[:, 1]
    assert spearmanr(risk, frame.column("x")).statistic > 0.99


def test_levels_that_training_has_not_seen_are_columns_of_nought_and_other_numbering_changes_nothing() -> None:
    learned = frame_of(pd.DataFrame({"arm": [0.0, 1.0, 1.0]}), {"arm": ("a", "b")})
    encoding = Encoding.of(learned, np.array([1.0, -0.5, -0.5]))
    other = frame_of(pd.DataFrame({"arm": [2.0, 1.0, 0.0, np.nan]}), {"arm": ("new", "a", "b")})
    table = encoding.table(other)
    assert table.columns.tolist() == ["arm=a", "arm=b"]
    assert table.to_numpy().tolist() == [[0, 1], [1, 0], [0, 0], [0, 0]]


def test_names_of_columns_are_such_as_boosting_libraries_take() -> None:
    frame = frame_of(pd.DataFrame({"band": [0.0, 1.0], 'a"{x}:[1]<2': [1.0, 2.0]}), {"band": ("<50", ">50")})
    names = Encoding.of(frame, np.array([1.0, -1.0])).table(frame).columns
    assert not any(character in name for name in names for character in '[]<>{}",:')
    assert names.is_unique


def test_a_comparator_is_neither_explained_nor_written(tmp_path: Path) -> None:
    frame, outcome = survival(300)
    rng = np.random.default_rng(1)
    fitted = Estimator("mean", DummyClassifier(strategy="prior")).fit(
        frame, outcome, persons=frame.subject_ids, rng=rng
    )
    with pytest.raises(ValueError, match="'mean' is a comparator"):
        fitted.write(tmp_path / "bundle")
    with pytest.raises(ValueError, match="a comparator explains nothing"):
        fitted.contributions(frame)
