"""A version's card and validations in MLflow: files of its training run, and tags of the version that point to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from training.bundle import Bundle
from training.card import Card, Signature, answers_toml, make_card
from training.external import ExternalResult
from training.registry.tracking import VALIDATES, client, quiet

FOLDER = "card"


def card_of(
    model: str,
    version: int | None,
    *,
    bundle: Bundle,
    answers: Mapping[str, str],
    signature: Signature | None,
) -> Card:
    """The card of a bundle, with the validations its version has been through; None: a bundle of no registry."""
    return make_card(
        bundle.name,
        str(bundle.manifest.get("title") or ""),
        result=bundle.report(),
        manifest={**bundle.manifest, "digest": bundle.digest},
        answers=answers,
        validations=[] if version is None else validations_of(model, version),
        signature=signature,
    )


def keep_card(model: str, version: int, *, card: Card, answers: Mapping[str, str], page: str) -> None:
    """Write the card beside the version's run (Markdown, the answers, and `page`: the same as HTML), and who signed it
    into its tags.
    """
    registry = client()
    with quiet():
        run_id = registry.get_model_version(model, str(version)).run_id
        signature = None if card.signature is None else asdict(card.signature)
        kept = {
            "card.md": card.markdown(),
            "card.html": page,
            "card.toml": answers_toml(answers),
            "card.json": json.dumps({"answers": dict(answers), "signature": signature}, indent=1, sort_keys=True),
        }
        for name, text in kept.items():
            registry.log_text(run_id, text, f"{FOLDER}/{name}")
        if card.signature is not None:
            registry.set_model_version_tag(model, str(version), "card_signed_by", card.signature.name)
            registry.set_model_version_tag(model, str(version), "card_signed_at", card.signature.at)


def kept_answers(model: str, version: int) -> dict[str, str]:
    """What a person said at an earlier attempt."""
    return kept_card(model, version)[0]


def kept_card(model: str, version: int) -> tuple[dict[str, str], Signature | None]:
    """Answers and signature that were kept with a version; nothing where nobody has said or signed anything."""
    registry = client()
    with quiet():
        run_id = registry.get_model_version(model, str(version)).run_id
        if f"{FOLDER}/card.json" not in [file.path for file in registry.list_artifacts(run_id, FOLDER)]:
            return {}, None
        kept = json.loads(_downloaded(run_id, f"{FOLDER}/card.json").read_text("utf-8"))
    signature = None if kept["signature"] is None else Signature(**kept["signature"])
    return dict(kept["answers"]), signature


def validations_of(model: str, version: int) -> list[ExternalResult]:
    """What `presage validate` found of this version elsewhere, newest first."""
    registry = client()
    with quiet():
        experiment = registry.get_experiment_by_name(model)
        if experiment is None:
            return []
        runs = registry.search_runs(
            [experiment.experiment_id],
            f"tags.{VALIDATES} = '{model}/{version}' AND attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
        )
        return [ExternalResult.read(_downloaded(run.info.run_id, "validation.json")) for run in runs]


def _downloaded(run_id: str, path: str) -> Path:
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(run_id=run_id, artifact_path=path))
