"""What of a training goes to MLflow: parameters, metrics with intervals, documents, figures, tags."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.run_validation import HeldOut
from training.study import Study
from training.tracking import Registered, log_training


def log_run(
    study: Study,
    held: Mapping[str, HeldOut],
    chosen: HeldOut,
    document: Mapping[str, Any],
    bundle: Path,
    figures: Mapping[str, str],
    *,
    digest: str,
    seed: int,
) -> Registered:
    """One parent run, a child per candidate; the bundle as the registered model."""
    return log_training(
        study=study.name,
        seed=seed,
        parameters=_parameters(study, document),
        metrics=_flat(document["chosen"]["metrics"]) | _sides(document["comparison"]) | _counts(document),
        children={
            name: (dict(found.pairs[0].clinical.fitted.settings), _candidate(document, name))
            for name, found in held.items()
        },
        documents={
            "summary.json": document,
            "attrition.json": document["attrition"],
            "card.md": (bundle / "card.md").read_text(encoding="utf-8"),
            "study.toml": (bundle / "study.toml").read_text(encoding="utf-8"),
        },
        figures=figures,
        bundle=bundle,
        tags={"chosen": chosen.candidate, "bundle_digest": digest, "study_digest": str(document["study_digest"])},
    )


def _parameters(study: Study, document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {"chosen": document["chosen"]["candidate"], "validation": document["validation"]["scheme"]}
    for section, content in study.model_dump(mode="json", exclude={"title", "name"}).items():
        values = content if isinstance(content, dict) else {"": content}
        for key, value in values.items():
            found[f"{section}.{key}".rstrip(".")] = value
    return found


def _candidate(document: Mapping[str, Any], name: str) -> dict[str, float]:
    found = {"inner_brier": document["inner_brier"][name]}
    for horizon, metrics in document["candidates"][name].items():
        found |= _flat(metrics, prefix=f"{horizon}/")
    return found


def _sides(comparison: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, compared in comparison.items():
        for model, metrics in compared["models"].items():
            found |= _flat(metrics, prefix=f"{key}/{model.replace(' ', '_')}/")
    return found


def _counts(document: Mapping[str, Any]) -> dict[str, float]:
    return {"people": document["people"], "events": document["events"], "rows": document["rows"]}


def _flat(metrics: Mapping[str, Mapping[str, float | None]], *, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}{name}{suffix}": value
        for name, metric in metrics.items()
        for suffix, value in (("", metric["value"]), ("_low", metric["low"]), ("_high", metric["high"]))
        if value is not None and math.isfinite(value)
    }
