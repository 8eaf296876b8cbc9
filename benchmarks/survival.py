"""Six public survival tables with the folds and published results of Burk et al. 2024 (arXiv 2406.04098).

One configuration of Presage for all tables; everything is tuned inside the training folds. `--quick` runs one repeat.
Harrell's C of the mean risk over a grid of times, and the integrated Brier score: test times to the test set's 80 %
quantile, weights from the test set's censoring Kaplan-Meier, weighted by time.

    .venv/bin/python benchmarks/survival.py --quick
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from real_data import folder_of

from features.frame import FeatureFrame
from training.cohort import Outcome, RiskCurves
from training.evaluation import Pairs, concordance, integrated_brier
from training.fitted import Fitted
from training.learners import Cox, ExtraTrees, XGBoostCox, stack_weights
from training.learners.targets import targets

TABLES = ("metabric", "gbsg", "support", "whas", "flchain", "nwtco")
FOLDS_OF_REPEAT = 3
GRID_POINTS = 20
SERVED = ("cox", "xgboost_cox")
SEED = 20241


def main() -> None:
    """Run, print the table, compare with the goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repeat: the first three folds of each table")
    parser.add_argument("--tables", nargs="*", default=TABLES)
    arguments = parser.parse_args()
    folder = folder_of("survival_benchmark")
    started = time.perf_counter()
    rows = [row for table in arguments.tables for row in run_table(folder, table, quick=arguments.quick)]
    report(pd.DataFrame(rows), folder, time.perf_counter() - started)


def run_table(folder: Path, table: str, *, quick: bool) -> list[dict[str, object]]:
    """Both scores of every learner on every fold of one table."""
    people = pd.read_csv(folder / f"{table}.csv")
    folds = pd.read_csv(folder / "folds" / f"{table}.csv")
    last = FOLDS_OF_REPEAT if quick else int(folds["iteration"].max())
    rows: list[dict[str, object]] = []
    for iteration in range(1, last + 1):
        mine = folds[folds["iteration"] == iteration]
        train, test = (mine.loc[mine["set"] == name, "row_id"].to_numpy() - 1 for name in ("train", "test"))
        started = time.perf_counter()
        for learner, (c, ibs) in score_fold(people, train, test).items():
            rows.append({"table": table, "iteration": iteration, "learner": learner, "c": c, "ibs": ibs})
        print(f"{table} {iteration}: {time.perf_counter() - started:.1f} s", flush=True)
    return rows


def score_fold(
    people: pd.DataFrame, train: npt.NDArray[np.intp], test: npt.NDArray[np.intp]
) -> dict[str, tuple[float, float]]:
    """Fit the members once; the stacks differ only in their weights."""
    frame, outcome = to_frame(people), to_outcome(people, train)
    seen, unseen = outcome.take(train), outcome.take(test)
    members: dict[str, Fitted] = {}
    for learner in (Cox(), XGBoostCox(), ExtraTrees()):
        rng = np.random.default_rng([SEED, len(members)])
        members[learner.name] = learner.fit(frame.take(train), seen, persons=train, rng=rng)
    goals = targets(frame.take(train), seen)
    stacks = {"stack (served)": SERVED, "stack with extra trees": tuple(members)}
    times = score_times(unseen)
    grids = (outcome.horizons_days, times)
    risks = {name: [m.risk_at(frame.take(test), g).probabilities for g in grids] for name, m in members.items()}
    for name, parts in stacks.items():
        held_out = np.stack([members[part].out_of_fold.probabilities for part in parts])  # type: ignore[union-attr]
        weights = stack_weights(held_out, goals, events=int((seen.event == 1).sum()))
        risks[name] = [sum(w * risks[part][g] for part, w in zip(parts, weights, strict=True)) for g in (0, 1)]
    ones, everyone = np.ones(len(test)), np.ones(len(test), dtype=np.bool_)
    found = {}
    for name, (at_grid, at_times) in risks.items():
        c = concordance(Pairs.of(unseen, at_grid.mean(axis=1)), ones, followed=ones, usable=everyone)
        found[name] = (c, integrated_brier(unseen, RiskCurves(times, at_times)))
    return found


def to_frame(people: pd.DataFrame) -> FeatureFrame:
    """Every column that is not the outcome; texts as levels."""
    names = tuple(name for name in people.columns if name not in ("time", "status"))
    levels: dict[str, tuple[str, ...]] = {}
    columns = []
    for name in names:
        column = people[name]
        if not pd.api.types.is_numeric_dtype(column):
            found = tuple(sorted(column.dropna().unique()))
            levels[name] = found
            column = column.map({level: float(i) for i, level in enumerate(found)})
        columns.append(column.to_numpy(dtype=np.float32))
    ids = np.arange(len(people))
    when = np.full(len(people), np.datetime64("2000-01-01", "us"))
    return FeatureFrame(ids, when, names, np.column_stack(columns), levels)


def to_outcome(people: pd.DataFrame, train: npt.NDArray[np.intp]) -> Outcome:
    """Horizons at quantiles of the training rows' event times."""
    time_days = people["time"].to_numpy(dtype=np.float64)
    event = people["status"].to_numpy(dtype=np.int8)
    happened = time_days[train][event[train] == 1]
    grid = np.unique(np.quantile(happened, np.linspace(0.1, 0.9, GRID_POINTS)))
    return Outcome(time_days, event, tuple(float(t) for t in grid))


def score_times(outcome: Outcome) -> tuple[float, ...]:
    """Distinct test times up to their 80 % quantile."""
    times = np.unique(outcome.time_days)
    return tuple(float(t) for t in times[times <= np.quantile(outcome.time_days, 0.8)])


def report(scores: pd.DataFrame, folder: Path, seconds: float) -> None:
    """Means by table and over tables, beside the published ones."""
    tables = [t for t in TABLES if t in set(scores["table"])]
    for column, file in (("c", "published_harrell_c.csv"), ("ibs", "published_integrated_brier.csv")):
        ours = scores.pivot_table(index="learner", columns="table", values=column)[tables]
        published = pd.read_csv(folder / file, index_col=0).T[tables]
        both = pd.concat([ours, published])
        both["mean"] = both.mean(axis=1)
        print(f"\n{column}\n{both.sort_values('mean', ascending=column == 'ibs').head(12).round(4).to_string()}")
        print(both.loc[ours.index].round(4).to_string())
    print(f"\n{seconds:.0f} s")


if __name__ == "__main__":
    main()
