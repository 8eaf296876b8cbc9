"""Comorbidity: Charlson's index with its weights, and Elixhauser's categories.

Charlson ME et al., J Chronic Dis 1987;40:373-83 (weights); Elixhauser A et al., Med Care 1998;36:8-27 (categories);
Quan H et al., Med Care 2005;43:1130-9 (codes of both in ICD-9-CM and ICD-10). SNOMED CT and CTV3 come from the lists
that ship, by category the same for both indices; two of Elixhauser's categories have none (`READ_BY_ICD_ALONE`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np

from features.arrays import Floats
from features.codes.shipped import patterns

# category -> words, weight.
CHARLSON: Mapping[str, tuple[str, int]] = {
    "ami": ("myocardial infarction", 1),
    "chf": ("congestive heart failure", 1),
    "pvd": ("peripheral vascular disease", 1),
    "cevd": ("cerebrovascular disease", 1),
    "dementia": ("dementia", 1),
    "copd": ("chronic pulmonary disease", 1),
    "rheumd": ("rheumatic disease", 1),
    "pud": ("peptic ulcer disease", 1),
    "mld": ("mild liver disease", 1),
    "diab": ("diabetes without complications", 1),
    "diabwc": ("diabetes with complications", 2),
    "hp": ("hemiplegia or paraplegia", 2),
    "rend": ("renal disease", 2),
    "canc": ("cancer", 2),
    "msld": ("moderate or severe liver disease", 3),
    "metacanc": ("metastatic cancer", 6),
    "aids": ("AIDS or HIV", 6),
}
OUTRANKED = {"mld": "msld", "diab": "diabwc", "canc": "metacanc"}  # the graver form counts, not both

ELIXHAUSER: Mapping[str, str] = {
    "chf": "congestive heart failure",
    "carit": "cardiac arrhythmia",
    "valv": "valvular disease",
    "pcd": "pulmonary circulation disorder",
    "pvd": "peripheral vascular disorder",
    "hypunc": "hypertension, uncomplicated",
    "hypc": "hypertension, complicated",
    "para": "paralysis",
    "ond": "other neurological disorder",
    "cpd": "chronic pulmonary disease",
    "diabunc": "diabetes, uncomplicated",
    "diabc": "diabetes, complicated",
    "hypothy": "hypothyroidism",
    "rf": "renal failure",
    "ld": "liver disease",
    "pud": "peptic ulcer disease, no bleeding",
    "aids": "AIDS or HIV",
    "lymph": "lymphoma",
    "metacanc": "metastatic cancer",
    "solidtum": "solid tumour without metastasis",
    "rheumd": "rheumatoid arthritis or collagen disease",
    "coag": "coagulopathy",
    "obes": "obesity",
    "wloss": "weight loss",
    "fed": "fluid and electrolyte disorder",
    "blane": "blood loss anaemia",
    "dane": "deficiency anaemia",
    "alcohol": "alcohol abuse",
    "drug": "drug abuse",
    "psycho": "psychosis",
    "depre": "depression",
}

_CHRONIC_LUNG = ("copd", "asthma", "chronic_bronchitis")
_PERIPHERAL = ("peripheral_artery_disease", "aortic_atherosclerosis", "aortic_aneurysm")
_RHEUMATIC = ("rheumatoid_arthritis", "connective_tissue_disease")
_RENAL = ("chronic_kidney_disease", "renal_replacement")
_LIVER, _GRAVE_LIVER = ("chronic_liver_disease", "chronic_viral_hepatitis"), ("severe_liver_disease", "varices")
_SOLID = ("breast_cancer", "solid_cancer")
# (index, category) -> lists that ship, of which the codes beside ICD count.
SHIPPED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("charlson", "ami"): ("myocardial_infarction",),
    ("charlson", "chf"): ("heart_failure",),
    ("charlson", "pvd"): _PERIPHERAL,
    ("charlson", "cevd"): ("stroke", "tia", "cerebrovascular_disease"),
    ("charlson", "dementia"): ("dementia",),
    ("charlson", "copd"): _CHRONIC_LUNG,
    ("charlson", "rheumd"): _RHEUMATIC,
    ("charlson", "pud"): ("peptic_ulcer",),
    ("charlson", "mld"): _LIVER,
    ("charlson", "diab"): ("diabetes_uncomplicated", "diabetes_acute", "diabetes_other"),
    ("charlson", "diabwc"): ("diabetes_complicated",),
    ("charlson", "hp"): ("paralysis",),
    ("charlson", "rend"): _RENAL,
    ("charlson", "canc"): (*_SOLID, "lymphoma", "myeloma", "leukaemia"),
    ("charlson", "msld"): _GRAVE_LIVER,
    ("charlson", "metacanc"): ("metastatic_cancer",),
    ("charlson", "aids"): ("hiv",),
    ("elixhauser", "chf"): ("heart_failure",),
    ("elixhauser", "carit"): ("atrial_fibrillation", "arrhythmia"),
    ("elixhauser", "valv"): ("valvular_heart_disease",),
    ("elixhauser", "pcd"): ("pulmonary_hypertension", "pulmonary_embolism"),
    ("elixhauser", "pvd"): _PERIPHERAL,
    ("elixhauser", "hypunc"): ("essential_hypertension",),
    ("elixhauser", "hypc"): ("complicated_hypertension",),
    ("elixhauser", "para"): ("paralysis",),
    ("elixhauser", "ond"): ("epilepsy", "neurological_disease"),
    ("elixhauser", "cpd"): _CHRONIC_LUNG,
    ("elixhauser", "diabunc"): ("diabetes_uncomplicated", "diabetes_acute"),
    ("elixhauser", "diabc"): ("diabetes_complicated", "diabetes_other"),
    ("elixhauser", "hypothy"): ("hypothyroidism",),
    ("elixhauser", "rf"): _RENAL,
    ("elixhauser", "ld"): (*_LIVER, *_GRAVE_LIVER),
    ("elixhauser", "pud"): ("ulcer_without_bleeding",),
    ("elixhauser", "aids"): ("hiv",),
    ("elixhauser", "lymph"): ("lymphoma", "myeloma"),
    ("elixhauser", "metacanc"): ("metastatic_cancer",),
    ("elixhauser", "solidtum"): _SOLID,
    ("elixhauser", "rheumd"): _RHEUMATIC,
    ("elixhauser", "coag"): ("coagulopathy",),
    ("elixhauser", "obes"): ("obesity",),
    ("elixhauser", "wloss"): ("weight_loss",),
    ("elixhauser", "dane"): ("deficiency_anaemia",),
    ("elixhauser", "alcohol"): ("alcohol_misuse",),
    ("elixhauser", "drug"): ("drug_misuse",),
    ("elixhauser", "psycho"): ("psychosis",),
    ("elixhauser", "depre"): ("depression", "dysthymia"),
}
READ_BY_ICD_ALONE = frozenset({"fed", "blane"})
INDICES: Mapping[str, Mapping[str, str]] = {
    "charlson": {category: words for category, (words, _) in CHARLSON.items()},
    "elixhauser": ELIXHAUSER,
}


@cache
def _prefixes() -> dict[tuple[str, str], tuple[str, ...]]:
    """(index, category) -> patterns of codes."""
    by_category: dict[tuple[str, str], list[str]] = {}
    text = resources.files("features.codes").joinpath("comorbidity.csv").read_text()
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        vocabularies = ("ICD10CM", "ICD10", "ICD10GM") if row["vocabulary"] == "ICD10CM" else ("ICD9CM",)
        listed = [f"{vocabulary}//{code}*" for vocabulary in vocabularies for code in row["prefixes"].split()]
        by_category.setdefault((row["index"], row["category"]), []).extend(listed)
    return {key: tuple(listed) for key, listed in by_category.items()}


def category_codes(index: str, category: str) -> tuple[str, ...]:
    """Code patterns (see `features.codes.lists`) of one category of `charlson` or `elixhauser`."""
    shipped = (patterns(name, vocabularies=("SNOMED", "CTV3")) for name in SHIPPED.get((index, category), ()))
    return tuple(dict.fromkeys([*_prefixes()[index, category], *(each for one in shipped for each in one)]))


def charlson_index(categories: Mapping[str, Floats]) -> Floats:
    """Charlson's comorbidity index (n,): the sum of the weights of the categories that are present, 0 to 29.

    categories: 0 or 1 for each person, (n,), by the name of the category. Not adjusted for age.
    """
    total = np.zeros_like(next(iter(categories.values())))
    for category, (_, weight) in CHARLSON.items():
        graver = OUTRANKED.get(category)
        counts = categories[category] if graver is None else categories[category] * (1 - categories[graver])
        total = total + weight * counts
    return total


def charlson_from_features(columns: Mapping[str, Floats]) -> Floats:
    """Charlson's index (n,) from columns that are named as the catalogue names its features."""
    return charlson_index({category: columns[f"charlson_{category}"] for category in CHARLSON})
