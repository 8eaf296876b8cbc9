"""Files that are damaged or do not fit: one error that names file, line and rule, exit code 2, nothing left behind."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.polygenic.columns import text
from features.polygenic.prs import prs, report_paths
from features.polygenic.run import Settings

SCORE = "#pgs_id=S1\n#genome_build=GRCh38\nchr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n"
ROWS = "1\t100\tA\tC\t0.5\n1\t200\tG\tT\t-0.25\n2\t300\tT\tG\t0.125\n"


@pytest.fixture
def panel(tmp_path, write_panel):
    variants = pd.DataFrame(
        {
            "chrom": ["1", "1", "2"],
            "pos": [100, 200, 300],
            "id": ["a", "b", "c"],
            "ref": list("CTG"),
            "alt": list("AGT"),
        }
    )
    counts = np.array([[0, 1, 2, 1], [2, 1, 0, 0], [1, 1, 1, 2]], np.int8)
    return write_panel(tmp_path / "panel", variants, counts, np.array([0.4, 0.5, 0.6]))


@pytest.fixture
def score(tmp_path):
    path = tmp_path / "score.txt"
    path.write_text(SCORE + ROWS)
    return path


def refused(genotypes: Path, score: Path, tmp_path: Path, **told) -> str:
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(PresageError) as error:
        prs(genotypes, [score], out=out / "scores.parquet", settings=told.pop("settings", Settings()), **told)
    assert list(out.iterdir()) == [], "something was left behind"
    return str(error.value)


def test_the_whole_files_are_scored(panel, score, tmp_path):
    prs(panel.path, [score], out=tmp_path / "out.parquet", settings=Settings())
    found = pd.read_parquet(tmp_path / "out.parquet")
    by_hand = 0.5 * panel.counts[0] - 0.25 * panel.counts[1] + 0.125 * panel.counts[2]
    np.testing.assert_allclose(found["sum"], by_hand, rtol=1e-12)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected a scoring file, found an empty file"),
        (SCORE, "expected at least one row, found none"),
        (SCORE + "1\t100\tA\tC\tnan\n", "line 4, column effect_weight: expected a finite number"),
        (SCORE + ROWS + "1\t400\tA\tC\tinf\n", "line 7, column effect_weight: expected a finite number"),
        (SCORE + ROWS + "1\t400\tA\tC\t\n", "line 7, column effect_weight: expected a finite number"),
        (SCORE + ROWS + "1\t400\tA\tC\tbig\n", "line 7, column effect_weight: expected a number"),
        (SCORE + ROWS + "1\tx\tA\tC\t1\n", "line 7, column chr_position: expected a whole number"),
        (SCORE + ROWS + "1\t400\tA\n", "line 7: expected 5 columns, found 3"),
        (SCORE + "\t\tA\tC\t1\n", "no row has a chromosome, a position and an effect allele"),
        ("#pgs_id=S1\nrsID\teffect_weight\nrs1\t1\n", "line 2: expected the columns effect_allele and effect_weight"),
        ("PK\0\0binary", "expected a text file, found a binary one"),
    ],
)
def test_a_damaged_scoring_file_names_line_and_rule(content, said, panel, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text(content)
    message = refused(panel.path, path, tmp_path)
    assert said in message
    assert "bad.txt" in message


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("1\t200\tG\tT\tx", "line 7, column effect_weight: expected a number"),
        ("1\t200\tG\tT\t1_000", "line 7, column effect_weight: expected a number"),
        ("1\t200\tG\tT\tinf", "line 7, column effect_weight: expected a finite number"),
        ("1\t200\tG\tT", "line 7: expected 5 columns, found 4"),
    ],
)
def test_an_error_names_the_line_whatever_lies_before_it(row, said, panel, tmp_path):
    path = tmp_path / "score.txt"
    path.write_text(f"{SCORE}\n\n1\t100\tA\tC\u2028\t0.5\n{row}\n\n", encoding="utf-8")
    assert said in refused(panel.path, path, tmp_path)


def test_the_report_counts_empty_lines(panel, score, tmp_path):
    rows = ROWS.splitlines(keepends=True)
    other = tmp_path / "other.txt"
    other.write_text(SCORE.replace("S1", "S2") + rows[0] + "\n\n" + rows[1] + "\n" + rows[2] + "\n")
    prs(panel.path, [score, other], out=tmp_path / "out.parquet", settings=Settings())
    found = pd.read_parquet(report_paths(tmp_path / "out.parquet")[1])
    assert found.groupby("score_id", observed=True)["line"].agg(list).to_dict() == {"S1": [4, 5, 6], "S2": [4, 7, 9]}


def test_a_scoring_file_cut_short_is_refused(panel, tmp_path):
    path = tmp_path / "bad.txt.gz"
    path.write_bytes(gzip.compress((SCORE + ROWS * 100).encode())[:-20])
    assert "bad.txt.gz: expected a whole gzip file, found a damaged one" in refused(panel.path, path, tmp_path)


def test_a_score_given_twice_is_refused(panel, score, tmp_path):
    again = tmp_path / "again.txt"
    again.write_text(SCORE + ROWS)
    with pytest.raises(PresageError, match=r"again\.txt: expected every score once, found S1, which is also in"):
        prs(panel.path, [score, again], out=tmp_path / "out.parquet", settings=Settings())


def test_only_haplotypes_is_one_error_and_beside_others_a_refusal(panel, score, tmp_path):
    haplotypes = tmp_path / "hla.txt"
    head = "#pgs_id=HLA\neffect_allele\teffect_weight\tis_haplotype\n"
    haplotypes.write_text(head + "HLA-DRB1*15\t-2.7\tTRUE\nHLA-A*24\t0.43\tTRUE\n")
    assert "2 of 2 rows, 100% of the weight, are haplotypes" in refused(panel.path, haplotypes, tmp_path)
    prs(panel.path, [haplotypes, score], out=tmp_path / "both.csv", settings=Settings())
    found = pd.read_csv(tmp_path / "both.csv")
    assert found.query("score_id == 'HLA'")["not_scored"].str.contains("haplotypes").all()
    assert found.query("score_id == 'S1'")["sum"].notna().all()


def test_a_score_of_another_build_is_refused_by_name(panel, score, tmp_path):
    message = refused(panel.path, score, tmp_path, settings=Settings(build="GRCh37"))
    assert "the score is on GRCh38, the genotypes are on GRCh37" in message


@pytest.mark.parametrize("name", ["hg18", "NCBI36", "NCBI Build 36.3", "T2T-CHM13v2.0"])
def test_a_score_of_a_build_that_nobody_can_match_is_refused_by_name(name, panel, score, tmp_path):
    score.write_text(score.read_text().replace("GRCh38", name))
    message = refused(panel.path, score, tmp_path, settings=Settings(build="GRCh37"))
    assert "the score is on" in message
    assert "the genotypes are on GRCh37" in message


def test_nobody_asks_for_a_build_that_no_score_is_on(panel, score, tmp_path):
    message = refused(panel.path, score, tmp_path, settings=Settings(build="hg18"))
    assert "--build: expected GRCh37 or GRCh38" in message


def test_a_header_that_says_another_build_than_the_user_is_refused(panel, score, tmp_path):
    pvar = panel.path.with_suffix(".pvar")
    pvar.write_text("##contig=<ID=chr1,length=248956422>\n" + pvar.read_text())
    message = refused(panel.path, score, tmp_path, settings=Settings(build="GRCh37"))
    assert "--build: expected the build that the header of" in message
    assert "names, GRCh38, found GRCh37" in message


@pytest.mark.parametrize("keep", [0, 11, 40])
def test_a_genotype_file_cut_short_is_refused(keep, panel, score, tmp_path):
    content = panel.path.read_bytes()
    panel.path.write_bytes(content[: min(keep, len(content) - 1)])
    assert "panel.pgen" in refused(panel.path, score, tmp_path)


def test_one_sample_too_many_in_the_table_is_refused(panel, score, tmp_path):
    psam = panel.path.with_suffix(".psam")
    psam.write_text(psam.read_text() + "S99\n")
    assert "expected a whole genotype file of 5 samples and 3 records" in refused(panel.path, score, tmp_path)


def test_a_sample_named_twice_is_refused_with_its_line(panel, score, tmp_path):
    panel.path.with_suffix(".psam").write_text("#IID\nS0\nS1\nS1\nS3\n")
    message = refused(panel.path, score, tmp_path)
    assert "panel.psam, line 4: expected an id for each sample, found one of an earlier line" in message
    assert "S1" not in message, "an error holds no person's id"


def test_one_variant_too_few_in_the_table_is_refused(panel, score, tmp_path):
    pvar = panel.path.with_suffix(".pvar")
    pvar.write_text("\n".join(pvar.read_text().splitlines()[:-1]) + "\n")
    assert "expected a whole genotype file of 4 samples and 2 records" in refused(panel.path, score, tmp_path)


@pytest.mark.parametrize("suffix", [".pvar", ".psam"])
def test_an_absent_or_empty_table_is_refused(suffix, panel, score, tmp_path):
    table = panel.path.with_suffix(suffix)
    table.write_text("")
    assert suffix in refused(panel.path, score, tmp_path)
    table.unlink()
    (tmp_path / "out").rmdir()
    assert suffix in refused(panel.path, score, tmp_path)


@pytest.mark.parametrize(
    ("option", "told"),
    [("--assume-reference", {"assume_reference": True}), ("--callable-bed", {"callable_bed": Path("regions.bed")})],
)
def test_what_is_asked_of_unlisted_sites_is_not_ignored_where_there_are_none(option, told, panel, score, tmp_path):
    message = refused(panel.path, score, tmp_path, settings=Settings(**told))
    assert f"{option}: expected a VCF or BCF, found panel.pgen, which has a call at every site" in message


def test_bgen_is_refused_with_the_command_that_converts_it(score, tmp_path):
    path = tmp_path / "cohort.bgen"
    path.write_bytes(b"bgen")
    assert "plink2 --bgen cohort.bgen ref-first" in refused(path, score, tmp_path)


def test_a_bed_of_the_wrong_size_says_what_was_expected(score, tmp_path):
    stem = tmp_path / "toy"
    stem.with_suffix(".bed").write_bytes(b"\x6c\x1b\x01" + bytes(2))
    stem.with_suffix(".bim").write_text("1\ta\t0\t100\tA\tC\n1\tb\t0\t200\tG\tT\n")
    stem.with_suffix(".fam").write_text("".join(f"F{i} I{i} 0 0 0 -9\n" for i in range(5)))
    message = refused(stem.with_suffix(".bed"), score, tmp_path)
    assert "expected 7 bytes for 5 samples and 2 variants, found 5" in message


@pytest.mark.parametrize("piece", [40, 1 << 20])
@pytest.mark.parametrize("row", ["1\tx\tb\tT\tG", "1\t200\tb\tT"])
def test_a_bad_line_of_a_pvar_is_named_whatever_lies_before_it(piece, row, panel, score, tmp_path, monkeypatch):
    monkeypatch.setitem(text.pieces.__kwdefaults__, "size", piece)
    head = "##source=x\n#CHROM\tPOS\tID\tREF\tALT\n"
    panel.path.with_suffix(".pvar").write_text(f"{head}1\t100\ta\tC\tA,G\n\n\n1\t150\tc\tG\tT\n\n{row}\n")
    assert "panel.pvar, line 8:" in refused(panel.path, score, tmp_path)


def test_a_frequency_outside_0_to_1_is_refused(panel, score, tmp_path):
    panel.afreq.write_text(panel.afreq.read_text().replace("0.5", "1.5"))
    message = refused(panel.path, score, tmp_path, reference_frequencies=panel.afreq)
    assert "row 2, column ALT_FREQS: expected a frequency from 0 to 1" in message


@pytest.mark.parametrize("content", ["[]", "{}", "3", "not json", '{"format": 1, "files": {}}'])
def test_a_reference_that_is_none_is_refused(content, panel, score, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text(content)
    assert "model.json: expected an ancestry reference, found a file of another kind" in refused(
        panel.path, score, tmp_path, ancestry=tmp_path / "model"
    )


@pytest.mark.parametrize("name", ["scores.parquet", "scores.report.json", "scores.variants.parquet"])
def test_a_folder_in_an_outputs_place_is_told_before_anything_is_computed(name, panel, score, tmp_path):
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    with pytest.raises(PresageError, match="expected the name of a file, found a folder of that name"):
        prs(panel.path, [score], out=out / "scores.parquet", settings=Settings())
    assert [path.name for path in out.iterdir()] == [name]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"1\t0\t100\n" * 100)[:-9], "callable.bed: expected a whole gzip file"),
        (b"\xff\xfe1\x000\x00", "callable.bed: expected text in UTF-8"),
        (b"1\t0\t100\n1\t7\t7\n", "callable.bed, line 2: expected chromosome, start and a later end"),
    ],
)
def test_damaged_callable_regions_are_refused(content, said, score, tmp_path):
    (tmp_path / "a.vcf").write_text(VCF + COLUMNS + "1\t100\t.\tC\tA\t.\t.\t.\tGT\t0/1\t0/0\n")
    bed = tmp_path / "callable.bed"
    bed.write_bytes(content)
    assert said in refused(tmp_path / "a.vcf", score, tmp_path, settings=Settings(callable_bed=bed))


VCF = '##fileformat=VCFv4.2\n##contig=<ID=1>\n##contig=<ID=2>\n##FORMAT=<ID=GT,Number=1,Type=String,Description="G">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "expected a VCF or BCF file, found an empty file"),
        ("not a vcf\n", "expected a VCF or BCF file, found a header"),
        (VCF + COLUMNS.replace("S2", "S1"), "header: expected every sample once"),
        (VCF + "\t".join(COLUMNS.split("\t")[:8]) + "\n", "expected at least one sample, found sites only"),
        (VCF + COLUMNS + "1\t100\t.\tC\tA\t.\t.\t.\tGT\t0/1\n", "record 1: expected a whole record"),
        (
            VCF + COLUMNS + "1\t100\t.\tC\tA\t.\t.\t.\tGT\t0/1\t0",
            "expected a whole file, found one whose end is missing",
        ),
    ],
)
def test_a_damaged_vcf_is_refused(content, said, score, tmp_path):
    path = tmp_path / "bad.vcf"
    path.write_text(content)
    message = refused(path, score, tmp_path)
    assert said in message
    assert "bad.vcf" in message


def test_the_command_exits_with_2_and_one_line(panel, tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text(SCORE + "1\t100\tA\tC\tnan\n")
    presage = Path(sys.executable).with_name("presage")
    out = tmp_path / "scores.csv"
    done = subprocess.run(
        [presage, "prs", panel.path, "--scores", path, "--out", out],
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert done.returncode == 2
    assert "bad.txt, line 4, column effect_weight: expected a finite number" in done.stderr
    assert not out.exists()
    assert sorted(tmp_path.iterdir()) == sorted([path, panel.path.parent])


def test_a_score_without_positions_leaves_the_others_alone(panel, score, tmp_path):
    nowhere = tmp_path / "nowhere.txt"
    nowhere.write_text("#pgs_id=S2\nrsID\teffect_allele\teffect_weight\nrs1\tA\t1\n")
    prs(panel.path, [nowhere, score], out=tmp_path / "out.parquet", settings=Settings())
    found = pd.read_parquet(tmp_path / "out.parquet").set_index("score_id")
    assert found.loc["S1", "sum"].notna().all()
    assert found.loc["S2", "sum"].isna().all()
    assert found.loc["S2", "not_scored"].str.contains("no row has a chromosome").all()


@pytest.mark.parametrize("file", ["score", "table", "afreq", "pvar", "psam"])
def test_a_mark_before_utf_8_is_no_part_of_a_name(panel, score, tmp_path, file):
    table = tmp_path / "table.txt"
    table.write_text("ID\teffect_allele\tS1\n1:100:C:A\tA\t0.5\n1:200:T:G\tG\t-0.25\n2:300:G:T\tT\t0.125\n")
    scores = table if file == "table" else score
    marked = {"score": score, "table": table, "afreq": panel.afreq}
    path = marked.get(file, panel.path.with_suffix(f".{file}"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    prs(panel.path, [scores], out=tmp_path / "out.parquet", settings=Settings(), reference_frequencies=panel.afreq)
    by_hand = 0.5 * panel.counts[0] - 0.25 * panel.counts[1] + 0.125 * panel.counts[2]
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "out.parquet")["sum"], by_hand, rtol=1e-12)


@pytest.mark.parametrize("cut", [60, 4000])
def test_a_cut_table_is_named(panel, tmp_path, cut):
    rng = np.random.default_rng(3)
    lines = "".join(f"1:{100 + k}:A:C\tA\t{rng.normal():.6f}\n" for k in range(2000))
    table = tmp_path / "table.txt.gz"
    table.write_bytes(gzip.compress(f"ID\teffect_allele\tS1\n{lines}".encode())[:cut])
    assert "table.txt.gz" in refused(panel.path, table, tmp_path)


@pytest.mark.parametrize("name", ["01", "chr1", "PAR1", "XY", "25"])
def test_other_names_of_chromosomes_are_known(panel, tmp_path, name):
    pvar, home = panel.path.with_suffix(".pvar"), "1" if name in ("01", "chr1") else "X"
    pvar.write_text(pvar.read_text().replace("\n1\t", f"\n{name}\t"))
    score = tmp_path / "score.txt"
    score.write_text(SCORE + ROWS.replace("1\t100", f"{home}\t100").replace("1\t200", f"{home}\t200"))
    prs(panel.path, [score], out=tmp_path / "out.parquet", settings=Settings())
    assert pd.read_parquet(tmp_path / "out.parquet")["matched_weight"].eq(1).all()


def test_a_run_that_is_told_to_end_leaves_nothing_behind(panel, score, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    code = (
        "import sys, time, serving.cli, features.polygenic.prs as command\n"
        "command.run_with_rows = lambda *a, **k: time.sleep(60)\n"
        "sys.argv[0] = 'presage'\n"
        "serving.cli.main()\n"
    )
    command = ["prs", str(panel.path), "--scores", str(score), "--out", str(out / "scores.parquet")]
    run = subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(out.iterdir()):
        assert run.poll() is None
        time.sleep(0.05)
    run.terminate()
    assert run.wait(30) == 143
    assert list(out.iterdir()) == []
