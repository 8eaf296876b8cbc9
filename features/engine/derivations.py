"""Values that a record does not hold but has the parts of: BMI from weight and height, eGFR from creatinine.

A record's own value always wins. A derived one is made of aggregates that looked at nothing but what was known at the
moment, so it is known from when the later of its parts was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from features.arrays import Floats
from features.equations.kidney_function import ckd_epi_2021

YEAR_DAYS = 365.25
BMI_FROM_YEARS = 2.0  # below two years growth is judged by weight for length
GROWN_YEARS = 18.0
NEAR_DAYS = 30.0  # a child's height a month away from her weight: half a centimetre of growth

Parts = Mapping[str, Floats]


def body_mass_index(parts: Parts) -> Floats:
    """BMI (n,) in kg/m2 from the latest weight and the latest height.

    An adult's height holds for weights of any time, where it was measured at 18 or later. A height before that holds
    for weights at most 30 days away. Under two years of age, and without a date of birth, there is none.
    """
    weight_days, height_days = parts["weight_kg_days_since"], parts["height_cm_days_since"]
    at_weight = parts["age_years"] - weight_days / YEAR_DAYS
    at_height = parts["age_years"] - height_days / YEAR_DAYS
    grown = (at_weight >= GROWN_YEARS) & (at_height >= GROWN_YEARS)
    near = np.abs(weight_days - height_days) <= NEAR_DAYS
    fits = (at_weight >= BMI_FROM_YEARS) & (grown | near)
    return np.where(fits, parts["weight_kg_latest_1825d"] / (parts["height_cm_latest"] / 100) ** 2, np.nan)


def filtration_rate(parts: Parts) -> Floats:
    """eGFR (n,) in mL/min/1.73 m2 from the latest creatinine, by CKD-EPI 2021 at the age of that day."""
    return ckd_epi_2021(
        creatinine_mg_dl=parts["creatinine_mg_dl_latest_1825d"],
        age_years=parts["age_years"] - parts["creatinine_mg_dl_days_since"] / YEAR_DAYS,
        female=parts["sex_female"],
    )


# By the name in a feature's `otherwise`: its value from its `inputs`, NaN where they do not give one.
DERIVATIONS: Mapping[str, Callable[[Parts], Floats]] = {
    "body mass index": body_mass_index,
    "CKD-EPI 2021": filtration_rate,
}
