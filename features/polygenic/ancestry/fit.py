"""Fitting the ancestry reference: components of a panel, its groups, and its scores as functions of the components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Floats
from features.errors import PresageError
from features.polygenic.ancestry.adjustment import Adjustment, fit_adjustment
from features.polygenic.ancestry.model import AncestryModel, SiteTable, write_model
from features.polygenic.columns import Alleles, Codes, Variants
from features.polygenic.genotypes import Genotypes, Sites
from features.polygenic.sums import Contribution
from features.writing import whole_folder

MIN_FREQUENCY = 0.05
MAX_MISSING = 0.02
MAX_SITES = 20_000
MIN_GROUP = 20  # people, below which a group has no covariance worth the name
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class Components:
    """Principal components of a panel.

    `people` (person, component): each person's scores; `sites`: their loadings by site.
    """

    people: Floats
    sites: SiteTable


def principal_components(genotypes: Genotypes, alleles: Alleles, *, n_components: int) -> Components:
    """Compute principal components of a panel's standardised counts at common, well called, biallelic autosomal sites,
    evenly thinned.

    Palindromes are left out, so that another file's strand does not matter. Patterson N et al., PLoS Genetics
    2006;2:e190. Raises PresageError where the panel has too few such sites or people.
    """
    variants = genotypes.variants
    plain = ~variants.multiallelic & (variants.keys >= 0) & (variants.keys >> 32 <= 22)
    plain &= alleles.complement(variants.ref) != variants.alt
    candidates = np.flatnonzero(plain)
    frequency, missing = _tally(genotypes, candidates)
    common = (np.minimum(frequency, 1 - frequency) >= MIN_FREQUENCY) & (missing <= MAX_MISSING)
    chosen, frequency = candidates[common], frequency[common]
    if len(chosen) < 10 * n_components or len(genotypes.samples) <= 2 * n_components:
        raise PresageError(
            genotypes.name,
            f"{10 * n_components} common sites and more than {2 * n_components} people for {n_components} components",
            found=f"{len(chosen)} common sites of {len(genotypes.samples)} people",
            way_out="use a larger panel or fewer --components",
        )
    thin = np.unique(np.linspace(0, len(chosen) - 1, min(len(chosen), MAX_SITES)).astype(int))
    chosen, frequency = chosen[thin], frequency[thin]
    people, loadings = _decompose(genotypes, chosen, frequency=frequency, n_components=n_components)
    scale = np.sqrt(2 * frequency * (1 - frequency))
    return Components(
        people,
        _site_table(
            variants, chosen, alleles=alleles, frequency=frequency, mean=2 * frequency, scale=scale, loadings=loadings
        ),
    )


def _tally(genotypes: Genotypes, candidates: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Frequency of the alternate allele and share of missing calls."""
    frequency, missing = np.empty(len(candidates)), np.empty(len(candidates))
    for part, counts in _blocks(genotypes, candidates):
        absent = np.isnan(counts)
        missing[part] = absent.mean(axis=1)
        frequency[part] = np.where(absent, 0, counts).sum(axis=1) / np.maximum(2 * (~absent).sum(axis=1), 1)
    return frequency, missing


def _decompose(
    genotypes: Genotypes, chosen: NDArray[np.intp], *, frequency: Floats, n_components: int
) -> tuple[Floats, Floats]:
    """People's components U S and orthonormal loadings V of the standardised matrix, by its people's Gram matrix."""
    n = len(genotypes.samples)
    gram = np.zeros((n, n))
    for part, counts in _blocks(genotypes, chosen):
        standard = _standardised(counts, frequency[part])
        gram += standard.T @ standard
    values, vectors = np.linalg.eigh(gram)
    top = np.argsort(values)[::-1][:n_components]
    vectors = vectors[:, top] * np.sign(vectors[np.abs(vectors[:, top]).argmax(axis=0), top])
    singular = np.sqrt(values[top])
    loadings = np.empty((len(chosen), n_components))
    for part, counts in _blocks(genotypes, chosen):
        loadings[part] = _standardised(counts, frequency[part]) @ vectors / singular
    return vectors * singular, loadings


def _standardised(counts: Floats, frequency: Floats) -> Floats:
    standard = (counts - 2 * frequency[:, None]) / np.sqrt(2 * frequency * (1 - frequency))[:, None]
    return np.nan_to_num(standard)


def _blocks(genotypes: Genotypes, variants: NDArray[np.intp]):  # type: ignore[no-untyped-def]
    """Counts (site, person), nan where missing, a few sites at a time."""
    reader = genotypes.reader()
    table = genotypes.variants
    for start in range(0, len(variants), _BLOCK):
        part = slice(start, min(start + _BLOCK, len(variants)))
        chosen = variants[part]
        counts = np.empty((len(chosen), len(genotypes.samples)), np.float32)
        reader.read_dosages(Sites(table.row[chosen], table.allele[chosen]), counts)
        values = counts.astype(np.float64)
        values[counts < 0] = np.nan
        yield part, values
    reader.close()


def _site_table(
    variants: Variants,
    chosen: NDArray[np.intp],
    *,
    alleles: Alleles,
    frequency: Floats,
    mean: Floats,
    scale: Floats,
    loadings: Floats,
) -> SiteTable:
    return SiteTable(
        keys=variants.keys[chosen],
        ref=tuple(alleles.names[code] for code in variants.ref[chosen].tolist()),
        alt=tuple(alleles.names[code] for code in variants.alt[chosen].tolist()),
        frequency=frequency,
        mean=mean,
        scale=scale,
        loadings=loadings,
    )


def standardised(people: Floats, train: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Mean and SD (component,) of the training people's components, and everybody's components in these units."""
    mean, sd = people[train].mean(axis=0), people[train].std(axis=0)
    return mean, sd, (people - mean) / sd


def describe_groups(standard: Floats, labels: Sequence[str]) -> tuple[tuple[str, ...], Floats, Floats]:
    """Names, centres and covariances of the groups. Raises PresageError for a group of too few people."""
    group_of = np.array(labels)
    groups = tuple(sorted(set(labels)))
    centres, covariances = [], []
    for group in groups:
        members = standard[group_of == group]
        if len(members) < MIN_GROUP:
            raise PresageError(
                "--labels",
                f"{MIN_GROUP} people or more in each group",
                found=f"{len(members)} in group {group}",
                way_out="merge groups",
            )
        centres.append(members.mean(axis=0))
        covariances.append(np.cov(members.T) + 1e-6 * np.eye(standard.shape[1]))
    return groups, np.array(centres), np.array(covariances)


def score_part(
    genotypes: Genotypes,
    part: Contribution,
    *,
    constants: Floats,
    components: Floats,
    alleles: Alleles,
    train: NDArray[np.bool_],
) -> pa.Table:
    """The part of a score that the reference holds, site by site: alleles, frequency, weight, variance, and slopes on
    the components.

    The expected mean is therefore known exactly for whichever of the sites another data set has: over all sites the
    slopes add up to the regression of the sum. `constants`: the amount a site adds to everybody. `components`:
    standardised. A site at which nobody of the panel is called has no frequency and counts as unknown.
    """
    variants = genotypes.variants
    chosen = part.codes >> 1
    design = np.column_stack([np.ones(len(components)), components])
    solve = np.linalg.pinv(design[train])
    slopes, variance, frequency = np.empty((len(chosen), design.shape[1])), np.empty(len(chosen)), np.empty(len(chosen))
    het = np.zeros(len(chosen)) if part.heterozygote is None else part.heterozygote
    for rows, counts in _blocks(genotypes, chosen):
        called = (~np.isnan(counts)).sum(axis=1, keepdims=True)
        mean = np.nansum(counts, axis=1, keepdims=True) / np.maximum(called, 1)
        filled = np.where(np.isnan(counts), mean, counts)
        added = filled * part.additive[rows, None] + (1 - np.abs(filled - 1)) * het[rows, None]
        slopes[rows], variance[rows] = added[:, train] @ solve.T, added[:, train].var(axis=1)
        frequency[rows] = np.where(called > 0, mean / 2, np.nan)[:, 0]
    slopes[:, 0] += constants
    counted = np.where(part.codes & 1, variants.ref[chosen], variants.alt[chosen]).astype(np.int32)
    columns = {
        "key": variants.keys[chosen],
        "ref": _named(alleles, variants.ref[chosen]),
        "alt": _named(alleles, variants.alt[chosen]),
        "frequency": np.where(part.codes & 1, 1 - frequency, frequency),
        "variance": variance,
        "counted": _named(alleles, counted),
        "additive": part.additive,
        "heterozygote": het,
    }
    return pa.table(columns | {f"slope_{k}": slopes[:, k] for k in range(slopes.shape[1])})


def _named(alleles: Alleles, codes: Codes) -> pa.DictionaryArray:
    """Alleles as a column whose dictionary holds these and no others, so that the same panel makes the same file."""
    return alleles.arrow(codes).dictionary_decode().dictionary_encode()


def assemble(
    *,
    name: str,
    build: str | None,
    components: Components,
    labels: Sequence[str],
    scores: Mapping[str, Floats],
    parts: Mapping[str, pa.Table],
    train: NDArray[np.bool_] | None = None,
) -> AncestryModel:
    """Put together all that a frozen reference holds.

    `train`: the unrelated people on whom the regressions are fitted.
    """
    chosen = np.ones(len(components.people), np.bool_) if train is None else train
    mean, sd, standard = standardised(components.people, chosen)
    groups, centres, covariances = describe_groups(standard, labels)
    fits: dict[str, Adjustment] = {
        score_id: fit_adjustment(sums[chosen], standard[chosen], where=f"{name}, score {score_id}")
        for score_id, sums in sorted(scores.items())
    }
    return AncestryModel(
        name=name,
        build=build,
        version="",
        n_people=len(components.people),
        component_mean=mean,
        component_sd=sd,
        groups=groups,
        centres=centres,
        covariances=covariances,
        sites=components.sites,
        scores=fits,
        score_parts=parts,
    )


def check_free(out: Path) -> None:
    """Raise PresageError where the place of the reference is taken: before hours of fitting, not after."""
    if out.exists():
        raise PresageError(
            str(out),
            "a name that is free",
            found="something of that name, and a frozen reference is not overwritten",
            way_out="name another",
        )


def freeze(model: AncestryModel, out: Path) -> None:
    """Write a reference whole or not at all."""
    check_free(out)
    with whole_folder(out) as part:
        write_model(model, part)
