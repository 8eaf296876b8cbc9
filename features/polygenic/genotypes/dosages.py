"""A whole genotype matrix in memory: for flat tables joined with a small PLINK file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.polygenic.columns import Alleles, chromosome_name, split_key
from features.polygenic.genotypes.fileset import open_genotypes
from features.polygenic.genotypes.protocol import Sites


def read_dosages(path: Path) -> tuple[tuple[str, ...], pa.Table, NDArray[np.float32]]:
    """Read all genotypes of a small file: sample ids, variants, and counts of ALT (sample, variant), nan where missing.

    Sample ids are family ids where the format has families that tell the samples apart (PLINK 1), else individual ids.
    Variants: id, chrom, pos, ref, alt, one row for each alternate allele.
    """
    alleles = Alleles()
    with open_genotypes(path, alleles) as genotypes:
        variants, samples = genotypes.variants, genotypes.samples
        counts = np.empty((len(variants), len(samples)), np.float32)
        reader = genotypes.reader()
        reader.read_dosages(Sites(variants.row, variants.allele), counts)
        reader.close()
    counts[counts < 0] = np.nan
    chromosomes, positions = split_key(variants.keys)
    table = pa.table(
        {
            "id": variants.ids,
            "chrom": [chromosome_name(int(code)) for code in chromosomes],
            "pos": positions,
            "ref": alleles.arrow(variants.ref).dictionary_decode(),
            "alt": alleles.arrow(variants.alt).dictionary_decode(),
        }
    )
    families = samples.family_ids
    ids = families if len(set(families)) == len(samples) else samples.ids
    return ids, table, np.ascontiguousarray(counts.T)
