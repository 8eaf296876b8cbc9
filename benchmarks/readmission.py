"""30-day readmission (UCI "Diabetes 130-US hospitals"): discrimination, and whether risks mean what they say.

Encounters that end in death or hospice are left out; folds are by patient, and the slope is that of all held-out
people together, with an interval over patients. Recalibration is learned inside the training folds only.

    .venv/bin/python benchmarks/readmission.py
"""

from __future__ import annotations

import argparse
import tempfile
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from real_data import folder_of

from features.progress import silent
from training.cohort import read_flat
from training.heldout import Bench, Plan, hold_out
from training.study import read_study

DEATH_OR_HOSPICE = (11, 13, 14, 19, 20, 21)
AUC_AT_LEAST, SLOPE_WITHIN = 0.675, (0.95, 1.05)
STUDY = """
name = "readmission-30d"
[source]
table = "encounters.parquet"
id = "patient_nbr"
[outcome]
event = "readmitted"
[features]
exclude = ["encounter_id"]
"""


def main() -> None:
    """Read, hold out, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", nargs="*", default=["xgboost"])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="so many of the folds")
    parser.add_argument("--bootstraps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        encounters().to_parquet(folder / "encounters.parquet")
        (folder / "study.toml").write_text(STUDY + f"[validation]\nfolds = {arguments.folds}\n")
        study = read_study(folder / "study.toml")
        cohort = read_flat(study, folder)
        plan = Plan.of(study, cohort, seed=arguments.seed)
    if arguments.only:
        fewer = replace(plan.scheme, splits=plan.scheme.splits[: arguments.only])
        plan = replace(plan, scheme=fewer, uncensored=plan.uncensored[: arguments.only])
    print(f"{len(cohort):,} encounters of {len(np.unique(cohort.persons)):,} patients; {plan.scheme.words}", flush=True)
    for name in arguments.candidates:
        started = time.process_time()
        with silent("fitting") as advance:
            held = hold_out(plan, name, advance=advance)
        bench = Bench.of(plan, held, n_boot=arguments.bootstraps)
        found = bench.measure(held.served, integrated=True)
        print(f"\n{name}, {time.process_time() - started:.0f} s of CPU")
        for metric in ("auc", "auprc", "brier", "calibration_slope", "calibration_in_the_large", "ici", "e90"):
            value = found[metric]
            print(f"  {metric:26s} {value.value:.4f} ({value.low:.4f} to {value.high:.4f})")
        for split, pair in zip(plan.scheme.splits, held.pairs, strict=True):
            alone = bench.take(np.flatnonzero(held.fold == split.name))
            one = alone.measure(held.served[held.fold == split.name], n_boot=0)
            raw = pair.clinical.calibration.calibrators[-1]
            print(
                f"  fold {split.name}: AUC {one['auc'].value:.4f}, slope {one['calibration_slope'].value:.3f}, "
                f"recalibrated by {raw.intercept:+.3f}, {raw.rise:.3f}; {dict(pair.clinical.fitted.settings)}"
            )
        low, high = SLOPE_WITHIN
        good = found["auc"].value >= AUC_AT_LEAST and low <= found["calibration_slope"].value <= high
        print(f"  goals, AUC at least {AUC_AT_LEAST} and slope within {low} to {high}: {'met' if good else 'missed'}")


def encounters() -> pd.DataFrame:
    """Everything recorded of each stay; readmitted within 30 days or not."""
    path = folder_of("clin_diabetes130") / "dataset_diabetes.zip"
    with zipfile.ZipFile(path) as archive, archive.open("dataset_diabetes/diabetic_data.csv") as source:
        table = pd.read_csv(source, na_values=["?"], keep_default_na=False, low_memory=False)
    table = table[~table["discharge_disposition_id"].isin(DEATH_OR_HOSPICE)]
    for name in table.columns:
        if name.endswith("_id") and name != "encounter_id":
            table[name] = table[name].astype(str)
    return table.assign(readmitted=(table["readmitted"] == "<30").astype(int)).reset_index(drop=True)


if __name__ == "__main__":
    main()
