"""What `presage train` chooses and serves by default, on public survival tables, beside each of its candidates.

Two sets: the six tables of `survival.py` with their given splits, through the fold file, and eight tables that come
with lifelines, scikit-survival and statsmodels, in 10 times 3 folds. Harrell's C of the risk that is served by the
default horizon, within each test fold, averaged over folds and then over tables.

    .venv/bin/python benchmarks/survival_trained.py --quick --out found.csv
    .venv/bin/python benchmarks/survival_trained.py --packages
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from real_data import folder_of

from training.cohort import Outcome
from training.evaluation import Pairs, concordance
from training.study import Study
from training.train import train

TABLES = ("metabric", "gbsg", "support", "whas", "flchain", "nwtco")
PACKAGES = ("rossi", "lung", "larynx", "aids", "breast_cancer", "bmt", "cgvhd", "heart")
SPLITS_OF_QUICK = 3
FOLDS, REPEATS = 3, 10


def main() -> None:
    """Train on every table, print the table of concordance, compare the chosen with its candidates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the first three splits, or one repeat, of each table")
    parser.add_argument("--packages", action="store_true", help="the tables that come with packages")
    parser.add_argument("--tables", nargs="*")
    parser.add_argument("--out", type=Path, help="a CSV to which each table's rows are added as soon as they are known")
    arguments = parser.parse_args()
    run = package_table if arguments.packages else given_table
    rows: list[pd.DataFrame] = []
    for name in arguments.tables or (PACKAGES if arguments.packages else TABLES):
        started = time.process_time()
        rows.append(run(name, quick=arguments.quick))
        print(f"{name}: {time.process_time() - started:.0f} CPU s", flush=True)
        if arguments.out is not None:
            rows[-1].to_csv(arguments.out, mode="a", header=not arguments.out.exists(), index=False)
    report(pd.concat(rows))


def given_table(name: str, *, quick: bool) -> pd.DataFrame:
    """One table of the benchmark, trained with nothing named but its outcome and its fold file."""
    folder = folder_of("survival_benchmark")
    with tempfile.TemporaryDirectory() as scratch:
        folds = pd.read_csv(folder / "folds" / f"{name}.csv")
        path = Path(scratch) / "folds.csv"
        folds[folds["iteration"] <= (SPLITS_OF_QUICK if quick else np.inf)].to_csv(path, index=False)
        return trained(pd.read_csv(folder / f"{name}.csv"), name, validation={"fold_file": str(path)})


def package_table(name: str, *, quick: bool) -> pd.DataFrame:
    """One table of a package, in repeated folds."""
    return trained(read_package(name), name, validation={"folds": FOLDS, "repeats": 1 if quick else REPEATS})


def trained(table: pd.DataFrame, name: str, *, validation: dict[str, object]) -> pd.DataFrame:
    """The concordance of every candidate on every fold; `served` says which one the training chose."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["PRESAGE_HOME"] = home
        path, predictions = Path(home) / f"{name}.csv", Path(home) / "predictions.parquet"
        table.to_csv(path, index=False)
        study = Study(
            name=name,
            source={"table": str(path)},
            outcome={"time": "time", "event": "status"},
            validation=validation,
        )
        found = train(study, predictions_out=predictions)
        risks = pd.read_parquet(predictions)
    times, events = table["time"].to_numpy(dtype=np.float64), table["status"].to_numpy(dtype=np.int8)
    rows = []
    for (candidate, fold), part in risks.groupby(["candidate", "fold"], sort=False):
        at = part["id"].astype(int).to_numpy() - 1  # rows are called by their numbers
        c = harrell(times[at], events[at], part["risk"].to_numpy())
        rows.append({"table": name, "candidate": candidate, "fold": fold, "c": c})
    return pd.DataFrame(rows).assign(served=lambda each: each["candidate"] == found.result.chosen.candidate)


def harrell(times: npt.NDArray[np.float64], events: npt.NDArray[np.int8], risk: npt.NDArray[np.float64]) -> float:
    """Over all follow-up; who has a competing event stays comparable."""
    ones = np.ones(len(risk))
    pairs = Pairs.of(Outcome(times, events, (1.0,)), risk)
    return concordance(pairs, ones, followed=ones, usable=np.ones(len(risk), dtype=np.bool_))


def report(rows: pd.DataFrame) -> None:
    """Means over folds by table, and over tables: each candidate, the chosen, and the best in hindsight."""
    means = rows.pivot_table(index="table", columns="candidate", values="c", sort=False)
    chosen = rows[rows["served"]].groupby("table", sort=False)["c"].mean()
    which = rows[rows["served"]].groupby("table", sort=False)["candidate"].first()
    table = means.assign(chosen=chosen, which=which)
    print(table.round(4).to_string())
    average = means.mean()
    print(f"\nmean over tables: {', '.join(f'{name} {value:.4f}' for name, value in average.items())}")
    print(f"chosen {chosen.mean():.4f}; the best candidate on the mean {average.max():.4f}, ", end="")
    print(f"the best of each table in hindsight {means.max(axis=1).mean():.4f}")


def read_package(name: str) -> pd.DataFrame:
    """A table as its package gives it, with columns `time` and `status`: 0 censored, 1 event, 2 competing event."""
    table, time_column, event_column = _READERS[name.split("_")[0]](name)
    told = table.rename(columns={time_column: "time", event_column: "status"})
    categories = told.select_dtypes("category").columns
    told = told.astype(dict.fromkeys(categories, object)).astype(dict.fromkeys(categories, str))
    return told.assign(status=told["status"].astype(int)).reset_index(drop=True)


def _lifelines(name: str) -> tuple[pd.DataFrame, str, str]:
    from lifelines import datasets

    columns = {"rossi": ("week", "arrest"), "lung": ("time", "status"), "larynx": ("time", "death")}[name]
    return getattr(datasets, f"load_{name}")(), *columns


def _sksurv(name: str) -> tuple[pd.DataFrame, str, str]:
    """The event of `bmt` is whatever comes first (9 deaths of its own are too few); `cgvhd` has competing events."""
    from sksurv import datasets

    features, outcome = getattr(datasets, f"load_{name}")()
    event, when = outcome.dtype.names
    status = outcome[event].astype(int)
    status = np.minimum(status, 1 if name == "bmt" else 2)
    return features.assign(time=outcome[when], status=status), "time", "status"


def _statsmodels(name: str) -> tuple[pd.DataFrame, str, str]:
    import statsmodels.api as sm

    return getattr(sm.datasets, name).load_pandas().data, "survival", "censors"


_READERS = {
    **dict.fromkeys(("rossi", "lung", "larynx"), _lifelines),
    **dict.fromkeys(("aids", "breast", "bmt", "cgvhd"), _sksurv),
    "heart": _statsmodels,
}


if __name__ == "__main__":
    main()
