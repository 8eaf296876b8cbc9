from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import pytest

from features.findings.genes import Gene, GeneUnclearError, mondo, resolve

BRCA2 = Gene("BRCA2", "HGNC:1101")


def table(name: str) -> list[dict[str, str]]:
    with (resources.files("features.findings") / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("symbol", "hgnc", "variant", "expected"),
    [
        ("BRCA2", None, None, BRCA2),
        (None, "HGNC:1101", None, BRCA2),
        ("brca2 ", "HGNC:1101", None, BRCA2),
        # the report's two names disagree: the transcript decides (eMERGE's sample names MLH1 by id)
        ("BRCA2", "HGNC:7127", "NM_000059.3:c.2808_2811del", BRCA2),
        ("MSH2", "HGNC:7235", "NM_000251.3(MSH2):c.1832del", Gene("MSH2", "HGNC:7325")),
        # a gene that the table lacks, but well named
        ("SMN1", "HGNC:11117", None, Gene("SMN1", "HGNC:11117")),
        # no name but the variant's
        (None, None, "NM_000527.5:c.97C>T", Gene("LDLR", "HGNC:6547")),
    ],
)
def test_the_gene_a_report_means(symbol: str | None, hgnc: str | None, variant: str | None, expected: Gene) -> None:
    assert resolve(symbol=symbol, hgnc=hgnc, variant=variant) == expected


@pytest.mark.parametrize(
    ("symbol", "hgnc", "variant", "reason"),
    [
        ("BRCA2", "HGNC:7127", None, "two genes"),
        ("BRCA2", "HGNC:7127", "NM_000527.5:c.97C>T", "two genes"),
        ("BRCA3", None, None, "unknown gene"),
        (None, "HGNC:0", None, "unknown gene"),
        (None, None, None, "no gene named"),
    ],
)
def test_a_gene_that_is_not_clear_is_refused_with_the_reason(
    symbol: str | None, hgnc: str | None, variant: str | None, reason: str
) -> None:
    with pytest.raises(GeneUnclearError, match=reason):
        resolve(symbol=symbol, hgnc=hgnc, variant=variant)


@pytest.mark.parametrize(
    ("system", "code", "text", "expected"),
    [
        ("http://purl.obolibrary.org/obo/mondo.owl", "MONDO:0012624", None, "MONDO:0012624"),
        ("https://omim.org/", "612555", "Familial breast-ovarian cancer 2", "MONDO:0700269"),
        ("", None, "Hereditary breast and ovarian cancer", "MONDO:0700269"),
        ("http://snomed.info/sct", "44054006", "Diabetes mellitus type 2", None),
        ("https://omim.org/", "604370", None, None),  # BRCA1's
    ],
)
def test_the_condition_of_brca2(system: str, code: str | None, text: str | None, expected: str | None) -> None:
    assert mondo(BRCA2, system=system, code=code, text=text) == expected


@pytest.mark.realdata
def test_the_tables_are_the_published_ones(real_data: Path) -> None:
    clinvar = real_data / "genomics" / "clinvar"
    ids = {row["gene_symbol"]: row["hgnc_id"] for row in table("genes.csv")}
    assert len(set(ids.values())) == len(ids)
    for name, symbol, hgnc in (
        ("acmg_sf_v3.1_hgnc_ensembl.tsv", "gene_symbol", "hgnc_id"),
        ("acmg_map_mondo_hgnc_orpha_snomed.tsv", "Gene Symbol", "HGNC ID"),
    ):
        with (clinvar / name).open() as stream:
            published = {row[symbol].strip(): row[hgnc].strip() for row in csv.DictReader(stream, delimiter="\t")}
        assert {gene: ids.get(gene) for gene in published} == published
    with (clinvar / "acmg_map_mondo_hgnc_orpha_snomed.tsv").open() as stream:
        conditions = {(row["Gene Symbol"], row["MONDO ID"]) for row in csv.DictReader(stream, delimiter="\t")}
    assert {(row["gene_symbol"], row["mondo_id"]) for row in table("conditions.csv")} == conditions
    with (clinvar / "ACMG_SF_v3.3.tsv").open() as stream:
        listed = {(row["Gene"], row["Disorder MIM"].strip()) for row in csv.DictReader(stream, delimiter="\t")}
    assert {(row["gene_symbol"], row["omim"]) for row in table("acmg_sf.csv")} == listed
    assert all(ids[row["gene_symbol"]] == row["hgnc_id"] for row in table("acmg_sf.csv"))


@pytest.mark.realdata
def test_pharmacogenes_have_the_ids_that_laboratories_report(real_data: Path) -> None:
    import json

    report = json.loads((real_data / "fhir_genomics_examples/emerge/positiveSample.json").read_text())
    for result in report["pgxData"]:
        assert resolve(symbol=result["geneSymbol"], hgnc=result["hgncID"]).hgnc == result["hgncID"]
