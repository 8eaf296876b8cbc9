"""What intervals cover over simulated data sets; `benchmarks/intervals.py` does the same at full size."""

from __future__ import annotations

import os

import intervals
import pytest

LONG = bool(os.environ.get("PRESAGE_SLOW"))


@pytest.mark.slow
def test_on_noise_intervals_over_folds_cover_a_half_in_every_scheme() -> None:
    """Of 200 data sets 87 in 100 are asked for, and nothing of the mean, whose own error is .005."""
    rows = intervals.noise(2000 if LONG else 200, n_boot=200 if LONG else 100)
    covered = intervals.COVERED if LONG else intervals.IN_CI
    assert intervals.failures(rows, covered=covered, half=LONG) == []
    assert {(row.scheme, row.metric) for row in rows} == {
        (scheme, metric) for scheme in intervals.SCHEMES for metric in ("auc", "c_harrell")
    }


@pytest.mark.slow
def test_intervals_cover_what_the_tested_models_have_on_fresh_people() -> None:
    """30 data sets tell a coverage of .95 from one of .7; how wide intervals are is asked of 1,000."""
    rows = intervals.truth(1000 if LONG else 30, n_boot=200 if LONG else 60, fresh=200_000 if LONG else 50_000)
    covered = intervals.COVERED if LONG else 0.8
    missed = intervals.failures(rows, covered=covered, half=False)
    assert [one for one in missed if LONG or "covers" in one] == []
    assert len(rows) == len(intervals.SCHEMES) * len(intervals.TRUTH_METRICS)
