"""The Brier score over time is the model's own: between the horizons no curve knows what became of the test rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sksurv.metrics import integrated_brier_score
from sksurv.util import Surv

from features.frame import FeatureFrame
from tests.made import plan_of
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.cohort.splits import Scheme, Split
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut, hold_out
from training.models.curves import LEARNED_FROM, OWN, Shape, grid_of, times_of

HORIZON = 5.0


@pytest.mark.parametrize("power", [0.5, 3.0])
def test_the_integrated_brier_score_is_scikit_survivals_of_the_models_own_curves(power: float) -> None:
    """Exponential curves through true risks, of events that come early or late; the reported score was the truth's."""
    rng = np.random.default_rng(0)
    n = 3000
    rate = 0.1 * np.exp(0.8 * rng.normal(size=n))
    event = HORIZON * rng.exponential(1 / (rate * HORIZON)) ** (1 / power)
    left = np.append(0.01, rng.uniform(3, 8, n - 1))  # scikit-survival asks for times within those of the test rows
    outcome = Outcome(np.minimum(event, left), (event <= left).astype(np.int8), (HORIZON,))
    own = Shape(times_of((HORIZON,)), 1 - np.exp(-np.outer(rate, times_of((HORIZON,)))), OWN)
    risk = 1 - np.exp(-rate * HORIZON)[:, None]
    bench = Bench(np.arange(n), outcome, np.arange(n), None, 0, 1)
    found = bench.measure(risk, curves=own.through(risk, (HORIZON,)))["ibs"].value
    seen = Surv.from_arrays(outcome.event == 1, outcome.time_days)
    grid = np.linspace(HORIZON / 25, HORIZON, 25)
    expected = integrated_brier_score(seen, seen, np.exp(-np.outer(rate, grid)), grid)
    truth = integrated_brier_score(seen, seen, np.exp(-np.outer(rate * HORIZON, (grid / HORIZON) ** power)), grid)
    assert found == pytest.approx(expected, abs=1e-4)
    assert abs(found - truth) > 0.003


def cohort_of(n: int = 600) -> Cohort:
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    event, left = rng.exponential(8 / np.exp(0.7 * x)), rng.uniform(2, 9, n)
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, ("x",), x[:, None].astype(np.float32))
    outcome = Outcome(np.minimum(event, left), (event <= left).astype(np.int8), (3.0, HORIZON))
    empty = np.full(n, "", dtype=object)
    return Cohort(frame, outcome, empty, (Block("clinical", ("x",), genomic=False),), np.zeros(n, bool), empty, {})


def held_of(cohort: Cohort, candidate: str) -> HeldOut:
    scheme = Scheme("half", (Split("half", np.arange(300), np.arange(300, 600)),))
    return hold_out(plan_of(cohort, scheme), candidate, advance=lambda done: None)


@pytest.mark.parametrize(("candidate", "source"), [("cox", OWN), ("stack", OWN), ("logistic", LEARNED_FROM)])
def test_curves_meet_the_risks_at_the_horizons_and_know_nothing_of_the_test_rows(candidate: str, source: str) -> None:
    cohort = cohort_of()
    held = held_of(cohort, candidate)
    assert held.shape == source
    assert held.curves is not None
    assert held.curves.horizons_days == grid_of((3.0, HORIZON))
    assert held.curves.probabilities[:, [14, 24]] == pytest.approx(held.served)
    assert (np.diff(held.curves.probabilities, axis=1) >= 0).all()
    time = cohort.outcome.time_days.copy()
    time[300:] = 0.1
    elsewhere = held_of(replace(cohort, outcome=replace(cohort.outcome, time_days=time)), candidate)
    assert elsewhere.curves is not None
    assert np.array_equal(elsewhere.curves.probabilities, held.curves.probabilities)


def test_a_cox_model_follows_its_own_baseline_between_the_horizons() -> None:
    cohort = cohort_of()
    held = held_of(cohort, "cox")
    assert held.curves is not None
    [pair] = held.pairs
    own = pair.clinical.fitted.risk_at(cohort.frame.take(held.rows), (*held.curves.horizons_days,)).probabilities
    hazard, given = -np.log1p(-own), -np.log1p(-held.curves.probabilities)
    level = given[:, -1] / hazard[:, -1]
    assert given[:, 20] == pytest.approx(hazard[:, 20] * level, rel=1e-6)
