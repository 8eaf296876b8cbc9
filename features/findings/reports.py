"""A laboratory's report, whatever its shape: its findings, the genes it looked at, and what could not be understood."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time

from features.findings.vocabulary import result_of
from features.sources import FIRST_YEAR, LAST_YEAR

_WALL = re.compile(r"[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)")


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
    """A gene that a report looked at. `result` None: it follows from the report's findings in the gene."""

    gene_hgnc: str
    gene_symbol: str
    limitation: str | None = None
    result: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A laboratory's report.

    `patient_ids`: the ids that the report gives the person. `time`: of the sample, else of the report.
    """

    report_id: str
    laboratory: str
    status: str
    patient_ids: tuple[str, ...]
    time: datetime
    available_time: datetime
    findings: tuple[Finding, ...] = ()
    coverage: tuple[Covered, ...] = ()

    def complete_coverage(self) -> tuple[Covered, ...]:
        """One row of coverage for each gene, with its result.

        A gene with a finding was looked at, whether the report lists it or not.
        """
        classifications: dict[str, set[str | None]] = {}
        symbols: dict[str, str] = {}
        for finding in self.findings:
            classifications.setdefault(finding.gene_hgnc, set()).add(finding.classification)
            symbols[finding.gene_hgnc] = finding.gene_symbol
        listed = {covered.gene_hgnc: covered for covered in self.coverage}
        unlisted = [Covered(gene, symbols[gene]) for gene in classifications if gene not in listed]
        return tuple(
            Covered(
                covered.gene_hgnc,
                covered.gene_symbol,
                covered.limitation,
                covered.result or result_of(classifications.get(covered.gene_hgnc, set())),
            )
            for covered in [*listed.values(), *unlisted]
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """A part of a source that is not in the record (`kept` False), or that is and needs a remark. `row` is its text."""

    reason: str
    where: str
    row: str = ""
    kept: bool = False


def moment(text: str | None) -> datetime | None:
    """The latest moment that a FHIR or ISO date can mean, in local time, as `features.sources` reads it.

    None where it is no date. `2016` is the end of 2016, `2016-09` the end of that month, `2016-09-06` the end of that
    day, and so is midnight sharp (contract 1). An offset is dropped, not reckoned with: 22:30-05:00 is 22:30 of the
    person's own day.

    >>> moment("2016-09")
    datetime.datetime(2016, 9, 30, 23, 59, 59, 999999)
    """
    text = (text or "").strip()
    try:
        day = _last_day(text)
    except ValueError:
        return None
    if not FIRST_YEAR <= day.year <= LAST_YEAR:
        return None
    return datetime.combine(day, _clock(text[10:]) or time.max)


def first_moment(text: str) -> datetime | None:
    """The earliest moment that a FHIR or ISO date can mean."""
    text, latest = text.strip(), moment(text)
    if latest is None:
        return None
    first = latest.replace(month=1, day=1) if len(text) == 4 else latest.replace(day=1) if len(text) == 7 else latest
    return datetime.combine(first, time.min) if first.time() == time.max else first


def _last_day(text: str) -> date:
    """The last day of a year or month, the day of anything finer; `20160906` is how HL7 v2 writes it."""
    if len(text) == 4:
        return date(int(text), 12, 31)
    if len(text) == 7:
        first = date.fromisoformat(f"{text}-01")
        return first.replace(day=monthrange(first.year, first.month)[1])
    return date.fromisoformat(text if len(text) == 8 else text[:10])


def _clock(text: str) -> time | None:
    """The clock time as it stands on the wall; None for midnight sharp, and where there is none to read."""
    written = _WALL.match(text)
    try:
        clock = time.fromisoformat(written[1]) if written else time.min
    except ValueError:
        return None
    return None if clock == time.min else clock
