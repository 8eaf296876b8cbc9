"""The published equation that a study names: its inputs, and its risks of the study's rows."""

from __future__ import annotations

from features.equations import EQUATIONS
from features.errors import PresageError, meant
from features.frame import FeatureFrame
from training.cohort.rows import References
from training.study import Study

UPDATED = "equation_update"  # the candidate that reads the equation's inputs, whatever the study's families are


def inputs_of(study: Study) -> set[str]:
    """The features that the study's equation reads. Raises PresageError for an equation that nobody knows."""
    name = study.features.equation
    if name is None:
        return set()
    if name not in EQUATIONS:
        raise PresageError(
            "[features] equation",
            f"an equation among {', '.join(EQUATIONS)}",
            found=f"'{name}'",
            way_out=meant(name, EQUATIONS),
        )
    return set(EQUATIONS[name].inputs)


def equation_reference(study: Study, frame: FeatureFrame, *, horizons_days: tuple[float, ...]) -> References:
    """The equation's risks of these rows; no reference where the study names none, or a table lacks an input.

    Without risks, but named, where it speaks of another horizon than the last.
    """
    name = study.features.equation
    if name is None or not inputs_of(study) <= set(frame.names):
        return References()
    if not horizons_days or abs(EQUATIONS[name].horizon_days - horizons_days[-1]) > 0.01 * horizons_days[-1]:
        return References(None, name)
    return References(EQUATIONS[name].value({each: frame.column(each) for each in EQUATIONS[name].inputs}), name)
