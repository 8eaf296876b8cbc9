"""The files of a FHIR source: which hold resources, by their names or first bytes, and which lie there unread."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from features.errors import PresageError
from features.sources.broken_files import DAMAGED, named
from features.sources.packed import PACKED, unpacked
from features.sources.report import in_few_names

_LINES, _WHOLE = (".ndjson", ".jsonl"), (".json",)
_START = 4096
_TYPED = re.compile(rb'^\s*\{[^{}\[\]]*"resourceType"\s*:')
_BOM = b"\xef\xbb\xbf"
WAY_OUT = "give a bulk export (folder of .ndjson or .ndjson.gz) or bundles (folder or zip of .json)"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the source. name: within its folder or zip, empty where the source is the file itself. lines: whether
    it holds one resource a line. packed: how it is compressed. read: whether it is.
    """

    name: str
    size: int
    lines: bool
    packed: str | None
    read: bool


def files_of(source: Path) -> list[File]:
    """Every file of the source, in the order of their names."""
    found = sorted(_lying(source))
    return [_file(source, name, size) for name, size in found]


def unread_of(files: list[File]) -> tuple[str, ...]:
    """The names of files that are not read, those of one folder and ending together where they are many."""
    return in_few_names(file.name for file in files if not file.read)


@contextmanager
def opened(source: Path, file: File) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file. Raises PresageError where it is not packed as its name says."""
    where = f"{source}, {file.name}" if file.name else source.name
    with _raw(source, file.name) as raw:
        if file.packed is None:
            yield raw
            return
        with unpacked(raw, file.packed, where=where) as lines:
            yield lines


def _lying(source: Path) -> list[tuple[str, int]]:
    if source.is_dir():
        paths = [path for path in source.rglob("*") if path.is_file()]
        return [(str(path.relative_to(source)), path.stat().st_size) for path in paths]
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            return [(member.filename, member.compress_size) for member in archive.infolist() if not member.is_dir()]
    if source.is_file():
        return [("", source.stat().st_size)]
    raise PresageError(str(source), "a source in FHIR", found="no such file or folder", way_out=WAY_OUT)


def _file(source: Path, name: str, size: int) -> File:
    called = (name or source.name).lower()
    ending = Path(called).suffix
    packed = PACKED.get(ending)
    inner = Path(called).with_suffix("").suffix if packed else ending
    if "__macosx" in called or Path(called).name.startswith("."):
        return File(name, size, lines=False, packed=packed, read=False)
    if inner in (*_LINES, *_WHOLE):
        return File(name, size, lines=inner in _LINES, packed=packed, read=True)
    start = _start(source, File(name, size, lines=False, packed=packed, read=False))
    return File(name, size, lines=_is_lines(start), packed=packed, read=bool(_TYPED.match(start)))


def _start(source: Path, file: File) -> bytes:
    """The first bytes of a file, unpacked; none where they cannot be read."""
    try:
        with opened(source, file) as lines:
            return lines.read(_START).removeprefix(_BOM)
    except (*DAMAGED, PresageError, OSError):
        return b""


def _is_lines(start: bytes) -> bool:
    """Whether a file that starts so holds one resource a line: its first line is as long, or is closed."""
    first = start.strip().split(b"\n", 1)[0].rstrip()
    return len(first) > 1 and (first.endswith(b"}") or len(first) > _START // 2)


@contextmanager
def _raw(source: Path, name: str) -> Iterator[IO[bytes]]:
    if source.is_dir() or name == "":
        with (source / name if name else source).open("rb") as raw:
            yield raw
    else:
        with zipfile.ZipFile(source) as archive:
            with named(f"{source}, {name}", "zip"):
                member = archive.open(name)
            with member:
                yield member
