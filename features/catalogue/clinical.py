"""Conditions, medications and use of care."""

from __future__ import annotations

from typing import Any

from features.catalogue.spec import FeatureSpec
from features.codes import patterns

# The name of a list of `features/codes/seed/conditions.csv`, and words.
CONDITIONS: tuple[tuple[str, str], ...] = (
    ("hypertension", "hypertension"),
    ("diabetes", "diabetes of any type"),
    ("type_2_diabetes", "type 2 diabetes"),
    ("hyperlipidaemia", "hyperlipidaemia"),
    ("familial_hypercholesterolaemia", "familial hypercholesterolaemia"),
    ("coronary_disease", "coronary disease"),
    ("myocardial_infarction", "myocardial infarction"),
    ("heart_failure", "heart failure"),
    ("atrial_fibrillation", "atrial fibrillation or flutter"),
    ("stroke", "stroke"),
    ("tia", "transient ischaemic attack"),
    ("peripheral_artery_disease", "peripheral artery disease"),
    ("vascular_disease", "infarction, peripheral artery disease or aortic plaque"),
    ("thromboembolism", "stroke, transient ischaemic attack or systemic embolism"),
    ("chronic_kidney_disease", "chronic kidney disease"),
    ("copd", "chronic obstructive lung disease"),
    ("asthma", "asthma"),
    ("depression", "depression"),
    ("dementia", "dementia"),
    ("cancer", "cancer"),
    ("breast_cancer", "breast cancer"),
    ("obesity", "obesity"),
    ("anaemia", "anaemia"),
    ("peptic_ulcer", "peptic ulcer"),
    ("gi_bleed", "gastrointestinal bleeding"),
    ("liver_disease", "liver disease"),
    ("rheumatoid_arthritis", "rheumatoid arthritis"),
    ("osteoarthritis", "osteoarthritis"),
)

# The name of a list of `features/codes/seed/drugs.csv`, and words.
MEDICATIONS: tuple[tuple[str, str], ...] = (
    ("statin", "statin"),
    ("antihypertensive", "antihypertensive"),
    ("glucose_lowering", "glucose-lowering medicine"),
    ("aspirin", "aspirin"),
    ("anticoagulant", "anticoagulant"),
    ("antiplatelet", "other antiplatelet"),
    ("nsaid", "non-steroidal anti-inflammatory"),
    ("corticosteroid", "systemic corticosteroid"),
    ("opioid", "opioid"),
    ("proton_pump_inhibitor", "proton pump inhibitor"),
    ("antidepressant", "antidepressant"),
)
SUPPLY_DAYS, GRACE_DAYS = 90.0, 30
LONGEST_SUPPLY_DAYS = 730.0  # of a prescription with its refills, as far back as `current` looks
UNTOLD = "none of its codes is of a vocabulary that was in use"
INPATIENT, EMERGENCY, OUTPATIENT = ("Visit//IP", "Visit//ERIP"), ("Visit//ER", "Visit//ERIP"), ("Visit//OP",)


def conditions() -> tuple[FeatureSpec, ...]:
    """Features that say whether a condition was ever recorded. A condition that nobody has coded counts as absent."""
    return tuple(
        FeatureSpec(
            f"{name}_ever",
            "conditions",
            f"{words} ever recorded",
            unit="1",
            missing=f"not known to this record: {UNTOLD}; 0 is not recorded",
            aggregate="any",
            codes=patterns(name),
            absent=0.0,
            kind="condition",
            reference="ICD-10-CM and ICD-10-GM 2025, ICD-10 2019, ICD-9-CM 2014, SNOMED CT, CTV3",
        )
        for name, words in CONDITIONS
    )


def medications() -> tuple[FeatureSpec, ...]:
    """Features of drugs: whether somebody is supplied now, and the share of the last year covered by supply."""
    return tuple(spec for row in MEDICATIONS for spec in _medication(*row))


def _medication(name: str, words: str) -> tuple[FeatureSpec, FeatureSpec]:
    reads: dict[str, Any] = {
        "codes": patterns(name),
        "value_unit": "d",
        "valid": (0.0, LONGEST_SUPPLY_DAYS),
        "default_value": SUPPLY_DAYS,
        "absent": 0.0,
        "kind": "drug",
        "modifiable": True,
        "reference": f"RxNorm, ATC 2025; supply of {SUPPLY_DAYS:g} days where not recorded",
    }
    return (
        FeatureSpec(
            f"{name}_current",
            "medications",
            f"{words} now",
            unit="1",
            missing=f"not known to this record: {UNTOLD}; 0 is no supply that reaches here",
            aggregate="current",
            window_days=int(LONGEST_SUPPLY_DAYS),
            grace_days=GRACE_DAYS,
            **reads,
        ),
        FeatureSpec(
            f"{name}_covered_365d",
            "medications",
            f"{words}, share of the past year covered by supply",
            unit="1",
            missing=f"not known to this record: {UNTOLD}; 0 is no supply",
            aggregate="covered",
            window_days=365,
            **reads,
        ),
    )


def utilisation() -> tuple[FeatureSpec, ...]:
    """Features of the use of care: admissions, emergency and outpatient visits, days in bed."""
    visits = (
        ("admissions", "admissions", INPATIENT, (90, 365, 1095)),
        ("unplanned_admissions", "unplanned admissions", ("Visit//ERIP",), (365, 1095)),
        ("emergency_visits", "emergency visits", EMERGENCY, (90, 365)),
        ("outpatient_visits", "outpatient visits", OUTPATIENT, (365,)),
    )
    counts = tuple(
        FeatureSpec(
            f"{name}_{days}d",
            "utilisation",
            f"{words} in {days} days",
            unit="1",
            missing="not known to this record: it holds no visits; 0 is none recorded",
            aggregate="count",
            codes=codes,
            window_days=days,
            absent=0.0,
            kind="visit",
        )
        for name, words, codes, windows in visits
        for days in windows
    )
    bed_days = FeatureSpec(
        "bed_days_365d",
        "utilisation",
        "days in hospital in 365 days",
        unit="d",
        missing="not known to this record: it holds no visits; 0 is none recorded",
        aggregate="sum",
        codes=("VISIT_END//IP", "VISIT_END//ERIP"),
        window_days=365,
        value_unit="d",
        valid=(0.0, 3650.0),
        absent=0.0,
        kind="visit",
    )
    since = FeatureSpec(
        "days_since_admission",
        "utilisation",
        "days since the latest admission",
        unit="d",
        missing="no admission recorded",
        aggregate="days_since",
        codes=INPATIENT,
    )
    return (*counts, bed_days, since)
