"""Each person's terms of the model that serves them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Dosages
from training.models.pair import CLINICAL_SCORE, Pair


@dataclass(frozen=True, slots=True)
class Terms:
    """(n, p) parts of the log hazard (log odds); NaN where a feature's model does not serve the person."""

    names: tuple[str, ...]
    values: Floats


def terms(
    pair: Pair,
    frame: FeatureFrame,
    *,
    combined: npt.NDArray[np.bool_],
    horizons: tuple[float, ...],
    dosages: Dosages | None = None,
) -> Terms:
    """The clinical model's terms, and for rows in `combined` (n,) those that the combined model adds to them.

    dosages: of the same rows; without them a score of all genotypes is left out.
    """
    clinical = pair.clinical.fitted.contributions(frame.only(pair.clinical.names))
    rows = np.flatnonzero(combined)
    both = pair.combined
    if both is None or not len(rows) or (both.dosage_score is not None and dosages is None):
        return Terms(clinical.names, clinical.values)
    some = frame.take(rows)
    called = None if dosages is None else dosages.take(rows)
    genomic = both.fitted.contributions(both.stage(some, pair.clinical.risk(some, horizons), dosages=called))
    added = [at for at, name in enumerate(genomic.names) if name != CLINICAL_SCORE]
    more = np.full((len(frame), len(added)), np.nan)
    more[rows] = genomic.values[:, added]
    names = (*clinical.names, *(genomic.names[at] for at in added))
    return Terms(names, np.hstack([clinical.values, more]))
