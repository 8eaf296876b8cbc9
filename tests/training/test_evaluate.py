"""Models made elsewhere, measured by the same estimators: against scikit-learn, scikit-survival and lifelines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score
from sksurv.metrics import brier_score, concordance_index_censored, concordance_index_ipcw, cumulative_dynamic_auc
from sksurv.util import Surv

from features.errors import PresageError
from training.cohort.outcome import Outcome
from training.evaluate import evaluate_risks, outcome_of


def drawn(n: int = 800, *, seed: int = 1, competing: bool = False) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Outcomes, and the risks by 300 days of somebody who knows the hazard and of somebody who half knows it."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, n)
    hazard = np.exp(0.8 * x) / 600
    event, left = rng.exponential(1 / hazard), rng.uniform(100, 900, n)
    other = rng.exponential(700, n) if competing else np.full(n, np.inf)
    time = np.minimum(np.minimum(event, other), left)
    outcome = pd.DataFrame({"time_days": time, "event": np.where(time == event, 1, np.where(time == other, 2, 0))})
    risk = 1 - np.exp(-300 * hazard)
    return outcome, pd.DataFrame({"half": 1 - (1 - risk) ** 0.5, "whole": risk})


def values(table: pd.DataFrame, model: str) -> pd.Series[float]:
    return table[table["model"] == model].set_index("metric")["value"]


def test_a_binary_outcome_is_measured_as_scikit_learn_measures_it() -> None:
    rng = np.random.default_rng(2)
    risk = rng.random(400)
    ill = rng.random(400) < risk
    found = values(evaluate_risks(ill, risk, n_boot=0), "model")
    assert found["auc"] == pytest.approx(roc_auc_score(ill, risk))
    assert found["auprc"] == pytest.approx(average_precision_score(ill, risk))
    assert found["brier"] == pytest.approx(brier_score_loss(ill, risk))


def test_a_time_to_event_is_measured_as_scikit_survival_measures_it() -> None:
    outcome, risks = drawn()
    found = values(evaluate_risks(outcome, risks["whole"], horizons_days=[300], n_boot=0), "model")
    y = Surv.from_arrays(outcome["event"] == 1, outcome["time_days"])
    assert found["c_harrell"] == pytest.approx(concordance_index_censored(y["event"], y["time"], risks["whole"])[0])
    assert found["c_uno"] == pytest.approx(concordance_index_ipcw(y, y, risks["whole"], tau=300.0)[0], abs=2e-3)
    assert found["auc"] == pytest.approx(cumulative_dynamic_auc(y, y, risks["whole"], 300.0)[0][0], abs=2e-3)
    assert found["brier"] == pytest.approx(brier_score(y, y, 1 - risks[["whole"]].to_numpy(), 300.0)[1][0], abs=2e-3)


def test_observed_over_expected_is_the_incidence_of_aalen_and_johansen_over_the_mean_risk() -> None:
    outcome, risks = drawn(competing=True)
    found = values(evaluate_risks(outcome, risks["whole"], horizons_days=[300], n_boot=0), "model")
    oracle = AalenJohansenFitter(calculate_variance=False).fit(outcome["time_days"], outcome["event"], 1)
    expected = float(oracle.predict(300)) / risks["whole"].mean()
    assert found["observed_to_expected"] == pytest.approx(expected, rel=0.02)


def test_two_models_are_compared_and_the_better_one_is_better() -> None:
    outcome, risks = drawn()
    found = evaluate_risks(outcome, risks, horizons_days=[300], n_boot=60, cutoffs=[0.3], capacities=[0.1])
    assert found["model"].unique().tolist() == ["half", "whole", "whole minus half"]
    table = found.pivot(index="metric", columns="model", values="value")
    assert (table["whole minus half"]).to_numpy() == pytest.approx((table["whole"] - table["half"]).to_numpy())
    by_metric = found[found["model"] == "whole minus half"].set_index("metric")
    assert by_metric["high"]["brier"] < 0  # both rank alike, and one is calibrated
    assert by_metric["value"]["auc"] == 0
    assert {"net_benefit_at_0.3", "sensitivity_top_0.1"} <= set(by_metric.index)
    assert (found["low"].isna() | (found["low"] <= found["high"])).all()
    assert set(found["metric"][found["low"].isna()]) == {"ici", "e50", "e90"}  # distances have no interval


def test_several_models_are_compared_with_the_one_that_is_named() -> None:
    outcome, risks = drawn(300)
    three = {"a": risks["half"], "b": risks["whole"].to_numpy(), "c": [0.2] * 300}
    found = evaluate_risks(outcome, three, horizons_days=[300], n_boot=5, reference="b")
    assert found["model"].unique().tolist() == ["a", "b", "c", "a minus b", "c minus b"]
    assert "a minus b" not in set(evaluate_risks(outcome, three, horizons_days=[300], n_boot=5)["model"])


def test_several_horizons_are_columns_of_risks() -> None:
    outcome, risks = drawn(400)
    both = np.column_stack([risks["half"], risks["whole"]])
    found = evaluate_risks(outcome, both, horizons_days=[150, 300], n_boot=0)
    assert found["horizon_days"].unique().tolist() == [150, 300]
    alone = evaluate_risks(outcome, risks["whole"], horizons_days=[300], n_boot=0)
    last = found[found["horizon_days"] == 300]["value"].to_numpy()
    assert last == pytest.approx(alone["value"].to_numpy())


def test_an_outcome_may_be_given_in_every_usual_way() -> None:
    outcome, risks = drawn(300)
    known = Outcome(outcome["time_days"].to_numpy(), outcome["event"].to_numpy().astype(np.int8), (300.0,))
    given: list[Any] = [
        outcome,
        outcome.to_dict("list"),
        (outcome["time_days"], outcome["event"]),
        (outcome["time_days"].tolist(), outcome["event"].tolist()),
        known,
    ]
    tables = [evaluate_risks(each, risks["whole"], horizons_days=[300], n_boot=5) for each in given]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    assert outcome_of(known).horizons_days == (300.0,)


def test_rows_of_one_person_are_resampled_together() -> None:
    outcome, risks = drawn(300)
    often = pd.concat([outcome] * 6)
    asked: dict[str, Any] = {"horizons_days": [300], "n_boot": 100}
    alone = evaluate_risks(often, np.tile(risks["whole"], 6), **asked).set_index("metric").loc["auc"]
    persons = np.tile([f"P{i}" for i in range(300)], 6)
    together = (
        evaluate_risks(often, np.tile(risks["whole"], 6), persons=persons, **asked).set_index("metric").loc["auc"]
    )
    assert together["value"] == pytest.approx(alone["value"])
    assert together["high"] - together["low"] > 1.5 * (alone["high"] - alone["low"])


def test_covariates_mend_what_follow_up_that_depends_on_them_breaks() -> None:
    """Those at high risk leave early: Kaplan-Meier sees too few events, weights given the covariate do not."""
    rng = np.random.default_rng(8)
    n = 6000
    x = rng.choice(["high", "low"], n)
    high = x == "high"
    event = rng.exponential(np.where(high, 300, 1500))
    left = rng.exponential(np.where(high, 200, 5000))
    time = np.minimum(event, left)
    outcome = {"time_days": time, "event": (event <= left).astype(int)}
    truth = 1 - np.exp(-300 / np.where(high, 300, 1500))
    asked: dict[str, Any] = {"horizons_days": [300], "n_boot": 0}
    naive = values(evaluate_risks(outcome, truth, **asked), "model")["observed_to_expected"]
    mended = values(evaluate_risks(outcome, truth, covariates=pd.DataFrame({"x": x}), **asked), "model")
    assert abs(mended["observed_to_expected"] - 1) < 0.03
    assert abs(naive - 1) > 0.06


def test_rows_that_pandas_labels_otherwise_are_refused() -> None:
    outcome, risks = drawn(300)
    outcome, risks = outcome.set_axis([f"P{i}" for i in range(300)]), risks.set_axis([f"P{i}" for i in range(300)])
    turned = risks.iloc[::-1]
    asked: dict[str, Any] = {"horizons_days": [300], "n_boot": 0}
    for wrong in (turned, turned["whole"], {"mine": turned["whole"]}):
        for given in (outcome, (outcome["time_days"], outcome["event"])):
            with pytest.raises(PresageError, match="risks: expected rows with the outcome's index"):
                evaluate_risks(given, wrong, **asked)
    with pytest.raises(PresageError, match="covariates: expected rows with the outcome's index"):
        evaluate_risks(outcome, risks, covariates=turned, **asked)
    right = evaluate_risks(outcome, turned.loc[outcome.index], **asked)
    pd.testing.assert_frame_equal(right, evaluate_risks(outcome, risks.to_dict("list"), **asked))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"outcome": {"time": [1.0], "event": [1]}}, "outcome: expected times for horizons_days"),
        ({"outcome": {"time_days": [1.0] * 4}}, "outcome: expected a column 'event'"),
        ({"outcome": ([1.0] * 4, [0, 1, 0, 3])}, "outcome, 'event': expected 0 "),
        (
            {"outcome": ([1.0] * 3, [0, 1, 0, 1])},
            "outcome: expected as many times as events, found 3 times and 4 ",
        ),
        ({"outcome": ([1.0, -1.0, 1.0, 1.0], [0, 1, 0, 1])}, "outcome, 'time_days': expected zero or more days"),
        ({"outcome": ([1.0] * 4, ["a", "b", "c", "d"])}, "outcome, 'event': expected numbers"),
        ({"outcome": [0, 1, 0, 2], "horizons_days": []}, "outcome, 'event': expected 0 or 1"),
        ({"horizons_days": []}, "outcome: expected horizons_days for an outcome with times"),
        ({"horizons_days": [400, 300]}, "horizons_days: expected days that increase, found 400, 300"),
        ({"risks": [0.1] * 3}, "risks, 'model': expected 4 rows, as the outcome has, found 3 x 1"),
        ({"risks": {"mine": [0.1, 0.2, 1.3, np.nan]}}, "risks, 'mine': expected a probability .* found 2 rows without"),
        ({"risks": {}}, "risks: expected the risks of one model"),
        ({"reference": "b"}, "reference: expected a model among model, found 'b'"),
        ({"persons": [1, 2]}, "persons: expected one for each of the 4 rows, found 2"),
        ({"covariates": pd.DataFrame({"x": [1, 2]})}, "covariates: expected a row for each of the 4 rows, found 2"),
        ({"cutoffs": [1.5]}, "expected .*between 0 and 1"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_expected(given: dict[str, Any], words: str) -> None:
    asked: dict[str, Any] = {
        "outcome": ([10.0, 20.0, 400.0, 500.0], [1, 0, 1, 0]),
        "risks": [0.1, 0.2, 0.3, 0.4],
        "horizons_days": [300],
        "n_boot": 0,
    }
    asked |= given
    with pytest.raises(PresageError, match=words):
        evaluate_risks(asked.pop("outcome"), asked.pop("risks"), **asked)


def test_folds_that_do_not_fit_the_rows_are_refused_and_one_fold_changes_nothing() -> None:
    event, risk = [0, 1, 0, 1] * 20, [0.2, 0.9, 0.1, 0.6] * 20
    for folds, found in ((["1"], "1"), ([None] * 80, "80 rows without")):
        with pytest.raises(PresageError, match=f"^folds: .*found {found}"):
            evaluate_risks(event, risk, folds=folds, n_boot=5)
    pd.testing.assert_frame_equal(
        evaluate_risks(event, risk, folds=["only"] * 80, n_boot=5), evaluate_risks(event, risk, n_boot=5)
    )
