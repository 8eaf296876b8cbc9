"""The files of a FHIR source: which hold resources, by their names or first bytes, and which lie there unread."""

from __future__ import annotations

import gzip
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import zstandard

from features.errors import PresageError
from features.sources.broken_files import DAMAGED, named

_LINES, _WHOLE = (".ndjson", ".jsonl"), (".json",)
_PACKED = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_START = 4096
_TYPED = re.compile(rb'^\s*\{[^{}\[\]]*"resourceType"\s*:')
_BOM = b"\xef\xbb\xbf"
_NAMED_AT_MOST = 20  # files of one folder and ending that are named one by one
WAY_OUT = "give a bulk export (folder of .ndjson or .ndjson.gz) or bundles (folder or zip of .json)"
_MAGIC = {
    "gzip": (b"\x1f\x8b",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([n, 0x2A, 0x4D, 0x18]) for n in range(0x50, 0x60))),
}


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
    groups = defaultdict[str, list[str]](list)
    for file in files:
        if not file.read:
            path = Path(file.name)
            groups[str(path.parent / f"*{path.suffix}")].append(file.name)
    told: list[str] = []
    for pattern, names in sorted(groups.items()):
        told += names if len(names) <= _NAMED_AT_MOST else [f"{pattern} ({len(names):,} files)"]
    return tuple(sorted(told))


@contextmanager
def opened(source: Path, file: File) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file. Raises PresageError where it is not packed as its name says."""
    where = f"{source}, {file.name}" if file.name else source.name
    with _raw(source, file.name) as raw:
        if file.packed is None:
            yield raw
            return
        with named(where, file.packed):
            start = raw.peek(4)  # type: ignore[attr-defined]
            if start and not start.startswith(_MAGIC[file.packed]):
                raise EOFError
        if file.packed == "gzip":
            yield gzip.GzipFile(fileobj=raw)  # type: ignore[misc]
            return
        yield io.BufferedReader(_Zstd(raw), 1 << 20)


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
    packed = _PACKED.get(ending)
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


class _Zstd(io.RawIOBase):
    """The bytes of all frames of a zstd file. Raises EOFError where one is damaged or breaks off."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._ready, self._left = raw, b"", b""
        self._frame: zstandard.ZstdDecompressionObj | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            packed = self._left or self._raw.read(1 << 16)
            self._left = b""
            if not packed:
                if self._frame is not None:
                    raise EOFError
                return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                self._ready = self._frame.decompress(packed)
            except zstandard.ZstdError:
                raise EOFError from None
            if self._frame.eof:
                self._left, self._frame = self._frame.unused_data, None
        n = min(len(buffer), len(self._ready))
        buffer[:n], self._ready = self._ready[:n], self._ready[n:]
        return n
