"""Runs of every shape against one naive product: people, sites and scores at the edges of blocks, and all files."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from features.polygenic.columns import text
from features.polygenic.run import Settings, compute
from features.polygenic.sums import dosages as dosage_sums
from features.polygenic.sums import hard_calls

ORDERS = ("whole", "some", "shuffled", "repeated")


@dataclass(frozen=True)
class Truth:
    """What a file's scores add: `additive` and `dominant` (score, site) by copies of ALT, and a `constant`."""

    additive: np.ndarray
    dominant: np.ndarray
    constant: np.ndarray


def _rows(rng, n, order):
    """Which sites a file lists, and whether each line counts: of lines that mean the same site none does."""
    if order == "whole":
        return np.arange(n), np.ones(n, np.bool_)
    rows = np.flatnonzero(rng.random(n) < rng.choice([0.04, 0.5]))
    rows = rows if len(rows) else np.array([n // 2])
    if order == "shuffled":
        rng.shuffle(rows)
    if order == "repeated" and len(rows) > 1:
        rows = np.insert(rows, rng.integers(len(rows)), rows[0])
    return rows, np.bincount(rows)[rows] == 1


def _table(path, rng, n, n_scores, order):
    rows, counts = _rows(rng, n, order)
    weights = rng.normal(size=(len(rows), n_scores)).round(5)
    weights[rng.random(weights.shape) < 0.05] = 0
    of_alt = rng.random(len(rows)) < 0.5
    form = ["{:.17g}" if rng.random() < 0.02 else "{:.5f}" for _ in rows]  # the first is read the slow way
    lines = [
        "\t".join([f"1:{row + 1}:A:C", "C" if alt else "A", *map(form[k].format, weights[k])])
        for k, (row, alt) in enumerate(zip(rows, of_alt, strict=True))
    ]
    head = "\t".join(["ID", "effect_allele", *(f"{path.name}_{k}" for k in range(n_scores))])
    content = "\n".join([head, *lines, *([""] if rng.random() < 0.5 else [])]).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    used = np.where(counts[:, None], weights, 0).T
    additive = np.zeros((n_scores, n))
    additive[:, rows[counts]] = np.where(of_alt, used, -used)[:, counts]
    return Truth(additive, np.zeros_like(additive), 2 * used[:, ~of_alt].sum(axis=1))


def _catalogue(path, rng, n, order):
    rows, counts = _rows(rng, n, order)
    weights = np.where(rng.random(len(rows)) < 0.05, 0, rng.normal(size=len(rows)).round(6))
    dominant = rng.random(len(rows)) < 0.2
    table = {"chr_name": "1", "chr_position": rows + 1, "effect_allele": "C", "other_allele": "A"}
    pd.DataFrame({**table, "effect_weight": weights, "is_dominant": dominant}).to_csv(path, sep="\t", index=False)
    truth = np.zeros((2, 1, n))
    truth[dominant[counts].astype(int), 0, rows[counts]] = weights[counts]
    return Truth(truth[0], truth[1], np.zeros(1))


def _panel(write_panel, folder, rng, n_people, n, parts):
    """Genotypes in as many files, and one table of frequencies."""
    frequency = rng.uniform(0.05, 0.95, n).round(6)
    frequency[rng.random(n) < 0.3] /= 50  # calls that are stored as lists of those who differ
    counts = rng.binomial(2, frequency[:, None], (n, n_people)).astype(np.int8)
    counts[rng.random(counts.shape) < 0.02] = -9
    ids = [f"v{k}" for k in range(n)]
    variants = pd.DataFrame({"chrom": "1", "pos": np.arange(1, n + 1), "id": ids, "ref": "A", "alt": "C"})
    cuts = np.linspace(0, n, parts + 1).astype(int)
    tables = []
    for number, (low, high) in enumerate(pairwise(cuts.tolist()), start=1):
        made = write_panel(folder / str(number), variants[low:high], counts[low:high], frequency[low:high])
        tables.append(pd.read_csv(made.afreq, sep="\t", dtype=str))
        for path in made.path.parent.glob("panel.p*"):
            path.rename(folder / f"part{number}{path.suffix}")
    pd.concat(tables).to_csv(folder / "all.afreq", sep="\t", index=False)
    return folder / "part*.pgen", folder / "all.afreq", counts, frequency


@pytest.mark.parametrize(
    ("n_people", "n", "widths", "parts", "options"),
    [
        (60, 1025, (9, 1), 1, ""),
        (511, 700, (7, 8), 2, "own"),
        (511, 513, (17,), 1, "single"),
        (512, 31, (1,), 1, ""),
        (512, 33, (2, 1), 2, "own"),
        (513, 1025, (33,), 1, "memory"),
        (513, 4129, (16, 2), 2, "single"),
        (600, 2500, (8,), 2, "own memory"),
        (600, 2049, (17, 9), 1, "single memory own"),
        (8191, 65, (9,), 1, "single"),
        (8192, 32, (2,), 1, ""),
        (8193, 95, (17, 1), 2, "own single"),
    ],
)
def test_a_run_gives_the_product(write_panel, tmp_path, monkeypatch, n_people, n, widths, parts, options):
    rng = np.random.default_rng([n_people, n])
    path, afreq, counts, frequency = _panel(write_panel, tmp_path, rng, n_people, n, parts)
    files, truths = [], []
    for number, width in enumerate((*widths, *widths)):
        order = rng.choice(ORDERS) if number else "whole"
        files.append(tmp_path / f"table{number}.txt{'.gz' if number % 2 else ''}")
        truths.append(_table(files[-1], rng, n, width, order))
        files.append(tmp_path / f"file{number}.txt")
        truths.append(_catalogue(files[-1], rng, n, rng.choice(ORDERS)))
    if "single" in options:
        for module in (hard_calls, dosage_sums):
            monkeypatch.setattr(module, "MAX_DOUBLE_PRODUCTS", 0)
    monkeypatch.setattr(text, "PIECE", int(rng.choice([900, 1 << 20])))
    settings = Settings(min_overlap=0, max_memory_mb=1 if "memory" in options else 400)
    found = compute(path, files, settings=settings, frequencies_path=None if "own" in options else afreq).sums

    absent = counts < 0
    if "own" in options:
        frequency = np.where(absent, 0, counts).sum(axis=1) / (2 * (~absent).sum(axis=1))
    copies = np.where(absent, 2 * frequency[:, None], counts)
    carries = np.where(absent, frequency[:, None], np.minimum(counts, 1))
    additive = np.concatenate([truth.additive for truth in truths])
    dominant = np.concatenate([truth.dominant for truth in truths])
    constant = np.concatenate([truth.constant for truth in truths])
    exact = additive @ copies + dominant @ carries + constant[:, None]
    np.testing.assert_array_equal(found.missing, ((additive != 0) | (dominant != 0)).astype(int) @ absent)
    off = np.abs(found.sums - exact).max(axis=1) / np.maximum(exact.std(axis=1), 1e-3)
    assert off.max() < (3e-6 if "single" in options else 1e-9)
