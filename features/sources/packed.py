"""Compressed files read as a stream, and checked to their end."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import zstandard

from features.sources.broken_files import named

PACKED = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_CHUNK = 1 << 20
_MAGIC = {
    "gzip": (b"\x1f\x8b",),
    "zstd": (b"\x28\xb5\x2f\xfd", *(bytes([n, 0x2A, 0x4D, 0x18]) for n in range(0x50, 0x60))),
}


@contextmanager
def unpacked(raw: IO[bytes], packed: str, *, where: str) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file that can be peeked into. Raises PresageError where it is not packed so."""
    with named(where, packed):
        start = raw.peek(4)  # type: ignore[attr-defined]
        if start and not start.startswith(_MAGIC[packed]):
            raise EOFError
    if packed == "gzip":
        yield gzip.GzipFile(fileobj=raw)  # type: ignore[misc]
        return
    yield io.BufferedReader(_Zstd(raw), _CHUNK)


@contextmanager
def opened(path: Path, packed: str | None) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file. Raises PresageError where it is damaged or not packed so."""
    with path.open("rb") as raw:
        if packed is None:
            yield raw
            return
        with unpacked(raw, packed, where=path.name) as lines, named(path.name, packed):
            yield lines


def check_packed(path: Path, packed: str) -> None:
    """Read a compressed file to its end and raise PresageError where it is damaged: DuckDB takes the part before the
    damage for the whole.
    """
    with opened(path, packed) as lines:
        while lines.read(_CHUNK):
            pass


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
