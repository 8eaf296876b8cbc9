"""Where a product is long, runs of sites are in single precision: within 1e-6 of a score's SD."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.polygenic.run import Settings, compute
from features.polygenic.sums import dosages as dosage_sums
from features.polygenic.sums import hard_calls
from features.polygenic.sums.dosages import RUN_SITES, add_product


def test_a_product_in_single_precision_is_within_a_millionth_of_its_sd():
    rng = np.random.default_rng(0)
    for weights in (rng.normal(size=(20, 4096)), rng.exponential(size=(20, 4096)), np.full((20, 4096), 0.1)):
        frequency = rng.uniform(0.05, 0.95, (4096, 1))
        centred = rng.binomial(2, frequency, (4096, 2000)) - np.round(2 * frequency * 4096) / 4096
        exact, ours = weights @ centred, np.zeros((20, 2000))
        add_product(weights, centred.astype(np.float32), sums=ours)
        assert np.abs(ours - exact).max() < 1e-6 * exact.std()
    assert RUN_SITES == 64


@pytest.mark.parametrize("n_people", [300, 600])  # by matrix product, and by lookup
def test_the_whole_engine_in_single_precision_gives_the_sums_of_double(write_panel, tmp_path, monkeypatch, n_people):
    rng = np.random.default_rng(1)
    n = 9000
    variants = pd.DataFrame({"chrom": "1", "pos": np.arange(1, n + 1), "id": [f"v{k}" for k in range(n)], "ref": "A"})
    frequency = rng.uniform(0.05, 0.95, n).round(6)
    counts = rng.binomial(2, frequency[:, None], (n, n_people)).astype(np.int8)
    counts[rng.random(counts.shape) < 0.02] = -9
    panel = write_panel(tmp_path, variants.assign(alt="C"), counts, frequency)
    table = tmp_path / "table.txt"
    names = variants["pos"].map("1:{}:A:C".format)
    weights = pd.DataFrame(rng.normal(size=(n, 9)).round(6), columns=[f"S{k}" for k in range(9)])
    pd.concat([names.rename("ID"), pd.Series("C", names.index, name="effect_allele"), weights], axis=1).to_csv(
        table, sep="\t", index=False
    )
    double = compute(panel.path, [table], settings=Settings(), frequencies_path=panel.afreq).sums.sums
    exact = weights.to_numpy().T @ np.where(counts < 0, 2 * frequency[:, None], counts)
    np.testing.assert_allclose(double, exact, rtol=1e-10, atol=1e-9)
    monkeypatch.setattr(dosage_sums, "MAX_DOUBLE_PRODUCTS", 0)
    monkeypatch.setattr(hard_calls, "MAX_DOUBLE_PRODUCTS", 0)
    single = compute(panel.path, [table], settings=Settings(), frequencies_path=panel.afreq).sums.sums
    assert (np.abs(single - double).max(axis=1) < 1e-6 * double.std(axis=1)).all()
    assert (single != double).any(), "the other route was taken"
