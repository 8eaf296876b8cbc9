"""A laboratory's report, whatever shape it came in: what was found, what was looked at, and what was not understood."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from features.findings.vocabulary import result_of


@dataclass(frozen=True, slots=True)
class Finding:
    """One germline variant and one condition it was classified for."""

    gene_hgnc: str
    gene_symbol: str
    variant: str
    zygosity: str | None = None
    classification: str | None = None
    condition_mondo: str | None = None
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Covered:
    """One gene that was looked at. `result` None: what the report's findings in the gene make of it."""

    gene_hgnc: str
    gene_symbol: str
    limitation: str | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """`patient_ids`: what the report calls the person. `time`: of the sample, else of the report."""

    report_id: str
    laboratory: str
    status: str
    patient_ids: tuple[str, ...]
    time: datetime
    available_time: datetime
    findings: tuple[Finding, ...] = ()
    coverage: tuple[Covered, ...] = ()

    def complete_coverage(self) -> tuple[Covered, ...]:
        """One row per gene with its result; a gene with a finding was looked at, listed or not."""
        found: dict[str, set[str | None]] = {}
        symbols: dict[str, str] = {}
        for finding in self.findings:
            found.setdefault(finding.gene_hgnc, set()).add(finding.classification)
            symbols[finding.gene_hgnc] = finding.gene_symbol
        listed = {covered.gene_hgnc: covered for covered in self.coverage}
        unlisted = [Covered(gene, symbols[gene]) for gene in found if gene not in listed]
        return tuple(
            Covered(
                covered.gene_hgnc,
                covered.gene_symbol,
                covered.limitation,
                covered.result or result_of(found.get(covered.gene_hgnc, set())),
            )
            for covered in [*listed.values(), *unlisted]
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a source that is not in the record (`kept` False), or is, with a remark. `row` is its text."""

    reason: str
    where: str
    row: str = ""
    kept: bool = False


def moment(text: str | None) -> datetime | None:
    """The latest moment a FHIR or ISO date can mean, in UTC without zone; None where it is no date.

    `2016` is the end of 2016, `2016-09` the end of that month, `2016-09-06` the end of that day (contract 1).
    """
    text = (text or "").strip()
    try:
        if len(text) == 4:
            return _end_of_day(datetime(int(text), 12, 31))  # noqa: DTZ001  # the record's times carry no zone
        if len(text) == 7:
            return _end_of_month(int(text[:4]), int(text[5:]))
        parsed = datetime.fromisoformat(text)
        if len(text) in (8, 10):  # 20160906, as HL7 v2 writes it, or 2016-09-06
            return _end_of_day(parsed)
        return parsed.astimezone(UTC).replace(tzinfo=None) if parsed.tzinfo else parsed
    except (ValueError, OverflowError):  # an offset can lead out of the years 1 to 9999
        return None


def _end_of_month(year: int, month: int) -> datetime:
    following = datetime(year + month // 12, month % 12 + 1, 1)  # noqa: DTZ001
    return following - timedelta(microseconds=1)


def _end_of_day(day: datetime) -> datetime:
    return datetime.combine(day.date(), time(23, 59, 59, 999999))
