"""Comorbidity: Charlson's categories and index, Elixhauser's categories."""

from __future__ import annotations

from features.catalogue.spec import FeatureSpec
from features.codes import CHARLSON, INDICES, category_codes

REFERENCES = {
    "charlson": "Charlson ME et al., J Chronic Dis 1987;40:373-83; Quan H et al., Med Care 2005;43:1130-9",
    "elixhauser": "Elixhauser A et al., Med Care 1998;36:8-27; Quan H et al., Med Care 2005;43:1130-9",
}


def comorbidity() -> tuple[FeatureSpec, ...]:
    """Features of comorbidity: Charlson's and Elixhauser's categories ever recorded, and Charlson's index."""
    categories = tuple(
        FeatureSpec(
            f"{index}_{category}",
            "comorbidity",
            f"{words} ({index.capitalize()})",
            unit="1",
            missing="never missing: 0 is not recorded",
            aggregate="any",
            codes=category_codes(index, category),
            absent=0.0,
            reference=REFERENCES[index],
        )
        for index, words_by_category in INDICES.items()
        for category, words in words_by_category.items()
    )
    index = FeatureSpec(
        "charlson_index",
        "comorbidity",
        "Charlson comorbidity index, not adjusted for age",
        unit="1",
        missing="never missing: 0 is no category recorded",
        aggregate="derived",
        codes=("charlson_index",),
        inputs=tuple(f"charlson_{category}" for category in CHARLSON),
        reference=REFERENCES["charlson"],
    )
    return (*categories, index)
