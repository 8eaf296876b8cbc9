"""Polygenic scores against plink2 --score: whole commands, from files to files, in one run on two threads.

python benchmarks/polygenic.py [--data FOLDER] [--people 5000] [--variants 500000] [--scores 1 20 200] [--sites 1000000]

plink2 takes one table of all scores; we take the same table, and one PGS Catalog file for each score as well. Data
are made once in the folder. plink2 runs with OpenBLAS where Debian's is found (`--blas FOLDER`, or installed). Then one
person's VCF of `--sites` records with a score on all of them, which plink2 converts first. Each command is started by a
small process of its own, so that its peak is not this script's; `cpu` is user and system seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pgenlib

OPENBLAS = ("/usr/lib/x86_64-linux-gnu/openblas-pthread",)
PRESAGE = (str(Path(sys.executable).parent / "presage"), "prs")
HEADING = (
    f"{'scores':>6} {'command':<33} {'seconds':>8} {'cpu':>7} {'MB':>6} {'plink2 /':>9} {'largest difference, SD':>23}"
)
BLOCK = 4096
LETTERS = np.array(["A", "C", "G", "T"])
OTHER = {"A": "C", "C": "A", "G": "T", "T": "G"}


def simulate(folder: Path, *, people: int, variants: int, scores: Sequence[int]) -> None:
    """Genotypes with 1 % missing, frequencies, a table for each number of `scores`, and one catalogue file for each."""
    done = folder / "done"
    tables = [folder / f"wide{n}.txt" for n in scores]
    if done.exists() and done.read_text() == f"{people} {variants}" and all(path.exists() for path in tables):
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
    _scores(folder, table, sorted({1, *scores}), rng)
    done.write_text(f"{people} {variants}")


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


def _scores(folder: Path, table: pd.DataFrame, counts: Sequence[int], rng: np.random.Generator) -> None:
    effect_is_alt = rng.random(len(table)) < 0.5
    effect = np.where(effect_is_alt, table["ALT"], table["REF"])
    other = np.where(effect_is_alt, table["REF"], table["ALT"])
    columns = {"ID": table["ID"], "effect_allele": effect}
    rows = {"chr_name": table["#CHROM"], "chr_position": table["POS"], "effect_allele": effect, "other_allele": other}
    for number in range(max(counts)):
        weight = np.char.mod("%.6g", rng.normal(0, 0.01, len(table)))
        columns[f"S{number}"] = weight
        text = pd.DataFrame(rows | {"effect_weight": weight}).to_csv(sep="\t", index=False)
        head = f"###PGS CATALOG SCORING FILE\n#format_version=2.0\n#pgs_id=S{number}\n#genome_build=GRCh38\n"
        (folder / f"score{number}.txt").write_text(head + text)
    for n in counts:
        names = ["ID", "effect_allele", *(f"S{number}" for number in range(n))]
        pd.DataFrame({name: columns[name] for name in names}).to_csv(folder / f"wide{n}.txt", sep="\t", index=False)


class Spent(NamedTuple):
    """What a command took."""

    seconds: float
    cpu: float
    mb: float


# Until it executes the command, a forked child counts its parent's pages as its own: the parent must be small.
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(status != 0)
"""


def simulate_person(folder: Path, sites: int) -> tuple[Path, Path]:
    """One person's VCF, bgzipped, with a score on its sites as a catalogue file and as plink2's table."""
    vcf, score, done = folder / "person.vcf.gz", folder / "score.txt", folder / "done"
    if done.exists() and done.read_text() == str(sites):
        return vcf, score
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(2)
    chromosome = np.sort(rng.integers(1, 23, sites))
    position = rng.choice(240_000_000, sites, replace=False) + 1
    order = np.lexsort((position, chromosome))
    table = pd.DataFrame({"#CHROM": chromosome[order], "POS": position[order]})
    table["ID"] = ""
    table["REF"] = LETTERS[rng.integers(0, 4, sites)]
    table["ALT"] = table["REF"].map(OTHER)
    table["ID"] = table[["#CHROM", "POS", "REF", "ALT"]].astype(str).agg(":".join, axis=1)
    calls = np.array(["0/0", "0/1", "1/1", "./."])[rng.choice(4, sites, p=[0.55, 0.3, 0.14, 0.01])]
    rows = table.assign(QUAL=".", FILTER="PASS", INFO=".", FORMAT="GT", P0=calls).to_csv(sep="\t", index=False)
    contigs = "".join(f"##contig=<ID={number}>\n" for number in range(1, 23))
    head = f'##fileformat=VCFv4.2\n##FILTER=<ID=PASS,Description="All filters passed">\n{contigs}'
    head += '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
    vcf.write_bytes(bgzip((head + rows).encode()))
    weight = np.char.mod("%.6g", rng.normal(0, 0.01, sites))
    part = table.rename(columns={"#CHROM": "chr_name", "POS": "chr_position", "ALT": "effect_allele"})
    part = part.rename(columns={"REF": "other_allele"}).assign(effect_weight=weight)
    names = ["chr_name", "chr_position", "effect_allele", "other_allele", "effect_weight"]
    score.write_text("#pgs_id=S\n" + part[names].to_csv(sep="\t", index=False))
    part[["ID", "effect_allele", "effect_weight"]].to_csv(folder / "table.txt", sep="\t", index=False)
    frequency = np.clip(rng.beta(0.8, 0.8, sites), 0.01, 0.99).round(6)
    afreq = table[["#CHROM", "ID", "REF", "ALT"]].assign(ALT_FREQS=frequency, OBS_CT=10_000)
    afreq.to_csv(folder / "person.afreq", sep="\t", index=False)
    done.write_text(str(sites))
    return vcf, score


def bgzip(content: bytes) -> bytes:
    """Blocks of gzip, each with its size, and the empty one at the end (SAM specification, section 4.1)."""
    blocks = []
    for start in [*range(0, len(content), 0xFF00), len(content)]:
        part = content[start : start + 0xFF00]
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        body = deflate.compress(part) + deflate.flush()
        head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + struct.pack("<H", len(body) + 25)
        blocks.append(head + body + struct.pack("<II", zlib.crc32(part), len(part)))
    return b"".join(blocks)


def timed(command: Sequence[str], *, env: dict[str, str] | None = None) -> Spent:
    """What a command took, from its start to its end; its own failure is ours."""
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launch, env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} failed: {done.stderr[-500:]}")
    return Spent(*map(float, done.stdout.split()))


def plink2(folder: Path, n: int, out: Path) -> list[str]:
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
    command = [*PRESAGE, str(folder / "panel.pgen"), "--threads", "2"]
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
    parser.add_argument("--sites", type=int, default=1_000_000, help="Of the one person's VCF; 0 leaves it out.")
    parser.add_argument("--repeats", type=int, default=2, help="The best of so many runs counts, for both.")
    parser.add_argument("--blas", default=next((path for path in OPENBLAS if Path(path).exists()), None))
    told = parser.parse_args()
    simulate(told.data, people=told.people, variants=told.variants, scores=told.scores)
    env = os.environ | {"OPENBLAS_NUM_THREADS": "2"} | ({"LD_LIBRARY_PATH": told.blas} if told.blas else {})
    with_blas = told.blas or "its default BLAS"
    print(f"{told.people:,} people, {told.variants:,} variants, 1 % missing; plink2 with {with_blas}")
    print(HEADING)
    for n in told.scores:
        theirs = told.data / f"plink{n}"
        best = min(timed(plink2(told.data, n, theirs), env=env) for _ in range(told.repeats))
        print(line(n, "plink2 --score, one table", best, best))
        single = [told.data / f"score{number}.txt" for number in range(n)]
        for what, files in (
            ("presage prs, one table", [told.data / f"wide{n}.txt"]),
            ("presage prs, catalogue files", single),
        ):
            ours = told.data / "ours.parquet"
            found = min(timed(presage(told.data, files, ours)) for _ in range(told.repeats))
            print(line(n, what, found, best, agreement(theirs, ours)), flush=True)
    if told.sites:
        one_person(told.data, told.sites, env, told.repeats)


def one_person(folder: Path, sites: int, env: dict[str, str], repeats: int) -> None:
    """A VCF of one person and a score on all of its sites."""
    vcf, score = simulate_person(folder / "person", sites)
    frequencies = vcf.with_name("person.afreq")
    pgen, theirs, ours = (vcf.with_name(name) for name in ("converted", "plink", "ours.parquet"))
    binary = shutil.which("plink2") or "plink2"
    print(f"one person's VCF of {sites:,} records, a score on all of them")
    print(HEADING)
    convert = [binary, "--vcf", str(vcf), "--make-pgen", "--threads", "2", "--out", str(pgen)]
    sum_up = [binary, "--pfile", str(pgen), "--score", str(score.with_name("table.txt")), "1", "2", "header-read"]
    sum_up += ["cols=nallele,scoresums", "--read-freq", str(frequencies), "--threads", "2", "--out", str(theirs)]
    best = min(together(timed(convert, env=env), timed(sum_up, env=env)) for _ in range(repeats))
    print(line(1, "plink2 --make-pgen, then --score", best, best))
    command = [*PRESAGE, str(vcf), "--threads", "2", "--scores", str(score), "--out", str(ours)]
    command += ["--reference-frequencies", str(frequencies)]
    found = min(timed(command) for _ in range(repeats))
    told = pd.read_csv(f"{theirs}.sscore", sep="\t").filter(like="_SUM").iloc[0, 0]
    far = abs(float(pd.read_parquet(ours)["sum"][0]) - float(told)) / (0.01 * sites**0.5)
    print(line(1, "presage prs", found, best, far), flush=True)


def together(one: Spent, two: Spent) -> Spent:
    """One command after the other."""
    return Spent(one.seconds + two.seconds, one.cpu + two.cpu, max(one.mb, two.mb))


def line(n: int, what: str, spent: Spent, theirs: Spent, far: float | None = None) -> str:
    """One row of the table."""
    told = "" if far is None else f"{far:.1e}"
    times = theirs.seconds / spent.seconds
    return f"{n:>6} {what:<33} {spent.seconds:>8.2f} {spent.cpu:>7.2f} {spent.mb:>6.0f} {times:>9.1f} {told:>23}"


if __name__ == "__main__":
    main()
