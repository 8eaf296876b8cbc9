"""Sums against the reference: where people stand, their adjusted scores, and why these are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.polygenic.adjustment import interval
from features.polygenic.ancestry import MIN_PLACED, AncestryModel, Placement
from features.polygenic.match_scores import ScoredScore
from features.polygenic.sums import Sums

Floats = NDArray[np.float64]
MAX_FOREIGN = 0.05  # share of a score's variance at sites that the reference lacks


@dataclass(frozen=True, slots=True)
class Adjusted:
    """Per summed score and sample (score, sample): nan where withheld.

    `z_low`, `z_high`: where 95 % of z_norm2 would lie had the missing calls and unmatched variants been seen.
    `withheld`: per score the reason for everybody, or None. `beyond`: per sample, too far from the reference.
    """

    model: AncestryModel
    placement: Placement | None
    z_norm1: Floats
    z_norm2: Floats
    percentile: Floats
    z_low: Floats
    z_high: Floats
    withheld: tuple[str | None, ...]
    beyond: NDArray[np.bool_]


def adjust_all(
    scores: Sequence[ScoredScore],
    sums: Sums,
    model: AncestryModel,
    components: Floats | None,
    *,
    found: float,
    beyond: float,
) -> Adjusted:
    """Adjust every score that the reference has. `components`: raw (sample, component), None where too few sites
    were found.
    """
    shape = sums.sums.shape
    out = {name: np.full(shape, np.nan) for name in ("z_norm1", "z_norm2", "percentile", "z_low", "z_high")}
    placement = model.place(components, beyond=beyond) if components is not None else None
    withheld: list[str | None] = []
    for number, score in enumerate(scores):
        reason = _withheld(score, model, placement, found)
        part = _parts(score, model) if reason is None else None
        if part is not None and part.foreign > MAX_FOREIGN:
            reason = f"the ancestry reference lacks {part.foreign:.0%} of the score"
        withheld.append(reason)
        if reason is None and part is not None and placement is not None:
            _adjust(out, number, score, sums, model, placement, part)
    far = placement.beyond if placement is not None else np.zeros(shape[1], np.bool_)
    for values in out.values():
        values[:, far] = np.nan
    return Adjusted(model, placement, **out, withheld=tuple(withheld), beyond=far)


def _withheld(score: ScoredScore, model: AncestryModel, placement: Placement | None, found: float) -> str | None:
    if placement is None:
        return f"{found:.0%} of the ancestry reference's sites are in the genotypes, {MIN_PLACED:.0%} needed"
    if score.header.score_id not in model.scores:
        return "the ancestry reference was not fitted on this score"
    return None


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the variants missing here take from the reference's mean (intercept, slopes) and variance (share kept)."""

    shift: Floats
    ratio: float
    foreign: float


def _parts(score: ScoredScore, model: AncestryModel) -> _Parts | None:
    table: pa.Table | None = model.score_parts.get(score.header.score_id)
    n = len(model.component_mean) + 1
    if table is None or score.keys is None:
        return _Parts(np.zeros(n), 1.0, 0.0)
    keys, variance = table["key"].to_numpy(), table["variance"].to_numpy()
    here = np.isin(keys, score.keys)
    slopes = np.column_stack([table[f"slope_{k}"].to_numpy() for k in range(n)])
    foreign = float(np.isin(score.keys, keys, invert=True).mean()) if len(score.keys) else 0.0
    total = variance.sum()
    return _Parts(slopes[~here].sum(axis=0), float(variance[here].sum() / total) if total > 0 else 1.0, foreign)


def _adjust(
    out: dict[str, Floats],
    number: int,
    score: ScoredScore,
    sums: Sums,
    model: AncestryModel,
    placement: Placement,
    part: _Parts,
) -> None:
    fit = model.scores[score.header.score_id]
    standard, raw = placement.components, sums.sums[number]
    shift = part.shift[0] + standard @ part.shift[1:]
    out["z_norm1"][number] = fit.z_norm1(raw, standard, shift=shift, ratio=part.ratio)
    z = fit.z_norm2(raw, standard, shift=shift, ratio=part.ratio)
    out["z_norm2"][number] = z
    out["percentile"][number] = fit.percentile(z)
    out["z_low"][number], out["z_high"][number] = interval(z, _lost_share(score, sums, number))


def _lost_share(score: ScoredScore, sums: Sums, number: int) -> Floats:
    """Variance hidden by missing calls and unused rows over the variance of the whole score, as if sites were
    independent.
    """
    if sums.hidden is None:
        raise ValueError("the variance that missing calls hide is expected")
    lost, variance = sums.hidden.lost[number], sums.hidden.variance[number]
    unused = variance * (score.summary.lost_ratio if score.summary is not None else 0.0)
    share: Floats = (lost + unused) / max(variance + unused, np.finfo(float).tiny)
    return share
