"""What the clinical catalogue promises, written down a second time from docs/features.md and the published papers.

Code lists are read as the data files that they are (`features/codes/seed/*.csv`, `features/codes/comorbidity.csv`);
which list contains which, what a feature reads, its units, ranges and windows stand here. Nothing of `features` is
imported.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

CODES = Path(__file__).parents[3] / "features" / "codes"

# A list, and what else it contains (docs/sources.md: type 2 diabetes is diabetes).
CONTAINS = {
    "hypertension": "essential_hypertension complicated_hypertension",
    "complicated_hypertension": "secondary_hypertension hypertensive_heart_disease hypertensive_heart_failure "
    "hypertensive_renal_disease hypertensive_ckd",
    "diabetes": "type_1_diabetes type_2_diabetes diabetes_uncomplicated diabetes_acute diabetes_complicated "
    "diabetes_other",
    "hyperlipidaemia": "familial_hypercholesterolaemia",
    "coronary_disease": "myocardial_infarction",
    "heart_failure": "hypertensive_heart_failure",
    "stroke": "ischaemic_stroke haemorrhagic_stroke stroke_sequelae",
    "thromboembolism": "ischaemic_stroke tia systemic_embolism",
    "vascular_disease": "myocardial_infarction peripheral_artery_disease aortic_atherosclerosis",
    "chronic_kidney_disease": "hypertensive_ckd",
    "cancer": "breast_cancer solid_cancer lymphoma myeloma leukaemia metastatic_cancer",
    "anaemia": "deficiency_anaemia",
    "peptic_ulcer": "bleeding_ulcer ulcer_without_bleeding",
    "gi_bleed": "bleeding_ulcer",
    "liver_disease": "chronic_liver_disease severe_liver_disease",
}

_CONDITIONS = (
    "hypertension diabetes type_2_diabetes hyperlipidaemia familial_hypercholesterolaemia coronary_disease "
    "myocardial_infarction heart_failure atrial_fibrillation stroke tia peripheral_artery_disease vascular_disease "
    "thromboembolism chronic_kidney_disease copd asthma depression dementia cancer breast_cancer obesity anaemia "
    "peptic_ulcer gi_bleed liver_disease rheumatoid_arthritis osteoarthritis"
)
CONDITIONS = _CONDITIONS.split()

_DRUGS = (
    "statin antihypertensive glucose_lowering aspirin anticoagulant antiplatelet nsaid corticosteroid opioid "
    "proton_pump_inhibitor antidepressant"
)
DRUGS = _DRUGS.split()

# Charlson's and Elixhauser's categories: ICD by the prefixes of the published table, SNOMED CT and CTV3 by these lists.
_LUNG = "copd asthma chronic_bronchitis"
_VESSELS = "peripheral_artery_disease aortic_atherosclerosis aortic_aneurysm"
_RHEUMATIC = "rheumatoid_arthritis connective_tissue_disease"
_KIDNEY = "chronic_kidney_disease renal_replacement"
CHARLSON = {
    "ami": "myocardial_infarction",
    "chf": "heart_failure",
    "pvd": _VESSELS,
    "cevd": "stroke tia cerebrovascular_disease",
    "dementia": "dementia",
    "copd": _LUNG,
    "rheumd": _RHEUMATIC,
    "pud": "peptic_ulcer",
    "mld": "chronic_liver_disease chronic_viral_hepatitis",
    "diab": "diabetes_uncomplicated diabetes_acute diabetes_other",
    "diabwc": "diabetes_complicated",
    "hp": "paralysis",
    "rend": _KIDNEY,
    "canc": "breast_cancer solid_cancer lymphoma myeloma leukaemia",
    "msld": "severe_liver_disease varices",
    "metacanc": "metastatic_cancer",
    "aids": "hiv",
}
ELIXHAUSER = {
    "chf": "heart_failure",
    "carit": "atrial_fibrillation arrhythmia",
    "valv": "valvular_heart_disease",
    "pcd": "pulmonary_hypertension pulmonary_embolism",
    "pvd": _VESSELS,
    "hypunc": "essential_hypertension",
    "hypc": "complicated_hypertension",
    "para": "paralysis",
    "ond": "epilepsy neurological_disease",
    "cpd": _LUNG,
    "diabunc": "diabetes_uncomplicated diabetes_acute",
    "diabc": "diabetes_complicated diabetes_other",
    "hypothy": "hypothyroidism",
    "rf": _KIDNEY,
    "ld": "chronic_liver_disease chronic_viral_hepatitis severe_liver_disease varices",
    "pud": "ulcer_without_bleeding",
    "aids": "hiv",
    "lymph": "lymphoma myeloma",
    "metacanc": "metastatic_cancer",
    "solidtum": "breast_cancer solid_cancer",
    "rheumd": _RHEUMATIC,
    "coag": "coagulopathy",
    "obes": "obesity",
    "wloss": "weight_loss",
    "fed": "",
    "blane": "",
    "dane": "deficiency_anaemia",
    "alcohol": "alcohol_misuse",
    "drug": "drug_misuse",
    "psycho": "psychosis",
    "depre": "depression dysthymia",
}
# Charlson 1987, table 3; of mild and severe forms of one disease the severe counts.
CHARLSON_WEIGHTS = dict.fromkeys(CHARLSON, 1) | {
    "diabwc": 2, "hp": 2, "rend": 2, "canc": 2, "msld": 3, "metacanc": 6, "aids": 6,
}  # fmt: skip
CHARLSON_INSTEAD = {"mld": "msld", "diab": "diabwc", "canc": "metacanc"}

# Name: LOINC codes; units that are read, each with its factor; the plausible range; where a value is plausible in the
# other unit that laboratories use, so that a value without a unit cannot be told. Molar masses: cholesterol 386.65,
# triglycerides (as triolein) 885.4, glucose 180.156, creatinine 113.12.
ANALYTES: dict[str, tuple[str, dict[str, float], tuple[float, float], tuple[float, float] | None]] = {
    "sbp_mmhg": ("8480-6 8459-0 8460-8", {"mm[Hg]": 1}, (50, 300), (6.7, 40)),
    "dbp_mmhg": ("8462-4 8453-3 8454-1", {"mm[Hg]": 1}, (20, 200), (2.7, 27)),
    "total_cholesterol_mg_dl": ("2093-3 14647-2", {"mg/dL": 1}, (40, 1000), (1, 26)),
    "hdl_mg_dl": ("2085-9 14646-4", {"mg/dL": 1}, (5, 200), (0.1, 5.2)),
    "ldl_mg_dl": ("13457-7 2089-1 18262-6 22748-8", {"mg/dL": 1}, (5, 800), (0.1, 21)),
    "triglycerides_mg_dl": ("2571-8 14927-8", {"mg/dL": 1}, (10, 5000), (0.1, 57)),
    "hba1c_percent": ("4548-4 17856-6 59261-8", {"%": 1}, (3, 20), (15, 200)),
    "fasting_glucose_mg_dl": ("1558-6 14771-0", {"mg/dL": 1}, (20, 1000), (1, 56)),
    "egfr_ml_min_173m2": (
        "98979-8 88293-6 62238-1 33914-3 48642-3 48643-1 69405-9",
        {"mL/min/{1.73_m2}": 1, "mL/min": 1},  # the codes say per 1.73 m2 whatever the unit leaves out
        (1, 250),
        (0.02, 4.2),
    ),
    "creatinine_mg_dl": ("2160-0 14682-9 38483-4", {"mg/dL": 1}, (0.1, 30), (9, 2700)),
    "bmi_kg_m2": ("39156-5", {"kg/m2": 1}, (10, 100), None),
    "urine_acr_mg_g": ("9318-7 14959-1", {"mg/g": 1}, (0, 30000), (0, 3400)),
}
# What a BMI is computed from where the record holds none.
PARTS: dict[str, tuple[str, dict[str, float], tuple[float, float], tuple[float, float] | None]] = {
    "weight_kg": ("29463-7 3141-9 3142-7", {"kg": 1}, (2, 400), (4.4, 880)),
    "height_cm": ("8302-2 3137-7 3138-5", {"cm": 1}, (40, 250), (0.4, 98)),
}
SERIES = ("sbp_mmhg", "ldl_mg_dl", "hba1c_percent", "egfr_ml_min_173m2", "bmi_kg_m2")
LONG_DAYS, SUPPLY_DAYS, LONGEST_SUPPLY_DAYS, GRACE_DAYS = 1825, 90.0, 730.0, 30
COUNTED_VISITS = {
    "admissions": (("IP", "ERIP"), (90, 365, 1095)),
    "unplanned_admissions": (("ERIP",), (365, 1095)),
    "emergency_visits": (("ER", "ERIP"), (90, 365)),
    "outpatient_visits": (("OP",), (365,)),
}

# LOINC 72166-2 answers and the SNOMED CT and CTV3 codes of the lists; the words of an answer in lower case.
SMOKING = {
    "smoking_current": {"never": 0, "former": 0, "current": 1, "not_now": 0},
    "smoking_ever": {"never": 0, "former": 1, "current": 1, "ever": 1},
}
SMOKING_WORDS = {
    "never": ("never", "never smoker", "never smoked tobacco", "non-smoker"),
    "former": ("former", "former smoker", "ex-smoker"),
    "current": (
        "current", "current every day smoker", "current some day smoker", "smoker", "heavy tobacco smoker",
        "light tobacco smoker", "smokes tobacco daily",
    ),
}  # fmt: skip
FAMILY = {  # the list that denies it; no set here holds a FamilyMemberHistory
    "family_history_chd": "no_family_history_chd",
    "family_history_diabetes": "no_family_history_diabetes",
    "family_history_breast_cancer": None,
}
WORDS = {
    "race": (
        "american indian or alaska native", "asian", "black or african american",
        "native hawaiian or other pacific islander", "white", "other",
    ),
    "ethnicity": ("not hispanic or latino", "hispanic or latino"),
}  # fmt: skip

MONOGENIC = ("familial_hypercholesterolaemia", "hereditary_breast_ovarian_cancer", "lynch_syndrome")

Pattern = tuple[str, str, str]  # vocabulary, code, how it matches: exact, prefix, below


@cache
def seed() -> dict[str, list[Pattern]]:
    """The rows of both shipped files by list."""
    found: dict[str, list[Pattern]] = {}
    for file in ("conditions.csv", "drugs.csv"):
        for row in csv.DictReader((CODES / "seed" / file).read_text(encoding="utf-8").splitlines()):
            found.setdefault(row["list"], []).append((row["vocabulary"], row["code"], row["match"]))
    return found


def listed(name: str) -> set[Pattern]:
    """A list with everything that it contains."""
    found = set(seed().get(name, []))
    for part in CONTAINS.get(name, "").split():
        found |= listed(part)
    return found


def category(index: str, name: str) -> set[Pattern]:
    """A comorbidity category: the published prefixes of ICD, and SNOMED CT and CTV3 of the lists."""
    text = (CODES / "comorbidity.csv").read_text(encoding="utf-8").splitlines()
    found: set[Pattern] = set()
    for row in csv.DictReader(line for line in text if not line.startswith("#")):
        if (row["index"], row["category"]) == (index, name):
            same = ("ICD10CM", "ICD10", "ICD10GM") if row["vocabulary"] == "ICD10CM" else ("ICD9CM",)
            found |= {(each, code, "prefix") for each in same for code in row["prefixes"].split()}
    lists = CHARLSON if index == "charlson" else ELIXHAUSER
    for one in lists[name].split():
        found |= {pattern for pattern in listed(one) if pattern[0] in ("SNOMED", "CTV3")}
    return found


@cache
def drug_names() -> dict[str, str]:
    """A name of an ingredient, in lower case, to RxNorm's number of it."""
    rows = csv.DictReader((CODES / "seed" / "drug_names.csv").read_text(encoding="utf-8").splitlines())
    return {row["name"].lower(): row["ingredient"] for row in rows}
