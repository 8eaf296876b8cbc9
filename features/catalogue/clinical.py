"""Conditions, medications and use of care."""

from __future__ import annotations

from typing import Any

from features.catalogue.spec import FeatureSpec

# name, words, ICD-10-CM, ICD-9-CM, SNOMED CT concepts with their descendants.
CONDITIONS: tuple[tuple[str, str, str, str, str], ...] = (
    ("hypertension", "hypertension", "I10 I11 I12 I13 I15 I16", "401 402 403 404 405", "38341003"),
    ("diabetes", "diabetes of any type", "E08 E09 E10 E11 E13 E14", "249 250", "73211009"),
    ("type_2_diabetes", "type 2 diabetes", "E11", "250.00 250.02", "44054006"),
    ("hyperlipidaemia", "hyperlipidaemia", "E78.0 E78.1 E78.2 E78.3 E78.4 E78.5", "272", "55822004"),
    ("familial_hypercholesterolaemia", "familial hypercholesterolaemia", "E78.01", "", "398036000"),
    ("coronary_disease", "coronary disease", "I20 I21 I22 I23 I24 I25", "410 411 412 413 414", "414545008"),
    ("myocardial_infarction", "myocardial infarction", "I21 I22 I25.2", "410 412", "22298006"),
    ("heart_failure", "heart failure", "I50 I11.0 I13.0 I13.2", "428", "84114007"),
    ("atrial_fibrillation", "atrial fibrillation or flutter", "I48", "427.3", "49436004 5370000"),
    ("stroke", "stroke", "I60 I61 I63 I64 I69", "430 431 433.1 434 436", "230690007"),
    ("tia", "transient ischaemic attack", "G45", "435", "266257000"),
    ("peripheral_artery_disease", "peripheral artery disease", "I70.2 I73.9", "440.2 443.9", "399957001"),
    ("vascular_disease", "infarction, peripheral artery disease or aortic plaque",
     "I21 I22 I25.2 I70.0 I70.2 I73.9", "410 412 440.0 440.2 443.9", "22298006 399957001"),
    ("thromboembolism", "stroke, transient ischaemic attack or systemic embolism",
     "I63 I64 I69.3 G45 I74", "434 435 436 444", "230690007 266257000 132281000119108"),
    ("chronic_kidney_disease", "chronic kidney disease", "N18", "585", "709044004"),
    ("copd", "chronic obstructive lung disease", "J43 J44", "491.2 492 496", "13645005"),
    ("asthma", "asthma", "J45", "493", "195967001"),
    ("depression", "depression", "F32 F33", "296.2 296.3 311", "35489007"),
    ("dementia", "dementia", "F01 F02 F03 G30", "290 331.0", "52448006"),
    ("cancer", "cancer", "C", "14 15 16 17 18 19 200 201 202 203 204 205 206 207 208", "363346000"),
    ("breast_cancer", "breast cancer", "C50", "174 175", "254837009"),
    ("obesity", "obesity", "E66.0 E66.1 E66.2 E66.8 E66.9", "278.00 278.01", "414916001"),
    ("anaemia", "anaemia", "D50 D51 D52 D53 D55 D58 D59 D61 D62 D63 D64", "280 281 283 284 285", "271737000"),
    ("peptic_ulcer", "peptic ulcer", "K25 K26 K27 K28", "531 532 533 534", "13200003"),
    ("gi_bleed", "gastrointestinal bleeding", "K92.0 K92.1 K92.2 K25.0 K25.4 K26.0 K26.4", "578", "74474003"),
    ("liver_disease", "liver disease", "K70 K71 K72 K73 K74 K76", "571 572", "235856003"),
    ("rheumatoid_arthritis", "rheumatoid arthritis", "M05 M06", "714.0", "69896004"),
    ("osteoarthritis", "osteoarthritis", "M15 M16 M17 M18 M19", "715", "396275006"),
)  # fmt: skip

# name, words, RxNorm ingredients (and all drugs that contain them), ATC groups.
_ANTIHYPERTENSIVES = (
    "29046 3827 35296 1998 18867 52175 69749 83818 73494 321064 214354 17767 3443 11170 4316 7417 33910 5487 2409 6918 "
    "1202 20352 19484 8787 9997"
)
MEDICATIONS: tuple[tuple[str, str, str, str], ...] = (
    ("statin", "statin", "83367 36567 301542 42463 6472 41127 861634", "C10AA"),
    ("antihypertensive", "antihypertensive", _ANTIHYPERTENSIVES, "C02 C03 C07 C08 C09"),
    ("glucose_lowering", "glucose-lowering medicine", "6809 4815 4821 25789 5856 593411 1545653 475968", "A10"),
    ("aspirin", "aspirin", "1191", "B01AC06 N02BA01"),
    ("anticoagulant", "anticoagulant", "11289 1364430 1114195 1037042 1599538", "B01AA B01AE B01AF"),
    ("antiplatelet", "other antiplatelet", "32968 613391 1116632", "B01AC04 B01AC22 B01AC24"),
    ("nsaid", "non-steroidal anti-inflammatory", "140587 3355 5640 7258 41493", "M01A"),
    ("corticosteroid", "systemic corticosteroid", "8640 8638 6902 3264", "H02"),
    ("opioid", "opioid", "7052 7804 5489 2670 10689 4337", "N02A"),
    ("proton_pump_inhibitor", "proton pump inhibitor", "7646 40790 17128 283742", "A02BC"),
    ("antidepressant", "antidepressant", "36437 4493 2556 321988 32937 39786 72625", "N06A"),
)  # fmt: skip
SUPPLY_DAYS, GRACE_DAYS = 90.0, 30
UNTOLD = "none of its codes is of a vocabulary that was in use"
INPATIENT, EMERGENCY, OUTPATIENT = ("Visit//IP", "Visit//ERIP"), ("Visit//ER", "Visit//ERIP"), ("Visit//OP",)


def condition_codes(name: str) -> tuple[str, ...]:
    """The code patterns of a condition, by the condition's name in this catalogue."""
    _, _, icd10, icd9, snomed = next(row for row in CONDITIONS if row[0] == name)
    return (
        *(f"ICD10CM//{code}*" for code in icd10.split()),
        *(f"ICD9CM//{code}*" for code in icd9.split()),
        *(f"<<SNOMED//{code}" for code in snomed.split()),
    )


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
            codes=condition_codes(name),
            absent=0.0,
            kind="condition",
            reference="ICD-10-CM 2025, ICD-9-CM 2014, SNOMED CT",
        )
        for name, words, *_ in CONDITIONS
    )


def medications() -> tuple[FeatureSpec, ...]:
    """Features of drugs: whether somebody is supplied now, and the share of the last year covered by supply."""
    return tuple(spec for row in MEDICATIONS for spec in _medication(*row))


def _medication(name: str, words: str, rxnorm: str, atc: str) -> tuple[FeatureSpec, FeatureSpec]:
    reads: dict[str, Any] = {
        "codes": (*(f"<<RxNorm//{code}" for code in rxnorm.split()), *(f"<<ATC//{code}" for code in atc.split())),
        "value_unit": "d",
        "valid": (0.0, 400.0),
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
            window_days=730,
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
