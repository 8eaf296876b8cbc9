"""What fitting costs beside as many bare XGBoost fits, at 100,000 people and 1,000 sparse features.

Presage fits one booster per inner fold (rounds by held-out loss, out-of-fold risks) and one on everybody; the bare
fits are `xgboost.train` on the same rows, rounds and settings, matrices built once each. Wall time, and peak memory
above what was there before fitting. The bootstrap of the evaluation is reported apart.

    .venv/bin/python benchmarks/fitting.py
"""

from __future__ import annotations

import argparse
import math
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy import sparse

from features.frame import FeatureFrame
from training.evaluation import evaluate
from training.learners.boosting import PATIENCE, Columns
from training.learners.folds import INNER_FOLDS, person_folds
from training.learners.xgboost_horizon import XGBoostHorizon
from training.outcomes import Outcome

DENSITY = 0.02
SEED = 11


def main() -> None:
    """Draw, fit, fit bare, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=1000)
    arguments = parser.parse_args()
    frame, outcome = draw(arguments.people, arguments.features)
    rng = np.random.default_rng(SEED)
    learner = XGBoostHorizon(depths=(4,))
    with measured() as ours:
        fitted = learner.fit(frame, outcome, persons=frame.subject_ids, rng=rng)
    rounds = int(fitted.settings["rounds"])
    with measured() as bare:
        fit_bare(frame, outcome, learner, rounds)
    matrix = Columns.of(frame).matrix(frame)
    assert sparse.issparse(matrix)
    size = (matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes) / 2**20
    print(f"{len(frame):,} people x {arguments.features:,} sparse features, matrix {size:.0f} MB, {rounds} rounds")
    print(
        f"Presage {ours['seconds']:.1f} s, bare {bare['seconds']:.1f} s: {ours['seconds'] / bare['seconds']:.2f} times"
    )
    print(f"peak above start: Presage {ours['megabytes']:.0f} MB, bare {bare['megabytes']:.0f} MB")
    started = time.perf_counter()
    risk = fitted.out_of_fold.probabilities[:, 0] if fitted.out_of_fold else np.empty(0)
    evaluate(outcome, risk, horizon_days=math.nan, persons=frame.subject_ids, rng=rng, n_boot=200)
    print(f"200 bootstrap replicates of every metric: {time.perf_counter() - started:.1f} s")


def draw(people: int, features: int) -> tuple[FeatureFrame, Outcome]:
    """Counts of codes, a tenth of which matter."""
    rng = np.random.default_rng(SEED)
    codes = sparse.random(people, features, density=DENSITY, format="csr", dtype=np.float32, random_state=rng)
    codes.data = rng.integers(1, 6, len(codes.data)).astype(np.float32)
    effects = np.where(rng.random(features) < 0.1, rng.normal(0, 0.5, features), 0.0)
    odds = (codes > 0) @ effects - 2.5
    event = (rng.random(people) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    age = rng.normal(60, 10, (people, 1)).astype(np.float32)
    when = np.full(people, np.datetime64("2020-01-01", "us"))
    names = tuple(f"ICD10CM//{j}" for j in range(features))
    frame = FeatureFrame(np.arange(people), when, ("age_years",), age, {}, sparse.csr_matrix(codes), names)
    return frame, Outcome(np.full(people, np.nan), event, ())


def fit_bare(frame: FeatureFrame, outcome: Outcome, learner: XGBoostHorizon, rounds: int) -> None:
    """As many boosters on as many rows for as many rounds, nothing else."""
    matrix = Columns.of(frame).matrix(frame)
    rng = np.random.default_rng(SEED)
    folds = person_folds(frame.subject_ids, outcome.event, folds=INNER_FOLDS, rng=rng)
    grid = learner.grid(Columns.of(frame), len(frame), int(rng.integers(2**31)))
    parameters = {**grid.parameters, "max_depth": 4}
    for k in range(INNER_FOLDS + 1):
        rows: npt.NDArray[np.intp] = np.flatnonzero(folds != k)
        known = xgb.QuantileDMatrix(matrix[rows], label=outcome.event[rows])
        xgb.train(parameters, known, rounds + (PATIENCE if k < INNER_FOLDS else 0))


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Wall seconds, and the highest resident memory above that at the start."""
    found: dict[str, float] = {"seconds": 0.0, "megabytes": 0.0}
    start, stop = resident(), threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            found["megabytes"] = max(found["megabytes"], resident() - start)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    try:
        yield found
    finally:
        found["seconds"] = time.perf_counter() - began
        stop.set()
        watcher.join()


def resident() -> float:
    """Megabytes in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
