"""Polygenic scores and carrier status as features: not tested and tested negative are different values."""

from __future__ import annotations

from features.catalogue.spec import FeatureSpec

# The tier 1 genomic applications (CDC, evidence tier 1): condition, words, genes.
CONDITIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("familial_hypercholesterolaemia", "familial hypercholesterolaemia", ("LDLR", "APOB", "PCSK9")),
    ("hereditary_breast_ovarian_cancer", "hereditary breast and ovarian cancer", ("BRCA1", "BRCA2")),
    ("lynch_syndrome", "Lynch syndrome", ("MLH1", "MSH2", "MSH6", "PMS2")),
)


def polygenic(score: str) -> tuple[FeatureSpec, ...]:
    """Features of one polygenic score: its ancestry-adjusted z, whether the person has one, and the matched weight."""
    return (
        FeatureSpec(
            f"prs_{score}_z",
            "polygenic",
            f"polygenic score {score}, standard deviations from the mean of like ancestry",
            unit="1",
            missing="not genotyped, or withheld (too little of the score matched, ancestry too far from the reference)",
            aggregate="polygenic_z",
            codes=(score,),
            monotone=1,
            reference=f"PGS Catalog, {score}",
        ),
        FeatureSpec(
            f"prs_{score}_tested",
            "polygenic",
            f"polygenic score {score} available",
            unit="1",
            missing="never missing: 0 is not genotyped or withheld",
            aggregate="polygenic_tested",
            codes=(score,),
            absent=0.0,
        ),
        FeatureSpec(
            f"prs_{score}_matched_weight",
            "polygenic",
            f"polygenic score {score}, share of its weight that was measured",
            unit="1",
            missing="not genotyped",
            aggregate="polygenic_matched_weight",
            codes=(score,),
        ),
    )


def monogenic() -> tuple[FeatureSpec, ...]:
    """Features of carrier status, by condition.

    One says whether somebody carries a (likely) pathogenic variant, another whether the condition's genes were looked
    at.
    """
    return tuple(spec for row in CONDITIONS for spec in _condition(*row))


def _condition(name: str, words: str, genes: tuple[str, ...]) -> tuple[FeatureSpec, FeatureSpec]:
    listed = ", ".join(genes)
    return (
        FeatureSpec(
            f"carrier_{name}",
            "monogenic",
            f"carrier of a (likely) pathogenic variant for {words}",
            unit="1",
            missing=f"not tested in all of {listed}, and nothing found",
            aggregate="carrier",
            codes=genes,
            monotone=1,
            reference="CDC tier 1 genomic applications; ACMG SF v3.3",
        ),
        FeatureSpec(
            f"tested_{name}",
            "monogenic",
            f"tested for {words}",
            unit="1",
            missing=f"never missing: 0 is that no report covers all of {listed}",
            aggregate="tested",
            codes=genes,
            absent=0.0,
        ),
    )
