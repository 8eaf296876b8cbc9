"""Genotypes of the simulated people, their true polygenic scores, and the genotype, score and reference files."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pgenlib
from numpy.typing import NDArray

from training.simulation.carriers import draw_carriers
from training.simulation.sites import CHROMOSOME_LENGTHS, GROUPS, TRAITS, Sites, draw_sites

SCORE_IDS = {"chd": "SIM-CHD", "t2d": "SIM-T2D", "breast_cancer": "SIM-BC"}
TRAIT_NAMES = {
    "chd": ("coronary artery disease", "EFO_0001645"),
    "t2d": ("type 2 diabetes mellitus", "MONDO_0005148"),
    "breast_cancer": ("breast carcinoma", "EFO_0000305"),
}
MISSING_SHARE = 0.01
REFERENCE_PEOPLE_PER_GROUP = 300
# Groups of a panel are not of one source: 1000 Genomes' AFR holds African Americans and Caribbeans, its AMR four
# American populations (Nature 2015;526:68-74). Mean shares, and the concentration of the Dirichlet they come from.
REFERENCE_MIXTURES = {
    "AFR": ({"AFR": 0.88, "EUR": 0.12}, 8.0),
    "AMR": ({"AMR": 0.42, "EUR": 0.50, "AFR": 0.08}, 6.0),
}
BLOCK = 256
MISSING = np.int8(-9)


@dataclass(frozen=True, slots=True)
class Genomes:
    """Genomes of everybody simulated; who of them was genotyped is for the caller to say when files are written.

    `genotypes` (variant, person) int8 counts of ALT, without missing calls. `z` per trait: the score minus its
    expectation, over its standard deviation, both given the person's ancestry shares. `carriers`: one row per
    pathogenic variant (see `training.simulation.carriers`).
    """

    person_ids: NDArray[np.int64]
    sites: Sites
    genotypes: NDArray[np.int8]
    z: dict[str, NDArray[np.float64]]
    carriers: pd.DataFrame
    scenario: str
    file_seed: int

    def write_genotypes(self, folder: Path, person_ids: Sequence[int], *, collected: Sequence[object]) -> None:
        """Write genotypes.pgen, .pvar, .psam and samples.csv of the tested, in random order.

        `collected`: date of each person's sample. One call in a hundred is missing.
        """
        rng = np.random.default_rng([self.file_seed, 0])
        samples = _name_samples(rng, person_ids, collected=collected)
        columns = pd.Index(self.person_ids).get_indexer(pd.Index(samples["person_id"]))
        if (columns < 0).any():
            raise ValueError("write_genotypes: a person who was not simulated")
        folder.mkdir(parents=True, exist_ok=True)
        missing = _missing_calls(rng, self.genotypes, columns=columns)
        _write_fileset(folder / "genotypes", self.sites, genotypes=missing, psam=samples[["sample_id"]])
        samples.sort_values("sample_id").to_csv(folder / "samples.csv", index=False, lineterminator="\n")

    def write_scores(self, folder: Path) -> None:
        """Write one PGS Catalog 2.0 file per trait, marked simulated, and the reference's allele frequencies."""
        folder.mkdir(parents=True, exist_ok=True)
        for trait in TRAITS:
            text = _scoring_file(self.sites, trait, scenario=self.scenario)
            (folder / f"{SCORE_IDS[trait]}.txt.gz").write_bytes(_gzip(text))
        panel, _ = self._reference()
        text = _frequency_file(self.sites, panel)
        (folder / "reference_frequencies.afreq").write_text(text, encoding="utf-8", newline="\n")

    def write_reference(self, folder: Path) -> None:
        """Write panel.pgen, .pvar, .psam: other people, labelled by group (SuperPop), without missing calls."""
        folder.mkdir(parents=True, exist_ok=True)
        panel, groups = self._reference()
        ids = [f"REF{number:05d}" for number in range(1, len(groups) + 1)]
        psam = pd.DataFrame({"sample_id": ids, "SuperPop": groups})
        _write_fileset(folder / "panel", self.sites, genotypes=panel, psam=psam)

    def _reference(self) -> tuple[NDArray[np.int8], NDArray[np.str_]]:
        groups = np.repeat(np.array(GROUPS), REFERENCE_PEOPLE_PER_GROUP)
        rng = np.random.default_rng([self.file_seed, 1])
        shares = np.concatenate([_reference_shares(rng, group) for group in GROUPS])
        return _draw_genotypes(rng, shares, frequencies=self.sites.frequencies), groups


def simulate_genomes(ancestry: pd.DataFrame, *, rng: np.random.Generator, scenario: str = "default") -> Genomes:
    """Draw everybody's genome from their ancestry: columns person_id and the share of each group, summing to 1.

    Each allele is drawn from the mixture of the groups' frequencies (linear admixture, Hardy-Weinberg, no linkage).
    `scenario` changes no genome; the scoring files say under which one their effects act.
    """
    shares = ancestry[list(GROUPS)].to_numpy(np.float64)
    if not np.allclose(shares.sum(axis=1), 1.0):
        raise ValueError("simulate_genomes: ancestry shares must sum to 1")
    site_rng, genotype_rng, carrier_rng, file_rng = rng.spawn(4)
    sites = draw_sites(site_rng)
    genotypes = _draw_genotypes(genotype_rng, shares, frequencies=sites.frequencies)
    person_ids = ancestry["person_id"].to_numpy(np.int64)
    return Genomes(
        person_ids=person_ids,
        sites=sites,
        genotypes=genotypes,
        z=standardised_scores(sites, genotypes, shares=shares),
        carriers=draw_carriers(carrier_rng, person_ids),
        scenario=scenario,
        file_seed=int(file_rng.integers(2**63)),
    )


def standardised_scores(
    sites: Sites, genotypes: NDArray[np.int8], *, shares: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Per trait (person,): mean 0 and variance 1 within every mixture of ancestries, sites being independent.

    With p = shares P: mean 2 sum w p; variance 2 sum w^2 p(1-p) = shares . (2 P w^2) - shares' Q shares,
    Q = 2 P diag(w^2) P'.
    """
    scores = {}
    for trait in TRAITS:
        used = np.flatnonzero(sites.weights[trait])
        weight, p = sites.weights[trait][used], sites.frequencies[:, used]
        total = _sums(genotypes, used, weight=weight)
        mean = shares @ (2 * p @ weight)
        product = 2 * (p * weight**2) @ p.T
        variance = shares @ (2 * p @ weight**2) - np.einsum("ik,kl,il->i", shares, product, shares)
        scores[trait] = (total - mean) / np.sqrt(variance)
    return scores


def _sums(genotypes: NDArray[np.int8], used: NDArray[np.intp], *, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    total = np.zeros(genotypes.shape[1])
    for start in range(0, len(used), BLOCK):
        rows = slice(start, start + BLOCK)
        total += weight[rows] @ genotypes[used[rows]].astype(np.float64)
    return total


def _draw_genotypes(
    rng: np.random.Generator, shares: NDArray[np.float64], *, frequencies: NDArray[np.float64]
) -> NDArray[np.int8]:
    """(variant, person) counts of ALT: one uniform passes (1-p)^2 (at least one) and 1 - p^2 (two)."""
    n_variants = frequencies.shape[1]
    genotypes = np.empty((n_variants, len(shares)), dtype=np.int8)
    ancestry = shares.astype(np.float32).T
    for start in range(0, n_variants, BLOCK):
        p = frequencies[:, start : start + BLOCK].astype(np.float32).T @ ancestry
        uniform = rng.random(p.shape, dtype=np.float32)
        genotypes[start : start + BLOCK] = (uniform >= (1 - p) ** 2).view(np.int8) + (uniform >= 1 - p**2).view(np.int8)
    return genotypes


def _reference_shares(rng: np.random.Generator, group: str) -> NDArray[np.float64]:
    shares = np.zeros((REFERENCE_PEOPLE_PER_GROUP, len(GROUPS)))
    means, concentration = REFERENCE_MIXTURES.get(group, ({group: 1.0}, 1.0))
    sources = [GROUPS.index(source) for source in means]
    shares[:, sources] = rng.dirichlet(concentration * np.array(list(means.values())), size=len(shares))
    return shares


def _name_samples(rng: np.random.Generator, person_ids: Sequence[int], *, collected: Sequence[object]) -> pd.DataFrame:
    numbers = rng.choice(np.arange(1_000_000, 10_000_000), size=len(person_ids), replace=False)
    samples = pd.DataFrame(
        {
            "sample_id": [f"SIM{number}" for number in numbers],
            "person_id": np.asarray(person_ids, dtype=np.int64),
            "collected": pd.to_datetime(pd.Series(list(collected))).dt.strftime("%Y-%m-%d").to_numpy(),
        }
    )
    return samples.iloc[rng.permutation(len(samples))].reset_index(drop=True)


def _missing_calls(
    rng: np.random.Generator, genotypes: NDArray[np.int8], *, columns: NDArray[np.intp]
) -> NDArray[np.int8]:
    called = genotypes[:, columns]
    for start in range(0, len(called), BLOCK):
        block = called[start : start + BLOCK]
        block[rng.random(block.shape, dtype=np.float32) < MISSING_SHARE] = MISSING
    return called


def _write_fileset(stem: Path, sites: Sites, *, genotypes: NDArray[np.int8], psam: pd.DataFrame) -> None:
    n_variants, n_samples = genotypes.shape
    pgen = stem.with_suffix(".pgen")
    with pgenlib.PgenWriter(str(pgen).encode(), n_samples, variant_ct=n_variants, nonref_flags=False) as writer:
        for start in range(0, n_variants, BLOCK):
            writer.append_biallelic_batch(np.ascontiguousarray(genotypes[start : start + BLOCK]))
    stem.with_suffix(".pvar").write_text(_pvar(sites), encoding="utf-8", newline="\n")
    psam.rename(columns={"sample_id": "#IID"}).to_csv(
        stem.with_suffix(".psam"), sep="\t", index=False, lineterminator="\n"
    )


def _pvar(sites: Sites) -> str:
    header = ["##fileformat=VCFv4.3", "##source=presage simulate", "##reference=GRCh38"]
    header += [f"##contig=<ID={i},length={length}>" for i, length in enumerate(CHROMOSOME_LENGTHS, start=1)]
    table = sites.variants[["chrom", "pos", "id", "ref", "alt"]].rename(columns={"chrom": "#CHROM"})
    table.columns = table.columns.str.upper()
    return "\n".join(header) + "\n" + table.to_csv(sep="\t", index=False, lineterminator="\n")


def _scoring_file(sites: Sites, trait: str, *, scenario: str) -> str:
    used = np.flatnonzero(sites.weights[trait])
    is_alt = sites.effect_is_alt[used]
    rows = sites.variants.iloc[used]
    table = pd.DataFrame(
        {
            "chr_name": rows["chrom"],
            "chr_position": rows["pos"],
            "effect_allele": np.where(is_alt, rows["alt"], rows["ref"]),
            "other_allele": np.where(is_alt, rows["ref"], rows["alt"]),
            "effect_weight": [f"{w:.6f}" for w in np.where(is_alt, 1, -1) * sites.weights[trait][used]],
        }
    )
    name, ontology_id = TRAIT_NAMES[trait]
    header = f"""\
###PGS CATALOG SCORING FILE - made by `presage simulate`, in no catalogue
#format_version=2.0
##POLYGENIC SCORE (PGS) INFORMATION
#pgs_id={SCORE_IDS[trait]}
#pgs_name=Simulated score of {name} (scenario {scenario})
#trait_reported={name}
#trait_mapped={name}
#trait_efo={ontology_id}
#genome_build=GRCh38
#variants_number={len(table)}
#weight_type=beta
##SOURCE INFORMATION
#pgp_id=SIMULATED
#citation=Simulated by presage; it scores simulated genomes only and means nothing for a real person
#license=Apache-2.0
"""
    return header + table.to_csv(sep="\t", index=False, lineterminator="\n")


def _frequency_file(sites: Sites, panel: NDArray[np.int8]) -> str:
    """The columns and digits of `plink2 --freq`."""
    n_alleles = 2 * panel.shape[1]
    table = pd.DataFrame(
        {
            "#CHROM": sites.variants["chrom"],
            "ID": sites.variants["id"],
            "REF": sites.variants["ref"],
            "ALT": sites.variants["alt"],
            "ALT_FREQS": [f"{count / n_alleles:.6g}" for count in panel.sum(axis=1, dtype=np.int64)],
            "OBS_CT": n_alleles,
        }
    )
    return table.to_csv(sep="\t", index=False, lineterminator="\n")


def _gzip(text: str) -> bytes:
    """Without a time or a name in the header, so that the same text is the same bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as stream:
        stream.write(text.encode())
    return buffer.getvalue()
