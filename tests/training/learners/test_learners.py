from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from scipy.stats import spearmanr

from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.evaluation.incidence import aalen_johansen
from training.fitted import Fitted, read_fitted
from training.learners import LEARNERS, Learner
from training.learners.extra_trees import ExtraTrees
from training.learners.xgboost_horizon import XGBoostHorizon

KINDS = ("binary", "survival", "competing")
SERVED = ("logistic", "cox", "xgboost", "xgboost_cox", "stack")
SUITED = [
    (name, kind)
    for name in ("logistic", "cox", "xgboost", "xgboost_cox", "stack", "extra_trees")
    for kind in KINDS
    if not (kind == "binary" and name in ("cox", "xgboost_cox"))
]
HORIZONS = (0.5, 1.5)
Floats = npt.NDArray[np.float64]


def learner_of(name: str) -> Learner:
    return ExtraTrees(trees=20) if name == "extra_trees" else LEARNERS[name]()


def world(n: int = 500, seed: int = 1) -> tuple[FeatureFrame, dict[str, Outcome], Floats]:
    """Strong, weak, curved, categorical, absent and constant features; the true linear predictor."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 7)).astype(np.float32)
    values[:, 3] = rng.integers(0, 3, n)
    values[:, 4], values[:, 5] = np.nan, 1.0
    score = values[:, 0] + 0.5 * values[:, 1] ** 2 + np.array([0.0, 0.7, -0.4])[values[:, 3].astype(int)]
    values[rng.random(n) < 0.1, 2] = np.nan
    event_at, other_at = rng.exponential(2 * np.exp(-score)), rng.exponential(2.5, n)
    censored_at = rng.uniform(0.2, 3, n)
    time = np.minimum(event_at, censored_at)
    first = np.minimum(time, other_at)
    cause = np.argmin([censored_at, event_at, other_at], axis=0).astype(np.int8)
    outcomes = {
        "binary": Outcome(np.full(n, np.nan), (event_at < 1.5).astype(np.int8), ()),
        "survival": Outcome(time, (event_at <= censored_at).astype(np.int8), HORIZONS),
        "competing": Outcome(first, cause, HORIZONS),
    }
    names = tuple(f"f{j}" for j in range(7))
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    return FeatureFrame(np.arange(n), when, names, values, {"f3": ("a", "b", "c")}), outcomes, score


def asked(outcome: Outcome) -> tuple[float, ...]:
    return outcome.horizons_days or (math.nan,)


@pytest.fixture(scope="module")
def fits() -> Callable[[str, str], Fitted]:
    """Each learner fitted once on each kind of outcome."""
    frame, outcomes, _ = world()
    known: dict[tuple[str, str], Fitted] = {}

    def fit(name: str, kind: str) -> Fitted:
        if (name, kind) not in known:
            rng = np.random.default_rng(3)
            known[name, kind] = learner_of(name).fit(frame, outcomes[kind], persons=frame.subject_ids, rng=rng)
        return known[name, kind]

    return fit


@pytest.mark.parametrize(("name", "kind"), SUITED)
def test_risks_are_probabilities_that_never_fall_and_order_new_people(
    name: str, kind: str, fits: Callable[[str, str], Fitted]
) -> None:
    frame, outcomes, score = world(seed=2)
    risks = fits(name, kind).risk_at(frame, asked(outcomes[kind])).probabilities
    assert ((risks >= 0) & (risks <= 1)).all()
    assert (np.diff(risks, axis=1) >= 0).all()
    assert spearmanr(risks[:, -1], score).statistic > 0.75


@pytest.mark.parametrize(("name", "kind"), SUITED)
def test_held_out_risks_come_with_the_fit_and_are_not_those_it_has_seen(
    name: str, kind: str, fits: Callable[[str, str], Fitted]
) -> None:
    frame, outcomes, score = world()
    fitted = fits(name, kind)
    assert fitted.out_of_fold is not None
    held_out = fitted.out_of_fold.probabilities
    assert held_out.shape == (len(frame), len(asked(outcomes[kind])))
    assert (np.diff(held_out, axis=1) >= 0).all()
    seen = fitted.risk_at(frame, asked(outcomes[kind])).probabilities
    assert np.abs(seen - held_out).max() > 1e-3
    assert spearmanr(held_out[:, -1], score).statistic > 0.7


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in SUITED if n in SERVED])
def test_what_is_written_is_what_is_read_and_holds_no_pickle(
    name: str, kind: str, fits: Callable[[str, str], Fitted], tmp_path: Path
) -> None:
    frame, outcomes, _ = world(100, seed=4)
    fitted = fits(name, kind)
    fitted.write(tmp_path / "model")
    again = read_fitted(tmp_path / "model")
    horizons = asked(outcomes[kind])
    assert (again.risk_at(frame, horizons).probabilities == fitted.risk_at(frame, horizons).probabilities).all()
    assert again.contributions(frame).names == fitted.contributions(frame).names
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".ubj", ".json", ".parquet"}


@pytest.mark.parametrize("name", SERVED)
def test_the_same_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    frame, outcomes, _ = world(300)
    kind = "survival"
    for run in ("a", "b"):
        fitted = learner_of(name).fit(frame, outcomes[kind], persons=frame.subject_ids, rng=np.random.default_rng(5))
        fitted.write(tmp_path / run)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes(), path.name


@pytest.mark.parametrize(("name", "kind"), SUITED)
def test_one_person_alone_gets_the_risk_she_gets_among_many(
    name: str, kind: str, fits: Callable[[str, str], Fitted]
) -> None:
    frame, outcomes, _ = world(40, seed=6)
    fitted = fits(name, kind)
    many = fitted.risk_at(frame, asked(outcomes[kind])).probabilities
    one = [fitted.risk_at(frame.take(np.array([i])), asked(outcomes[kind])).probabilities for i in range(5)]
    assert np.concatenate(one) == pytest.approx(many[:5], abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in SUITED if n in ("logistic", "cox", "xgboost")])
def test_contributions_sum_to_the_linear_predictor(name: str, kind: str, fits: Callable[[str, str], Fitted]) -> None:
    frame, outcomes, _ = world(50, seed=7)
    fitted = fits(name, kind)
    found = fitted.contributions(frame)
    risk = fitted.risk_at(frame, asked(outcomes[kind])).probabilities[:, -1]
    total = found.values.sum(axis=1)
    if name == "cox" and kind == "competing":
        assert spearmanr(total, risk).statistic > 0.9
        return
    scale = np.log(-np.log1p(-risk)) if name == "cox" else np.log(risk / (1 - risk))
    apart = np.abs(scale - total - np.median(scale - total))
    assert np.quantile(apart, 0.9) < 2e-3  # the rest: a risk held up by the horizon before
    strongest = found.names[int(np.abs(found.values).mean(axis=0).argmax())]
    assert strongest == "f0"


@pytest.mark.parametrize("name", [*SERVED, "extra_trees"])
def test_too_few_events_are_refused_and_so_are_unusable_times(name: str) -> None:
    frame, outcomes, _ = world(200)
    whole = outcomes["survival"]
    never = Outcome(whole.time_days, np.zeros(200, dtype=np.int8), HORIZONS)
    three = Outcome(whole.time_days, (np.arange(200) < 3).astype(np.int8), HORIZONS)
    for outcome, number in ((never, "found 0"), (three, "found 3")):
        with pytest.raises(PresageError, match=number):
            learner_of(name).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
    time = whole.time_days.copy()
    time[0] = -1
    with pytest.raises(
        PresageError, match=r"\[outcome\] time: expected a time of zero or more days in every row, found 1 rows without"
    ):
        learner_of(name).fit(
            frame, Outcome(time, whole.event, HORIZONS), persons=frame.subject_ids, rng=np.random.default_rng(1)
        )


@pytest.mark.parametrize("name", ["logistic", "xgboost", "extra_trees", "stack"])
def test_only_one_class_is_refused(name: str) -> None:
    frame, _, _ = world(100)
    everybody = Outcome(np.full(100, np.nan), np.ones(100, dtype=np.int8), ())
    with pytest.raises(
        PresageError, match="expected people with the event and people without it, found only people with it"
    ):
        learner_of(name).fit(frame, everybody, persons=frame.subject_ids, rng=np.random.default_rng(1))


@pytest.mark.parametrize("name", ["cox", "xgboost_cox"])
def test_a_time_to_event_learner_refuses_a_binary_outcome_and_names_another(name: str) -> None:
    frame, outcomes, _ = world(100)
    with pytest.raises(
        PresageError, match=r"\[models\] candidates: expected learners of a binary outcome, found .* \(name '"
    ):
        learner_of(name).fit(frame, outcomes["binary"], persons=frame.subject_ids, rng=np.random.default_rng(1))


@pytest.mark.parametrize("name", SERVED)
def test_ties_and_zero_times_and_few_events_for_many_features_have_sober_answers(name: str) -> None:
    rng = np.random.default_rng(8)
    n = 300
    values = rng.normal(size=(n, 200)).astype(np.float32)
    values[:, 0], values[:, 1] = 3.0, np.nan
    event = np.zeros(n, dtype=np.int8)
    event[rng.choice(n, 12, replace=False)] = 1
    time = np.floor(rng.uniform(0, 4, n))
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, tuple(f"f{j}" for j in range(200)), values)
    outcome = Outcome(time, event, (3.0,))
    fitted = learner_of(name).fit(frame, outcome, persons=frame.subject_ids, rng=rng)
    held_out = fitted.out_of_fold
    assert held_out is not None
    assert 0.01 < held_out.probabilities.mean() < 0.15
    assert np.quantile(held_out.probabilities, 0.95) < 0.4


@pytest.mark.parametrize("name", ["extra_trees"])
def test_a_comparator_is_not_written(name: str, fits: Callable[[str, str], Fitted], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="comparator"):
        fits(name, "survival").write(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_horizon_that_was_not_learned_is_refused(fits: Callable[[str, str], Fitted]) -> None:
    frame, _, _ = world(20)
    with pytest.raises(PresageError, match="horizons_days: expected horizons that the model was fitted for, found 1 "):
        fits("xgboost", "survival").risk_at(frame, (1.0,))
    assert fits("cox", "survival").risk_at(frame, (1.0,)).probabilities.shape == (20, 1)


def test_a_person_stays_in_one_inner_fold_whatever_the_order_of_rows() -> None:
    from training.cohort.folds import person_folds

    persons = np.repeat(np.arange(50), 4)
    event = (np.arange(200) % 16 == 0).astype(np.int8)
    fold = person_folds(persons, event, folds=4, rng=np.random.default_rng(1))
    assert (fold.reshape(50, 4) == fold.reshape(50, 4)[:, :1]).all()
    order = np.random.default_rng(2).permutation(200)
    again = person_folds(persons[order], event[order], folds=4, rng=np.random.default_rng(1))
    assert (again == fold[order]).all()
    with_event = np.unique(persons[event == 1])
    assert np.bincount(fold[4 * with_event]).max() - np.bincount(fold[4 * with_event]).min() <= 1


def test_sparse_codes_are_learned_and_a_measured_zero_is_not_absence() -> None:
    rng = np.random.default_rng(9)
    n = 600
    counts = (rng.random((n, 30)) < 0.15).astype(np.float32) * 2
    dense = np.where(rng.random((n, 1)) < 0.5, np.nan, 0.0).astype(np.float32)
    odds = 2.0 * (counts[:, 4] > 0) + 1.5 * np.isnan(dense[:, 0]) - 1.5
    outcome = Outcome(np.full(n, np.nan), (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int8), ())
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    codes, names = sparse.csr_matrix(counts), tuple(f"c{j}" for j in range(30))
    frame = FeatureFrame(np.arange(n), when, ("lab",), dense, {}, codes, names)
    for name in ("xgboost", "logistic"):
        fitted = learner_of(name).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
        risk = fitted.risk_at(frame, (math.nan,)).probabilities[:, 0]
        assert np.corrcoef(risk, 1 / (1 + np.exp(-odds)))[0, 1] > 0.9, name
        found = fitted.contributions(frame)
        strength = dict(zip(found.names, np.abs(found.values).mean(axis=0), strict=True))
        assert max(strength, key=lambda k: strength[k]) in ("lab", "c4")


def test_monotone_constraints_hold() -> None:
    frame, outcomes, _ = world()
    fitted = XGBoostHorizon(monotone={"f0": -1}).fit(
        frame, outcomes["binary"], persons=frame.subject_ids, rng=np.random.default_rng(1)
    )
    row = frame.take(np.zeros(30, dtype=np.int64))
    values = row.values.copy()
    values[:, 0] = np.linspace(-3, 3, 30)
    risk = fitted.risk_at(FeatureFrame(row.subject_ids, row.as_of, row.names, values, row.levels), (math.nan,))
    assert (np.diff(risk.probabilities[:, 0]) <= 1e-9).all()


@pytest.mark.parametrize(("name", "kind"), SUITED)
def test_features_that_say_nothing_give_everybody_the_incidence(name: str, kind: str) -> None:
    frame, outcomes, _ = world(200)
    outcome = outcomes[kind]
    values = np.column_stack([np.ones(200), np.full(200, np.nan)]).astype(np.float32)
    empty = FeatureFrame(frame.subject_ids, frame.as_of, ("constant", "absent"), values)
    fitted = learner_of(name).fit(empty, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
    risk = fitted.risk_at(empty, asked(outcome)).probabilities
    expected = outcome.event.mean() if kind == "binary" else aalen_johansen(outcome, HORIZONS[-1])
    assert risk[:, -1] == pytest.approx(np.full(200, expected), abs=0.06)
    nobody = empty.take(np.empty(0, dtype=np.int64))
    assert fitted.risk_at(nobody, asked(outcome)).probabilities.shape == (0, len(asked(outcome)))


@pytest.mark.parametrize("name", ["logistic", "xgboost", "extra_trees"])
def test_an_infinite_value_is_refused_by_the_name_of_its_feature(name: str) -> None:
    frame, outcomes, _ = world(100)
    frame.values[3, 1] = np.inf
    with pytest.raises(PresageError, match="feature 'f1': expected finite values or missing ones"):
        learner_of(name).fit(frame, outcomes["binary"], persons=frame.subject_ids, rng=np.random.default_rng(1))


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, k in SUITED if n in SERVED])
def test_nobody_and_somebody_unlike_anybody_have_answers(
    name: str, kind: str, fits: Callable[[str, str], Fitted]
) -> None:
    frame, outcomes, _ = world(3, seed=8)
    horizons = asked(outcomes[kind])
    fitted = fits(name, kind)
    nobody = frame.take(np.empty(0, dtype=np.int64))
    assert fitted.risk_at(nobody, horizons).probabilities.shape == (0, len(horizons))
    frame.values[0], frame.values[1] = np.nan, 1e6
    risk = fitted.risk_at(frame, horizons).probabilities
    assert np.isfinite(risk).all()
