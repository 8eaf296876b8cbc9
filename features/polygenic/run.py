"""A polygenic run: read, match and sum every score, and place everybody, in one pass over the genotypes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.adjust import ONLY_VARIANTS, Adjusted, adjust_all, unplaced
from features.polygenic.ancestry import (
    AncestryModel,
    Projection,
    model_sites,
    projection,
    read_model,
    reference_frequencies,
)
from features.polygenic.columns import Alleles, FrequencyTable, read_afreq, required_build
from features.polygenic.genotypes import AllelePairs, Genotypes, Request, lists_only_variants, open_genotypes
from features.polygenic.match import Matcher, ScoredScore, Settings, match_all
from features.polygenic.matching import MatchRules, TargetIndex
from features.polygenic.scores import Aside, ScoreFiles
from features.polygenic.startup import give_back
from features.polygenic.sums import MIN_OWN_FREQUENCY_SAMPLES, ContributionStore, Sums, score_samples
from features.progress import Progress, silent

RANGES = {"min_overlap": (0.0, 1.0), "beyond": (0.0, 1.0), "threads": (1, math.inf), "max_memory_mb": (50, math.inf)}


class SettingKeys(TypedDict, total=False):
    """What `settings_of` takes: the options of `presage prs`."""

    build: str | None
    min_overlap: float
    keep_ambiguous: bool
    keep_multiallelic: bool
    callable_bed: str | PathLike[str] | None
    assume_reference: bool
    rescue_palindromes: bool
    beyond: float
    threads: int
    max_memory_mb: int


def settings_of(
    *,
    keep_ambiguous: bool = False,
    keep_multiallelic: bool = False,
    callable_bed: str | PathLike[str] | None = None,
    **others: Any,
) -> Settings:
    """The settings of a run from the options that are given (`SettingKeys`); the others are as by default.

    Raises PresageError for a number out of its range.

    >>> settings_of(threads=8, keep_ambiguous=True).rules.keep_ambiguous
    True
    """
    for name, (least, most) in RANGES.items():
        if not least <= others.get(name, least) <= most:
            expected = f"{least:g} or more" if most == math.inf else f"a number from {least:g} to {most:g}"
            raise PresageError(f"settings, {name}", expected, found=f"{others[name]:g}")
    rules = MatchRules(keep_ambiguous=keep_ambiguous, keep_multiallelic=keep_multiallelic)
    bed = None if callable_bed is None else Path(callable_bed)
    return Settings(rules=rules, callable_bed=bed, **others)


@dataclass(frozen=True, slots=True)
class ScoredSamples:
    """The results of one run, for all samples and scores.

    `dosages`: whether some genotypes are expected counts. `few_called` (score, sample): as the function of that name
    gives it. `adjusted`: None without an ancestry reference.
    """

    sample_ids: tuple[str, ...]
    scores: tuple[ScoredScore, ...]
    sums: Sums
    imputation: str
    build: str | None
    dosages: bool
    few_called: NDArray[np.bool_]
    adjusted: Adjusted | None = None


def compute(
    genotypes_path: Path,
    score_paths: Sequence[Path],
    *,
    settings: Settings,
    frequencies_path: Path | None = None,
    ancestry_path: Path | None = None,
    on_rows: Callable[[pa.Table], None] | None = None,
    progress: Progress = silent,
) -> ScoredSamples:
    """Read, match and sum every score, and project on the reference's components, in one pass over the genotypes.

    `on_rows` takes the rows of each score's match report. Missing calls stand at the frequencies of the file, then of
    the ancestry reference, then of the samples themselves.
    """
    if not score_paths:
        raise PresageError("--scores", "at least one scoring file", found="none", way_out="give --scores FILE")
    model = read_model(ancestry_path) if ancestry_path is not None else None
    alleles = Alleles()
    with ExitStack() as held:
        store = held.enter_context(closing(ContributionStore(in_memory_mb=settings.max_memory_mb / 20)))
        aside = held.enter_context(closing(Aside()))
        pool = held.enter_context(ThreadPoolExecutor(1))
        table = pool.submit(read_afreq, frequencies_path, alleles) if frequencies_path is not None else None
        files = held.enter_context(closing(ScoreFiles(score_paths, alleles, threads=settings.threads)))
        request = _request(files, table, model=model, settings=settings, alleles=alleles)
        genotypes = held.enter_context(open_genotypes(genotypes_path, alleles, request=request))
        give_back()
        build = _build(genotypes, settings.build, model=model)
        target = TargetIndex.of(genotypes.variants, alleles)
        frequencies = _frequencies(table, model, target=target, alleles=alleles)
        give_back()
        only_variants = lists_only_variants(genotypes)
        matcher = Matcher(target, alleles, frequencies, build, model, settings, only_variants=only_variants)
        scores = match_all(matcher, files, store=store, on_rows=on_rows, aside=aside, progress=progress)
        placed = None
        if model is not None and frequencies is not None:
            placed = projection(model, target, alleles=alleles, frequencies=frequencies)
        for part in placed.contributions if placed else ():
            store.add(part)
        give_back()
        sums = score_samples(
            genotypes,
            store.finish(genotypes.variants, frequencies),
            uncertain=model is not None,
            threads=settings.threads,
            max_memory_mb=settings.max_memory_mb,
            progress=progress,
        )
        aside.finish()
        own = sums.first(sum(score.column is not None for score in scores))
        few = few_called(scores, own, min_overlap=settings.min_overlap)
        adjusted = None
        if model is not None and placed is not None:
            adjusted = _adjusted(
                scores,
                sums,
                own=own,
                few=few,
                model=model,
                placed=placed,
                settings=settings,
                only_variants=only_variants,
            )
        give_back()
        imputation = _imputation(genotypes, frequencies_path, model=model)
        return ScoredSamples(
            genotypes.samples.ids, scores, own, imputation, build, genotypes.has_dosages, few, adjusted
        )


def _adjusted(
    scores: Sequence[ScoredScore],
    sums: Sums,
    *,
    own: Sums,
    few: NDArray[np.bool_],
    model: AncestryModel,
    placed: Projection,
    settings: Settings,
    only_variants: bool,
) -> Adjusted:
    """The scores' `own` sums, adjusted by the components whose sums follow them in `sums`."""
    placing = placed.contributions and not only_variants
    components = _components(placed, sums, first=len(own.sums)) if placing else None
    summed = [score for score in scores if score.column is not None]
    nowhere = ONLY_VARIANTS if only_variants else unplaced(placed.found)
    return adjust_all(summed, own, model=model, components=components, few=few, nowhere=nowhere, beyond=settings.beyond)


def _request(
    files: ScoreFiles,
    frequencies: Future[FrequencyTable] | None,
    *,
    model: AncestryModel | None,
    settings: Settings,
    alleles: Alleles,
) -> Request:
    """What a VCF must be read for, found out only if one is."""

    def known() -> AllelePairs:
        parts = [frequencies.result().sites()] if frequencies is not None else []
        parts += [model_sites(model, alleles)] if model is not None else []
        return AllelePairs.of(parts)

    def wanted(of_header: str | None) -> AllelePairs:
        build = of_header or (settings.build and required_build(settings.build))
        rows = list(files.rows(build=build))
        parts = [(row.keys, row.effect, row.other) for row in rows]
        parts += [model_sites(model, alleles)] if model is not None else []
        give_back()
        return AllelePairs.of(parts)

    return Request(
        cache(wanted), cache(known), callable_bed=settings.callable_bed, assume_reference=settings.assume_reference
    )


def few_called(scores: Sequence[ScoredScore], sums: Sums, *, min_overlap: float) -> NDArray[np.bool_]:
    """Whether fewer of a score's variants are matched and called in a person than the score needs to count (score,
    sample).

    Such a person's sum stands, with missing calls at their expectation, but is no result of theirs.
    """
    summed = [score.summary for score in scores if score.column is not None and score.summary is not None]
    matched = np.array([summary.n_matched for summary in summed], np.int64).reshape(-1, 1)
    rows = np.array([summary.n_rows for summary in summed], np.int64).reshape(-1, 1)
    few: NDArray[np.bool_] = matched - sums.missing < min_overlap * rows
    return few


def _components(placed: Projection, sums: Sums, *, first: int) -> NDArray[np.float64]:
    """Everybody's raw components from the sums that follow the scores'."""
    if sums.hidden is None:
        raise ValueError("the variance that missing calls hide is expected")
    hidden = sums.hidden.lost[first:] / np.maximum(sums.hidden.variance[first:, None], np.finfo(float).tiny)
    called = 1 - sums.missing[first:].max(axis=0) / len(placed.contributions[0].codes)
    return placed.components(sums.sums[first:], hidden, called=called)


def _frequencies(
    table: Future[FrequencyTable] | None, model: AncestryModel | None, *, target: TargetIndex, alleles: Alleles
) -> NDArray[np.float64] | None:
    """Of each variant's alternate allele: the file's, then the reference's; None where neither is given."""
    of_model = reference_frequencies(model, target, alleles=alleles) if model is not None else None
    if table is None:
        return of_model
    of_file = table.result().of(target.variants)
    return of_file if of_model is None else np.where(np.isnan(of_file), of_model, of_file)


def _build(genotypes: Genotypes, named: str | None, *, model: AncestryModel | None) -> str | None:
    build = panel_build(genotypes, named)
    if model is not None and model.build and build and model.build != build:
        raise PresageError(
            "--ancestry",
            f"a reference on the build of the genotypes, {build}",
            found=f"one on {model.build}",
            way_out="fit one on their build",
        )
    return build


def panel_build(genotypes: Genotypes, named: str | None) -> str | None:
    """The build of genotypes that the header or the user names. Raises PresageError where the two differ."""
    build = genotypes.build
    if named is not None:
        build = required_build(named)
        if genotypes.build is not None and genotypes.build != build:
            raise PresageError(
                "--build",
                f"the build that the header of {genotypes.name} names, {genotypes.build}",
                found=build,
                way_out="leave --build out",
            )
    return build


def _imputation(genotypes: Genotypes, frequencies: Path | None, *, model: AncestryModel | None) -> str:
    sources = [frequencies.name] if frequencies is not None else []
    sources += [f"the ancestry reference {model.label}"] if model is not None else []
    if sources:
        return f"missing calls stand at the frequencies of {', then of '.join(sources)}"
    if len(genotypes.samples) >= MIN_OWN_FREQUENCY_SAMPLES:
        return f"missing calls stand at the frequencies of the {len(genotypes.samples):,} samples themselves"
    return "missing calls are not imputed: fewer than 50 samples and no reference frequencies"


__all__ = ["ScoredSamples", "SettingKeys", "Settings", "compute", "panel_build", "settings_of"]
