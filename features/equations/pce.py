"""The pooled cohort equations of 2013: 10-year risk of a first hard atherosclerotic cardiovascular event.

Goff DC et al., Circulation 2014;129(25 suppl 2):S49-73, table A. For people of 40 to 79 years without such disease.
There are equations for Black and for White people; for others the guideline uses those for White people, and they may
then be too high or too low. Coefficients as printed there; means and baseline survival with the two more digits that
the authors' calculator has. Ranges of the inputs as in that calculator.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from features.arrays import Floats
from features.equations.protocol import Equation, Input

BLACK, LAST_RACE = 2.0, 5.0  # numbers of the levels of the catalogue's feature `race` (a test)
TERMS = (
    "ln_age", "ln_age_squared", "ln_tc", "ln_age_x_ln_tc", "ln_hdl", "ln_age_x_ln_hdl", "ln_treated_sbp",
    "ln_age_x_ln_treated_sbp", "ln_untreated_sbp", "ln_age_x_ln_untreated_sbp", "smoking", "ln_age_x_smoking",
    "diabetes",
)  # fmt: skip
# (Black, female) -> coefficients in the order of TERMS, mean of the linear predictor, baseline survival at 10 years.
GROUPS: Mapping[tuple[bool, bool], tuple[tuple[float, ...], float, float]] = {
    (False, True): (
        (-29.799, 4.884, 13.54, -3.114, -13.578, 3.149, 2.019, 0, 1.957, 0, 7.574, -1.665, 0.661), -29.1817, 0.96652,
    ),
    (True, True): (
        (17.114, 0, 0.94, 0, -18.92, 4.475, 29.291, -6.432, 27.82, -6.087, 0.691, 0, 0.874), 86.6081, 0.95334,
    ),
    (False, False): (
        (12.344, 0, 11.853, -2.664, -7.99, 1.769, 1.797, 0, 1.764, 0, 7.837, -1.795, 0.658), 61.1816, 0.91436,
    ),
    (True, False): ((2.469, 0, 0.302, 0, -0.307, 0, 1.916, 0, 1.809, 0, 0.549, 0, 0.645), 19.5425, 0.89536),
}  # fmt: skip


def pooled_cohort(
    *,
    age_years: Floats,
    female: Floats,
    black: Floats,
    total_cholesterol_mg_dl: Floats,
    hdl_mg_dl: Floats,
    sbp_mmhg: Floats,
    antihypertensive: Floats,
    smoking: Floats,
    diabetes: Floats,
) -> Floats:
    """10-year probability (n,) of a first hard cardiovascular event.

    `female`, `black`, `antihypertensive`, `smoking` and `diabetes` are 0 or 1.
    """
    age, tc, hdl, sbp = (np.log(value) for value in (age_years, total_cholesterol_mg_dl, hdl_mg_dl, sbp_mmhg))
    treated, untreated = antihypertensive * sbp, (1 - antihypertensive) * sbp
    values = (
        age, age**2, tc, age * tc, hdl, age * hdl, treated, age * treated, untreated, age * untreated, smoking,
        age * smoking, diabetes,
    )  # fmt: skip
    risk = np.full_like(age, np.nan)
    for (is_black, is_female), (coefficients, mean, survival) in GROUPS.items():
        total = np.zeros_like(age)
        for coefficient, value in zip(coefficients, values, strict=True):
            total = total + coefficient * value
        here = ((black == 1) == is_black) & ((female == 1) == is_female)
        risk = np.where(here, 1 - survival ** np.exp(total - mean), risk)
    return risk


_INPUTS = (
    Input("age_years", "age", (40, 80), below=True),
    Input("sex_female", "sex", (0, 1)),
    Input("race", "race", (0, LAST_RACE)),
    Input("total_cholesterol_mg_dl_latest_1825d", "total cholesterol", (130, 320)),
    Input("hdl_mg_dl_latest_1825d", "HDL cholesterol", (20, 100)),
    Input("sbp_mmhg_latest_1825d", "systolic pressure", (90, 200)),
    Input("antihypertensive_current", "antihypertensive treatment", (0, 1)),
    Input("smoking_current", "smoking status", (0, 1)),
    Input("diabetes_ever", "diabetes", (0, 1)),
)


def _compute(columns: Mapping[str, Floats]) -> Floats:
    age, female, race, *others = (columns[each.feature] for each in _INPUTS)
    names = ("total_cholesterol_mg_dl", "hdl_mg_dl", "sbp_mmhg", "antihypertensive", "smoking", "diabetes")
    factors = dict(zip(names, others, strict=True))
    return pooled_cohort(age_years=age, female=female, black=(race == BLACK).astype(np.float64), **factors)


PCE = (
    Equation(
        name="pce_ascvd_10y",
        label="Pooled cohort equations 2013, 10-year risk of a first hard cardiovascular event",
        inputs_valid=_INPUTS,
        horizon_days=3650.0,
        compute=_compute,
        reference="Goff DC et al., Circulation 2014;129(25 suppl 2):S49-73",
    ),
)
