"""A model that starts from a published equation: what it keeps of it, whom it leaves to the clinical model, and why."""

from __future__ import annotations

from itertools import permutations
from math import factorial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from features.equations import EQUATIONS
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort.outcome import Outcome
from training.fitted import EquationUpdateFit, read_fitted
from training.fitted.equation_update import answered, shared_out
from training.learners.equation_update import EquationUpdate

Floats = npt.NDArray[np.float64]
KFRE = EQUATIONS["kfre_5y"]
INPUTS = KFRE.inputs
HORIZON = KFRE.horizon_days
RIVALS = ("update", "recalibrated", "cox")


def people(n: int, *, seed: int, history: float = 0.0, lacking: float = 0.1) -> tuple[FeatureFrame, Floats]:
    """Kidney patients, and the log of their true hazard by 5 years: the equation's, and what a family history adds."""
    rng = np.random.default_rng(seed)
    values = np.column_stack(
        [rng.uniform(40, 80, n), rng.integers(0, 2, n), rng.uniform(15, 59, n), np.exp(rng.normal(4.5, 1.2, n)),
         rng.random(n) < 0.3]
    ).astype(np.float32)  # fmt: skip
    names = (*INPUTS, "family_history")
    frame = FeatureFrame(np.arange(n), np.full(n, np.datetime64("2015-01-01", "us")), names, values)
    log_hazard = np.log(-np.log1p(-said(frame))) + history * values[:, 4]
    values = values.copy()
    values[rng.random(n) < lacking, 3] = np.nan
    return FeatureFrame(frame.subject_ids, frame.as_of, names, values), log_hazard


def said(frame: FeatureFrame) -> Floats:
    return KFRE.value({name: frame.column(name) for name in INPUTS})


def outcome_of(log_hazard: Floats, *, kind: str = "survival", seed: int = 1) -> Outcome:
    rng = np.random.default_rng(seed)
    at = HORIZON * rng.exponential(np.exp(-log_hazard))
    if kind == "binary":
        return Outcome(np.full(len(at), np.nan), (at <= HORIZON).astype(np.int8), ())
    left = rng.uniform(0.3, 2.0, len(at)) * HORIZON
    other = rng.exponential(3 * HORIZON, len(at)) if kind == "competing" else np.full(len(at), np.inf)
    times = np.stack([left, at, other])
    return Outcome(times.min(axis=0), times.argmin(axis=0).astype(np.int8), (HORIZON,))


def fitted(kind: str = "survival", n: int = 900, *, seed: int = 1, history: float = 0.8) -> EquationUpdateFit:
    frame, log_hazard = people(n, seed=seed, history=history)
    outcome = outcome_of(log_hazard, kind=kind)
    learner = EquationUpdate(KFRE.name)
    return learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(3))


def horizons(kind: str) -> tuple[float, ...]:
    return (float("nan"),) if kind == "binary" else (HORIZON,)


@pytest.mark.parametrize("kind", ["survival", "competing", "binary"])
def test_who_lacks_an_input_is_scored_by_the_clinical_model_and_told_which_input(kind: str) -> None:
    model, frame = fitted(kind), people(300, seed=9)[0]
    lacks = np.isnan(frame.column(INPUTS[3]))
    assert 0 < lacks.sum() < 300
    risk = model.risk_at(frame, horizons(kind)).probabilities
    clinical = model.other.risk_at(frame, horizons(kind)).probabilities
    assert np.array_equal(risk[lacks], clinical[lacks])
    assert not np.isclose(risk[~lacks], clinical[~lacks], atol=1e-6).all()
    reasons = model.stood_in_for(frame)
    assert set(reasons[lacks]) == {"not the updated kfre_5y: urine albumin to creatinine ratio missing"}
    assert set(reasons[~lacks]) == {""}


@pytest.mark.parametrize("kind", ["survival", "competing", "binary"])
def test_terms_and_baseline_add_up_to_what_the_model_says(kind: str) -> None:
    model, frame = fitted(kind), people(200, seed=9)[0]
    found = model.contributions(frame)
    here = answered(KFRE.name, frame)
    predictor = model.updated.linear_predictor(frame.take(np.flatnonzero(here)))[:, 0] + model.updated.intercept
    np.testing.assert_allclose(found.values[here].sum(axis=1) + found.baseline, predictor, atol=1e-9)
    others = frame.take(np.flatnonzero(~here))
    theirs = model.other.contributions(others)
    np.testing.assert_allclose(found.values[~here].sum(axis=1), theirs.values.sum(axis=1), atol=1e-9)
    assert set(found.names) >= {*INPUTS, "family_history"}


def test_a_right_equation_is_kept_and_a_wrong_slope_is_mended() -> None:
    frame, log_hazard = people(6000, seed=4, lacking=0.0)
    mean = log_hazard.mean()
    for slope in (1.0, 0.5):
        outcome = outcome_of(mean + slope * (log_hazard - mean))
        model = EquationUpdate(KFRE.name).fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(1))
        assert model.updated.start.slope == pytest.approx(slope, abs=0.12)
        truth = -np.expm1(-np.exp(mean + slope * (log_hazard - mean)))
        risk = model.risk_at(frame, (HORIZON,)).probabilities[:, 0]
        assert np.abs(risk - truth).mean() < 0.02


def test_what_the_equation_lacks_is_learned() -> None:
    model = fitted(n=6000, history=0.8)
    frame = people(2, seed=1, lacking=0.0)[0]
    values = np.repeat(frame.values[:1], 2, axis=0)
    values[:, 4] = (0.0, 1.0)
    twins = FeatureFrame(frame.subject_ids, frame.as_of, frame.names, values)
    without, with_history = model.updated.linear_predictor(twins)[:, 0]
    assert with_history - without == pytest.approx(0.8, abs=0.2)


@pytest.mark.parametrize("kind", ["survival", "competing", "binary"])
def test_what_is_written_is_what_is_read_and_holds_no_pickle(kind: str, tmp_path: Path) -> None:
    model, frame = fitted(kind, 500), people(100, seed=9)[0]
    model.write(tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()} <= {".json", ".parquet"}
    again = read_fitted(tmp_path / "model")
    assert again.name == "equation_update"
    first, second = (one.risk_at(frame, horizons(kind)).probabilities for one in (model, again))
    assert np.array_equal(first, second)
    assert np.array_equal(model.contributions(frame).values, again.contributions(frame).values)


def test_shares_are_shapleys_where_two_inputs_act_on_each_other_and_always_add_up() -> None:
    def pairwise(columns: dict[str, Floats]) -> Floats:
        a, b, c, d = (columns[name] for name in "abcd")
        return np.sin(a) + a * b - 2 * b * np.abs(c) + d * a + np.exp(d)

    rng = np.random.default_rng(1)
    here = {name: rng.normal(size=5) for name in "abcd"}
    typical = dict.fromkeys("abcd", 0.3)
    exact = np.zeros((5, 4))
    for order in permutations(range(4)):
        columns = {name: np.full(5, 0.3) for name in "abcd"}
        for j in order:
            before = pairwise(columns)
            columns["abcd"[j]] = here["abcd"[j]]
            exact[:, j] += (pairwise(columns) - before) / factorial(4)
    np.testing.assert_allclose(shared_out(pairwise, here, typical=typical), exact, atol=1e-12)  # type: ignore[arg-type]


def test_what_cannot_be_updated_is_refused_with_the_reason() -> None:
    frame, log_hazard = people(400, seed=2)
    outcome, rng = outcome_of(log_hazard), np.random.default_rng(1)

    def refused(equation: str | None, some: FeatureFrame, what: Outcome) -> str:
        with pytest.raises(PresageError) as caught:
            EquationUpdate(equation).fit(some, what, persons=some.subject_ids, rng=rng)
        return str(caught.value)

    assert "[features] equation" in refused(None, frame, outcome)
    assert "points" in refused("cha2ds2_vasc", frame, outcome)
    assert INPUTS[0] in refused(KFRE.name, frame.only(frame.names[1:]), outcome)
    values = frame.values.copy()
    values[20:, 3] = np.nan
    few = FeatureFrame(frame.subject_ids, frame.as_of, frame.names, values)
    assert "at least 10 people with the event and every input" in refused(KFRE.name, few, outcome)


@pytest.mark.parametrize("truth", ["right", "lacks two"])
def test_with_fifty_events_it_is_no_worse_than_the_better_of_its_two_rivals(truth: str) -> None:
    """Four draws; twenty of each, at three numbers of events: `benchmarks/equation_update.py`."""
    import equation_update as benchmark

    found = [benchmark.one(truth, 50, seed=seed) for seed in range(4)]
    update, recalibrated, cox = (np.array([float(row[name]) for row in found]) for name in RIVALS)
    better = min(recalibrated, cox, key=np.mean)
    difference = update - better
    assert difference.mean() <= difference.std(ddof=1) / 2
