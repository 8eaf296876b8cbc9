"""Kidney function from creatinine: the CKD-EPI equation of 2021, without race, for adults.

Inker LA et al., "New creatinine- and cystatin C-based equations to estimate GFR without race", N Engl J Med
2021;385:1737-1749, as the National Kidney Foundation prints it (https://kidney.org/ckd-epi-creatinine-equation-2021).
"""

from __future__ import annotations

import numpy as np

from features.arrays import Floats

REFERENCE = "CKD-EPI 2021, Inker LA et al., N Engl J Med 2021;385:1737-49"
ADULT_YEARS = 18.0  # the equation was derived over adults


def ckd_epi_2021(*, creatinine_mg_dl: Floats, age_years: Floats, female: Floats) -> Floats:
    """Estimated glomerular filtration rate (n,) in mL/min/1.73 m2.

    `age_years` is that at which creatinine was measured; `female` is 0 or 1. NaN where a value is missing, and for
    people who were under 18 then.

    >>> ckd_epi_2021(creatinine_mg_dl=np.array([1.2]), age_years=np.array([55.0]), female=np.array([0.0])).round()
    array([71.])
    """
    is_female = female == 1
    relative = creatinine_mg_dl / np.where(is_female, 0.7, 0.9)
    below, above = np.minimum(relative, 1.0), np.maximum(relative, 1.0)
    rate = 142 * below ** np.where(is_female, -0.241, -0.302) * above**-1.2 * 0.9938**age_years
    known = ((female == 0) | is_female) & (age_years >= ADULT_YEARS)
    return np.where(known, rate * np.where(is_female, 1.012, 1.0), np.nan)
