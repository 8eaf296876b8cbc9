"""Which variant of the genotypes each row of a score means: the published rules of pgscatalog-match.

Lambert SA et al., Nature Genetics 2024;56:1989-94; rules as in pgscatalog-match 0.4.0 (Apache-2.0): candidates at
the same position in the order of `MATCH_TYPES`, the best kind wins, the first of several equally good candidates is
kept; rows of one score that mean the same variant, palindromes and multiallelic records are excluded unless asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.polygenic.columns import Alleles, Codes, Variants
from features.polygenic.scores import ScoreRows

MATCH_TYPES = (
    "refalt",
    "altref",
    "refalt_flip",
    "altref_flip",
    "no_oa_ref",
    "no_oa_alt",
    "no_oa_ref_flip",
    "no_oa_alt_flip",
)
_NO_OTHER = 4  # from here on the score names no other allele
_COUNTS_REF = np.array([True, False] * 4)  # kinds whose effect allele is REF
_FLIPPED = np.array([False, False, True, True] * 2)

# Why a row is not used, in the order in which they are told. Bits, since several can hold.
REASONS = {
    1: "duplicate",
    2: "palindrome",
    4: "multiallelic",
    8: "flipped",
    16: "position not in the genotypes",
    32: "alleles differ",
    64: "no position in the scoring file",
    128: "effect allele is not a sequence",
    256: "haplotype",
    512: "no reference frequency",
}
DUPLICATE, PALINDROME, MULTIALLELIC, FLIPPED, ABSENT, MISMATCH, NO_POSITION, NO_SEQUENCE, HAPLOTYPE, NO_FREQUENCY = (
    REASONS
)


@dataclass(frozen=True, slots=True)
class MatchRules:
    """The choices that pgscatalog-match leaves to its user, with its defaults."""

    keep_ambiguous: bool = False
    keep_multiallelic: bool = False
    keep_first_match: bool = False
    ignore_strand_flips: bool = False


@dataclass(frozen=True, slots=True)
class Matches:
    """The matches of a score's rows, each array (row,).

    variant: the variant's number, -1 for none. kind: the kind of match, an index of `MATCH_TYPES`, -1 for none.
    reasons: why the row is not used, bits of `REASONS`, 0 where it is used.
    """

    variant: NDArray[np.int64]
    kind: NDArray[np.int8]
    reasons: NDArray[np.int16]

    @property
    def used(self) -> NDArray[np.bool_]:
        """Whether each row (row,) counts in the sum."""
        used: NDArray[np.bool_] = self.reasons == 0
        return used

    @property
    def counts_ref(self) -> NDArray[np.bool_]:
        """Whether each row's effect allele is the genotypes' reference allele."""
        return _COUNTS_REF[self.kind]

    @property
    def status(self) -> NDArray[np.str_]:
        """Each row's status in the words of pgscatalog-match: matched, excluded or unmatched."""
        excluded = np.where(self.variant >= 0, "excluded", "unmatched")
        return np.where(self.used, "matched", excluded)


@dataclass(frozen=True, slots=True)
class TargetIndex:
    """Variants sorted by position, and their alleles on both strands."""

    variants: Variants
    keys: NDArray[np.int64]
    order: NDArray[np.intp] | None
    palindrome: NDArray[np.bool_]

    @staticmethod
    def of(variants: Variants, alleles: Alleles) -> TargetIndex:
        """Index the variants on chromosomes 1 to 22, X and Y."""
        keys = variants.keys
        is_sorted = bool((keys[1:] >= keys[:-1]).all())
        order = None if is_sorted else np.argsort(keys, kind="stable")
        palindrome = alleles.complement(variants.ref) == variants.alt
        return TargetIndex(variants, keys if order is None else keys[order], order, palindrome)


def match(rows: ScoreRows, target: TargetIndex, *, alleles: Alleles, rules: MatchRules) -> Matches:
    """Find for every row of a score the variant it means."""
    low = np.searchsorted(target.keys, rows.keys)
    inside = np.minimum(low, max(len(target.keys) - 1, 0))
    present = target.keys[inside] == rows.keys if len(target.keys) else np.zeros(len(rows), np.bool_)
    row, variant = _candidates(rows, target, low=low, present=present)
    kind = _kinds(rows, row, variants=target.variants, variant=variant, alleles=alleles)
    hit = kind >= 0
    row, variant, kind = row[hit], variant[hit], kind[hit]
    best, tied = _best(row, kind)
    reasons = _unmatched_reasons(rows, present)
    found_variant = np.full(len(rows), -1, np.int64)
    found_kind = np.full(len(rows), -1, np.int8)
    found_variant[row[best]] = variant[best]
    found_kind[row[best]] = kind[best]
    reasons[row[best]] = _exclusions(
        rows, row[best], variant=variant[best], kind=kind[best], tied=tied[best], target=target, rules=rules
    )
    return Matches(found_variant, found_kind, reasons)


def _candidates(
    rows: ScoreRows, target: TargetIndex, *, low: NDArray[np.intp], present: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (row, variant) at one position, by row, then in the genotypes' order. `low`: the first at each position."""
    usable = np.flatnonzero(present & (rows.keys >= 0) & (rows.effect >= 0) & ~rows.complex)
    low = low[usable]
    last = np.minimum(low + 1, len(target.keys) - 1)
    if not ((target.keys[last] == target.keys[low]) & (last > low)).any():  # one variant a position
        return usable, low if target.order is None else target.order[low]
    counts = np.searchsorted(target.keys, rows.keys[usable], side="right") - low
    row = np.repeat(usable, counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = np.repeat(low, counts) + within
    return row, place if target.order is None else target.order[place]


def _kinds(
    rows: ScoreRows, row: NDArray[np.intp], *, variants: Variants, variant: NDArray[np.intp], alleles: Alleles
) -> NDArray[np.int8]:
    """The first kind of match that holds for each pair, -1 where none does."""
    effect, other = rows.effect[row], rows.other[row]
    ref, alt = variants.ref[variant], variants.alt[variant]
    kind = np.full(len(row), -1, np.int8)
    strands: list[tuple[int, Codes, Codes]] = [
        (2, alleles.complement(effect), alleles.complement(other)),
        (0, effect, other),
    ]
    named = other >= 0
    for base, effect_here, other_here in strands:  # the later overwrite: better kinds last
        is_ref, is_alt = effect_here == ref, effect_here == alt
        kind[~named & is_alt] = _NO_OTHER + base + 1
        kind[~named & is_ref] = _NO_OTHER + base
        kind[named & is_alt & (other_here == ref)] = base + 1
        kind[named & is_ref & (other_here == alt)] = base
    return kind


def _best(row: NDArray[np.intp], kind: NDArray[np.int8]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Of each row's candidates the first of the best kind, and for every candidate whether another is as good."""
    tied = np.zeros(len(row), np.bool_)
    if not (row[1:] == row[:-1]).any():
        return np.arange(len(row)), tied
    order = np.lexsort((np.arange(len(row)), kind, row))
    ordered_row, ordered_kind = row[order], kind[order]
    first = np.concatenate([[True], ordered_row[1:] != ordered_row[:-1]])
    second_as_good = np.concatenate(
        [(ordered_row[1:] == ordered_row[:-1]) & (ordered_kind[1:] == ordered_kind[:-1]), [False]]
    )
    best = order[first]
    tied[best] = second_as_good[first]
    return best, tied


def _unmatched_reasons(rows: ScoreRows, present: NDArray[np.bool_]) -> NDArray[np.int16]:
    reasons = np.where(present, MISMATCH, ABSENT).astype(np.int16)
    reasons[rows.effect < 0] = NO_SEQUENCE
    reasons[rows.keys < 0] = NO_POSITION
    reasons[rows.complex] = HAPLOTYPE
    return reasons


def _exclusions(
    rows: ScoreRows,
    row: NDArray[np.intp],
    *,
    variant: NDArray[np.intp],
    kind: NDArray[np.int8],
    tied: NDArray[np.bool_],
    target: TargetIndex,
    rules: MatchRules,
) -> NDArray[np.int16]:
    variants = target.variants
    reasons = np.zeros(len(row), np.int16)
    # Several alternates make every match of the record a tie in the published code; ties and others do not mix.
    tie = tied | variants.multiallelic[variant]
    record = variants.row[variant] * 2 + tie
    reasons[_repeated(record, keep_first=rules.keep_first_match)] |= DUPLICATE
    if not rules.keep_ambiguous:
        reasons[target.palindrome[variant]] |= PALINDROME
    if not rules.keep_multiallelic:
        reasons[variants.multiallelic[variant]] |= MULTIALLELIC
    if rules.ignore_strand_flips:
        reasons[_FLIPPED[kind]] |= FLIPPED
    return reasons


def _repeated(values: NDArray[np.int64], *, keep_first: bool) -> NDArray[np.bool_]:
    """Where a value occurs more than once; not its first place when `keep_first`."""
    steps = np.diff(values)
    if (steps > 0).all():
        return np.zeros(len(values), np.bool_)
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    repeated = np.concatenate([[False], same])
    if not keep_first:
        repeated |= np.concatenate([same, [False]])
    out = np.zeros(len(values), np.bool_)
    out[order] = repeated
    return out
