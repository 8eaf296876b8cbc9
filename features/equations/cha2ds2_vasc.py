"""CHA2DS2-VASc: points for the risk of stroke in people with atrial fibrillation.

Lip GYH et al., Chest 2010;137:263-72, table 2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.arrays import Floats
from features.equations.protocol import Equation, Input


def cha2ds2_vasc(
    *,
    age_years: Floats,
    female: Floats,
    heart_failure: Floats,
    hypertension: Floats,
    diabetes: Floats,
    thromboembolism: Floats,
    vascular_disease: Floats,
) -> Floats:
    """CHA2DS2-VASc score (n,), 0 to 9 points.

    Every argument is (n,) and 0 or 1, except age. `thromboembolism` includes stroke and TIA and counts double.
    """
    age = np.where(age_years >= 75, 2.0, np.where(age_years >= 65, 1.0, 0.0))
    return age + female + heart_failure + hypertension + diabetes + 2 * thromboembolism + vascular_disease


_INPUTS = (
    Input("age_years", "age", (18, 130)),
    Input("sex_female", "sex", (0, 1)),
    Input("heart_failure_ever", "heart failure", (0, 1)),
    Input("hypertension_ever", "hypertension", (0, 1)),
    Input("diabetes_ever", "diabetes", (0, 1)),
    Input("thromboembolism_ever", "thromboembolism", (0, 1)),
    Input("vascular_disease_ever", "vascular disease", (0, 1)),
    Input("atrial_fibrillation_ever", "atrial fibrillation", (1, 1)),
)


def _compute(columns: Mapping[str, Floats]) -> Floats:
    names = (
        "age_years", "female", "heart_failure", "hypertension", "diabetes", "thromboembolism", "vascular_disease",
    )  # fmt: skip
    return cha2ds2_vasc(**{name: columns[each.feature] for name, each in zip(names, _INPUTS, strict=False)})


CHA2DS2_VASC = (
    Equation(
        name="cha2ds2_vasc",
        label="CHA2DS2-VASc, stroke in atrial fibrillation",
        inputs_valid=_INPUTS,
        horizon_days=365.0,
        compute=_compute,
        reference="Lip GYH et al., Chest 2010;137:263-72",
        points=True,
    ),
)
