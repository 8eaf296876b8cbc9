"""The registry: which version of a model is the champion, how it got there, and its bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from features.errors import PresageError
from training.bundle import Bundle, load
from training.study import Gate
from training.tracking import client, quiet

CHAMPION, CHALLENGER = "champion", "challenger"
Verdict = Literal["pass", "fail", "not applicable"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the gate: its verdict, and why or by how much."""

    name: str
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """What `presage promote` decided."""

    model: str
    version: int
    promoted: bool
    rules: tuple[Rule, ...]
    overridden: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The rules, then the decision."""
        table = Table(title=f"{self.model}, version {self.version}", title_justify="left")
        table.add_column("rule")
        table.add_column("verdict")
        table.add_column("why", overflow="fold")
        colours = {"pass": "green", "fail": "bold red", "not applicable": "dim"}
        for rule in self.rules:
            table.add_row(rule.name, Text(rule.verdict, style=colours[rule.verdict]), Text(rule.why))
        yield table
        if not self.promoted:
            yield Text.assemble(
                ("Not promoted.", "bold red"), " --override --reason '...' promotes anyway and is recorded."
            )
        elif self.overridden:
            yield Text.assemble(("Champion by override: ", "yellow"), self.overridden)
        else:
            yield Text(f"{self.model} version {self.version} is the champion.", style="green")


def gate(report: Mapping[str, Any], rules: Gate) -> tuple[Rule, ...]:
    """Every rule of the study on the training's report."""
    return (
        _beats_equation(report, required=rules.beats_equation),
        _slope(report, rules.calibration_slope),
        _gap(report, rules.max_subgroup_gap),
        _leakage(report, required=rules.leakage_proof),
        _card(report, required=rules.card_signed),
    )


def promote(model: str, version: int, *, override: bool = False, reason: str | None = None) -> Promotion:
    """Make this version the champion where its gate passes, or by an override whose reason is recorded.

    A version that fails becomes the challenger. Raises PresageError for an unknown model or version, or an override
    without a reason.
    """
    if override and not (reason or "").strip():
        raise PresageError("--override", "a reason", way_out="add --reason '...'; it is recorded with the model")
    registry = client()
    bundle = bundle_of(model, version)
    rules = gate(bundle.report(), Gate.model_validate(bundle.manifest["gate"]))
    failed = [rule for rule in rules if rule.verdict == "fail"]
    promoted = not failed or override
    with quiet():
        tags = {"gate": json.dumps([[rule.name, rule.verdict, rule.why] for rule in rules])}
        if failed and override:
            tags["gate_override_reason"] = str(reason)
        for key, value in tags.items():
            registry.set_model_version_tag(model, str(version), key, value)
        registry.set_registered_model_alias(model, CHAMPION if promoted else CHALLENGER, str(version))
    return Promotion(model, version, promoted, rules, reason if failed and override else None)


def bundle_of(model: str, version: int | None = None) -> Bundle:
    """The verified bundle of a version; of the champion where none is named."""
    registry = client()
    with quiet():
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            if version is None:
                found = registry.get_model_version_by_alias(model, CHAMPION)
            else:
                found = registry.get_model_version(model, str(version))
            uri = registry.get_model_version_download_uri(model, found.version)
        except MlflowException:
            raise _unknown(registry, model, version) from None
        folder = Path(download_artifacts(artifact_uri=uri)) / "artifacts"
    return load(next(path.parent for path in folder.rglob("bundle.json")))


def champion_version(model: str) -> int:
    """The version that is the champion. Raises PresageError where there is none."""
    registry = client()
    with quiet():
        from mlflow.exceptions import MlflowException

        try:
            return int(registry.get_model_version_by_alias(model, CHAMPION).version)
        except MlflowException:
            raise _unknown(registry, model, None) from None


def version_number(model: str, version: str) -> int:
    """The number that `version` names: itself, or that of the newest for "latest".

    Raises PresageError for another word, or where nothing is registered under the name.
    """
    if version.isdigit():
        return int(version)
    if version != "latest":
        raise PresageError("VERSION", "a version number, or latest")
    with quiet():
        found = client().search_model_versions(f"name='{model}'")
    if not found:
        raise _unknown(client(), model, None)
    return max(int(each.version) for each in found)


def _unknown(registry: Any, model: str, version: int | None) -> PresageError:
    known = sorted(found.name for found in registry.search_registered_models())
    if model not in known:
        return PresageError(model, "no such registered model", way_out=f"known: {', '.join(known) or 'none yet'}")
    if version is None:
        return PresageError(model, "no version of it is the champion", way_out=f"presage promote {model} VERSION")
    return PresageError(f"{model} version {version}", "no such version")


def _beats_equation(report: Mapping[str, Any], *, required: bool) -> Rule:
    name = "beats the reference equation"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    if report.get("equation") is None:
        return Rule(name, "not applicable", "the study names no equation: none is published for this outcome")
    comparison = report["equation"]
    delta = comparison.get("delta", {}).get("auc")
    if not delta or delta["low"] is None:
        return Rule(name, "not applicable", comparison.get("reason") or "the equation applies to too few test people")
    words = f"AUC {delta['value']:+.3f} ({delta['low']:+.3f} to {delta['high']:+.3f}) on {comparison['people']} people"
    return Rule(name, "pass" if delta["low"] > 0 else "fail", words)


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


def _leakage(report: Mapping[str, Any], *, required: bool) -> Rule:
    name = "leakage proof present"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    proof = report.get("leakage")
    if proof is None:
        return Rule(name, "not applicable", "a flat table has no times to prove anything with")
    return Rule(name, "pass" if proof["passed"] else "fail", proof["sentence"])


def _card(report: Mapping[str, Any], *, required: bool) -> Rule:
    name = "model card signed"
    if not required:
        return Rule(name, "not applicable", "the study does not ask for it")
    signer = report.get("card", {}).get("signed_by")
    blank = report.get("card", {}).get("blank", [])
    if signer and not blank:
        return Rule(name, "pass", f"signed by {signer}")
    missing = [] if signer else ["a signer"]
    missing += [text.replace("_", " ") for text in blank]
    return Rule(name, "fail", f"[card] lacks {', '.join(missing)}")
