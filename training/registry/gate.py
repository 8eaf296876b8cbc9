"""The gate: the study's rules held against a training's report. Each passes, fails by so much, or cannot apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training.study import Gate

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the gate: its verdict, and why or by how much."""

    name: str
    verdict: Verdict
    why: str


def gate(
    report: Mapping[str, Any], rules: Gate, *, flat: bool, signed_by: str | None, blank: Sequence[str]
) -> tuple[Rule, ...]:
    """Every rule of the study on the training's report, and on its card: who signed it, and what is still blank.

    flat: the model was learned from a table without times, of which nothing can be proved.
    """
    return (
        _beats_equation(report, required=rules.beats_equation),
        _slope(report, rules.calibration_slope),
        _gap(report, rules.max_subgroup_gap),
        _leakage(report, flat=flat, required=rules.leakage_proof),
        _card(signed_by, blank, required=rules.card_signed),
    )


def _beats_equation(report: Mapping[str, Any], *, required: bool) -> Rule:
    name = "beats the reference equation"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    if report.get("equation") is None:
        return Rule(name, "not applicable", "the study names no equation: none is published for this outcome")
    comparison = report["equation"]
    delta = comparison.get("delta", {}).get("auc")
    if not comparison.get("people"):
        return Rule(name, "not applicable", comparison.get("reason") or "the equation applies to no test person")
    if not delta or delta["low"] is None:
        why = (
            f"no interval on {comparison['people']} people: it takes [validation] bootstraps, and both outcomes in them"
        )
        return Rule(name, "fail", why)
    words = f"AUC {delta['value']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f}) on {comparison['people']} people"
    by = "" if delta["low"] > 0 else f"; the lower end has to be above 0, short by {-delta['low']:.3f}"
    return Rule(name, "fail" if by else "pass", words + by)


def _slope(report: Mapping[str, Any], limits: tuple[float, float]) -> Rule:
    slope = report["chosen"]["metrics"].get("calibration_slope", {}).get("value")
    name = "calibration slope in range"
    if slope is None:
        return Rule(name, "fail", "it could not be estimated")
    low, high = limits
    inside = low <= slope <= high
    by = "" if inside else f", outside by {max(low - slope, slope - high):.2f}"
    return Rule(name, "pass" if inside else "fail", f"{slope:.2f}, allowed {low:g} to {high:g}{by}")


def _gap(report: Mapping[str, Any], limit: float) -> Rule:
    name = "no subgroup gap beyond the limit"
    gaps = {group: gap for group, gap in report.get("gaps", {}).items() if gap and gap.get("auc") is not None}
    if not gaps:
        return Rule(name, "not applicable", "no group has two levels of enough people")
    worst = max(gaps, key=lambda group: float(gaps[group]["auc"]))
    gap = gaps[worst]["auc"]
    by = "" if gap <= limit else f", beyond by {gap - limit:.3f}"
    words = f"largest AUC gap {gap:.3f} by {worst}, limit {limit:g}{by}"
    return Rule(name, "pass" if gap <= limit else "fail", words)


def _leakage(report: Mapping[str, Any], *, flat: bool, required: bool) -> Rule:
    name = "leakage proof present"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    proof = report.get("leakage")
    if proof is None and flat:
        return Rule(name, "not applicable", "a flat table has no times to prove anything with")
    if proof is None:
        return Rule(name, "fail", "the run holds none; train again")
    return Rule(name, "pass" if proof["passed"] else "fail", proof["sentence"])


def _card(signed_by: str | None, blank: Sequence[str], *, required: bool) -> Rule:
    name = "model card signed"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    if signed_by and not blank:
        return Rule(name, "pass", f"signed by {signed_by}, nothing blank")
    missing = [] if signed_by else ["nobody signed it (--signed-by)"]
    if blank:
        missing.append(f"{len(blank)} of its answers are blank (--card): {', '.join(blank)}")
    return Rule(name, "fail", "; ".join(missing))
