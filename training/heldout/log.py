"""What of a training goes to MLflow: parameters, metrics with intervals, documents, figures, tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from training.bundle import MANIFEST
from training.disclosure import SMALLEST
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut
from training.heldout.evidence import git_commit
from training.heldout.plan import Plan
from training.registry import Child, Registered, log_training
from training.result import Compared, LeakageProof, Metrics, Result
from training.study import Study

MOST_FOLDS = 60  # runs of folds a candidate may have: a repeated benchmark would drown the others


def log_run(
    plan: Plan,
    result: Result,
    *,
    held: Mapping[str, HeldOut],
    bundle: Path,
    figures: Mapping[str, str],
    digest: str,
) -> Registered:
    """One parent run, a child per candidate and fold; the bundle as the registered model."""
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    return log_training(
        study=plan.study.name,
        seed=plan.seed,
        parameters=_parameters(plan.study, result),
        metrics=_flat(result.chosen.metrics) | _sides(result.comparison) | _counts(result),
        children={
            name: Child(
                dict(found.pairs[0].clinical.fitted.settings),
                _candidate(result, name),
                _folds(plan, found),
            )
            for name, found in held.items()
        },
        documents={
            "summary.json": result.to_json(),
            "attrition.json": [step.to_json() for step in result.attrition],
            "environment.json": manifest["versions"],
            **({} if result.leakage is None else {"leakage.json": result.leakage.to_json()}),
            "card.md": (bundle / "card.md").read_text(encoding="utf-8"),
            "study.toml": (bundle / "study.toml").read_text(encoding="utf-8"),
        },
        figures=figures,
        bundle=bundle,
        tags=_tags(result, manifest=manifest, digest=digest),
    )


def _tags(result: Result, *, manifest: Mapping[str, Any], digest: str) -> dict[str, str]:
    """What the run was made of: digests of study, data, code, catalogue and bundle, and the proof against leakage."""
    found = {
        "chosen": result.chosen.candidate,
        "bundle_digest": digest,
        "study_digest": result.study_digest,
        "data_digest": "" if result.data is None else result.data.digest,
        "code_digest": result.code_digest or "",
        "catalogue_hash": str(manifest["catalogue_hash"]),
        "leakage_proof": _verdict(result.leakage),
        "python": str(manifest["versions"]["python"]),
    }
    commit = git_commit()
    return found if commit is None else found | {"git_commit": commit}


def _verdict(proof: LeakageProof | None) -> str:
    if proof is None:
        return "none"
    return "passed" if proof.passed else "failed"


def _folds(plan: Plan, found: HeldOut) -> dict[str, dict[str, float]]:
    """The served risk's numbers on each split's test rows, at the last horizon; none of fewer than 11 people,
    and none where there is one split only."""
    names = list(dict.fromkeys(found.fold.tolist()))
    if not 1 < len(names) <= MOST_FOLDS:
        return {}
    bench = Bench.of(plan, found, n_boot=0).one_model
    numbers: dict[str, dict[str, float]] = {}
    for name in names:
        rows = np.flatnonzero(found.fold == name)
        some = bench.take(rows)
        if some.people < SMALLEST:
            continue
        measured = {key: one.value for key, one in some.measure(found.served[rows]).items()}
        numbers[str(name)] = {"people": some.people, **measured}
    return numbers


def _parameters(study: Study, result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {"chosen": result.chosen.candidate, "validation": result.validation.scheme}
    if result.chosen.horizon_days is not None:
        found |= {"horizon_days": result.chosen.horizon_days, "time_unit": result.time_unit or "days"}
    for section, content in study.model_dump(mode="json", exclude={"title", "name"}).items():
        values = content if isinstance(content, dict) else {"": content}
        for key, value in values.items():
            found[f"{section}.{key}".rstrip(".")] = value
    return found


def _candidate(result: Result, name: str) -> dict[str, float]:
    found = {"inner_brier": result.inner_brier[name]}
    for horizon, metrics in result.candidates[name].items():
        found |= _flat(metrics, prefix=f"{horizon}/")
    return found


def _sides(comparison: Mapping[str, Compared]) -> dict[str, float]:
    found: dict[str, float] = {}
    for key, compared in comparison.items():
        for model, metrics in compared.models.items():
            found |= _flat(metrics, prefix=f"{key}/{model.replace(' ', '_')}/")
    return found


def _counts(result: Result) -> dict[str, float]:
    return {"people": result.people, "events": result.events, "rows": result.rows}


def _flat(metrics: Metrics, *, prefix: str = "") -> dict[str, float]:
    return {
        f"{prefix}{name}{suffix}": value
        for name, metric in metrics.items()
        for suffix, value in (("", metric.value), ("_low", metric.low), ("_high", metric.high))
        if value is not None
    }
