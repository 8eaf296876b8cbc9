"""The amount that each score adds at each site, kept in memory while it is small, in an unnamed file beyond."""

from __future__ import annotations

import os
import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from features.polygenic.columns import SiteWeights, Variants
from features.polygenic.genotypes import Sites
from features.polygenic.matching import Matches
from features.polygenic.scores import Score, ScoreTable


@dataclass(frozen=True, slots=True)
class Contribution:
    """One score on the genotypes' alleles: f(g) = constant + additive g + heterozygote [g = 1] at each of `codes`.

    `codes`: 2 x variant, plus 1 where the reference allele of a multiallelic record is counted; increasing.
    """

    codes: NDArray[np.int64]
    additive: NDArray[np.float64]
    heterozygote: NDArray[np.float64] | None
    constant: float


@dataclass(frozen=True, slots=True)
class TableContribution:
    """One score of a table whose used rows rise and have a site each: its weights stay in the table."""

    table: ScoreTable
    number: int
    used: UsedRows
    has_zeros: bool

    @property
    def codes(self) -> NDArray[np.int64]:
        """The sites' codes (site,), as those of a `Contribution`."""
        return self.used.codes


@dataclass(frozen=True, slots=True)
class UsedRows:
    """The used rows of a score in the order of their sites; scores over the same rows share them.

    `turned`: whether the effect allele is the one that is not counted. `first`: where each site starts, if rows share
    one.
    """

    rows: NDArray[np.intp]
    codes: NDArray[np.int64]
    turned: NDArray[np.bool_]
    first: NDArray[np.intp] | None
    whole: bool  # all rows, as they stand


def used_rows(matches: Matches, variants: Variants) -> UsedRows:
    """Select the rows that count, and their sites.

    A site is 2 x variant, plus 1 for the reference of a multiallelic record.
    """
    rows = np.flatnonzero(matches.used)
    variant, counts_ref = matches.variant[rows], matches.counts_ref[rows]
    multiallelic = variants.multiallelic[variant]
    codes = variant * 2 + (counts_ref & multiallelic)
    turned = counts_ref & ~multiallelic
    if (np.diff(codes) > 0).all():
        return UsedRows(rows, codes, turned, None, len(rows) == len(matches.variant))
    order = np.argsort(codes, kind="stable")
    distinct, first = np.unique(codes[order], return_index=True)
    shared = first if len(distinct) < len(codes) else None
    return UsedRows(rows[order], distinct, turned[order], shared, whole=False)


def contribution(score: Score, used: UsedRows) -> Contribution:
    """Turn the used rows of a score into weights per copy of the allele that is read."""
    weight = score.weights if used.whole else score.weights[used.rows]
    heterozygote = None
    if score.effects is None:
        additive = np.where(used.turned, -weight, weight)
        constant = 2 * float(weight[used.turned].sum())
    else:
        effects = score.effects[used.rows]
        effects[used.turned] = effects[used.turned, ::-1]
        additive = (effects[:, 2] - effects[:, 0]) / 2
        heterozygote = effects[:, 1] - (effects[:, 0] + effects[:, 2]) / 2
        heterozygote[np.abs(heterozygote) < 1e-15 * np.abs(additive)] = 0  # rounding of (0, w, 2w)
        constant = float(effects[:, 0].sum())
    if used.first is not None:
        additive = np.add.reduceat(additive, used.first)
        heterozygote = None if heterozygote is None else np.add.reduceat(heterozygote, used.first)
    if heterozygote is not None and not heterozygote.any():
        heterozygote = None
    return Contribution(used.codes, additive, heterozygote, constant)


class ContributionStore:
    """Collects the contributions of scores one by one, then hands them out by runs of sites."""

    def __init__(self, *, in_memory_mb: float = 120) -> None:
        self._limit = in_memory_mb * 1e6
        self._held = 0.0
        self._spool: IO[bytes] | None = None
        self._parts: list[_Part | _TablePart] = []
        self._constants: list[float] = []
        self._last: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self._parts)

    def add(self, part: Contribution | TableContribution) -> None:
        """Keep the weights of one score."""
        previous = self._parts[-1].codes if self._parts else None
        same = part.codes is self._last or (
            previous is not None
            and len(previous) == len(part.codes)
            and bool((previous.read(0, len(previous)) == part.codes).all())
        )
        codes = previous if same and previous is not None else self._keep(part.codes)
        self._last = part.codes
        self._constants.append(0.0 if isinstance(part, TableContribution) else part.constant)
        if isinstance(part, TableContribution):
            self._parts.append(_TablePart(codes, part.table, part.number, part.used, part.has_zeros))
            return
        heterozygote = None if part.heterozygote is None else self._keep(part.heterozygote)
        zeros = part.additive == 0 if part.heterozygote is None else (part.additive == 0) & (part.heterozygote == 0)
        self._parts.append(_Part(codes, self._keep(part.additive), heterozygote, bool(zeros.any())))

    def finish(self, variants: Variants, frequencies: NDArray[np.float64] | None) -> Contributions:
        """Fix the list of sites. `frequencies` (variant,): of each variant's alternate allele, or None."""
        used = np.zeros(2 * len(variants), np.bool_)
        distinct = {id(part.codes): part.codes for part in self._parts}.values()
        for codes in distinct:
            used[codes.read(0, len(codes))] = True
        site_codes = np.flatnonzero(used)
        variant, reads_ref = site_codes >> 1, (site_codes & 1).astype(np.bool_)
        sites = Sites(variants.row[variant], np.where(reads_ref, 0, variants.allele[variant]).astype(np.int32))
        by_site = None
        if frequencies is not None:
            by_site = np.where(reads_ref, 1 - _total_alternate(variants, frequencies)[variant], frequencies[variant])
        return Contributions(
            sites, site_codes, frequencies=by_site, constants=np.array(self._constants), parts=self._parts
        )

    def close(self) -> None:
        """Close the file."""
        if self._spool is not None:
            self._spool.close()

    def _keep(self, values: NDArray[np.float64] | NDArray[np.int64]) -> _Column:
        self._held += values.nbytes
        if self._held <= self._limit:
            return _Column(values.dtype, len(values), values, None, 0)
        if self._spool is None:
            self._spool = tempfile.TemporaryFile(prefix="presage-weights-")  # noqa: SIM115
        start = self._spool.seek(0, 2)
        self._spool.write(np.ascontiguousarray(values).data)
        self._spool.flush()
        return _Column(values.dtype, len(values), None, self._spool, start)


@dataclass(frozen=True, slots=True)
class _Column:
    dtype: np.dtype[np.generic]
    length: int
    values: NDArray[np.float64] | NDArray[np.int64] | None
    spool: IO[bytes] | None
    start: int

    def __len__(self) -> int:
        return self.length

    def read(self, low: int, high: int) -> NDArray[np.float64] | NDArray[np.int64]:
        if self.values is not None:
            return self.values[low:high]
        size = self.dtype.itemsize
        spool = self.spool
        if spool is None:
            raise ValueError("a column is either held or spooled")
        content = os.pread(spool.fileno(), (high - low) * size, self.start + low * size)
        return np.frombuffer(content, self.dtype)

    def place(self, value: int) -> int:
        """Where `value` would stand in an increasing column."""
        if self.values is not None:
            return int(np.searchsorted(self.values, value))
        return bisect_left(range(self.length), value, key=lambda i: int(self.read(i, i + 1)[0]))


@dataclass(frozen=True, slots=True)
class _Part:
    """One score. `has_zeros`: some sites add nothing, whose missing calls do not count."""

    codes: _Column
    additive: _Column
    heterozygote: _Column | None
    has_zeros: bool


@dataclass(frozen=True, slots=True)
class _TablePart:
    """One score whose weights are in a table. `has_zeros`: as of a `_Part`."""

    codes: _Column
    table: ScoreTable
    number: int
    used: UsedRows
    has_zeros: bool

    def block(self, low: int, high: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of all scores of the table, at some of its sites: weights per copy of the allele that is read (site, score),
        and what these sites add to everybody (score,).
        """
        turned = self.used.turned[low:high]
        weights = self.table.weights(self.used.rows[low:high])
        weights *= np.where(turned, -1.0, 1.0)[:, None]
        constants: NDArray[np.float64] = turned.astype(np.float64) @ weights
        return weights, -2 * constants


class Contributions:
    """The weights of all scores over one list of sites.

    `frequencies` (site,): of the allele that each site counts, None where no frequencies were given. `constants`
    (score,): the amount that a score adds whatever the genotypes.
    """

    def __init__(
        self,
        sites: Sites,
        codes: NDArray[np.int64],
        *,
        frequencies: NDArray[np.float64] | None,
        constants: NDArray[np.float64],
        parts: Sequence[_Part | _TablePart],
    ) -> None:
        self.sites = sites
        self.frequencies = frequencies
        self.constants = constants
        self._codes = codes
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def site_sets(self, scores: range) -> NDArray[np.intp]:
        """The number (score,) of the set of sites that each of these scores uses, in order of appearance.

        Scores may share a set.
        """
        numbers: dict[tuple[int, int], int] = {}
        parts = [(number, self._parts[number]) for number in scores]
        keys = [(id(part.codes), number if part.has_zeros else -1) for number, part in parts]
        return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)

    def n_sites_of(self, start: int, stop: int, *, scores: range) -> NDArray[np.intp]:
        """How many of the sites from `start` to `stop` each of these scores uses."""
        places: dict[int, int] = {}
        for score in scores:
            codes = self._parts[score].codes
            if id(codes) not in places:
                low, high = self._range(codes, start, stop=stop)
                places[id(codes)] = high - low
        return np.array([places[id(self._parts[score].codes)] for score in scores], np.intp)

    def weights(self, start: int, stop: int, *, scores: range, expected: NDArray[np.float64]) -> SiteWeights:
        """The weights of these scores over the sites from `start` to `stop`.

        `expected` (site,): copies at which missing calls stand.
        """
        parts = [self._parts[score] for score in scores]
        told = self._of_one_table(parts, start, stop=stop, expected=expected)
        if told is not None:
            return told
        additive, constants = np.zeros((len(scores), stop - start)), np.zeros(len(scores))
        heterozygote: NDArray[np.float64] | None = None
        places: dict[int, tuple[int, int, NDArray[np.intp] | slice]] = {}
        blocks: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        for number, part in enumerate(parts):
            if id(part.codes) not in places:
                places[id(part.codes)] = self._place(part.codes, start, stop=stop)
            low, high, columns = places[id(part.codes)]
            if isinstance(part, _TablePart):
                if id(part.table) not in blocks:
                    blocks[id(part.table)] = part.block(low, high)
                block, constant = blocks[id(part.table)]
                additive[number, columns], constants[number] = block[:, part.number], constant[part.number]
                continue
            additive[number, columns] = part.additive.read(low, high)
            if part.heterozygote is not None:
                heterozygote = np.zeros_like(additive) if heterozygote is None else heterozygote
                heterozygote[number, columns] = part.heterozygote.read(low, high)
        return SiteWeights(additive.T, None if heterozygote is None else heterozygote.T, expected, constants)

    def _of_one_table(
        self, parts: Sequence[_Part | _TablePart], start: int, *, stop: int, expected: NDArray[np.float64]
    ) -> SiteWeights | None:
        """Where all scores are neighbours in one table, whose sites are all there are: its weights as they lie."""
        first = parts[0] if parts else None
        if not isinstance(first, _TablePart):
            return None
        together = all(
            isinstance(part, _TablePart) and part.table is first.table and part.number == number
            for number, part in enumerate(parts, start=first.number)
        )
        low, high, columns = self._place(first.codes, start, stop=stop)
        if not together or not isinstance(columns, slice):
            return None
        block, constants = first.block(low, high)
        wanted = slice(first.number, first.number + len(parts))
        return SiteWeights(block[:, wanted], None, expected, constants[wanted])

    def _range(self, score_codes: _Column, start: int, *, stop: int) -> tuple[int, int]:
        """Which of a score's sites lie among sites start to stop."""
        if start == stop:
            return 0, 0
        codes = self._codes
        return score_codes.place(int(codes[start])), score_codes.place(int(codes[stop - 1]) + 1)

    def _place(self, score_codes: _Column, start: int, *, stop: int) -> tuple[int, int, NDArray[np.intp] | slice]:
        low, high = self._range(score_codes, start, stop=stop)
        if high - low == stop - start:
            return low, high, slice(None)
        return low, high, np.searchsorted(self._codes[start:stop], score_codes.read(low, high))


def _total_alternate(variants: Variants, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frequency of all alternates of a variant's record together."""
    totals = np.bincount(variants.row, weights=frequencies, minlength=int(variants.row.max(initial=0)) + 1)
    return totals.astype(np.float64)[variants.row]
