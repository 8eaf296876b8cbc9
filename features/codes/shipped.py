"""The codes that ship: explicit ones of each list, so that a record without a loaded vocabulary can be read.

`seed/conditions.csv` and `seed/drugs.csv` hold one code a row: list, vocabulary, code, match (exact: that code; prefix:
what starts so; below: the concept and what the record's hierarchy puts below it), and keys of `seed/sources.csv` that
say where it stands. Of SNOMED CT and CTV3 there are bare identifiers only. What a list contains beside its own rows is
declared here, and its codes are the union: a subset can never have a code that the whole lacks.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

from features.errors import PresageError

FILES = ("conditions.csv", "drugs.csv")
VOCABULARIES = ("ICD10CM", "ICD10", "ICD10GM", "ICD9CM", "SNOMED", "CTV3", "LOINC", "RxNorm", "RxNormByName", "ATC")

INCLUDES: Mapping[str, tuple[str, ...]] = {
    "hypertension": ("essential_hypertension", "complicated_hypertension"),
    "complicated_hypertension": (
        "secondary_hypertension",
        "hypertensive_heart_disease",
        "hypertensive_heart_failure",
        "hypertensive_renal_disease",
        "hypertensive_ckd",
    ),
    "diabetes": (
        "type_1_diabetes",
        "type_2_diabetes",
        "diabetes_uncomplicated",
        "diabetes_acute",
        "diabetes_complicated",
        "diabetes_other",
    ),
    "hyperlipidaemia": ("familial_hypercholesterolaemia",),
    "coronary_disease": ("myocardial_infarction",),
    "heart_failure": ("hypertensive_heart_failure",),
    "stroke": ("ischaemic_stroke", "haemorrhagic_stroke", "stroke_sequelae"),
    "thromboembolism": ("ischaemic_stroke", "tia", "systemic_embolism"),
    "vascular_disease": ("myocardial_infarction", "peripheral_artery_disease", "aortic_atherosclerosis"),
    "chronic_kidney_disease": ("hypertensive_ckd",),
    "cancer": ("breast_cancer", "solid_cancer", "lymphoma", "myeloma", "leukaemia", "metastatic_cancer"),
    "anaemia": ("deficiency_anaemia",),
    "peptic_ulcer": ("bleeding_ulcer", "ulcer_without_bleeding"),
    "gi_bleed": ("bleeding_ulcer",),
    "liver_disease": ("chronic_liver_disease", "severe_liver_disease"),
}


@dataclass(frozen=True, slots=True)
class ShippedCode:
    """One row. sources: keys of `sources`."""

    list: str
    vocabulary: str
    code: str
    match: Literal["exact", "prefix", "below"]
    sources: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """As `features.codes.lists` writes it."""
        code = f"{self.vocabulary}//{self.code}"
        return {"exact": code, "prefix": f"{code}*", "below": f"<<{code}"}[self.match]


@cache
def shipped_codes() -> tuple[ShippedCode, ...]:
    """Every row of both files, in their order."""
    return tuple(
        ShippedCode(row["list"], row["vocabulary"], row["code"], _match(row["match"]), tuple(row["source"].split()))
        for file in FILES
        for row in _table(file)
    )


@cache
def sources() -> Mapping[str, tuple[str, str]]:
    """Key -> what it is (with its list and version) and under which terms."""
    return {row["key"]: (row["title"], row["terms"]) for row in _table("sources.csv")}


@cache
def list_names() -> tuple[str, ...]:
    """Every list, sorted: those with codes of their own and those that are unions."""
    return tuple(sorted({*_own(), *INCLUDES}))


def patterns(name: str, *, vocabularies: Iterable[str] = VOCABULARIES) -> tuple[str, ...]:
    """The patterns of a list with all that it includes, each once. Raises PresageError where there is no such list.

    >>> patterns("tia", vocabularies=["ICD10CM", "ICD9CM"])
    ('ICD10CM//G45*', 'ICD9CM//435*')
    """
    if name not in list_names():
        raise PresageError(f"Seed//{name}", "a list that ships", way_out="choose of " + ", ".join(list_names()))
    wanted = set(vocabularies)
    codes = (code for one in closure(name) for code in _own().get(one, ()) if code.vocabulary in wanted)
    return tuple(dict.fromkeys(code.pattern for code in codes))


def closure(name: str) -> tuple[str, ...]:
    """A list and every list that it includes, the list itself first."""
    found = {name: None}
    for part in INCLUDES.get(name, ()):
        found |= dict.fromkeys(closure(part))
    return tuple(found)


@cache
def _own() -> Mapping[str, tuple[ShippedCode, ...]]:
    found: dict[str, list[ShippedCode]] = {}
    for code in shipped_codes():
        found.setdefault(code.list, []).append(code)
    return {name: tuple(codes) for name, codes in found.items()}


def _table(file: str) -> list[dict[str, str]]:
    text = resources.files("features.codes").joinpath("seed", file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _match(text: str) -> Literal["exact", "prefix", "below"]:
    if text in {"exact", "prefix", "below"}:
        return text  # type: ignore[return-value]
    raise ValueError(f"a match of exact, prefix or below, not {text}")
