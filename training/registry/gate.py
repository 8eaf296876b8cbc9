"""The gate: the study's rules held against a training's result. Each passes, fails by so much, or cannot apply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from training.result import AgainstEquation, Data, Gap, LeakageProof, Metrics, Result, known
from training.study import Gate

Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the gate: its verdict, and why or by how much."""

    name: str
    verdict: Verdict
    why: str


def gate(result: Result, rules: Gate, *, flat: bool, signed_by: str | None, blank: Sequence[str]) -> tuple[Rule, ...]:
    """Every rule of the study on the training's result, and on its card: who signed it, and what is still blank.

    flat: the model was learned from a table without times, of which nothing can be proved.
    """
    return (
        _beats_equation(result.equation, required=rules.beats_equation),
        _slope(result.chosen.metrics, rules.calibration_slope),
        _gap(result.gaps, rules.max_subgroup_gap),
        _leakage(result.leakage, flat=flat, required=rules.leakage_proof),
        *([_explained(result.data, signed_by, required=rules.columns_explained)] if flat else []),
        _card(signed_by, blank, required=rules.card_signed),
    )


def _beats_equation(compared: AgainstEquation | None, *, required: bool) -> Rule:
    name = "beats the reference equation"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    if compared is None:
        return Rule(name, "not applicable", "the study names no equation: none is published for this outcome")
    if not compared.people:
        return Rule(name, "not applicable", compared.reason or "the equation applies to no test person")
    delta = known(compared.delta, "auc")
    if delta is None or delta.interval is None:
        why = f"no interval on {compared.people} people: it takes [validation] bootstraps, and both outcomes in them"
        return Rule(name, "fail", why)
    low, high = delta.interval
    words = f"AUC {delta.value:+.3f} ({low:+.3f} to {high:+.3f}) on {compared.people} people"
    by = "" if low > 0 else f"; the lower end has to be above 0, short by {-low:.3f}"
    return Rule(name, "fail" if by else "pass", words + by)


def _slope(metrics: Metrics, limits: tuple[float, float]) -> Rule:
    slope = metrics["calibration_slope"].value if "calibration_slope" in metrics else None
    name = "calibration slope in range"
    if slope is None:
        return Rule(name, "fail", "it could not be estimated")
    low, high = limits
    inside = low <= slope <= high
    by = "" if inside else f", outside by {max(low - slope, slope - high):.2f}"
    return Rule(name, "pass" if inside else "fail", f"{slope:.2f}, allowed {low:g} to {high:g}{by}")


def _gap(gaps: Mapping[str, Gap], limit: float) -> Rule:
    name = "no subgroup gap beyond the limit"
    if not gaps:
        return Rule(name, "not applicable", "no group has two levels of enough people")
    worst = max(gaps, key=lambda group: gaps[group].auc)
    gap = gaps[worst].auc
    by = "" if gap <= limit else f", beyond by {gap - limit:.3f}"
    words = f"largest AUC gap {gap:.3f} by {worst}, limit {limit:g}{by}"
    return Rule(name, "pass" if gap <= limit else "fail", words)


def _leakage(proof: LeakageProof | None, *, flat: bool, required: bool) -> Rule:
    name = "leakage proof present"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    if proof is None and flat:
        return Rule(name, "not applicable", "a flat table has no times to prove anything with")
    if proof is None:
        return Rule(name, "fail", "the run holds none; train again")
    return Rule(name, "pass" if proof.passed else "fail", proof.sentence)


def _explained(data: Data | None, signed_by: str | None, *, required: bool) -> Rule:
    """Of a flat table: no feature looks like the outcome, or the study says why it may be used, and somebody signs."""
    name = "columns that look like the outcome explained"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    if data is None or data.suspects is None:
        return Rule(name, "not applicable", "nobody looked for such columns when it was trained")
    if not data.suspects:
        return Rule(name, "pass", "no column looks like the outcome")
    said = "; ".join(one.said for one in data.suspects)
    if data.unexplained:
        return Rule(name, "fail", f"{said}: leave them out, or say why they are known before ([features.explained])")
    if not signed_by:
        return Rule(name, "fail", f"{said}: nobody signed it (--signed-by)")
    return Rule(name, "pass", f"{said}; signed by {signed_by}")


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
