"""The kidney failure risk equation with four variables: dialysis or transplantation within 2 and 5 years.

Tangri N et al., JAMA 2016;315:164-74: one linear predictor, baseline survival recalibrated for North America and for
the rest of the world. For people with chronic kidney disease, eGFR below 60.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from features.arrays import Floats
from features.equations.protocol import Equation, Input

REGIONS = {"": "outside North America", "north_america_": "North America"}
SURVIVAL: Mapping[tuple[str, int], float] = {
    ("", 2): 0.9832,
    ("", 5): 0.9365,
    ("north_america_", 2): 0.9750,
    ("north_america_", 5): 0.9240,
}


def kidney_failure(
    *, age_years: Floats, female: Floats, egfr: Floats, urine_acr_mg_g: Floats, survival: float
) -> Floats:
    """Probability (n,) of kidney failure by the horizon that `survival`, the baseline of a region and horizon, belongs
    to.
    """
    predictor = (
        -0.2201 * (age_years / 10 - 7.036)
        + 0.2467 * ((1 - female) - 0.5642)
        - 0.5567 * (egfr / 5 - 7.222)
        + 0.4510 * (np.log(urine_acr_mg_g) - 5.137)
    )
    return np.asarray(1 - survival ** np.exp(predictor), dtype=np.float64)


_INPUTS = (
    Input("age_years", "age", (18, 110)),
    Input("sex_female", "sex", (0, 1)),
    Input("egfr_ml_min_173m2_latest_1825d", "eGFR", (1, 60), below=True),
    Input("urine_acr_mg_g_latest_1825d", "urine albumin to creatinine ratio", (0.1, 30000)),
)


def _compute(columns: Mapping[str, Floats], *, survival: float) -> Floats:
    age, female, egfr, acr = (columns[each.feature] for each in _INPUTS)
    return kidney_failure(age_years=age, female=female, egfr=egfr, urine_acr_mg_g=acr, survival=survival)


KFRE = tuple(
    Equation(
        name=f"kfre_{region}{years}y",
        label=f"Kidney failure risk equation, 4 variables, {REGIONS[region]}, {years} years",
        inputs_valid=_INPUTS,
        horizon_days=years * 365.0,
        compute=partial(_compute, survival=survival),
        reference="Tangri N et al., JAMA 2016;315:164-74",
    )
    for (region, years), survival in SURVIVAL.items()
)
