"""Laws of a polygenic score: what may change in the files without changing anybody's score."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.polygenic.run import Settings, compute

EXAMPLES = 150 if os.environ.get("PRESAGE_SLOW") else 12
STRAND = str.maketrans("ACGT", "TGCA")
PAIRS = ("AC", "AG", "CA", "CT", "GA", "GT", "TC", "TG")  # none is its own complement


@st.composite
def worlds(draw):
    """Genotypes, reference frequencies, and one score over most of the variants."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_variants, n_samples = draw(st.integers(2, 40)), draw(st.integers(1, 70))
    pairs = [PAIRS[k] for k in rng.integers(0, len(PAIRS), n_variants)]
    variants = pd.DataFrame(
        {
            "chrom": np.sort(rng.integers(1, 23, n_variants)).astype(str),
            "pos": 1000 * np.arange(1, n_variants + 1),
            "id": [f"v{k}" for k in range(n_variants)],
            "ref": [pair[0] for pair in pairs],
            "alt": [pair[1] for pair in pairs],
        }
    )
    counts = rng.integers(0, 3, (n_variants, n_samples)).astype(np.int8)
    counts[rng.random(counts.shape) < draw(st.sampled_from([0.0, 0.1]))] = -9
    frequency = rng.uniform(0.05, 0.95, n_variants).round(4)
    effect_is_alt = rng.random(n_variants) < 0.5
    score = pd.DataFrame(
        {
            "chr_name": variants["chrom"],
            "chr_position": variants["pos"],
            "effect_allele": np.where(effect_is_alt, variants["alt"], variants["ref"]),
            "other_allele": np.where(effect_is_alt, variants["ref"], variants["alt"]),
            "effect_weight": rng.normal(size=n_variants),
        }
    )
    return variants, counts, frequency, score, rng


def sums(write_panel, variants, counts, frequency, score) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        panel = write_panel(
            Path(folder), variants.reset_index(drop=True), np.ascontiguousarray(counts), np.asarray(frequency)
        )
        path = Path(folder) / "score.txt"
        score.to_csv(path, sep="\t", index=False)
        done = compute(panel.path, [path], settings=Settings(threads=1), frequencies_path=panel.afreq)
        assert done.scores[0].not_scored is None
        return done.sums.sums[0]


def close(one, two) -> None:
    np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-12)


@given(worlds())
@settings(max_examples=EXAMPLES, deadline=None)
def test_recoding_the_scoring_files_strand_changes_no_score(write_panel, world):
    variants, counts, frequency, score, rng = world
    turned = score.copy()
    rows = rng.random(len(score)) < 0.5
    for column in ("effect_allele", "other_allele"):
        turned.loc[rows, column] = turned.loc[rows, column].str.translate(STRAND)
    close(sums(write_panel, variants, counts, frequency, turned), sums(write_panel, variants, counts, frequency, score))


@given(worlds())
@settings(max_examples=EXAMPLES, deadline=None)
def test_swapping_ref_and_alt_in_the_genotypes_changes_no_score(write_panel, world):
    variants, counts, frequency, score, rng = world
    rows = rng.random(len(variants)) < 0.5
    swapped = variants.assign(
        ref=np.where(rows, variants["alt"], variants["ref"]), alt=np.where(rows, variants["ref"], variants["alt"])
    )
    turned = np.where(rows[:, None] & (counts >= 0), 2 - counts, counts).astype(np.int8)
    theirs = sums(write_panel, swapped, turned, np.where(rows, 1 - frequency, frequency), score)
    close(theirs, sums(write_panel, variants, counts, frequency, score))


@given(worlds())
@settings(max_examples=EXAMPLES, deadline=None)
def test_swapping_effect_and_other_allele_turns_the_sign_up_to_a_constant(write_panel, world):
    """A copy more of the one is a copy less of the other: the differences between people are the same."""
    variants, counts, frequency, score, _ = world
    turned = score.rename(columns={"effect_allele": "other_allele", "other_allele": "effect_allele"})
    turned["effect_weight"] *= -1
    one, two = (
        sums(write_panel, variants, counts, frequency, score),
        sums(write_panel, variants, counts, frequency, turned),
    )
    np.testing.assert_allclose(one - one[0], two - two[0], rtol=1e-8, atol=1e-10)


@given(worlds())
@settings(max_examples=EXAMPLES, deadline=None)
def test_the_order_of_rows_and_of_samples_changes_no_score(write_panel, world):
    variants, counts, frequency, score, rng = world
    rows, people = rng.permutation(len(score)), rng.permutation(counts.shape[1])
    theirs = sums(write_panel, variants, counts[:, people], frequency, score.iloc[rows])
    close(theirs, sums(write_panel, variants, counts, frequency, score)[people])


@given(worlds(), st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_one_person_alone_scores_as_in_the_cohort(write_panel, world, data):
    variants, counts, frequency, score, _ = world
    person = data.draw(st.integers(0, counts.shape[1] - 1))
    alone = sums(write_panel, variants, counts[:, [person]], frequency, score)
    together = sums(write_panel, variants, counts, frequency, score)
    close(alone[0], together[person])


@given(worlds())
@settings(max_examples=EXAMPLES, deadline=None)
def test_chr_before_the_chromosome_changes_no_score(write_panel, world):
    variants, counts, frequency, score, _ = world
    named = variants.assign(chrom="chr" + variants["chrom"])
    close(sums(write_panel, named, counts, frequency, score), sums(write_panel, variants, counts, frequency, score))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_and_the_memory_change_no_digit(threads, write_panel, tmp_path):
    rng = np.random.default_rng(3)
    n = 20_000
    variants = pd.DataFrame(
        {"chrom": "1", "pos": np.arange(1, n + 1), "id": [f"v{k}" for k in range(n)], "ref": "A", "alt": "C"}
    )
    counts = rng.integers(-1, 3, (n, 60)).astype(np.int8)
    counts[counts < 0] = -9
    panel = write_panel(tmp_path, variants, counts, rng.uniform(0.1, 0.9, n).round(4))
    files = []
    for k in range(11):
        score = pd.DataFrame(
            {"chr_name": "1", "chr_position": variants["pos"], "effect_allele": "C", "other_allele": "A"}
        )
        files.append(tmp_path / f"s{k}.txt")
        score.assign(effect_weight=rng.normal(size=n)).to_csv(files[-1], sep="\t", index=False)
    plain = compute(panel.path, files, settings=Settings(threads=2), frequencies_path=panel.afreq).sums
    other = compute(panel.path, files, settings=Settings(threads=threads), frequencies_path=panel.afreq).sums
    assert (plain.sums == other.sums).all()
    small = compute(panel.path, files, settings=Settings(max_memory_mb=2), frequencies_path=panel.afreq).sums
    np.testing.assert_allclose(small.sums, plain.sums, rtol=1e-11)
    assert (small.missing == plain.missing).all()
    exact = np.where(counts < 0, np.nan, counts)
    assert (plain.missing[0] == np.isnan(exact).sum(axis=0)).all()
