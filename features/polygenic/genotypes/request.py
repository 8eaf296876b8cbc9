"""A run's request to a genotype file before it is opened: the sites it needs, and which may count as reference."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.arrays import Ints
from features.errors import PresageError
from features.polygenic.columns import Codes, chromosome_code

_POSITION = (1 << 32) - 1
MIN_TURNED, MAX_TURNED = 3, 0.01  # sites, and share of the sites, at which REF and ALT may change places by mistake


@dataclass(frozen=True, slots=True)
class AllelePairs:
    """Sites with two of their alleles each, sorted by site; -1 where a score names no other allele.

    Of known sites the first allele is REF; of wanted sites it is not known which allele is.
    """

    keys: Ints
    first: Codes
    second: Codes

    @staticmethod
    def of(parts: Iterable[tuple[Ints, Codes, Codes]]) -> AllelePairs:
        """Several lists of sites as one, each pair once; rows without a position are left out."""
        empty = (np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))
        keys, first, second = (np.concatenate(columns) for columns in zip(empty, *parts, strict=True))
        order = np.lexsort((second, first, keys)) if (np.diff(keys) <= 0).any() else np.arange(len(keys))
        order = order[keys[order] >= 0]
        keys, first, second = keys[order], first[order], second[order]
        new = np.ones(len(keys), np.bool_)
        new[1:] = (np.diff(keys) != 0) | (np.diff(first) != 0) | (np.diff(second) != 0)
        return AllelePairs(keys[new], first[new], second[new])

    def between(self, low: int, high: int) -> slice:
        """The pairs whose keys lie from `low` to `high`, both included."""
        start, stop = np.searchsorted(self.keys, [low, high + 1])
        return slice(int(start), int(stop))


@dataclass(frozen=True, slots=True)
class Request:
    """The sites that a run asks of a genotype file, and the sites that may count as reference where the file does not
    list them.

    `wanted`: gives the sites of the scores, on the build of a header if it tells one. `known`: gives the sites whose
    reference allele is known from frequencies or an ancestry reference, as REF and ALT. Both are called only by formats
    that need them. `callable_bed`: regions in which a site that is not listed is reference; `assume_reference`: it is
    reference everywhere.
    """

    wanted: Callable[[str | None], AllelePairs]
    known: Callable[[], AllelePairs]
    callable_bed: Path | None = None
    assume_reference: bool = False


def check_references(name: str, keys: Ints, *, ref: Codes, alt: Codes, known: AllelePairs) -> None:
    """Check that the REF of frequencies or of an ancestry reference is the genome's, by the sites that a VCF lists.

    A file that was once a BED may call the commoner allele REF; somebody who is reference would then have two copies of
    the other one. Raises PresageError where alleles change places at more sites than strands and errors explain.
    """
    order = np.argsort(keys, kind="stable")
    low, high = (np.searchsorted(keys[order], known.keys, side=side) for side in ("left", "right"))
    once = np.flatnonzero(high - low == 1)
    own, first, second = order[low[once]], known.first[once], known.second[once]
    same = int(((ref[own] == first) & (alt[own] == second)).sum())
    turned = int(((ref[own] == second) & (alt[own] == first)).sum())
    if turned >= MIN_TURNED and turned > MAX_TURNED * (same + turned):
        raise PresageError(
            name,
            "the genome's REF in the frequencies and the reference: they tell what a site that is not listed is",
            found=f"its ALT as their REF at {turned} of {same + turned} sites",
            way_out="make them again from files with the genome's REF (plink2 --ref-from-fa)",
        )


def covered(keys: Ints, bed: Path) -> NDArray[np.bool_]:
    """Whether each site (site,) lies in the regions of a BED file (0-based, half open).

    Raises PresageError for a line that is no region.
    """
    starts, stops = _regions(bed)
    order = np.argsort(starts, kind="stable")
    reach = np.maximum.accumulate(stops[order]) if len(order) else stops
    place = np.searchsorted(starts[order], keys, side="right") - 1
    inside: NDArray[np.bool_] = (
        (place >= 0) & (keys <= reach[np.maximum(place, 0)]) if len(order) else np.zeros(len(keys), np.bool_)
    )
    return inside


def _lines(bed: Path) -> list[str]:
    """Of a BED, gzipped or not."""
    try:
        content = bed.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        return content.decode("utf-8-sig").splitlines()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise PresageError(str(bed), "a whole gzip file", found="a damaged one", way_out="copy it again") from error
    except UnicodeDecodeError as error:
        raise PresageError(
            str(bed), "text in UTF-8", found="another encoding", way_out="give the BED of callable regions"
        ) from error


def _regions(bed: Path) -> tuple[Ints, Ints]:
    """First and last site of each region, as keys."""
    if not bed.exists():
        raise PresageError(str(bed), "the BED of callable regions", found="no such file")
    starts, stops = [], []
    for number, line in enumerate(_lines(bed), start=1):
        cells = line.split()
        if not cells or cells[0].startswith(("#", "track", "browser")):
            continue
        if len(cells) < 3 or not (cells[1].isdigit() and cells[2].isdigit()) or int(cells[1]) >= int(cells[2]):
            raise PresageError(f"{bed}, line {number}", "chromosome, start and a later end", way_out="mend the line")
        chromosome = chromosome_code(cells[0]) << 32
        starts.append(chromosome | (int(cells[1]) + 1))
        stops.append(chromosome | min(int(cells[2]), _POSITION))
    return np.array(starts, np.int64), np.array(stops, np.int64)
