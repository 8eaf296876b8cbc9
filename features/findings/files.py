"""Report files of a folder, each read by the module of its shape; files without a known shape are counted."""

from __future__ import annotations

import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path

from features.errors import PresageError
from features.findings import emerge, genomics_reporting, laboratory_csv
from features.findings.fhir_resources import Resource
from features.findings.reports import Problem, Report
from features.progress import Advance

SUFFIXES = (".json", ".ndjson", ".csv")


def report_files(source: Path) -> list[Path]:
    """The report files of a source: the file itself, or all files below a folder in the order of their names.

    Raises PresageError where the source is not there, or holds no file that could be a report.
    """
    if not source.exists():
        raise PresageError(str(source), "a report or a folder of reports", found="no such file or folder")
    files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    if not any(path.suffix.lower() in SUFFIXES for path in files):
        raise PresageError(
            str(source), f"at least one report, a file {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}", found="none"
        )
    return files


def read(source: Path, files: list[Path], *, advance: Advance) -> Iterator[Report | Problem]:
    """Yield the reports of all files, and a problem for each part that is set aside.

    Loose FHIR resources come last: those of several files may belong together.
    """
    root = source if source.is_dir() else source.parent
    loose: list[tuple[str, Resource]] = []
    for path in files:
        where = path.relative_to(root).as_posix()
        if path.suffix.lower() == ".csv":
            yield from laboratory_csv.read(path, where=where, encoding=encoding_of(path))
        elif path.suffix.lower() in SUFFIXES:
            for document in _documents(path, where):
                if isinstance(document, Problem):
                    yield document
                elif emerge.is_emerge(document):
                    yield from emerge.read(where, document)
                elif document["resourceType"] == "Bundle":
                    yield from genomics_reporting.read([(where, document)])
                else:
                    loose.append((where, document))
        else:
            yield Problem("file of another kind", where)
        advance(1)
    yield from genomics_reporting.read(loose)


def encoding_of(path: Path) -> str:
    """The encoding of a report file: UTF-16 where it begins with a byte order mark of UTF-16, as Windows writes it,
    else UTF-8.
    """
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig"


def _documents(path: Path, where: str) -> Iterator[Resource | Problem]:
    text = path.read_text(encoding=encoding_of(path), errors="replace")
    parts = text.splitlines() if path.suffix.lower() == ".ndjson" else [text]
    for part in parts:
        if not part.strip():
            continue
        try:
            document = json.loads(part)
        except (ValueError, RecursionError):
            yield Problem("not JSON", where)
            continue
        is_fhir = isinstance(document, dict) and isinstance(document.get("resourceType"), str)
        if is_fhir or (isinstance(document, dict) and emerge.is_emerge(document)):
            yield document
        else:
            yield Problem("JSON of unknown shape", where)
