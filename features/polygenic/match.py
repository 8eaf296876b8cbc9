"""All scores of a run, read and matched one after the other, each held in memory only while it is its turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.errors import PresageError
from features.polygenic.ancestry import BEYOND, AncestryModel, InReference, site_constants
from features.polygenic.ancestry.in_reference import in_reference
from features.polygenic.columns import Alleles, Variants, other_build
from features.polygenic.matching import (
    KINDS,
    NO_FREQUENCY,
    MatchCounts,
    Matches,
    MatchRules,
    MatchSummary,
    Rescue,
    TargetIndex,
    match,
    not_scored,
    rescue_palindromes,
    summarise,
    summary_of,
    variant_rows,
)
from features.polygenic.scores import (
    Aside,
    CatalogueFile,
    InOrder,
    LastRows,
    Score,
    ScoreFiles,
    ScoreHeader,
    ScoreRows,
    ScoreTable,
)
from features.polygenic.sums import (
    Contribution,
    ContributionStore,
    TableContribution,
    UsedRows,
    contribution,
    used_rows,
)
from features.progress import Progress

Job = TypeVar("Job")
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a polygenic run that a user may choose.

    `min_overlap`: share of variants and of weight that must match for a score to count. `beyond`: chance of a larger
    distance within the reference, below which a person's adjusted scores are withheld. `callable_bed`,
    `assume_reference`: where sites that a VCF does not list are reference. `rescue_palindromes`: see
    `features.polygenic.matching.rescue`.
    """

    build: str | None = None
    min_overlap: float = 0.75
    rules: MatchRules = field(default_factory=MatchRules)
    threads: int = 2
    max_memory_mb: int = 400
    beyond: float = BEYOND
    callable_bed: Path | None = None
    assume_reference: bool = False
    rescue_palindromes: bool = False


@dataclass(frozen=True, slots=True)
class ScoredScore:
    """One score of a run, with how much of it was matched.

    `not_scored`: the reason why nobody has the score. `column`: its row in the sums, None where it was not summed.
    `known`: how it stands to the score that the ancestry reference was fitted on, None where the reference does not
    know it. `rows_under`: the name under which its rows stand in the report; scores with the same rows share them.
    """

    header: ScoreHeader
    path: Path
    summary: MatchSummary | None
    not_scored: str | None
    column: int | None
    known: InReference | None = None
    rows_under: str | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where rows lie in the genotypes."""

    rows: ScoreRows
    matches: Matches
    counts: MatchCounts
    used: UsedRows
    rescue: Rescue | None


@dataclass(frozen=True, slots=True)
class _Matched:
    """`place`: None of a score that is refused."""

    score: ScoredScore
    contribution: Contribution | TableContribution | None
    place: _Place | None


@dataclass(frozen=True, slots=True)
class Matcher:
    """Matches scores against one genotype file: its variants and alleles, frequencies, build, ancestry reference and
    settings.
    """

    target: TargetIndex
    alleles: Alleles
    frequencies: NDArray[np.float64] | None
    build: str | None
    model: AncestryModel | None
    settings: Settings
    only_variants: bool = False
    _rows: LastRows = field(default_factory=LastRows)
    _places: list[_Place] = field(default_factory=list)  # the last one

    def open(self, parsed: CatalogueFile | ScoreTable) -> list[_Matched] | ScoreTable:
        """The matched scores of a file; a table of several scores comes back as it is, to be matched by `table`."""
        if isinstance(parsed, ScoreTable):
            return parsed
        return [self._matched(score) for score in parsed.scores(self.alleles, build=self.build, last=self._rows)]

    def table(self, table: ScoreTable, pool: ThreadPoolExecutor) -> Iterator[_Matched]:
        """Yield the matched scores of a table, whose rows are matched and reported once."""
        place = self._place(table.rows)
        if place.used.first is None and (np.diff(place.used.rows) >= 0).all():
            scores = self._together(table, place)
        else:
            scores = InOrder(pool, lambda score: self._score(score, place), jobs=table.scores(), ahead=2)
        for matched in scores:
            yield replace(matched, score=replace(matched.score, rows_under=table.path.stem))

    def _together(self, table: ScoreTable, place: _Place) -> Iterator[_Matched]:
        """The scores of a table whose used rows rise: their weights are gone through once, and stay where they are."""
        tally = table.tally(place.counts.kind, KINDS)
        known = self._all_known(table, place)
        for number, name in enumerate(table.names):
            summary = summary_of(name, place.counts, sums=tally.sums[:, number], squares=tally.squares[:, number])
            reason = not_scored(summary, min_overlap=self.settings.min_overlap, only_variants=self.only_variants)
            part = TableContribution(table, number, place.used, has_zeros=bool(tally.zeros[number]))
            header = ScoreHeader(score_id=name)
            score = ScoredScore(header, table.path, summary, reason, None, None if reason else known.get(name))
            yield _Matched(score, None if reason else part, place)

    def _all_known(self, table: ScoreTable, place: _Place) -> dict[str, InReference | None]:
        """What the reference knows of a table's scores."""
        if self.model is None or not set(table.names) & set(self.model.score_parts):
            return {}
        return {
            score.header.score_id: self._known(score, place.used, part=contribution(score, place.used))
            for score in table.scores()
            if score.header.score_id in self.model.score_parts
        }

    def report(self, name: str, place: _Place) -> pa.Table:
        """The rows of the match report that stand under this name."""
        return variant_rows(
            name,
            place.rows,
            matches=place.matches,
            variants=self.target.variants,
            alleles=self.alleles,
            rescue=place.rescue,
        )

    def _matched(self, score: Score) -> _Matched:
        refused = score.refused or other_build(score.header.build, self.build)
        if refused is not None:
            return _Matched(ScoredScore(score.header, score.path, None, refused, None), None, None)
        last = self._places[-1:]
        place = last[0] if last and last[0].rows is score.rows else self._place(score.rows)
        self._places[:] = [place]
        return self._score(score, place)

    def _place(self, rows: ScoreRows) -> _Place:
        matches = match(rows, self.target, alleles=self.alleles, rules=self.settings.rules)
        rescue = (
            rescue_palindromes(rows, matches, frequencies=self.frequencies)
            if self.settings.rescue_palindromes
            else None
        )
        missing = None if self.frequencies is None else np.isnan(self.frequencies)
        if missing is not None and missing.any():
            used = np.flatnonzero(matches.used)
            unknown = _without_frequency(missing, self.target.variants, matches=matches, rows=used)
            matches.reasons[used[unknown]] |= NO_FREQUENCY
        return _Place(rows, matches, MatchCounts.of(matches), used_rows(matches, self.target.variants), rescue)

    def _score(self, score: Score, place: _Place) -> _Matched:
        summary = summarise(score, place.counts)
        reason = not_scored(summary, min_overlap=self.settings.min_overlap, only_variants=self.only_variants)
        part = None if reason else contribution(score, place.used)
        known = None if part is None else self._known(score, place.used, part=part)
        name = score.header.score_id
        return _Matched(ScoredScore(score.header, score.path, summary, reason, None, known, name), part, place)

    def _known(self, score: Score, used: UsedRows, *, part: Contribution) -> InReference | None:
        table = self.model.score_parts.get(score.header.score_id) if self.model is not None else None
        if table is None or self.frequencies is None:
            return None
        constants = site_constants(score, used)
        variants, frequencies = self.target.variants, self.frequencies
        return in_reference(
            table, part, constants=constants, variants=variants, alleles=self.alleles, frequencies=frequencies
        )


def _without_frequency(
    missing: NDArray[np.bool_], variants: Variants, *, matches: Matches, rows: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Which rows' effect allele has no frequency. A record's reference allele has one where all its alternates have.

    `missing`: of each variant's alternate.
    """
    variant = matches.variant[rows]
    unknown: NDArray[np.bool_] = missing[variant]
    if variants.multiallelic[variant].any():
        lacking = np.bincount(variants.row, weights=missing) > 0
        unknown = np.where(matches.counts_ref[rows], lacking[variants.row[variant]], unknown)
    return unknown


def match_all(
    matcher: Matcher,
    files: ScoreFiles,
    *,
    store: ContributionStore,
    on_rows: Callable[[pa.Table], None] | None,
    aside: Aside,
    progress: Progress,
) -> tuple[ScoredScore, ...]:
    """Match every score, keep its weights in `store`, and hand the rows of the match report to `on_rows`, on the thread
    `aside`.
    """
    scores: list[ScoredScore] = []
    told: tuple[str | None, _Place] | None = None
    with progress("Matching", total=len(files)) as advance, ThreadPoolExecutor(matcher.settings.threads) as pool:
        for matched in _matched(matcher, files, pool=pool, advance=advance):
            score, place = matched.score, matched.place
            if matched.contribution is not None:
                score = replace(score, column=len(store))
                store.add(matched.contribution)
            if place is not None and told is not None and told[1].rows.same(place.rows):
                score = replace(score, rows_under=told[0])
            elif place is not None:
                told = (score.rows_under, place)
                if on_rows is not None:
                    aside.add(partial(_report, matcher, score.rows_under or "", place=place, on_rows=on_rows))
            scores.append(score)
    _check_distinct(scores)
    _check_usable(scores)
    return tuple(scores)


def _report(matcher: Matcher, name: str, *, place: _Place, on_rows: Callable[[pa.Table], None]) -> None:
    on_rows(matcher.report(name, place))


def _matched(
    matcher: Matcher,
    files: ScoreFiles,
    *,
    pool: ThreadPoolExecutor,
    advance: Callable[[int], None],
) -> Iterator[_Matched]:
    for opened in InOrder(pool, matcher.open, jobs=files, ahead=matcher.settings.threads):
        if isinstance(opened, ScoreTable):
            yield from matcher.table(opened, pool)
        else:
            yield from opened
        advance(1)


def _check_distinct(scores: Sequence[ScoredScore]) -> None:
    seen: dict[str, Path] = {}
    for score in scores:
        name = score.header.score_id
        if name in seen:
            raise PresageError(
                str(score.path),
                "every score once",
                found=f"{name}, which is also in {seen[name]}",
                way_out="give each score once",
            )
        seen[name] = score.path


def _check_usable(scores: Sequence[ScoredScore]) -> None:
    """A run in which no file can be scored at all is one error; a low match is an answer."""
    if all(score.summary is None for score in scores):
        first = scores[0]
        raise PresageError(
            str(first.path),
            "at least one score that can be computed",
            found=f"none: {first.not_scored}",
            way_out="give other scores",
        )
