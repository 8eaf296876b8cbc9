"""What records of a VCF say of a person and what they do not: gVCFs, structural variants, files per chromosome."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess

import numpy as np
import pytest

from features.errors import PresageError
from features.polygenic.columns.variants import Alleles
from features.polygenic.genotypes import AllelePairs, Request, open_genotypes
from features.polygenic.matching.rules import MatchRules
from features.polygenic.prs import prs
from features.polygenic.run import Settings, compute

PLINK2 = shutil.which("plink2")
HEAD = """##fileformat=VCFv4.2
##contig=<ID=chr1>
##contig=<ID=chr2>
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
##FORMAT=<ID=GT,Number=1,Type=String,Description="G">
##FORMAT=<ID=DP,Number=1,Type=Integer,Description="D">
##FORMAT=<ID=GQ,Number=1,Type=Integer,Description="Q">
"""
DOSAGES = """##FORMAT=<ID=DS,Number=A,Type=Float,Description="D">
##FORMAT=<ID=GP,Number=G,Type=Float,Description="P">
"""
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n"
SCORE = """#pgs_id=S
chr_name	chr_position	effect_allele	other_allele	effect_weight
1	100	C	A	1
1	200	T	G	10
2	300	G	A	100
2	400	T	C	1000
"""
AFREQ = """#CHROM	ID	REF	ALT	ALT_FREQS	OBS_CT
1	1:100:A:C	A	C	0.1	10
1	1:200:G:T	G	T	0.2	10
2	2:300:A:G	A	G	0.3	10
2	2:400:T:C	T	C	0.4	10
"""
HET = "chr1\t100\t.\tA\tC\t.\t.\t.\tGT\t0/1\t1/1\n"
SECOND = "chr2\t300\t.\tA\tG\t.\t.\t.\tGT\t0/1\t1/1\n"


def scored(tmp_path, genotypes: str | dict[str, str], *, name="one.vcf", head=HEAD, score=SCORE, **told):
    """How many rows matched, and both people's sums; `genotypes`: records, or the records of each file."""
    files = {name: genotypes} if isinstance(genotypes, str) else genotypes
    for file, records in files.items():
        (tmp_path / file).write_text(head + COLUMNS + records)
    (tmp_path / "score.txt").write_text(score)
    (tmp_path / "reference.afreq").write_text(AFREQ)
    settings = Settings(**({"min_overlap": 0} | told))
    done = compute(
        tmp_path / name, [tmp_path / "score.txt"], settings=settings, frequencies_path=tmp_path / "reference.afreq"
    )
    return done.scores[0].summary.n_matched, *(done.sums.sums[0].tolist() if len(done.sums.sums) else ())


def test_a_variant_of_a_gvcf_has_one_alternate_beside_its_placeholder(tmp_path):
    """GATK writes <NON_REF>, bcftools <*> after every alternate: that is not a record of several alternates."""
    for placeholder in ("<NON_REF>", "<*>"):
        record = f"chr1\t200\t.\tG\tT,{placeholder}\t.\t.\t.\tGT\t0/1\t1/1\n"
        assert scored(tmp_path, HET + record) == (2, 11, 22)


def test_a_call_of_the_placeholder_is_missing(tmp_path):
    record = "chr1\t200\t.\tG\tT,<NON_REF>\t.\t.\t.\tGT\t0/2\t1/1\n"
    assert scored(tmp_path, HET + record) == (2, pytest.approx(1 + 10 * 0.4), 22)


def test_a_call_of_an_allele_that_the_record_does_not_list_is_missing(tmp_path):
    record = "chr1\t200\t.\tG\tT\t.\t.\t.\tGT\t0/3\t1/1\n"
    assert scored(tmp_path, HET + record) == (2, pytest.approx(1 + 10 * 0.4), 22)


@pytest.mark.parametrize("alternate", ["<DEL>", "<CNV>", "<DUP>"])
def test_who_lacks_a_structural_variant_is_not_reference_all_along_it(tmp_path, alternate):
    record = f"chr1\t150\t.\tG\t{alternate}\t.\t.\tEND=500\tGT\t0/0\t0/0\n"
    assert scored(tmp_path, HET + record) == (1, 1, 2)


@pytest.mark.parametrize("fields", ["GT:GQ\t0/0:0\t0/0:30", "GT:DP\t0/0:0\t0/0:12", "GT:DP:GQ\t0/0:0:0\t0/0:9:9"])
def test_a_block_without_reads_or_quality_says_nothing(tmp_path, fields):
    """GATK calls a stretch that nobody sequenced 0/0 with GQ 0."""
    record = f"chr1\t150\t.\tG\t<NON_REF>\t.\t.\tEND=500\t{fields}\n"
    assert scored(tmp_path, HET + record) == (2, pytest.approx(1 + 10 * 0.4), 2)


def test_alternates_are_counted_by_their_own_number(tmp_path):
    """A deletion that spans the site (*) is an alternate, though none that a score could name."""
    record = "chr1\t200\t.\tG\t*,T\t.\t.\t.\tGT\t0/2\t1/1\n"
    assert scored(tmp_path, HET + record, rules=MatchRules(keep_multiallelic=True)) == (2, 11, 2)


def test_a_site_whose_only_alternate_is_a_deletion_is_not_assumed_reference(tmp_path):
    record = "chr1\t200\t.\tG\t*\t.\t.\t.\tGT\t0/1\t1/1\n"
    assert scored(tmp_path, HET + record, assume_reference=True)[0] == 3


def test_a_record_without_calls_is_missing_for_everybody(tmp_path):
    record = "chr1\t200\t.\tG\tT\t.\t.\t.\tDP\t3\t4\n"
    assert scored(tmp_path, HET + record) == (2, pytest.approx(1 + 4), pytest.approx(2 + 4))


def test_a_vcf_without_any_wanted_record_is_an_answer(tmp_path):
    assert scored(tmp_path, "") == (0,), "not scored even where nothing need match"


def test_nobody_without_a_dosage_has_two_reference_alleles(tmp_path):
    """Of a record with several alternates the reference is counted as what the alternates leave."""
    record = "chr1\t100\t.\tA\tC,G\t.\t.\t.\tGT:DS\t0/0:0.25,0.5\t./.:.,.\n"
    afreq = AFREQ.replace("1\t1:100:A:C\tA\tC\t0.1", "1\tx\tA\tC,G\t0.1,0.2")
    score = SCORE.splitlines()[:2]
    path = tmp_path / "score.txt"
    path.write_text("\n".join([*score, "1\t100\tA\tC\t1"]) + "\n")
    (tmp_path / "a.vcf").write_text(HEAD + DOSAGES + COLUMNS + record.replace("100\t.", "100\tx"))
    (tmp_path / "a.afreq").write_text(afreq)
    settings = Settings(rules=MatchRules(keep_multiallelic=True))
    done = compute(tmp_path / "a.vcf", [path], settings=settings, frequencies_path=tmp_path / "a.afreq")
    np.testing.assert_allclose(done.sums.sums[0], [2 - 0.75, 2 * 0.7])


def test_a_reference_allele_has_a_frequency_only_where_all_alternates_have(tmp_path):
    """Else a missing call has no expectation, and nobody a sum."""
    record = "chr1\t200\t.\tG\tT,A\t.\t.\t.\tGT\t0/1\t0/0\n"
    score = SCORE.replace("1\t200\tT\tG", "1\t200\tG\tT")
    assert scored(tmp_path, HET + record, score=score, rules=MatchRules(keep_multiallelic=True)) == (1, 1, 2)


@pytest.mark.skipif(PLINK2 is None, reason="plink2 is not on this machine")
@pytest.mark.parametrize(("field", "cells"), [("DS", ("1:0.9", "0/1:0.9")), ("GP", ("1:0.2,0.8", "0/1:0.1,0.7,0.2"))])
def test_haploid_dosages_count_twice_as_in_plink2(tmp_path, field, cells):
    record = f"chr1\t100\ta\tA\tC\t.\t.\t.\tGT:{field}\t" + "\t".join(cells) + "\n"
    declared = "".join(line for line in DOSAGES.splitlines(keepends=True) if f"ID={field}," in line)
    ours = scored(tmp_path, record, head=HEAD + declared)[1:]
    stem = tmp_path / "theirs"
    dosage = f"dosage={field}"
    told = [PLINK2, "--vcf", str(tmp_path / "one.vcf"), dosage, "--export", "A", "--export-allele", str(stem)]
    stem.write_text("a C\n")
    subprocess.run([*told, "--out", str(stem)], check=True, capture_output=True)
    theirs = [float(line.split()[-1]) for line in stem.with_suffix(".raw").read_text().splitlines()[1:]]
    np.testing.assert_allclose(ours, theirs, atol=2e-4)


@pytest.mark.parametrize("people", [2, 12])
def test_dosages_that_the_header_does_not_declare_are_not_dropped_in_silence(tmp_path, people):
    columns = COLUMNS.strip() + "".join(f"\tM{k}" for k in range(people - 2)) + "\n"
    record = "chr1\t100\t.\tA\tC\t.\t.\t.\tGT:DS" + "\t0/1:0.5" * people + "\n"
    (tmp_path / "a.vcf").write_text(HEAD + columns + record)
    (tmp_path / "score.txt").write_text(SCORE)
    with pytest.raises(
        PresageError, match=r"a\.vcf, header: expected a declaration of DS or GP, which its records have, found none"
    ):
        compute(tmp_path / "a.vcf", [tmp_path / "score.txt"], settings=Settings(min_overlap=0))


@pytest.mark.parametrize(("fields", "cell", "read"), [("GT:DS", "0/1:0.5", "dosages"), ("GT", "0/1", "calls")])
def test_a_run_says_whether_it_read_dosages(tmp_path, fields, cell, read):
    record = f"chr1\t100\t.\tA\tC\t.\t.\t.\t{fields}\t{cell}\t{cell}\n"
    (tmp_path / "a.vcf").write_text(HEAD + (DOSAGES if "DS" in fields else "") + COLUMNS + record)
    (tmp_path / "score.txt").write_text(SCORE)
    told = str(
        prs(tmp_path / "a.vcf", [tmp_path / "score.txt"], out=tmp_path / "out.csv", settings=Settings(min_overlap=0))
    )
    assert f"1 of 1 scores for 2 samples, from {read}" in told
    assert json.loads((tmp_path / "out.report.json").read_text())["genotypes"] == read


def listing(tmp_path, *, reference: bool, n=200):
    """One person's VCF of n sites; of the half at which they are reference the records are left out or not."""
    calls = ["0/0" if k % 2 else "0/1" for k in range(n)]
    records = [f"chr1\t{100 + k}\t.\tA\tC\t.\t.\t.\tGT\t{call}\n" for k, call in enumerate(calls)]
    kept = [record for record in records if reference or "0/0" not in record]
    (tmp_path / "one.vcf").write_text(HEAD + COLUMNS.replace("\tS2", "") + "".join(kept))
    rows = [f"1\t{100 + k}\tC\tA\t1\n" for k in range(n)]
    (tmp_path / "score.txt").write_text("\n".join(SCORE.splitlines()[:2]) + "\n" + "".join(rows))
    return tmp_path / "one.vcf", [tmp_path / "score.txt"]


def test_who_brings_only_variants_is_told_what_is_missing(tmp_path):
    genotypes, scores = listing(tmp_path, reference=False)
    said = compute(genotypes, scores, settings=Settings()).scores[0].not_scored
    assert said.startswith("50% of variants and 50% of the weight matched, 75% needed; 100 rows")
    assert "list only variants: where other sites are reference is told by a gVCF, --callable-bed or" in said
    genotypes, scores = listing(tmp_path, reference=True)
    assert compute(genotypes, scores, settings=Settings()).scores[0].not_scored is None


def test_a_vcf_is_read_for_the_positions_of_its_own_build(tmp_path):
    """A file harmonised to the other build keeps its own positions, which are on the build of the VCF's header."""
    head = HEAD.replace("<ID=chr1>", "<ID=chr1,length=249250621>")
    columns = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\thm_chr\thm_pos\n"
    score = "#pgs_id=S\n#genome_build=GRCh37\n#HmPOS_build=GRCh38\n" + columns + "1\t100\tC\tA\t1\t1\t7100\n"
    assert scored(tmp_path, HET, head=head, score=score) == (1, 1, 2)


def test_a_reference_whose_ref_is_the_commoner_allele_does_not_say_what_is_not_listed(tmp_path):
    """As of a panel that was a BED: who is reference at a site would have two copies of the wrong allele."""
    genotypes, scores = listing(tmp_path, reference=False)
    header = "#CHROM\tID\tREF\tALT\tALT_FREQS\tOBS_CT\n"
    for turned, people in ((range(0), "good"), (range(0, 200, 20), "bad")):
        alleles = [("C\tA" if k in turned else "A\tC") for k in range(200)]
        rows = [f"1\t1:{100 + k}:x:y\t{pair}\t0.3\t10\n" for k, pair in enumerate(alleles)]
        (tmp_path / f"{people}.afreq").write_text(header + "".join(rows))
    told = {"settings": Settings(assume_reference=True)}
    done = compute(genotypes, scores, frequencies_path=tmp_path / "good.afreq", **told)
    np.testing.assert_allclose(done.sums.sums, [[100]])
    with pytest.raises(PresageError, match="found its ALT as their REF at 10 of 100 sites"):
        compute(genotypes, scores, frequencies_path=tmp_path / "bad.afreq", **told)
    genotypes, scores = listing(tmp_path, reference=True)
    done = compute(genotypes, scores, settings=Settings(), frequencies_path=tmp_path / "bad.afreq")
    np.testing.assert_allclose(done.sums.sums, [[100]], err_msg="where every site is listed nobody asks")


SET = {"chr1.vcf": HET, "chr2.vcf": SECOND + "chr2\t400\t.\tT\tC\t.\t.\t.\tGT\t1/1\t0/1\n"}


def test_files_per_chromosome_assume_reference_once(tmp_path):
    """The file of one chromosome says nothing of the others: what these list is not reference."""
    together = scored(tmp_path, SET["chr1.vcf"] + SET["chr2.vcf"], assume_reference=True)
    assert together == (4, 1 + 100, 2 + 200 + 1000)
    assert scored(tmp_path, SET, name="chr*.vcf", assume_reference=True) == together


def test_a_site_that_no_file_lists_is_added_once(tmp_path):
    assert scored(tmp_path, SET | {"chr2.vcf": SECOND}, name="chr*.vcf", assume_reference=True) == (4, 2101, 2202)
    alleles = Alleles()
    codes = [np.array([alleles.code(name) for name in names], np.int32) for names in ("AGAT", "CTGC")]
    keys = np.array([(1 << 32) + 100, (1 << 32) + 200, (2 << 32) + 300, (2 << 32) + 400])
    pairs = AllelePairs.of([(keys, *codes)])
    request = Request(lambda _: pairs, lambda: pairs, assume_reference=True)
    with open_genotypes(tmp_path / "chr*.vcf", alleles, request=request) as genotypes:
        assert sorted(genotypes.variants.keys.tolist()) == keys.tolist()


def test_files_per_chromosome_with_callable_regions_are_as_one(tmp_path):
    bed = tmp_path / "callable.bed"
    bed.write_text("chr1\t150\t250\nchr2\t0\t350\n")
    together = scored(tmp_path, SET["chr1.vcf"] + SECOND, callable_bed=bed)
    assert together == (3, 101, 202)
    assert scored(tmp_path, SET | {"chr2.vcf": SECOND}, name="chr*.vcf", callable_bed=bed) == together


def test_callable_regions_may_be_gzipped_and_come_from_windows(tmp_path):
    bed = tmp_path / "callable.bed.gz"
    bed.write_bytes(gzip.compress(b"\xef\xbb\xbfchr1\t150\t250\r\nchr2\t0\t350\r\n"))
    assert scored(tmp_path, SET["chr1.vcf"] + SECOND, callable_bed=bed) == (3, 101, 202)


def test_gvcf_blocks_of_files_per_chromosome_are_as_of_one(tmp_path):
    blocks = {
        "chr1.vcf": HET + "chr1\t150\t.\tG\t<NON_REF>\t.\t.\tEND=500\tGT\t0/0\t./.\n",
        "chr2.vcf": "chr2\t1\t.\tG\t<NON_REF>\t.\t.\tEND=350\tGT\t./.\t0/0\n" + SET["chr2.vcf"].split("\n")[1] + "\n",
    }
    together = scored(tmp_path, "".join(blocks.values()))
    assert together == (4, pytest.approx(1 + 100 * 0.6), pytest.approx(2 + 10 * 0.4 + 1000))
    assert scored(tmp_path, blocks, name="chr*.vcf") == together
    also = scored(tmp_path, blocks, name="chr*.vcf", assume_reference=True)
    assert also == together, "what a block says of a person comes before what is assumed of everybody"


def test_a_chromosome_whose_file_is_absent_is_not_assumed_reference(tmp_path):
    with pytest.raises(PresageError, match="found no file of chromosome 3, 4, "):
        scored(tmp_path, SET, name="chr{1..22}.vcf", assume_reference=True)
    assert scored(tmp_path, SET, name="chr{1..22}.vcf")[0] == 3
