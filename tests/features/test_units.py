"""Units against published tables: AMA conversion factors, NGSP's HbA1c table, and exact definitions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.codes import units

# AMA Manual of Style, 11th ed., table 17.5-1 "Selected laboratory tests, with reference ranges and conversion
# factors": conventional unit, SI unit, factor.
AMA = [
    ("2345-7", "mg/dL", "mmol/L", 0.0555),
    ("2093-3", "mg/dL", "mmol/L", 0.0259),
    ("2085-9", "mg/dL", "mmol/L", 0.0259),
    ("2571-8", "mg/dL", "mmol/L", 0.0113),
    ("2160-0", "mg/dL", "umol/L", 88.4),
    ("3094-0", "mg/dL", "mmol/L", 0.357),
    ("3084-1", "mg/dL", "umol/L", 59.48),
    ("1975-2", "mg/dL", "umol/L", 17.104),
    ("17861-6", "mg/dL", "mmol/L", 0.25),
    ("2777-1", "mg/dL", "mmol/L", 0.323),
    ("19123-9", "mg/dL", "mmol/L", 0.4114),
    ("2498-4", "ug/dL", "umol/L", 0.179),
    ("1989-3", "ng/mL", "nmol/L", 2.496),
    ("2132-9", "pg/mL", "pmol/L", 0.7378),
    ("2284-8", "ng/mL", "nmol/L", 2.266),
    ("3026-2", "ug/dL", "nmol/L", 12.871),
    ("2143-6", "ug/dL", "nmol/L", 27.588),
    ("2986-8", "ng/dL", "nmol/L", 0.0347),
]

# https://ngsp.org/ifcc.asp, rounded as the table prints them.
NGSP = [(5.0, 31), (5.7, 39), (6.0, 42), (6.5, 48), (7.0, 53), (8.0, 64), (9.0, 75), (10.0, 86), (12.0, 108)]


@pytest.mark.parametrize(("code", "conventional", "si", "factor"), AMA)
def test_molar_masses_agree_with_the_published_conversion_factors(
    code: str, conventional: str, si: str, factor: float
) -> None:
    found = units.conversion(f"LOINC//{code}", conventional, target=si)
    assert found is not None
    assert found.offset == 0
    assert found.factor == pytest.approx(factor, rel=3e-3)


@pytest.mark.parametrize(("percent", "mmol_mol"), NGSP)
def test_hba1c_follows_the_published_table_in_both_directions(percent: float, mmol_mol: int) -> None:
    there = units.conversion("LOINC//4548-4", "%", target="mmol/mol")
    back = units.conversion("LOINC//4548-4", "mmol/mol", target="%")
    assert there is not None
    assert back is not None
    assert round(there(percent)) == mmol_mol
    assert round(back(mmol_mol), 1) == percent


@pytest.mark.parametrize(
    ("unit", "target", "value", "expected"),
    [
        ("mmHg", "mm[Hg]", 120, 120),
        ("mm[Hg]", "kPa", 100, 13.3322),
        ("[lb_av]", "kg", 100, 45.359237),
        ("[in_i]", "cm", 70, 177.8),
        ("[degF]", "Cel", 98.6, 37),
        ("Cel", "[degF]", 40, 104),
        ("10*3/uL", "10*9/L", 7.5, 7.5),
        ("ug/mg{creat}", "mg/g", 30, 30),
        ("g/dL", "g/L", 14, 140),
        ("kg/m2", "g/cm2", 25, 2.5),
        ("wk", "d", 2, 14),
        ("ml/min/1.73m2", "mL/min/{1.73_m2}", 90, 90),
        ("%", "10*-2", 45, 45),
    ],
)
def test_a_unit_of_the_same_dimension_needs_no_substance(unit: str, target: str, value: float, expected: float) -> None:
    found = units.conversion("LOINC//0-0", unit, target=target)
    assert found is not None
    assert found(value) == pytest.approx(expected, rel=1e-6)


def test_albumin_to_creatinine_ratio_counts_the_creatinine_below_the_line() -> None:
    # KDIGO 2012: 30 mg/g is 3 mg/mmol, 300 mg/g is 30 mg/mmol (rounded by KDIGO).
    found = units.conversion("LOINC//9318-7", "mg/g", target="mg/mmol")
    assert found is not None
    assert found(30) == pytest.approx(3.4, abs=0.05)


@pytest.mark.parametrize(
    ("code", "unit", "target"),
    [
        ("LOINC//10835-7", "mg/dL", "nmol/L"),  # lipoprotein(a): its mass differs between people
        ("LOINC//718-7", "g/dL", "mmol/L"),
        ("LOINC//2160-0", "mg/dL", "mg"),
        ("LOINC//4548-4", "mg/dL", "%"),
        ("LOINC//2164-2", "mL/min", "mL/min/{1.73_m2}"),  # a clearance, not indexed to body surface
        ("LOINC//2345-7", "bottles", "mmol/L"),
        ("LOINC//2345-7", "", "mmol/L"),
        ("LOINC//2345-7", None, "mmol/L"),
    ],
)
def test_what_cannot_be_converted_is_refused(code: str, unit: str | None, target: str) -> None:
    assert units.conversion(code, unit, target=target) is None


@pytest.mark.parametrize("unit", ["mL/min", "ml/min", "mL/min/{1.73_m2}", "mL/min/1.73m2"])
def test_a_filtration_rate_is_indexed_to_body_surface_where_its_code_says_so(unit: str) -> None:
    # LOINC 33914-3: Glomerular filtration rate/1.73 sq M.predicted [Volume Rate/Area]
    for code in ("LOINC//33914-3", "LOINC//98979-8"):
        assert units.conversion(code, unit, target="mL/min/{1.73_m2}") == units.Conversion(1.0)


@given(
    st.sampled_from([(code, left, right) for code, left, right, _ in AMA] + [("4548-4", "%", "mmol/mol")]),
    st.floats(0.01, 1e4),
)
def test_there_and_back_is_the_same_value(case: tuple[str, str, str], value: float) -> None:
    code, left, right = case
    there, back = (
        units.conversion(f"LOINC//{code}", one, target=other) for one, other in ((left, right), (right, left))
    )
    assert there is not None
    assert back is not None
    assert math.isclose(back(there(value)), value, rel_tol=1e-9, abs_tol=1e-9)
