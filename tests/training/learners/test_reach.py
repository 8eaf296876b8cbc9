"""People who cannot be followed to the horizon: a study that closes before it for those who entered late."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.censoring import known_by, known_controls, marginal, reachable
from training.cohort.outcome import Outcome
from training.evaluation import Ask, evaluate
from training.fitting.calibration import learn_calibration
from training.learners import make_learner
from training.learners.censoring import conditional

Floats = npt.NDArray[np.float64]
HORIZON = 5 * 365.0


def late_entrants(seed: int, n: int = 3000, *, dated: bool = False) -> tuple[FeatureFrame, Outcome, Floats, Floats]:
    """Risk depends on x alone, and is the same in every entry year; years 5 to 7 are cut 1 to 3 years too early.

    Returns the true risk and the year too.
    """
    rng = np.random.default_rng(seed)
    x, year = rng.normal(size=n), rng.choice([0.0, 1, 2, 3, 5, 6, 7], size=n)
    hazard = -np.log(1 - 0.15) / HORIZON * np.exp(0.7 * x)
    event, closes = rng.exponential(1 / hazard), (9.5 - year) * 365.0
    left = np.minimum(closes - rng.uniform(0, 30, n), rng.exponential(40 * 365, n))
    time = np.minimum(np.minimum(event, left), HORIZON + 0.5)
    happened = ((event <= left) & (event <= HORIZON + 0.5)).astype(np.int8)
    when = np.full(n, np.datetime64("NaT", "us"))
    frame = FeatureFrame(np.arange(n), when, ("x", "year"), np.column_stack([x, year]).astype(np.float32))
    outcome = Outcome(time, happened, (HORIZON,), closes if dated else None)
    return frame, outcome, 1 - np.exp(-hazard * HORIZON), year


@pytest.mark.parametrize("dated", [True, False])
def test_whoever_the_closing_date_cuts_is_out_of_reach_and_nobody_else(dated: bool) -> None:
    for seed in range(3):
        frame, outcome, _, year = late_entrants(seed, dated=dated)
        found = conditional(frame, outcome).reaches(0)
        assert found[year < 4].all()
        assert found[year > 4].mean() <= (0 if dated else 0.05)


@pytest.mark.parametrize("name", ["cox", "xgboost", "logistic"])
def test_risks_and_their_recalibration_are_right_where_late_entrants_cannot_be_followed(name: str) -> None:
    """Truth .175; before, recalibration took Cox to .239, and .92 and .99 were learned for late entrants."""
    frame, outcome, true, year = late_entrants(0, dated=True)
    fitted = make_learner(name, monotone={}, budget=None).fit(
        frame, outcome, persons=np.arange(3000), rng=np.random.default_rng(1)
    )
    assert fitted.out_of_fold is not None
    calibration = learn_calibration(fitted.out_of_fold, outcome, uncensored=conditional(frame, outcome))
    risk = calibration.apply(fitted.risk_at(frame, (HORIZON,))).probabilities[:, 0]
    assert risk.mean() == pytest.approx(true.mean(), abs=0.025)
    assert risk[year > 4].mean() < 0.3


def test_the_true_risks_are_called_true_in_the_evaluation() -> None:
    """Observed over expected was 1.37 for the truth itself."""
    found = []
    for seed in range(4):
        frame, outcome, true, _ = late_entrants(seed)
        given = conditional(frame, outcome)
        args = {"horizon_days": HORIZON, "persons": np.arange(3000), "rng": np.random.default_rng(1), "n_boot": 0}
        one = evaluate(outcome, true, uncensored=given, ask=Ask(smooth=False), **args)  # type: ignore[arg-type]
        found.append((one["observed_to_expected"].value, one["calibration_slope"].value))
    assert np.mean(found, axis=0) == pytest.approx([1, 1], abs=0.06)


def test_nobody_is_out_of_reach_where_people_leave_by_chance_however_many_features_explain_it() -> None:
    rng = np.random.default_rng(3)
    n = 600
    values = rng.normal(size=(n, 100))
    event, left = rng.exponential(3.0, n), rng.exponential(1.0 / np.exp(0.5 * values[:, 0]))
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, tuple(f"f{j}" for j in range(100)), values.astype(np.float32))
    outcome = Outcome(np.minimum(event, left), (event <= left).astype(np.int8), (1.0,))
    assert conditional(frame, outcome).reaches(0).all()


def test_a_stratum_in_which_everybody_leaves_before_the_horizon_is_out_of_reach() -> None:
    #   50 rows that leave on day 1, of 100; the other 50 stay
    outcome = Outcome(np.repeat([1.0, 9.0], 50), np.zeros(100, dtype=np.int8), (5.0,))
    chance = np.repeat([0.2, 0.9], 50)[:, None]
    found = reachable(outcome, chance, could=np.ones((100, 1), dtype=np.bool_))[:, 0]
    assert found.tolist() == [False] * 50 + [True] * 50
    few = Outcome(np.append(np.full(10, 1.0), np.full(10, 9.0)), np.zeros(20, dtype=np.int8), (5.0,))
    assert reachable(few, np.full((20, 1), 0.5), could=np.ones((20, 1), dtype=np.bool_)).all()


def test_rows_out_of_reach_have_no_weight_event_or_not() -> None:
    #                           event  free  event  censored
    outcome = Outcome(np.array([1.0, 5.0, 1.0, 2.0]), np.array([1, 0, 1, 0], dtype=np.int8), (3.0,),
                      np.array([9.0, 9.0, 2.5, 2.5]))  # fmt: skip
    label, weight = known_by(outcome, 3.0, uncensored=marginal(outcome))
    assert label.tolist() == [True, False, True, False]
    assert weight.tolist() == [1, 1, 0, 0]
    assert known_controls(outcome).tolist() == [False, True, False, False]


@pytest.mark.parametrize("name", ["cox", "xgboost_cox", "logistic", "xgboost", "stack", "extra_trees"])
@pytest.mark.parametrize("competing", [False, True])
def test_a_horizon_that_nobody_is_followed_to_is_refused_with_the_way_out(name: str, *, competing: bool) -> None:
    """A 5-year horizon, nobody followed past 4: horizon learners gave 1.0 to everybody or asked for a longer one, and
    a Cox regression .19 where the truth was .234.
    """
    rng = np.random.default_rng(0)
    n = 900
    values = rng.normal(size=(n, 3))
    event = rng.exponential(1 / (0.05 * np.exp(0.5 * values[:, 0])))
    other = rng.exponential(10.0, n) if competing else np.full(n, np.inf)
    left = rng.uniform(2, 4, n)
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, ("a", "b", "c"), values.astype(np.float32))
    outcome = Outcome(
        np.minimum(np.minimum(event, other), left), np.argmin([left, event, other], axis=0).astype(np.int8), (5.0,)
    )
    with pytest.raises(PresageError, match=r"free of the event at 5 days, found 0 \(give a shorter horizon"):
        make_learner(name, monotone={}, budget=None).fit(frame, outcome, persons=np.arange(n), rng=rng)
