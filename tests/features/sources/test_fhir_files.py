"""The files of a FHIR source: every one is read, or named as not read."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from rich.console import Console

from features.errors import PresageError
from features.progress import silent
from features.sources.fhir import ingest
from features.sources.fhir.files import File, files_of, opened, unread_of

Json = dict[str, Any]
EventsOf = Callable[..., list[Json]]
ZIP_TIME = (2020, 1, 1, 0, 0, 0)


def result(number: int) -> bytes:
    return json.dumps({
        "resourceType": "Observation", "id": f"o{number}", "status": "final", "subject": {"reference": "Patient/1"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}, "effectiveDateTime": "2020-03-01",
        "valueQuantity": {"value": number, "code": "%"},
    }).encode()  # fmt: skip


def pretty(number: int) -> bytes:
    return json.dumps(json.loads(result(number)), indent=2).encode()


PATIENT = b'\xef\xbb\xbf{"resourceType": "Patient", "id": "1", "birthDate": "1960-01-01"}\n'
zstd = zstandard.ZstdCompressor().compress
FILES = {
    "Patient.ndjson": PATIENT,
    "Observation.jsonl": result(0) + b"\n" + result(1),
    "Observation.ndjson.zst": zstd(result(2)) + zstd(b"\n" + result(3)),  # two frames, as pzstd writes them
    "Observation.json.zst": zstd(pretty(4)),
    "Observation.ndjson.gzip": gzip.compress(result(5)),
    "deep/Observation": result(6) + b"\n" + result(7),
    "deep/pretty": b"\xef\xbb\xbf" + pretty(8),
    "lines.json": result(9) + b"\n" + result(10),
    "list.json": b"[" + result(11) + b"," + result(12) + b"]",
    "Observation.000": result(13),
    "packed": b"not FHIR",
    "Procedure.xml": b"<Procedure/>",
    "scan.png": b"\x89PNG",
    ".hidden.ndjson": result(99),
    "notes.txt": b"hello {",
}
UNREAD = {"packed", "Procedure.xml", "scan.png", ".hidden.ndjson", "notes.txt"}


def _written(folder: Path, *, zipped: bool) -> Path:
    if zipped:
        with zipfile.ZipFile(folder / "source.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(zipfile.ZipInfo(name, ZIP_TIME), content)
        return folder / "source.zip"
    for name, content in FILES.items():
        path = folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder / "source"


@pytest.mark.parametrize("zipped", [False, True])
def test_every_file_is_read_or_named_as_not_read(zipped: bool, tmp_path: Path, events_of: EventsOf) -> None:
    report = ingest(_written(tmp_path, zipped=zipped), tmp_path / "record", progress=silent)
    rows = events_of(tmp_path / "record", "LOINC//4548-4")
    assert sorted(row["numeric_value"] for row in rows) == [float(n) for n in range(14)]
    assert not report.rejected
    assert set(report.unread) == UNREAD
    written = json.loads((tmp_path / "record" / "ingest_report.json").read_text())
    assert set(written["fhir"]["unread"]) == UNREAD
    screen = io.StringIO()
    Console(width=200, file=screen).print(report)
    assert "Not read: .hidden.ndjson, " in screen.getvalue()


def test_many_files_of_one_kind_are_named_together() -> None:
    files = [File(f"images/{n}.png", 1, lines=False, packed=None, read=False) for n in range(1200)]
    assert unread_of([*files, File("a.xml", 1, lines=False, packed=None, read=False)]) == (
        "a.xml",
        "images/*.png (1,200 files)",
    )


@pytest.mark.parametrize("name", ["Observation.ndjson.zst", "Observation.ndjson.gz"])
def test_a_file_that_is_not_packed_as_its_name_says_is_one_error_that_names_it(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(result(1))
    (tmp_path / "Patient.ndjson").write_bytes(PATIENT)
    kind = "zstd" if name.endswith("zst") else "gzip"
    with pytest.raises(PresageError, match=rf"Observation\.ndjson\.\w+: expected a whole {kind} file"):
        ingest(tmp_path, tmp_path / "record")


def test_a_zstd_file_that_breaks_off_is_read_up_to_there_and_named(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Patient.ndjson").write_bytes(PATIENT)
    whole = zstd(result(1) + b"\n")
    (tmp_path / "source" / "Observation.ndjson.zst").write_bytes(whole + whole[: len(whole) // 2])
    report = ingest(tmp_path / "source", tmp_path / "record")
    assert report.tables["Observation"].events == 1
    assert report.tables["Observation"].rejected == {"broken JSON": 1}
    assert report.unread == ("Observation.ndjson.zst (damaged: from there on)",)


def test_bytes_come_out_of_zstd_as_they_went_in(tmp_path: Path) -> None:
    text = bytes(range(256)) * 9000
    (tmp_path / "a.ndjson.zst").write_bytes(zstd(text[:1_000_000]) + zstd(b"") + zstd(text[1_000_000:]))
    (file,) = files_of(tmp_path)
    with opened(tmp_path, file) as lines:
        assert lines.read() == text
