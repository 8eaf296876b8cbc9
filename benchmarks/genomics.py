"""What genomics adds where the answer is known: mutations in breast cancer (METABRIC), common variants in PennCATH.

Raw mutations of 173 genes added to the clinical columns make a stack worse; as a block of their own they must not.
PennCATH is a negative control, no variant being genome-wide significant: the sentence has to say that nothing is added.

    .venv/bin/python benchmarks/genomics.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import pandas as pd
from real_data import folder_of

from training.card import estimate_words
from training.result import Result, known
from training.train import train

METABRIC = """
name = "metabric"
[source]
table = "metabric.csv"
id = "patientId"
[outcome]
time = "time"
event = "event"
horizons_days = [1825, 3650]
[models]
candidates = ["stack"]
[validation]
folds = 5
repeats = 2
"""
BLOCKS = """
[features]
rest = "clinical"
[features.blocks]
clinical = ["AGE_AT_DIAGNOSIS"]
mutations = ["mutated_*"]
"""
PENNCATH = """
name = "penncath"
[source]
table = "{folder}/penncath_clinical.csv"
id = "FamID"
genotypes = "{folder}/penncath_lite.bed"
[outcome]
event = "CAD"
[models]
candidates = ["logistic"]
[validation]
folds = 5
"""


def main() -> None:
    """Train, and print what each block adds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("metabric", "penncath"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["PRESAGE_HOME"] = str(folder / "home")
        if arguments.only != "penncath":
            women(folder_of("cancer_metabric")).to_csv(folder / "metabric.csv", index=False)
            naive = report("METABRIC, mutations among the clinical columns", folder, METABRIC)
            block = report("METABRIC, mutations as a block", folder, METABRIC + BLOCKS)
            together, apart = (found.chosen.metrics["c_harrell"].value for found in (naive, block))
            delta = block.blocks[0].delta["c_harrell"]
            good = delta.value is not None and delta.value > -0.002 and delta.high is not None and delta.high >= 0
            print(f"C of all columns together {together:.4f}, as served with the block {apart:.4f}")
            print(f"goal, not worse by the block: {'met' if good else 'missed'}\n")
        if arguments.only != "metabric":
            found = report("PennCATH", folder, PENNCATH.format(folder=folder_of("geno_penncath_lite")))
            good = "adds nothing here" in found.blocks[0].sentence
            print(f"goal, the sentence says that nothing is added: {'met' if good else 'missed'}")


def report(title: str, folder: Path, study: str) -> Result:
    """One training, its metrics and its blocks."""
    started = time.process_time()
    (folder / "study.toml").write_text(study)
    result = train(folder / "study.toml").result
    print(f"{title}: {result.people:,} people, {result.events:,} events")
    for name in ("c_harrell", "auc", "brier", "calibration_slope"):
        if metric := known(result.chosen.metrics, name):
            print(f"  {name:18s} {estimate_words(metric, 4)}")
    for block in result.blocks:
        print(f"  {block.sentence}")
        for each in block.reclassification:
            print(
                f"  at {each.cutoff:g}: net reclassification of events {each.events.value:+.4f}, "
                f"of others {each.nonevents.value:+.4f}"
            )
    print(f"  {time.process_time() - started:.0f} s of CPU\n")
    return result


def women(folder: Path) -> pd.DataFrame:
    """Clinical columns, follow-up, and a column per mutated gene; who has no mutation listed has no genomic result."""
    clinical = pd.read_csv(folder / "metabric_clinical.tsv", sep="\t")
    survival = pd.read_csv(folder / "metabric_survival.tsv", sep="\t")[["patientId", "time", "event"]]
    mutations = pd.read_csv(folder / "metabric_mutations.tsv", sep="\t", keep_default_na=False)
    wide = pd.crosstab(mutations["patientId"], mutations["hugoGeneSymbol"]).clip(upper=1).add_prefix("mutated_")
    return clinical.merge(survival, on="patientId").merge(wide, left_on="patientId", right_index=True, how="left")


if __name__ == "__main__":
    main()
