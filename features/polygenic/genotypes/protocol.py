"""The protocol of a genotype format: samples, variants, and a reader of blocks of sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from features.polygenic.columns import Rows, Variants
from features.polygenic.genotypes.request import Request

MISSING = -9


@dataclass(frozen=True, slots=True)
class Samples:
    """The people of a genotype file, in its order. `family_ids` is empty where the format has none."""

    ids: tuple[str, ...]
    family_ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites to read: for each the record, and which of its alleles to count (0 is the reference allele)."""

    row: NDArray[np.int64]
    allele: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, part: slice) -> Sites:
        return Sites(self.row[part], self.allele[part])


class SiteReader(Protocol):
    """Reads sites on one thread."""

    def read(self, sites: Sites, out: NDArray[np.int8]) -> None:
        """Fill `out` (site, sample) with allele counts 0, 1, 2; -9 where missing."""

    def read_dosages(self, sites: Sites, out: NDArray[np.float32]) -> None:
        """Fill `out` (site, sample) with expected allele counts, 0 to 2; negative where missing."""

    def close(self) -> None:
        """Close the file."""


@runtime_checkable
class RowSites(Protocol):
    """A reader that can also give hard calls in two bits, as its format holds them."""

    def read_rows(self, sites: Sites, out: Rows) -> bool:
        """Fill `out` (site, word) with hard calls, as `features.polygenic.columns.loops` lays them out.

        False where `read` must be used.
        """


@runtime_checkable
class ListsSites(Protocol):
    """Genotypes of a file that lists only some sites: a site it does not list may be reference all the same."""

    def said(self) -> NDArray[np.int64]:
        """The sites about which the file says something, sorted."""

    def add_reference(self, request: Request, elsewhere: NDArray[np.int64] | None) -> None:
        """Add the sites that may be taken as reference, and end the opening.

        `elsewhere`: sites about which other files of the set say something; nothing is assumed of them here.
        """


@runtime_checkable
class MayListVariants(Protocol):
    """Genotypes of a format that may list only the sites at which somebody differs from the reference."""

    @property
    def only_variants(self) -> bool:
        """Whether the file lists only sites at which somebody differs.

        Sites it does not list are then missing, and not by chance.
        """


def lists_only_variants(genotypes: Genotypes) -> bool:
    """Whether sites are missing because nobody differs there."""
    return isinstance(genotypes, MayListVariants) and genotypes.only_variants


class Genotypes(Protocol):
    """One genotype file, or several of the same samples."""

    @property
    def name(self) -> str:
        """The file as the user named it, for messages."""

    @property
    def samples(self) -> Samples:
        """The people of the file."""

    @property
    def variants(self) -> Variants:
        """The variants of the file, in its order."""

    @property
    def n_records(self) -> int:
        """The number of records in the file, whether a score uses them or not."""

    @property
    def build(self) -> str | None:
        """GRCh37 or GRCh38 where the header says so."""

    @property
    def has_dosages(self) -> bool:
        """Whether some calls are expected counts rather than whole ones."""

    def reader(self) -> SiteReader:
        """A reader for one thread."""

    def close(self) -> None:
        """Close the files and let go of what is kept of them."""
