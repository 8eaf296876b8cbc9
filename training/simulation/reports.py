"""Reports of two simulated laboratories: who was tested for what, what the panel covered, what was found.

One sends FHIR Genomics Reporting bundles, a file each; the other a CSV a year, a row per gene. Their panels differ, so
that a gene can be untested at one and tested at the other; some reports are corrected or withdrawn later.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from training.simulation.carriers import variant_table
from training.simulation.fhir_report import bundle
from training.simulation.reported import LaboratoryReport, ReportedVariant

FHIR_LABORATORY = "Northfield Genomics (simulated)"
CSV_LABORATORY = "Harbour Molecular Diagnostics (simulated)"

# What each laboratory looks at for each reason of testing, with what its assay cannot see in a gene. The limits are
# those that laboratories state: PMS2 exons 12-15 (pseudogene PMS2CL), CHEK2 exons 10-14 (pseudogenes), copy number.
_NO_COPY_NUMBER = "Deletions and duplications of whole exons are not detected."
PANELS: dict[tuple[str, str], dict[str, str]] = {
    (FHIR_LABORATORY, "lipid"): {"LDLR": "", "APOB": "Exons 26 and 29 only.", "PCSK9": "", "LDLRAP1": ""},
    (FHIR_LABORATORY, "cancer"): {
        "BRCA1": "",
        "BRCA2": "",
        "PALB2": "",
        "ATM": "",
        "CHEK2": "Exons 10 to 14 resemble pseudogenes; sensitivity is reduced.",
        "TP53": "",
    },
    (FHIR_LABORATORY, "screening"): {
        "LDLR": "",
        "APOB": "",
        "PCSK9": "",
        "BRCA1": "",
        "BRCA2": "",
        "MLH1": "",
        "MSH2": "",
        "MSH6": "",
        "PMS2": "Exons 12 to 15 are not read (pseudogene PMS2CL).",
    },
    (CSV_LABORATORY, "lipid"): {"LDLR": _NO_COPY_NUMBER, "APOB": "Exon 26 only."},
    (CSV_LABORATORY, "cancer"): {"BRCA1": _NO_COPY_NUMBER, "BRCA2": _NO_COPY_NUMBER, "PALB2": _NO_COPY_NUMBER},
    (CSV_LABORATORY, "screening"): dict.fromkeys(("LDLR", "APOB", "PCSK9", "BRCA1", "BRCA2"), _NO_COPY_NUMBER),
}

PANEL_OF_INDICATION = {"familial_hypercholesterolaemia": "lipid", "hereditary_breast_cancer": "cancer"}
FHIR_SHARE = 0.6
SCREENING_SHARE = 0.1  # of tests, the wider panel whatever the indication
UNCERTAIN_SHARE = 0.02  # of tested people, a variant of uncertain significance beside whatever else
RECLASSIFIED_SHARE = 0.10  # of positive reports, first reported as of uncertain significance
WITHDRAWN_SHARE = 0.005  # of negative reports, entered in error

# The condition a laboratory names per gene: MONDO id and name (ClinGen), and the words of the ACMG list.
CONDITIONS = {
    "LDLR": ("MONDO:0007750", "hypercholesterolemia, familial, 1", "Familial hypercholesterolemia"),
    "APOB": ("MONDO:0007751", "hypercholesterolemia, autosomal dominant, type B", "Familial hypercholesterolemia"),
    "PCSK9": ("MONDO:0011369", "hypercholesterolemia, autosomal dominant, 3", "Familial hypercholesterolemia"),
    "BRCA1": ("MONDO:0700268", "BRCA1-related cancer predisposition", "Hereditary breast and ovarian cancer"),
    "BRCA2": ("MONDO:0700269", "BRCA2-related cancer predisposition", "Hereditary breast and ovarian cancer"),
}


def write_reports(
    folder: Path, tested: pd.DataFrame, *, carriers: pd.DataFrame, until: date, rng: np.random.Generator
) -> None:
    """Write the reports of everybody tested that were issued up to `until`.

    `tested`: person_id, indication (a key of PANEL_OF_INDICATION), collected and reported (dates); `carriers` as
    `training.simulation.carriers.draw_carriers` gives them. A variant in a gene outside the panel is not seen.
    """
    reports = [r for r in draw_reports(tested, carriers, rng=rng) if r.reported <= until]
    write_bundles(folder / "northfield", [r for r in reports if r.laboratory == FHIR_LABORATORY])
    write_tables(folder / "harbour", [r for r in reports if r.laboratory == CSV_LABORATORY])


def draw_reports(
    tested: pd.DataFrame, carriers: pd.DataFrame, *, rng: np.random.Generator
) -> Iterator[LaboratoryReport]:
    """Every version of every report, in the order of `tested`, the first version of a report first."""
    carried = {person: rows.to_dict("records") for person, rows in carriers.groupby("person_id")}
    uncertain = variant_table().query("classification == 'uncertain significance'").to_dict("records")
    numbers = rng.permutation(len(tested))
    columns = tested[["person_id", "indication", "collected", "reported"]]
    for number, (person, indication, collected, reported) in zip(
        numbers, columns.itertuples(index=False, name=None), strict=True
    ):
        chance = rng.random(6)
        laboratory = FHIR_LABORATORY if chance[0] < FHIR_SHARE else CSV_LABORATORY
        panel = "screening" if chance[3] < SCREENING_SHARE else PANEL_OF_INDICATION[indication]
        covered = PANELS[laboratory, panel]
        rows = [*carried.get(person, [])]
        if chance[1] < UNCERTAIN_SHARE:
            rows.append(uncertain[int(chance[2] * len(uncertain))])
        taken = pd.Timestamp(collected).date()
        first = LaboratoryReport(
            accession=f"{'NG' if laboratory == FHIR_LABORATORY else 'HMD'}-{taken:%y}-{number + 1:06d}",
            laboratory=laboratory,
            person_id=int(person),
            collected=taken,
            reported=pd.Timestamp(reported).date(),
            status="final",
            panel=panel,
            covered=covered,
            variants=tuple(_variant(row) for row in rows if row["gene_symbol"] in covered),
        )
        yield from _versions(first, chance=chance[4], delay_days=60 + int(chance[5] * 600))


def _versions(report: LaboratoryReport, *, chance: float, delay_days: int) -> Iterator[LaboratoryReport]:
    later = report.reported + timedelta(days=delay_days)
    harmful = any(variant.classification != "uncertain significance" for variant in report.variants)
    if harmful and chance < RECLASSIFIED_SHARE:
        unsure = tuple(replace(variant, classification="uncertain significance") for variant in report.variants)
        yield replace(report, variants=unsure)
        yield replace(report, reported=later, status="corrected")
        return
    yield report
    if not report.variants and chance < WITHDRAWN_SHARE:
        yield replace(report, reported=later, status="entered-in-error")


def _variant(row: Mapping[Hashable, str]) -> ReportedVariant:
    return ReportedVariant(
        gene=row["gene_symbol"],
        hgvs_c=row["hgvs_c"],
        hgvs_g=row["hgvs_g"],
        clinvar_id=row["clinvar_id"],
        zygosity=row.get("zygosity", "heterozygous"),
        classification=row["classification"],
    )


def write_bundles(folder: Path, reports: list[LaboratoryReport]) -> None:
    """One Genomics Reporting bundle a file, later versions of a report beside the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for report in reports:
        name = report.accession if report.status == "final" else f"{report.accession}-{report.status}"
        text = json.dumps(bundle(report, CONDITIONS), indent=1) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")


def write_tables(folder: Path, reports: list[LaboratoryReport]) -> None:
    """One CSV per year of reporting, a row per report and gene (`features.findings.laboratory_csv` reads it)."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = pd.DataFrame([row for report in reports for row in _csv_rows(report)])
    for year, table in rows.groupby(rows["reported"].str[:4]) if len(rows) else []:
        table.to_csv(folder / f"results_{year}.csv", index=False, lineterminator="\n")


STATUS_CODES = {"final": "F", "corrected": "C", "entered-in-error": "W"}  # HL7 v2 table 0085
CLASSES = {"pathogenic": "Class 5", "likely pathogenic": "Class 4", "uncertain significance": "Class 3"}


def _csv_rows(report: LaboratoryReport) -> Iterator[dict[str, str]]:
    """In the laboratory's own words: HL7 v2 status, IARC classes, HET."""
    rows: list[tuple[str, str, ReportedVariant | None]] = []
    for gene, limitation in report.covered.items():
        found = [variant for variant in report.variants if variant.gene == gene]
        rows += [(gene, limitation, variant) for variant in found] or [(gene, limitation, None)]
    for gene, limitation, variant in rows:
        yield {
            "accession": report.accession,
            "mrn": str(report.person_id),
            "collected": report.collected.isoformat(),
            "reported": report.reported.isoformat(),
            "status": STATUS_CODES[report.status],
            "laboratory": report.laboratory,
            "panel": report.panel,
            "gene": gene,
            "result": "DETECTED" if variant else "NOT DETECTED",
            "hgvs": (variant.hgvs_c or variant.hgvs_g) if variant else "",
            "zygosity": "HET" if variant else "",
            "class": CLASSES[variant.classification] if variant else "",
            "condition": CONDITIONS[gene][2] if variant else "",
            "limitation": limitation,
        }
