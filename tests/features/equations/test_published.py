"""Pooled cohort, kidney failure and CHA2DS2-VASc against numbers printed elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

from features.catalogue.history import RACES
from features.equations import EQUATIONS
from features.equations.cha2ds2_vasc import cha2ds2_vasc
from features.equations.kfre import SURVIVAL, kidney_failure
from features.equations.kidney_function import ckd_epi_2021
from features.equations.pce import BLACK, LAST_RACE, pooled_cohort

WHITE = 4.0


def floats(**values: float) -> dict[str, np.ndarray]:
    return {name: np.array([value], dtype=np.float64) for name, value in values.items()}


def test_the_number_for_black_is_the_catalogues() -> None:
    assert RACES[int(BLACK)][1] == "black or african american"
    assert len(RACES) - 1 == LAST_RACE


# Goff 2014, appendix 7, table A: age 55, TC 213, HDL 50, untreated SBP 120, no smoking, no diabetes.
@pytest.mark.parametrize(("female", "black", "percent"), [(1, 0, 2.1), (1, 1, 3.0), (0, 0, 5.3), (0, 1, 6.1)])
def test_the_pooled_cohort_equations_give_the_guidelines_examples(female: int, black: int, percent: float) -> None:
    risk = pooled_cohort(
        **floats(age_years=55, female=female, black=black, total_cholesterol_mg_dl=213, hdl_mg_dl=50, sbp_mmhg=120,
                 antihypertensive=0, smoking=0, diabetes=0)
    )  # fmt: skip
    assert float(risk[0]) * 100 == pytest.approx(percent, abs=0.1)  # the table's own sums are rounded


# shared/data/equations/VECTORS.md: TC 200, HDL 45, SBP 160 treated, diabetes, non-smoker.
@pytest.mark.parametrize(
    ("age", "female", "race", "expected", "digits"),
    [(50, 1, WHITE, 0.064, 3), (50, 1, BLACK, 0.245, 3), (67, 1, WHITE, 0.27, 3), (59, 0, WHITE, 0.262, 3)],
)
def test_the_pooled_cohort_equations_agree_with_an_independent_implementation(
    age: float, female: int, race: float, expected: float, digits: int
) -> None:
    columns = floats(
        age_years=age, sex_female=female, race=race, total_cholesterol_mg_dl_latest_1825d=200,
        hdl_mg_dl_latest_1825d=45, sbp_mmhg_latest_1825d=160, antihypertensive_current=1, smoking_current=0,
        diabetes_ever=1,
    )  # fmt: skip
    assert round(float(EQUATIONS["pce_ascvd_10y"].risk(columns).risk[0]), digits) == expected
    assert EQUATIONS["pce_ascvd_10y"].risk(columns | floats(age_years=39)).reason[0] == "age outside 40 to below 80"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("kfre_2y", 0.446617), ("kfre_5y", 0.898856), ("kfre_north_america_2y", 0.586954),
     ("kfre_north_america_5y", 0.936739)],
)  # fmt: skip
def test_the_kidney_failure_equation_agrees_to_the_last_printed_digit(name: str, expected: float) -> None:
    columns = floats(
        age_years=57.28, sex_female=1, egfr_ml_min_173m2_latest_1825d=15, urine_acr_mg_g_latest_1825d=1762.001840
    )
    assert round(float(EQUATIONS[name].risk(columns).risk[0]), 6) == expected
    refused = EQUATIONS[name].risk(columns | floats(egfr_ml_min_173m2_latest_1825d=60))
    assert refused.reason[0] == "eGFR outside 1 to below 60"
    assert np.isnan(refused.risk[0])


# Clinician Reviews 2017, "Kidney disease progression: how to calculate risk": two people as kidneyfailurerisk.com has
# them for North America, percent, cut off behind the first decimal.
@pytest.mark.parametrize(
    ("age", "female", "egfr", "acr", "two", "five"), [(63, 1, 45, 30, 0.4, 1.3), (55, 0, 38, 150, 2.9, 9.0)]
)
def test_the_kidney_failure_equation_gives_the_printed_examples(
    age: float, female: int, egfr: float, acr: float, two: float, five: float
) -> None:
    columns = floats(
        age_years=age, sex_female=female, egfr_ml_min_173m2_latest_1825d=egfr, urine_acr_mg_g_latest_1825d=acr
    )
    risks = (EQUATIONS[f"kfre_north_america_{years}y"].risk(columns).risk[0] for years in (2, 5))
    assert [np.floor(risk * 1000) / 10 for risk in risks] == [two, five]


# The first as the calculator at https://www.kidney.org/professionals/gfr_calculator is quoted to answer, the second as
# another calculator has it in its own tests. The others are the logarithms of the printed factors added up, at and on
# either side of the equation's knots, to one decimal.
@pytest.mark.parametrize(
    ("creatinine", "age", "female", "rate"),
    [(1.2, 55, 0, 71), (1.1, 50, 0, 82), (0.9, 40, 0, 110.7), (0.7, 40, 1, 112.1), (0.5, 30, 1, 129.3),
     (0.6, 30, 0, 133.2), (2.0, 70, 1, 26.4), (2.0, 70, 0, 35.2)],
)  # fmt: skip
def test_kidney_function_is_as_the_kidney_foundation_has_it(
    creatinine: float, age: float, female: int, rate: float
) -> None:
    found = float(ckd_epi_2021(**floats(creatinine_mg_dl=creatinine, age_years=age, female=female))[0])
    assert round(found, 0 if isinstance(rate, int) else 1) == rate


def test_the_two_year_risk_of_kidney_failure_is_below_the_five_year_risk() -> None:
    person = floats(age_years=70, female=0, egfr=30, urine_acr_mg_g=170)
    for region in ("", "north_america_"):
        two, five = (kidney_failure(**person, survival=SURVIVAL[region, years]) for years in (2, 5))
        assert two[0] < five[0]


# Lip 2010, table 2: the points, their maximum of 9; and people as other calculators print them.
@pytest.mark.parametrize(
    ("age", "female", "chf", "htn", "dm", "stroke", "vascular", "points"),
    [
        (42, 0, 0, 0, 0, 0, 0, 0),
        (64, 1, 0, 0, 0, 0, 0, 1),
        (65, 0, 0, 0, 0, 0, 0, 1),
        (76, 0, 1, 1, 0, 1, 0, 6),
        (72, 0, 0, 1, 1, 0, 0, 3),
        (75, 1, 1, 1, 1, 1, 1, 9),
    ],
)
def test_cha2ds2_vasc_adds_its_points(
    age: float, female: int, chf: int, htn: int, dm: int, stroke: int, vascular: int, points: int
) -> None:
    found = cha2ds2_vasc(
        **floats(age_years=age, female=female, heart_failure=chf, hypertension=htn, diabetes=dm,
                 thromboembolism=stroke, vascular_disease=vascular)
    )  # fmt: skip
    assert found[0] == points


def test_cha2ds2_vasc_is_for_people_with_atrial_fibrillation() -> None:
    equation = EQUATIONS["cha2ds2_vasc"]
    columns = {name: np.zeros(1) for name in equation.inputs} | floats(age_years=70)
    assert equation.risk(columns).reason[0] == "needs atrial fibrillation"
    assert equation.risk(columns | floats(atrial_fibrillation_ever=1)).risk[0] == 1
