"""A cohort with its features from a record: blocks, groups, genotyped people, reference equation and oracle."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from ibis.backends.duckdb import Backend

from features.arrays import Bools, Floats, Ints, Strings
from features.build import build, learn_vocabulary
from features.catalogue import FAMILIES, Catalogue, catalogue
from features.engine import ALWAYS
from features.errors import PresageError, meant
from features.frame import FeatureFrame
from features.index import Index
from features.progress import Progress
from features.record import Record
from training.cohort.blocks import allowed_names, monotone_signs, named_blocks
from training.cohort.equation import UPDATED, equation_reference, inputs_of
from training.cohort.record import Selected, select
from training.cohort.rows import CARRIER, Block, Cohort, Described, References, Step
from training.disclosure import pooled
from training.study import Study

AGE, SEX = "age_years", "sex_female"
GENOMIC_FAMILIES = ("polygenic", "monogenic")
SHOWN_ONLY = "groups"  # the family to look at fairness with, not to predict from
AGE_BANDS = (0, 18, 40, 50, 60, 70, 80, 200)
FAMILIES_OF_GROUPS = {
    "race": "groups",
    "ethnicity": "groups",
    "deprivation": "social",
    "deprivation_quintile": "social",
    "sex": "demographics",
    "age_band": "demographics",
}


def read_record(
    study: Study, folder: Path, *, record_dir: Path, truth: Path | None, progress: Progress
) -> tuple[Cohort, References]:
    """Select, build, and set beside it what no candidate made."""
    record, backend = Record.open(record_dir), ibis.duckdb.connect()
    with progress("selecting the cohort"):
        selected = select(study, folder, record=record, backend=backend)
    index = Index(selected.subject_ids, selected.as_of)
    whole = _with_every_code(_catalogue(study), index, record=record)
    frame = build(index, record, catalogue=whole, progress=progress)
    blocks, left_out = _blocks(study, whole, frame=frame)
    genotyped, why_not, required = _genotyped(study, frame, blocks=blocks)
    steps = selected.attrition
    if any(block.genomic for block in blocks):
        tested = np.unique(selected.subject_ids[genotyped])
        steps = (*steps, Step("of them with genomic results by then", len(tested), int(genotyped.sum())))
    names = {name for block in blocks for name in block.features} | {AGE}
    if UPDATED in study.models.candidates:
        names |= inputs_of(study)
    kept = whole.only(names)
    cohort = Cohort(
        frame=frame,
        outcome=selected.outcome,
        ids=selected.subject_ids.astype(str).astype(object),
        blocks=blocks,
        genotyped=genotyped,
        why_not=why_not,
        groups={
            name: pooled(_group(name, frame, record=record, backend=backend), frame.subject_ids)
            for name in study.equity.groups
        },
        columns=_columns(study, frame, record=record, backend=backend),
        attrition=steps,
        catalogue_json=kept.to_json(),
        catalogue_hash=kept.hash,
        code_prevalence=whole.code_prevalence,
        age_feature=AGE,
        genomic_required=required,
        described=_described(study, whole, frame=frame, blocks=blocks),
        notes=selected.notes,
        tells=record.tells,
        left_out=left_out,
        equation=study.features.equation,
    )
    return cohort, _references(study, frame, selected=selected, record=record, backend=backend, truth=truth)


def _with_every_code(whole: Catalogue, index: Index, *, record: Record) -> Catalogue:
    """Every code that anybody had; which of them are common enough to learn from is decided inside the folds."""
    if whole.code_prevalence is None:
        return whole
    known = learn_vocabulary(index, record, catalogue=replace(whole, code_prevalence=0.0))
    return replace(known, code_prevalence=whole.code_prevalence)


def _catalogue(study: Study) -> Catalogue:
    """The study's families, and those that its equation and its groups need."""
    families = ["demographics", *study.features.families]
    families += [FAMILIES_OF_GROUPS[name] for name in study.equity.groups if name in FAMILIES_OF_GROUPS]
    try:
        declared = set(catalogue(families).names)
    except PresageError as error:
        raise error.at(f"[features] {error.where}") from None
    lacking = inputs_of(study) - declared
    for family in FAMILIES:
        if family not in {"polygenic", "codes"} and lacking & set(catalogue([family]).names):
            families.append(family)
    return catalogue(list(dict.fromkeys(families)), polygenic=study.features.polygenic)


def _blocks(study: Study, whole: Catalogue, *, frame: FeatureFrame) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """Clinical features of the study's families; then polygenic and monogenic ones, unless the study says otherwise.

    Beside the blocks, the features that the study's blocks leave out.

    Whether somebody was tested is no feature: there was a reason for the test, and its fashion changes by the year.
    """
    families = {"demographics", *study.features.families}
    allowed = set(allowed_names(study.features, frame.names, where="[features]"))
    wanted = [spec for spec in whole.specs if spec.name in allowed]
    polygenic = tuple(spec.name for spec in wanted if spec.aggregate == "polygenic_z")
    monogenic = tuple(spec.name for spec in wanted if spec.name.startswith(CARRIER) and "monogenic" in families)
    clinical = tuple(
        spec.name
        for spec in wanted
        if spec.family in families and spec.family not in GENOMIC_FAMILIES and spec.family != SHOWN_ONLY
    )
    if not study.features.blocks:
        blocks = [Block("clinical", clinical, genomic=False)]
        blocks += [Block("polygenic", polygenic, genomic=True)] if polygenic else []
        blocks += [Block("monogenic", monogenic, genomic=True)] if monogenic else []
        return tuple(blocks), ()
    return named_blocks(study.features, (*clinical, *polygenic, *monogenic), where="[features.blocks]")


def _described(study: Study, whole: Catalogue, *, frame: FeatureFrame, blocks: Iterable[Block]) -> dict[str, Described]:
    """As the catalogue declares; the study may free a feature from its constraint, or constrain another."""
    used = {name for block in blocks for name in block.features}
    if UPDATED in study.models.candidates:
        used |= inputs_of(study)
    specs = [spec for spec in whole.specs if spec.name in used]
    numbers = [spec.name for spec in specs if spec.name not in frame.levels]
    declared = {spec.name: int(spec.monotone) for spec in specs}
    signs = monotone_signs(study.features, numbers, catalogue=declared, where="[features]")
    return {spec.name: Described(spec.label, spec.family, spec.modifiable, signs.get(spec.name, 0)) for spec in specs}


def _genotyped(study: Study, frame: FeatureFrame, *, blocks: Iterable[Block]) -> tuple[Bools, Strings, tuple[str, ...]]:
    """Who may be served by the combined model: every polygenic score usable; without scores, any report."""
    genomic = [name for block in blocks if block.genomic for name in block.features]
    required = tuple(name for name in genomic if name.startswith("prs_"))
    reason = np.full(len(frame), "", dtype=object)
    if not genomic:
        return np.zeros(len(frame), dtype=np.bool_), reason, ()
    for name in required:
        reason[np.isnan(frame.column(name))] = "no usable polygenic result"
        matched = frame.column(name.removesuffix("_z") + "_matched_weight")
        reason[matched < study.models.min_matched_weight] = "too little of the polygenic score's weight matched"
    if not required:
        tested = np.any([~np.isnan(frame.column(name)) for name in genomic], axis=0)
        reason[~np.atleast_1d(tested)] = "no genomic results"
    return reason == "", reason, required


def _group(name: str, frame: FeatureFrame, *, record: Record, backend: Backend) -> Strings:
    """(n,) labels of an equity group; None where unknown."""
    if name == "sex":
        return _labelled(frame.column(SEX), {1.0: "F", 0.0: "M"})
    if name == "age_band":
        return _age_bands(frame.column(AGE))
    if name == "ancestry":
        return _ancestry(frame, record, backend=backend)
    if name in {"site", "care_site"}:
        return _static(frame.subject_ids, record, backend=backend, code="CARE_SITE")
    column = {"deprivation": "deprivation_quintile"}.get(name, name)
    if column not in frame.names:
        raise PresageError(
            "[equity] groups",
            "features, or sex, age_band, ancestry, deprivation, site",
            found=f"'{name}'",
            way_out=meant(name, [*FAMILIES_OF_GROUPS, "ancestry", "site", *frame.names]),
        )
    levels = frame.levels.get(column)
    known = np.unique(frame.column(column)[~np.isnan(frame.column(column))])
    return _labelled(frame.column(column), {v: f"{v:g}" if levels is None else levels[int(v)] for v in known})


def _labelled(column: npt.NDArray[np.float32], words: dict[float, str]) -> Strings:
    found = np.full(len(column), None, dtype=object)
    for value, word in words.items():
        found[column == value] = word
    return found


def _age_bands(age: npt.NDArray[np.float32]) -> Strings:
    found = np.full(len(age), None, dtype=object)
    for low, high in itertools.pairwise(AGE_BANDS):
        found[(age >= low) & (age < high)] = f"{low} to {high - 1}" if high < 200 else f"{low} and over"
    return found


def _ancestry(frame: FeatureFrame, record: Record, *, backend: Backend) -> Strings:
    """By the newest result that was available strictly before the moment: who is tested later is unknown until then."""
    table = record.genomic(backend, "polygenic")
    said = table.filter(table.ancestry_group.notnull()).group_by("subject_id", "available_time")
    found = backend.to_pyarrow(said.aggregate(label=table.ancestry_group.max()))
    known = found["available_time"].to_numpy().astype("datetime64[us]")
    known = np.where(np.isnat(known), ALWAYS, known)
    said_of, says = found["subject_id"].to_pylist(), found["label"].to_pylist()
    by_person: dict[int, list[tuple[np.datetime64, str]]] = {}
    for at in np.lexsort((known, said_of)).tolist():
        by_person.setdefault(said_of[at], []).append((known[at], says[at]))
    labels = np.full(len(frame), None, dtype=object)
    for row, (subject, as_of) in enumerate(zip(frame.subject_ids.tolist(), frame.as_of, strict=True)):
        before = [label for when, label in by_person.get(subject, ()) if when < as_of]
        labels[row] = before[-1] if before else None
    return labels


def _static(subjects: Ints, record: Record, *, backend: Backend, code: str) -> Strings:
    events = record.events(backend)
    said = events.filter(events.code == code)
    return _by_subject(subjects, backend.to_pyarrow(said.group_by("subject_id").aggregate(label=said.text_value.max())))


def _by_subject(subjects: Ints, table: pa.Table) -> Strings:
    labels = dict(zip(table["subject_id"].to_pylist(), table["label"].to_pylist(), strict=True))
    return np.array([labels.get(int(subject)) for subject in subjects], dtype=object)


def _columns(study: Study, frame: FeatureFrame, *, record: Record, backend: Backend) -> dict[str, Strings]:
    v = study.validation
    if v.fold_column is not None or v.test_column is not None:
        raise PresageError(
            "[validation]",
            "folds, fold_file, test_from or site_column for a study of a record",
            found="a column of a flat table",
        )
    return (
        {} if v.site_column is None else {v.site_column: _group(v.site_column, frame, record=record, backend=backend)}
    )


def _references(
    study: Study, frame: FeatureFrame, *, selected: Selected, record: Record, backend: Backend, truth: Path | None
) -> References:
    oracle = None if truth is None else oracle_risk(study, selected, record=record, backend=backend, truth=truth)
    return replace(equation_reference(study, frame, horizons_days=study.outcome.horizons_days), oracle=oracle)


def oracle_risk(study: Study, selected: Selected, *, record: Record, backend: Backend, truth: Path) -> Floats:
    """(n,) true risk by the last horizon; NaN where the truth holds none. Only a simulation has one."""
    if not truth.is_file():
        raise PresageError(str(truth), "the truth.parquet of a simulation", found="no such file")
    horizon = study.outcome.horizons_days[-1]
    outcome = study.outcome.name or study.name
    known = pq.read_table(truth, columns=["person_id", "landmark", "outcome", "horizon_days", "risk"]).to_pandas()
    known = known[(known["outcome"] == outcome) & ((known["horizon_days"] - horizon).abs() <= 0.01 * horizon)]
    if known.empty:
        raise PresageError(
            str(truth),
            f"risks of outcome '{outcome}' by {horizon:g} days",
            found="none",
            way_out="name the outcome as the file does: [outcome] name = ...",
        )
    identity = record.identity(backend)
    people = backend.to_pyarrow(identity.filter(identity.source == "omop")).to_pandas()
    people = people.assign(person_id=people["source_id"].astype("int64"))[["person_id", "subject_id"]]
    joined = known.merge(people, on="person_id")
    moments = joined["landmark"].to_numpy().astype("datetime64[us]").astype(np.int64)
    risks = dict(zip(zip(joined["subject_id"], moments, strict=True), joined["risk"], strict=True))
    keys = zip(selected.subject_ids.tolist(), selected.as_of.astype(np.int64).tolist(), strict=True)
    return np.array([risks.get(key, np.nan) for key in keys], dtype=np.float64)
