"""What intervals cover over simulated data sets; `benchmarks/intervals.py` does the same at full size."""

from __future__ import annotations

import os

import intervals
import pytest

DATA_SETS = (2000, 1000) if os.environ.get("PRESAGE_SLOW") else (200, 30)
COVERED = intervals.COVERED if os.environ.get("PRESAGE_SLOW") else intervals.IN_CI


@pytest.mark.slow
def test_on_noise_intervals_over_folds_cover_a_half_in_every_scheme() -> None:
    """200 data sets are too few to say of a mean that it is within .005 of .5, so that is asked of 2,000."""
    rows = intervals.noise(DATA_SETS[0], n_boot=100)
    missed = intervals.failures(rows, covered=COVERED, half=COVERED == intervals.COVERED)
    assert missed == []
    assert {(row.scheme, row.metric) for row in rows} == {
        (scheme, metric) for scheme in intervals.SCHEMES for metric in ("auc", "c_harrell")
    }


@pytest.mark.slow
def test_intervals_cover_what_the_tested_models_have_on_fresh_people() -> None:
    rows = intervals.truth(DATA_SETS[1], n_boot=60, fresh=50_000)
    assert [row for row in rows if row.covered < (COVERED if COVERED == intervals.COVERED else 0.8)] == []
