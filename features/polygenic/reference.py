"""`presage ancestry fit`: a panel, its labels and the scores, frozen into a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Floats
from features.errors import PresageError
from features.polygenic.ancestry import Components, SiteTable, read_loadings, site_constants
from features.polygenic.ancestry import fit as ancestry_fit
from features.polygenic.columns import Alleles, other_build, required_build
from features.polygenic.genotypes import Genotypes, open_genotypes
from features.polygenic.matching import MatchCounts, TargetIndex, match, not_scored, summarise
from features.polygenic.run import Settings, panel_build
from features.polygenic.scores import Score, read_scores
from features.polygenic.sums import Contribution, ContributionStore, contribution, score_samples, used_rows
from features.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class FittedReference:
    """A reference that was frozen in a folder. scores: ids of those it adjusts; None where it was made of loadings."""

    folder: Path
    people: int
    groups: tuple[str, ...]
    components: int
    sites: int
    scores: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """What the command line prints."""
        scores = "" if self.scores is None else f", {len(self.scores)} scores"
        return (
            f"{self.people:,} people in {len(self.groups)} groups, {self.components} components of "
            f"{self.sites:,} sites{scores}; frozen in {self.folder}"
        )


def fit_reference(
    panel: Path,
    *,
    labels: str,
    out: Path,
    scores: Sequence[Path] = (),
    n_components: int = 4,
    unrelated: Path | None = None,
    settings: Settings,
    progress: Progress = silent,
) -> FittedReference:
    """Fit an ancestry reference and freeze it. `panel`: genotypes, or the prefix of loadings as verifyBamID ships them.

    `labels`: a file of sample and group, or a column of the panel's .psam. `unrelated`: a file of sample ids that the
    regressions leave out, as plink2's .king.cutoff.out.id. Raises PresageError for labels that do not cover the panel
    and for scores that match too little of it.
    """
    ancestry_fit.check_free(out)
    if Path(f"{panel}.UD").exists():
        if scores:
            raise PresageError(
                "--scores",
                "a panel with genotypes to score",
                found="loadings alone",
                way_out="fit on a panel, or leave --scores out",
            )
        return _fit_loadings(
            panel, labels, out=out, build=settings.build and required_build(settings.build), n_components=n_components
        )
    alleles = Alleles()
    with open_genotypes(panel, alleles) as genotypes:
        groups = read_labels(labels, panel, sample_ids=genotypes.samples.ids)
        train = _training(unrelated, genotypes.samples.ids)
        build = panel_build(genotypes, settings.build)
        with progress("Components"):
            components = ancestry_fit.principal_components(genotypes, alleles, n_components=n_components)
        _, _, standard = ancestry_fit.standardised(components.people, train)
        sums, parts = _score_panel(
            genotypes, scores, standard=standard, train=train, alleles=alleles, settings=settings, progress=progress
        )
        model = ancestry_fit.assemble(
            name=panel.stem,
            build=build,
            components=Components(components.people, _with_scores(components.sites, parts)),
            labels=groups,
            scores=sums,
            parts=parts,
            train=train,
        )
    ancestry_fit.freeze(model, out)
    sites = int(components.sites.of_components.sum())
    return FittedReference(out, len(groups), tuple(model.groups), n_components, sites, tuple(sums))


def _fit_loadings(prefix: Path, labels: str, *, out: Path, build: str | None, n_components: int) -> FittedReference:
    people, components = read_loadings(prefix, n_components=n_components)
    groups = read_labels(labels, prefix, sample_ids=people)
    model = ancestry_fit.assemble(
        name=prefix.name, build=build, components=components, labels=groups, scores={}, parts={}
    )
    ancestry_fit.freeze(model, out)
    return FittedReference(out, len(people), tuple(model.groups), n_components, len(components.sites.keys))


def read_labels(labels: str, panel: Path, *, sample_ids: Sequence[str]) -> list[str]:
    """The group of every sample, from a file whose first columns are sample and group, or from a column
    of the .psam.
    """
    file = Path(labels)
    if file.is_file():
        rows = [_cells(line) for line in _text(file).splitlines() if line.strip()]
        known = {row[0]: row[1] for row in rows if len(row) > 1 and row[1]}
        where = labels
    else:
        where = str(panel.with_suffix(".psam"))
        known = _psam_column(Path(where), labels)
    absent = [sample for sample in sample_ids if sample not in known]
    if absent:
        raise PresageError(
            where,
            f"a group for each of the {len(sample_ids)} samples",
            found=f"none for {len(absent)} of them",
            way_out="label every sample of the panel",
        )
    return [known[sample] for sample in sample_ids]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise PresageError(
            str(path), "text in UTF-8", found="another encoding", way_out="give sample and group, one sample a line"
        ) from error


def _cells(line: str) -> list[str]:
    """Of a line with tabs, commas or blanks between the cells; a group's name may hold blanks beside the first two."""
    separator = next((mark for mark in "\t," if mark in line), None)
    return [cell.strip() for cell in line.split(separator)]


def _psam_column(path: Path, name: str) -> dict[str, str]:
    if not path.exists():
        raise PresageError(
            "--labels",
            "a file of labels, or a column of the panel's .psam",
            found="neither",
            way_out="give a file of labels",
        )
    lines = [line for line in _text(path).splitlines() if line.strip() and not line.startswith("##")]
    header = lines[0].lstrip("#").split() if lines and lines[0].startswith("#") else []  # else it is a person's line
    if name not in header or "IID" not in header:
        raise PresageError(
            f"--labels, {path.name}",
            f"a file of labels, or a column of {path.name}" + (f": {', '.join(header)}" if header else ""),
            found="neither",
        )
    rows = [line.split("\t" if "\t" in line else None) for line in lines[1:]]
    return {row[header.index("IID")]: row[header.index(name)] for row in rows}


def _ids(path: Path) -> list[str]:
    lines = _text(path).splitlines()
    return [line.split()[-1] for line in lines if line.strip() and not line.startswith("#")]


def _training(unrelated: Path | None, sample_ids: Sequence[str]) -> NDArray[np.bool_]:
    """Who the regressions are fitted on. Raises PresageError for a list that names nobody of the panel."""
    if unrelated is None:
        return np.ones(len(sample_ids), np.bool_)
    left_out = np.isin(sample_ids, _ids(unrelated))
    if not left_out.any():
        raise PresageError(
            str(unrelated), "ids of the panel's samples", found="none of them", way_out="give the panel's own ids"
        )
    if left_out.mean() > 0.5:
        raise PresageError(
            str(unrelated),
            "at most half of the panel left out",
            found=f"{left_out.mean():.0%}",
            way_out="give those to leave out (plink2's .king.cutoff.out.id), not those to keep",
        )
    return ~left_out


def _score_panel(
    genotypes: Genotypes,
    paths: Sequence[Path],
    *,
    standard: Floats,
    train: NDArray[np.bool_],
    alleles: Alleles,
    settings: Settings,
    progress: Progress,
) -> tuple[dict[str, Floats], dict[str, pa.Table]]:
    """Every score's sums over the panel, and its sites. A score that cannot be computed on the panel is one error."""
    target, build = TargetIndex.of(genotypes.variants, alleles), panel_build(genotypes, settings.build)
    ids: list[str] = []
    parts: dict[str, pa.Table] = {}
    with closing(ContributionStore()) as store:
        with progress("Reading scores", total=len(paths)) as advance:
            for path in paths:
                for score in read_scores(path, alleles, build=build):
                    part, constants = _contribution(score, target, alleles=alleles, settings=settings, build=build)
                    store.add(part)
                    name = score.header.score_id
                    if name in parts:
                        raise PresageError(
                            str(path), "every score once", found=f"{name} a second time", way_out="give each score once"
                        )
                    ids.append(name)
                    parts[name] = ancestry_fit.score_part(
                        genotypes, part, constants=constants, components=standard, alleles=alleles, train=train
                    )
                advance(1)
        if not ids:
            return {}, {}
        weights = store.finish(genotypes.variants, None)
        sums = score_samples(genotypes, weights, threads=settings.threads, progress=progress)
    return dict(zip(ids, sums.sums, strict=True)), parts


def _contribution(
    score: Score, target: TargetIndex, *, alleles: Alleles, settings: Settings, build: str | None
) -> tuple[Contribution, Floats]:
    """The score on the panel, and what each of its sites adds to everybody."""
    reason = score.refused or other_build(score.header.build, build)
    if reason is None:
        matches = match(score.rows, target, alleles=alleles, rules=settings.rules)
        reason = not_scored(summarise(score, MatchCounts.of(matches)), min_overlap=settings.min_overlap)
    if reason is not None:
        raise PresageError(
            str(score.path),
            "a score that the panel can be scored with",
            found=f"one that is not: {reason}",
            way_out="leave it out or use a larger panel",
        )
    used = used_rows(matches, target.variants)
    return contribution(score, used), site_constants(score, used)


def _with_scores(sites: SiteTable, parts: Mapping[str, pa.Table]) -> SiteTable:
    """The components' sites and the scores', so that the reference has a frequency for each."""
    known = set(zip(sites.keys.tolist(), sites.ref, sites.alt, strict=True))
    extra: dict[tuple[int, str, str], float] = {}
    for table in parts.values():
        rows = zip(*(table[name].to_pylist() for name in ("key", "ref", "alt", "frequency")), strict=True)
        extra |= {(key, ref, alt): frequency for key, ref, alt, frequency in rows if (key, ref, alt) not in known}
    keys = np.array([key for key, _, _ in extra], np.int64)
    frequency = np.array(list(extra.values()))
    return replace(
        sites,
        keys=np.concatenate([sites.keys, keys]),
        ref=(*sites.ref, *(ref for _, ref, _ in extra)),
        alt=(*sites.alt, *(alt for _, _, alt in extra)),
        frequency=np.concatenate([sites.frequency, frequency]),
        mean=np.concatenate([sites.mean, 2 * frequency]),
        scale=np.concatenate([sites.scale, np.ones(len(extra))]),
        loadings=np.vstack([sites.loadings, np.full((len(extra), sites.loadings.shape[1]), np.nan)]),
    )
