"""What a training puts into its bundle: catalogue, reference distribution, evaluation report, card, versions."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from features.arrays import Ints
from features.catalogue import Catalogue
from features.codes import spelled_out
from training.bundle.bundle import REPORT, Serving, write
from training.bundle.reference import reference_distribution
from training.card import make_card
from training.cohort import Cohort, Scheme, common_codes
from training.disclosure import common_levels
from training.models import Pair
from training.result import Result
from training.study import Study

PACKAGES = ("presage", "numpy", "scikit-learn", "xgboost-cpu", "scipy", "pandas", "pyarrow")


def write_bundle(
    folder: Path,
    study: Study,
    *,
    cohort: Cohort,
    scheme: Scheme,
    pair: Pair,
    result: Result,
) -> str:
    """Write everything that serving needs and a reader of the model wants; returns the digest."""
    rows = np.unique(scheme.splits[0].train) if scheme.temporal else np.arange(len(cohort))
    catalogue = catalogue_of(cohort, rows)
    names = pair.clinical.names + (() if pair.combined is None else pair.combined.names)
    manifest = {
        "name": study.name,
        "title": study.title,
        "study_digest": study.digest(),
        "catalogue_hash": hashlib.sha256(catalogue.encode()).hexdigest(),
        "horizons_days": [None if np.isnan(h) else h for h in cohort.horizons],
        "levels": {name: list(levels) for name, levels in levels_of(cohort, rows).items() if name in names},
        "population": json.loads(study.population.model_dump_json()),
        "outcome": json.loads(study.outcome.model_dump_json()),
        "gate": json.loads(study.gate.model_dump_json()),
        "labels": {name: cohort.described[name].label for name in names if name in cohort.described},
        "versions": versions(),
        "flat": study.is_flat,
        "tells": None if cohort.tells is None else cohort.tells.to_json(),
    }
    documents = {
        "catalogue.json": catalogue,
        REPORT: result.to_text(),
        "card.md": make_card(study.name, study.title, result=result, manifest=manifest, answers={}).markdown(),
        "study.toml": study.to_toml(),
    }
    tables = {"reference.parquet": reference_distribution(replace(cohort.frame, codes=None).take(rows).only(names))}
    documents |= code_lists(study, study.folder)
    serving = serving_rules(study, cohort, pair=pair, rows=rows)
    return write(folder, pair, manifest=manifest, serving=serving, documents=documents, tables=tables)


def serving_rules(study: Study, cohort: Cohort, *, pair: Pair, rows: Ints) -> Serving:
    """Who is scored, and by which model, as far as a frame can tell. rows: those that the pair learned from.

    What nobody lacked in training is required beside what the study requires: no model has seen what its absence goes
    with, and trees would send it down whichever branch is their default.
    """
    genomic = () if pair.combined is None else pair.combined.names
    required = tuple(dict.fromkeys((*study.features.required, *_complete(cohort, pair, rows=rows))))
    if study.is_flat:
        return Serving(required=required, genomic_any=genomic)
    return Serving(
        age_feature=cohort.age_feature,
        age_years=study.population.age_years,
        required=required,
        genomic_required=tuple(n for n in cohort.genomic_required if n in genomic) if genomic else (),
        genomic_any=() if cohort.genomic_required else genomic,
    )


def _complete(cohort: Cohort, pair: Pair, *, rows: Ints) -> list[str]:
    """Features of the clinical model that every row has."""
    return [name for name in pair.clinical.names if not bool(np.isnan(cohort.frame.column(name)[rows]).any())]


def catalogue_of(cohort: Cohort, rows: Ints) -> str:
    """What makes the bundle's frames. Of a record: its catalogue, the codes those that were learned from; a code that
    few people had is a fact about them. Of a flat table: features with their levels, in order.
    """
    if cohort.catalogue_json is None:
        levels = levels_of(cohort, rows)
        features = [{"name": name, "levels": list(levels.get(name, ()))} for name in cohort.frame.names]
        return json.dumps({"source": "flat table", "features": features}, sort_keys=True)
    whole = Catalogue.from_json(cohort.catalogue_json)
    codes = common_codes(cohort.frame.take(rows), cohort.code_prevalence)
    return whole.with_vocabulary(codes).to_json()


def levels_of(cohort: Cohort, rows: Ints) -> Mapping[str, tuple[str, ...]]:
    """Of each category: as the catalogue declares them, or those of a table's that enough people have."""
    frame = cohort.frame
    if cohort.catalogue_json is not None:
        return frame.levels
    person = np.unique(frame.subject_ids[rows], return_inverse=True)[1]
    return {
        name: common_levels(frame.column(name)[rows], person, levels=levels) for name, levels in frame.levels.items()
    }


def code_lists(study: Study, folder: Path) -> Mapping[str, str]:
    """The code lists of the population as they mean today, so that a bundle can tell who is eligible by itself."""
    return {f"codelist_{Path(entry).name}": spelled_out(folder / entry) for entry in study.code_lists}


def versions() -> dict[str, str]:
    """Python and the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
