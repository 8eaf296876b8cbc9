# ruff: noqa: DTZ001 - times in a record carry no zone
"""BMI and eGFR where the record has the parts and no value of its own, against a reading written apart in pandas."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.leakage import moved, prove_no_movement
from features.record import EVENTS, Record

AS_OF = datetime(2020, 3, 1, 12)
EGFR, EGFR_DAYS = "egfr_ml_min_173m2_latest_1825d", "egfr_ml_min_173m2_days_since"
BMI, BMI_DAYS = "bmi_kg_m2_latest_1825d", "bmi_kg_m2_days_since"
NAMES = (EGFR, EGFR_DAYS, BMI, BMI_DAYS)
WHOLE = catalogue(["demographics", "measurements", "equations"])
CATALOGUE = WHOLE.only(NAMES)

Event = dict[str, Any]


def event(code: str, years_ago: float, value: float | None = None, unit: str | None = None, **more: Any) -> Event:
    time = AS_OF - timedelta(days=years_ago * 365.25)
    row = {"subject_id": 1, "time": time, "code": code, "numeric_value": value, "unit": unit, "available_time": time}
    return row | more


def a_person(*events: Event, age_years: float = 60.0, sex: str = "F") -> Record:
    static = [event("MEDS_BIRTH", age_years), event(f"Gender//{sex}", 0, time=None, available_time=None)]
    return Record.in_memory(pa.Table.from_pylist([*static, *events], EVENTS))


def features_of(record: Record, *, whole: Catalogue = CATALOGUE) -> FeatureFrame:
    return build(Index.at([1], AS_OF), record, catalogue=whole)


def values(record: Record) -> dict[str, float]:
    frame = features_of(record)
    return {name: float(frame.column(name)[0]) for name in NAMES}


WEIGHT, HEIGHT, CREATININE = "LOINC//29463-7", "LOINC//8302-2", "LOINC//2160-0"


def test_the_body_mass_index_is_the_weight_by_the_square_of_the_height_in_any_unit() -> None:
    metric = values(a_person(event(WEIGHT, 1, 80, "kg"), event(HEIGHT, 3, 200, "cm")))
    assert metric[BMI] == pytest.approx(20.0)
    assert metric[BMI_DAYS] == pytest.approx(365.25)
    imperial = values(a_person(event(WEIGHT, 1, 176.37, "[lb_av]"), event(HEIGHT, 3, 78.74, "[in_i]")))
    assert imperial[BMI] == pytest.approx(20.0, abs=0.01)


def test_the_filtration_rate_is_of_the_age_on_the_day_of_the_creatinine_in_either_unit() -> None:
    # 142 * (1.4 / 0.9) ** -1.2 * 0.9938 ** 57, by hand
    expected = 142 * (1.4 / 0.9) ** -1.2 * 0.9938**57
    assert values(a_person(event(CREATININE, 3, 1.4, "mg/dL"), sex="M"))[EGFR] == pytest.approx(expected, rel=1e-5)
    molar = values(a_person(event("LOINC//14682-9", 3, 1.4 * 88.4, "umol/L"), sex="M"))
    assert molar[EGFR] == pytest.approx(expected, rel=1e-3)  # 88.4 is printed of 1e4 / 113.12
    assert molar[EGFR_DAYS] == pytest.approx(3 * 365.25)


def test_a_value_of_the_record_always_wins_and_what_is_computed_is_marked() -> None:
    parts = [event(CREATININE, 0.1, 3.0, "mg/dL"), event(WEIGHT, 0.1, 80, "kg"), event(HEIGHT, 1, 200, "cm")]
    own = [event("LOINC//98979-8", 4.9, 88, "mL/min/{1.73_m2}"), event("LOINC//39156-5", 4.9, 31, "kg/m2")]
    derived = features_of(a_person(*parts)).derived
    assert {name: bool(mask[0]) for name, mask in derived.items()} == dict.fromkeys(sorted(derived), True)
    assert set(derived) == set(NAMES)
    frame = features_of(a_person(*parts, *own))
    assert [float(frame.column(name)[0]) for name in (EGFR, BMI)] == [88.0, 31.0]
    assert float(frame.column(BMI_DAYS)[0]) == pytest.approx(4.9 * 365.25)
    assert not any(mask[0] for mask in frame.derived.values())


def test_a_value_of_the_record_before_the_window_does_not_stand_in_the_way() -> None:
    own = event("LOINC//98979-8", 7, 88, "mL/min/{1.73_m2}")
    found = values(a_person(own, event(CREATININE, 2, 1.0, "mg/dL")))
    assert found[EGFR] == pytest.approx(142 * (1 / 0.7) ** -1.2 * 0.9938**58 * 1.012, rel=1e-5)
    assert found[EGFR_DAYS] == pytest.approx(2 * 365.25)
    assert values(a_person(own))[EGFR_DAYS] == pytest.approx(7 * 365.25)


@pytest.mark.parametrize(
    ("age", "weight_ago", "height_ago", "expected"),
    [
        (60, 1, 41.9, True),  # measured at 18.1, holds for life
        (60, 1, 42.1, False),  # measured at 17.9: may have grown
        (30, 4, 1, True),  # measured after the weight, both grown
        (12, 0.5, 0.5 + 29 / 365.25, True),
        (12, 0.5, 0.5 - 29 / 365.25, True),
        (12, 0.5, 0.5 + 31 / 365.25, False),
        (18.05, 0.1, 0.01, False),  # weighed as a child, measured grown 33 days later
        (1.9, 0.05, 0.05, False),  # no BMI under two years
        (60, 5.1, 0.1, False),  # weighed before the window
    ],
)
def test_a_height_holds_for_life_from_eighteen_and_for_thirty_days_before(
    age: float, weight_ago: float, height_ago: float, *, expected: bool
) -> None:
    person = a_person(event(WEIGHT, weight_ago, 60, "kg"), event(HEIGHT, height_ago, 170, "cm"), age_years=age)
    assert math.isnan(values(person)[BMI]) is not expected


@pytest.mark.parametrize(("age", "sex"), [(17.9, "F"), (60.0, "O")])
def test_children_and_people_of_no_recorded_sex_have_no_computed_filtration_rate(age: float, sex: str) -> None:
    person = a_person(event(CREATININE, 0.0001, 1.0, "mg/dL"), age_years=age, sex=sex)
    assert math.isnan(values(person)[EGFR])


def test_what_is_computed_and_not_plausible_is_none() -> None:
    assert math.isnan(values(a_person(event(WEIGHT, 1, 390, "kg"), event(HEIGHT, 3, 150, "cm")))[BMI])


def test_a_value_is_known_only_when_the_later_of_its_parts_is() -> None:
    late = event(HEIGHT, 1, 170, "cm", available_time=AS_OF)
    assert math.isnan(values(a_person(event(WEIGHT, 1, 60, "kg"), late))[BMI])
    just = event(HEIGHT, 1, 170, "cm", available_time=AS_OF - timedelta(microseconds=1))
    assert not math.isnan(values(a_person(event(WEIGHT, 1, 60, "kg"), just))[BMI])


def test_equations_read_what_is_computed() -> None:
    lipids = [event("LOINC//2093-3", 1, 200, "mg/dL"), event("LOINC//2085-9", 1, 45, "mg/dL")]
    rest = [*lipids, event("LOINC//8480-6", 1, 130, "mm[Hg]"), event("SNOMED//266919005", 1)]
    with_parts = [*rest, event(CREATININE, 1, 0.9, "mg/dL"), event(WEIGHT, 1, 80, "kg"), event(HEIGHT, 1, 170, "cm")]
    computed = features_of(a_person(*with_parts), whole=WHOLE)
    own = [event("LOINC//98979-8", 1, float(computed.column(EGFR)[0]), "mL/min/{1.73_m2}"),
           event("LOINC//39156-5", 1, float(computed.column(BMI)[0]), "kg/m2")]  # fmt: skip
    given = features_of(a_person(*rest, *own), whole=WHOLE)
    for name in ("prevent_cvd_10y_risk", "prevent_hf_10y_risk"):
        assert float(computed.column(name)[0]) == pytest.approx(float(given.column(name)[0]), rel=1e-5)
        assert math.isnan(float(features_of(a_person(*rest), whole=WHOLE).column(name)[0]))


# ------------------------------------------------------------------------------------- many people, and pandas

UNITS = {
    WEIGHT: {"kg": 1.0, "[lb_av]": 0.45359237, "g": 0.001, "stone": math.nan},
    HEIGHT: {"cm": 1.0, "[in_i]": 2.54, "m": 100.0, "furlong": math.nan},
    CREATININE: {"mg/dL": 1.0, "umol/L": 0.011312, "mg/L": 0.1, "beans": math.nan},
    "LOINC//98979-8": {"mL/min/{1.73_m2}": 1.0},
    "LOINC//39156-5": {"kg/m2": 1.0},
}
PLAUSIBLE = {WEIGHT: (2, 400), HEIGHT: (40, 250), CREATININE: (0.1, 30), "LOINC//98979-8": (1, 250),
             "LOINC//39156-5": (10, 100)}  # fmt: skip
USUAL = {WEIGHT: (50, 110), HEIGHT: (150, 190), CREATININE: (0.5, 2.0)}


def drawn(rng: np.random.Generator, people: int) -> pd.DataFrame:
    """Measurements of people of all ages, some in units that nobody knows, some known only after the moment."""
    rows = []
    for person in range(people):
        birth = AS_OF - timedelta(days=float(rng.uniform(0, 90) * 365.25))
        born = {"subject_id": person, "time": birth, "code": "MEDS_BIRTH", "available_time": birth}
        rows += [born] if rng.random() < 0.95 else []
        rows.append({"subject_id": person, "code": f"Gender//{rng.choice(['F', 'M', 'O'], p=[0.48, 0.48, 0.04])}"})
        for code in (WEIGHT, HEIGHT, CREATININE, "LOINC//98979-8", "LOINC//39156-5"):
            for _ in range(rng.integers(0, 3 if code in (WEIGHT, HEIGHT, CREATININE) else 2)):
                unit = str(rng.choice(list(UNITS[code])))
                low, high = PLAUSIBLE[code] if rng.random() < 0.3 else USUAL.get(code, PLAUSIBLE[code])
                size = 1.0 if math.isnan(UNITS[code][unit]) else UNITS[code][unit]
                value = float(np.float32(np.exp(rng.uniform(np.log(low * 0.9), np.log(high * 1.1))) / size))
                time = AS_OF - timedelta(days=float(rng.choice([rng.uniform(-40, 60), rng.uniform(0, 4000)])))
                known = time + timedelta(days=float(rng.choice([0, 0, 0, 30])))
                rows.append({"subject_id": person, "time": time, "code": code, "numeric_value": value, "unit": unit,
                             "available_time": known})  # fmt: skip
    return pd.DataFrame(rows)


def by_hand(events: pd.DataFrame, person: int) -> dict[str, float]:
    mine = events[events.subject_id == person]
    age, sex = math.nan, ""
    latest: dict[str, tuple[float, float]] = {}  # code -> days ago, value
    for row in mine.itertuples():
        if row.code == "MEDS_BIRTH":
            age = (AS_OF - row.time) / timedelta(days=1) / 365.25
        elif row.code.startswith("Gender"):
            sex = row.code[-1]
        elif max(row.time, row.available_time) < AS_OF:
            value, (low, high) = row.numeric_value * UNITS[row.code][row.unit], PLAUSIBLE[row.code]
            days = (AS_OF - row.time) / timedelta(days=1)
            if low <= value <= high and (row.code not in latest or days < latest[row.code][0]):
                latest[row.code] = days, value
    answer = dict.fromkeys(NAMES, math.nan)
    for code, name, name_days in (("LOINC//98979-8", EGFR, EGFR_DAYS), ("LOINC//39156-5", BMI, BMI_DAYS)):
        if code in latest:
            answer[name_days] = latest[code][0]
            answer[name] = latest[code][1] if latest[code][0] <= 1825 else math.nan
    if CREATININE in latest and math.isnan(answer[EGFR]) and sex in ("F", "M"):
        days, creatinine = latest[CREATININE]
        then = age - days / 365.25
        kappa, alpha, factor = (0.7, -0.241, 1.012) if sex == "F" else (0.9, -0.302, 1.0)
        power = alpha if creatinine <= kappa else -1.2
        rate = 142 * (creatinine / kappa) ** power * 0.9938**then * factor
        if days <= 1825 and then >= 18 and 1 <= rate <= 250:
            answer |= {EGFR: rate, EGFR_DAYS: days}
    if WEIGHT in latest and HEIGHT in latest and math.isnan(answer[BMI]):
        (days, weight), (height_days, height) = latest[WEIGHT], latest[HEIGHT]
        at_weight, at_height = age - days / 365.25, age - height_days / 365.25
        fits = (at_weight >= 18 and at_height >= 18) or (at_weight >= 2 and abs(days - height_days) <= 30)
        index = weight / (height / 100) ** 2
        if days <= 1825 and fits and 10 <= index <= 100:
            answer |= {BMI: index, BMI_DAYS: days}
    return answer


@pytest.fixture(scope="module")
def crowd() -> tuple[pd.DataFrame, Record]:
    events = drawn(np.random.default_rng(20), 600)
    whole = events.astype(object).where(events.notna(), None)
    rows = [{name: value for name, value in row.items() if value is not None} for row in whole.to_dict("records")]
    return events, Record.in_memory(pa.Table.from_pylist(rows, EVENTS))


def test_six_hundred_people_have_the_values_that_pandas_finds(crowd: tuple[pd.DataFrame, Record]) -> None:
    events, record = crowd
    frame = build(Index.at(range(600), AS_OF), record, catalogue=CATALOGUE)
    expected: npt.NDArray[np.float64] = np.array(
        [[by_hand(events, person)[name] for name in frame.names] for person in range(600)]
    )
    np.testing.assert_allclose(frame.values, expected, rtol=2e-4)
    computed = {name: int(mask.sum()) for name, mask in frame.derived.items()}
    assert min(computed.values()) > 30  # else nothing was shown
    assert (np.isnan(frame.values).sum(axis=0) > 50).all()


def test_alone_and_in_a_batch_computed_values_have_the_same_bits(crowd: tuple[pd.DataFrame, Record]) -> None:
    _, record = crowd
    together = build(Index.at(range(600), AS_OF), record, catalogue=CATALOGUE)
    for person in range(0, 600, 40):
        alone = build(Index.at([person], AS_OF), record, catalogue=CATALOGUE)
        assert not moved(together.take(np.array([person])), alone)
        assert {name: bool(mask[0]) for name, mask in alone.derived.items()} == {
            name: bool(mask[person]) for name, mask in together.derived.items()
        }


def test_canaries_from_the_moment_on_move_no_computed_value(crowd: tuple[pd.DataFrame, Record]) -> None:
    _, record = crowd
    index = Index.at(range(600), AS_OF)
    proof = prove_no_movement(index, record, catalogue=CATALOGUE, rng=np.random.default_rng(1))
    assert proof.holds
    assert not proof.unproven
