from __future__ import annotations

import gzip
import itertools
import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pgenlib
import pytest
from numpy.typing import NDArray

from training.simulation.genomes import Genomes, simulate_genomes
from training.simulation.sites import GROUPS, TRAITS, TREE

PER_GROUP = 400
needs_plink2 = pytest.mark.skipif(shutil.which("plink2") is None, reason="plink2 is not installed")
# Hudson's Fst, Bhatia 2013 (Genome Res 23:1514-21), table 1; EUR-SAS: HapMap 3 (Nature 2010;467:52-8), CEU-GIH.
PUBLISHED_FST = {("AFR", "EUR"): 0.139, ("AFR", "EAS"): 0.161, ("EAS", "EUR"): 0.106, ("EUR", "SAS"): 0.035}


def ancestry(seed: int = 1) -> pd.DataFrame:
    """400 people of each group and 400 admixed ones."""
    rng = np.random.default_rng(seed)
    shares = np.vstack([np.eye(5).repeat(PER_GROUP, axis=0), rng.dirichlet(np.ones(5), PER_GROUP)])
    table = pd.DataFrame(shares, columns=list(GROUPS))
    table.insert(0, "group", np.repeat([*GROUPS, "admixed"], PER_GROUP))
    table.insert(0, "person_id", 100 + np.arange(len(table)))
    return table


@pytest.fixture(scope="module")
def genomes() -> Genomes:
    return simulate_genomes(ancestry(), rng=np.random.default_rng(11))


@pytest.fixture(scope="module")
def written(genomes: Genomes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("genomes")
    tested = list(genomes.person_ids[::2])
    genomes.write_genotypes(folder, tested, collected=[pd.Timestamp("2001-05-06")] * len(tested))
    genomes.write_scores(folder)
    genomes.write_reference(folder)
    return folder


def scoring_file(folder: Path, score: str) -> pd.DataFrame:
    text = gzip.decompress((folder / f"{score}.txt.gz").read_bytes()).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return pd.DataFrame([line.split("\t") for line in lines[1:]], columns=lines[0].split("\t"))


def effect_counts(scores: pd.DataFrame, sites: pd.DataFrame, genotypes: NDArray[np.int8]) -> NDArray[np.float64]:
    """(variant, person) counts of the effect allele, by position and allele as a reader of the file would find them."""
    row_of = {(str(c), str(p)): i for i, (c, p) in enumerate(zip(sites["chrom"], sites["pos"], strict=True))}
    rows = [row_of[key] for key in zip(scores["chr_name"], scores["chr_position"], strict=True)]
    is_alt = scores["effect_allele"].to_numpy() == sites["alt"].to_numpy()[rows]
    assert (
        np.where(is_alt, sites["ref"].to_numpy()[rows], sites["alt"].to_numpy()[rows]) == scores["other_allele"]
    ).all()
    counts = genotypes[rows].astype(np.float64)
    return np.where(is_alt[:, None], counts, 2 - counts)


@pytest.mark.parametrize(("trait", "score"), [("chd", "SIM-CHD"), ("t2d", "SIM-T2D"), ("breast_cancer", "SIM-BC")])
def test_z_is_what_the_scoring_file_gives_standardised_by_ancestry(
    genomes: Genomes, written: Path, trait: str, score: str
) -> None:
    table = scoring_file(written, score)
    weight = table["effect_weight"].astype(float).to_numpy()
    counts = effect_counts(table, genomes.sites.variants, genomes.genotypes)
    row_of = {v: i for i, v in enumerate(genomes.sites.variants["id"])}
    shares = ancestry()[list(GROUPS)].to_numpy()
    for person in (0, 500, 900, 1300, 1900, 2100, 2399):
        mean = variance = 0.0
        for _, row in table.iterrows():
            names = [f"{row.chr_name}:{row.chr_position}:{a}:{b}" for a, b in
                     ((row.effect_allele, row.other_allele), (row.other_allele, row.effect_allele))]  # fmt: skip
            name = next(n for n in names if n in row_of)
            frequency = float(shares[person] @ genomes.sites.frequencies[:, row_of[name]])
            if name == names[0]:  # the effect allele is REF
                frequency = 1 - frequency
            mean += 2 * frequency * float(row.effect_weight)
            variance += 2 * frequency * (1 - frequency) * float(row.effect_weight) ** 2
        expected = (weight @ counts[:, person] - mean) / variance**0.5
        assert genomes.z[trait][person] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("trait", TRAITS)
def test_z_has_mean_0_and_variance_1_in_every_group_and_among_the_admixed(genomes: Genomes, trait: str) -> None:
    z = pd.Series(genomes.z[trait]).groupby(ancestry()["group"].to_numpy())
    assert (z.mean().abs() < 4 / PER_GROUP**0.5).all()
    assert ((z.var() - 1).abs() < 4 * (2 / PER_GROUP) ** 0.5).all()


def test_raw_scores_differ_between_groups_before_they_are_standardised(genomes: Genomes) -> None:
    weight = genomes.sites.weights["chd"]
    raw = pd.Series(weight @ genomes.genotypes.astype(np.float64)).groupby(ancestry()["group"].to_numpy())
    assert raw.mean()[list(GROUPS)].std() > 0.2 * raw.std().mean()


def expected_fst(first: str, second: str) -> float:
    """Hudson's Fst of two groups as the tree implies it: the mean drift since the last common ancestor."""
    shared = set(ancestors(first)) & set(ancestors(second))
    kept = [math.prod(1 - TREE[node][1] for node in ancestors(one) if node not in shared) for one in (first, second)]
    return 1 - sum(kept) / 2


def ancestors(group: str) -> list[str]:
    path = [group]
    while TREE[path[-1]][0] != "root":
        path.append(TREE[path[-1]][0])
    return path


def test_the_groups_are_as_far_apart_as_published() -> None:
    for pair, fst in PUBLISHED_FST.items():
        assert expected_fst(*pair) == pytest.approx(fst, abs=0.001)


@needs_plink2
def test_plink2_finds_the_published_fst_in_the_genotypes(genomes: Genomes, written: Path, tmp_path: Path) -> None:
    samples = pd.read_csv(written / "samples.csv")
    groups = samples.merge(ancestry(), on="person_id")[["sample_id", "group"]]
    groups.columns = pd.Index(["#IID", "ancestry"])
    groups.to_csv(tmp_path / "groups.txt", sep="\t", index=False)
    plink2(written / "genotypes", tmp_path, "--pheno", tmp_path / "groups.txt", "--fst", "ancestry", "method=hudson")
    found = pd.read_csv(tmp_path / "out.fst.summary", sep="\t")
    for (first, second), fst in PUBLISHED_FST.items():
        pair = {first, second}
        measured = found[[{a, b} == pair for a, b in zip(found["#POP1"], found["POP2"], strict=True)]]
        assert measured["HUDSON_FST"].item() == pytest.approx(fst, abs=0.015)


def plink2(fileset: Path, folder: Path, *options: object) -> None:
    command = ["plink2", "--pfile", fileset, "--out", folder / "out", "--threads", "1", *options]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


@needs_plink2
def test_plink2_counts_the_same_frequencies_in_the_panel(written: Path, tmp_path: Path) -> None:
    plink2(written / "panel", tmp_path, "--freq")
    ours = pd.read_csv(written / "reference_frequencies.afreq", sep="\t", dtype={"#CHROM": str})
    theirs = pd.read_csv(tmp_path / "out.afreq", sep="\t", dtype={"#CHROM": str})
    pd.testing.assert_frame_equal(ours, theirs[ours.columns])


@needs_plink2
@pytest.mark.parametrize("score", ["SIM-CHD", "SIM-BC"])
def test_plink2_scores_the_written_genotypes_alike(genomes: Genomes, written: Path, tmp_path: Path, score: str) -> None:
    table = scoring_file(written, score)
    sites = genomes.sites.variants
    names = dict(zip(zip(sites["chrom"].astype(str), sites["pos"].astype(str), strict=True), sites["id"], strict=True))
    table["id"] = [names[key] for key in zip(table["chr_name"], table["chr_position"], strict=True)]
    table[["id", "effect_allele", "effect_weight"]].to_csv(tmp_path / "score.txt", sep="\t", index=False, header=False)
    columns = "cols=scoresums,nallele"
    plink2(written / "genotypes", tmp_path, "--score", tmp_path / "score.txt", "no-mean-imputation", columns)
    theirs = pd.read_csv(tmp_path / "out.sscore", sep="\t").set_index("#IID")
    samples = pd.read_csv(written / "samples.csv").set_index("sample_id")
    person = pd.Index(genomes.person_ids).get_indexer(pd.Index(samples["person_id"]))
    called = read_pgen(written / "genotypes", len(sites), len(samples))
    order = pd.read_csv(written / "genotypes.psam", sep="\t")["#IID"]
    counts = effect_counts(table, sites, np.where(called < 0, np.int8(1), called))
    missing = effect_counts(table, sites, np.where(called < 0, np.int8(1), np.int8(0))) == 1
    ours = table["effect_weight"].astype(float).to_numpy() @ np.where(missing, 0.0, counts)
    assert np.allclose(ours, theirs["SCORE1_SUM"].reindex(order), atol=1e-4)
    trait = {"SIM-CHD": "chd", "SIM-BC": "breast_cancer"}[score]
    single = (samples["person_id"] < 100 + PER_GROUP).to_numpy()  # one group: the sum's ranks are those of z
    z = genomes.z[trait][person[single]]
    assert (
        np.corrcoef(z, theirs["SCORE1_SUM"].reindex(samples.index[single]))[0, 1] > 0.95
    )  # missing calls count as 0 here


def read_pgen(stem: Path, n_variants: int, n_samples: int) -> NDArray[np.int8]:
    held = np.empty((n_variants, n_samples), dtype=np.int8)
    with pgenlib.PgenReader(str(stem.with_suffix(".pgen")).encode()) as reader:
        assert reader.get_raw_sample_ct() == n_samples
        reader.read_range(0, n_variants, held)
    return held


def test_called_genotypes_are_the_true_ones_and_one_in_a_hundred_is_missing(genomes: Genomes, written: Path) -> None:
    samples = pd.read_csv(written / "samples.csv").set_index("sample_id")["person_id"]
    order = pd.read_csv(written / "genotypes.psam", sep="\t")["#IID"]
    called = read_pgen(written / "genotypes", len(genomes.sites.variants), len(order))
    truth = genomes.genotypes[:, samples.reindex(order).to_numpy() - 100]
    assert (called < 0).mean() == pytest.approx(0.01, abs=0.001)
    assert (called[called >= 0] == truth[called >= 0]).all()


def test_sample_ids_say_nothing_of_the_person(genomes: Genomes, written: Path) -> None:
    samples = pd.read_csv(written / "samples.csv")
    assert list(samples.columns) == ["sample_id", "person_id", "collected"]
    assert set(samples["person_id"]) == set(genomes.person_ids[::2])
    assert samples["sample_id"].is_unique
    assert abs(samples["sample_id"].rank().corr(samples["person_id"])) < 0.15
    psam = pd.read_csv(written / "genotypes.psam", sep="\t")["#IID"]
    assert set(psam) == set(samples["sample_id"])
    assert list(psam) != sorted(psam)


def test_there_are_enough_variants_sorted_and_none_in_two_scores(genomes: Genomes) -> None:
    sites = genomes.sites.variants
    assert len(sites) >= 2_000
    assert sites[["chrom", "pos"]].apply(tuple, axis=1).is_monotonic_increasing
    used = [set(np.flatnonzero(genomes.sites.weights[trait])) for trait in TRAITS]
    assert all(not first & second for first, second in itertools.combinations(used, 2))


def test_scoring_files_say_that_they_are_simulated(written: Path) -> None:
    for path in written.glob("*.txt.gz"):
        header = gzip.decompress(path.read_bytes()).decode().split("\nchr_name")[0]
        assert "#format_version=2.0" in header
        assert "imulated" in header
        assert f"#pgs_id={path.name.removesuffix('.txt.gz')}" in header
        assert "PGS0" not in header


def test_the_same_seed_writes_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    people = ancestry().iloc[::20]
    contents = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        made = simulate_genomes(people, rng=np.random.default_rng(seed))
        ids = list(people["person_id"].iloc[:30])
        made.write_genotypes(tmp_path / name, ids, collected=["2002-01-01"] * len(ids))
        made.write_scores(tmp_path / name)
        made.write_reference(tmp_path / name)
        contents.append({path.name: path.read_bytes() for path in sorted((tmp_path / name).iterdir())})
    assert len(contents[0]) == 11
    assert contents[0] == contents[1]
    assert all(contents[0][name] != contents[2][name] for name in contents[0] if not name.endswith("psam"))


def test_a_scenario_changes_no_genome() -> None:
    people = ancestry().iloc[::50]
    first, second = (
        simulate_genomes(people, rng=np.random.default_rng(3), scenario=s) for s in ("default", "no-genomic-effect")
    )
    assert (first.genotypes == second.genotypes).all()
    pd.testing.assert_frame_equal(first.carriers, second.carriers)


def test_shares_that_do_not_sum_to_1_and_strangers_are_refused(genomes: Genomes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        simulate_genomes(ancestry().assign(EUR=0.5), rng=np.random.default_rng(1))
    with pytest.raises(ValueError, match="not simulated"):
        genomes.write_genotypes(tmp_path, [1], collected=["2001-01-01"])
