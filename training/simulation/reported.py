"""A laboratory's report as simulated: whom it is about, what was looked at, and the variants it names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class ReportedVariant:
    """A variant as a report words it; the classification is the report's, which a later version may change."""

    gene: str
    hgvs_c: str
    hgvs_g: str
    clinvar_id: str
    zygosity: str
    classification: str


@dataclass(frozen=True, slots=True)
class LaboratoryReport:
    """One version of one report. `status`: final, corrected or entered-in-error. `covered`: gene to limitation."""

    accession: str
    laboratory: str
    person_id: int
    collected: date
    reported: date
    status: str
    panel: str
    covered: dict[str, str]
    variants: tuple[ReportedVariant, ...]
