"""Every code that ships has its source, is written as its vocabulary writes it, and keeps the subset law.

The laws below are written here by hand, not read from the code that keeps them.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.catalogue.clinical import CONDITIONS, MEDICATIONS, conditions, medications
from features.catalogue.history import family_history, social
from features.codes import CHARLSON, Matcher, category_codes
from features.codes.comorbidity import ELIXHAUSER, READ_BY_ICD_ALONE
from features.codes.shipped import FILES, INCLUDES, ShippedCode, list_names, patterns, shipped_codes, sources
from features.errors import PresageError
from features.sources.drugs import by_name

# What is written on the left is also what is written on the right: medicine, not a table.
LAWS = (
    ("type_2_diabetes", "diabetes"),
    ("type_1_diabetes", "diabetes"),
    ("diabetes_complicated", "diabetes"),
    ("myocardial_infarction", "coronary_disease"),
    ("myocardial_infarction", "vascular_disease"),
    ("peripheral_artery_disease", "vascular_disease"),
    ("familial_hypercholesterolaemia", "hyperlipidaemia"),
    ("ischaemic_stroke", "stroke"),
    ("ischaemic_stroke", "thromboembolism"),
    ("tia", "thromboembolism"),
    ("breast_cancer", "cancer"),
    ("metastatic_cancer", "cancer"),
    ("lymphoma", "cancer"),
    ("hypertensive_heart_failure", "heart_failure"),
    ("hypertensive_heart_failure", "hypertension"),
    ("hypertensive_ckd", "chronic_kidney_disease"),
    ("hypertensive_ckd", "hypertension"),
    ("bleeding_ulcer", "peptic_ulcer"),
    ("bleeding_ulcer", "gi_bleed"),
    ("chronic_liver_disease", "liver_disease"),
)
SAME = ("chf", "pvd", "aids", "metacanc", "rheumd")  # categories of both indices that mean the same
WRITTEN = {
    "ICD10CM": r"[A-Z](\d[0-9AB](\.[0-9A-Z]{1,4})?)?",
    "ICD10": r"[A-Z](\d\d(\.\d{1,2})?)?",
    "ICD10GM": r"[A-Z](\d\d(\.\d{1,2})?)?",
    "ICD9CM": r"([EV]?\d{2,3})(\.\d{1,2})?",
    "SNOMED": r"[1-9]\d{5,17}",
    "CTV3": r"[0-9A-Za-z.]{5}",
    "LOINC": r"LA\d+-\d|\d+-\d",
    "RxNorm": r"[1-9]\d*",
    "RxNormByName": r"[1-9]\d*",
    "ATC": r"[A-Z]\d\d[A-Z]{0,2}(\d\d)?",
}
# Verhoeff's check digit: the table of the dihedral group of order 10, and its permutation (Verhoeff J, 1969).
_PRODUCT = ("0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
            "5987604321", "6598710432", "7659821043", "8765932104", "9876543210")  # fmt: skip
_PERMUTED = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


def checks(identifier: str) -> bool:
    """Whether the last digit of a SNOMED CT identifier checks the others."""
    check = 0
    for place, digit in enumerate(reversed(identifier)):
        check = int(_PRODUCT[check][int(_PERMUTED[place % 8][int(digit)])])
    return check == 0


def own(pattern: str) -> str:
    """A code that the pattern matches by itself."""
    return pattern.removeprefix("<<").removesuffix("*")


def test_every_shipped_code_stands_with_its_source() -> None:
    known = sources()
    for code in shipped_codes():
        assert code.sources, code
        assert set(code.sources) <= set(known), code
    used = {source for code in shipped_codes() for source in code.sources}
    used |= {source for row in table("drug_names.csv") for source in row["source"].split()}
    assert used == set(known), "a source that no code has, or a code whose source is not there"
    assert all(title and terms for title, terms in known.values())


def table(file: str) -> list[dict[str, str]]:
    text = resources.files("features.codes").joinpath("seed", file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_no_file_of_codes_has_a_place_for_a_description() -> None:
    for file in FILES:
        assert set(table(file)[0]) == {"list", "vocabulary", "code", "match", "source"}
    assert set(table("drug_names.csv")[0]) == {"ingredient", "name", "source"}


def test_every_code_is_written_as_its_vocabulary_writes_it_and_is_there_once() -> None:
    for code in shipped_codes():
        assert re.fullmatch(WRITTEN[code.vocabulary], code.code), code
        assert code.vocabulary != "SNOMED" or checks(code.code), code
    twice = [key for key, n in Counter((c.list, c.vocabulary, c.code) for c in shipped_codes()).items() if n > 1]
    assert not twice


@given(st.sampled_from([c.code for c in shipped_codes() if c.vocabulary == "SNOMED"]), st.data())
def test_the_check_digit_finds_every_wrong_digit(code: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(code) - 1))
    wrong = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != code[place]]))
    assert checks(code)
    assert not checks(code[:place] + wrong + code[place + 1 :])


@pytest.mark.parametrize(("part", "whole"), LAWS)
def test_whatever_is_the_part_is_the_whole(part: str, whole: str) -> None:
    parts, matcher = patterns(part), Matcher(patterns(whole), {})
    assert parts
    assert set(parts) <= set(patterns(whole))
    assert all(matcher(own(pattern)) for pattern in parts)


PARTS = [(part, whole) for whole, parts in INCLUDES.items() for part in parts]


@given(st.sampled_from(PARTS), st.data(), st.text(alphabet="0123456789.", max_size=3))
def test_no_code_that_a_part_matches_is_missed_by_the_whole(
    pair: tuple[str, str], data: st.DataObject, more: str
) -> None:
    part, whole = pair
    code = own(data.draw(st.sampled_from(patterns(part)))) + more
    if Matcher(patterns(part), {})(code):
        assert Matcher(patterns(whole), {})(code)


def test_every_condition_and_drug_reads_its_list_in_every_vocabulary_that_its_sources_use() -> None:
    read = {spec.name: set(spec.codes) for spec in (*conditions(), *medications())}
    for name, _ in CONDITIONS:
        assert read[f"{name}_ever"] == set(patterns(name))
        assert {"ICD10CM", "SNOMED"} <= {own(pattern).split("//")[0] for pattern in patterns(name)}, name
    for name, _ in MEDICATIONS:
        assert read[f"{name}_current"] == read[f"{name}_covered_365d"] == set(patterns(name))
        assert {own(pattern).split("//")[0] for pattern in patterns(name)} == {"RxNorm", "RxNormByName", "ATC"}, name


def test_both_indices_read_snomed_and_agree_where_they_mean_the_same() -> None:
    def clinical(index: str, category: str) -> set[str]:
        return {each for each in category_codes(index, category) if "SNOMED//" in each or "CTV3//" in each}

    for index, categories in (("charlson", list(CHARLSON)), ("elixhauser", list(ELIXHAUSER))):
        for category in categories:
            assert bool(clinical(index, category)) is (category not in READ_BY_ICD_ALONE), (index, category)
    for category in SAME:
        assert clinical("charlson", category) == clinical("elixhauser", category)
    assert clinical("charlson", "copd") == clinical("elixhauser", "cpd")
    assert clinical("charlson", "mld") | clinical("charlson", "msld") == clinical("elixhauser", "ld")
    assert clinical("charlson", "diab") | clinical("charlson", "diabwc") == clinical(
        "elixhauser", "diabunc"
    ) | clinical("elixhauser", "diabc")
    assert clinical("charlson", "diabwc") <= clinical("elixhauser", "diabc")
    assert not clinical("charlson", "diab") & clinical("charlson", "diabwc")
    assert clinical("charlson", "ami") <= set(patterns("coronary_disease"))
    assert clinical("charlson", "canc") | clinical("charlson", "metacanc") <= set(patterns("cancer"))
    assert clinical("elixhauser", "hypunc") | clinical("elixhauser", "hypc") <= set(patterns("hypertension"))
    assert not clinical("elixhauser", "pud") & set(patterns("bleeding_ulcer"))


def test_a_status_of_smoking_is_one_status_and_an_answer_of_the_past_is_not_the_present() -> None:
    current, ever = (next(spec for spec in social() if spec.name == f"smoking_{name}") for name in ("current", "ever"))
    assert len(dict(current.values)) == len(current.values)
    assert len(dict(ever.values)) == len(ever.values)
    numbers = {spec.name: dict(spec.values) for spec in (current, ever)}
    for code, now, once in (
        ("SNOMED//266919005", 0.0, 0.0),
        ("SNOMED//8517006", 0.0, 1.0),
        ("SNOMED//449868002", 1.0, 1.0),
        ("SNOMED//428041000124106", 1.0, 1.0),
        ("LOINC//LA18978-9", 0.0, 0.0),
        ("LOINC//LA15920-4", 0.0, 1.0),
        ("LOINC//LA18976-3", 1.0, 1.0),
        ("LOINC//LA18979-7", None, 1.0),  # a smoker of whom nobody knows whether still
        ("SNOMED//8392000", 0.0, None),  # does not smoke: nobody says whether ever
        ("SNOMED//266927001", None, None),  # unknown
        ("CTV3//Ub1na", 0.0, 1.0),
        ("CTV3//137R.", 1.0, 1.0),
    ):
        assert numbers["smoking_current"].get(code) == now, code
        assert numbers["smoking_ever"].get(code) == once, code


def test_a_family_history_is_read_from_its_code_its_denial_and_a_relatives_condition() -> None:
    numbers = {spec.name: dict(spec.values) for spec in family_history()}
    assert numbers["family_history_diabetes"]["SNOMED//160303001"] == 1.0
    assert numbers["family_history_diabetes"]["SNOMED//160274005"] == 0.0
    assert numbers["family_history_diabetes"]["FAMILY_HISTORY//SNOMED//44054006"] == 1.0
    assert numbers["family_history_chd"]["FAMILY_HISTORY//ICD10CM//I21*"] == 1.0
    assert numbers["family_history_breast_cancer"]["SNOMED//429740004"] == 1.0
    assert "SNOMED//44054006" not in numbers["family_history_diabetes"], "the person's own is no family history"


def test_a_list_that_does_not_ship_is_an_error_that_says_which_do() -> None:
    with pytest.raises(PresageError, match=r"Seed//gout: expected a list that ships \(choose of .*diabetes"):
        patterns("gout")
    assert {"diabetes", "thromboembolism", "statin"} <= set(list_names())


def test_the_three_kinds_of_match_become_the_three_kinds_of_pattern() -> None:
    rows = [ShippedCode("x", "ICD10CM", "I21", match, ("icd10cm",)) for match in ("exact", "prefix", "below")]
    assert [row.pattern for row in rows] == ["ICD10CM//I21", "ICD10CM//I21*", "<<ICD10CM//I21"]


def test_a_number_that_two_sources_name_differently_ships_in_no_list_and_is_read_by_its_name() -> None:
    """RxNorm 833036 is acetaminophen with hydrocodone (OHDSI's copy of RxNorm, in `omop_gibleed`); Synthea writes it
    beside captopril.
    """
    assert not [code for code in shipped_codes() if (code.vocabulary, code.code) == ("RxNorm", "833036")]
    assert by_name(["RxNorm//833036"], ["Captopril 25 MG Oral Tablet"]) == ("RxNormByName//1998",)
    both = by_name(["RxNorm//833036"], ["Acetaminophen 750 MG / Hydrocodone Bitartrate 7.5 MG Oral Tablet"])
    assert "RxNormByName//5489" in both
