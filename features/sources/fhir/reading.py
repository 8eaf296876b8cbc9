"""The resources of a FHIR source one by one: a bulk export (NDJSON) or bundles, plain, gzipped or in a zip."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from features.errors import PresageError
from features.progress import Advance
from features.sources.broken_files import DAMAGED, check_utf_8, named

Resource = Mapping[str, Any]

_WAY_OUT = "give a bulk export (folder of .ndjson or .ndjson.gz) or bundles (folder or zip of .json)"
_ENDS = (".ndjson", ".ndjson.gz", ".json", ".json.gz")
_LEADING_TYPE = re.compile(rb'^\s*\{\s*"resourceType"\s*:\s*"(\w+)"')
BROKEN = "broken JSON"
NO_TYPE = "not a FHIR resource"


@dataclass(frozen=True, slots=True)
class Found:
    """One resource, or one piece of a file that is not a resource.

    kind: its resourceType; of a broken piece, the kind that its file is named after. content: None where no resource of
    this type is read, or `wrong` says why the piece is not a resource. urls: the names by which other resources of its
    bundle mean it.
    """

    kind: str
    text: bytes
    content: Resource | None
    wrong: str | None = None
    urls: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """The log of a bulk export: when the export was made, and how many resources of each type it delivered."""

    transaction_time: str | None
    resources: Mapping[str, int]


def size_of(source: Path) -> int:
    """The number of bytes to read, as they lie on disk."""
    return sum(size for _, size in _members(source))


def resources(source: Path, wanted: frozenset[str], *, advance: Advance) -> Iterator[Found]:
    """Yield every resource in the order of the files' names.

    Resources of types that are not `wanted` come without content. Raises PresageError where the source holds no FHIR
    file.
    """
    any_file = False
    for name, size in _members(source):
        if _is_log(name):
            continue
        any_file = True
        called = name or source.name
        with _opened(source, name) as lines:
            read = _of_lines if ".ndjson" in called.lower() else _of_json
            yield from read(called, lines, wanted=wanted)
        advance(size)
    if not any_file:
        raise PresageError(str(source), "at least one FHIR file", found="none", way_out=_WAY_OUT)


def read_log(source: Path) -> Log:
    """Read the export's log.ndjson, if there is one (https://github.com/smart-on-fhir/bulk-data-client, 'Logs')."""
    moment, counts = None, dict[str, int]()
    for name, _ in _members(source):
        if not _is_log(name):
            continue
        with _opened(source, name) as lines:
            for line in _whole_lines(name, lines):
                try:
                    entry = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                detail = entry.get("eventDetail") or {}
                if isinstance(detail, dict):
                    moment = detail.get("transactionTime") or moment
                    kind, n = detail.get("resourceType"), detail.get("resourceCount")
                    if isinstance(kind, str) and isinstance(n, int):
                        counts[kind] = counts.get(kind, 0) + n
    return Log(moment, counts)


def _is_log(name: str) -> bool:
    return Path(name).name.lower().split(".")[0] == "log"


def _members(source: Path) -> list[tuple[str, int]]:
    """Names and sizes of the source's FHIR files, in the order of their names."""
    if source.is_dir():
        members = [(str(path.relative_to(source)), path.stat().st_size) for path in source.rglob("*") if path.is_file()]
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            members = [(member.filename, member.compress_size) for member in archive.infolist() if not member.is_dir()]
    elif source.is_file():
        members = [("", source.stat().st_size)] if source.name.lower().endswith(_ENDS) else []
    else:
        raise PresageError(str(source), "a source in FHIR", found="no such file or folder", way_out=_WAY_OUT)
    single = not source.is_dir() and members[:1] and members[0][0] == ""
    return sorted(
        (name, size)
        for name, size in members
        if single or (name.lower().endswith(_ENDS) and "__MACOSX" not in name and not Path(name).name.startswith("."))
    )


@contextmanager
def _opened(source: Path, name: str) -> Iterator[IO[bytes]]:
    if source.is_dir() or name == "":
        path = source / name if name else source
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as lines:
            yield lines  # type: ignore[misc]
    else:
        with zipfile.ZipFile(source) as archive:
            with named(f"{source}, {name}", "zip"):
                member = archive.open(name)
            with member:
                yield gzip.GzipFile(fileobj=member) if name.lower().endswith(".gz") else member  # type: ignore[misc]


def _of_lines(name: str, lines: IO[bytes], *, wanted: frozenset[str]) -> Iterator[Found]:
    stem = Path(name).name.split(".")[0]
    for line in _whole_lines(name, lines):
        leading = _LEADING_TYPE.match(line)
        if leading and (kind := leading[1].decode()) not in wanted and kind != "Bundle":
            yield Found(kind, line, None)
            continue
        try:
            content = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield Found(stem, line, None, BROKEN)
            continue
        yield from _of_content(stem, line, content=content, wanted=wanted)


def _whole_lines(name: str, lines: IO[bytes]) -> Iterator[bytes]:
    """Lines with something in them; a compressed file that is damaged ends with a line that says so."""
    try:
        for number, line in enumerate(io.BufferedReader(lines, 1 << 20) if isinstance(lines, io.RawIOBase) else lines):
            if number == 0:
                check_utf_8(name, line)
            if line.strip():
                yield line.strip()
    except DAMAGED:
        yield b"(the compressed file breaks off here)"


def _of_json(name: str, lines: IO[bytes], *, wanted: frozenset[str]) -> Iterator[Found]:
    stem = Path(name).name.split(".")[0]
    text = b"\n".join(_whole_lines(name, lines))
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        yield Found(stem, text, None, BROKEN)
        return
    yield from _of_content(stem, text, content=content, wanted=wanted)


def _of_content(stem: str, text: bytes, *, content: Any, wanted: frozenset[str]) -> Iterator[Found]:
    kind = content.get("resourceType") if isinstance(content, dict) else None
    if not isinstance(kind, str):
        yield Found(stem, text, None, NO_TYPE)
    elif kind == "Bundle":
        yield from _of_bundle(content, wanted)
    else:
        yield Found(kind, text, content if kind in wanted else None)


def _of_bundle(bundle: Resource, wanted: frozenset[str]) -> Iterator[Found]:
    entries = [entry for entry in bundle.get("entry") or [] if isinstance(entry, dict)]
    held = [(entry.get("fullUrl"), entry["resource"]) for entry in entries if isinstance(entry.get("resource"), dict)]
    urls = {
        url: f"{resource.get('resourceType')}/{resource['id']}" for url, resource in held if url and resource.get("id")
    }
    for url, resource in held:
        kind = resource.get("resourceType")
        # A resource without an id is called by its url.
        whole = (
            resource
            if resource.get("id") or not url
            else {**resource, "id": url.rsplit("/", 1)[-1].removeprefix("urn:uuid:")}
        )
        text = orjson.dumps(resource)
        if not isinstance(kind, str):
            yield Found("Bundle", text, None, NO_TYPE)
        else:
            yield Found(kind, text, whole if kind in wanted else None, None, urls)
