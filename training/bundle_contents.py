"""What a training puts into its bundle: catalogue, reference distribution, evaluation report, card, versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from training.bundle import Serving, write
from training.bundle_reference import reference_distribution
from training.card import make_card
from training.cohort import Cohort, Ints
from training.splits import Scheme
from training.study import Study
from training.variants import Pair

PACKAGES = ("presage", "numpy", "scikit-learn", "xgboost-cpu", "scipy", "pandas", "pyarrow")


def write_bundle(
    folder: Path,
    study: Study,
    study_path: Path,
    cohort: Cohort,
    scheme: Scheme,
    pair: Pair,
    document: dict[str, Any],
) -> str:
    """Write everything that serving needs and a reader of the model wants; returns the digest."""
    catalogue = cohort.catalogue_json or flat_catalogue(cohort)
    rows = np.unique(scheme.splits[0].train) if scheme.temporal else np.arange(len(cohort))
    names = pair.clinical.names + (() if pair.combined is None else pair.combined.names)
    manifest = {
        "name": study.name,
        "title": study.title,
        "study_digest": study.digest(),
        "catalogue_hash": cohort.catalogue_hash or hashlib.sha256(catalogue.encode()).hexdigest(),
        "horizons_days": [None if np.isnan(h) else h for h in cohort.horizons],
        "levels": {name: list(levels) for name, levels in cohort.frame.levels.items() if name in names},
        "population": json.loads(study.population.model_dump_json()),
        "outcome": json.loads(study.outcome.model_dump_json()),
        "gate": json.loads(study.gate.model_dump_json()),
        "labels": {name: cohort.described[name].label for name in names if name in cohort.described},
        "versions": versions(),
        "flat": study.is_flat,
    }
    documents = {
        "catalogue.json": catalogue,
        "evaluation.json": json.dumps(document, indent=1, allow_nan=False) + "\n",
        "card.md": make_card(study.name, study.title, document, manifest, answers={}).markdown(),
        "study.toml": study_path.read_text(encoding="utf-8"),
    }
    tables = {"reference.parquet": reference_distribution(cohort.frame.take(rows).only(names))}
    documents |= code_lists(study, study_path.parent)
    serving = serving_rules(study, cohort, pair, rows)
    return write(folder, pair, manifest=manifest, serving=serving, documents=documents, tables=tables)


def serving_rules(study: Study, cohort: Cohort, pair: Pair, rows: Ints) -> Serving:
    """Who is scored, and by which model, as far as a frame can tell. rows: those that the pair learned from.

    What nobody lacked in training is required beside what the study requires: no model has seen what its absence goes
    with, and trees would send it down whichever branch is their default.
    """
    genomic = () if pair.combined is None else pair.combined.names
    required = tuple(dict.fromkeys((*study.features.required, *_complete(cohort, pair, rows))))
    if study.is_flat:
        return Serving(required=required, genomic_any=genomic)
    return Serving(
        age_feature=cohort.age_feature,
        age_years=study.population.age_years,
        required=required,
        genomic_required=tuple(n for n in cohort.genomic_required if n in genomic) if genomic else (),
        genomic_any=() if cohort.genomic_required else genomic,
    )


def _complete(cohort: Cohort, pair: Pair, rows: Ints) -> list[str]:
    """Features of the clinical model that every row has."""
    return [name for name in pair.clinical.names if not bool(np.isnan(cohort.frame.column(name)[rows]).any())]


def flat_catalogue(cohort: Cohort) -> str:
    """A flat table's features: names and levels, in order."""
    features = [{"name": name, "levels": list(cohort.frame.levels.get(name, ()))} for name in cohort.frame.names]
    return json.dumps({"source": "flat table", "features": features}, sort_keys=True)


def code_lists(study: Study, folder: Path) -> Mapping[str, str]:
    """Copies of the code lists of the population, so that a bundle can tell who is eligible by itself."""
    entries = [study.outcome.codes, *study.outcome.competing, *study.population.exclude]
    entries.append(study.population.index.removeprefix("first:"))
    files = sorted({entry for entry in entries if entry is not None and entry.endswith(".csv")})
    return {f"codelist_{Path(entry).name}": (folder / entry).read_text(encoding="utf-8") for entry in files}


def versions() -> dict[str, str]:
    """Python and the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
