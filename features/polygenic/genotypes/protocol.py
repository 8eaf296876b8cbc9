"""What every genotype format offers: samples, variants, and a reader of blocks of sites."""

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
    """Who is in the file, in file order. `family_ids` is empty where the format has none."""

    ids: tuple[str, ...]
    family_ids: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Sites:
    """What to read: for each site the record and which allele to count (0 is the reference allele)."""

    row: NDArray[np.int64]
    allele: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, part: slice) -> Sites:
        return Sites(self.row[part], self.allele[part])


class SiteReader(Protocol):
    """Reads sites; not shared between threads."""

    def read(self, sites: Sites, out: NDArray[np.int8]) -> None:
        """Fill `out` (site, sample) with allele counts 0, 1, 2; -9 where missing."""

    def read_dosages(self, sites: Sites, out: NDArray[np.float32]) -> None:
        """Fill `out` (site, sample) with expected allele counts, 0 to 2; negative where missing."""

    def close(self) -> None:
        """Let go of the file."""


@runtime_checkable
class RowSites(Protocol):
    """What a reader may offer besides, where its format holds calls in two bits."""

    def read_rows(self, sites: Sites, out: Rows) -> bool:
        """Fill `out` (site, word) with hard calls as `loops` has them. False where `read` must be asked."""


@runtime_checkable
class ListsSites(Protocol):
    """Genotypes whose file lists only some sites: what it does not list may be reference all the same."""

    def said(self) -> NDArray[np.int64]:
        """Sites of which the file says something, sorted."""

    def add_reference(self, request: Request, elsewhere: NDArray[np.int64] | None) -> None:
        """Add what may be taken as reference, but assume nothing of the sites `elsewhere`; ends the opening."""


@runtime_checkable
class MayListVariants(Protocol):
    """Genotypes of a format that may list only the sites at which somebody differs from the reference."""

    @property
    def only_variants(self) -> bool:
        """They do: what they do not list is missing, and not by chance."""


def lists_only_variants(genotypes: Genotypes) -> bool:
    """Whether sites are missing because nobody differs there."""
    return isinstance(genotypes, MayListVariants) and genotypes.only_variants


class Genotypes(Protocol):
    """One genotype file, or several of the same samples."""

    @property
    def name(self) -> str:
        """For messages: the file as the user named it."""

    @property
    def samples(self) -> Samples:
        """Who is in it."""

    @property
    def variants(self) -> Variants:
        """What is in it, in file order."""

    @property
    def n_records(self) -> int:
        """Records in the file, scored or not."""

    @property
    def build(self) -> str | None:
        """GRCh37 or GRCh38 where the header says so."""

    @property
    def has_dosages(self) -> bool:
        """Some calls are expected counts rather than counts."""

    def reader(self) -> SiteReader:
        """A reader of its own for one thread."""

    def close(self) -> None:
        """Let go of whatever is held."""
