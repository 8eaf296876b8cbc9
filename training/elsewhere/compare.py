"""Elsewhere against at home: which features are covered, whether risks need recalibration, and both in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.arrays import Floats
from features.frame import FeatureFrame
from training.card import estimate_words
from training.disclosure import SMALLEST
from training.evaluation import CalibrationBases, Observed, weighted_logistic
from training.external import Drift, Recalibration
from training.heldout import Bench
from training.result import Metrics, known

DISCRIMINATION = {  # the first that both know: models trained earlier lack the first
    "c_horizon": "Harrell's C until the horizon",
    "c_harrell": "Harrell's C over all follow-up",
    "auc": "AUC",
}
MISSING_MOVED = 0.05  # share of rows; a feature is named when it is missing so much more or less often
MEAN_MOVED = 0.25  # standard deviations of training


def drift(frame: FeatureFrame, reference: pa.Table) -> tuple[Drift, ...]:
    """Features that moved, most first: share missing, and mean in standard deviations of training.

    frame: the rows that were scored. reference: the bundle's training distribution.
    """
    found = []
    for row in reference.to_pylist():
        column = frame.column(row["feature"]).astype(np.float64)
        n_missing = int(np.isnan(column).sum())
        missing = n_missing / max(len(column), 1)
        shift = _shift(column, row)
        if abs(missing - row["missing"]) < MISSING_MOVED and abs(shift or 0.0) < MEAN_MOVED:
            continue
        shown = n_missing in (0, len(column)) or SMALLEST <= n_missing <= len(column) - SMALLEST
        found.append(
            Drift(
                feature=row["feature"],
                missing_training=round(row["missing"], 3),
                missing_here=round(missing, 3) if shown else None,
                shift=None if shift is None else round(shift, 3),
            )
        )
    return tuple(sorted(found, key=_moved, reverse=True))


def _shift(column: npt.NDArray[np.float64], row: Mapping[str, Any]) -> float | None:
    known = column[~np.isnan(column)]
    if row["mean"] is None or not row["sd"] or len(known) < SMALLEST:
        return None
    return float((known.mean() - row["mean"]) / row["sd"])


def _moved(one: Drift) -> float:
    missing = 0.0 if one.missing_here is None else abs(one.missing_here - one.missing_training)
    return float(max(missing / MISSING_MOVED, abs(one.shift or 0.0) / MEAN_MOVED))


def drift_sentence(moved: Sequence[Drift], n_features: int) -> str:
    """How many features moved, and which are never there."""
    absent = [one.feature for one in moved if one.missing_here == 1.0 and one.missing_training < 1]
    if not moved:
        return f"None of {n_features} features moved."
    is_are = ("is", "has") if len(moved) == 1 else ("are", "have")
    said = f"{len(moved)} of {n_features} features {is_are[0]} missing more or less often, or {is_are[1]} another mean"
    return f"{said}; never recorded here: {', '.join(absent)}." if absent else f"{said}; each is recorded here."


def recalibration(bench: Bench, risk: Floats, *, metrics: Metrics) -> Recalibration:
    """The logistic recalibration that these people ask for, as a suggestion: nothing is changed.

    log odds become intercept + slope x log odds (D. Cox, Biometrika 1958;45:562), weighted for censoring. A slope is
    suggested where its interval excludes 1, else a shift where that of calibration in the large excludes 0.
    """
    observed = Observed.of(bench.outcome, bench.days, persons=bench.persons, uncensored=bench.uncensored)
    weight = observed.weighted(np.ones(len(bench.outcome))).weight
    bases = CalibrationBases.of(risk)
    label = observed.label.astype(np.float64)
    intercept, slope = (float(v) for v in weighted_logistic(bases.line, label, weight, np.zeros(len(label))))
    steep, large = metrics["calibration_slope"], metrics["calibration_in_the_large"]
    if not np.isfinite(slope) or steep.interval is None or large.interval is None or large.value is None:
        return Recalibration(kind="unknown", intercept=None, slope=None, sentence="Too few events to say.")
    if not steep.interval[0] <= 1 <= steep.interval[1]:
        line = f"log odds = {intercept:+.3f} {slope:+.3f} × log odds"
        said = f"Suggested: {line}; the slope is {estimate_words(steep, 2)}."
        return Recalibration(kind="slope", intercept=intercept, slope=slope, sentence=said)
    if not large.interval[0] <= 0 <= large.interval[1]:
        shift = large.value
        way = "low" if shift > 0 else "high"
        said = f"Suggested: log odds {shift:+.3f}; risks are too {way} by {estimate_words(large, 2)}."
        return Recalibration(kind="shift", intercept=shift, slope=1.0, sentence=said)
    return Recalibration(kind="none", intercept=0.0, slope=1.0, sentence="None is called for.")


def sentence(internal: Metrics, external: Metrics) -> str:
    """Whether discrimination holds: the internal estimate inside, below or above the external interval."""
    both = [name for name in DISCRIMINATION if name in external and name in internal]
    name = both[0] if both else "auc"
    words = DISCRIMINATION[name]
    here, home = external[name], known(internal, name)
    if here.interval is None or home is None or home.value is None:
        return f"{words} {estimate_words(here)} here; it cannot be compared."
    low, high = here.interval
    if high < home.value:
        verdict = "Discrimination is lower here"
    elif low > home.value:
        verdict = "Discrimination is higher here"
    else:
        verdict = "Discrimination holds here"
    return f"{verdict}: {words} {estimate_words(here)}, at home {estimate_words(home)}."
