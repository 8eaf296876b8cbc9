"""Every metric under censoring and competing events against the same people had nobody been censored, and against R."""

from __future__ import annotations

import math
import os

import numpy as np
import numpy.typing as npt
import pytest
from lifelines import AalenJohansenFitter
from lifelines.datasets import load_lung

from training.cohort.censoring import known_by, marginal
from training.cohort.outcome import Outcome, RiskCurves
from training.evaluation import Ask, evaluate
from training.evaluation.discrimination import Pairs, concordance
from training.evaluation.utility import at_threshold, decision_curve

Floats = npt.NDArray[np.float64]
REPETITIONS = 200 if os.environ.get("PRESAGE_SLOW") else 40
ASK = Ask(thresholds=(0.3,), capacities=(0.1,))
GRID = tuple(np.linspace(0.1, 1.0, 10).tolist())
UNBIASED = (
    "c_uno", "auc", "auprc", "brier", "brier_scaled", "ibs", "calibration_slope", "calibration_in_the_large",
    "observed_to_expected", "sensitivity_at_0.3", "specificity_at_0.3", "ppv_at_0.3", "net_benefit_at_0.3",
    "sensitivity_top_0.1", "ppv_top_0.1",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["survival", "competing"])
def test_the_mean_error_of_every_metric_under_censoring_is_within_its_standard_error_of_none(kind: str) -> None:
    """Mean over repetitions of (censored people) minus (the same people, followed).

    Of 15 metrics at once, 3 standard errors are what 2 are for one (Bonferroni); the error is also small in itself.
    Harrell's C is not among them: it is biased.
    """
    errors: dict[str, list[float]] = {name: [] for name in UNBIASED}
    for seed in range(REPETITIONS):
        rng = np.random.default_rng([11, seed])
        n, score = 1500, rng.normal(-0.5, 0.8, 1500)
        rate = np.exp(score)
        event_at = rng.exponential(1 / rate)
        other_at = rng.exponential(2.0, n) if kind == "competing" else np.full(n, np.inf)
        left_at = rng.exponential(2.0, n)
        whole, cause = np.minimum(event_at, other_at), np.where(event_at < other_at, 1, 2).astype(np.int8)
        seen = np.minimum(whole, left_at)
        curves = RiskCurves(GRID, 1 - np.exp(-rate[:, None] * np.array(GRID)))
        found = [
            evaluate(
                Outcome(time, event, (1.0,)),
                curves.probabilities[:, -1],
                horizon_days=1.0,
                persons=np.arange(n),
                rng=rng,
                n_boot=0,
                curves=curves,
                ask=ASK,
            )
            for time, event in ((seen, np.where(whole <= left_at, cause, 0).astype(np.int8)), (whole, cause))
        ]
        for name in UNBIASED:
            errors[name].append(found[0][name].value - found[1][name].value)
    z = {name: float(np.mean(e) / (np.std(e, ddof=1) / math.sqrt(len(e)))) for name, e in errors.items()}
    assert max(abs(value) for value in z.values()) < 3, z
    assert max(abs(float(np.mean(e))) for e in errors.values()) < 0.01 * math.sqrt(200 / REPETITIONS)


def test_net_benefit_with_competing_events_is_that_of_aalen_johansen_among_the_flagged() -> None:
    """Vickers, BMC Med Inform Decis Mak 2008;8:53: the incidence among the flagged, times the share flagged."""
    rng = np.random.default_rng(3)
    n, score = 6000, rng.normal(-0.5, 0.8, 6000)
    event_at, other_at, left_at = rng.exponential(np.exp(-score)), rng.exponential(2, n), rng.exponential(2, n)
    time = np.minimum(np.minimum(event_at, other_at), left_at)
    event = np.argmin([left_at, event_at, other_at], axis=0).astype(np.int8)
    outcome, risk = Outcome(time, event, (1.0,)), 1 - np.exp(-np.exp(score) * 0.8)
    label, weight = known_by(outcome, 1.0, uncensored=marginal(outcome))
    thresholds = np.array([0.15, 0.3, 0.45])
    curve = decision_curve(risk, label, weight=weight, thresholds=thresholds)
    for i, threshold in enumerate(thresholds):
        flagged = risk >= threshold
        fitted = AalenJohansenFitter(calculate_variance=False).fit(time[flagged], event[flagged], event_of_interest=1)
        incidence = float(fitted.cumulative_density_.loc[:1.0].iloc[-1, 0])
        odds = threshold / (1 - threshold)
        expected = flagged.mean() * (incidence - (1 - incidence) * odds)
        assert curve.model[i] == pytest.approx(expected, abs=0.01)
        assert at_threshold(risk, label, weight=weight, threshold=float(threshold)).ppv == pytest.approx(
            incidence, abs=0.02
        )


def test_harrells_c_is_what_rs_survival_package_prints_for_lung() -> None:
    """`summary(coxph(Surv(time, status) ~ age + sex + ph.ecog, lung))`: these coefficients, Concordance = 0.637."""
    lung = load_lung().dropna(subset=["ph.ecog"])
    predictor = 0.011067 * lung["age"] - 0.552612 * lung["sex"] + 0.463728 * lung["ph.ecog"]
    risk = 1 / (1 + np.exp(-predictor.to_numpy(dtype=np.float64)))
    outcome = Outcome(lung["time"].to_numpy(dtype=np.float64), lung["status"].to_numpy(dtype=np.int8), (365.0,))
    ones = np.ones(len(lung))
    assert len(lung) == 227
    assert round(concordance(Pairs.of(outcome, risk), ones, followed=ones, usable=ones.astype(bool)), 3) == 0.637
