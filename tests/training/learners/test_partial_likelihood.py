from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from lifelines import CoxPHFitter, NelsonAalenFitter
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.util import Surv
from statsmodels.duration.hazard_regression import PHReg

from training.learners.partial_likelihood import PartialLikelihood, baseline_jumps
from training.learners.ridge import fit_ridge, learn_penalties

Floats = npt.NDArray[np.float64]


def drawn(n: int = 400, *, tied: bool) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(n, 4))
    event_at = rng.exponential(np.exp(-X @ [0.8, -0.5, 0.0, 0.2]))
    censored_at = rng.uniform(0.1, 2, n)
    time = np.minimum(event_at, censored_at)
    return X, np.ceil(time * 8) if tied else time, event_at <= censored_at


def fitted(X: Floats, time: Floats, event: npt.NDArray[np.bool_], penalty: float = 0.0) -> Floats:
    groups = np.zeros(X.shape[1], dtype=np.int64)
    return fit_ridge(PartialLikelihood.of(X, time, event=event), groups, penalties=np.array([penalty])).beta


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # lifelines 0.30 on pandas 3
@pytest.mark.parametrize("tied", [False, True])
def test_efron_coefficients_are_those_of_statsmodels_and_lifelines(tied: bool) -> None:
    X, time, event = drawn(tied=tied)
    found = fitted(X, time, event)
    assert found == pytest.approx(PHReg(time, X, status=event.astype(int), ties="efron").fit().params, abs=1e-5)
    table = pd.DataFrame(X, columns=list("abcd")).assign(time=time, event=event)
    assert found == pytest.approx(CoxPHFitter().fit(table, "time", "event").params_.to_numpy(), abs=1e-4)


def test_ridge_coefficients_are_those_of_scikit_survival() -> None:
    X, time, event = drawn(tied=True)
    other = CoxPHSurvivalAnalysis(alpha=20.0, ties="efron", tol=1e-12, n_iter=200)
    other.fit(X, Surv.from_arrays(event, time))
    assert fitted(X, time, event, penalty=20.0) == pytest.approx(other.coef_, abs=1e-5)


def test_gradient_and_information_are_the_numerical_derivatives_with_weights_and_ties() -> None:
    X, time, event = drawn(80, tied=True)
    likelihood = PartialLikelihood.of(X, time, event=event, weights=np.random.default_rng(1).uniform(0, 2, 80))
    beta = np.array([0.3, -0.2, 0.1, 0.5])
    _, gradient = likelihood.gradient(beta)
    information = likelihood.information(beta)
    for j in range(4):
        step = np.zeros(4)
        step[j] = 1e-5
        above, below = (likelihood.gradient(beta + s) for s in (step, -step))
        assert gradient[j] == pytest.approx((above[0] - below[0]) / 2e-5, rel=1e-5, abs=1e-5)
        assert information[j] == pytest.approx((below[1] - above[1]) / 2e-5, rel=1e-4, abs=1e-4)


def test_a_row_that_weighs_nothing_is_not_there() -> None:
    X, time, event = drawn(60, tied=False)
    weights = np.where(np.arange(60) % 3 == 0, 1e-12, 1.0)
    kept = weights == 1
    value, gradient = PartialLikelihood.of(X, time, event=event, weights=weights).gradient(np.zeros(4))
    expected = PartialLikelihood.of(X[kept], time[kept], event=event[kept]).gradient(np.zeros(4))
    assert value == pytest.approx(expected[0], abs=1e-6)
    assert gradient == pytest.approx(expected[1], abs=1e-6)


def test_without_ties_the_baseline_is_breslows_in_scikit_survival() -> None:
    X, time, event = drawn(tied=False)
    other = CoxPHSurvivalAnalysis(ties="breslow").fit(X, Surv.from_arrays(event, time))
    times, jumps = baseline_jumps(time, event, eta=X @ other.coef_)
    expected = other.cum_baseline_hazard_
    assert np.cumsum(jumps) == pytest.approx(expected.y[np.isin(expected.x, times)])


def test_with_ties_and_no_covariates_the_baseline_is_lifelines_nelson_aalen_for_tied_days() -> None:
    _, time, event = drawn(tied=True)
    times, jumps = baseline_jumps(time, event, eta=np.zeros(len(time)))
    other = NelsonAalenFitter(nelson_aalen_smoothing=True).fit(time, event)
    assert np.cumsum(jumps) == pytest.approx(other.cumulative_hazard_.loc[times].to_numpy().ravel())


def test_with_ties_the_baseline_is_the_sum_over_those_tied_one_after_the_other() -> None:
    X, time, event = drawn(60, tied=True)
    weights = np.random.default_rng(1).uniform(0.5, 2, 60)
    hazard = weights * np.exp(X[:, 0])
    times, jumps = baseline_jumps(time, event, eta=X[:, 0], weights=weights)
    for when, jump in zip(times, jumps, strict=True):
        tied = np.flatnonzero((time == when) & event)
        at_risk, own = hazard[time >= when].sum(), hazard[tied].sum()
        mean = weights[tied].mean()
        assert jump == pytest.approx(sum(mean / (at_risk - k / len(tied) * own) for k in range(len(tied))))


def test_learned_penalties_shrink_a_group_of_noise_and_keep_a_group_of_signal() -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(500, 60))
    event_at = rng.exponential(np.exp(-X[:, :10] @ np.full(10, 0.5)))
    time, event = np.minimum(event_at, 1.0), event_at <= 1.0
    groups = np.repeat([0, 1], [10, 50])
    fit = learn_penalties(PartialLikelihood.of(X, time, event=event), groups, start=np.array([10.0, 10.0]))
    assert fit.penalties[0] < 10
    assert fit.penalties[1] > 100
    assert fit.beta[:10] == pytest.approx(np.full(10, 0.5), abs=0.2)
    assert np.abs(fit.beta[10:]).max() < 0.15
    assert fit.effective_parameters < 35


def test_a_lone_curve_that_carries_the_risk_is_not_taken_for_noise() -> None:
    """Few columns and a penalty that starts too high: the fixed point must not run away."""
    from features.frame import FeatureFrame
    from training.cohort.outcome import Outcome
    from training.learners.cox import Cox

    rng = np.random.default_rng(5)
    x = rng.uniform(-2, 2, (800, 1))
    event_at = rng.exponential(5 * np.exp(-(x[:, 0] ** 2)))
    outcome = Outcome(np.minimum(event_at, 3.0), (event_at <= 3.0).astype(np.int8), (1.0,))
    when = np.full(800, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(800), when, ("x",), x.astype(np.float32))
    fitted = Cox().fit(frame, outcome, persons=frame.subject_ids, rng=rng)
    assert np.corrcoef(fitted.linear_predictor(frame)[:, 0], x[:, 0] ** 2)[0, 1] > 0.97
