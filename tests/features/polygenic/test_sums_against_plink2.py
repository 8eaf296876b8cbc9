"""Every score that can be scored gives plink2's sums, to the digits that plink2 prints, and NumPy's."""

from __future__ import annotations

import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.polygenic.matching.rules import MatchRules
from features.polygenic.prs import prs
from features.polygenic.run import Settings, compute

pytestmark = pytest.mark.realdata

SCORES = (
    "PGS000001_hmPOS_GRCh37.txt.gz",
    "PGS000001_hmPOS_GRCh38.txt.gz",
    "PGS000002_hmPOS_GRCh37.txt.gz",
    "PGS000002_hmPOS_GRCh38.txt.gz",
    "PGS000015.txt.gz",
    "PGS000162.txt",
    "PGS000781.txt.gz",
    "PGS000802_hmPOS_GRCh37.txt",
    "PGS000899.txt.gz",
    "PGS000957.txt.gz",
    "PGS001229_normalised_GRCh38.txt.gz",
    "PGS002272.txt",
    "PRSWEB_PHECODE153_CRC-Huyghe_PT_UKB_20200608.txt",
    "pgsc_calc_PGS001229_22.txt",
    "pgsc_calc_scorefile_dominant_and_recessive.txt",
)


def effects(counts, model):
    return np.where(
        model == "dominant", np.minimum(counts, 1), np.where(model == "recessive", np.maximum(counts - 1, 0), counts)
    )


def printed(values):
    """How far a number may be from what plink2 prints of it with six digits."""
    digits = np.floor(np.log10(np.maximum(np.abs(values), 1e-300)))
    return 0.505 * 10 ** (digits - 5)


def numpy_sums(panel, used):
    """Effect of called counts, and of missing calls its expectation at the reference's frequency, in float64."""
    place = used["id"].map({name: number for number, name in enumerate(panel.variants["id"])}).to_numpy()
    is_ref = (used["allele"].to_numpy() == panel.variants["ref"].to_numpy()[place])[:, None]
    counts, p = panel.counts[place].astype(float), panel.frequency[place][:, None]
    q = np.where(is_ref, 1 - p, p)
    model = used["model"].to_numpy()[:, None]
    expected = np.where(model == "additive", 2 * q, q)  # plink2's rule for missing calls
    called = effects(np.where(is_ref, 2 - counts, counts), model)
    return used["weight"].to_numpy() @ np.where(counts < 0, expected, called)


@pytest.mark.parametrize("keep_ambiguous", [False, True])
@pytest.mark.parametrize("name", SCORES)
def test_a_published_score_gives_the_sums_of_plink2(
    name, keep_ambiguous, real_data, tmp_path, carry_sites, read_rows, plink2
):
    file = real_data / "genomics" / "scores" / name
    rows = read_rows(file)
    panel = carry_sites(rows, tmp_path, n_samples=120, seed=11)
    settings = Settings(rules=MatchRules(keep_ambiguous=keep_ambiguous))
    out = tmp_path / "out.parquet"

    prs(panel.path, [file], out=out, settings=settings, reference_frequencies=panel.afreq)

    ours = pq.read_table(out).to_pandas()
    report = pq.read_table(tmp_path / "out.variants.parquet").to_pandas()
    used = report[report["status"] == "matched"].merge(rows, on="line", suffixes=("", "_file"))
    used = used.assign(id=used["variant_id"], allele=used["effect"])
    truth = panel.variants.merge(rows[["chrom", "pos"]].drop_duplicates(), on=["chrom", "pos"])
    palindromic = truth["ref"] == truth["alt"].str.translate(str.maketrans("ACGT", "TGCA"))
    assert len(used) == len(truth) - (0 if keep_ambiguous else palindromic.sum())
    theirs = [
        plink2(panel, part, *([] if model == "additive" else [model]))["SCORE1_SUM"].to_numpy()
        for model, part in used.groupby("model")
    ]
    assert (np.abs(ours["sum"] - sum(theirs)) <= sum(printed(part) for part in theirs) + 1e-9).all()
    exact = numpy_sums(panel, used)
    assert np.abs(ours["sum"] - exact).max() < 1e-6 * exact.std()
    alleles = 2 * (panel.counts[[int(v[1:]) for v in used["id"]]] >= 0).sum(axis=0)
    assert (ours["alleles"] == alleles).all()


def test_without_reference_the_samples_own_frequencies_stand_in_as_in_plink2(
    real_data, tmp_path, carry_sites, read_rows, plink2
):
    file = real_data / "genomics" / "scores" / "PGS000899.txt.gz"
    rows = read_rows(file)
    panel = carry_sites(rows, tmp_path, n_samples=300, seed=5, missing=0.05)
    out = tmp_path / "out.parquet"
    told = prs(panel.path, [file], out=out, settings=Settings())
    assert "the frequencies of the 300 samples themselves" in str(told)
    report = pq.read_table(tmp_path / "out.variants.parquet").to_pandas()
    used = report[report["status"] == "matched"].merge(rows, on="line")
    used = used.assign(id=used["variant_id"], allele=used["effect"])
    theirs = plink2(panel, used, frequencies=False)
    ours = pq.read_table(out).to_pandas()
    their_sums = theirs["SCORE1_SUM"].to_numpy()
    assert (np.abs(ours["sum"] - their_sums) <= printed(their_sums) + 1e-9).all()
    assert (ours["alleles"].to_numpy() == theirs["ALLELE_CT"].to_numpy()).all()


def test_many_scores_at_once_give_what_each_gives_alone(real_data, tmp_path, carry_sites, read_rows):
    """Above eight scores the sum is a matrix product; one by one it is not."""
    folder = real_data / "genomics" / "scores"
    rows = read_rows(folder / "PGS000957.txt.gz")
    panel = carry_sites(rows, tmp_path, n_samples=80, seed=2)
    usable = rows[rows["pos"].notna() & rows["effect"].str.fullmatch("[ACGT]") & (rows["other"] != "")]
    rng = np.random.default_rng(0)
    files = []
    for number in range(12):
        part = usable.sample(3000, random_state=number).sort_index()
        table = pd.DataFrame(
            {
                "chr_name": part["chrom"],
                "chr_position": part["pos"].astype(int),
                "effect_allele": part["effect"],
                "other_allele": part["other"],
                "effect_weight": rng.normal(size=len(part)),
            }
        )
        files.append(tmp_path / f"score{number}.txt")
        table.to_csv(files[-1], sep="\t", index=False)
    settings = Settings(min_overlap=0.5)
    prs(panel.path, files, out=tmp_path / "all.parquet", settings=settings, reference_frequencies=panel.afreq)
    together = (
        pq.read_table(tmp_path / "all.parquet").to_pandas().pivot(index="sample_id", columns="score_id", values="sum")
    )
    for file in files[:3]:
        prs(panel.path, [file], out=tmp_path / "one.parquet", settings=settings, reference_frequencies=panel.afreq)
        alone = pq.read_table(tmp_path / "one.parquet").to_pandas().set_index("sample_id")["sum"]
        assert np.abs(alone - together[file.stem]).max() < 1e-6 * alone.std()


def test_the_x_chromosome_and_records_of_several_alternates_are_summed_as_in_plink2(tmp_path):
    """Men's calls of one allele count twice; any allele of a record may be the effect allele; a tenth is missing."""
    rng = np.random.default_rng(3)
    people, men = 80, 40
    columns = [
        "#CHROM",
        "POS",
        "ID",
        "REF",
        "ALT",
        "QUAL",
        "FILTER",
        "INFO",
        "FORMAT",
        *(f"S{i}" for i in range(people)),
    ]
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>", "##contig=<ID=X>"]
    lines += ['##FORMAT=<ID=GT,Number=1,Type=String,Description="G">', "\t".join(columns)]
    rows, theirs = ["chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight"], []
    for k in range(40):
        chromosome, alternates = "1" if k < 20 else "X", ["C", "G"] if k % 3 == 0 else ["C"]
        cells = []
        for person in range(people):
            ploidy = 1 if chromosome == "X" and person < men else 2
            alleles = rng.integers(0, len(alternates) + 1, ploidy).astype(str)
            cells.append("/".join(["."] * ploidy if rng.random() < 0.1 else sorted(alleles)))
        place = [chromosome, str(5_000_000 + 1000 * k), f"v{k}", "A", ",".join(alternates), ".", ".", ".", "GT"]
        lines.append("\t".join(place + cells))
        effect, weight = ("A", *alternates)[k % (len(alternates) + 1)], rng.normal()
        rows.append(f"{chromosome}\t{place[1]}\t{effect}\t{'C' if effect == 'A' else 'A'}\t{weight:.5f}")
        theirs.append(f"v{k}\t{effect}\t{weight:.5f}")
    vcf, stem = tmp_path / "a.vcf", str(tmp_path / "a")
    vcf.write_text("\n".join(lines) + "\n")
    (tmp_path / "score.txt").write_text("\n".join(rows) + "\n")
    (tmp_path / "theirs.txt").write_text("\n".join(theirs) + "\n")
    (tmp_path / "sex").write_text("#IID\tSEX\n" + "".join(f"S{i}\t{1 if i < men else 2}\n" for i in range(people)))
    for told in (
        ["--vcf", str(vcf), "--psam", str(tmp_path / "sex"), "--split-par", "hg38", "--make-pgen"],
        ["--pfile", stem, "--freq"],
        ["--pfile", stem, "--read-freq", f"{stem}.afreq", "--score", str(tmp_path / "theirs.txt"), "cols=scoresums"],
    ):
        subprocess.run(["plink2", *told, "--out", stem], check=True, capture_output=True)
    expected = pd.read_csv(f"{stem}.sscore", sep="\t")["SCORE1_SUM"].to_numpy()
    settings = Settings(rules=MatchRules(keep_multiallelic=True))
    for genotypes in (vcf, tmp_path / "a.pgen"):
        frequencies = {"frequencies_path": tmp_path / "a.afreq"}
        done = compute(genotypes, [tmp_path / "score.txt"], settings=settings, **frequencies)
        assert done.scores[0].summary.n_matched == 40
        assert (np.abs(done.sums.sums[0] - expected) <= 10 * printed(expected) + 1e-4).all()
