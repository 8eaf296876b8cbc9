"""How each score and each of its rows was matched: counts in JSON, rows in Parquet, sentences for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.polygenic.columns import Alleles, Variants, chromosome_name, split_key, tally_weights
from features.polygenic.matching.rescue import OUTCOMES, Rescue
from features.polygenic.matching.rules import (
    ABSENT,
    HAPLOTYPE,
    MATCH_TYPES,
    NO_POSITION,
    NO_SEQUENCE,
    REASONS,
    Matches,
)
from features.polygenic.scores import Score, ScoreRows

VARIANT_REPORT = pa.schema(
    [
        pa.field("score_id", pa.dictionary(pa.int32(), pa.string())),
        pa.field("line", pa.int32()),  # in the scoring file
        pa.field("chrom", pa.dictionary(pa.int32(), pa.string())),
        pa.field("pos", pa.int32()),
        pa.field("effect_allele", pa.dictionary(pa.int32(), pa.string())),
        pa.field("other_allele", pa.dictionary(pa.int32(), pa.string())),
        pa.field("variant_id", pa.string()),  # of the genotypes
        pa.field("match_type", pa.dictionary(pa.int32(), pa.string())),
        pa.field("status", pa.dictionary(pa.int32(), pa.string())),  # matched, excluded, unmatched
        pa.field("reason", pa.dictionary(pa.int32(), pa.string())),
        pa.field("rescue", pa.dictionary(pa.int32(), pa.string())),  # of palindromes, where asked for
        pa.field("effect_frequency", pa.float64()),  # with a rescue: as the scoring file tells it
        pa.field("reference_frequency", pa.float64()),  # with a rescue: of the allele so named
    ]
)
_NAMES = ("used", *REASONS.values())
KINDS = len(_NAMES)  # of rows: used, or the first reason not to be
_WITHOUT_POSITION = tuple(REASONS[bit] for bit in (ABSENT, NO_POSITION, NO_SEQUENCE, HAPLOTYPE))
_CHROMOSOMES = pa.array(["", *(chromosome_name(code) for code in range(1, 27))], pa.string())


@dataclass(frozen=True, slots=True)
class MatchSummary:
    """How much of one score was matched: rows, share of the absolute weight, and the reasons why the other rows are not
    used.

    `reasons`: rows and share of weight by reason. `positions_found`: share of rows whose position the genotypes have.
    `lost_ratio`: squared weight of the rows not used over that of the rows used.
    """

    score_id: str
    n_rows: int
    n_matched: int
    matched_weight: float
    kinds: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, tuple[int, float]] = field(default_factory=dict)
    positions_found: float = 0.0
    lost_ratio: float = 0.0

    @property
    def matched_share(self) -> float:
        """The share of the score's rows that are used."""
        return self.n_matched / self.n_rows if self.n_rows else 0.0


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """Counts of matches, which all scores over the same rows share.

    `kind` (row,): 0 for rows that are used, else the number of the first reason. `rows` (kind,): how many rows there
    are of each kind. `matched`: how many were matched in which way. `positions_found`: share of rows whose position the
    genotypes have.
    """

    kind: NDArray[np.uint8]
    rows: NDArray[np.intp]
    matched: dict[str, int]
    positions_found: float

    @staticmethod
    def of(matches: Matches) -> MatchCounts:
        """Count the matches of some rows."""
        kind = leading_reasons(matches.reasons)
        rows = np.bincount(kind, minlength=KINDS)
        n_positions_found = rows.sum() - sum(rows[_NAMES.index(name)] for name in _WITHOUT_POSITION)
        ways = np.bincount(matches.kind[matches.used], minlength=len(MATCH_TYPES))
        matched = {name: int(n) for name, n in zip(MATCH_TYPES, ways, strict=True) if n}
        return MatchCounts(kind.astype(np.uint8), rows, matched, float(n_positions_found / max(rows.sum(), 1)))


def summarise(score: Score, counts: MatchCounts) -> MatchSummary:
    """Summarise the matching of one score: its rows, and its weight."""
    sums, squares = np.zeros((KINDS, 1)), np.zeros((KINDS, 1))
    weights = np.ascontiguousarray(score.weights).reshape(-1, 1)
    tally_weights(weights, counts.kind, sums=sums, squares=squares, zeros=np.zeros(1, np.int64))
    return summary_of(score.header.score_id, counts, sums=sums[:, 0], squares=squares[:, 0])


def summary_of(
    score_id: str, counts: MatchCounts, *, sums: NDArray[np.float64], squares: NDArray[np.float64]
) -> MatchSummary:
    """Summarise the matching of a score from the absolute and the squared weight (kind,) of each kind of row."""
    rows, total = counts.rows, sums.sum()
    share = sums / total if total > 0 else rows / max(rows.sum(), 1)
    return MatchSummary(
        score_id=score_id,
        n_rows=len(counts.kind),
        n_matched=int(rows[0]),
        matched_weight=float(min(share[0], 1.0)),
        kinds=counts.matched,
        reasons={name: (int(rows[k]), float(share[k])) for k, name in enumerate(_NAMES) if k and rows[k]},
        positions_found=counts.positions_found,
        lost_ratio=_ratio(squares[1:].sum(), squares[0]),
    )


def leading_reasons(reasons: NDArray[np.int16]) -> NDArray[np.intp]:
    """The kind (row,) of each row: 0 where it is used, else the number of its first reason, from 1, in the order of
    `REASONS`.
    """
    lowest = (reasons & -reasons).astype(np.intp)
    table = np.zeros(max(REASONS) + 1, np.intp)
    table[list(REASONS)] = np.arange(1, len(REASONS) + 1)
    leading: NDArray[np.intp] = table[lowest]
    return leading


def _ratio(lost: float, used: float) -> float:
    return float(lost / used) if used > 0 else 0.0


def not_scored(summary: MatchSummary, *, min_overlap: float, only_variants: bool = False) -> str | None:
    """The reason why a score with too little matched is not scored, largest causes first; None where enough is matched.

    `only_variants`: whether the genotypes list only sites at which somebody differs.
    """
    enough = summary.matched_share >= min_overlap and summary.matched_weight >= min_overlap
    if enough and summary.n_matched:
        return None
    largest = sorted(summary.reasons.items(), key=lambda item: -item[1][1])[:3]
    why = "; ".join(f"{n:,} rows ({share:.0%} of the weight): {name}" for name, (n, share) in largest)
    return (
        f"{summary.matched_share:.0%} of variants and {summary.matched_weight:.0%} of the weight matched, "
        f"{min_overlap:.0%} needed; {why}" + _hint(summary, only_variants=only_variants)
    )


def _hint(summary: MatchSummary, *, only_variants: bool) -> str:
    if only_variants and REASONS[ABSENT] in summary.reasons:
        return (
            "; the genotypes list only variants: where other sites are reference is told by a gVCF, --callable-bed or "
            "--assume-reference"
        )
    if summary.positions_found < 0.05 and summary.n_rows >= 20:
        return "; hardly any position is found: the genotypes may be of another build, or cover another region"
    return ""


def variant_rows(
    name: str,
    rows: ScoreRows,
    *,
    matches: Matches,
    variants: Variants,
    alleles: Alleles,
    rescue: Rescue | None = None,
) -> pa.Table:
    """The match report of a score: for each of its rows the variant it matched and how, or why it is not used.

    `name`: the score's id, or the table's where several scores share their rows.
    """
    chromosome, position = split_key(rows.keys)
    ids = variants.ids.take(pa.array(matches.variant, mask=matches.variant < 0))
    kind, kinds = matches.kind, pa.array(MATCH_TYPES)
    columns = [
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(rows), np.int32)), pa.array([name])),
        pa.array(rows.line, pa.int32()),
        pa.DictionaryArray.from_arrays(pa.array(chromosome, pa.int32(), mask=rows.keys < 0), _CHROMOSOMES),
        pa.array(position, pa.int32(), mask=rows.keys < 0),
        alleles.arrow(rows.effect),
        alleles.arrow(rows.other),
        ids,
        pa.DictionaryArray.from_arrays(pa.array(kind, pa.int32(), mask=kind < 0), kinds),
        _status(matches),
        _reasons(matches.reasons),
        *_rescue_columns(rows, rescue),
    ]
    return pa.Table.from_arrays(columns, schema=VARIANT_REPORT)


def _rescue_columns(rows: ScoreRows, rescue: Rescue | None) -> list[pa.Array]:
    if rescue is None:
        empty = pa.nulls(len(rows), pa.float64())
        return [pa.nulls(len(rows), pa.dictionary(pa.int32(), pa.string())), empty, empty]
    none = rescue.outcome < 0
    outcome = pa.array(rescue.outcome, pa.int32(), mask=none)
    return [
        pa.DictionaryArray.from_arrays(outcome, pa.array(OUTCOMES)),
        pa.array(rows.frequency, mask=none | np.isnan(rows.frequency)),
        pa.array(rescue.reference, mask=none | np.isnan(rescue.reference)),
    ]


def _status(matches: Matches) -> pa.DictionaryArray:
    code = np.where(matches.used, 0, np.where(matches.variant >= 0, 1, 2)).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(code), pa.array(["matched", "excluded", "unmatched"]))


def _reasons(reasons: NDArray[np.int16]) -> pa.DictionaryArray:
    """All reasons of a row, joined; null where it is used."""
    present = np.flatnonzero(np.bincount(reasons, minlength=1))
    words = ["; ".join(name for bit, name in REASONS.items() if combination & bit) for combination in present.tolist()]
    place = np.searchsorted(present, reasons).astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(place, mask=reasons == 0), pa.array(words, pa.string()))


def as_json(summary: MatchSummary) -> dict[str, Any]:
    """A summary of matching as JSON, for the report file."""
    return {
        "score_id": summary.score_id,
        "rows": summary.n_rows,
        "matched": summary.n_matched,
        "matched_share": round(summary.matched_share, 6),
        "matched_weight": round(summary.matched_weight, 6),
        "positions_found": round(summary.positions_found, 6),
        "match_types": summary.kinds,
        "not_used": {name: {"rows": n, "weight": round(share, 6)} for name, (n, share) in summary.reasons.items()},
    }
