"""Scores adjusted for genetic ancestry: mean, and mean and variance, as functions of the components.

`z_norm1`: Khera AV et al., Circulation 2019;139:1593-602. `z_norm2`: Khan A et al., Nature Medicine 2022;28:1412-20,
both regressions refitted together by maximum likelihood. As in pgsc_calc (Lambert SA et al., Nature Genetics
2024;56:1989-94).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from features.arrays import Floats
from features.errors import PresageError

PERCENTILES = np.linspace(0.0, 100.0, 201)
MIN_SPREAD = 0.05  # fitted SD anywhere in the reference over the residual SD, below which the variance has collapsed
MIN_REFERENCE = 50  # people, below which five regression coefficients and a variance are guesses


@dataclass(frozen=True, slots=True)
class Adjustment:
    """How a score depends on standardised components among the people of the reference.

    `mean`, `joint_mean`: intercept and slopes of the expected score; `sd`: of the residuals of `mean`; `log_variance`:
    intercept and slopes of the log of the variance around `joint_mean`; `quantiles`: of the reference's z_norm2 at
    `PERCENTILES`.
    """

    n_reference: int
    mean: Floats
    sd: float
    joint_mean: Floats
    log_variance: Floats
    quantiles: Floats

    def z_norm1(self, sums: Floats, components: Floats, *, shift: Floats | float = 0.0, ratio: float = 1.0) -> Floats:
        """The distance (person,) of sums from the mean expected at each person's components, in SD of the reference's
        residuals.

        `shift`, `ratio`: the parts that unmatched variants take from the expected mean, and leave of the variance.
        """
        z: Floats = (sums - (_design(components) @ self.mean - shift)) / (self.sd * np.sqrt(ratio))
        return z

    def z_norm2(self, sums: Floats, components: Floats, *, shift: Floats | float = 0.0, ratio: float = 1.0) -> Floats:
        """The distance (person,) of sums from the expected mean, over the SD that is expected at each person's own
        components.

        `shift`, `ratio`: as for `z_norm1`.
        """
        z: Floats = (sums - (_design(components) @ self.joint_mean - shift)) / (
            self.spread(components) * np.sqrt(ratio)
        )
        return z

    def spread(self, components: Floats) -> Floats:
        """The SD (person,) of the score that is expected at these components."""
        sd: Floats = np.exp(0.5 * (_design(components) @ self.log_variance))
        return sd

    def percentile(self, z: Floats) -> Floats:
        """The share of the reference, in percent, whose z_norm2 is lower; nan stays nan."""
        percentiles: Floats = np.interp(z, self.quantiles, PERCENTILES)
        return np.where(np.isnan(z), np.nan, percentiles)


def fit_adjustment(sums: Floats, components: Floats, *, where: str = "the ancestry panel") -> Adjustment:
    """Fit the adjustment of a score to a reference: sums (person,), standardised components (person, component).

    `where`: how an error names the reference and the score.

    Assumes that the score's mean and its log variance are linear in the components; groups that depart from this keep a
    mean that is not 0. A score of few variants that a group lacks has no variance there, and a carrier would be
    millions of SD away: such a score keeps one variance, and its z_norm2 is its z_norm1. Raises PresageError for too
    small a reference.
    """
    n, k = components.shape
    if n < MIN_REFERENCE:
        raise PresageError(where, f"{MIN_REFERENCE} people or more", found=str(n), way_out="use a larger panel")
    design = _design(components)
    mean: Floats = np.linalg.lstsq(design, sums, rcond=None)[0].astype(np.float64)
    residual = sums - design @ mean
    sd = float(residual.std())
    if sd <= 1e-12 * max(1.0, float(np.abs(sums).max())):
        raise PresageError(
            where,
            "a score that differs between people",
            found="the same sum in everybody",
            way_out="check the panel's genotypes",
        )
    theta = _maximise(sums / sd, design, start=np.concatenate([mean / sd, [0.0], np.zeros(k)]))
    joint_mean, log_variance = theta[: k + 1] * sd, theta[k + 1 :].copy()
    log_variance[0] += 2 * np.log(sd)
    if np.exp(0.5 * (design @ log_variance).min()) < MIN_SPREAD * sd:
        joint_mean, log_variance = mean, np.array([2 * np.log(sd), *np.zeros(k)])
    z = (sums - design @ joint_mean) / np.exp(0.5 * (design @ log_variance))
    return Adjustment(n, mean, sd, joint_mean, log_variance, np.percentile(z, PERCENTILES))


def _maximise(y: Floats, design: Floats, *, start: Floats) -> Floats:
    """Normal likelihood with linear mean and log-linear variance; y in units of its residual SD."""
    from scipy.optimize import minimize  # half a second that scoring does not need

    k = design.shape[1]

    def loss(theta: Floats) -> tuple[float, Floats]:
        log_variance = np.clip(design @ theta[k:], -30, 30)
        residual = y - design @ theta[:k]
        precise = residual * np.exp(-log_variance)
        value = 0.5 * np.mean(log_variance + residual * precise)
        gradient = np.concatenate([-(design.T @ precise), 0.5 * design.T @ (1 - residual * precise)]) / len(y)
        return float(value), gradient

    result = minimize(loss, start, jac=True, method="BFGS", options={"maxiter": 1000, "gtol": 1e-9})
    theta: Floats = result.x
    return theta


def _design(components: Floats) -> Floats:
    return np.column_stack([np.ones(len(components)), components])


def interval(z: Floats, lost_share: Floats, *, unused_share: float = 0.0, level: float = 0.95) -> tuple[Floats, Floats]:
    """The interval in which z would lie, at `level`, had the sites been seen at which calls are missing or variants are
    unmatched.

    `lost_share`: variance at these sites over the whole score's; `unused_share`: the part of it at unmatched variants
    alone. z is in SD of the variants that are used, which is sqrt(1 - unused_share) of the whole score's: the interval
    lies that much nearer to 0 than z.
    """
    reach = NormalDist().inv_cdf(0.5 + level / 2) * np.sqrt(lost_share)
    centre = z * np.sqrt(1 - unused_share)
    return centre - reach, centre + reach
