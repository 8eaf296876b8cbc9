"""A score of many genotypes: a weight for each variant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Floats
from training.cohort import Dosages


@dataclass(frozen=True, slots=True)
class DosageScore:
    """sum of weight x (dosage - mean) over variants; a missing call counts as the mean.

    variants, alleles: (m,) what is counted. `out_of_fold`: (n,) scores of the training rows, each by weights learned
    without that person's fold; None after reading.
    """

    variants: tuple[str, ...]
    alleles: tuple[str, ...]
    mean: Floats
    weight: Floats
    out_of_fold: Floats | None = None

    def score(self, dosages: Dosages) -> Floats:
        """(n,) NaN where nothing is called."""
        centred = np.nan_to_num(dosages.values - self.mean.astype(np.float32), nan=0.0)
        return np.where(dosages.called, centred @ self.weight, np.nan)

    def write(self, path: Path) -> None:
        """One Parquet file, a row per variant."""
        table = {"variant": self.variants, "allele": self.alleles, "mean": self.mean, "weight": self.weight}
        pq.write_table(pa.table(table), path)

    @classmethod
    def read(cls, path: Path) -> DosageScore:
        """What `write` wrote."""
        with pq.ParquetFile(path) as file:
            table = file.read()
        return cls(
            tuple(table["variant"].to_pylist()),
            tuple(table["allele"].to_pylist()),
            np.asarray(np.from_dlpack(table["mean"].combine_chunks()), dtype=np.float64),
            np.asarray(np.from_dlpack(table["weight"].combine_chunks()), dtype=np.float64),
        )
