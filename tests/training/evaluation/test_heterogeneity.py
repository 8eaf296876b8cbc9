from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t as student
from statsmodels.stats.meta_analysis import combine_effects

from training.evaluation import Estimate, GroupResult
from training.evaluation.heterogeneity import combined, heterogeneity


@pytest.mark.parametrize("spread", [0.0, 0.06])
def test_the_mean_over_sites_and_their_spread_are_statsmodels(spread: float) -> None:
    rng = np.random.default_rng(1)
    variances = rng.uniform(0.0004, 0.002, 8)
    values = 0.75 + rng.normal(0, np.sqrt(variances)) + rng.normal(0, spread, 8)
    found = combined(values, variances)
    theirs = combine_effects(values, variances, method_re="chi2")
    tau2 = max(theirs.tau2, 0.0)
    assert found.tau**2 == pytest.approx(tau2)
    if tau2 > 0:
        assert found.mean == pytest.approx(theirs.mean_effect_re)
        assert found.low == pytest.approx(theirs.conf_int(use_t=False)[1][0])
        assert found.i2 == pytest.approx(theirs.i2)
    reach = student.ppf(0.975, 6) * np.sqrt(found.tau**2 + ((found.high - found.low) / 2 / 1.959964) ** 2)
    assert found.predicted_high == pytest.approx(found.mean + reach)


def test_another_site_lies_in_the_prediction_interval_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        variances = rng.uniform(0.0005, 0.002, 10)
        true = 0.7 + rng.normal(0, 0.06, 11)
        found = combined(true[:10] + rng.normal(0, np.sqrt(variances)), variances)
        inside += found.predicted_low <= true[10] <= found.predicted_high
    assert 0.9 < inside / 400 < 0.985


def test_fewer_than_three_sites_say_nothing_of_another() -> None:
    rng = np.random.default_rng(3)

    def one() -> GroupResult:
        return GroupResult(100, 20, {"auc": Estimate(0.7, 0.6, 0.8)}, "", {"auc": rng.normal(0.7, 0.05, 50)})

    small = GroupResult(20, 3, {}, "too few")
    assert heterogeneity({"A": one(), "B": one(), "C": small}, "auc") is None
    found = heterogeneity({"A": one(), "B": one(), "C": one(), "D": small}, "auc")
    assert found is not None
    assert found.sites == 3
