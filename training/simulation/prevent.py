"""PREVENT's base model for 10-year coronary disease as log-odds, for hazards (Khan 2024, Circulation 149:430-449)."""

from __future__ import annotations

import numpy as np

from training.simulation.effects import MG_DL_PER_MMOL_CHOLESTEROL, Floats
from training.simulation.population import Bools, RiskFactors

COEFFICIENTS = {  # female, male
    "age": (0.7587146, 0.7423283),
    "non_hdl": (0.1810949, 0.2572109),
    "hdl": (-0.2014507, -0.1820374),
    "sbp_below": (-0.0881827, -0.3174515),
    "sbp_above": (0.3547731, 0.312778),
    "diabetes": (0.9045358, 0.7485249),
    "smoking": (0.5410917, 0.3912047),
    "egfr_below": (0.5198725, 0.376487),
    "egfr_above": (0.0325935, 0.0193687),
    "treated": (0.2010642, 0.1588199),
    "treated_sbp": (-0.0891238, -0.0577851),
    "age_non_hdl": (-0.0683256, -0.0517872),
    "age_hdl": (0.0484755, 0.0489033),
    "age_sbp": (-0.0898086, -0.0850404),
    "age_diabetes": (-0.2569041, -0.2107552),
    "age_smoking": (-0.0786607, -0.1206397),
    "age_egfr": (-0.1597513, -0.07795),
    "constant": (-4.608751, -4.156753),
}
AGES = (30.0, 79.0)  # validated; held at the ends beyond


def chd_log_odds(factors: RiskFactors, female: Bools, *, diabetes: bool, age_shift_years: float = 0.0) -> Floats:
    """Log-odds of coronary disease within 10 years, nobody on a statin, at these risk factors and age + shift."""
    age = (np.clip(factors.age_years + age_shift_years, *AGES) - 55) / 10
    non_hdl = (factors.ldl + factors.triglycerides / 5) / MG_DL_PER_MMOL_CHOLESTEROL - 3.5
    hdl = (factors.hdl / MG_DL_PER_MMOL_CHOLESTEROL - 1.3) / 0.3
    sbp_above = (np.maximum(factors.sbp, 110) - 130) / 20
    egfr_below = (np.minimum(factors.egfr, 60) - 60) / -15
    smoking = factors.smoking == 2
    terms: dict[str, Floats | Bools | float] = {
        "age": age,
        "non_hdl": non_hdl,
        "hdl": hdl,
        "sbp_below": (np.minimum(factors.sbp, 110) - 110) / 20,
        "sbp_above": sbp_above,
        "diabetes": float(diabetes),
        "smoking": smoking,
        "egfr_below": egfr_below,
        "egfr_above": (np.maximum(factors.egfr, 60) - 90) / -15,
        "treated": factors.on_antihypertensive,
        "treated_sbp": factors.on_antihypertensive * sbp_above,
        "age_non_hdl": age * non_hdl,
        "age_hdl": age * hdl,
        "age_sbp": age * sbp_above,
        "age_diabetes": age * float(diabetes),
        "age_smoking": age * smoking,
        "age_egfr": age * egfr_below,
        "constant": 1.0,
    }
    total = np.zeros_like(age)
    for name, value in terms.items():
        of_female, of_male = COEFFICIENTS[name]
        total += np.where(female, of_female, of_male) * value
    return total
