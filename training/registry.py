"""The registry: which version of a model is the champion, how it got there, and its bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from features.errors import PresageError
from training.bundle import MANIFEST, Bundle, load
from training.card import Card, Signature
from training.card_items import QUESTIONS
from training.registry_card import card_of, keep_card, kept_answers
from training.registry_gate import Rule, gate
from training.study import Gate
from training.tracking import client, quiet

CHAMPION, CHALLENGER = "champion", "challenger"
RUN_ID_LENGTH = 32


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
                ("Not promoted.", "bold red"),
                " --override --reason '...' --signed-by NAME promotes anyway and is recorded.",
            )
        elif self.overridden:
            yield Text.assemble(("Champion by override: ", "yellow"), self.overridden)
        else:
            yield Text(f"{self.model} version {self.version} is the champion.", style="green")


def promote(
    model: str,
    version: int,
    *,
    now: datetime,
    answers: Mapping[str, str] | None = None,
    signed_by: str | None = None,
    override: bool = False,
    reason: str | None = None,
    ask: Callable[[str, str], str] | None = None,
) -> Promotion:
    """Make this version the champion where its gate passes, or by an override; who, when and why are recorded.

    answers: what a person says on the card; absent: what was said at an earlier attempt. signed_by: who vouches for
    it. ask: how to get an answer that is still blank (key, question), at a terminal. A version that fails becomes the
    challenger. Raises PresageError for an unknown model or version, or an override without a reason or a name.
    """
    if override and not (reason or "").strip():
        raise PresageError("--override", "a reason", way_out="add --reason '...'; it is recorded with the model")
    if override and not (signed_by or "").strip():
        raise PresageError("--override", "who overrides", way_out="add --signed-by NAME; it is recorded with the model")
    bundle = bundle_of(model, version)
    card = _signed(model, version, bundle, answers, signed_by, ask, now)
    signer = None if card.signature is None else card.signature.name
    rules = gate(
        bundle.report(),
        Gate.model_validate(bundle.manifest["gate"]),
        flat=bool(bundle.manifest.get("flat")),
        signed_by=signer,
        blank=card.blank,
    )
    failed = [rule for rule in rules if rule.verdict == "fail"]
    promoted = not failed or override
    tags = {"gate": json.dumps([[r.name, r.verdict, r.why] for r in rules]), "gate_at": _moment(now)}
    if failed and override:
        tags |= {
            "gate_override_reason": str(reason),
            "gate_override_by": str(signed_by),
            "gate_override_at": _moment(now),
        }
    _record(model, version, tags, promoted=promoted)
    return Promotion(model, version, promoted, rules, reason if failed and override else None)


def _signed(
    model: str,
    version: int,
    bundle: Bundle,
    answers: Mapping[str, str] | None,
    signed_by: str | None,
    ask: Callable[[str, str], str] | None,
    now: datetime,
) -> Card:
    """The version's card with these answers; kept with its run where there is anything new to keep."""
    said = dict(kept_answers(model, version) if answers is None else answers)
    if ask is not None:
        said |= {key: text for key in QUESTIONS if not said.get(key) if (text := ask(key, QUESTIONS[key]).strip())}
    signature = Signature(signed_by, _moment(now)) if signed_by else None
    card = card_of(model, version, bundle, answers=said, signature=signature)
    if said or signature is not None:
        keep_card(model, version, card, said)
    return card


def _record(model: str, version: int, tags: Mapping[str, str], *, promoted: bool) -> None:
    """Tags of the version, and the aliases: a champion is nobody's challenger, and a champion that fails stays."""
    registry = client()
    with quiet():
        for key, value in tags.items():
            registry.set_model_version_tag(model, str(version), key, value)
        aliases = {name: str(number) for name, number in registry.get_registered_model(model).aliases.items()}
        if promoted:
            registry.set_registered_model_alias(model, CHAMPION, str(version))
            if aliases.get(CHALLENGER) == str(version):
                registry.delete_registered_model_alias(model, CHALLENGER)
        elif aliases.get(CHAMPION) != str(version):
            registry.set_registered_model_alias(model, CHALLENGER, str(version))


def _moment(now: datetime) -> str:
    if now.tzinfo is not None:
        now = now.astimezone(UTC).replace(tzinfo=None)
    return now.isoformat(timespec="seconds")


def find(target: str, version: str) -> tuple[Bundle, str | None, int | None]:
    """A bundle with its model and version: of a registered model, a training run's id, or a folder (which has neither).

    version: a number, latest, champion or challenger. Raises PresageError for what is none of these.
    """
    if (Path(target) / MANIFEST).is_file():
        return load(Path(target)), None, None
    if len(target) == RUN_ID_LENGTH and set(target) <= set("0123456789abcdef"):
        model, number = _version_of_run(target)
    else:
        model, number = target, version_number(target, version)
    return bundle_of(model, number), model, number


def _version_of_run(run_id: str) -> tuple[str, int]:
    registry = client()
    with quiet():
        found = list(registry.search_model_versions(f"run_id = '{run_id}'"))
    if not found:
        raise PresageError(run_id, "a run that registered a model", way_out="a child run names its parent in MLflow")
    return str(found[0].name), int(found[0].version)


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
    return _aliased(model, CHAMPION)


def _aliased(model: str, alias: str) -> int:
    registry = client()
    with quiet():
        from mlflow.exceptions import MlflowException

        try:
            return int(registry.get_model_version_by_alias(model, alias).version)
        except MlflowException:
            raise _unknown(registry, model, None, alias) from None


def version_number(model: str, version: str) -> int:
    """The number that `version` names: itself, that of an alias, or that of the newest for "latest".

    Raises PresageError for another word, or where nothing is registered under the name.
    """
    if version.isdigit():
        return int(version)
    if version in (CHAMPION, CHALLENGER):
        return _aliased(model, version)
    if version != "latest":
        raise PresageError("VERSION", f"a version number, latest, {CHAMPION} or {CHALLENGER}")
    with quiet():
        found = client().search_model_versions(f"name='{model}'")
    if not found:
        raise _unknown(client(), model, None)
    return max(int(each.version) for each in found)


def _unknown(registry: Any, model: str, version: int | None, alias: str = CHAMPION) -> PresageError:
    known = sorted(found.name for found in registry.search_registered_models())
    if model not in known:
        return PresageError(model, "no such registered model", way_out=f"known: {', '.join(known) or 'none yet'}")
    if version is None:
        return PresageError(model, f"no version of it is the {alias}", way_out=f"presage promote {model} VERSION")
    return PresageError(f"{model} version {version}", "no such version")
