"""The published equations for one person at a time, from the papers; a person who cannot be scored gets NaN.

PREVENT: Khan SS et al., Circulation 2024;149:430-449, its coefficients as the real data folder holds them
(`equations/prevent_base_*.csv`, printed there with the paper's own names of the terms). Pooled cohort equations: Goff
DC et al., Circulation 2014;129(25 suppl 2):S49-73, appendix 7, table A. Kidney failure: Tangri N et al., JAMA
2016;315:164-74. CHA2DS2-VASc: Lip GYH et al., Chest 2010;137:263-72.
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

Person = dict[str, float]
SURVIVAL = {"2y": 0.9832, "5y": 0.9365, "north_america_2y": 0.9750, "north_america_5y": 0.9240}
OUTCOMES = {
    "cvd": "total_cvd",
    "ascvd": "ascvd",
    "hf": "heart_failure",
    "chd": "chd",
    "stroke": "stroke",
}


def equations(columns: pd.DataFrame, published: Path) -> pd.DataFrame:
    """Every equation of every person, from the columns of the catalogue."""
    tables = {years: prevent_table(published, years) for years in (10, 30)}
    rows = []
    for _, row in columns.iterrows():
        person = {str(name): float(value) for name, value in row.items()}
        risks = {
            f"prevent_{outcome}_{years}y_risk": prevent(person, tables[years], outcome, years)
            for years in tables
            for outcome in OUTCOMES
        }
        risks["pce_ascvd_10y_risk"] = pooled_cohort(person)
        for name, survival in SURVIVAL.items():
            risks[f"kfre_{name}_risk"] = kidney_failure(person, survival)
        risks["cha2ds2_vasc_points"] = cha2ds2_vasc(person)
        rows.append(risks)
    return pd.DataFrame(rows, index=columns.index)


def prevent_table(published: Path, years: int) -> pd.DataFrame:
    """Coefficients: a row for each term, a column for each sex and outcome."""
    table = pd.read_csv(published / f"prevent_base_{years}yr.csv", index_col="beta_coefficients")
    return table.rename(index=lambda term: "Age" if term.startswith("Age, ") else term)


def between(value: float, low: float, high: float) -> bool:
    """Ends included; nothing is between where it is not known."""
    return low <= value <= high


def prevent(one: Person, table: pd.DataFrame, outcome: str, years: int) -> float:
    """As the appendix spells it out; ages 30 to 79, for 30 years to 59; eGFR to 140 (docs/features.md)."""
    age, female = one["age_years"], one["sex_female"]
    tc, hdl = one["total_cholesterol_mg_dl_latest_1825d"], one["hdl_mg_dl_latest_1825d"]
    sbp, egfr, bmi = (one[f"{name}_latest_1825d"] for name in ("sbp_mmhg", "egfr_ml_min_173m2", "bmi_kg_m2"))
    diabetes, smoking = one["diabetes_ever"], one["smoking_current"]
    treated, statin = one["antihypertensive_current"], one["statin_current"]
    allowed = (
        30 <= age < (80 if years == 10 else 60)
        and between(tc, 130, 320)
        and between(hdl, 20, 100)
        and between(sbp, 90, 200)
        and between(egfr, 15, 140)
        and (outcome != "hf" or 18.5 <= bmi < 40)
    )
    if not allowed or any(math.isnan(each) for each in (female, diabetes, smoking, treated, statin)):
        return math.nan
    decades, non_hdl, good = (age - 55) / 10, (tc - hdl) * 0.02586 - 3.5, (hdl * 0.02586 - 1.3) / 0.3
    high, low = (max(sbp, 110) - 130) / 20, (min(sbp, 110) - 110) / 20
    failing, working = (min(egfr, 60) - 60) / -15, (max(egfr, 60) - 90) / -15
    lean, obese = ((min(bmi, 30) - 25) / 5, (max(bmi, 30) - 30) / 5) if outcome == "hf" else (0.0, 0.0)
    terms = {
        "Age": decades,
        "Age squared": decades**2,
        "non-HDL-C per 1 mmol/L": non_hdl,
        "HDL-C per 0.3 mmol/L": good,
        "SBP <110 per 20 mmHg": low,
        "SBP ≥110 per 20 mmHg": high,
        "Diabetes": diabetes,
        "Current smoking": smoking,
        "BMI <30, per 5 kg/m2": lean,
        "BMI 30+, per 5 kg/m2": obese,
        "eGFR <60, per -15 ml": failing,
        "eGFR 60+, per -15 ml": working,
        "Anti-hypertensive use": treated,
        "Statin use": statin,
        "Treated SBP ≥110 mm Hg per 20 mm Hg": treated * high,
        "Treated non-HDL-C": statin * non_hdl,
        "Age per 10yr * non-HDL-C per 1 mmol/L": decades * non_hdl,
        "Age per 10yr * HDL-C per 0.3 mmol/L": decades * good,
        "Age per 10yr * SBP ≥110 mm Hg per 20 mmHg": decades * high,
        "Age per 10yr * diabetes": decades * diabetes,
        "Age per 10yr * current smoking": decades * smoking,
        "Age per 10yr * BMI 30+ per 5 kg/m2": decades * obese,
        "Age per 10yr * eGFR <60, per -15 ml": decades * failing,
        "Constant": 1.0,
    }
    weights = table[f"{'female' if female else 'male'}_{OUTCOMES[outcome]}"]
    total = sum(weight * terms[str(term)] for term, weight in weights.items())
    return 1 / (1 + math.exp(-total))


def pooled_cohort(one: Person) -> float:
    """White people's equations for everybody who is not Black, as the guideline has it."""
    age, race = one["age_years"], one["race"]
    tc, hdl = one["total_cholesterol_mg_dl_latest_1825d"], one["hdl_mg_dl_latest_1825d"]
    sbp, female = one["sbp_mmhg_latest_1825d"], one["sex_female"]
    treated, smoking, diabetes = one["antihypertensive_current"], one["smoking_current"], one["diabetes_ever"]
    allowed = 40 <= age < 80 and between(tc, 130, 320) and between(hdl, 20, 100) and between(sbp, 90, 200)
    if not allowed or any(math.isnan(each) for each in (female, race, treated, smoking, diabetes)):
        return math.nan
    a, c, h, s = (math.log(each) for each in (age, tc, hdl, sbp))
    if female and race != 2:
        pressure = (2.019 if treated else 1.957) * s
        total = -29.799 * a + 4.884 * a * a + 13.540 * c - 3.114 * a * c - 13.578 * h + 3.149 * a * h + pressure
        total += (7.574 - 1.665 * a) * smoking + 0.661 * diabetes
        mean, survival = -29.1817, 0.96652
    elif female:
        pressure = (29.291 * s - 6.432 * a * s) if treated else (27.820 * s - 6.087 * a * s)
        total = 17.114 * a + 0.940 * c - 18.920 * h + 4.475 * a * h + pressure + 0.691 * smoking + 0.874 * diabetes
        mean, survival = 86.6081, 0.95334
    elif race != 2:
        pressure = (1.797 if treated else 1.764) * s
        total = 12.344 * a + 11.853 * c - 2.664 * a * c - 7.990 * h + 1.769 * a * h + pressure
        total += (7.837 - 1.795 * a) * smoking + 0.658 * diabetes
        mean, survival = 61.1816, 0.91436
    else:
        pressure = (1.916 if treated else 1.809) * s
        total = 2.469 * a + 0.302 * c - 0.307 * h + pressure + 0.549 * smoking + 0.645 * diabetes
        mean, survival = 19.5425, 0.89536
    return float(1 - survival ** math.exp(total - mean))


def kidney_failure(one: Person, survival: float) -> float:
    """Four variables; chronic kidney disease is an eGFR below 60."""
    age, female = one["age_years"], one["sex_female"]
    egfr, acr = one["egfr_ml_min_173m2_latest_1825d"], one["urine_acr_mg_g_latest_1825d"]
    if not (between(age, 18, 110) and 1 <= egfr < 60 and between(acr, 0.1, 30000)) or math.isnan(female):
        return math.nan
    beta = -0.2201 * (age / 10 - 7.036) + 0.2467 * (1 - female - 0.5642)
    beta += -0.5567 * (egfr / 5 - 7.222) + 0.4510 * (math.log(acr) - 5.137)
    return float(1 - survival ** math.exp(beta))


def cha2ds2_vasc(one: Person) -> float:
    """For people with atrial fibrillation."""
    age, female = one["age_years"], one["sex_female"]
    each = ("heart_failure", "hypertension", "diabetes", "vascular_disease", "thromboembolism")
    had = [one[f"{name}_ever"] for name in each]
    known = not any(math.isnan(value) for value in (female, *had))
    if not (between(age, 18, 130) and one["atrial_fibrillation_ever"] == 1 and known):
        return math.nan
    return sum(had) + had[-1] + female + (2 if age >= 75 else 1 if age >= 65 else 0)
