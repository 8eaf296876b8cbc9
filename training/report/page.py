"""`presage report`: a trained model's page, from a version in the registry, a run, or a bundle's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.writing import write_text
from training.bundle import Bundle
from training.card import Signature
from training.external import ExternalResult
from training.registry import Rule, card_of, client, find, kept_card, quiet, validations_of
from training.registry.gate import gate
from training.report.render import render_report
from training.report.view import Story
from training.study import Gate


def report(target: str, version: str = "latest", *, out: Path | None = None) -> Path:
    """Write the page and return where it is; `<study>-report.html` here where no `out` is given.

    target: a registered model (with a version, an alias or latest), the id of a training run, or a bundle's folder.
    Raises PresageError for what is none of these.
    """
    told = story_of(target, version)
    path = Path(f"{told.result.study}-report.html") if out is None else out
    write_text(path, render_report(told))
    return path


def story_of(target: str, version: str = "latest") -> Story:
    """What there is to tell of a model."""
    bundle, model, number = find(target, version)
    return _story(bundle, model, number=number)


def _story(bundle: Bundle, model: str | None, *, number: int | None) -> Story:
    registry: dict[str, Any] = {"version": None, "aliases": [], "run_id": None, "git_commit": None, "gate_at": None}
    registry |= dict.fromkeys(("gate_override_reason", "gate_override_by", "gate_override_at"))
    answers: dict[str, str] = {}
    signature: Signature | None = None
    validations: tuple[ExternalResult, ...] = ()
    if model is not None and number is not None:
        registry |= _registry(model, number)
        answers, signature = kept_card(model, number)
        validations = tuple(validations_of(model, number))
    card = card_of(bundle.name, number, bundle=bundle, answers=answers, signature=signature)
    result = bundle.report()
    rules = _decided(registry) or gate(
        result,
        Gate.model_validate(bundle.manifest["gate"]),
        flat=bool(bundle.manifest.get("flat")),
        signed_by=None if signature is None else signature.name,
        blank=card.blank,
    )
    return Story(result, bundle.manifest, bundle.digest, card, rules, registry, validations)


def _decided(registry: Mapping[str, Any]) -> tuple[Rule, ...] | None:
    """The rules as they were held at the last attempt to promote."""
    stored = registry.get("gate")
    return None if stored is None else tuple(Rule(*one) for one in json.loads(stored))


def _registry(model: str, number: int) -> dict[str, Any]:
    registry = client()
    with quiet():
        found = registry.get_model_version(model, str(number))
        run = registry.get_run(found.run_id)
    return {
        **found.tags,
        "version": number,
        "aliases": sorted(found.aliases),
        "run_id": found.run_id,
        "git_commit": run.data.tags.get("git_commit"),
    }
