"""PREVENT against the published worked example and against its own coefficient tables as they came."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from features.equations import EQUATIONS
from features.equations.prevent import prevent

PERSON = {
    "age_years": 50.0,
    "total_cholesterol_mg_dl": 200.0,
    "hdl_mg_dl": 45.0,
    "sbp_mmhg": 160.0,
    "bmi_kg_m2": 35.0,
    "egfr": 90.0,
    "diabetes": 1.0,
    "smoking": 0.0,
    "antihypertensive": 1.0,
    "statin": 0.0,
}
# shared/data/equations/VECTORS.md: Khan 2024's worked example, as printed.
VECTORS = [
    (1, 10, {"cvd": 0.147, "ascvd": 0.092, "hf": 0.081, "chd": 0.044, "stroke": 0.054}, 3),
    (1, 30, {"cvd": 0.53, "ascvd": 0.354, "hf": 0.39, "chd": 0.198, "stroke": 0.221}, 3),
    (0, 10, {"cvd": 0.163}, 3),
    (0, 30, {"cvd": 0.514}, 3),
]
COLUMNS = {
    "age_years": 50.0,
    "sex_female": 1.0,
    "total_cholesterol_mg_dl_latest_1825d": 200.0,
    "hdl_mg_dl_latest_1825d": 45.0,
    "sbp_mmhg_latest_1825d": 160.0,
    "bmi_kg_m2_latest_1825d": 35.0,
    "egfr_ml_min_173m2_latest_1825d": 90.0,
    "diabetes_ever": 1.0,
    "smoking_current": 0.0,
    "antihypertensive_current": 1.0,
    "statin_current": 0.0,
}


def one(values: dict[str, float]) -> dict[str, np.ndarray]:
    return {name: np.array([value], dtype=np.float32) for name, value in values.items()}


@pytest.mark.parametrize(("female", "years", "expected", "digits"), VECTORS)
def test_the_worked_example_agrees_to_the_last_printed_digit(
    female: int, years: int, expected: dict[str, float], digits: int
) -> None:
    factors = {name: np.array([value]) for name, value in PERSON.items()}
    for outcome, printed in expected.items():
        risk = prevent(outcome, years, female=np.array([float(female)]), **factors)
        assert round(float(risk[0]), digits) == printed, outcome


def test_the_equation_on_features_gives_the_same_number() -> None:
    found = EQUATIONS["prevent_chd_10y"].risk(one(COLUMNS))
    assert round(float(found.risk[0]), 3) == 0.044
    assert found.reason.tolist() == [""]
    assert EQUATIONS["prevent_chd_10y"].horizon_days == 3650.0


@pytest.mark.parametrize(
    ("feature", "value", "reason"),
    [
        ("age_years", 29.9, "age outside 30 to below 80"),
        ("age_years", 80.0, "age outside 30 to below 80"),
        ("sbp_mmhg_latest_1825d", 201.0, "systolic pressure outside 90 to 200"),
        ("hdl_mg_dl_latest_1825d", float("nan"), "HDL cholesterol missing"),
        ("smoking_current", float("nan"), "smoking status missing"),
    ],
)
def test_outside_its_range_it_refuses_with_the_reason(feature: str, value: float, reason: str) -> None:
    found = EQUATIONS["prevent_chd_10y"].risk(one(COLUMNS | {feature: value}))
    assert np.isnan(found.risk[0])
    assert found.reason.tolist() == [reason]


def test_the_30_year_equations_end_at_59_and_bmi_matters_to_heart_failure_only() -> None:
    assert (
        EQUATIONS["prevent_cvd_30y"].risk(one(COLUMNS | {"age_years": 60.0})).reason[0] == "age outside 30 to below 60"
    )
    no_bmi = {name: value for name, value in COLUMNS.items() if name != "bmi_kg_m2_latest_1825d"}
    assert np.isfinite(EQUATIONS["prevent_chd_10y"].risk(one(no_bmi)).risk[0])
    assert EQUATIONS["prevent_hf_10y"].risk(one(no_bmi | {"bmi_kg_m2_latest_1825d": np.nan})).reason[0] == "BMI missing"


@pytest.mark.realdata
@pytest.mark.parametrize("years", [10, 30])
def test_every_coefficient_is_the_published_one(real_data: Path, years: int) -> None:
    with (real_data / "equations" / f"prevent_base_{years}yr.csv").open() as published:
        theirs = [row[2:] for row in csv.reader(published)][1:]
    ours_file = Path(__file__).parents[3] / "features" / "equations" / "prevent_base.csv"
    ours = [line.split(",") for line in ours_file.read_text().splitlines() if line.startswith(f"{years},")]
    assert [[float(x) for x in row[2:]] for row in ours] == [[float(x) for x in row] for row in theirs]
