"""Features computed from other features of the same row: comorbidity indices and published equations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.catalogue.spec import FeatureSpec
from features.codes import charlson_from_features
from features.equations import EQUATIONS

INDICES: Mapping[str, Callable[[Mapping[str, Floats]], Floats]] = {"charlson_index": charlson_from_features}


def fill(out: npt.NDArray[np.float32], specs: tuple[FeatureSpec, ...]) -> None:
    """Write the derived features into their columns of `out` (n, p), in place. Their inputs stand before them."""
    names = {spec.name: column for column, spec in enumerate(specs)}
    for column, spec in enumerate(specs):
        if spec.aggregate != "derived":
            continue
        inputs = {name: out[:, names[name]].astype(np.float64) for name in spec.inputs}
        out[:, column] = _compute(spec.codes[0], inputs)


def _compute(name: str, inputs: Mapping[str, Floats]) -> Floats:
    return INDICES[name](inputs) if name in INDICES else EQUATIONS[name].value(inputs)
