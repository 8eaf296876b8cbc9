"""The numbers that figures draw, stored with the run: curves, how risks spread, metrics over time, what a team finds.

Curves are cut at the 1st and 99th percentile of risk and rounded, and counts of 1 to 10 are suppressed: no person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from features.arrays import Floats
from training.disclosure import SMALLEST, suppress
from training.evaluation import Ask, CalibrationCurve, curves, evaluate, shown_metric
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan, stream
from training.result import Capacity, Decision, DrawnCalibration, Figures, Histogram, OverTime

SERVED = "as served"
DRAWN = (SERVED, "clinical", "equation")
CAPACITIES = (0.01, 0.02, 0.05, 0.1, 0.2)
TIMES = 5
BINS = 25
CURVE_POINTS = 99
DIGITS = 5


def figure_numbers(bench: Bench, risks: Mapping[str, Floats]) -> Figures:
    """The curves at the last horizon, on the test rows to which all drawn models apply; the capacity on all rows.

    risks: (N, h) by model, as served among them.
    """
    shown = {name: risks[name][:, -1] for name in DRAWN if name in risks}
    if "clinical" in shown and np.array_equal(shown["clinical"], shown[SERVED]):
        del shown["clinical"]
    rows = np.flatnonzero(np.all([~np.isnan(risk) for risk in shown.values()], axis=0))
    at_capacities = capacity(bench, risks[SERVED])
    if len(rows) == 0:
        return Figures(capacity=at_capacities)
    some = bench.take(rows)
    drawn = {
        name: curves(some.outcome, risk[rows], horizon_days=some.days, uncensored=some.uncensored)
        for name, risk in shown.items()
    }
    _, first = next(iter(drawn.values()))
    return Figures(
        capacity=at_capacities,
        people=some.people,
        calibration={name: _calibration(curve) for name, (curve, _) in drawn.items()},
        histogram=histogram(shown[SERVED][rows]),
        decision=Decision(
            thresholds=_rounded(first.thresholds),
            treat_all=_numbers(first.treat_all),
            models={name: _numbers(curve.model) for name, (_, curve) in drawn.items()},
            cutoffs=bench.cutoffs,
        ),
    )


def times_numbers(plan: Plan, held: HeldOut) -> OverTime | None:
    """AUC and Brier score of the served risk at fifths of the last horizon; None for a binary outcome.

    Risks at earlier times are those of `HeldOut.curves`; censoring weights are conditional on covariates at each time,
    as at the horizon.
    """
    found = held.curves
    if found is None:
        return None
    columns = [len(found.horizons_days) * (k + 1) // TIMES - 1 for k in range(TIMES)]
    days = tuple(found.horizons_days[column] for column in columns)
    timed = replace(plan.cohort, outcome=replace(plan.cohort.outcome, horizons_days=days))
    bench = Bench.of(replace(plan, cohort=timed), held)
    risk = found.probabilities[:, columns]
    at = [bench.measure(risk, i) for i in range(TIMES)]
    return OverTime(
        days=days,
        auc=tuple(shown_metric(found["auc"]) for found in at),
        brier=tuple(shown_metric(found["brier"]) for found in at),
    )


def capacity(bench: Bench, risk: Floats) -> tuple[Capacity, ...]:
    """What a team finds that can take on a share of people, by falling share of risk; with intervals over people."""
    asked = Ask(capacities=CAPACITIES, smooth=False)
    found = evaluate(
        bench.outcome,
        risk[:, -1],
        horizon_days=bench.days,
        persons=bench.persons,
        rng=stream(bench.seed, "bootstrap"),
        n_boot=bench.n_boot,
        uncensored=bench.uncensored,
        ask=asked,
        folds=bench.folds,
    )
    return tuple(
        Capacity(
            share=share,
            flagged=flagged,
            sensitivity=shown_metric(found[f"sensitivity_top_{share:g}"]),
            ppv=shown_metric(found[f"ppv_top_{share:g}"]),
            alerts_per_true_case=shown_metric(found[f"alerts_per_true_case_top_{share:g}"]),
        )
        for share in CAPACITIES
        if (flagged := int(share * len(risk))) >= SMALLEST
    )


def histogram(risk: Floats) -> Histogram:
    """How many rows have which risk, between nought and the 99th percentile (the rest joins the last bin)."""
    top = float(np.ceil(100 * max(np.quantile(risk, 0.99), 0.01)) / 100)
    edges = np.linspace(0, top, BINS + 1)
    counts = np.histogram(np.minimum(risk, top), edges)[0]
    return Histogram(edges=_numbers(edges), counts=suppress([counts.tolist()]).cells[0])


def _calibration(curve: CalibrationCurve) -> DrawnCalibration:
    """The smoothed curve at equal steps of risk: its own points are risks of single people."""
    inner = slice(1, -1)
    low, high = curve.grid[1], curve.grid[-2]
    top = 10.0 ** np.floor(np.log10(max(high - low, 1e-5))) / 100
    grid = np.unique(np.clip(np.linspace(np.ceil(low / top) * top, np.floor(high / top) * top, CURVE_POINTS), 0, 1))
    return DrawnCalibration(
        grid=_numbers(grid),
        smoothed=_numbers(np.interp(grid, curve.grid[inner], curve.smoothed[inner])),
        expected=_numbers(curve.expected),
        observed=_numbers(curve.observed),
        people=tuple(int(n) if n >= SMALLEST else None for n in curve.people),
    )


def _numbers(values: Floats) -> tuple[float | None, ...]:
    return tuple(round(float(v), DIGITS) if np.isfinite(v) else None for v in values)


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(v), DIGITS) for v in values)
