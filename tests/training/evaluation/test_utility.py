from __future__ import annotations

import dcurves
import numpy as np
import pandas as pd
import pytest

from training.cohort.censoring import known_by, marginal
from training.cohort.outcome import Outcome
from training.evaluation.utility import at_threshold, decision_curve, of_the_list, on_the_list

THRESHOLDS = np.array([0.05, 0.1, 0.2, 0.3, 0.5])


def test_net_benefit_is_that_of_dcurves() -> None:
    rng = np.random.default_rng(1)
    risk = rng.beta(2, 6, 900)
    label = rng.random(900) < risk
    table = pd.DataFrame({"label": label.astype(int), "risk": risk})
    expected = dcurves.dca(data=table, outcome="label", modelnames=["risk"], thresholds=THRESHOLDS)
    curve = decision_curve(risk, label, weight=np.ones(900), thresholds=THRESHOLDS)
    for name, found in (("risk", curve.model), ("all", curve.treat_all)):
        rows = expected[expected["model"] == name].sort_values("threshold")
        assert found == pytest.approx(rows["net_benefit"].to_numpy())


def test_net_benefit_under_censoring_is_close_to_dcurves_kaplan_meier() -> None:
    rng = np.random.default_rng(2)
    n = 4000
    rate = np.exp(rng.normal(-1, 0.8, n))
    event_at, censored_at = rng.exponential(1 / rate), rng.uniform(0.2, 4, n)
    outcome = Outcome(np.minimum(event_at, censored_at), (event_at <= censored_at).astype(np.int8), (1.5,))
    risk = 1 - np.exp(-1.5 * rate)
    table = pd.DataFrame({"event": outcome.event.astype(int), "time": outcome.time_days, "risk": risk})
    expected = dcurves.dca(
        data=table, outcome="event", modelnames=["risk"], thresholds=THRESHOLDS, time=1.5, time_to_outcome_col="time"
    )
    label, weight = known_by(outcome, 1.5, uncensored=marginal(outcome))
    found = decision_curve(risk, label, weight=weight, thresholds=THRESHOLDS).model
    rows = expected[expected["model"] == "risk"].sort_values("threshold")
    assert found == pytest.approx(rows["net_benefit"].to_numpy(), abs=0.01)


def test_a_cut_off_counts_as_a_table_of_two_by_two() -> None:
    #        risk: .9   .8   .6   .4   .2
    risk = np.array([0.9, 0.8, 0.6, 0.4, 0.2])
    label = np.array([True, False, True, True, False])
    found = at_threshold(risk, label, weight=np.ones(5), threshold=0.5)
    assert found.sensitivity == pytest.approx(2 / 3)
    assert found.specificity == pytest.approx(1 / 2)
    assert found.ppv == pytest.approx(2 / 3)
    assert found.alerts_per_true_case == pytest.approx(3 / 2)
    assert found.net_benefit == pytest.approx(2 / 5 - 1 / 5)


def test_capacity_takes_the_highest_risks_and_no_more_than_the_team_can() -> None:
    risk = np.array([0.1, 0.9, 0.5, 0.7])
    label = np.array([False, True, True, False])
    falling = np.argsort(-risk)
    chosen = on_the_list(falling, np.ones(4), share=0.5)
    found = of_the_list(chosen, label, weight=np.ones(4), count=np.ones(4))
    assert found.flagged == pytest.approx(0.5)
    assert found.sensitivity == pytest.approx(0.5)
    assert on_the_list(falling, np.ones(4), share=0.7).mean() == pytest.approx(0.5)
    assert np.isnan(found.net_benefit)


def test_equal_risks_at_the_end_of_the_list_have_equal_chances_whatever_the_order_of_rows() -> None:
    label = np.arange(1000) < 100
    for order in (np.arange(1000), np.arange(1000)[::-1]):
        risk = np.full(1000, 0.1)
        rank = np.unique(risk, return_inverse=True)[1]
        chosen = on_the_list(np.argsort(-risk, kind="stable"), np.ones(1000), share=0.1, rank=rank)
        found = of_the_list(chosen, label[order], weight=np.ones(1000), count=np.ones(1000))
        assert found.sensitivity == pytest.approx(0.1)
        assert found.alerts_per_true_case == pytest.approx(10)
    #            first two stand above the tie of three, of whom a list of four takes two in three
    risk = np.array([0.9, 0.8, 0.5, 0.5, 0.5, 0.1, 0.1, 0.1])
    rank = np.unique(risk, return_inverse=True)[1]
    part = on_the_list(np.argsort(-risk, kind="stable"), np.ones(8), share=0.5, rank=rank)
    assert part == pytest.approx([1, 1, 2 / 3, 2 / 3, 2 / 3, 0, 0, 0])


def test_who_is_flagged_is_counted_and_not_weighed() -> None:
    """Whoever is censored early has no weight and stands on the list all the same."""
    rng = np.random.default_rng(3)
    n = 1500
    rate = 0.08 * np.exp(0.8 * rng.normal(size=n))
    event, left = rng.exponential(1 / rate), rng.exponential(1 / (2 * rate))
    outcome = Outcome(np.minimum(event, left), (event <= left).astype(np.int8), (5.0,))
    risk = 1 - np.exp(-5 * rate)
    label, weight = known_by(outcome, 5.0, uncensored=marginal(outcome))
    found = at_threshold(risk, label, weight=weight, threshold=0.6, count=np.ones(n))
    assert found.flagged == np.mean(risk >= 0.6)
    right = weight @ (label & (risk >= 0.6)) / (weight @ (risk >= 0.6))
    assert found.alerts_per_true_case == pytest.approx(1 / right)
    chosen = on_the_list(np.argsort(-risk), np.ones(n), share=0.1)
    top = of_the_list(chosen, label, weight=weight, count=np.ones(n))
    assert top.flagged == pytest.approx(0.1)
