"""A score as it is summed here, set against the score that the ancestry reference was fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Floats
from features.polygenic.columns import Alleles, Codes, Variants
from features.polygenic.scores import Score
from features.polygenic.sums import Contribution, UsedRows


@dataclass(frozen=True, slots=True)
class InReference:
    """A score as it is summed here, set against the score that the reference was fitted on.

    `shift`: intercept and slopes on the components by which the expected sum is less than the reference's. `slopes`:
    those of the variants that are summed here. `drift`: the sum over these variants if every call were missing, less
    their mean in the reference. `ratio`: variance of the sum over the reference's. `foreign`: share of that variance at
    sites that the reference lacks. `reweighted`: variance of the difference that other weights make, over the
    reference's; nan where the reference does not hold its weights.
    """

    shift: Floats
    slopes: Floats
    drift: float
    ratio: float
    foreign: float
    reweighted: float


def site_constants(score: Score, used: UsedRows) -> Floats:
    """The amount (site,) that each site of the score's `Contribution` adds to everybody, whatever their genotype."""
    if score.effects is None:
        by_row = np.where(used.turned, 2 * score.weights[used.rows], 0.0)
    else:
        effects = score.effects[used.rows]
        by_row = np.where(used.turned, effects[:, 2], effects[:, 0])
    return by_row if used.first is None else np.add.reduceat(by_row, used.first)


def in_reference(
    table: pa.Table,
    part: Contribution,
    *,
    constants: Floats,
    variants: Variants,
    alleles: Alleles,
    frequencies: Floats,
) -> InReference:
    """Compare a score's contribution here with the reference's part of the same score.

    `table`: the reference's part, as `score_part` of `features.polygenic.ancestry.fit` made it. `constants`: the amount
    each site adds to everybody. `frequencies` (variant,): of each variant's ALT.
    """
    variant, reads_ref = part.codes >> 1, (part.codes & 1).astype(np.bool_)
    counted = np.where(reads_ref, variants.ref[variant], variants.alt[variant]).astype(np.int32)
    frequency = np.where(reads_ref, 1 - frequencies[variant], frequencies[variant])
    place = _find(table, variants, variant=variant, alleles=alleles)
    n = sum(name.startswith("slope_") for name in table.column_names)
    slopes = np.column_stack([table[f"slope_{k}"].to_numpy() for k in range(n)])
    variance = table["variance"].to_numpy()
    known = place >= 0
    here = np.zeros(len(slopes), np.bool_)
    here[place[known]] = True
    het = np.zeros(len(place)) if part.heterozygote is None else part.heterozygote
    at_frequency = constants + 2 * frequency * part.additive  # of a missing call, as plink2 has it
    lacking = np.flatnonzero(~known)
    expected, foreign = _moments(
        at_frequency[lacking], part.additive[lacking], het=het[lacking], frequency=frequency[lacking]
    )
    kept, total = float(variance[here].sum()), float(variance.sum())
    shift = slopes[~here].sum(axis=0)
    shift[0] -= expected
    return InReference(
        shift=shift,
        slopes=slopes[here, 1:].sum(axis=0),
        drift=float(at_frequency[known].sum() - slopes[here, 0].sum()),
        ratio=(kept + foreign) / total if total > 0 else 1.0,
        foreign=foreign / (kept + foreign) if kept + foreign > 0 else 0.0,
        reweighted=_reweighted(
            table, part.additive[known], het=het[known], place=place[known], counted=counted[known], alleles=alleles
        ),
    )


def _moments(at_frequency: Floats, additive: Floats, *, het: Floats, frequency: Floats) -> tuple[float, float]:
    """Mean and variance of what sites add together, independent and in Hardy-Weinberg proportions."""
    pq = 2 * frequency * (1 - frequency)
    variance = additive**2 * pq + 2 * additive * het * pq * (1 - 2 * frequency) + het**2 * pq * (1 - pq)
    return float((at_frequency + het * pq).sum()), float(variance.sum())


def _find(table: pa.Table, variants: Variants, *, variant: NDArray[np.int64], alleles: Alleles) -> NDArray[np.int64]:
    """The reference's row of each site: its two alleles, as written or else on the other strand.

    -1 where it has none or knows no frequency of it.
    """
    known = np.flatnonzero(~np.isnan(table["frequency"].to_numpy()))
    order = known[np.argsort(table["key"].to_numpy()[known], kind="stable")]
    own, keys = table["key"].to_numpy()[order], variants.keys[variant]
    ref, alt = (alleles.encode(table[name])[order] for name in ("ref", "alt"))
    low = np.arange(len(own)) if np.array_equal(own, keys) else np.searchsorted(own, keys)
    places = np.full(len(keys), -1, np.int64)
    ref_here, alt_here = variants.ref[variant], variants.alt[variant]
    for first, second in ((ref_here, alt_here), (alleles.complement(ref_here), alleles.complement(alt_here))):
        left, step = np.flatnonzero(places < 0), 0
        while len(left):
            candidate = low[left] + step
            inside = candidate < len(own)
            inside[inside] = own[candidate[inside]] == keys[left[inside]]
            left, candidate = left[inside], candidate[inside]
            as_written = (ref[candidate] == first[left]) & (alt[candidate] == second[left])
            fits = as_written | ((ref[candidate] == second[left]) & (alt[candidate] == first[left]))
            places[left[fits]] = order[candidate[fits]]
            left, step = left[~fits], step + 1
    return places


def _reweighted(
    table: pa.Table, additive: Floats, *, het: Floats, place: NDArray[np.int64], counted: Codes, alleles: Alleles
) -> float:
    """Weights per copy of one allele are the other's with the other sign; of a palindrome nobody knows which."""
    if "additive" not in table.column_names:
        return float("nan")
    own, total = table["additive"].to_numpy()[place], float(table["variance"].to_numpy().sum())
    frequency = table["frequency"].to_numpy()[place]
    same = alleles.encode(table["counted"])[place]
    flipped = alleles.complement(same)
    alike, palindrome = (counted == same) | (counted == flipped), _palindromes(table, alleles)[place]
    apart = np.where(alike, additive - own, additive + own)
    apart = np.where(palindrome, np.abs(additive) - np.abs(own), apart)
    pq = 2 * frequency * (1 - frequency)
    of_pairs = het - table["heterozygote"].to_numpy()[place]
    return float(((apart**2 + of_pairs**2) * pq).sum() / total) if total > 0 else 0.0


def _palindromes(table: pa.Table, alleles: Alleles) -> NDArray[np.bool_]:
    palindromic: NDArray[np.bool_] = alleles.complement(alleles.encode(table["ref"])) == alleles.encode(table["alt"])
    return palindromic
