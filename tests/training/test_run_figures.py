"""The numbers that figures draw: nobody's own risk, no count of 1 to 10, and what a capacity finds by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.cohort.outcome import Outcome
from training.heldout.bench import Bench
from training.heldout.figures import SERVED, capacity, figure_numbers, histogram


def bench(event: np.ndarray, *, n_boot: int = 0) -> Bench:
    rows = np.arange(len(event))
    return Bench(rows, Outcome(np.full(len(event), np.nan), event.astype(np.int8), ()), rows, None, n_boot, 1)


def test_a_histogram_counts_everybody_once_and_hides_1_to_10() -> None:
    risk = np.concatenate([np.full(500, 0.101), np.full(300, 0.301), np.full(6, 0.151), np.full(194, 0.201)])
    found = histogram(risk)
    shown = [count for count in found.counts if count]
    assert 6 not in found.counts
    assert found.counts.count(None) >= 2  # a single hidden count would be the rest of all
    assert sum(shown) <= 1000
    assert set(shown) <= {500, 300, 194}


def test_a_curve_starts_and_ends_at_nobodys_own_risk() -> None:
    rng = np.random.default_rng(3)
    risk = rng.uniform(0.05, 0.4, 800)
    risk[:2] = [0.987654321, 0.000123456]
    found = figure_numbers(bench(rng.random(800) < risk), {SERVED: risk[:, None]})
    assert found.calibration is not None
    assert found.histogram is not None
    grid = [risk for risk in found.calibration[SERVED].grid if risk is not None]
    assert max(grid) < 0.5
    assert min(grid) > 0.04
    assert max(edge or 0.0 for edge in found.histogram.edges) < 0.5


def test_what_a_capacity_finds_is_what_counting_finds() -> None:
    rng = np.random.default_rng(2)
    risk = rng.permutation(np.linspace(0.01, 0.9, 1000))
    event = rng.random(1000) < risk
    [one] = [row for row in capacity(bench(event), risk[:, None]) if row.share == 0.1]
    top = np.argsort(-risk)[:100]
    assert one.flagged == 100
    assert one.sensitivity.value == pytest.approx(event[top].sum() / event.sum())
    assert one.ppv.value == pytest.approx(event[top].mean())
    assert one.alerts_per_true_case.value == pytest.approx(100 / event[top].sum())


def test_a_capacity_of_fewer_than_11_people_is_not_shown() -> None:
    risk = np.linspace(0.01, 0.9, 200)
    assert [row.share for row in capacity(bench(risk > 0.5), risk[:, None])] == [0.1, 0.2]
