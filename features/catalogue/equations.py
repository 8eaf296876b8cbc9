"""Published equations as features."""

from __future__ import annotations

from features.catalogue.spec import FeatureSpec
from features.equations import EQUATIONS


def equations() -> tuple[FeatureSpec, ...]:
    """One feature for every published equation that ships: its risk, missing where the equation refuses."""
    return tuple(
        FeatureSpec(
            f"{name}_risk" if not equation.points else f"{name}_points",
            "equations",
            equation.label,
            unit="1",
            missing="refused: an input is missing or outside the range the equation was derived over",
            aggregate="derived",
            codes=(name,),
            inputs=equation.inputs,
            reference=equation.reference,
        )
        for name, equation in EQUATIONS.items()
    )
