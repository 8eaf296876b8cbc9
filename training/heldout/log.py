"""What of a training goes to MLflow: parameters, metrics with intervals, documents, figures, tags."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from training.bundle import MANIFEST
from training.cohort import Cohort
from training.disclosure import SMALLEST
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut
from training.heldout.evidence import git_commit
from training.registry import Child, Registered, log_training
from training.study import Study

MOST_FOLDS = 60  # runs of folds a candidate may have: a repeated benchmark would drown the others


def log_run(
    study: Study,
    cohort: Cohort,
    *,
    held: Mapping[str, HeldOut],
    chosen: HeldOut,
    document: Mapping[str, Any],
    bundle: Path,
    figures: Mapping[str, str],
    digest: str,
    seed: int,
) -> Registered:
    """One parent run, a child per candidate and fold; the bundle as the registered model."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    return log_training(
        study=study.name,
        seed=seed,
        parameters=_parameters(study, document),
        metrics=_flat(document["chosen"]["metrics"]) | _sides(document["comparison"]) | _counts(document),
        children={
            name: Child(
                dict(found.pairs[0].clinical.fitted.settings),
                _candidate(document, name),
                _folds(cohort, found, seed=seed),
            )
            for name, found in held.items()
        },
        documents={
            "summary.json": document,
            "attrition.json": document["attrition"],
            "environment.json": manifest["versions"],
            **({"leakage.json": document["leakage"]} if document.get("leakage") else {}),
            "card.md": (bundle / "card.md").read_text(encoding="utf-8"),
            "study.toml": (bundle / "study.toml").read_text(encoding="utf-8"),
        },
        figures=figures,
        bundle=bundle,
        tags=_tags(chosen, document, manifest=manifest, digest=digest),
    )


def _tags(chosen: HeldOut, document: Mapping[str, Any], *, manifest: Mapping[str, Any], digest: str) -> dict[str, str]:
    """What the run was made of: digests of study, data, code, catalogue and bundle, and the proof against leakage."""
    proof = document.get("leakage")
    found = {
        "chosen": chosen.candidate,
        "bundle_digest": digest,
        "study_digest": str(document["study_digest"]),
        "data_digest": str(document["data"]["digest"]),
        "code_digest": str(document["code_digest"]),
        "catalogue_hash": str(manifest["catalogue_hash"]),
        "leakage_proof": "none" if proof is None else "passed" if proof["passed"] else "failed",
        "python": str(manifest["versions"]["python"]),
    }
    commit = git_commit()
    return found if commit is None else found | {"git_commit": commit}


def _folds(cohort: Cohort, found: HeldOut, *, seed: int) -> dict[str, dict[str, float]]:
    """The served risk's numbers on each split's test rows, at the last horizon; none of fewer than 11 people,
    and none where there is one split only."""
    names = list(dict.fromkeys(found.fold.tolist()))
    if not 1 < len(names) <= MOST_FOLDS:
        return {}
    bench = Bench.of(cohort, found, n_boot=0, seed=seed)
    numbers: dict[str, dict[str, float]] = {}
    for name in names:
        rows = np.flatnonzero(found.fold == name)
        some = bench.take(rows)
        if some.people < SMALLEST:
            continue
        measured = {key: one.value for key, one in some.measure(found.served[rows]).items()}
        numbers[str(name)] = {"people": some.people, **measured}
    return numbers


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
