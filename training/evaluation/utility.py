"""Is acting on the risks worth it: net benefit, and what a cut-off or a team's capacity finds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Flagging:
    """What flagging finds, as shares of everybody. sensitivity, specificity, ppv: probabilities, nan where undefined.

    alerts_per_true_case: people flagged for each who has the event. net_benefit: true positives per person minus
    false positives weighed by the odds of the cut-off (Vickers, Med Decis Making 2006;26:565); nan at a capacity.
    """

    flagged: float
    sensitivity: float
    specificity: float
    ppv: float
    alerts_per_true_case: float
    net_benefit: float


def at_threshold(risk: Floats, label: Flags, weight: Floats, threshold: float) -> Flagging:
    """Everybody whose risk is at least the threshold; weighted rows carry censoring and competing events."""
    return _flagging(risk >= threshold, label, weight, threshold / (1 - threshold))


def at_capacity(falling: Ints, label: Flags, weight: Floats, count: Floats, share: float) -> Flagging:
    """The `share` of people with the highest risks; `falling` holds rows by falling risk, `count` their copies."""
    taken = np.cumsum(count[falling])
    chosen = np.zeros(len(falling), dtype=np.bool_)
    chosen[falling[taken <= share * taken[-1] + 1e-9]] = True
    return _flagging(chosen, label, weight, math.nan)


def _flagging(chosen: Flags, label: Flags, weight: Floats, odds: float) -> Flagging:
    total = float(weight.sum())
    cases = float(weight @ label)
    true = float(weight @ (chosen & label))
    flagged = float(weight @ chosen)
    false = flagged - true
    return Flagging(
        flagged=_ratio(flagged, total),
        sensitivity=_ratio(true, cases),
        specificity=_ratio(total - cases - false, total - cases),
        ppv=_ratio(true, flagged),
        alerts_per_true_case=_ratio(flagged, true),
        net_benefit=_ratio(true - false * odds, total),
    )


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit over thresholds (t,): of the model, of treating everybody; of treating nobody it is zero."""

    thresholds: Floats
    model: Floats
    treat_all: Floats


def decision_curve(risk: Floats, label: Flags, weight: Floats, thresholds: Floats) -> DecisionCurve:
    """Weighted rows make it the net benefit under censoring and competing events."""
    model = [at_threshold(risk, label, weight, float(t)).net_benefit for t in thresholds]
    prevalence = _ratio(float(weight @ label), float(weight.sum()))
    odds = thresholds / (1 - thresholds)
    return DecisionCurve(thresholds, np.array(model), prevalence - (1 - prevalence) * odds)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
