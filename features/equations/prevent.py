"""PREVENT base equations: cardiovascular disease, ASCVD, heart failure, coronary disease, stroke; 10 and 30 years.

Khan SS et al., "Development and validation of the American Heart Association's PREVENT equations", Circulation
2024;149:430-449. Derived in people of the United States free of cardiovascular disease, aged 30 to 79. Race is not
an input. Valid ranges as the authors give them: total cholesterol 130 to 320 mg/dL, HDL 20 to 100 mg/dL, systolic
pressure 90 to 200 mmHg, BMI 18.5 to below 40 kg/m2, eGFR 15 to 140; the 30-year equations to age 59.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache, partial
from importlib import resources

import numpy as np

from features.arrays import Floats
from features.equations.protocol import Equation, Input

OUTCOMES = {
    "cvd": "total cardiovascular disease",
    "ascvd": "atherosclerotic cardiovascular disease",
    "hf": "heart failure",
    "chd": "coronary heart disease",
    "stroke": "stroke",
}
HORIZONS_YEARS = (10, 30)
REFERENCE = "Khan SS et al., Circulation 2024;149:430-449"
MMOL_PER_MG_DL = 0.02586  # of cholesterol, as the authors convert


@cache
def _coefficients() -> dict[tuple[int, str], dict[str, float]]:
    """(horizon in years, `female_chd`) -> term -> coefficient."""
    table: dict[tuple[int, str], dict[str, float]] = {}
    text = resources.files("features.equations").joinpath("prevent_base.csv").read_text()
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        years, term = int(row.pop("horizon_years")), row.pop("term")
        for column, value in row.items():
            table.setdefault((years, column), {})[term] = float(value)
    return table


def terms(
    *,
    age_years: Floats,
    total_cholesterol_mg_dl: Floats,
    hdl_mg_dl: Floats,
    sbp_mmhg: Floats,
    bmi_kg_m2: Floats,
    egfr: Floats,
    diabetes: Floats,
    smoking: Floats,
    antihypertensive: Floats,
    statin: Floats,
) -> dict[str, Floats]:
    """The centred and scaled terms of the linear predictor, by the names of the coefficient table."""
    age = (age_years - 55) / 10
    non_hdl = (total_cholesterol_mg_dl - hdl_mg_dl) * MMOL_PER_MG_DL - 3.5
    hdl = (hdl_mg_dl * MMOL_PER_MG_DL - 1.3) / 0.3
    sbp_from_110 = (np.maximum(sbp_mmhg, 110) - 130) / 20
    bmi_from_30 = (np.maximum(bmi_kg_m2, 30) - 30) / 5
    egfr_below_60 = (np.minimum(egfr, 60) - 60) / -15
    return {
        "age": age,
        "age_squared": age**2,
        "non_hdl": non_hdl,
        "hdl": hdl,
        "sbp_below_110": (np.minimum(sbp_mmhg, 110) - 110) / 20,
        "sbp_from_110": sbp_from_110,
        "diabetes": diabetes,
        "smoking": smoking,
        "bmi_below_30": (np.minimum(bmi_kg_m2, 30) - 25) / 5,
        "bmi_from_30": bmi_from_30,
        "egfr_below_60": egfr_below_60,
        "egfr_from_60": (np.maximum(egfr, 60) - 90) / -15,
        "antihypertensive": antihypertensive,
        "statin": statin,
        "treated_sbp": antihypertensive * sbp_from_110,
        "treated_non_hdl": statin * non_hdl,
        "age_x_non_hdl": age * non_hdl,
        "age_x_hdl": age * hdl,
        "age_x_sbp_from_110": age * sbp_from_110,
        "age_x_diabetes": age * diabetes,
        "age_x_smoking": age * smoking,
        "age_x_bmi_from_30": age * bmi_from_30,
        "age_x_egfr_below_60": age * egfr_below_60,
        "constant": np.ones_like(age),
    }


def log_odds(outcome: str, years: int, *, female: Floats, **factors: Floats) -> Floats:
    """Log-odds (n,) of `outcome` within `years`, from the factors that `terms` takes; valid ranges are not checked."""
    term = terms(**factors)
    by_sex = []
    for sex in ("female", "male"):
        total = np.zeros_like(term["age"])
        for name, coefficient in _coefficients()[years, f"{sex}_{outcome}"].items():
            if coefficient:  # BMI counts for heart failure only and may be missing elsewhere
                total = total + coefficient * term[name]
        by_sex.append(total)
    return np.where(female == 1, by_sex[0], by_sex[1])


def prevent(outcome: str, years: int, *, female: Floats, **factors: Floats) -> Floats:
    """Probability (n,) of `outcome` (`cvd`, `ascvd`, `hf`, `chd` or `stroke`) within `years` (10 or 30).

    The factors are those that `terms` takes; diabetes, smoking and treatments are 0 or 1. Valid ranges are not checked
    here: `EQUATIONS` refuses values outside them.
    """
    return np.asarray(1 / (1 + np.exp(-log_odds(outcome, years, female=female, **factors))), dtype=np.float64)


_FEATURES = {
    "female": Input("sex_female", "sex", (0, 1)),
    "age_years": Input("age_years", "age", (30, 80), below=True),
    "total_cholesterol_mg_dl": Input("total_cholesterol_mg_dl_latest_1825d", "total cholesterol", (130, 320)),
    "hdl_mg_dl": Input("hdl_mg_dl_latest_1825d", "HDL cholesterol", (20, 100)),
    "sbp_mmhg": Input("sbp_mmhg_latest_1825d", "systolic pressure", (90, 200)),
    "egfr": Input("egfr_ml_min_173m2_latest_1825d", "eGFR", (15, 140)),
    "diabetes": Input("diabetes_ever", "diabetes", (0, 1)),
    "smoking": Input("smoking_current", "smoking status", (0, 1)),
    "antihypertensive": Input("antihypertensive_current", "antihypertensive treatment", (0, 1)),
    "statin": Input("statin_current", "statin treatment", (0, 1)),
    "bmi_kg_m2": Input("bmi_kg_m2_latest_1825d", "BMI", (18.5, 40), below=True),
}
_TO_59 = Input("age_years", "age", (30, 60), below=True)


def _inputs(outcome: str, years: int) -> dict[str, Input]:
    """BMI is read where it has a coefficient: for heart failure."""
    inputs = {factor: each for factor, each in _FEATURES.items() if factor != "bmi_kg_m2" or outcome == "hf"}
    return inputs | ({"age_years": _TO_59} if years == 30 else {})


def _compute(columns: Mapping[str, Floats], *, outcome: str, years: int) -> Floats:
    factors = {factor: columns[each.feature] for factor, each in _inputs(outcome, years).items()}
    factors.setdefault("bmi_kg_m2", np.full_like(factors["age_years"], 25.0))
    return prevent(outcome, years, **factors)


PREVENT = tuple(
    Equation(
        name=f"prevent_{outcome}_{years}y",
        label=f"PREVENT {years}-year risk of {words}",
        inputs_valid=tuple(_inputs(outcome, years).values()),
        horizon_days=years * 365.0,
        compute=partial(_compute, outcome=outcome, years=years),
        reference=REFERENCE,
    )
    for years in HORIZONS_YEARS
    for outcome, words in OUTCOMES.items()
)
