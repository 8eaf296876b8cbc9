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


ANALYTES = (
    Analyte(
        "sbp_mmhg",
        "systolic blood pressure",
        "mm[Hg]",
        (50, 300),
        ("8480-6", "8459-0", "8460-8"),
        True,
        rising=True,
    ),
    Analyte("dbp_mmhg", "diastolic blood pressure", "mm[Hg]", (20, 200), ("8462-4", "8453-3", "8454-1")),
    Analyte("total_cholesterol_mg_dl", "total cholesterol", "mg/dL", (40, 1000), ("2093-3", "14647-2")),
    Analyte("hdl_mg_dl", "HDL cholesterol", "mg/dL", (5, 200), ("2085-9", "14646-4")),
    Analyte("ldl_mg_dl", "LDL cholesterol", "mg/dL", (5, 800), ("13457-7", "2089-1", "18262-6", "22748-8"), True),
    Analyte("triglycerides_mg_dl", "triglycerides", "mg/dL", (10, 5000), ("2571-8", "14927-8")),
    Analyte("hba1c_percent", "HbA1c", "%", (3, 20), ("4548-4", "17856-6", "59261-8"), True, rising=True),
    Analyte("fasting_glucose_mg_dl", "fasting glucose", "mg/dL", (20, 1000), ("1558-6", "14771-0")),
    Analyte(
        "egfr_ml_min_173m2",
        "eGFR",
        "mL/min/{1.73_m2}",
        (1, 250),
        ("98979-8", "88293-6", "62238-1", "33914-3", "48642-3", "48643-1", "69405-9"),
        True,
        modifiable=False,
    ),
    Analyte("creatinine_mg_dl", "creatinine", "mg/dL", (0.1, 30), ("2160-0", "14682-9", "38483-4")),
    Analyte("bmi_kg_m2", "body mass index", "kg/m2", (10, 100), ("39156-5",), True),
    Analyte("urine_acr_mg_g", "urine albumin to creatinine ratio", "mg/g", (0, 30000), ("9318-7", "14959-1")),
)
REFERENCE = "LOINC 2.78; UCUM 2.1"
SERIES_DAYS = 1825
LATEST_DAYS = 1825  # what a published equation may read; a shorter one refuses people who are seen every third year


def measurements() -> tuple[FeatureSpec, ...]:
    """Features of every analyte: its latest value and the days since it was measured.

    Analytes that are measured again and again also have the mean, range, slope and count over five years.
    """
    return tuple(spec for analyte in ANALYTES for spec in _specs(analyte))


def _specs(analyte: Analyte) -> tuple[FeatureSpec, ...]:
    specs = [
        FeatureSpec(
            f"{analyte.name}_latest_{LATEST_DAYS}d",
            "measurements",
            f"{analyte.label}, latest",
            unit=analyte.unit,
            missing=f"no plausible result in {LATEST_DAYS} days",
            aggregate="latest",
            window_days=LATEST_DAYS,
            **_reads(analyte),
            monotone=1 if analyte.rising else 0,
            modifiable=analyte.modifiable,
        ),
        FeatureSpec(
            f"{analyte.name}_days_since",
            "measurements",
            f"days since {analyte.label} was measured",
            unit="d",
            missing="never measured with a plausible result",
            aggregate="days_since",
            **_reads(analyte),
        ),
    ]
    return (*specs, *(_series(analyte) if analyte.series else ()))


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
                "count": "never: 0 is no plausible result",
            }.get(aggregate, f"no plausible result in {SERIES_DAYS} days"),
            aggregate=aggregate,
            window_days=SERIES_DAYS,
            absent=0.0 if aggregate == "count" else math.nan,
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
        "reference": REFERENCE,
    }
