"""One run: read, match and sum every score, and place everybody in the reference, in one pass over the genotypes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.adjusted import Adjusted, adjust_all
from features.polygenic.ancestry import (
    BEYOND,
    AncestryModel,
    Projection,
    model_sites,
    projection,
    read_model,
    reference_frequencies,
)
from features.polygenic.builds import required_build
from features.polygenic.contributions import Contribution, ContributionStore, contribution
from features.polygenic.frequencies import known_sites, read_afreq
from features.polygenic.genotypes import AllelePairs, Genotypes, Request, open_genotypes
from features.polygenic.matching import NO_FREQUENCY, Matches, MatchRules, TargetIndex, match
from features.polygenic.report import MatchSummary, not_scored, summarise, variant_rows
from features.polygenic.scoring import MIN_OWN_FREQUENCY_SAMPLES, Sums, score_samples
from features.polygenic.scoring_file import Score, ScoreHeader, read_scores
from features.polygenic.variants import Alleles
from features.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user may choose.

    `min_overlap`: share of variants and of weight that must match for a score to count. `beyond`: chance of a larger
    distance within the reference, below which a person's adjusted scores are withheld. `callable_bed`,
    `assume_reference`: where sites that a VCF does not list are reference.
    """

    build: str | None = None
    min_overlap: float = 0.75
    rules: MatchRules = field(default_factory=MatchRules)
    threads: int = 2
    max_memory_mb: int = 400
    beyond: float = BEYOND
    callable_bed: Path | None = None
    assume_reference: bool = False


@dataclass(frozen=True, slots=True)
class ScoredScore:
    """One score of a run. `not_scored`: why nobody has it; `column`: its row in the sums, None where it was not summed."""

    header: ScoreHeader
    path: Path
    summary: MatchSummary | None
    not_scored: str | None
    column: int | None
    keys: NDArray[np.int64] | None = None  # positions that count, kept where a reference has the score


@dataclass(frozen=True, slots=True)
class ScoredSamples:
    """Everything one run found out. `adjusted`: None without a reference."""

    sample_ids: tuple[str, ...]
    scores: tuple[ScoredScore, ...]
    sums: Sums
    imputation: str
    build: str | None
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

    `on_rows` takes the report's rows of each score. Missing calls stand at the frequencies of the file, then of the
    ancestry reference, then of the samples themselves.
    """
    if not score_paths:
        raise PresageError("--scores", "expected at least one scoring file", way_out="give --scores FILE")
    model = read_model(ancestry_path) if ancestry_path is not None else None
    alleles = Alleles()
    request = _request(score_paths, frequencies_path, model, settings, alleles)
    with (
        open_genotypes(genotypes_path, alleles, request) as genotypes,
        closing(ContributionStore(in_memory_mb=settings.max_memory_mb / 4)) as store,
    ):
        build = _build(genotypes, settings.build, model)
        target = TargetIndex.of(genotypes.variants, alleles)
        frequencies = _frequencies(frequencies_path, model, target, alleles)
        matcher = _Matcher(target, alleles, frequencies, build, model, settings)
        scores = _match_all(matcher, score_paths, store, on_rows, progress)
        placed = projection(model, target, alleles) if model is not None else None
        for part in placed.contributions if placed else ():
            store.add(part)
        sums = score_samples(
            genotypes,
            store.finish(genotypes.variants, frequencies),
            threads=settings.threads,
            max_memory_mb=settings.max_memory_mb,
            progress=progress,
        )
        sums, adjusted = _adjusted(scores, sums, model, placed, settings)
        imputation = _imputation(genotypes, frequencies_path, model)
        return ScoredSamples(genotypes.samples.ids, scores, sums, imputation, build, adjusted)


def _request(
    score_paths: Sequence[Path],
    frequencies_path: Path | None,
    model: AncestryModel | None,
    settings: Settings,
    alleles: Alleles,
) -> Request:
    """What a VCF must be read for, found out only if one is."""

    def known() -> AllelePairs:
        parts = [known_sites(frequencies_path, alleles)] if frequencies_path is not None else []
        parts += [model_sites(model, alleles)] if model is not None else []
        return AllelePairs.of(parts)

    def wanted() -> AllelePairs:
        build = settings.build and required_build(settings.build)
        rows = [score.rows for path in score_paths for score in read_scores(path, alleles, build=build)]
        parts = [(row.keys, row.effect, row.other) for row in rows]
        parts += [model_sites(model, alleles)] if model is not None else []
        return AllelePairs.of(parts)

    return Request(wanted, known, callable_bed=settings.callable_bed, assume_reference=settings.assume_reference)


def _adjusted(
    scores: tuple[ScoredScore, ...],
    sums: Sums,
    model: AncestryModel | None,
    placed: Projection | None,
    settings: Settings,
) -> tuple[Sums, Adjusted | None]:
    """The components' sums taken off the end, and the scores adjusted by them."""
    if model is None or placed is None:
        return sums, None
    n_scores = sum(score.column is not None for score in scores)
    components = sums.sums[n_scores:].T @ placed.mix if placed.contributions else None
    own = Sums(sums.sums[:n_scores], sums.missing[:n_scores], sums.lost[:n_scores], sums.variance[:n_scores])
    summed = [score for score in scores if score.column is not None]
    return own, adjust_all(summed, own, model, components, found=placed.found, beyond=settings.beyond)


def _frequencies(
    path: Path | None, model: AncestryModel | None, target: TargetIndex, alleles: Alleles
) -> NDArray[np.float64] | None:
    """Of each variant's alternate allele: the file's, then the reference's; None where neither is given."""
    of_model = reference_frequencies(model, target, alleles) if model is not None else None
    if path is None:
        return of_model
    of_file = read_afreq(path, target.variants, alleles)
    return of_file if of_model is None else np.where(np.isnan(of_file), of_model, of_file)


def _build(genotypes: Genotypes, named: str | None, model: AncestryModel | None) -> str | None:
    build = panel_build(genotypes, named)
    if model is not None and model.build and build and model.build != build:
        raise PresageError(
            "--ancestry",
            f"the reference is on {model.build}, the genotypes are on {build}",
            way_out="fit one on their build",
        )
    return build


def panel_build(genotypes: Genotypes, named: str | None) -> str | None:
    """The build that the header names, or the user. Raises PresageError where they differ."""
    build = genotypes.build
    if named is not None:
        build = required_build(named)
        if genotypes.build is not None and genotypes.build != build:
            raise PresageError(
                genotypes.name, f"its header says {genotypes.build}, --build says {build}", way_out="leave --build out"
            )
    return build


def _imputation(genotypes: Genotypes, frequencies: Path | None, model: AncestryModel | None) -> str:
    sources = [frequencies.name] if frequencies is not None else []
    sources += [f"the ancestry reference {model.label}"] if model is not None else []
    if sources:
        return f"missing calls stand at the frequencies of {', then of '.join(sources)}"
    if len(genotypes.samples) >= MIN_OWN_FREQUENCY_SAMPLES:
        return f"missing calls stand at the frequencies of the {len(genotypes.samples):,} samples themselves"
    return "missing calls are not imputed: fewer than 50 samples and no reference frequencies"


@dataclass(frozen=True, slots=True)
class _Matched:
    score: ScoredScore
    contribution: Contribution | None
    rows: pa.Table | None


@dataclass(frozen=True, slots=True)
class _Matcher:
    target: TargetIndex
    alleles: Alleles
    frequencies: NDArray[np.float64] | None
    build: str | None
    model: AncestryModel | None
    settings: Settings

    def __call__(self, path: Path) -> list[_Matched]:
        return [self._one(score) for score in read_scores(path, self.alleles, build=self.build)]

    def _one(self, score: Score) -> _Matched:
        refused = score.refused or self._wrong_build(score.header)
        if refused is not None:
            return _Matched(ScoredScore(score.header, score.path, None, refused, None), None, None)
        matches = match(score.rows, self.target, self.alleles, self.settings.rules)
        self._exclude_unknown_frequencies(matches)
        summary = summarise(score, matches)
        reason = not_scored(summary, min_overlap=self.settings.min_overlap)
        part = None if reason else contribution(score, matches, self.target.variants)
        rows = variant_rows(score, matches, self.target.variants, self.alleles)
        adjusts = self.model is not None and score.header.score_id in self.model.scores
        keys = score.rows.keys[matches.used] if adjusts and part is not None else None
        return _Matched(ScoredScore(score.header, score.path, summary, reason, None, keys), part, rows)

    def _wrong_build(self, header: ScoreHeader) -> str | None:
        if self.build and header.build and header.build != self.build:
            return f"the score is on {header.build}, the genotypes are on {self.build}: take the {self.build} file"
        return None

    def _exclude_unknown_frequencies(self, matches: Matches) -> None:
        if self.frequencies is None:
            return
        unknown = np.isnan(self.frequencies)[matches.variant] & matches.used
        matches.reasons[unknown] |= NO_FREQUENCY


def _match_all(
    matcher: _Matcher,
    paths: Sequence[Path],
    store: ContributionStore,
    on_rows: Callable[[pa.Table], None] | None,
    progress: Progress,
) -> tuple[ScoredScore, ...]:
    scores: list[ScoredScore] = []
    n_columns = 0
    with progress("Matching", total=len(paths)) as advance, ThreadPoolExecutor(matcher.settings.threads) as pool:
        for found in _in_order(pool, matcher, paths, ahead=matcher.settings.threads):
            for matched in found:
                score = matched.score
                if matched.contribution is not None:
                    store.add(matched.contribution)
                    score = replace(score, column=n_columns)
                    n_columns += 1
                if matched.rows is not None and on_rows is not None:
                    on_rows(matched.rows)
                scores.append(score)
            advance(1)
    _check_distinct(scores)
    _check_usable(scores)
    return tuple(scores)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Path], list[_Matched]], paths: Sequence[Path], *, ahead: int
) -> Iterator[list[_Matched]]:
    """Results in the order of the paths, with few of them waiting in memory."""
    jobs = iter(paths)
    waiting = [pool.submit(work, path) for path in islice(jobs, ahead)]
    while waiting:
        done = waiting.pop(0)
        yield done.result()
        waiting += [pool.submit(work, path) for path in islice(jobs, 1)]


def _check_distinct(scores: Sequence[ScoredScore]) -> None:
    seen: dict[str, Path] = {}
    for score in scores:
        name = score.header.score_id
        if name in seen:
            raise PresageError(
                str(score.path), f"the score {name} is also in {seen[name]}", way_out="give each score once"
            )
        seen[name] = score.path


def _check_usable(scores: Sequence[ScoredScore]) -> None:
    """A run in which no file can be scored at all is one error; a low match is an answer."""
    if all(score.summary is None for score in scores):
        first = scores[0]
        raise PresageError(
            str(first.path), f"no score can be computed: {first.not_scored}", way_out="give other scores"
        )
