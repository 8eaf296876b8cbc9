"""How a metric differs from site to site: the random-effects mean, and where a new site's value may lie.

Internal-external validation leaves one site out at a time; pooled over all rows it hides the site at which the model
fails (Riley, BMJ 2016;353:i3140).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from features.arrays import Floats
from training.evaluation.groups import GroupResult

FEWEST_SITES = 3


@dataclass(frozen=True, slots=True)
class Heterogeneity:
    """Over sites: mean with its 95 % interval, tau (standard deviation between sites), I2 (share of the spread that is
    no chance), and the 95 % prediction interval of another site's value.
    """

    sites: int
    mean: float
    low: float
    high: float
    tau: float
    i2: float
    predicted_low: float
    predicted_high: float


def heterogeneity(results: Mapping[str, GroupResult], metric: str) -> Heterogeneity | None:
    """DerSimonian and Laird (Control Clin Trials 1986;7:177) on the metric's own scale, standard errors from the
    replicates within sites; prediction interval by Student's t with sites - 2 degrees (Higgins, JRSS A 2009;172:137).

    None with fewer than 3 sites that have the metric. Sites are held to be drawn alike; few of them say little of tau.
    """
    values, variances = [], []
    for result in results.values():
        if metric not in result.metrics:
            continue
        drawn = result.replicates[metric]
        variance = float(np.var(drawn[np.isfinite(drawn)], ddof=1)) if np.isfinite(drawn).sum() > 1 else math.nan
        if math.isfinite(result.metrics[metric].value) and variance > 0:
            values.append(result.metrics[metric].value)
            variances.append(variance)
    if len(values) < FEWEST_SITES:
        return None
    return combined(np.array(values), np.array(variances))


def combined(values: Floats, variances: Floats) -> Heterogeneity:
    """Of k sites' values and their sampling variances."""
    k = len(values)
    fixed = 1 / variances
    q = float(fixed @ (values - np.average(values, weights=fixed)) ** 2)
    tau2 = max(0.0, (q - (k - 1)) / float(fixed.sum() - (fixed**2).sum() / fixed.sum()))
    weight = 1 / (variances + tau2)
    mean, error = float(np.average(values, weights=weight)), math.sqrt(1 / float(weight.sum()))
    reach = float(stdtrit(k - 2, 0.975)) * math.sqrt(tau2 + error**2)
    i2 = max(0.0, 1 - (k - 1) / q) if q > 0 else 0.0
    half = 1.959964 * error
    return Heterogeneity(k, mean, mean - half, mean + half, math.sqrt(tau2), i2, mean - reach, mean + reach)
