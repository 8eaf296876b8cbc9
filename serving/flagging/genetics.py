"""A person's genetic results as a care team needs them: found, tested negative, uncertain and not tested kept apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from features.record import GENOMIC

ACTIONABLE = ("pathogenic", "likely pathogenic")
WITHDRAWN = ("entered-in-error", "cancelled")


@dataclass(frozen=True, slots=True)
class Finding:
    """A variant that a laboratory reported, as its newest report has it."""

    subject_id: int
    gene: str
    variant: str
    zygosity: str
    classification: str
    condition: str
    laboratory: str
    report_id: str
    status: str
    known_at: datetime | None

    @property
    def actionable(self) -> bool:
        """Pathogenic or likely pathogenic, and not withdrawn."""
        return self.classification.lower() in ACTIONABLE and self.status not in WITHDRAWN


@dataclass(frozen=True, slots=True)
class Coverage:
    """A gene that a report looked at, and the report's result for it."""

    gene: str
    result: str
    limitation: str
    laboratory: str
    report_id: str
    known_at: datetime | None


@dataclass(frozen=True, slots=True)
class GeneticRecord:
    """A person's laboratory results, newest first. Without findings and coverage the person was not tested."""

    findings: tuple[Finding, ...] = ()
    coverage: tuple[Coverage, ...] = ()

    def status(self, genes: Sequence[str] = ()) -> tuple[str, str]:
        """The person's genetic status for these genes, or for every gene looked at, as one word and as a sentence.

        The word is finding, uncertain, negative or not tested.
        """
        actionable_findings = [f for f in self.findings if _concerns(f.gene, genes) and f.actionable]
        if actionable_findings:
            return "finding", "; ".join(dict.fromkeys(f"{f.gene} {f.classification}" for f in actionable_findings))
        looked_at = {c.gene: c for c in reversed(self.coverage) if _concerns(c.gene, genes)}
        open_genes = sorted(
            {f.gene for f in self.findings if _concerns(f.gene, genes) and "uncertain" in f.classification.lower()}
            | {gene for gene, c in looked_at.items() if c.result == "inconclusive"}
        )
        if open_genes:
            return "uncertain", f"Uncertain result: {', '.join(open_genes)}"
        if looked_at:
            return "negative", _negative_words(sorted(looked_at), genes)
        elsewhere = sorted({c.gene for c in self.coverage})
        if elsewhere:
            return "not tested", f"Not tested: {', '.join(genes)} (others were: {', '.join(elsewhere)})"
        return "not tested", "No genetic test on record"


def _concerns(gene: str, genes: Sequence[str]) -> bool:
    return not genes or gene in genes


def _negative_words(tested: list[str], genes: Sequence[str]) -> str:
    words = f"Tested negative: {', '.join(tested)}"
    missing = [gene for gene in genes if gene not in tested]
    return f"{words}. Not tested: {', '.join(missing)}" if missing else words


def genetic_records(
    record_dir: Path, *, as_of: datetime, subject_ids: Iterable[int] | None = None
) -> dict[int, GeneticRecord]:
    """The genetic records of these people, or of everybody with a result, from results that were known strictly before
    `as_of`.
    """
    wanted = None if subject_ids is None else list(subject_ids)
    findings: dict[int, list[Finding]] = defaultdict(list)
    coverage: dict[int, list[Coverage]] = defaultdict(list)
    for row in _rows(record_dir, "findings", as_of=as_of, subject_ids=wanted):
        findings[_whole(row["subject_id"])].append(_finding(row))
    for row in _rows(record_dir, "coverage", as_of=as_of, subject_ids=wanted):
        coverage[_whole(row["subject_id"])].append(_coverage(row))
    return {
        subject_id: GeneticRecord(_newest(findings[subject_id]), tuple(coverage[subject_id]))
        for subject_id in sorted({*findings, *coverage})
    }


def _rows(record_dir: Path, name: str, *, as_of: datetime, subject_ids: list[int] | None) -> list[dict[str, object]]:
    path = record_dir / "genomic" / f"{name}.parquet"
    if not path.exists():
        return []
    known = pc.field("available_time").is_null() | (pc.field("available_time") < pa.scalar(as_of, pa.timestamp("us")))
    wanted = known if subject_ids is None else known & pc.field("subject_id").isin(subject_ids)
    table = ds.dataset(path, schema=GENOMIC[name]).to_table(filter=wanted)
    keys = [("available_time", "descending"), ("report_id", "descending"), ("gene_symbol", "ascending")]
    rows: list[dict[str, object]] = table.sort_by(keys).to_pylist()
    return rows


def _newest(findings: list[Finding]) -> tuple[Finding, ...]:
    """One of each variant: the newest report's, which may have withdrawn or reclassified it."""
    kept: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.gene, finding.variant), finding)
    return tuple(kept.values())


def _finding(row: dict[str, object]) -> Finding:
    return Finding(
        subject_id=_whole(row["subject_id"]),
        gene=_words(row["gene_symbol"]),
        variant=_words(row["variant"]),
        zygosity=_words(row["zygosity"]),
        classification=_words(row["classification"]),
        condition=_words(row["condition"]),
        laboratory=_words(row["laboratory"]),
        report_id=_words(row["report_id"]),
        status=_words(row["status"]),
        known_at=_time(row["available_time"]),
    )


def _coverage(row: dict[str, object]) -> Coverage:
    return Coverage(
        gene=_words(row["gene_symbol"]),
        result=_words(row["result"]),
        limitation=_words(row["limitation"]),
        laboratory=_words(row["laboratory"]),
        report_id=_words(row["report_id"]),
        known_at=_time(row["available_time"]),
    )


def _words(value: object) -> str:
    return "" if value is None else str(value)


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a subject_id is a whole number")
    return value


def _time(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None
