"""Summing hard calls by lookup is exact: it agrees with a plain product in float64, whatever is missing or left out."""

from __future__ import annotations

import weakref
from contextlib import closing

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.polygenic.columns import loops
from features.polygenic.columns.frequencies import read_afreq
from features.polygenic.columns.variants import Alleles
from features.polygenic.genotypes import open_genotypes
from features.polygenic.match import Matcher, match_all
from features.polygenic.matching.rules import TargetIndex
from features.polygenic.run import Settings, compute
from features.polygenic.scores.ahead import Aside, ScoreFiles
from features.polygenic.sums import hard_calls
from features.polygenic.sums import one_pass as scoring
from features.polygenic.sums.contributions import ContributionStore
from features.progress import silent


@given(
    seed=st.integers(0, 2**32 - 1),
    n_samples=st.integers(1, 300),
    n_sites=st.integers(1, 70),
    n_scores=st.integers(1, 35),
    missing=st.sampled_from([0.0, 0.01, 0.6, 1.0]),
    with_heterozygotes=st.booleans(),
    by_site=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_lookups_give_the_product(seed, n_samples, n_sites, n_scores, missing, with_heterozygotes, by_site):
    rng = np.random.default_rng(seed)
    calls = rng.integers(0, 3, (n_sites, n_samples)).astype(np.int8)
    calls[rng.random(calls.shape) < missing] = -9
    expected = rng.uniform(0, 2, n_sites)
    weights = rng.normal(size=(n_scores, n_sites))
    weights[rng.random(weights.shape) < 0.3] = 0
    het = rng.normal(size=weights.shape) if with_heterozygotes else None
    rows, words = loops.room_for_rows(n_sites, n_samples), loops.room_for_words(n_sites, n_samples)
    loops.pack(calls, rows)
    loops.turn(rows, words)
    as_columns = np.ascontiguousarray if by_site else np.asarray
    told = loops.SiteWeights(as_columns(weights.T), None if het is None else as_columns(het.T), expected)
    asked = np.sort(rng.choice(n_scores, rng.integers(1, n_scores + 1), replace=False))

    exact = weights @ np.where(calls < 0, 0, calls - expected[:, None])
    exact += 0 if het is None else het @ (calls == 1)
    for single, close in ((False, 1e-12), (True, 2e-4)):
        look_up = loops.LookUp(len(asked), n_samples, single=single)
        look_up.add(words, told, scores=asked)
        np.testing.assert_allclose(look_up.sums(), exact[asked], rtol=1e-12, atol=close)
        look_up.add(words, told, scores=asked)
        np.testing.assert_allclose(look_up.sums(), 2 * exact[asked], rtol=1e-12, atol=2 * close)
    few = np.zeros((n_scores, n_samples))
    for score in range(n_scores):
        loops.add_few(rows, told, score=score, sums=few[score])
    np.testing.assert_allclose(few, exact, rtol=1e-12, atol=1e-12)


@given(
    seed=st.integers(0, 2**32 - 1),
    n_samples=st.integers(1, 700),
    n_sites=st.integers(1, 70),
    n_scores=st.integers(1, 35),
    missing=st.sampled_from([0.0, 0.01, 0.6, 1.0]),
)
@settings(max_examples=40, deadline=None)
def test_calls_are_counted_as_they_are(seed, n_samples, n_sites, n_scores, missing):
    rng = np.random.default_rng(seed)
    calls = rng.integers(0, 3, (n_sites, n_samples)).astype(np.int8)
    calls[rng.random(calls.shape) < missing] = -9
    rows, words = loops.room_for_rows(n_sites, n_samples), loops.room_for_words(n_sites, n_samples)
    loops.pack(calls, rows)
    loops.turn(rows, words)
    sites, samples = np.arange(len(words) * 32), np.arange(n_samples)
    turned = words[sites[:, None] // 32, samples] >> (2 * (sites % 32)).astype(np.uint64)[:, None] & np.uint64(3)
    np.testing.assert_array_equal(turned[:n_sites], calls & 3)
    assert not turned[n_sites:].any()
    assert not words[:, n_samples:].any()

    np.testing.assert_array_equal(
        loops.tally(rows, n_samples), np.stack([(calls == kind).sum(axis=1) for kind in (1, 2, -9)], axis=1)
    )
    used = rng.random((n_sites, 3)) < 0.5
    found = np.ones((3, n_samples), np.int64)
    loops.count_missing(words, used, missing=found)
    np.testing.assert_array_equal(found, 1 + used.T.astype(np.int64) @ (calls < 0))

    effects = np.zeros((len(words) * 32, -(-n_scores // 16), 16), np.float32)
    flat = effects.reshape(len(effects), -1)
    flat[:n_sites, :n_scores] = np.round(rng.normal(size=(n_sites, n_scores)) * 8) * (rng.random(n_scores) < 0.3)
    hidden = np.zeros((n_samples, *effects.shape[1:]), np.float32)
    loops.add_missing(words, effects, out=hidden)
    np.testing.assert_array_equal(hidden.reshape(n_samples, -1), (calls < 0).T.astype(np.float32) @ flat[:n_sites])


@given(seed=st.integers(0, 2**32 - 1), n_sites=st.integers(1, 9), n_samples=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_dosages_are_centred_and_summed_as_numpy_does(seed, n_sites, n_samples):
    rng = np.random.default_rng(seed)
    dosages = rng.uniform(0, 2, (n_sites, n_samples)).astype(np.float32)
    dosages[rng.random(dosages.shape) < 0.2] = -9
    expected, weights, called = rng.uniform(0, 2, n_sites), rng.normal(size=(n_sites, 2)), dosages >= 0
    totals, missing = loops.tally_dosages(dosages)
    np.testing.assert_allclose(totals, np.where(called, dosages.astype(float), 0).sum(axis=1), rtol=1e-12, atol=0)
    np.testing.assert_array_equal(missing, (~called).sum(axis=1))
    exact = np.where(called, dosages - expected[:, None], 7)
    for kind, close in ((np.float64, 1e-15), (np.float32, 1e-6)):
        out = np.empty(dosages.shape, kind)
        loops.centre(dosages, expected, stand_ins=np.full(n_sites, 7.0), out=out)
        np.testing.assert_allclose(out, exact, rtol=0, atol=close)
    np.testing.assert_allclose(
        loops.heterozygotes(dosages), np.where(called, 1 - np.abs(dosages.astype(float) - 1), 0), rtol=0, atol=1e-15
    )
    sums = np.ones(n_samples)
    loops.add_centred(dosages, loops.SiteWeights(weights, None, expected), score=1, sums=sums)
    np.testing.assert_allclose(sums, 1 + weights[:, 1] @ np.where(called, exact, 0), rtol=1e-12, atol=1e-12)


@pytest.fixture(scope="module")
def panel(write_panel, tmp_path_factory):
    """600 people, 9,000 variants, and 12 scores: of all variants, of few, dominant, and with a weight of zero."""
    rng = np.random.default_rng(4)
    n, folder = 9000, tmp_path_factory.mktemp("panel")
    variants = pd.DataFrame({"chrom": "1", "pos": np.arange(1, n + 1), "id": [f"v{k}" for k in range(n)], "ref": "A"})
    frequency = rng.uniform(0.05, 0.95, n).round(6)
    counts = rng.binomial(2, frequency[:, None], (n, 600)).astype(np.int8)
    counts[rng.random(counts.shape) < 0.02] = -9
    made = write_panel(folder, variants.assign(alt="C"), counts, frequency)
    files, matrix = [], np.zeros((12, n))
    dominant = np.zeros((12, n), np.bool_)
    for number in range(12):
        rows = np.arange(n) if number < 6 else np.sort(rng.choice(n, 200, replace=False))
        weight = rng.normal(size=len(rows)).round(6)
        weight[number : number + 3] = 0
        flagged = rng.random(len(rows)) < (0.3 if number in (5, 11) else 0)
        matrix[number, rows], dominant[number, rows] = weight, flagged
        table = {"chr_name": "1", "chr_position": rows + 1, "effect_allele": "C", "other_allele": "A"}
        files.append(folder / f"s{number}.txt")
        pd.DataFrame({**table, "effect_weight": weight, "is_dominant": flagged}).to_csv(
            files[-1], sep="\t", index=False
        )
    expected = np.where(counts < 0, 2 * frequency[:, None], counts)
    at_least_one = np.where(counts < 0, frequency[:, None], np.minimum(counts, 1))
    exact = np.where(dominant, 0, matrix) @ expected + np.where(dominant, matrix, 0) @ at_least_one
    return made, files, exact, (matrix != 0).astype(float) @ (counts < 0)


def test_the_whole_engine_by_lookup_gives_numpys_sums(panel):
    made, files, exact, missing = panel
    found = compute(made.path, files, settings=Settings(), frequencies_path=made.afreq).sums
    np.testing.assert_allclose(found.sums, exact, rtol=1e-10, atol=1e-9)
    np.testing.assert_array_equal(found.missing, missing)


@pytest.mark.parametrize("share", [0.0, 2.0])
def test_scores_of_few_sites_are_the_same_by_lookup_and_site_by_site(panel, share, monkeypatch):
    made, files, exact, missing = panel
    monkeypatch.setattr(hard_calls, "MIN_DENSE", share)
    found = compute(made.path, files, settings=Settings(), frequencies_path=made.afreq).sums
    np.testing.assert_allclose(found.sums, exact, rtol=1e-10, atol=1e-9)
    np.testing.assert_array_equal(found.missing, missing)


def test_threads_and_memory_change_no_digit_of_lookups(panel):
    made, files, _, _ = panel
    one, three, small = (
        _with_hidden(made, files, threads=threads, max_memory_mb=memory)
        for threads, memory in ((1, 400), (3, 400), (1, 5))
    )
    np.testing.assert_array_equal(one.sums, three.sums)
    np.testing.assert_array_equal(one.hidden.lost, three.hidden.lost)
    np.testing.assert_allclose(small.sums, one.sums, rtol=1e-11, atol=1e-10)
    np.testing.assert_array_equal(small.missing, one.missing)
    np.testing.assert_allclose(small.hidden.lost, one.hidden.lost, rtol=1e-4)


def test_lookups_and_matrix_products_hide_the_same_variance(panel, monkeypatch):
    made, files, _, _ = panel
    by_lookup = _with_hidden(made, files)
    monkeypatch.setattr(scoring, "MIN_LOOKUP_SAMPLES", 10**9)
    product = _with_hidden(made, files)
    np.testing.assert_allclose(by_lookup.sums, product.sums, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(by_lookup.hidden.lost, product.hidden.lost, rtol=1e-5)
    np.testing.assert_allclose(by_lookup.hidden.variance, product.hidden.variance, rtol=1e-12)


def _with_hidden(made, files, *, threads=1, max_memory_mb=400):
    """The sums and the variance that missing calls hide, which a run without a reference leaves out."""
    alleles, store = Alleles(), ContributionStore()
    with open_genotypes(made.path, alleles) as genotypes:
        target = TargetIndex.of(genotypes.variants, alleles)
        frequencies = read_afreq(made.afreq, alleles).of(genotypes.variants)
        matcher = Matcher(target, alleles, frequencies, None, None, Settings())
        with closing(ScoreFiles(files, alleles, threads=threads)) as scores:
            match_all(matcher, scores, store=store, on_rows=None, aside=Aside(), progress=silent)
        found = store.finish(genotypes.variants, frequencies)
        return scoring.score_samples(genotypes, found, uncertain=True, threads=threads, max_memory_mb=max_memory_mb)


def test_an_array_made_for_a_loop_is_there_while_the_loop_runs():
    made = np.arange(4)
    held, (pointer,) = weakref.ref(made), loops.at(made)
    del made
    assert held() is not None
    del pointer
    assert held() is None
