"""A bundle's study on other people: the same index, outcome and horizons, and the features that the bundle expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.build import build
from features.catalogue import Catalogue
from features.errors import PresageError
from features.frame import FeatureFrame
from features.index import Index
from features.progress import Progress
from features.record import Record
from training.bundle import Bundle
from training.cohort import Block, Cohort, Dosages, References, read_flat, unnamed
from training.disclosure import OTHER
from training.models import DosageScore
from training.study import BASE, FeaturesSection, Study, Validation, read_study


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Other people by the study's rules. The cohort's frame holds the bundle's features, in the bundle's levels."""

    study: Study
    cohort: Cohort
    references: References
    dosages: Dosages | None


def read_elsewhere(
    bundle: Bundle, *, record_dir: Path | None, table: Path | pd.DataFrame | None, progress: Progress
) -> Elsewhere:
    """The study's people in another record or table. Raises PresageError where the source is of another kind."""
    study = definition(bundle)
    if study.source is not None:
        if table is None:
            raise PresageError(
                "--table",
                f"a table, as {bundle.name} was learned from one",
                found="none",
                way_out="give --table FILE, in Python table=",
            )
        return _flat(study, bundle=bundle, table=table)
    if record_dir is None:
        raise PresageError(
            "--record",
            f"a record, as {bundle.name} was learned from one",
            found="none",
            way_out="give --record DIR, in Python record=DIR",
        )
    return _recorded(study, bundle, record_dir=record_dir, progress=progress)


def definition(bundle: Bundle) -> Study:
    """The study in the bundle, with the code lists and horizons that are sealed in it, and without its splits."""
    study = read_study(bundle.folder / "study.toml")
    horizons = tuple(days for days in bundle.horizons_days if not np.isnan(days))
    population, outcome = study.population, study.outcome
    return study.model_copy(
        update={
            "features": _as_trained(study.features, bundle.names),
            "validation": Validation(bootstraps=study.validation.bootstraps),
            "population": population.model_copy(
                update={"index": _sealed(population.index), "exclude": tuple(map(_sealed, population.exclude))}
            ),
            "outcome": outcome.model_copy(
                update={
                    "codes": None if outcome.codes is None else _sealed(outcome.codes),
                    "competing": tuple(map(_sealed, outcome.competing)),
                    "horizons_days": horizons,
                }
            ),
        }
    )


def _as_trained(section: FeaturesSection, names: Sequence[str]) -> FeaturesSection:
    """Features of no block were once used without being asked for: a bundle of that day gets them all the same."""
    if section.blocks and section.rest is None and unnamed(section.blocks.values(), names):
        return section.model_copy(update={"rest": BASE})
    return section


def _sealed(entry: str) -> str:
    """A code list's name within the bundle."""
    first = "first:" if entry.startswith("first:") else ""
    return f"{first}codelist_{Path(entry).name}" if entry.endswith(".csv") else entry


def _recorded(study: Study, bundle: Bundle, *, record_dir: Path, progress: Progress) -> Elsewhere:
    from training.cohort import read_record

    cohort, references = read_record(study, bundle.folder, record_dir=record_dir, truth=None, progress=progress)
    index = Index(cohort.frame.subject_ids, cohort.frame.as_of)
    frame = build(
        index, Record.open(record_dir), catalogue=Catalogue.from_json(bundle.catalogue_json()), progress=progress
    )
    return Elsewhere(study, _with_frame(cohort, frame, bundle=bundle), references, None)


def _flat(study: Study, *, bundle: Bundle, table: Path | pd.DataFrame) -> Elsewhere:
    folder = table.parent if isinstance(table, Path) else Path()
    cohort = read_flat(study, folder, handed=table, elsewhere=True)
    combined = bundle.pair.combined
    score = None if combined is None else combined.dosage_score
    dosages = None if cohort.dosages is None or score is None else aligned(cohort.dosages, score)
    return Elsewhere(study, _with_frame(cohort, in_levels(cohort.frame, bundle), bundle=bundle), References(), dosages)


def _with_frame(cohort: Cohort, frame: FeatureFrame, *, bundle: Bundle) -> Cohort:
    """The bundle's own split into features that everybody has and genomic ones, whatever else the source holds."""
    blocks = [Block("clinical", tuple(bundle.manifest["clinical_features"]), genomic=False)]
    if bundle.manifest["genomic_features"] is not None:
        blocks.append(Block("genomic", tuple(bundle.manifest["genomic_features"]), genomic=True))
    return replace(cohort, frame=frame, blocks=tuple(blocks))


def in_levels(frame: FeatureFrame, bundle: Bundle) -> FeatureFrame:
    """The bundle's features out of a table's frame: levels by name, the rest as in training, absent columns missing."""
    levels = {name: tuple(known) for name, known in bundle.manifest["levels"].items()}
    values = np.full((len(frame), len(bundle.names)), np.nan, dtype=np.float32)
    for j, name in enumerate(bundle.names):
        if name not in frame.names:
            continue
        column = frame.column(name)
        if name in levels:
            here = frame.levels.get(name)
            words = [f"{v:g}" if here is None else here[int(v)] for v in np.nan_to_num(column)]
            number = {level: float(i) for i, level in enumerate(levels[name])}
            unknown = number.get(OTHER, np.nan)
            known = np.array([number.get(word, unknown) for word in words], dtype=np.float32)
            values[:, j] = np.where(np.isnan(column), np.float32(np.nan), known)
        elif name not in frame.levels:
            values[:, j] = column
    return FeatureFrame(frame.subject_ids, frame.as_of, bundle.names, values, levels)


def aligned(dosages: Dosages, score: DosageScore) -> Dosages:
    """The score's variants in its order; counts of the other allele are turned round.

    A variant that is absent, or has neither allele (another strand, another change at the place), is not called: to
    turn its counts round would be to score the opposite.
    """
    where = {name: j for j, name in enumerate(dosages.variants)}
    values = np.full((len(dosages.values), len(score.variants)), np.nan, dtype=np.float32)
    for k, (variant, allele) in enumerate(zip(score.variants, score.alleles, strict=True)):
        j = where.get(variant)
        if j is None:
            continue
        if dosages.alleles[j] == allele:
            values[:, k] = dosages.values[:, j]
        elif dosages.others and dosages.others[j] == allele:
            values[:, k] = 2 - dosages.values[:, j]
    called = dosages.called & ~np.isnan(values).all(axis=1)
    return Dosages(score.variants, score.alleles, values, called)
