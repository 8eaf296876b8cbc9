"""A laboratory's own CSV: one row per report and gene looked at, in the words that laboratories use.

Separated by commas, tabs or semicolons: spreadsheets write each. Columns (any order, further ones ignored): accession,
mrn, collected, reported, status (HL7 v2 table 0085: F final, C correction, W posted in error, P preliminary),
laboratory, gene, result (DETECTED, NOT DETECTED, INCONCLUSIVE), hgvs, zygosity, class, condition, limitation.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from features.errors import PresageError
from features.findings import vocabulary
from features.findings.genes import GeneUnclearError, mondo, resolve
from features.findings.reports import Covered, Finding, Problem, Report, moment

COLUMNS = (
    "accession", "mrn", "collected", "reported", "status", "laboratory",
    "gene", "result", "hgvs", "zygosity", "class", "condition", "limitation",
)  # fmt: skip
RESULTS = {"DETECTED": "positive", "NOT DETECTED": "negative", "INCONCLUSIVE": "inconclusive"}
Key = tuple[str, ...]  # laboratory, accession, mrn, collected, reported, status


def read(path: Path, *, where: str, encoding: str = "utf-8-sig") -> Iterator[Report | Problem]:
    """Yield the reports of a laboratory's CSV in the order of the file, and a problem for each broken row.

    A CSV with none of this shape's columns is one problem. The other rows of a report with a broken row count. Raises
    PresageError that names the column where only some of this shape's columns are there.
    """
    with path.open(encoding=encoding, errors="replace", newline="") as stream:
        first = stream.readline()
        stream.seek(0)
        table = csv.DictReader(stream, restkey="surplus", delimiter=max(",\t;", key=first.count))
        header = {(name or "").strip().lower() for name in table.fieldnames or ()}
        missing = [name for name in COLUMNS if name not in header]
        if len(missing) > len(COLUMNS) // 2:
            yield Problem("table that is no laboratory's report", where)
            return
        if missing:
            raise PresageError(where, f"the columns {', '.join(COLUMNS)}", found=f"no column '{missing[0]}'")
        yield from _reports(table, where)


def _reports(table: csv.DictReader[str], where: str) -> Iterator[Report | Problem]:
    parts: dict[Key, list[Finding | Covered]] = {}
    for number, raw in enumerate(table, start=2):
        place = f"{where}, row {number}"
        text = ",".join(str(value) for value in raw.values() if value is not None)
        if "surplus" in raw or None in raw.values():
            yield Problem("row with too many or too few fields", place, text)
            continue
        row = {name.strip().lower(): value.strip() for name, value in raw.items()}
        if reason := _unusable(row):
            yield Problem(reason, place, text)
            continue
        key = tuple(row[name] for name in ("laboratory", "accession", "mrn", "collected", "reported", "status"))
        try:
            row_parts = list(_parts(row))
        except (GeneUnclearError, BrokenRowError) as error:
            yield Problem(str(error), place, text)
            continue
        parts.setdefault(key, []).extend(row_parts)
    for key, held in parts.items():
        yield _report(key, held)


class BrokenRowError(ValueError):
    """A row that contradicts itself or the vocabulary; the message is the reason, without values."""


def _unusable(row: dict[str, str]) -> str | None:
    status = vocabulary.status(row["status"])
    if status is None or status == "preliminary":
        return "unknown status" if status is None else "preliminary report"
    if not row["accession"]:
        return "no accession"
    if not row["mrn"]:
        return "no patient"
    return None if moment(row["reported"]) else "no date"


def _parts(row: dict[str, str]) -> Iterator[Finding | Covered]:
    if vocabulary.status(row["status"]) == "entered-in-error":
        return
    gene = resolve(symbol=row["gene"], hgnc=None)
    result = RESULTS.get(row["result"].upper())
    if result is None:
        raise BrokenRowError("unknown result")
    if (result == "positive") != bool(row["hgvs"]) and result != "inconclusive":
        raise BrokenRowError("result and variant contradict each other")
    classification = vocabulary.classification(text=row["class"])
    if row["hgvs"] and row["class"] and classification is None:
        raise BrokenRowError("unknown classification")
    if row["hgvs"]:
        yield Finding(
            gene_hgnc=gene.hgnc,
            gene_symbol=gene.symbol,
            variant=row["hgvs"],
            zygosity=vocabulary.zygosity(text=row["zygosity"]),
            classification=classification,
            condition_mondo=mondo(gene, system="", code=row["condition"], text=row["condition"]),
            condition=row["condition"] or None,
        )
    stated = None if row["hgvs"] else result
    yield Covered(gene.hgnc, gene.symbol, row["limitation"] or None, stated)


def _report(key: Key, parts: list[Finding | Covered]) -> Report:
    laboratory, accession, mrn, collected, reported, status = key
    issued = moment(reported)
    if issued is None:
        raise ValueError("rows without a date were to be set aside")
    return Report(
        report_id=accession,
        laboratory=laboratory or "unnamed laboratory",
        status=vocabulary.status(status) or status,
        patient_ids=(mrn,),
        time=min(moment(collected) or issued, issued),
        available_time=issued,
        findings=tuple(part for part in parts if isinstance(part, Finding)),
        coverage=tuple(part for part in parts if isinstance(part, Covered)),
    )
