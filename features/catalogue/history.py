"""Features of who a person is: demographics, groups for equity, family history, social circumstances."""

from __future__ import annotations

from features.catalogue.spec import FeatureSpec
from features.codes import ANSWER, patterns

RACES = (
    ("Race//1", "american indian or alaska native"),
    ("Race//2", "asian"),
    ("Race//3", "black or african american"),
    ("Race//4", "native hawaiian or other pacific islander"),
    ("Race//5", "white"),
    ("Race//6", "other"),
)
ETHNICITIES = (
    ("Ethnicity//Not Hispanic", "not hispanic or latino"),
    ("Ethnicity//Hispanic", "hispanic or latino"),
)
SMOKING_TEXTS = {
    "never": ("never", "never smoker", "never smoked tobacco", "non-smoker"),
    "former": ("former", "former smoker", "ex-smoker"),
    "current": (
        "current",
        "current every day smoker",
        "current some day smoker",
        "smoker",
        "heavy tobacco smoker",
        "light tobacco smoker",
        "smokes tobacco daily",
    ),
}
SMOKING_STATUS = "LOINC//72166-2"
RELATIVE = "FAMILY_HISTORY//"  # what a relative has, like what was answered, is no code of its own
OMB = "OMB 1997 categories, OMOP vocabularies Race and Ethnicity"


def demographics() -> tuple[FeatureSpec, ...]:
    """Features of age and sex."""
    return (
        FeatureSpec(
            "age_years",
            "demographics",
            "age",
            unit="a",
            missing="no date of birth",
            aggregate="years_since_first",
            codes=("MEDS_BIRTH",),
            monotone=1,
        ),
        FeatureSpec(
            "sex_female",
            "demographics",
            "female sex",
            unit="1",
            missing="sex neither female nor male in the record, or not recorded",
            aggregate="latest",
            codes=("Gender//F", "Gender//M"),
            values=(("Gender//F", 1.0), ("Gender//M", 0.0)),
        ),
    )


def groups() -> tuple[FeatureSpec, ...]:
    """Features of race and ethnicity as they were recorded: to look at fairness with, not to predict from."""
    return (
        _category("race", "race as recorded", categories=RACES),
        _category("ethnicity", "ethnicity as recorded", categories=ETHNICITIES),
    )


def _category(name: str, label: str, *, categories: tuple[tuple[str, str], ...]) -> FeatureSpec:
    return FeatureSpec(
        name,
        "groups",
        label,
        unit="1",
        missing="not recorded, or outside these categories",
        aggregate="latest",
        codes=tuple(code for code, _ in categories),
        values=tuple((code, float(number)) for number, (code, _) in enumerate(categories)),
        categories=tuple(words for _, words in categories),
        reference=OMB,
    )


def family_history() -> tuple[FeatureSpec, ...]:
    """Features of relatives by blood, of any degree: 1 where the answer was yes, 0 where no, missing if not asked."""
    asked = (
        ("chd", "coronary disease", "coronary_disease", ("no_family_history_chd",)),
        ("diabetes", "diabetes", "diabetes", ("no_family_history_diabetes",)),
        ("breast_cancer", "breast cancer", "breast_cancer", ()),
    )
    return tuple(
        _family_history(name, words, condition=condition, denied=denied) for name, words, condition, denied in asked
    )


def _family_history(name: str, words: str, *, condition: str, denied: tuple[str, ...]) -> FeatureSpec:
    """A code that says so, or a relative's condition: `FAMILY_HISTORY//<code>`, whatever the relative."""
    codes = patterns(f"family_history_{name}")
    said = (*codes, *(f"{RELATIVE}{each}" for each in (*codes, *_alone(condition))))
    no = tuple(pattern for one in denied for pattern in patterns(one))
    return FeatureSpec(
        f"family_history_{name}",
        "family_history",
        f"family history of {words}",
        unit="1",
        missing="never asked",
        aggregate="latest",
        codes=(f"Presage//FAMILY_HISTORY_{name.upper()}", *said, *no),
        value_unit="1",
        valid=(0, 1),
        values=(*((pattern, 1.0) for pattern in said), *((pattern, 0.0) for pattern in no)),
        monotone=1,
    )


def _alone(condition: str) -> tuple[str, ...]:
    """Its patterns without a hierarchy, as no hierarchy holds the codes of relatives' conditions."""
    listed = patterns(condition, vocabularies=("ICD10CM", "ICD10", "ICD10GM", "ICD9CM", "SNOMED"))
    return tuple(dict.fromkeys(pattern.removeprefix("<<") for pattern in listed))


def social() -> tuple[FeatureSpec, ...]:
    """Features of deprivation and smoking."""
    deprivation = FeatureSpec(
        "deprivation_quintile",
        "social",
        "deprivation fifth of the area (5: most deprived)",
        unit="1",
        missing="address not linked to an area",
        aggregate="latest",
        codes=("Presage//DEPRIVATION_QUINTILE",),
        value_unit="1",
        valid=(1, 5),
    )
    return (
        deprivation,
        _smoking("smoking_current", "smokes now", numbers={"never": 0, "former": 0, "current": 1, "not_now": 0}),
        _smoking("smoking_ever", "smokes or has smoked", numbers={"never": 0, "former": 1, "current": 1, "ever": 1}),
    )


def _smoking(name: str, label: str, *, numbers: dict[str, int]) -> FeatureSpec:
    """By the status's own code, or by what an observed status was answered with: its code in whatever language it is
    said, its text where no code is known. What says no more is not a value.
    """
    own = tuple(
        (pattern, float(number)) for status, number in numbers.items() for pattern in patterns(f"smoking_{status}")
    )
    values = (*own, *((f"{ANSWER}{pattern}", number) for pattern, number in own))
    return FeatureSpec(
        name,
        "social",
        label,
        unit="1",
        missing="smoking status never recorded",
        aggregate="latest",
        codes=(SMOKING_STATUS, *(pattern for pattern, _ in values)),
        values=values,
        levels=tuple(
            (text, float(number)) for status, number in numbers.items() for text in SMOKING_TEXTS.get(status, ())
        ),
        monotone=1,
        modifiable=True,
        reference="LOINC 72166-2 and its answers; SNOMED CT; CTV3",
    )
