"""Checks that a VCF or BCF is whole, and the people in it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from features.errors import PresageError
from features.polygenic.genotypes.protocol import Samples

_BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def check_sample_names(path: Path) -> None:
    """Raise PresageError where a header names a sample twice: htslib refuses such a file without a reason."""
    opener = gzip.open if path.name.endswith("gz") else open
    with opener(path, "rt", encoding="utf-8", errors="replace") as stream:
        columns = next((line for line in stream if line.startswith("#CHROM")), "").split()
    vcf_samples(path, columns[9:] or ["unknown"])


def vcf_samples(path: Path, ids: list[str]) -> Samples:
    """The people of a VCF. Raises PresageError where there is nobody, or somebody twice."""
    if not ids:
        raise PresageError(str(path), "at least one sample", found="sites only", way_out="give a VCF with genotypes")
    if len(set(ids)) < len(ids):
        raise PresageError(
            f"{path}, header",
            "every sample once",
            found="one that is there twice",
            way_out="give every sample its own id",
        )
    return Samples(tuple(ids))


def check_end(path: Path) -> None:
    """Raise PresageError for a file that is cut short: htslib would read it as far as it goes."""
    with path.open("rb") as stream:
        start = stream.read(18)
        size = stream.seek(0, 2)
        stream.seek(max(size - len(_BGZF_END), 0))
        end = stream.read()
    if not start:
        raise PresageError(str(path), "a VCF or BCF file", found="an empty file", way_out="export the genotypes again")
    cut = PresageError(str(path), "a whole file", found="one whose end is missing", way_out="copy or export it again")
    if start[:2] == b"\x1f\x8b" and start[12:14] == b"BC":
        if end != _BGZF_END:
            raise cut
    elif start[:2] == b"\x1f\x8b":
        try:
            for _ in _pieces(path):
                pass
        except (OSError, EOFError, zlib.error) as error:
            raise cut from error
    elif start[:2] == b"##" and end[-1:] != b"\n":
        raise cut


def _pieces(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as stream:
        while piece := stream.read(1 << 20):
            yield piece
