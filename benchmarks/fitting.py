"""What fitting costs beside as many bare XGBoost fits, at 100,000 people and 1,000 sparse features.

Presage fits one booster per inner fold (rounds by held-out loss, out-of-fold risks) and one on everybody; the bare
fits are `xgboost.train` on the same rows, rounds and settings, matrices built once each. Each runs in a process of its
own: wall and CPU time, and the highest resident memory above what was there before fitting (with the table drawn, the
libraries warm). The bootstrap of the evaluation is reported apart.

    .venv/bin/python benchmarks/fitting.py
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost as xgb
from scipy import sparse

from features.frame import FeatureFrame
from training.cohort import Outcome, person_folds
from training.evaluation import evaluate
from training.fitted import Columns
from training.learners import INNER_FOLDS, PATIENCE, XGBoostHorizon

SEED = 11
TIMES_OF_BARE, TIMES_OF_MATRIX = 1.3, 2.0  # goals


def main() -> None:
    """Both in turn, each in a fresh process; report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--density", type=float, default=0.02, help="share of entries that are not zero")
    parser.add_argument("--only", choices=("presage", "bare"), help="fit in this process and print JSON")
    parser.add_argument("--rounds", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(fit_here(arguments)))
        return
    ours = fresh(arguments, "presage", 0)
    bare = fresh(arguments, "bare", int(ours["rounds"]))
    print(
        f"{arguments.people:,} people x {arguments.features:,} sparse features, matrix {ours['matrix']:.0f} MB, "
        f"{ours['rounds']:.0f} rounds"
    )
    for what, unit in (("wall", "s"), ("cpu", "s"), ("peak", "MB above start")):
        ratio = ours[what] / bare[what]
        print(f"{what}: Presage {ours[what]:.1f}, bare {bare[what]:.1f} {unit}: {ratio:.2f} times")
    print(f"goals: at most {TIMES_OF_BARE} times the time; memory within {TIMES_OF_MATRIX:g} times the matrix")
    print(
        f"peak: {ours['peak'] / ours['matrix']:.1f} times the matrix; bare: {bare['peak'] / ours['matrix']:.1f} times"
    )
    print(f"200 bootstrap replicates of every metric: {ours['bootstrap']:.1f} s")


def fresh(arguments: argparse.Namespace, only: str, rounds: int) -> dict[str, float]:
    """The numbers of one side, from a process that did nothing else."""
    told = {"people": arguments.people, "features": arguments.features, "density": arguments.density}
    options = [f"--{name}={value}" for name, value in (told | {"only": only, "rounds": rounds}).items()]
    done = subprocess.run([sys.executable, __file__, *options], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def fit_here(arguments: argparse.Namespace) -> dict[str, float]:
    """Draw, warm the libraries on a few rows, fit, measure."""
    frame, outcome = draw(arguments.people, arguments.features, arguments.density)
    learner = XGBoostHorizon(depths=(4,))
    few = np.arange(500)
    fit_bare(frame.take(few), outcome.take(few), learner, 2)
    learner.fit(frame.take(few), outcome.take(few), persons=few, rng=np.random.default_rng(1))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the highest mark starts anew
    before, wall, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
    fitted = None
    if arguments.only == "presage":
        fitted = learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(SEED))
    else:
        fit_bare(frame, outcome, learner, arguments.rounds)
    found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak": memory("VmHWM") - before}
    if fitted is None:
        return found
    codes = Columns.of(frame).matrix(frame)
    size = sum(part.nbytes for part in (codes.data, codes.indices, codes.indptr)) / 2**20
    started = time.perf_counter()
    risk = fitted.out_of_fold.probabilities[:, 0] if fitted.out_of_fold else np.empty(0)
    rng = np.random.default_rng(SEED)
    evaluate(outcome, risk, horizon_days=math.nan, persons=frame.subject_ids, rng=rng, n_boot=200)
    bootstrap = time.perf_counter() - started
    return found | {"rounds": float(fitted.settings["rounds"]), "matrix": size, "bootstrap": bootstrap}


def memory(field: str) -> float:
    """Megabytes, from the kernel: VmRSS is what is resident now, VmHWM the most that was."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def draw(people: int, features: int, density: float) -> tuple[FeatureFrame, Outcome]:
    """Counts of codes, a tenth of which matter."""
    rng = np.random.default_rng(SEED)
    codes = sparse.random(people, features, density=density, format="csr", dtype=np.float32, random_state=rng)
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
    grid = learner.grid(Columns.of(frame), len(frame), seed=int(rng.integers(2**31)))
    parameters = {**grid.parameters, "max_depth": 4}
    for k in range(INNER_FOLDS + 1):
        rows: npt.NDArray[np.intp] = np.flatnonzero(folds != k)
        known = xgb.QuantileDMatrix(matrix[rows], label=outcome.event[rows])
        xgb.train(parameters, known, rounds + (PATIENCE if k < INNER_FOLDS else 0))


if __name__ == "__main__":
    main()
