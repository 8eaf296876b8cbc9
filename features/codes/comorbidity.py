"""Comorbidity: Charlson's index with its weights, and Elixhauser's categories, by ICD-9-CM and ICD-10.

Charlson ME et al., J Chronic Dis 1987;40:373-83 (weights); Elixhauser A et al., Med Care 1998;36:8-27 (categories);
Quan H et al., Med Care 2005;43:1130-9 (codes of both). A record that codes conditions otherwise has none of them.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources

import numpy as np

from features.arrays import Floats

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
        vocabularies = ("ICD10CM", "ICD10") if row["vocabulary"] == "ICD10CM" else ("ICD9CM",)
        patterns = [f"{vocabulary}//{code}*" for vocabulary in vocabularies for code in row["prefixes"].split()]
        by_category.setdefault((row["index"], row["category"]), []).extend(patterns)
    return {key: tuple(patterns) for key, patterns in by_category.items()}


def category_codes(index: str, category: str) -> tuple[str, ...]:
    """Code patterns (see `features.codes.lists`) of one category of `charlson` or `elixhauser`."""
    return _prefixes()[index, category]


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
