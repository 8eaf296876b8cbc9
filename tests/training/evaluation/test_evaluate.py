from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from training.cohort.censoring import Uncensored
from training.cohort.outcome import Outcome
from training.evaluation import Ask, by_group, curves, difference, evaluate, largest_gap, shown_metric

Floats = npt.NDArray[np.float64]
ASK = Ask(thresholds=(0.2,), capacities=(0.1,))


def drawn(n: int = 500, seed: int = 1, kind: str = "competing") -> tuple[Outcome, Floats]:
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    event_at, other_at, censored_at = rng.exponential(np.exp(-score)), rng.exponential(2, n), rng.uniform(0.1, 3, n)
    if kind == "survival":
        other_at[:] = np.inf
    if kind == "binary":
        return Outcome(np.full(n, np.nan), (event_at < 1).astype(np.int8), ()), 1 - np.exp(-np.exp(score))
    time = np.minimum(np.minimum(event_at, other_at), censored_at)
    event = np.argmin([censored_at, event_at, other_at], axis=0).astype(np.int8)
    return Outcome(time, event, (1.0,)), 1 - np.exp(-np.exp(score))


def horizon_of(outcome: Outcome) -> float:
    return outcome.horizons_days[0] if outcome.horizons_days else math.nan


@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000), kind=st.sampled_from(["binary", "survival", "competing"]))
def test_shuffling_rows_changes_no_estimate(seed: int, kind: str) -> None:
    outcome, risk = drawn(200, seed, kind)
    order = np.random.default_rng(seed).permutation(200)
    persons = np.arange(200) // 2
    h = horizon_of(outcome)
    args = {"horizon_days": h, "n_boot": 3, "ask": ASK}
    one = evaluate(outcome, risk, persons=persons, rng=np.random.default_rng(1), **args)  # type: ignore[arg-type]
    two = evaluate(
        outcome.take(order),
        risk[order],
        persons=persons[order],
        rng=np.random.default_rng(1),
        **args,  # type: ignore[arg-type]
    )
    for name in one:
        assert one[name].value == pytest.approx(two[name].value, nan_ok=True, abs=1e-9), name
        assert one[name].low == pytest.approx(two[name].low, nan_ok=True, abs=1e-9), name


def test_the_same_seed_gives_the_same_numbers_and_intervals_hold_the_estimate() -> None:
    outcome, risk = drawn()
    persons = np.arange(500)
    runs = [
        evaluate(outcome, risk, horizon_days=1.0, persons=persons, rng=np.random.default_rng(3), n_boot=40, ask=ASK)
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    for name in ("c_harrell", "c_uno", "auc", "auprc", "brier", "calibration_slope"):
        assert runs[0][name].low < runs[0][name].value < runs[0][name].high


def test_intervals_resample_people_not_rows() -> None:
    outcome, risk = drawn(400, kind="binary")
    rows = np.repeat(np.arange(400), 5)  # everybody five times: no more information than once
    once = evaluate(
        outcome, risk, horizon_days=math.nan, persons=np.arange(400), rng=np.random.default_rng(1), n_boot=100
    )
    five = evaluate(
        outcome.take(rows), risk[rows], horizon_days=math.nan, persons=rows, rng=np.random.default_rng(1), n_boot=100
    )
    assert five["auc"].high - five["auc"].low == pytest.approx(once["auc"].high - once["auc"].low, rel=1e-6)


def test_a_model_does_not_differ_from_itself_and_differs_less_than_its_interval_from_its_twin() -> None:
    outcome, risk = drawn(kind="survival")
    args = {"horizon_days": 1.0, "persons": np.arange(500), "n_boot": 40}
    same = difference(outcome, risk, reference=risk, rng=np.random.default_rng(1), **args)  # type: ignore[arg-type]
    assert all(value.value == value.low == value.high == 0.0 for value in same.values())
    twin = np.clip(risk + np.random.default_rng(2).normal(0, 0.01, 500), 0, 1)
    paired = difference(outcome, risk, reference=twin, rng=np.random.default_rng(1), **args)["auc"]  # type: ignore[arg-type]
    alone = evaluate(outcome, risk, rng=np.random.default_rng(1), **args)["auc"]  # type: ignore[arg-type]
    assert paired.high - paired.low < (alone.high - alone.low) / 3


def test_a_group_is_evaluated_as_if_alone_and_a_small_one_says_so() -> None:
    outcome, risk = drawn(600, kind="binary")
    groups = np.where(np.arange(600) < 550, np.where(np.arange(600) % 2 == 0, "F", "M"), "X")
    found = by_group(
        outcome,
        risk,
        groups=groups,
        horizon_days=math.nan,
        persons=np.arange(600),
        rng=np.random.default_rng(1),
        n_boot=50,
    )
    women = np.flatnonzero(groups == "F")
    alone = evaluate(
        outcome.take(women),
        risk[women],
        horizon_days=math.nan,
        persons=women,
        rng=np.random.default_rng(9),
        n_boot=2,
    )
    assert found["F"].metrics["auc"].value == alone["auc"].value
    assert found["X"].metrics == {}
    assert "fewer than" in found["X"].reason
    gap = largest_gap(found, "auc")
    assert gap is not None
    assert gap.difference.value >= 0
    assert gap.difference.low < gap.difference.value < gap.difference.high
    assert largest_gap({"F": found["F"], "X": found["X"]}, "auc") is None


def test_outcomes_that_never_happen_give_no_discrimination_and_no_error() -> None:
    outcome = Outcome(np.linspace(1, 10, 50), np.zeros(50, dtype=np.int8), (5.0,))
    found = evaluate(
        outcome,
        np.linspace(0.1, 0.2, 50),
        horizon_days=5.0,
        persons=np.arange(50),
        rng=np.random.default_rng(1),
        n_boot=5,
        ask=ASK,
    )
    assert math.isnan(found["auc"].value)
    assert shown_metric(found["auc"]).to_json() == {"value": None, "low": None, "high": None}
    assert found["brier"].value < 0.05


def test_ties_zero_times_and_constant_risks_have_answers() -> None:
    rng = np.random.default_rng(1)
    outcome = Outcome(np.floor(rng.exponential(2, 300)), (rng.random(300) < 0.4).astype(np.int8), (2.0,))
    found = evaluate(
        outcome,
        np.full(300, 0.3),
        horizon_days=2.0,
        persons=np.arange(300),
        rng=np.random.default_rng(1),
        n_boot=5,
    )
    assert found["auc"].value == 0.5
    assert found["c_harrell"].value == 0.5


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    outcome, risk = drawn(50, kind="binary")
    risk[3] = bad
    with pytest.raises(PresageError, match="between 0 and 1"):
        evaluate(outcome, risk, horizon_days=math.nan, persons=np.arange(50), rng=np.random.default_rng(1))


def test_weights_given_covariates_find_the_true_brier_where_marginal_ones_do_not() -> None:
    """Censoring that follows the risk, known truth: mean error over repetitions within two standard errors of zero."""
    errors: dict[str, list[float]] = {"conditional": [], "marginal": []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        score = rng.normal(size=1500)
        rate, leaving = np.exp(score), 0.6 * np.exp(1.0 * score)
        event_at, censored_at = rng.exponential(1 / rate), rng.exponential(1 / leaving)
        time = np.minimum(event_at, censored_at)
        outcome = Outcome(time, (event_at <= censored_at).astype(np.int8), (0.5,))
        risk = np.full(1500, 0.4)
        truth = 1 - np.exp(-0.5 * rate)
        expected = float(np.mean(truth * 0.6**2 + (1 - truth) * 0.4**2))
        given = Uncensored(np.exp(-leaving * time), np.exp(-leaving * 0.5)[:, None])
        for name, uncensored in (("conditional", given), ("marginal", None)):
            found = evaluate(
                outcome,
                risk,
                horizon_days=0.5,
                persons=np.arange(1500),
                rng=rng,
                n_boot=0,
                uncensored=uncensored,
                ask=Ask(smooth=False),
            )
            errors[name].append(found["brier"].value - expected)
    bias = {name: abs(np.mean(e)) / (np.std(e) / math.sqrt(len(e))) for name, e in errors.items()}
    assert bias["conditional"] < 2
    assert bias["marginal"] > 4


def test_concordance_with_competing_events_survives_censoring() -> None:
    """Uno's C from censored people agrees with the C of the same people had nobody been censored."""
    gaps = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        score = rng.normal(size=1500)
        event_at, other_at = rng.exponential(np.exp(-score)), rng.exponential(1.5, 1500)
        censored_at = rng.exponential(2.0, 1500)
        risk = np.exp(score) / (1 + np.exp(score))
        whole = np.minimum(event_at, other_at)
        cause = np.where(event_at < other_at, 1, 2).astype(np.int8)
        seen = np.minimum(whole, censored_at)
        args = {"horizon_days": 1.0, "persons": np.arange(1500), "n_boot": 0, "ask": Ask(smooth=False)}
        full = evaluate(Outcome(whole, cause, (1.0,)), risk, rng=rng, **args)  # type: ignore[arg-type]
        part = evaluate(
            Outcome(seen, np.where(whole <= censored_at, cause, 0).astype(np.int8), (1.0,)),
            risk,
            rng=rng,
            **args,  # type: ignore[arg-type]
        )
        gaps.append([part[name].value - full[name].value for name in ("c_uno", "auc", "calibration_slope")])
    z = np.abs(np.mean(gaps, axis=0)) / (np.std(gaps, axis=0) / math.sqrt(len(gaps)))
    assert (z < 2.5).all(), z


@pytest.mark.parametrize("kind", ["binary", "survival", "competing"])
def test_curves_for_figures_agree_with_the_numbers(kind: str) -> None:
    outcome, risk = drawn(kind=kind)
    h = horizon_of(outcome)
    calibrated, decided = curves(outcome, risk, horizon_days=h, thresholds=np.array([0.2, 0.4]))
    found = evaluate(
        outcome, risk, horizon_days=h, persons=np.arange(500), rng=np.random.default_rng(1), n_boot=0, ask=ASK
    )
    assert decided.model[0] == pytest.approx(found["net_benefit_at_0.2"].value)
    assert calibrated.people.sum() == 500
    assert (np.diff(calibrated.grid) >= 0).all()


def test_at_a_capacity_the_groups_share_one_list() -> None:
    """Women get lower risks than they have; of the team's list of 5 % they hardly see a place."""
    rng = np.random.default_rng(0)
    n = 6000
    women, score = rng.random(n) < 0.5, rng.normal(size=n)
    event = (rng.random(n) < 1 / (1 + np.exp(2 - score))).astype(np.int8)
    risk = 1 / (1 + np.exp(2 + 1.5 * women - score))
    found = by_group(
        Outcome(np.full(n, np.nan), event, ()),
        risk,
        groups=np.where(women, "F", np.where(rng.random(n) < 0.9, "M", None)),  # type: ignore[call-overload]
        horizon_days=math.nan,
        persons=np.arange(n),
        rng=rng,
        n_boot=20,
        ask=Ask(capacities=(0.05,), smooth=False),
    )
    on_list = np.zeros(n, dtype=bool)
    on_list[np.argsort(-risk)[:300]] = True
    flagged, found_of = (found["F"].metrics[f"{name}_top_0.05"] for name in ("flagged", "sensitivity"))
    assert flagged.value == pytest.approx(on_list[women].mean())
    assert flagged.low <= flagged.value <= flagged.high < 0.01
    assert found_of.value == pytest.approx(on_list[women & (event == 1)].mean())
    assert found["F"].metrics["ppv_top_0.05"].value == pytest.approx(event[on_list & women].mean())


def test_ten_events_of_one_person_are_one_person_with_the_event() -> None:
    outcome = Outcome(np.full(300, np.nan), (np.arange(300) < 20).astype(np.int8), ())
    persons = np.where(np.arange(300) < 20, 0, np.arange(300))
    found = by_group(
        outcome,
        np.linspace(0.9, 0.1, 300),
        groups=np.full(300, "A"),
        horizon_days=math.nan,
        persons=persons,
        rng=np.random.default_rng(1),
        n_boot=2,
    )["A"]
    assert (found.people, found.events, found.metrics) == (281, 1, {})
    assert "people with the event" in found.reason
