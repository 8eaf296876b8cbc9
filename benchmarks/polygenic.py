"""Polygenic scores against plink2 --score: whole commands, from files to files, in one run on two threads.

python benchmarks/polygenic.py [--data FOLDER] [--people 5000] [--variants 500000] [--scores 1 20 200]

plink2 takes one table of all scores; we take the same table, and one PGS Catalog file for each score as well. Data
are made once in the folder. plink2 runs with OpenBLAS where Debian's is found (`--blas FOLDER`, or installed).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pgenlib

OPENBLAS = ("/usr/lib/x86_64-linux-gnu/openblas-pthread",)
BLOCK = 4096
LETTERS = np.array(["A", "C", "G", "T"])
OTHER = {"A": "C", "C": "A", "G": "T", "T": "G"}


def simulate(folder: Path, *, people: int, variants: int, most: int) -> None:
    """Genotypes with 1 % missing, frequencies, a table of `most` scores and one catalogue file for each."""
    done = folder / "done"
    if done.exists() and done.read_text() == f"{people} {variants} {most}":
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    chromosome = np.sort(rng.integers(1, 23, variants))
    position = np.sort(rng.choice(240_000_000, variants, replace=False)) + 1
    order = np.lexsort((position, chromosome))
    chromosome, position = chromosome[order], position[order]
    ref = LETTERS[rng.integers(0, 4, variants)]
    alt = np.array([OTHER[letter] for letter in ref])
    names = [f"{c}:{p}:{r}:{a}" for c, p, r, a in zip(chromosome, position, ref, alt, strict=True)]
    frequency = _genotypes(folder / "panel.pgen", people, variants, rng)
    table = pd.DataFrame({"#CHROM": chromosome, "POS": position, "ID": names, "REF": ref, "ALT": alt})
    table.to_csv(folder / "panel.pvar", sep="\t", index=False)
    (folder / "panel.psam").write_text("#IID\n" + "".join(f"P{i}\n" for i in range(people)))
    afreq = table[["#CHROM", "ID", "REF", "ALT"]].assign(ALT_FREQS=frequency.round(6), OBS_CT=2 * people)
    afreq.to_csv(folder / "panel.afreq", sep="\t", index=False)
    _scores(folder, table, most, rng)
    done.write_text(f"{people} {variants} {most}")


def _genotypes(path: Path, people: int, variants: int, rng: np.random.Generator) -> np.ndarray:
    frequency = np.clip(rng.beta(0.8, 0.8, variants), 0.01, 0.99)
    with pgenlib.PgenWriter(str(path).encode(), people, variant_ct=variants, nonref_flags=False) as writer:
        for start in range(0, variants, BLOCK):
            p = frequency[start : start + BLOCK, None].astype(np.float32)
            uniform = rng.random((len(p), people), dtype=np.float32)
            counts = (uniform < p**2).view(np.int8) + (uniform < 1 - (1 - p) ** 2).view(np.int8)
            counts[rng.random(counts.shape, dtype=np.float32) < 0.01] = -9
            writer.append_biallelic_batch(np.ascontiguousarray(counts))
    return frequency


def _scores(folder: Path, table: pd.DataFrame, most: int, rng: np.random.Generator) -> None:
    effect_is_alt = rng.random(len(table)) < 0.5
    effect = np.where(effect_is_alt, table["ALT"], table["REF"])
    other = np.where(effect_is_alt, table["REF"], table["ALT"])
    columns = {"ID": table["ID"], "effect_allele": effect}
    rows = {"chr_name": table["#CHROM"], "chr_position": table["POS"], "effect_allele": effect, "other_allele": other}
    for number in range(most):
        weight = np.char.mod("%.6g", rng.normal(0, 0.01, len(table)))
        columns[f"S{number}"] = weight
        text = pd.DataFrame(rows | {"effect_weight": weight}).to_csv(sep="\t", index=False)
        head = f"###PGS CATALOG SCORING FILE\n#format_version=2.0\n#pgs_id=S{number}\n#genome_build=GRCh38\n"
        (folder / f"score{number}.txt").write_text(head + text)
    for n in {1, 20, most}:
        names = ["ID", "effect_allele", *(f"S{number}" for number in range(min(n, most)))]
        pd.DataFrame({name: columns[name] for name in names}).to_csv(folder / f"wide{n}.txt", sep="\t", index=False)


def timed(command: Sequence[str], *, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Wall seconds and peak MB of a command; its own failure is ours."""
    start = time.perf_counter()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:4])} failed: {error.decode()[-500:]}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def plink2(folder: Path, n: int, out: Path, blas: str | None) -> list[str]:
    """The command that plink2's manual gives."""
    command = [
        shutil.which("plink2") or "plink2",
        "--pfile",
        str(folder / "panel"),
        "--read-freq",
        str(folder / "panel.afreq"),
    ]
    command += ["--score", str(folder / f"wide{n}.txt"), "1", "2", "header-read", "cols=nallele,scoresums"]
    command += ["--score-col-nums", f"3-{n + 2}"] if n > 1 else []
    return [*command, "--threads", "2", "--out", str(out)]


def presage(folder: Path, files: Sequence[Path], out: Path) -> list[str]:
    """Our command on the same files."""
    command = [str(Path(sys.executable).parent / "presage"), "prs", str(folder / "panel.pgen"), "--threads", "2"]
    for file in files:
        command += ["--scores", str(file)]
    return [*command, "--reference-frequencies", str(folder / "panel.afreq"), "--out", str(out)]


def agreement(theirs: Path, ours: Path) -> float:
    """Largest difference from plink2 over all scores and people, in SD of the score."""
    sums = pd.read_csv(f"{theirs}.sscore", sep="\t").set_index("#IID").filter(like="_SUM")
    sums.columns = sums.columns.str.removesuffix("_SUM")
    found = pd.read_parquet(ours).pivot(index="sample_id", columns="score_id", values="sum")
    return float(((found.loc[sums.index, sums.columns] - sums).abs() / sums.std()).max().max())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "bench-prs")
    parser.add_argument("--people", type=int, default=5000)
    parser.add_argument("--variants", type=int, default=500_000)
    parser.add_argument("--scores", type=int, nargs="+", default=[1, 20, 200])
    parser.add_argument("--repeats", type=int, default=2, help="The best of so many runs counts, for both.")
    parser.add_argument("--blas", default=next((path for path in OPENBLAS if Path(path).exists()), None))
    told = parser.parse_args()
    simulate(told.data, people=told.people, variants=told.variants, most=max(told.scores))
    env = os.environ | {"OPENBLAS_NUM_THREADS": "2"} | ({"LD_LIBRARY_PATH": told.blas} if told.blas else {})
    blas = told.blas or "its default BLAS"
    print(f"{told.people:,} people, {told.variants:,} variants, 1 % missing; plink2 with {blas}")
    print(f"{'scores':>6} {'command':<32} {'seconds':>8} {'MB':>6} {'plink2 /':>9} {'largest difference, SD':>23}")
    for n in told.scores:
        theirs = told.data / f"plink{n}"
        best = min(timed(plink2(told.data, n, theirs, told.blas), env=env) for _ in range(told.repeats))
        print(f"{n:>6} {'plink2 --score, one table':<32} {best[0]:>8.2f} {best[1]:>6.0f} {1:>9.1f} {'':>23}")
        single = [told.data / f"score{number}.txt" for number in range(n)]
        for what, files in (
            ("presage prs, one table", [told.data / f"wide{n}.txt"]),
            ("presage prs, catalogue files", single),
        ):
            ours = told.data / "ours.parquet"
            found = min(timed(presage(told.data, files, ours)) for _ in range(told.repeats))
            far = agreement(theirs, ours)
            print(
                f"{n:>6} {what:<32} {found[0]:>8.2f} {found[1]:>6.0f} {best[0] / found[0]:>9.1f} {far:>23.1e}",
                flush=True,
            )
    print(f"this script itself: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
