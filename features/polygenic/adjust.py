"""Sums set against the ancestry reference: people's places, their adjusted scores, and why some are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.arrays import Floats
from features.polygenic.ancestry import MIN_PLACED, AncestryModel, Placement, interval
from features.polygenic.match import ScoredScore
from features.polygenic.sums import Sums

MIN_RATIO = 0.05  # share of a score's variance in the reference at the variants that are matched
MAX_FOREIGN = 0.05  # share of a score's variance at sites that the reference lacks
ONLY_VARIANTS = (
    "the genotypes list only variants, so that what is missing depends on the person: give a gVCF, --callable-bed or "
    "--assume-reference"
)
MAX_REWEIGHTED = 1e-4  # share of a score's variance that other weights make: a hundredth of a SD


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The adjusted scores of every summed score and sample (score, sample); nan where they are withheld.

    `z_low`, `z_high`: the interval in which z_norm2 would lie with 95 % had the missing calls and unmatched variants
    been seen. `withheld`: per score the reason that holds for everybody, or None. `beyond`: per sample, whether the
    person lies too far from the reference. `unplaced`: per sample, whether too little is called to place the person.
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
    unplaced: NDArray[np.bool_]


def adjust_all(
    scores: Sequence[ScoredScore],
    sums: Sums,
    *,
    model: AncestryModel,
    components: Floats | None,
    few: NDArray[np.bool_],
    nowhere: str,
    beyond: float,
) -> Adjusted:
    """Adjust every score that the reference was fitted on.

    `components`: raw components (sample, component), or None where nobody can be placed, for which `nowhere` gives the
    reason. `few` (score, sample): whether too few of the score's variants are called in the person.
    """
    shape = sums.sums.shape
    out = {name: np.full(shape, np.nan) for name in ("z_norm1", "z_norm2", "percentile", "z_low", "z_high")}
    placement = model.place(components, beyond=beyond) if components is not None else None
    withheld: list[str | None] = []
    for number, score in enumerate(scores):
        reason = nowhere if placement is None else _withheld(score, model)
        withheld.append(reason)
        if reason is None and placement is not None:
            _adjust(out, number, score=score, sums=sums, model=model, placement=placement)
    nobody = np.zeros(shape[1], np.bool_)
    far = placement.beyond if placement is not None else nobody
    unplaced = ~placement.placed if placement is not None else nobody
    for values in out.values():
        values[few | far | unplaced] = np.nan
    return Adjusted(model, placement, **out, withheld=tuple(withheld), beyond=far, unplaced=unplaced)


def unplaced(share_found: float) -> str:
    """The reason for placing nobody where too small a share of the reference's sites is in the genotypes."""
    return f"{share_found:.0%} of the ancestry reference's sites are in the genotypes, {MIN_PLACED:.0%} needed"


def _withheld(score: ScoredScore, model: AncestryModel) -> str | None:
    if score.header.score_id not in model.scores:
        return "the ancestry reference was not fitted on this score"
    if score.known is not None and score.known.foreign > MAX_FOREIGN:
        return f"the ancestry reference lacks {score.known.foreign:.0%} of the score's variance"
    if score.known is not None and score.known.ratio < MIN_RATIO:
        return f"of its variance in the ancestry reference {score.known.ratio:.0%} is at the variants matched here"
    if score.known is not None and score.known.reweighted > MAX_REWEIGHTED:
        return "its weights are not those that the ancestry reference was fitted on"
    return None


def _adjust(
    out: dict[str, Floats],
    number: int,
    *,
    score: ScoredScore,
    sums: Sums,
    model: AncestryModel,
    placement: Placement,
) -> None:
    if sums.hidden is None:
        raise ValueError("the variance that missing calls hide is expected")
    lost, variance = sums.hidden.lost[number], float(sums.hidden.variance[number])
    fit, known = model.scores[score.header.score_id], score.known
    standard, raw = placement.components, sums.sums[number]
    ratio, shift = 1.0, np.zeros(len(raw))
    if known is not None:
        # A missing call stands at its frequency in the whole reference, not at the one expected at these components.
        expected = _share(lost, variance) * (standard @ known.slopes - known.drift)
        shift, ratio = known.shift[0] + standard @ known.shift[1:] + expected, known.ratio
    out["z_norm1"][number] = fit.z_norm1(raw, standard, shift=shift, ratio=ratio)
    z = fit.z_norm2(raw, standard, shift=shift, ratio=ratio)
    out["z_norm2"][number] = z
    out["percentile"][number] = fit.percentile(z)
    # Of the rows not used the variance is told from their weights; all as if sites were independent.
    unused = variance * (score.summary.lost_ratio if score.summary is not None else 0.0)
    of_unused = float(_share(np.array(unused), variance + unused))
    out["z_low"][number], out["z_high"][number] = interval(
        z, _share(lost + unused, variance + unused), unused_share=of_unused
    )


def _share(part: Floats, whole: float) -> Floats:
    share: Floats = part / max(whole, np.finfo(float).tiny)
    return share
