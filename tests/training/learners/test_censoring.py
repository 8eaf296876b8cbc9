from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lifelines import KaplanMeierFitter

from features.frame import FeatureFrame
from training.cohort.censoring import censoring_kaplan_meier, known_by, marginal, step
from training.cohort.outcome import Outcome
from training.learners.censoring import conditional
from training.learners.xgboost_cox import XGBoostCox
from training.learners.xgboost_horizon import XGBoostHorizon

Floats = npt.NDArray[np.float64]
DATA = Path(os.environ.get("PRESAGE_DATA", "../shared/data"))


def frame_of(values: Floats) -> FeatureFrame:
    when = np.full(len(values), np.datetime64("2020-01-01", "us"))
    names = tuple(f"f{j}" for j in range(values.shape[1]))
    return FeatureFrame(np.arange(len(values)), when, names, values.astype(np.float32))


def informative(seed: int, n: int = 1500) -> tuple[FeatureFrame, Outcome, Floats, Floats]:
    """Censoring depends on the feature that carries the risk. Returns the true chance of being followed to 1.0 too."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 2))
    rate, leaving = 0.7 * np.exp(values[:, 0]), 0.6 * np.exp(values[:, 0])
    event_at, censored_at = rng.exponential(1 / rate), rng.exponential(1 / leaving)
    outcome = Outcome(np.minimum(event_at, censored_at), (event_at <= censored_at).astype(np.int8), (1.0,))
    return frame_of(values), outcome, np.exp(-leaving), 1 - np.exp(-rate)


def test_the_censoring_kaplan_meier_is_that_of_lifelines() -> None:
    _, outcome, _, _ = informative(1)
    times, survival = censoring_kaplan_meier(outcome.time_days, outcome.event)
    fitted = KaplanMeierFitter().fit(outcome.time_days, outcome.event == 0)
    at = np.linspace(0.01, 2, 50)
    assert step(times, survival, at=at) == pytest.approx(fitted.predict(at).to_numpy())


def test_events_come_first_at_a_tie_and_whoever_is_censored_at_the_horizon_is_known() -> None:
    #   day:    1      1         2      3         3
    outcome = Outcome(np.array([1.0, 1.0, 2.0, 3.0, 3.0]), np.array([1, 0, 1, 0, 2], dtype=np.int8), (3.0,))
    label, weight = known_by(outcome, 3.0, uncensored=marginal(outcome))
    assert label.tolist() == [True, False, True, False, False]
    # four were at risk of the censoring on day 1, after the event of that day
    assert weight == pytest.approx([1, 0, 4 / 3, 4 / 3, 4 / 3])


def test_conditional_weights_find_who_is_followed() -> None:
    frame, outcome, followed, _ = informative(2, 4000)
    found = conditional(frame, outcome).at_horizons[:, 0]
    assert np.corrcoef(found, followed)[0, 1] > 0.97
    assert np.abs(found - followed).mean() < 0.04


def test_weights_given_covariates_are_unbiased_where_marginal_ones_are_not() -> None:
    """Incidence by the horizon against simulated truth: within two standard errors over repetitions."""
    gaps: dict[str, list[float]] = {"conditional": [], "marginal": []}
    for seed in range(25):
        frame, outcome, _, truth = informative(seed, 800)
        for name, uncensored in (("conditional", conditional(frame, outcome)), ("marginal", marginal(outcome))):
            label, weight = known_by(outcome, 1.0, uncensored=uncensored)
            gaps[name].append(float(np.average(label, weights=weight) - truth.mean()))
    z = {name: abs(np.mean(gap)) / (np.std(gap) / math.sqrt(len(gap))) for name, gap in gaps.items()}
    assert z["conditional"] < 2
    assert z["marginal"] > 3


def test_without_censoring_before_the_horizon_every_row_counts_once() -> None:
    frame, outcome, _, _ = informative(3, 300)
    complete = Outcome(np.minimum(outcome.time_days, 1.0), outcome.event, (1.0,))
    late = Outcome(np.where(complete.event == 1, complete.time_days, 5.0), complete.event, (1.0,))
    _, weight = known_by(late, 1.0, uncensored=conditional(frame, late))
    assert (weight == 1).all()


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "survival_benchmark").is_dir(), reason="needs PRESAGE_DATA")
def test_the_horizon_learner_does_not_learn_flchains_calendar_year() -> None:
    """Marginal weights took C from .795 to .756 there: administrative censoring makes the year predict censoring."""
    people = pd.read_csv(DATA / "survival_benchmark" / "flchain.csv")
    folds = pd.read_csv(DATA / "survival_benchmark" / "folds" / "flchain.csv")
    train, test = (
        folds.loc[(folds["iteration"] == 1) & (folds["set"] == part), "row_id"].to_numpy() - 1
        for part in ("train", "test")
    )
    columns = people.drop(columns=["time", "status"])
    columns["sex"] = (columns["sex"] == "F").astype(float)
    frame = frame_of(columns.to_numpy(dtype=np.float64))
    outcome = Outcome(people["time"].to_numpy(dtype=np.float64), people["status"].to_numpy(dtype=np.int8), (4000.0,))
    from training.evaluation.discrimination import Pairs, concordance

    c = {}
    for learner in (XGBoostHorizon(depths=(3,)), XGBoostCox(depths=(3,))):
        fitted = learner.fit(frame.take(train), outcome.take(train), persons=train, rng=np.random.default_rng(1))
        risk = fitted.risk_at(frame.take(test), (4000.0,)).probabilities[:, 0]
        ones = np.ones(len(test))
        c[learner.name] = concordance(Pairs.of(outcome.take(test), risk), ones, followed=ones, usable=ones.astype(bool))
    assert c["xgboost"] > c["xgboost_cox"] - 0.008
    assert c["xgboost"] > 0.785
