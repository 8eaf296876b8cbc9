"""The results of a run as a table, as a report, and as sentences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Floats
from features.polygenic.match import ScoredScore
from features.polygenic.matching import as_json
from features.polygenic.run import ScoredSamples

MISSING_WITHOUT_FREQUENCY = (
    "missing calls, fewer than 50 samples and no reference frequencies (give --reference-frequencies)"
)
FEW_CALLED = (
    "too few of its variants are called in this person: the sum stands, with what is missing at its expectation"
)
UNPLACED = "too few of the ancestry reference's sites are called in this person: the sum stands, no adjusted score"
BEYOND_REFERENCE = "beyond the ancestry reference: the sum stands, its adjusted score is withheld"


def as_table(scored: ScoredSamples) -> pa.Table:
    """The results as a table with one row per sample and score, by sample, in the order of the files.

    `alleles`: called alleles at the score's sites. `z_low` to `z_high`: 95 % interval of z_norm2 from missing calls and
    unmatched variants. `trait_spread`: largest minus smallest z_norm2 among the scores of one trait.
    """
    n, scores = len(scored.sample_ids), scored.scores
    columns = {
        "sample_id": pa.array(scored.sample_ids, pa.string()).take(pa.array(np.repeat(np.arange(n), len(scores)))),
        "score_id": pa.array([score.header.score_id for score in scores] * n, pa.string()),
        "sum": _column(spread(scored, scored.sums.sums)),
        "alleles": _alleles(scored),
        "matched_weight": pa.array([matched_weight(score) for score in scores] * n, pa.float64()),
    }
    return pa.table(
        columns | _adjusted_columns(scored) | {"not_scored": pa.array(reasons(scored).ravel().tolist(), pa.string())}
    )


def _adjusted_columns(scored: ScoredSamples) -> dict[str, pa.Array]:
    n, k = len(scored.sample_ids), len(scored.scores)
    numbers = ("z_norm1", "z_norm2", "percentile", "z_low", "z_high")
    adjusted = scored.adjusted
    if adjusted is None:
        empty = pa.nulls(n * k, pa.float64())
        columns = dict.fromkeys((*numbers, "trait_spread"), empty)
        columns |= {"ancestry_group": pa.nulls(n * k, pa.string())}
        return columns | dict.fromkeys(("ancestry_probability", "ancestry_distance"), empty)
    columns = {name: _column(spread(scored, getattr(adjusted, name))) for name in numbers}
    columns["trait_spread"] = _column(trait_spread(scored))
    place = adjusted.placement
    repeated = pa.array(np.repeat(np.arange(n), k))
    group = (
        pa.array([name or None for name in place.group.tolist()], pa.string()) if place else pa.nulls(n, pa.string())
    )
    columns["ancestry_group"] = group.take(repeated)
    for name in ("probability", "distance"):
        values = pa.array(getattr(place, name), from_pandas=True) if place else pa.nulls(n, pa.float64())
        columns[f"ancestry_{name}"] = values.take(repeated)
    return columns


def spread(scored: ScoredSamples, values: Floats) -> Floats:
    """Values (summed score, sample) as (sample, score), with nan for scores that were not summed."""
    out = np.full((len(scored.sample_ids), len(scored.scores)), np.nan)
    for place, score in enumerate(scored.scores):
        if score.column is not None:
            out[:, place] = values[score.column]
    return out


def trait_spread(scored: ScoredSamples) -> Floats:
    """How far a person's scores of one trait disagree (sample, score), in SD.

    Nan where the person has only one of them.
    """
    out = np.full((len(scored.sample_ids), len(scored.scores)), np.nan)
    if scored.adjusted is None:
        return out
    z = spread(scored, scored.adjusted.z_norm2)
    traits: dict[str, list[int]] = {}
    for place, score in enumerate(scored.scores):
        trait = score.header.trait_id or score.header.trait
        if trait and not np.isnan(z[:, place]).all():
            traits.setdefault(trait, []).append(place)
    for places in traits.values():
        own = z[:, places]
        spread_of_trait = np.fmax.reduce(own, axis=1) - np.fmin.reduce(own, axis=1)
        several = np.isfinite(own).sum(axis=1) > 1
        out[:, places] = np.where(several, spread_of_trait, np.nan)[:, None]
    out[np.isnan(z)] = np.nan
    return out


def matched_weight(score: ScoredScore) -> float | None:
    """The share of the score's absolute weight that is summed; None where the score was refused."""
    return score.summary.matched_weight if score.summary else None


def alleles(scored: ScoredSamples) -> NDArray[np.int64]:
    """The number of called alleles at each score's sites (sample, score), -1 where the score was not summed."""
    out = np.full((len(scored.sample_ids), len(scored.scores)), -1, np.int64)
    for place, score in enumerate(scored.scores):
        if score.column is not None and score.summary is not None:
            out[:, place] = 2 * (score.summary.n_matched - scored.sums.missing[score.column])
    return out


def reasons(scored: ScoredSamples) -> NDArray[np.object_]:
    """Why a person has no sum, or no adjusted score, of each score (sample, score), as text.

    None where the result is complete. An adjusted score is missed only where the run was given an ancestry reference.
    """
    shared = [_shared_reason(scored, score) for score in scored.scores]
    out = np.tile(np.array(shared, dtype=object), (len(scored.sample_ids), 1))
    for place, score in enumerate(scored.scores):
        if score.column is None:
            continue
        if scored.adjusted is not None and shared[place] is None:
            out[scored.adjusted.beyond, place] = BEYOND_REFERENCE
            out[scored.adjusted.unplaced, place] = UNPLACED
        out[scored.few_called[score.column], place] = FEW_CALLED
        out[np.isnan(scored.sums.sums[score.column]), place] = MISSING_WITHOUT_FREQUENCY
    return out


def _shared_reason(scored: ScoredSamples, score: ScoredScore) -> str | None:
    if score.column is None or scored.adjusted is None:
        return score.not_scored
    return scored.adjusted.withheld[score.column]


def _alleles(scored: ScoredSamples) -> pa.Array:
    counts = alleles(scored).ravel()
    return pa.array(counts, mask=counts < 0)


def _column(values: Floats) -> pa.Array:
    return pa.array(values.ravel(), from_pandas=True)


def report_json(scored: ScoredSamples) -> dict[str, Any]:
    """The report of a run: counts of samples and matches, with each score's licence and citation."""
    return {
        "samples": len(scored.sample_ids),
        "build": scored.build,
        "genotypes": "dosages" if scored.dosages else "calls",
        "imputation": scored.imputation,
        "ancestry": _ancestry_json(scored),
        "scores": [_score_json(scored, score) for score in scored.scores],
    }


def _ancestry_json(scored: ScoredSamples) -> dict[str, Any] | None:
    adjusted = scored.adjusted
    if adjusted is None:
        return None
    told: dict[str, Any] = {"reference": adjusted.model.name, "version": adjusted.model.version}
    if adjusted.placement is not None:
        groups, counts = np.unique(adjusted.placement.group[adjusted.placement.placed], return_counts=True)
        told |= {
            "groups": dict(zip(groups.tolist(), counts.tolist(), strict=True)),
            "beyond": int(adjusted.beyond.sum()),
            "unplaced": int(adjusted.unplaced.sum()),
        }
    return told


def _score_json(scored: ScoredSamples, score: ScoredScore) -> dict[str, Any]:
    return {
        "score_id": score.header.score_id,
        "name": score.header.name,
        "trait": score.header.trait,
        "build": score.header.build,
        "licence": score.header.licence,
        "citation": score.header.citation,
        "not_scored": _shared_reason(scored, score),
        "few_called": None if score.column is None else int(scored.few_called[score.column].sum()),
        "match": as_json(score.summary) if score.summary else None,
        "rows_under": score.rows_under,
    }


def sentence(scored: ScoredSamples) -> str:
    """The sentences that tell the user what a run did."""
    done = [score for score in scored.scores if score.column is not None]
    read = "dosages" if scored.dosages else "calls"
    counts = f"{len(done)} of {len(scored.scores)} scores for {len(scored.sample_ids):,} samples"
    lines = [f"{counts}, from {read}; {scored.imputation}"]
    for score in scored.scores:
        reason = _shared_reason(scored, score)
        if reason:
            what = "not scored" if score.column is None else "not adjusted"
            lines.append(f"  {score.header.score_id} {what}: {reason}")
        few = 0 if score.column is None else int(scored.few_called[score.column].sum())
        if few:
            lines.append(f"  {score.header.score_id}: too few variants are called in {_people(few)}")
    lines += _without_place(scored)
    lines += [f"  {score.header.score_id}: {score.header.licence}" for score in done if score.header.licence]
    return "\n".join(lines)


def _without_place(scored: ScoredSamples) -> list[str]:
    if scored.adjusted is None:
        return []
    told = ((scored.adjusted.beyond, "beyond the ancestry reference"), (scored.adjusted.unplaced, "hardly called"))
    return [f"  {_people(int(who.sum()))} {where}: no adjusted score" for who, where in told if who.any()]


def _people(n: int) -> str:
    return "1 person" if n == 1 else f"{n:,} people"
