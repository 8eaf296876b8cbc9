"""Is acting on the risks worth it: net benefit, and what a cut-off or a team's capacity finds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints


@dataclass(frozen=True, slots=True)
class Flagging:
    """What flagging finds, as shares of everybody. sensitivity, specificity, ppv: probabilities, nan where undefined.

    flagged: counted, as nothing about it is censored. alerts_per_true_case: people flagged for each among them who has
    the event, 1 / PPV, so never below 1. net_benefit: true positives per person minus
    false positives weighed by the odds of the cut-off (Vickers, Med Decis Making 2006;26:565); nan at a capacity.
    """

    flagged: float
    sensitivity: float
    specificity: float
    ppv: float
    alerts_per_true_case: float
    net_benefit: float


def at_threshold(
    risk: Floats,
    label: Bools,
    *,
    weight: Floats,
    threshold: float,
    count: Floats | None = None,
) -> Flagging:
    """Everybody whose risk is at least the threshold; weighted rows carry censoring and competing events.

    count: (n,) copies of each row; None: as it weighs.
    """
    chosen = (risk >= threshold).astype(np.float64)
    return _flagging(chosen, label, weight=weight, count=count, odds=threshold / (1 - threshold))


def on_the_list(falling: Ints, count: Floats, *, share: float, rank: Ints | None = None) -> Floats:
    """(n,) the part of each row that a team takes on that has room for a share of everybody.

    falling: rows by falling risk. count: (n,) copies of each. rank: (n,) dense rank of the risks, None where all
    differ. Of equal risks at the end of the list each has the same chance, so none depends on the order of rows; the
    list is never longer than the team's room.
    """
    copies = count[falling]
    room = np.floor(share * copies.sum() + 1e-9)
    tied = np.zeros(len(falling), dtype=np.bool_) if rank is None else np.append(False, np.diff(rank[falling]) == 0)
    starts = np.flatnonzero(~tied)
    block = np.add.reduceat(copies, starts) if len(starts) else np.empty(0)
    left = room - (np.cumsum(block) - block)
    part = np.clip(np.divide(left, block, out=np.zeros_like(block), where=block > 0), 0.0, 1.0)
    chosen = np.empty(len(falling))
    chosen[falling] = np.repeat(part, np.diff(np.append(starts, len(falling))))
    return chosen


def of_the_list(chosen: Floats, label: Bools, *, weight: Floats, count: Floats) -> Flagging:
    """What a list finds; chosen (n,) is the part of each row on it, whoever else stands there."""
    return _flagging(chosen, label, weight=weight, count=count, odds=math.nan)


def _flagging(chosen: Floats, label: Bools, *, weight: Floats, count: Floats | None, odds: float) -> Flagging:
    total = float(weight.sum())
    cases = float(weight @ label)
    true = float(weight @ (chosen * label))
    weighed = float(weight @ chosen)
    false = weighed - true
    copies = weight if count is None else count
    return Flagging(
        flagged=_ratio(float(copies @ chosen), float(copies.sum())),
        sensitivity=_ratio(true, cases),
        specificity=_ratio(total - cases - false, total - cases),
        ppv=_ratio(true, weighed),
        alerts_per_true_case=_ratio(weighed, true),
        net_benefit=_ratio(true - false * odds, total),
    )


@dataclass(frozen=True, slots=True)
class DecisionCurve:
    """Net benefit over thresholds (t,): of the model, of treating everybody; of treating nobody it is zero."""

    thresholds: Floats
    model: Floats
    treat_all: Floats


def decision_curve(risk: Floats, label: Bools, *, weight: Floats, thresholds: Floats) -> DecisionCurve:
    """Weighted rows make it the net benefit under censoring and competing events."""
    model = [at_threshold(risk, label, weight=weight, threshold=float(t)).net_benefit for t in thresholds]
    prevalence = _ratio(float(weight @ label), float(weight.sum()))
    odds = thresholds / (1 - thresholds)
    return DecisionCurve(thresholds, np.array(model), prevalence - (1 - prevalence) * odds)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan
