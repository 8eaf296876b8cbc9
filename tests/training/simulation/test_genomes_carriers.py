from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.simulation.carriers import BRCA_GENES, FH_GENES, draw_carriers, variant_table

PEOPLE = 400_000


def test_carriers_are_as_common_as_published() -> None:
    carriers = draw_carriers(np.random.default_rng(2), np.arange(PEOPLE))
    for genes, prevalence in ((FH_GENES, 1 / 250), (BRCA_GENES, 1 / 190)):
        n_carriers = carriers["gene_symbol"].isin(genes).sum()
        assert n_carriers == pytest.approx(PEOPLE * prevalence, abs=4 * (PEOPLE * prevalence) ** 0.5)
    shares = carriers["gene_symbol"].value_counts(normalize=True)
    assert shares["LDLR"] > 10 * shares["APOB"] > 10 * shares["PCSK9"]


def test_every_carrier_has_one_harmful_variant_of_the_gene() -> None:
    carriers = draw_carriers(np.random.default_rng(2), np.arange(PEOPLE))
    assert not carriers.duplicated(["person_id", "gene_symbol"]).any()
    assert set(carriers["classification"]) == {"pathogenic", "likely pathogenic"}
    known = variant_table().set_index("clinvar_id")["gene_symbol"]
    assert (carriers["gene_symbol"].to_numpy() == known[carriers["clinvar_id"]].to_numpy()).all()
    assert set(carriers["clinvar_id"]) == set(known[variant_table()["hgvs_c"].to_numpy() != ""].index)


@pytest.mark.realdata
def test_the_variants_are_those_of_clinvar(real_data: Path) -> None:
    from cyvcf2 import VCF

    table = variant_table().set_index("clinvar_id")
    seen = set()
    for record in VCF(str(real_data / "genomics/clinvar/clinvar_20250928_GRCh38_acmgSF33_PLP.vcf.gz")):
        if record.ID not in table.index:
            continue
        seen.add(record.ID)
        row = table.loc[record.ID]
        assert record.INFO["CLNHGVS"] == row["hgvs_g"]
        assert f"rs{record.INFO['RS']}" == row["dbsnp"]
        assert row["gene_symbol"] in [gene.split(":")[0] for gene in record.INFO["GENEINFO"].split("|")]
        weakest = record.INFO["CLNSIG"].replace("_", " ").lower().split("/")[-1]
        assert weakest == row["classification"]
    assert seen == set(table.index)
