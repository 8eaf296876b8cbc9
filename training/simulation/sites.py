"""The variants of the simulated genome: where they lie, how common they are in each ancestry group, what they weigh.

Allele frequencies follow the Balding-Nichols model (Genetica 1995;96:3-12) along a tree of populations: a child's
frequency is Beta(p (1-F)/F, (1-p) (1-F)/F) given its parent's p, so that E[q(1-q)] = (1-F) p(1-p), and Hudson's Fst of
two groups is the mean of the drifts that each took since their last common ancestor (Bhatia 2013, Genome Res
23:1514-21).
Variants are independent: no linkage disequilibrium, so that a score's variance is a sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

GROUPS = ("AFR", "AMR", "EAS", "EUR", "SAS")
TRAITS = ("chd", "t2d", "breast_cancer")
N_VARIANTS = 3_000
VARIANTS_PER_SCORE = {"chd": 1_000, "t2d": 1_000, "breast_cancer": 300}

# Node: (parent, drift F on the branch). Solved so that Hudson's Fst is the published one for 1000 Genomes: AFR-EUR
# .139, AFR-EAS .161, EUR-EAS .106 (Bhatia 2013, Genome Res 23:1514-21) and for HapMap 3 EUR-SAS .035 (CEU-GIH; Nature
# 2010;467:52-8). AMR is the Indigenous American source of American groups, whose people are mixtures; its branch is our
# choice (one published figure does not exist), near .12 from EUR and .10 from EAS.
TREE: dict[str, tuple[str, float]] = {
    "AFR": ("root", 0.120),
    "out_of_africa": ("root", 0.0828),
    "east": ("out_of_africa", 0.050),
    "EAS": ("east", 0.0842),
    "AMR": ("east", 0.116),
    "west_eurasia": ("out_of_africa", 0.0536),
    "EUR": ("west_eurasia", 0.030),
    "SAS": ("west_eurasia", 0.040),
}

# Lengths of GRCh38's autosomes (Genome Reference Consortium, GCA_000001405.15), written in the PVAR header.
CHROMOSOME_LENGTHS = (
    248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717, 133797422,
    135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616, 64444167,
    46709983, 50818468,
)  # fmt: skip

# Neither pair is its own complement: strand can be told, no score loses variants to it.
ALLELE_PAIRS = (("A", "G"), ("G", "A"), ("C", "T"), ("T", "C"), ("A", "C"), ("C", "A"), ("G", "T"), ("T", "G"))
MIN_FREQUENCY = 0.005


@dataclass(frozen=True, slots=True)
class Sites:
    """Variants in genome order. `variants`: chrom, pos, id, ref, alt. `frequencies`: (group, variant), of ALT.

    `weights`: per trait (variant,), per ALT allele, 0 where the score does not use the variant.
    `effect_is_alt`: which allele the scoring file names; half of them name REF, with the sign turned.
    """

    variants: pd.DataFrame
    frequencies: NDArray[np.float64]
    weights: dict[str, NDArray[np.float64]]
    effect_is_alt: NDArray[np.bool_]


def draw_sites(rng: np.random.Generator, *, n_variants: int = N_VARIANTS) -> Sites:
    """Draw positions, frequencies and effects. At least 2,300 variants, the sum of the three scores' sizes."""
    variants = _positions(rng, n_variants)
    frequencies = _frequencies(rng, n_variants)
    return Sites(
        variants=variants,
        frequencies=frequencies,
        weights=_weights(rng, frequencies),
        effect_is_alt=rng.random(n_variants) < 0.5,
    )


def _positions(rng: np.random.Generator, n: int) -> pd.DataFrame:
    lengths = np.array(CHROMOSOME_LENGTHS)
    chrom = np.sort(rng.choice(np.arange(1, 23), size=n, p=lengths / lengths.sum()))
    pos = (1 + rng.random(n) * (lengths[chrom - 1] - 1)).astype(np.int64)
    order = np.lexsort((pos, chrom))
    chrom, pos = chrom[order], pos[order]
    pairs = np.array(ALLELE_PAIRS)[rng.integers(len(ALLELE_PAIRS), size=n)]
    variants = pd.DataFrame({"chrom": chrom, "pos": pos, "ref": pairs[:, 0], "alt": pairs[:, 1]})
    variants["id"] = [f"{c}:{p}:{r}:{a}" for c, p, r, a in zip(chrom, pos, pairs[:, 0], pairs[:, 1], strict=True)]
    if variants.duplicated(["chrom", "pos"]).any():
        return _positions(rng, n)
    return variants


def _frequencies(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(group, variant). Ancestral frequencies uniform on 0.05 to 0.95: common variants, as scores hold them."""
    drawn = {"root": rng.uniform(0.05, 0.95, n)}
    for node, (parent, drift) in TREE.items():
        spread = (1 - drift) / drift
        p = np.clip(drawn[parent], 1e-6, 1 - 1e-6)  # a beta distribution has no fixed parent
        drawn[node] = rng.beta(p * spread, (1 - p) * spread)
    return np.clip(np.stack([drawn[group] for group in GROUPS]), MIN_FREQUENCY, 1 - MIN_FREQUENCY)


def _weights(rng: np.random.Generator, frequencies: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Per ALT allele, no variant in two scores; rarer variants weigh more (alpha -0.25; Speed 2017, Nat Genet 49:986).

    Scaled to a standard deviation near 0.5 in EUR and rounded to six decimals, so the scoring file holds them exactly.
    """
    chosen = rng.permutation(frequencies.shape[1])
    europe = frequencies[GROUPS.index("EUR")]
    weights = {}
    for trait, size in VARIANTS_PER_SCORE.items():
        taken, chosen = np.sort(chosen[:size]), chosen[size:]
        p = europe[taken]
        drawn = rng.normal(size=size) * (2 * p * (1 - p)) ** -0.25
        drawn *= 0.5 / np.sqrt(np.sum(drawn**2 * 2 * p * (1 - p)))
        weights[trait] = np.zeros(frequencies.shape[1])
        weights[trait][taken] = np.round(drawn, 6)
    return weights
