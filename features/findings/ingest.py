"""`presage ingest findings`: laboratories' reports into genomic/findings.parquet and genomic/coverage.parquet."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import PresageError
from features.findings.files import read, report_files
from features.findings.reports import Problem, Report
from features.findings.vocabulary import STATUS_RANK
from features.progress import Progress, silent
from features.record import COVERAGE, FINDINGS, TIME, identity, move_in, scratch, settle
from features.sources import IngestReport

SOURCE = "findings"

# Which version of each report the record holds; a withdrawn report stays here, so that its older version cannot return.
REPORTS = pa.schema(
    [
        pa.field("laboratory", pa.string(), nullable=False),
        pa.field("report_id", pa.string(), nullable=False),
        pa.field("subject_id", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("available_time", TIME, nullable=False),
    ]
)
REJECTS = pa.schema([("source_row", pa.string()), ("reason", pa.string()), ("kept", pa.bool_())])

Key = tuple[str, str]
Version = tuple[datetime, int]
Held = tuple[int, Report]


def ingest(source: Path, record_dir: Path, *, progress: Progress = silent) -> IngestReport:
    """Read every report below `source` and merge it into the record's genomic tables.

    Of each laboratory's report id the latest version stands: an amended or corrected report replaces the earlier one,
    one entered in error withdraws it. Reports of people the record does not know are set aside and counted.
    Raises PresageError where the record has no people, or the source no reports.
    """
    settle(record_dir)
    subjects = _subjects(record_dir)
    files = report_files(source)
    report = IngestReport(SOURCE)
    report.table("files").rows = len(files)
    with progress("reading reports", total=len(files)) as advance:
        parsed = list(read(source, files, advance=advance))
    reports = [part for part in parsed if isinstance(part, Report)]
    report.table("reports").rows = len(reports)
    problems = [part for part in parsed if isinstance(part, Problem)]
    known, unknown = _known(reports, subjects)
    fresh, superseded = _latest(known, _held_versions(record_dir))
    _count(report, [*problems, *unknown, *superseded])
    with progress("writing findings", total=len(fresh)) as advance:
        _write(record_dir, fresh, problems=[*problems, *unknown, *superseded], report=report)
        advance(len(fresh))
    return report


def _subjects(record_dir: Path) -> dict[str, set[int]]:
    known = identity.read(record_dir)
    if not known.num_rows:
        raise PresageError(
            str(record_dir),
            "a record with people in it",
            found="nobody",
            way_out="first make one: presage ingest omop|fhir|meds SRC",
        )
    subjects: dict[str, set[int]] = {}
    for source_id, subject in zip(known["source_id"].to_pylist(), known["subject_id"].to_pylist(), strict=True):
        subjects.setdefault(source_id, set()).add(subject)
    return subjects


def _known(reports: Iterable[Report], subjects: dict[str, set[int]]) -> tuple[list[Held], list[Problem]]:
    """Reports with their subject; a person unknown, or whose ids stand for two people, is a problem."""
    held: list[Held] = []
    problems: list[Problem] = []
    for report in reports:
        people = set().union(*(subjects.get(source_id, set()) for source_id in report.patient_ids))
        if len(people) == 1:
            held.append((people.pop(), report))
        else:
            reason = "unknown person" if not people else "ids that stand for two people"
            problems.append(Problem(reason, report.laboratory, report.report_id))
    return held, problems


def _latest(known: list[Held], versions: dict[Key, Version]) -> tuple[dict[Key, Held], list[Problem]]:
    """The latest version of each report that is not older than what the record holds; the earlier ones as notes."""
    fresh: dict[Key, Held] = {}
    superseded: list[Problem] = []
    for subject, report in known:
        key = (report.laboratory, report.report_id)
        if key in fresh:
            older, newer = sorted([fresh[key], (subject, report)], key=lambda held: _version(held[1]))
            superseded.append(Problem("report replaced by a later version", older[1].laboratory, key[1], kept=True))
            fresh[key] = newer
        elif key in versions and _version(report) < versions[key]:
            superseded.append(Problem("older than the version in the record", report.laboratory, key[1], kept=True))
        else:
            fresh[key] = (subject, report)
    return fresh, superseded


def _version(report: Report) -> Version:
    return report.available_time, STATUS_RANK[report.status]


def _held_versions(record_dir: Path) -> dict[Key, Version]:
    return {
        (row["laboratory"], row["report_id"]): (row["available_time"], STATUS_RANK[row["status"]])
        for row in _stored(record_dir, "reports", schema=REPORTS).to_pylist()
    }


def _count(report: IngestReport, problems: Iterable[Problem]) -> None:
    for problem in problems:
        counted = report.table("reports")
        (counted.noted if problem.kept else counted.rejected)[problem.reason] += 1


def _write(record_dir: Path, fresh: dict[Key, Held], *, problems: list[Problem], report: IngestReport) -> None:
    """Replace the reports of `fresh` in every table, in all of them or in none."""
    tables = {
        "genomic/findings.parquet": _merged(
            record_dir, "findings", schema=FINDINGS, fresh=fresh, rows=_finding_rows(fresh.values())
        ),
        "genomic/coverage.parquet": _merged(
            record_dir, "coverage", schema=COVERAGE, fresh=fresh, rows=_coverage_rows(fresh.values())
        ),
        "genomic/reports.parquet": _merged(
            record_dir, "reports", schema=REPORTS, fresh=fresh, rows=_report_rows(fresh.values())
        ),
        f"rejects/{SOURCE}/reports.parquet": _reject_table(problems),
    }
    findings, coverage = tables["genomic/findings.parquet"], tables["genomic/coverage.parquet"]
    report.table("findings").rows = report.table("findings").events = findings.num_rows
    report.table("coverage").rows = report.table("coverage").events = coverage.num_rows
    report.events = findings.num_rows + coverage.num_rows
    report.people = len(set(findings["subject_id"].to_pylist()) | set(coverage["subject_id"].to_pylist()))
    known = record_dir / "ingest_report.json"
    reports = json.loads(known.read_text()) if known.exists() else {}
    merged = dict(sorted({**reports, SOURCE: report.as_json()}.items()))
    with scratch(record_dir) as folder:
        ready = folder / "ready"
        for name, table in tables.items():
            (ready / name).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, ready / name, compression="zstd")
        (ready / known.name).write_text(json.dumps(merged, indent=2) + "\n")
        move_in(ready, record_dir)


def _merged(
    record_dir: Path, name: str, *, schema: pa.Schema, fresh: dict[Key, Held], rows: list[dict[str, object]]
) -> pa.Table:
    stored = _stored(record_dir, name, schema=schema)
    keys = zip(stored["laboratory"].to_pylist(), stored["report_id"].to_pylist(), strict=True)
    others = stored.filter(pa.array([key not in fresh for key in keys], pa.bool_()))
    order = [(column, "ascending") for column in schema.names]
    return pa.concat_tables([others, pa.Table.from_pylist(rows, schema=schema)]).sort_by(order)


def _stored(record_dir: Path, name: str, *, schema: pa.Schema) -> pa.Table:
    path = record_dir / "genomic" / f"{name}.parquet"
    return pq.read_table(path, schema=schema) if path.exists() else schema.empty_table()


def _finding_rows(fresh: Iterable[Held]) -> list[dict[str, object]]:
    return [
        {
            "subject_id": subject,
            "gene_hgnc": finding.gene_hgnc,
            "gene_symbol": finding.gene_symbol,
            "variant": finding.variant,
            "zygosity": finding.zygosity,
            "classification": finding.classification,
            "condition_mondo": finding.condition_mondo,
            "condition": finding.condition,
            **_issue(report),
            "status": report.status,
        }
        for subject, report in fresh
        for finding in report.findings
    ]


def _coverage_rows(fresh: Iterable[Held]) -> list[dict[str, object]]:
    return [
        {
            "subject_id": subject,
            "gene_hgnc": covered.gene_hgnc,
            "gene_symbol": covered.gene_symbol,
            "result": covered.result,
            "limitation": covered.limitation,
            **_issue(report),
        }
        for subject, report in fresh
        for covered in report.complete_coverage()
    ]


def _issue(report: Report) -> dict[str, object]:
    return {
        "laboratory": report.laboratory,
        "report_id": report.report_id,
        "time": report.time,
        "available_time": report.available_time,
    }


def _report_rows(fresh: Iterable[Held]) -> list[dict[str, object]]:
    return [
        {
            "laboratory": report.laboratory,
            "report_id": report.report_id,
            "subject_id": subject,
            "status": report.status,
            "available_time": report.available_time,
        }
        for subject, report in fresh
    ]


def _reject_table(problems: Iterable[Problem]) -> pa.Table:
    rows = [
        {"source_row": f"{p.where}: {p.row}" if p.row else p.where, "reason": p.reason, "kept": p.kept}
        for p in problems
    ]
    table = pa.Table.from_pylist(rows, schema=REJECTS)
    return table.take(pc.sort_indices(table, sort_keys=[("reason", "ascending"), ("source_row", "ascending")]))
