"""PGEN, BED, VCF, BCF, one file or one per chromosome: the same people have the same scores."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.polygenic.genotypes import read_dosages
from features.polygenic.run import Settings, compute

PLINK2 = shutil.which("plink2")


@pytest.mark.realdata
def test_cineca_gives_the_same_scores_in_every_format(real_data):
    folder = real_data / "genomics"
    names = ("PGS001229_22.txt", "multiscore.txt", "scorefile_dominant_and_recessive.txt")
    scores = [folder / "scores" / f"pgsc_calc_{name}" for name in names]
    panel = folder / "panels" / "cineca" / "cineca_synthetic_subset"
    found = {
        suffix: compute(panel.with_name(panel.name + suffix), scores, settings=Settings())
        for suffix in (".pgen", ".bed", ".vcf.gz")
    }
    for suffix, done in found.items():
        assert done.sums.sums.shape == (4, 2504), suffix
        assert [name.split("_")[0] for name in done.sample_ids] == list(found[".pgen"].sample_ids)
        np.testing.assert_allclose(done.sums.sums, found[".pgen"].sums.sums, rtol=1e-12)
        assert (done.sums.missing == found[".pgen"].sums.missing).all()


@pytest.mark.skipif(PLINK2 is None, reason="plink2 is not on this machine")
def test_every_export_of_plink2_reads_the_same(write_panel, tmp_path):
    """Also a compressed .pvar, dosages, one file per chromosome, and a BCF."""
    rng = np.random.default_rng(4)
    n = 300
    variants = pd.DataFrame(
        {
            "chrom": np.repeat(["1", "2", "3"], n // 3),
            "pos": np.tile(np.arange(10, 10 + 7 * n // 3, 7), 3),
            "id": [f"v{k}" for k in range(n)],
            "ref": np.tile(list("ACGT"), n // 4),
            "alt": np.tile(list("CATG"), n // 4),
        }
    )
    variants["alt"] = variants["alt"].where(variants["ref"] != "G", "A").where(variants["ref"] != "T", "C")
    counts = rng.integers(-1, 3, (n, 60)).astype(np.int8)
    counts[counts < 0] = -9
    panel = write_panel(tmp_path, variants, counts, np.full(n, 0.4))
    score = tmp_path / "score.txt"
    rows = variants.rename(
        columns={"chrom": "chr_name", "pos": "chr_position", "alt": "effect_allele", "ref": "other_allele"}
    )
    rows.assign(effect_weight=rng.normal(size=n)).drop(columns="id").to_csv(score, sep="\t", index=False)
    stem = str(panel.path.with_suffix(""))

    def export(*told: str) -> None:
        subprocess.run([PLINK2, "--pfile", stem, *told], check=True, capture_output=True)

    export("--make-pgen", "vzs", "--out", str(tmp_path / "zst"))
    export("--make-bed", "--out", str(tmp_path / "bed"))
    export("--export", "vcf", "bgz", "--out", str(tmp_path / "calls"))
    export("--export", "bcf", "--out", str(tmp_path / "calls"))
    for chromosome in "123":
        export("--chr", chromosome, "--make-pgen", "--out", str(tmp_path / f"chr{chromosome}"))
    (tmp_path / "all.vcf").write_bytes(
        subprocess.run(["gzip", "-dc", tmp_path / "calls.vcf.gz"], check=True, capture_output=True).stdout
    )
    expected = compute(panel.path, [score], settings=Settings(), frequencies_path=panel.afreq).sums
    for name in ("zst.pgen", "bed.bed", "calls.vcf.gz", "calls.bcf", "all.vcf", "chr{1..22}.pgen", "chr*.pgen", "bed"):
        done = compute(tmp_path / name, [score], settings=Settings(), frequencies_path=panel.afreq).sums
        np.testing.assert_allclose(done.sums, expected.sums, rtol=1e-12, err_msg=name)


@pytest.mark.skipif(PLINK2 is None, reason="plink2 is not on this machine")
def test_dosages_are_summed_as_plink2_sums_them(tmp_path):
    """DS before GT; a PGEN with dosages as the VCF it came from, to the 1/16384 that a PGEN keeps."""
    rng = np.random.default_rng(5)
    dosage = rng.uniform(0, 2, (40, 60)).round(3)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>", '##FORMAT=<ID=GT,Number=1,Type=String,Description="G">']
    lines += ['##FORMAT=<ID=DS,Number=A,Type=Float,Description="D">']
    lines += [
        "\t".join(
            ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *(f"S{i}" for i in range(60))]
        )
    ]
    for k, row in enumerate(dosage):
        cells = [f"{['0/0', '0/1', '1/1'][round(d)]}:{d}" for d in row]
        lines.append("\t".join(["1", str(100 + k), f"v{k}", "A", "C", ".", ".", ".", "GT:DS", *cells]))
    vcf = tmp_path / "dosages.vcf"
    vcf.write_text("\n".join(lines) + "\n")
    weight = rng.normal(size=40)
    score = tmp_path / "score.txt"
    head = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n"
    score.write_text(head + "".join(f"1\t{100 + k}\tC\tA\t{w}\n" for k, w in enumerate(weight)))
    ours = compute(vcf, [score], settings=Settings()).sums.sums[0]
    np.testing.assert_allclose(ours, weight @ dosage, rtol=1e-6)
    told = [PLINK2, "--vcf", str(vcf), "dosage=DS", "--make-pgen", "--out", str(tmp_path / "dosages")]
    subprocess.run(told, check=True, capture_output=True)
    pgen = compute(tmp_path / "dosages.pgen", [score], settings=Settings()).sums.sums[0]
    np.testing.assert_allclose(pgen, weight @ dosage, atol=np.abs(weight).sum() / 16384)


VCF = """##fileformat=VCFv4.2
##contig=<ID=chr1,length=248956422>
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##FORMAT=<ID=GT,Number=1,Type=String,Description="G">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="P">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO	FORMAT	S1	S2
"""
SCORE = """#pgs_id=S
chr_name	chr_position	effect_allele	other_allele	effect_weight
1	100	C	A	1
1	200	T	G	10
1	300	G	A	100
1	400	T	C	1000
"""


def scored(tmp_path, records: str, **told) -> dict[str, float]:
    """Sums by sample, with the sites that are used."""
    (tmp_path / "one.vcf").write_text(VCF + records)
    (tmp_path / "score.txt").write_text(SCORE)
    afreq = tmp_path / "reference.afreq"
    afreq.write_text(
        "#CHROM\tID\tREF\tALT\tALT_FREQS\tOBS_CT\n1\t1:100:A:C\tA\tC\t0.1\t10\n1\t1:200:G:T\tG\tT\t0.2\t10\n"
        "1\t1:300:A:G\tA\tG\t0.3\t10\n1\t1:400:T:C\tT\tC\t0.4\t10\n"
    )
    done = compute(
        tmp_path / "one.vcf", [tmp_path / "score.txt"], settings=Settings(min_overlap=0, **told), frequencies_path=afreq
    )
    return {"n": done.scores[0].summary.n_matched, "S1": done.sums.sums[0][0], "S2": done.sums.sums[0][1]}


HET = "chr1\t100\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n"


def test_a_site_that_a_vcf_does_not_list_is_not_reference(tmp_path):
    assert scored(tmp_path, HET) == {"n": 1, "S1": 1, "S2": 2}


def test_the_user_may_say_that_absent_is_reference(tmp_path):
    """At position 400 the effect allele is the reference, so absent means two copies."""
    assert scored(tmp_path, HET, assume_reference=True) == {"n": 4, "S1": 2001, "S2": 2002}


def test_a_bed_of_callable_regions_says_where_absent_is_reference(tmp_path):
    bed = tmp_path / "callable.bed"
    bed.write_text("chr1\t299\t400\n")
    assert scored(tmp_path, HET, callable_bed=bed) == {"n": 3, "S1": 2001, "S2": 2002}


def test_a_gvcf_block_says_where_who_is_reference(tmp_path):
    block = "chr1\t350\t.\tG\t<NON_REF>\t.\t.\tEND=500\tGT\t0/0\t./.\n"
    expected = 2 + 1000 * 2 * 0.6  # missing: twice the reference's frequency of T, which is REF
    assert scored(tmp_path, HET + block) == {"n": 2, "S1": 2001, "S2": pytest.approx(expected)}


def test_a_record_without_alternate_is_reference_at_its_own_site(tmp_path):
    record = "chr1\t300\t.\tA\t.\t.\t.\t.\tGT\t0/0\t0/0\n"
    assert scored(tmp_path, HET + record) == {"n": 2, "S1": pytest.approx(1), "S2": pytest.approx(2)}


def test_genotype_probabilities_come_before_calls(tmp_path):
    record = "chr1\t200\t.\tG\tT\t.\t.\t.\tGT:GP\t0/0:0.5,0.25,0.25\t1/1:.\n"
    assert scored(tmp_path, HET + record) == {"n": 2, "S1": pytest.approx(1 + 7.5), "S2": 22}


def test_of_a_record_with_several_alternates_each_is_counted_by_itself(tmp_path):
    from features.polygenic.matching.rules import MatchRules

    record = "chr1\t200\t.\tG\tA,T\t.\t.\t.\tGT\t1/2\t2/2\n"
    assert scored(tmp_path, HET + record)["n"] == 1, "left out by default, as published"
    keep = MatchRules(keep_multiallelic=True)
    assert scored(tmp_path, HET + record, rules=keep) == {"n": 2, "S1": 11, "S2": 22}


def test_haploid_calls_count_twice_and_half_calls_are_missing(tmp_path):
    record = "chr1\t200\t.\tG\tT\t.\t.\t.\tGT\t1\t./1\n"
    assert scored(tmp_path, HET + record) == {"n": 2, "S1": 21, "S2": pytest.approx(2 + 10 * 0.4)}


@pytest.mark.realdata
def test_a_flat_table_joins_a_plink_file_by_family(real_data):
    ids, variants, dosages = read_dosages(real_data / "geno_penncath_lite" / "penncath_lite.bed")
    clinical = pd.read_csv(real_data / "geno_penncath_lite" / "penncath_clinical.csv", dtype={"FamID": str})
    assert dosages.shape == (1401, 4367)
    assert variants.num_rows == 4367
    assert set(clinical["FamID"]) <= set(ids)


def test_a_vcf_is_not_a_flat_table(tmp_path):
    path = tmp_path / "x.vcf"
    path.write_text(VCF)
    with pytest.raises(PresageError, match="--make-pgen"):
        read_dosages(path)
