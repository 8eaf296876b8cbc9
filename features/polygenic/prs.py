"""The commands `presage prs` and `presage ancestry fit`: run, and write the results whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from features.errors import PresageError
from features.polygenic.matching import VARIANT_REPORT
from features.polygenic.results import as_table, report_json, sentence
from features.polygenic.run import ScoredSamples, Settings, compute
from features.progress import Progress, silent
from features.shown import Shown
from features.writing import whole_files

if TYPE_CHECKING:
    import pandas as pd


def prs(
    genotypes: Path,
    scores: Sequence[Path],
    *,
    out: Path | None,
    settings: Settings,
    reference_frequencies: Path | None = None,
    ancestry: Path | None = None,
    progress: Progress = silent,
) -> PolygenicScores:
    """Score the samples of a genotype file: one row per sample and score, in memory or written to `out`.

    With `out`, the match report is written beside it; all files are written, or none. Without it nothing is written, so
    that the report's rows, one per variant, are not kept.
    """
    if out is None:
        return PolygenicScores(
            compute(
                genotypes,
                scores,
                settings=settings,
                frequencies_path=reference_frequencies,
                ancestry_path=ancestry,
                progress=progress,
            )
        )
    if out.suffix not in (".parquet", ".csv"):
        raise PresageError("--out", "a name that ends in .parquet or .csv", way_out="write --out scores.parquet")
    report, rows = report_paths(out)
    if not out.parent.is_dir():
        raise PresageError(str(out.parent), "a folder to write in", found="no such folder", way_out="make it first")
    with whole_files(out, report, rows) as (out_part, report_part, rows_part):
        scored = run_with_rows(
            genotypes,
            scores,
            rows=rows_part,
            settings=settings,
            reference_frequencies=reference_frequencies,
            ancestry=ancestry,
            progress=progress,
        )
        with progress("Writing"):
            _write_table(as_table(scored), out_part, suffix=out.suffix)
            report_part.write_text(
                json.dumps(report_json(scored), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
            )
    return PolygenicScores(scored, out)


def run_with_rows(
    genotypes: Path,
    scores: Sequence[Path],
    *,
    rows: Path,
    settings: Settings,
    reference_frequencies: Path | None,
    ancestry: Path | None,
    progress: Progress,
) -> ScoredSamples:
    """Compute the scores, and write the rows of the match report while scores are matched."""
    coded = [field.name for field in VARIANT_REPORT if pa.types.is_dictionary(field.type)]
    options = {"compression": "lz4", "use_dictionary": coded, "write_statistics": False}  # a third of the time
    with pq.ParquetWriter(rows, VARIANT_REPORT, **options) as writer:
        return compute(
            genotypes,
            scores,
            settings=settings,
            frequencies_path=reference_frequencies,
            ancestry_path=ancestry,
            on_rows=writer.write_table,
            progress=progress,
        )


def report_paths(out: Path) -> tuple[Path, Path]:
    """The files of the match report: counts by score in JSON, every row in Parquet."""
    return out.with_name(out.stem + ".report.json"), out.with_name(out.stem + ".variants.parquet")


@dataclass(frozen=True, slots=True, repr=False)
class PolygenicScores(Shown):
    """The scores of a run. out: the file they were written to, if they were."""

    scored: ScoredSamples
    out: Path | None = None

    def to_pandas(self) -> pd.DataFrame:
        """One row per sample and score: the sum, what share of the score's weight matched, and the adjusted z."""
        table: pd.DataFrame = as_table(self.scored).to_pandas()
        return table

    def report(self) -> dict[str, Any]:
        """What matched of each score, and why the rest did not: counts, with licence and citation."""
        return report_json(self.scored)

    def __str__(self) -> str:
        """What the command line prints."""
        if self.out is None:
            return sentence(self.scored)
        report, rows = report_paths(self.out)
        return f"{sentence(self.scored)}\nin {self.out}; what matched and why not: {report.name}, {rows.name}"

    def __rich__(self) -> str:
        return str(self)


def _write_table(table: pa.Table, path: Path, *, suffix: str) -> None:
    if suffix == ".csv":
        csv.write_csv(table, path)
    else:
        pq.write_table(table, path, compression="zstd", compression_level=1)
