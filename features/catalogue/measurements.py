"""Measurements: blood pressure, lipids, glucose, kidney, body mass; latest, mean, range, slope, time since, count."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from features.catalogue.spec import Aggregate, FeatureSpec


@dataclass(frozen=True, slots=True)
class Analyte:
    """A quantity, all LOINC codes that mean it, the unit it is brought to, and where a value is plausible."""

    name: str
    label: str
    unit: str
    valid: tuple[float, float]
    loinc: tuple[str, ...]
    series: bool = False  # also mean, smallest, largest, slope and count
    modifiable: bool = True
    rising: bool = False  # risk of what is studied here never falls with its level; a study may free it
    others: tuple[tuple[str, float, float], ...] = ()  # other units in use, with the values that are plausible in them
    otherwise: str = ""  # the rule by which a record without its value gives one from its parts
    parts: tuple[str, ...] = ()


ANALYTES = (
    Analyte(
        "sbp_mmhg",
        "systolic blood pressure",
        "mm[Hg]",
        (50, 300),
        ("8480-6", "8459-0", "8460-8"),
        True,
        rising=True,
        others=(("kPa", 6.7, 40),),
    ),
    Analyte(
        "dbp_mmhg",
        "diastolic blood pressure",
        "mm[Hg]",
        (20, 200),
        ("8462-4", "8453-3", "8454-1"),
        others=(("kPa", 2.7, 27),),
    ),
    Analyte(
        "total_cholesterol_mg_dl",
        "total cholesterol",
        "mg/dL",
        (40, 1000),
        ("2093-3", "14647-2"),
        others=(("mmol/L", 1, 26),),
    ),
    Analyte("hdl_mg_dl", "HDL cholesterol", "mg/dL", (5, 200), ("2085-9", "14646-4"), others=(("mmol/L", 0.1, 5.2),)),
    Analyte(
        "ldl_mg_dl",
        "LDL cholesterol",
        "mg/dL",
        (5, 800),
        ("13457-7", "2089-1", "18262-6", "22748-8"),
        True,
        others=(("mmol/L", 0.1, 21),),
    ),
    Analyte(
        "triglycerides_mg_dl",
        "triglycerides",
        "mg/dL",
        (10, 5000),
        ("2571-8", "14927-8"),
        others=(("mmol/L", 0.1, 57),),
    ),
    Analyte(
        "hba1c_percent",
        "HbA1c",
        "%",
        (3, 20),
        ("4548-4", "17856-6", "59261-8"),
        True,
        rising=True,
        others=(("mmol/mol", 15, 200),),
    ),
    Analyte(
        "fasting_glucose_mg_dl",
        "fasting glucose",
        "mg/dL",
        (20, 1000),
        ("1558-6", "14771-0"),
        others=(("mmol/L", 1, 56),),
    ),
    Analyte(
        "egfr_ml_min_173m2",
        "eGFR",
        "mL/min/{1.73_m2}",
        (1, 250),
        ("98979-8", "88293-6", "62238-1", "33914-3", "48642-3", "48643-1", "69405-9"),
        True,
        modifiable=False,
        others=(("mL/s/{1.73_m2}", 0.02, 4.2),),
        otherwise="CKD-EPI 2021",
        parts=("creatinine_mg_dl_latest_1825d", "creatinine_mg_dl_days_since", "age_years", "sex_female"),
    ),
    Analyte(
        "creatinine_mg_dl",
        "creatinine",
        "mg/dL",
        (0.1, 30),
        ("2160-0", "14682-9", "38483-4"),
        others=(("umol/L", 9, 2700),),
    ),
    Analyte(
        "bmi_kg_m2",
        "body mass index",
        "kg/m2",
        (10, 100),
        ("39156-5",),
        True,
        otherwise="body mass index",
        parts=(
            "weight_kg_latest_1825d",
            "weight_kg_days_since",
            "height_cm_latest",
            "height_cm_days_since",
            "age_years",
        ),
    ),
    Analyte(
        "urine_acr_mg_g",
        "urine albumin to creatinine ratio",
        "mg/g",
        (0, 30000),
        ("9318-7", "14959-1"),
        others=(("mg/mmol", 0, 3400),),
    ),
)
# What is not a feature of its own, but what others are computed from.
WEIGHT = Analyte(
    "weight_kg",
    "body weight",
    "kg",
    (2, 400),
    ("29463-7", "3141-9", "3142-7"),
    others=(("[lb_av]", 4.4, 880),),
)
HEIGHT = Analyte(
    "height_cm",
    "body height",
    "cm",
    (40, 250),
    ("8302-2", "3137-7", "3138-5"),
    others=(("[in_i]", 16, 98), ("m", 0.4, 2.5)),
)
REFERENCE = "LOINC 2.78; UCUM 2.1"
SERIES_DAYS = 1825
LATEST_DAYS = 1825  # what a published equation may read; a shorter one refuses people who are seen every third year


def measurements() -> tuple[FeatureSpec, ...]:
    """Features of every analyte: its latest value and the days since it was measured.

    Analytes that are measured again and again also have the mean, range, slope and count over five years.
    """
    return tuple(spec for analyte in ANALYTES for spec in _specs(analyte))


def parts() -> tuple[FeatureSpec, ...]:
    """What features are computed from where the record has no value of their own, and is no feature of a family:
    the latest weight, and the latest height of any time.
    """
    return (*_latest(WEIGHT, LATEST_DAYS), *_latest(HEIGHT, None))


def _specs(analyte: Analyte) -> tuple[FeatureSpec, ...]:
    return (*_latest(analyte, LATEST_DAYS), *(_series(analyte) if analyte.series else ()))


def _latest(analyte: Analyte, window_days: int | None) -> tuple[FeatureSpec, FeatureSpec]:
    computed = " and none can be computed" if analyte.otherwise else ""
    within = "" if window_days is None else f" in {window_days} days"
    return (
        FeatureSpec(
            f"{analyte.name}_latest" + ("" if window_days is None else f"_{window_days}d"),
            "measurements",
            f"{analyte.label}, latest",
            unit=analyte.unit,
            missing=f"no plausible result{within}{computed}",
            aggregate="latest",
            window_days=window_days,
            **_reads(analyte),
            monotone=1 if analyte.rising else 0,
            modifiable=analyte.modifiable,
            otherwise=analyte.otherwise,
            inputs=analyte.parts,
        ),
        FeatureSpec(
            f"{analyte.name}_days_since",
            "measurements",
            f"days since {analyte.label} was measured",
            unit="d",
            missing=f"never measured with a plausible result{computed}",
            aggregate="days_since",
            **_reads(analyte),
            otherwise=analyte.otherwise,
            inputs=analyte.parts,
        ),
    )


def _series(analyte: Analyte) -> tuple[FeatureSpec, ...]:
    words: dict[Aggregate, str] = {
        "mean": "mean",
        "min": "smallest",
        "max": "largest",
        "slope": "change a year",
        "count": "number of results",
    }
    units: dict[Aggregate, str] = {"slope": f"{analyte.unit}/a", "count": "1"}
    return tuple(
        FeatureSpec(
            f"{analyte.name}_{aggregate}_{SERIES_DAYS}d",
            "measurements",
            f"{analyte.label}, {words[aggregate]} in 5 years",
            unit=units.get(aggregate, analyte.unit),
            missing={
                "slope": f"plausible results on fewer than two days in {SERIES_DAYS} days",
                "count": "not known to this record: it holds no results in these codes; 0 is no plausible result",
            }.get(aggregate, f"no plausible result in {SERIES_DAYS} days"),
            aggregate=aggregate,
            window_days=SERIES_DAYS,
            absent=0.0 if aggregate == "count" else math.nan,
            kind="measurement" if aggregate == "count" else "",
            **_reads(analyte),
            monotone=1 if analyte.rising and aggregate == "mean" else 0,
            modifiable=analyte.modifiable and aggregate != "count",
        )
        for aggregate in words
    )


def _reads(analyte: Analyte) -> dict[str, Any]:
    return {
        "codes": tuple(f"LOINC//{code}" for code in analyte.loinc),
        "value_unit": analyte.unit,
        "valid": (float(analyte.valid[0]), float(analyte.valid[1])),
        "other_units": tuple((unit, float(low), float(high)) for unit, low, high in analyte.others),
        "reference": REFERENCE,
    }
