"""Summing hard calls by lookup is exact: it agrees with a plain product in float64, whatever is missing or left out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.polygenic import lookup, scoring
from features.polygenic.run import Settings, compute


@given(
    seed=st.integers(0, 2**32 - 1),
    n_samples=st.integers(1, 70),
    n_sites=st.integers(1, 64),
    n_scores=st.integers(1, 19),
    missing=st.sampled_from([0.0, 0.01, 0.6, 1.0]),
    with_heterozygotes=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_lookups_give_the_product(seed, n_samples, n_sites, n_scores, missing, with_heterozygotes):
    rng = np.random.default_rng(seed)
    calls = rng.integers(0, 3, (n_sites, n_samples)).astype(np.int8)
    calls[rng.random(calls.shape) < missing] = -9
    expected = rng.uniform(0, 2, n_sites)
    weights = rng.normal(size=(n_scores, n_sites))
    weights[rng.random(weights.shape) < 0.3] = 0
    het = rng.normal(size=weights.shape) if with_heterozygotes else None
    padded = np.zeros((-(-n_sites // lookup.SITES) * lookup.SITES, n_samples), np.int8)
    padded[:n_sites] = calls
    packed = np.empty((len(padded) // 4, n_samples), np.uint8)
    lookup.pack(padded, packed)

    room = lookup.room_for_sums(n_scores, n_samples)
    lookup.add_scores(packed, weights, het, expected, lookup.room_for_tables(), room)
    sums = lookup.by_score(room, n_scores)

    exact = weights @ np.where(calls < 0, expected[:, None], calls)
    exact += 0 if het is None else het @ (calls == 1)
    np.testing.assert_allclose(sums, exact, rtol=1e-12, atol=1e-12)

    effects = np.zeros((n_sites, -(-n_scores // lookup.LANES), lookup.LANES), np.float32)
    effects.reshape(n_sites, -1)[:, :n_scores] = np.round(weights.T * 8)
    hidden = np.zeros((n_samples, *effects.shape[1:]), np.float32)
    lookup.add_missing(packed, effects, *lookup.lanes_used(effects), hidden)
    whole = np.zeros_like(hidden)
    lookup.add_missing(packed, effects, np.empty(0, np.intp), np.empty(0, np.intp), whole)
    np.testing.assert_array_equal(hidden, whole)
    np.testing.assert_array_equal(
        hidden.reshape(n_samples, -1), (calls < 0).T.astype(np.float32) @ effects.reshape(n_sites, -1)
    )


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
    monkeypatch.setattr(scoring, "MIN_DENSE", share)
    found = compute(made.path, files, settings=Settings(), frequencies_path=made.afreq).sums
    np.testing.assert_allclose(found.sums, exact, rtol=1e-10, atol=1e-9)
    np.testing.assert_array_equal(found.missing, missing)


def test_threads_and_memory_change_no_digit_of_lookups(panel):
    made, files, _, _ = panel
    one, three = (
        compute(made.path, files, settings=Settings(threads=threads), frequencies_path=made.afreq).sums
        for threads in (1, 3)
    )
    np.testing.assert_array_equal(one.sums, three.sums)
    np.testing.assert_array_equal(one.lost, three.lost)
    small = compute(made.path, files, settings=Settings(max_memory_mb=5), frequencies_path=made.afreq).sums
    np.testing.assert_allclose(small.sums, one.sums, rtol=1e-11, atol=1e-10)
    np.testing.assert_array_equal(small.missing, one.missing)
    np.testing.assert_allclose(small.lost, one.lost, rtol=1e-4)


def test_lookups_and_matrix_products_hide_the_same_variance(panel, monkeypatch):
    made, files, _, _ = panel
    by_lookup = compute(made.path, files, settings=Settings(), frequencies_path=made.afreq).sums
    monkeypatch.setattr(scoring, "MIN_LOOKUP_SAMPLES", 10**9)
    product = compute(made.path, files, settings=Settings(), frequencies_path=made.afreq).sums
    np.testing.assert_allclose(by_lookup.sums, product.sums, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(by_lookup.lost, product.lost, rtol=1e-5)
    np.testing.assert_allclose(by_lookup.variance, product.variance, rtol=1e-12)
