"""How close the trained models come to the simulator's truth, over seeds and scenarios.

For each seed: simulate, ingest, train `chd-10y`, and read from the summary the AUC of the combined model and of the
oracle (the true risk) on the same test people, the calibration slope with its interval, and the sentence about
genomics. Prints one row per run and the verdicts that the goals ask for:

- default: combined AUC at least 97 % of the oracle's; the interval of the calibration slope covers 1;
- no-genomic-effect: the sentence credits genomics in at most 1 of 10 seeds.

    python benchmarks/oracle.py --seeds 10 --people 20000
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCENARIOS = ("default", "no-genomic-effect")
PRESAGE = [sys.executable, "-P", "-c", "from serving.cli import main; main()"]


@dataclass(frozen=True, slots=True)
class Run:
    """One seed of one scenario."""

    scenario: str
    seed: int
    combined_auc: float
    oracle_auc: float
    slope: float
    slope_low: float
    slope_high: float
    credits_genomics: bool
    seconds: float

    @property
    def share_of_oracle(self) -> float:
        """AUC of the combined model as a share of the oracle's, 0 to 1."""
        return self.combined_auc / self.oracle_auc

    @property
    def slope_covers_one(self) -> bool:
        """Whether the 95 % interval of the calibration slope holds 1."""
        return self.slope_low <= 1 <= self.slope_high


def presage(*arguments: str | Path, home: Path) -> None:
    """Run one command; its output only where it fails."""
    done = subprocess.run(
        [*PRESAGE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PRESAGE_HOME": str(home)},
    )
    if done.returncode:
        sys.exit(f"presage {' '.join(map(str, arguments))}\n{done.stdout}\n{done.stderr}")


def run(scenario: str, *, seed: int, people: int, study: str) -> Run:
    """The main job once, in a folder of its own."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        source, record, summary = Path(folder) / "source", Path(folder) / "record", Path(folder) / "summary.json"
        presage("simulate", source, "--people", str(people), "--seed", str(seed), "--scenario", scenario, home=home)
        presage("ingest", "omop", source / "omop", "--record", record, home=home)
        scores = [part for score in sorted((source / "scores").glob("*.txt.gz")) for part in ("--scores", score)]
        panel, ancestry = source / "reference" / "panel.pgen", Path(folder) / "ancestry"
        presage("ancestry", "fit", panel, "--labels", "SuperPop", *scores, "--out", ancestry, home=home)
        frequencies = ("--reference-frequencies", source / "scores" / "reference_frequencies.afreq")
        genotypes = source / "genotypes" / "genotypes.pgen"
        presage(
            "ingest",
            "genotypes",
            genotypes,
            *scores,
            "--ancestry",
            ancestry,
            *frequencies,
            "--record",
            record,
            home=home,
        )
        presage("ingest", "findings", source / "reports", "--record", record, home=home)
        presage("train", study, "--record", record, "--truth", source / "truth.parquet", "--json", summary, home=home)
        return read(json.loads(summary.read_text()), scenario=scenario, seed=seed, started=started)


def read(summary: dict[str, Any], *, scenario: str, seed: int, started: float) -> Run:
    """The numbers of one summary, all on the same test people."""
    models = summary["comparison"]["genomic"]["models"]
    slope = models["combined"]["calibration_slope"]
    genomic = [block["sentence"] for block in summary["blocks"]]
    return Run(
        scenario=scenario,
        seed=seed,
        combined_auc=models["combined"]["auc"]["value"],
        oracle_auc=models["oracle"]["auc"]["value"],
        slope=slope["value"],
        slope_low=slope["low"],
        slope_high=slope["high"],
        credits_genomics=any("adds nothing" not in sentence for sentence in genomic),
        seconds=time.perf_counter() - started,
    )


def line(one: Run) -> str:
    """The run's row of the table."""
    slope = f"{one.slope:.2f} ({one.slope_low:.2f} to {one.slope_high:.2f}){'' if one.slope_covers_one else ' !'}"
    return (
        f"{one.scenario:<19} {one.seed:>4}  {one.combined_auc:>8.4f}  {one.oracle_auc:.4f}  {one.share_of_oracle:.3f}"
        f"  {slope:<23}  {'yes' if one.credits_genomics else 'no':<16}  {one.seconds:>7.0f}"
    )


def main() -> None:
    """Print the table and the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=41, help="lower ones were looked at in development")
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--study", default="chd-10y", help="a study that ships, or a study file")
    arguments = parser.parse_args()
    print("scenario            seed  combined  oracle   share  slope (95 % interval)    credits genomics  seconds")
    wanted = [
        (scenario, seed) for scenario in SCENARIOS for seed in range(arguments.first, arguments.first + arguments.seeds)
    ]
    runs = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        started = [
            pool.submit(run, scenario, seed=seed, people=arguments.people, study=arguments.study)
            for scenario, seed in wanted
        ]
        for future in started:
            one = future.result()
            runs.append(one)
            print(line(one), flush=True)
    real = [one for one in runs if one.scenario == "default"]
    null = [one for one in runs if one.scenario == "no-genomic-effect"]
    mean_share = sum(one.share_of_oracle for one in real) / len(real)
    reached = sum(one.share_of_oracle >= 0.97 for one in real)
    covered = sum(one.slope_covers_one for one in real)
    credited = sum(one.credits_genomics for one in null)
    print(f"\nshare of the oracle's AUC: mean {mean_share:.3f} (goal: at least .970); {reached} of {len(real)} seeds")
    print(f"calibration slope's interval covers 1: {covered} of {len(real)} seeds")
    print(f"genomics credited where it has no effect: {credited} of {len(null)} seeds (goal: at most 1 in 10)")


if __name__ == "__main__":
    main()
