"""Simulated genotypes that carry the sites of given scoring files, and plink2 to score them."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pgenlib
import pytest
from numpy.typing import NDArray

PLINK2 = shutil.which("plink2")
OTHERS = {"A": "C", "C": "A", "G": "T", "T": "G"}  # never the complement


@dataclass(frozen=True)
class Panel:
    """A PGEN file set and what is in it. `counts`: (variant, sample) of ALT, -9 missing. `frequency`: a reference's."""

    path: Path
    variants: pd.DataFrame  # id, chrom, pos, ref, alt
    counts: NDArray[np.int8]
    frequency: NDArray[np.float64]
    afreq: Path


def _read_rows(path: Path) -> pd.DataFrame:
    """A scoring file as the catalogue documents it, read without our code."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as stream:
        lines = stream.read().split("\n")
    skipped = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    table = pd.read_csv(path, sep="\t", skiprows=skipped, dtype=str, keep_default_na=False)
    names = {
        "CHROM": "chr_name",
        "POS": "chr_position",
        "EA": "effect_allele",
        "OA": "other_allele",
        "WEIGHT": "effect_weight",
    }
    table = table.rename(columns=names | {"reference_allele": "other_allele"})
    harmonised = "hm_pos" in table
    flag = {
        kind: table.get(f"is_{kind}", pd.Series("", table.index)).str.lower() == "true"
        for kind in ("dominant", "recessive")
    }
    return pd.DataFrame(
        {
            "line": np.arange(len(table)) + skipped + 2,
            "chrom": table["hm_chr" if harmonised else "chr_name"],
            "pos": pd.to_numeric(table["hm_pos" if harmonised else "chr_position"], errors="coerce"),
            "effect": table["effect_allele"],
            "other": table.get("other_allele", ""),
            "weight": table["effect_weight"].astype(float),
            "model": np.where(flag["dominant"], "dominant", np.where(flag["recessive"], "recessive", "additive")),
        }
    )


def _carry_sites(rows: pd.DataFrame, out: Path, *, n_samples: int, seed: int, missing: float = 0.01) -> Panel:
    """Genotypes in Hardy-Weinberg proportions at every position of `rows`; REF and ALT as chance has it."""
    rng = np.random.default_rng(seed)
    usable = rows[
        rows["effect"].str.fullmatch("[ACGT]+") & rows["pos"].notna() & rows["chrom"].isin([*map(str, range(1, 23))])
    ]
    usable = usable.drop_duplicates(["chrom", "pos"])
    sites = usable.assign(number=usable["chrom"].astype(int)).sort_values(["number", "pos"])
    other = [
        o if set(o) <= set("ACGT") and o else OTHERS[e[0]] for e, o in zip(sites["effect"], sites["other"], strict=True)
    ]
    swap = rng.random(len(sites)) < 0.5
    variants = pd.DataFrame(
        {
            "chrom": sites["chrom"].to_numpy(),
            "pos": sites["pos"].astype(int).to_numpy(),
            "id": [f"v{number}" for number in range(len(sites))],
            "ref": np.where(swap, sites["effect"], other),
            "alt": np.where(swap, other, sites["effect"]),
        }
    )
    truth = rng.uniform(0.02, 0.98, len(sites))
    counts = rng.binomial(2, truth[:, None], (len(sites), n_samples)).astype(np.int8)
    counts[rng.random(counts.shape) < missing] = -9
    frequency = np.clip(truth + rng.normal(0, 0.05, len(sites)), 0.01, 0.99).round(6)
    return _write_panel(out, variants, counts, frequency)


def _write_panel(out: Path, variants: pd.DataFrame, counts: NDArray[np.int8], frequency: NDArray[np.float64]) -> Panel:
    """Write panel.pgen, .pvar, .psam and .afreq."""
    out.mkdir(parents=True, exist_ok=True)
    n_samples = counts.shape[1]
    with pgenlib.PgenWriter(
        str(out / "panel.pgen").encode(), n_samples, variant_ct=len(variants), nonref_flags=False
    ) as writer:
        writer.append_biallelic_batch(np.ascontiguousarray(counts))
    table = variants[["chrom", "pos", "id", "ref", "alt"]]
    table.columns = pd.Index(["#CHROM", "POS", "ID", "REF", "ALT"])
    table.to_csv(out / "panel.pvar", sep="\t", index=False)
    (out / "panel.psam").write_text("#IID\n" + "".join(f"S{number}\n" for number in range(n_samples)))
    afreq = table[["#CHROM", "ID", "REF", "ALT"]].assign(ALT_FREQS=frequency, OBS_CT=5000)
    afreq.to_csv(out / "panel.afreq", sep="\t", index=False)
    return Panel(out / "panel.pgen", variants, counts, frequency, out / "panel.afreq")


Plink2 = Callable[..., pd.DataFrame]


@pytest.fixture(scope="session")
def plink2(tmp_path_factory: pytest.TempPathFactory) -> Plink2:
    """Run plink2 --score on (id, allele, weight) rows; its .sscore, by sample."""
    if PLINK2 is None:
        pytest.skip("plink2 is not on this machine (apt-get install plink2)")

    def run(panel: Panel, rows: pd.DataFrame, *modifiers: str, frequencies: bool = True) -> pd.DataFrame:
        folder = tmp_path_factory.mktemp("plink2")
        rows[["id", "allele", "weight"]].to_csv(folder / "score.txt", sep="\t", index=False)
        command = [PLINK2, "--pfile", str(panel.path.with_suffix("")), "--out", str(folder / "out"), "--threads", "1"]
        command += ["--read-freq", str(panel.afreq)] if frequencies else []
        command += [
            "--score",
            str(folder / "score.txt"),
            "1",
            "2",
            "3",
            "header",
            *modifiers,
            "cols=nallele,denom,scoresums",
        ]
        subprocess.run(command, check=True, capture_output=True)
        return pd.read_csv(folder / "out.sscore", sep="\t").set_index("#IID")

    return run


@pytest.fixture(scope="session")
def read_rows() -> Callable[[Path], pd.DataFrame]:
    return _read_rows


@pytest.fixture(scope="session")
def carry_sites() -> Callable[..., Panel]:
    return _carry_sites


@pytest.fixture(scope="session")
def write_panel() -> Callable[..., Panel]:
    return _write_panel
