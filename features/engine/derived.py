"""Features computed from other features of the same row: indices, published equations, and values that the record has
the parts of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from graphlib import TopologicalSorter

import numpy as np
import numpy.typing as npt

from features.arrays import Bools, Floats
from features.catalogue.measurements import LATEST_DAYS
from features.catalogue.spec import FeatureSpec
from features.codes import charlson_from_features
from features.engine.derivations import DERIVATIONS
from features.equations import EQUATIONS

INDICES: Mapping[str, Callable[[Mapping[str, Floats]], Floats]] = {"charlson_index": charlson_from_features}


def fill(
    out: npt.NDArray[np.float32], specs: tuple[FeatureSpec, ...], *, order: Sequence[FeatureSpec]
) -> dict[str, Bools]:
    """Write the derived features into their columns of `out` (n, p), in place.

    order: those of the features that are derived, each after those it reads (`in_order`).

    Returns, for each feature that can be computed where the record does not hold it, in which rows (n,) it was.
    """
    names = {spec.name: column for column, spec in enumerate(specs)}
    masks: dict[str, Bools] = {}
    for spec in order:
        column = names[spec.name]
        inputs = {name: out[:, names[name]].astype(np.float64) for name in spec.inputs}
        if spec.aggregate == "derived":
            out[:, column] = _compute(spec.codes[0], inputs)
        else:
            value = _otherwise(spec, inputs)
            masks[spec.name] = ~_is_own(spec, out[:, column]) & ~np.isnan(value)
            out[:, column] = np.where(masks[spec.name], value, out[:, column])
    return {spec.name: masks[spec.name] for spec in specs if spec.name in masks}


def in_order(specs: tuple[FeatureSpec, ...]) -> list[FeatureSpec]:
    """The features with inputs among these, each after those it reads."""
    by_name = {spec.name: spec for spec in specs}
    reads = {name: spec.inputs for name, spec in by_name.items()}
    ordered = (by_name[name] for name in TopologicalSorter(reads).static_order())
    return [spec for spec in ordered if spec.inputs]


def _compute(name: str, inputs: Mapping[str, Floats]) -> Floats:
    return INDICES[name](inputs) if name in INDICES else EQUATIONS[name].value(inputs)


def _otherwise(spec: FeatureSpec, inputs: Mapping[str, Floats]) -> Floats:
    """The derived value (n,), NaN where there is none or it is not plausible; of a time since, that of its part."""
    value = DERIVATIONS[spec.otherwise](inputs)
    low, high = spec.valid or (-np.inf, np.inf)
    days = inputs[spec.inputs[1]] if spec.aggregate == "days_since" else value
    return np.where((value >= low) & (value <= high), days, np.nan)


def _is_own(spec: FeatureSpec, recorded: npt.NDArray[np.float32]) -> Bools:
    """Whether the record's own value (n,) stands: any, but a time since only as far back as the latest value looks."""
    return ~np.isnan(recorded) if spec.aggregate != "days_since" else recorded <= LATEST_DAYS
