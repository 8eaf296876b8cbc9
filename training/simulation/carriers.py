"""Who carries a pathogenic variant of familial hypercholesterolaemia or of BRCA1/2, by published prevalence."""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Carriers per person. Familial hypercholesterolaemia: 0.40 %, 1 in 250 (Akioyamen 2017, BMJ Open 7:e016461).
# BRCA1/2: 1 in 190 of 50,726 unselected adults (Manickam 2018, JAMA Netw Open 1:e182140), about 1 to 2 between the
# genes. Of the genetically confirmed FH: LDLR 93 %, APOB 5 %, PCSK9 2 % (after Iacocca 2017,
# Expert Rev Mol Diagn 17:641-51). The same in every ancestry group: no founder effects are simulated.
PREVALENCE = {
    "LDLR": 0.93 / 250,
    "APOB": 0.05 / 250,
    "PCSK9": 0.02 / 250,
    "BRCA1": 0.36 / 190,
    "BRCA2": 0.64 / 190,
}
FH_GENES = ("LDLR", "APOB", "PCSK9")
BRCA_GENES = ("BRCA1", "BRCA2")


@functools.cache
def variant_table() -> pd.DataFrame:
    """Variants that are reported: gene_symbol, hgvs_c, hgvs_g (GRCh38), clinvar_id, dbsnp, classification.

    ClinVar of 2025-09-28 (public domain): pathogenic or likely pathogenic ones, most reviewed by an expert panel, and
    three of uncertain significance (without hgvs_c), which do nothing to their carriers.
    """
    with (resources.files("training.simulation") / "carrier_variants.csv").open(encoding="utf-8") as stream:
        return pd.read_csv(stream, dtype=str, keep_default_na=False)


def draw_carriers(rng: np.random.Generator, person_ids: NDArray[np.int64]) -> pd.DataFrame:
    """One row per carrier and gene: person_id, zygosity and the columns of `variant_table`. All are heterozygous.

    Each gene is drawn independently, so a person may (rarely) carry variants of two genes.
    """
    table = variant_table()
    harmful = table[table["classification"] != "uncertain significance"]
    found = []
    for gene, prevalence in PREVALENCE.items():
        carriers = person_ids[rng.random(len(person_ids)) < prevalence]
        variants = harmful[harmful["gene_symbol"] == gene]
        drawn = variants.iloc[rng.integers(len(variants), size=len(carriers))].reset_index(drop=True)
        found.append(drawn.assign(person_id=carriers, zygosity="heterozygous"))
    return pd.concat(found, ignore_index=True).sort_values(["person_id", "gene_symbol"], ignore_index=True)
