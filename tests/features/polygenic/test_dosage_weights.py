"""Rows that say what 0, 1 and 2 copies add, against the sum added up cell by cell."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from features.polygenic.ancestry.model import read_model
from features.polygenic.reference import fit_reference
from features.polygenic.run import Settings, compute

COLUMNS = "chr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\tdosage_0_weight\tdosage_1_weight\t"
COLUMNS += "dosage_2_weight\n"
SITES = 60


def drawn(seed: int) -> pd.DataFrame:
    """A third of the rows additive, the others with any three numbers; half of the effect alleles are REF."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"weight": rng.normal(size=SITES), "ref": rng.random(SITES) < 0.5})
    rows[["w0", "w1", "w2"]] = rng.normal(size=(SITES, 3)).round(4)
    additive = np.arange(SITES) % 3 == 0
    rows.loc[additive, "w0"], rows.loc[additive, "w1"] = 0.0, rows["weight"]
    rows.loc[additive, "w2"] = 2 * rows["weight"]
    return rows.assign(additive=additive)


def write(path, rows):
    lines = []
    for k, row in enumerate(rows.itertuples()):
        alleles = "A\tC" if row.ref else "C\tA"
        told = f"{row.weight!r}\t\t\t" if row.additive else f"\t{row.w0}\t{row.w1}\t{row.w2}"
        lines.append(f"1\t{k * 10 + 5}\t{alleles}\t{told}\n")
    path.write_text(f"#pgs_id=S\n{COLUMNS}{''.join(lines)}")
    return path


def cell_by_cell(rows, counts, frequency):
    """Of a missing call: between what 0 and 2 copies add, at the frequency of the effect allele."""
    total = np.zeros(counts.shape[1])
    for k, row in enumerate(rows.itertuples()):
        for person, alternates in enumerate(counts[k].tolist()):
            share = 1 - frequency[k] if row.ref else frequency[k]
            copies = 2 - alternates if row.ref else alternates
            called = np.interp(copies, [0, 1, 2], [row.w0, row.w1, row.w2])
            total[person] += called if alternates >= 0 else row.w0 + (row.w2 - row.w0) * share
    return total


@pytest.fixture
def sites():
    return pd.DataFrame(
        {"chrom": "1", "pos": np.arange(SITES) * 10 + 5, "id": [f"v{k}" for k in range(SITES)], "ref": "A", "alt": "C"}
    )


@pytest.mark.parametrize("people", [7, 530])
def test_what_each_number_of_copies_adds_is_summed(people, sites, write_panel, tmp_path):
    rng = np.random.default_rng(1)
    frequency = rng.uniform(0.1, 0.9, SITES).round(4)
    counts = rng.binomial(2, frequency[:, None], (SITES, people)).astype(np.int8)
    counts[rng.random(counts.shape) < 0.1] = -9
    panel = write_panel(tmp_path, sites, counts, frequency)
    rows = drawn(2)
    score = write(tmp_path / "score.txt", rows)
    done = compute(panel.path, [score], settings=Settings(), frequencies_path=panel.afreq)
    np.testing.assert_allclose(done.sums.sums[0], cell_by_cell(rows, counts, frequency), rtol=1e-9, atol=1e-9)


def test_a_dosage_between_two_numbers_of_copies_adds_what_lies_between(tmp_path):
    dosage = np.random.default_rng(3).uniform(0, 2, (SITES, 3)).round(3)
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>", '##FORMAT=<ID=DS,Number=A,Type=Float,Description="D">']
    lines.append("\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", "S0", "S1", "S2"]))
    for k, row in enumerate(dosage):
        lines.append("\t".join(["1", str(k * 10 + 5), ".", "A", "C", ".", ".", ".", "DS", *map(str, row)]))
    (tmp_path / "a.vcf").write_text("\n".join(lines) + "\n")
    rows = drawn(4)
    done = compute(tmp_path / "a.vcf", [write(tmp_path / "score.txt", rows)], settings=Settings())
    np.testing.assert_allclose(done.sums.sums[0], cell_by_cell(rows, dosage, np.zeros(SITES)), rtol=1e-5)


def test_the_reference_knows_their_mean_whichever_sites_there_are(sites, write_panel, tmp_path):
    rng = np.random.default_rng(5)
    truth = rng.uniform(0.2, 0.8, (2, SITES)).repeat(40, axis=0).T
    counts = rng.binomial(2, truth).astype(np.int8)
    panel = write_panel(tmp_path, sites, counts, np.full(SITES, 0.5))
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"S{k}\t{'AB'[k // 40]}\n" for k in range(80)))
    score = write(tmp_path / "score.txt", drawn(6))
    told = {"labels": str(labels), "scores": [score], "n_components": 1, "settings": Settings()}
    fit_reference(panel.path, out=tmp_path / "model", **told)
    mean = json.loads((tmp_path / "model" / "model.json").read_text())["scores"]["S"]["mean"]
    table = read_model(tmp_path / "model").score_parts["S"]
    np.testing.assert_allclose([sum(table[f"slope_{k}"].to_pylist()) for k in range(2)], mean, rtol=1e-9, atol=1e-9)


def test_a_row_with_one_of_the_three_is_refused_with_its_line(sites, write_panel, tmp_path):
    panel = write_panel(tmp_path, sites, np.zeros((SITES, 2), np.int8), np.full(SITES, 0.5))
    score = tmp_path / "score.txt"
    score.write_text(f"#pgs_id=S\n{COLUMNS}1\t5\tC\tA\t\t0\t1\t2\n1\t15\tC\tA\t\t0\t1\t\n")
    with pytest.raises(PresageError, match=r"score\.txt, line 4"):
        compute(panel.path, [score], settings=Settings())
