"""Every concept the simulated record uses, as OMOP concept tables: real ids where known, local ones above 2 billion.

Real ids stand as they do in the concept tables of OHDSI's GiBleed and Synthea27Nj sets. Other concepts have local ids
but keep their true vocabulary and code; the vocabulary `Presage` holds what no vocabulary has.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pyarrow as pa

LOCAL = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Concept:
    """One row of CONCEPT. `standard`: S, or empty for source concepts, which `maps_to` a standard one's key."""

    concept_id: int
    name: str
    domain: str
    vocabulary: str
    concept_class: str
    code: str
    standard: str = "S"
    maps_to: str = ""


# key: (real id or 0, name, domain, vocabulary, class, code)
_STANDARD: dict[str, tuple[int, str, str, str, str, str]] = {
    "M": (8507, "MALE", "Gender", "Gender", "Gender", "M"),
    "F": (8532, "FEMALE", "Gender", "Gender", "Gender", "F"),
    "white": (0, "White", "Race", "Race", "Race", "5"),
    "black": (0, "Black or African American", "Race", "Race", "Race", "3"),
    "asian": (0, "Asian", "Race", "Race", "Race", "2"),
    "hispanic": (38003563, "Hispanic or Latino", "Ethnicity", "Ethnicity", "Ethnicity", "Hispanic"),
    "not_hispanic": (38003564, "Not Hispanic or Latino", "Ethnicity", "Ethnicity", "Ethnicity", "Not Hispanic"),
    "ehr": (0, "EHR", "Type Concept", "Type Concept", "Type Concept", "OMOP4976890"),
    "IP": (9201, "Inpatient Visit", "Visit", "Visit", "Visit", "IP"),
    "OP": (9202, "Outpatient Visit", "Visit", "Visit", "Visit", "OP"),
    "ER": (9203, "Emergency Room Visit", "Visit", "Visit", "Visit", "ER"),
    "ERIP": (0, "Emergency Room and Inpatient Visit", "Visit", "Visit", "Visit", "ERIP"),
    "mm[Hg]": (8876, "millimeter mercury column", "Unit", "UCUM", "Unit", "mm[Hg]"),
    "mg/dL": (8840, "milligram per deciliter", "Unit", "UCUM", "Unit", "mg/dL"),
    "%": (8554, "percent", "Unit", "UCUM", "Unit", "%"),
    "kg/m2": (9531, "kilogram per square meter", "Unit", "UCUM", "Unit", "kg/m2"),
    "mg/g": (8723, "milligram per gram", "Unit", "UCUM", "Unit", "mg/g"),
    "mL/min/{1.73_m2}": (0, "milliliter per minute per 1.73 square meter", "Unit", "UCUM", "Unit", "mL/min/{1.73_m2}"),
    "sbp": (3004249, "Systolic blood pressure", "Measurement", "LOINC", "Clinical Observation", "8480-6"),
    "dbp": (3012888, "Diastolic blood pressure", "Measurement", "LOINC", "Clinical Observation", "8462-4"),
    "bmi": (3038553, "Body mass index (BMI) [Ratio]", "Measurement", "LOINC", "Clinical Observation", "39156-5"),
    "tc": (3027114, "Cholesterol [Mass/volume] in Serum or Plasma", "Measurement", "LOINC", "Lab Test", "2093-3"),
    "hdl": (3007070, "Cholesterol in HDL [Mass/volume] in Serum or Plasma", "Measurement", "LOINC", "Lab Test", "2085-9"),
    "ldl": (0, "Cholesterol in LDL [Mass/volume] in Serum or Plasma by calculation", "Measurement", "LOINC", "Lab Test",
            "13457-7"),
    "tg": (3022192, "Triglyceride [Mass/volume] in Serum or Plasma", "Measurement", "LOINC", "Lab Test", "2571-8"),
    "hba1c": (3004410, "Hemoglobin A1c/Hemoglobin.total in Blood", "Measurement", "LOINC", "Lab Test", "4548-4"),
    "glucose": (0, "Fasting glucose [Mass/volume] in Serum or Plasma", "Measurement", "LOINC", "Lab Test", "1558-6"),
    "creatinine": (3016723, "Creatinine [Mass/volume] in Serum or Plasma", "Measurement", "LOINC", "Lab Test", "2160-0"),
    "egfr": (0, "Glomerular filtration rate [Volume Rate/Area] in Serum, Plasma or Blood by Creatinine-based formula "
             "(CKD-EPI 2021)/1.73 sq M", "Measurement", "LOINC", "Lab Test", "98979-8"),
    "acr": (0, "Microalbumin/Creatinine [Mass Ratio] in Urine", "Measurement", "LOINC", "Lab Test", "9318-7"),
    "smoking": (43054909, "Tobacco smoking status", "Observation", "LOINC", "Clinical Observation", "72166-2"),
    "deprivation": (0, "Deprivation quintile of the home address, 1 least to 5 most", "Observation", "Presage",
                    "Observation", "DEPRIVATION_QUINTILE"),
    "family_chd": (0, "Family history of premature coronary disease, 1 yes, 0 no", "Observation", "Presage",
                   "Observation", "FAMILY_HISTORY_CHD"),
    "family_t2d": (0, "Family history of diabetes, 1 yes, 0 no", "Observation", "Presage", "Observation",
                   "FAMILY_HISTORY_DIABETES"),
    "family_breast_cancer": (0, "Family history of breast cancer, 1 yes, 0 no", "Observation", "Presage", "Observation",
                             "FAMILY_HISTORY_BREAST_CANCER"),
    "atorvastatin_80": (1545959, "atorvastatin 80 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "259255"),
    "simvastatin_20": (1539411, "simvastatin 20 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "312961"),
    "lisinopril_10": (19080128, "lisinopril 10 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "314076"),
    "amlodipine_5": (1332419, "amlodipine 5 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "197361"),
    "hydrochlorothiazide_25": (19078106, "hydrochlorothiazide 25 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug",
                               "310798"),
    "metformin_500": (40163924, "24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet", "Drug", "RxNorm",
                      "Quant Clinical Drug", "860975"),
    "aspirin_81": (19059056, "aspirin 81 MG Oral Tablet", "Drug", "RxNorm", "Clinical Drug", "243670"),
    "atorvastatin": (1545958, "atorvastatin", "Drug", "RxNorm", "Ingredient", "83367"),
    "simvastatin": (1539403, "simvastatin", "Drug", "RxNorm", "Ingredient", "36567"),
    "lisinopril": (1308216, "lisinopril", "Drug", "RxNorm", "Ingredient", "29046"),
    "amlodipine": (1332418, "amlodipine", "Drug", "RxNorm", "Ingredient", "17767"),
    "hydrochlorothiazide": (0, "hydrochlorothiazide", "Drug", "RxNorm", "Ingredient", "5487"),
    "metformin": (0, "metformin", "Drug", "RxNorm", "Ingredient", "6809"),
    "aspirin": (1112807, "aspirin", "Drug", "RxNorm", "Ingredient", "1191"),
    "ibuprofen": (1177480, "ibuprofen", "Drug", "RxNorm", "Ingredient", "5640"),
    "amoxicillin": (1713332, "amoxicillin", "Drug", "RxNorm", "Ingredient", "723"),
    "prednisone": (1551099, "prednisone", "Drug", "RxNorm", "Ingredient", "8640"),
    "albuterol": (1154343, "albuterol", "Drug", "RxNorm", "Ingredient", "435"),
    "warfarin": (1310149, "warfarin", "Drug", "RxNorm", "Ingredient", "11289"),
    "s_cvd": (134057, "Disorder of cardiovascular system", "Condition", "SNOMED", "Disorder", "49601007"),
    "s_mi": (4329847, "Myocardial infarction", "Condition", "SNOMED", "Disorder", "22298006"),
    "s_cad": (317576, "Coronary arteriosclerosis", "Condition", "SNOMED", "Disorder", "53741008"),
    "s_angina": (0, "Angina pectoris", "Condition", "SNOMED", "Disorder", "194828000"),
    "s_ihd": (0, "Ischemic heart disease", "Condition", "SNOMED", "Disorder", "414545008"),
    "s_t2d": (201826, "Type 2 diabetes mellitus", "Condition", "SNOMED", "Disorder", "44054006"),
    "s_dm": (0, "Diabetes mellitus", "Condition", "SNOMED", "Disorder", "73211009"),
    "s_breast": (4112853, "Malignant tumor of breast", "Condition", "SNOMED", "Disorder", "254837009"),
    "s_htn": (320128, "Essential hypertension", "Condition", "SNOMED", "Disorder", "59621000"),
    "s_lipid": (432867, "Hyperlipidemia", "Condition", "SNOMED", "Disorder", "55822004"),
    "s_fh": (0, "Familial hypercholesterolemia", "Condition", "SNOMED", "Disorder", "398036000"),
    "s_ckd3": (443597, "Chronic kidney disease stage 3", "Condition", "SNOMED", "Disorder", "433144002"),
    "s_hf": (316139, "Heart failure", "Condition", "SNOMED", "Disorder", "84114007"),
    "s_af": (313217, "Atrial fibrillation", "Condition", "SNOMED", "Disorder", "49436004"),
    "s_stroke": (0, "Cerebral infarction", "Condition", "SNOMED", "Disorder", "432504007"),
    "s_copd": (0, "Chronic obstructive lung disease", "Condition", "SNOMED", "Disorder", "13645005"),
    "s_asthma": (317009, "Asthma", "Condition", "SNOMED", "Disorder", "195967001"),
    "s_depression": (4282096, "Major depression, single episode", "Condition", "SNOMED", "Disorder", "36923009"),
    "s_uri": (0, "Acute upper respiratory infection", "Condition", "SNOMED", "Disorder", "54398005"),
    "s_back": (0, "Low back pain", "Condition", "SNOMED", "Finding", "279039007"),
    "s_uti": (81902, "Urinary tract infectious disease", "Condition", "SNOMED", "Disorder", "68566005"),
    "s_gerd": (318800, "Gastroesophageal reflux disease", "Condition", "SNOMED", "Disorder", "235595009"),
    "s_pneumonia": (255848, "Pneumonia", "Condition", "SNOMED", "Disorder", "233604007"),
    "s_gi_bleed": (192671, "Gastrointestinal hemorrhage", "Condition", "SNOMED", "Disorder", "74474003"),
    "s_hip": (0, "Fracture of neck of femur", "Condition", "SNOMED", "Disorder", "5913000"),
    "s_sepsis": (132797, "Sepsis", "Condition", "SNOMED", "Disorder", "91302008"),
    "s_chest_pain": (0, "Chest pain", "Condition", "SNOMED", "Finding", "29857009"),
    "s_knee": (4079750, "Osteoarthritis of knee", "Condition", "SNOMED", "Disorder", "239873007"),
}  # fmt: skip

# ICD-10-CM source concepts: key: (name, code, standard concept's key)
_REAL_ICD10CM = {"gi_bleed": 35208414}
_ICD10CM: dict[str, tuple[str, str, str]] = {
    "mi": ("Acute myocardial infarction, unspecified", "I21.9", "s_mi"),
    "cad": ("Atherosclerotic heart disease of native coronary artery without angina pectoris", "I25.10", "s_cad"),
    "angina": ("Angina pectoris, unspecified", "I20.9", "s_angina"),
    "t2d": ("Type 2 diabetes mellitus without complications", "E11.9", "s_t2d"),
    "breast_cancer": ("Malignant neoplasm of unspecified site of unspecified female breast", "C50.919", "s_breast"),
    "hypertension": ("Essential (primary) hypertension", "I10", "s_htn"),
    "hyperlipidaemia": ("Hyperlipidemia, unspecified", "E78.5", "s_lipid"),
    "fh": ("Familial hypercholesterolemia", "E78.01", "s_fh"),
    "ckd": ("Chronic kidney disease, stage 3 unspecified", "N18.30", "s_ckd3"),
    "heart_failure": ("Heart failure, unspecified", "I50.9", "s_hf"),
    "atrial_fibrillation": ("Unspecified atrial fibrillation", "I48.91", "s_af"),
    "stroke": ("Cerebral infarction, unspecified", "I63.9", "s_stroke"),
    "copd": ("Chronic obstructive pulmonary disease, unspecified", "J44.9", "s_copd"),
    "asthma": ("Unspecified asthma, uncomplicated", "J45.909", "s_asthma"),
    "depression": ("Major depressive disorder, single episode, unspecified", "F32.9", "s_depression"),
    "uri": ("Acute upper respiratory infection, unspecified", "J06.9", "s_uri"),
    "back": ("Low back pain, unspecified", "M54.50", "s_back"),
    "uti": ("Urinary tract infection, site not specified", "N39.0", "s_uti"),
    "gerd": ("Gastro-esophageal reflux disease without esophagitis", "K21.9", "s_gerd"),
    "pneumonia": ("Pneumonia, unspecified organism", "J18.9", "s_pneumonia"),
    "gi_bleed": ("Gastrointestinal hemorrhage, unspecified", "K92.2", "s_gi_bleed"),
    "hip": ("Fracture of unspecified part of neck of unspecified femur", "S72.009A", "s_hip"),
    "sepsis": ("Sepsis, unspecified organism", "A41.9", "s_sepsis"),
    "chest_pain": ("Chest pain, unspecified", "R07.9", "s_chest_pain"),
    "knee": ("Unilateral primary osteoarthritis, unspecified knee", "M17.10", "s_knee"),
}

# (ancestor, descendant, levels)
_HIERARCHY: tuple[tuple[str, str, int], ...] = (
    ("atorvastatin", "atorvastatin_80", 1),
    ("simvastatin", "simvastatin_20", 1),
    ("lisinopril", "lisinopril_10", 1),
    ("amlodipine", "amlodipine_5", 1),
    ("hydrochlorothiazide", "hydrochlorothiazide_25", 1),
    ("metformin", "metformin_500", 1),
    ("aspirin", "aspirin_81", 1),
    ("s_dm", "s_t2d", 1),
    ("s_lipid", "s_fh", 1),
    ("s_ihd", "s_mi", 1),
    ("s_ihd", "s_cad", 1),
    ("s_ihd", "s_angina", 1),
    ("s_cvd", "s_ihd", 1),
    ("s_cvd", "s_mi", 2),
    ("s_cvd", "s_cad", 2),
    ("s_cvd", "s_angina", 2),
    ("s_cvd", "s_htn", 1),
    ("s_cvd", "s_hf", 1),
    ("s_cvd", "s_af", 1),
    ("s_cvd", "s_stroke", 1),
)


def _build() -> dict[str, Concept]:
    concepts: dict[str, Concept] = {}
    local = LOCAL
    for key, (concept_id, name, domain, vocabulary, concept_class, code) in _STANDARD.items():
        local += concept_id == 0
        concepts[key] = Concept(concept_id or local, name, domain, vocabulary, concept_class, code)
    for key, (name, code, standard) in _ICD10CM.items():
        real = _REAL_ICD10CM.get(key, 0)
        local += real == 0
        kind = "3-char billing code" if "." not in code else f"{len(code) - 1}-char billing code"
        concepts[key] = Concept(real or local, name, "Condition", "ICD10CM", kind, code, standard="", maps_to=standard)
    return concepts


CONCEPTS = _build()


def concept_table() -> pa.Table:
    """CONCEPT, in the order of ids."""
    rows = sorted(CONCEPTS.values(), key=lambda c: c.concept_id)
    return pa.table(
        {
            "concept_id": pa.array([c.concept_id for c in rows], pa.int64()),
            "concept_name": [c.name for c in rows],
            "domain_id": [c.domain for c in rows],
            "vocabulary_id": [c.vocabulary for c in rows],
            "concept_class_id": [c.concept_class for c in rows],
            "standard_concept": pa.array([c.standard or None for c in rows], pa.string()),
            "concept_code": [c.code for c in rows],
            "valid_start_date": pa.array([datetime.date(1970, 1, 1)] * len(rows), pa.date32()),
            "valid_end_date": pa.array([datetime.date(2099, 12, 31)] * len(rows), pa.date32()),
            "invalid_reason": pa.nulls(len(rows), pa.string()),
        }
    )


def relationship_table() -> pa.Table:
    """CONCEPT_RELATIONSHIP: each source concept 'Maps to' its standard one; standard ones to themselves."""
    pairs = sorted(
        (c.concept_id, CONCEPTS[c.maps_to].concept_id if c.maps_to else c.concept_id) for c in CONCEPTS.values()
    )
    return pa.table(
        {
            "concept_id_1": pa.array([a for a, _ in pairs], pa.int64()),
            "concept_id_2": pa.array([b for _, b in pairs], pa.int64()),
            "relationship_id": ["Maps to"] * len(pairs),
            "valid_start_date": pa.array([datetime.date(1970, 1, 1)] * len(pairs), pa.date32()),
            "valid_end_date": pa.array([datetime.date(2099, 12, 31)] * len(pairs), pa.date32()),
            "invalid_reason": pa.nulls(len(pairs), pa.string()),
        }
    )


def ancestor_table() -> pa.Table:
    """CONCEPT_ANCESTOR: every standard drug and condition is its own ancestor, as OMOP has it, and the hierarchy."""
    own = [
        (c.concept_id, c.concept_id, 0)
        for c in CONCEPTS.values()
        if c.standard and c.domain in ("Drug", "Condition", "Measurement")
    ]
    named = [(CONCEPTS[a].concept_id, CONCEPTS[d].concept_id, levels) for a, d, levels in _HIERARCHY]
    rows = sorted(own + named)
    return pa.table(
        {
            "ancestor_concept_id": pa.array([r[0] for r in rows], pa.int64()),
            "descendant_concept_id": pa.array([r[1] for r in rows], pa.int64()),
            "min_levels_of_separation": pa.array([r[2] for r in rows], pa.int64()),
            "max_levels_of_separation": pa.array([r[2] for r in rows], pa.int64()),
        }
    )
