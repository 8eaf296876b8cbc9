"""A drug's name gives its ingredients whatever stands around them, and nothing gives what is not there."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.codes import ingredients
from features.codes.drug_names import LOCAL, names

NAMES = names()
WORDS = {word for name in NAMES for word in re.findall(r"[^\W\d_]+", name)}
SALTS = ("", "hydrochloride", "besylate", "sodium", "maleate", "succinate", "calcium", "potassium", "mesylate", "HCl")
STRENGTHS = ("", "10 MG", "0.5 mg", "12.5MG", "500 mg/5 ml", "1,000 units", "5 %", "80 MG/ML", "100mcg")
FORMS = ("", "Oral Tablet", "tablets", "Extended Release Oral Capsule", "Oral Solution", "Injection", "suppository",
         "24hr transdermal patch", "Delayed Release Oral Tablet", "gastro-resistant tablets")  # fmt: skip
BEFORE = ("", "24 HR ", "12 HR ", "Abuse-Deterrent ", "NDA020800 ", "10 ML ", "30 x ")
BRANDS = ("", " [Lotrel]", " [Toprol]", " (Sandoz)", " [aspirin]")
CASES = (str.lower, str.upper, str.title, str.capitalize, lambda text: text[:2].lower() + text[2:].upper())


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A drug as somebody may write it, and its ingredient."""
    name, number = draw(st.sampled_from(sorted(NAMES.items())))
    part = (draw(st.sampled_from(each)) for each in (BEFORE, SALTS, STRENGTHS, FORMS, BRANDS))
    before, salt, strength, form, brand = part
    case = draw(st.sampled_from(CASES))
    blank = draw(st.sampled_from([" ", "  ", "\t", ", "]))
    return before + case(name) + blank + blank.join(each for each in (salt, strength, form) if each) + brand, number


@given(written())
def test_an_ingredient_is_found_under_its_salt_form_strength_release_case_and_brand(drug: tuple[str, str]) -> None:
    text, number = drug
    assert ingredients(text) == (number,), text


@given(st.lists(written(), min_size=2, max_size=4), st.sampled_from([" / ", "; ", " + ", "-", " and ", ", "]))
def test_a_combination_gives_each_of_its_ingredients_once_in_order(drugs: list[tuple[str, str]], between: str) -> None:
    assert ingredients(between.join(text for text, _ in drugs)) == tuple(dict.fromkeys(number for _, number in drugs))


@given(st.text(alphabet=string.printable, max_size=60))
def test_words_that_are_no_ingredient_give_none(text: str) -> None:
    known = {word for word in re.findall(r"[^\W\d_]+", text.casefold()) if word in WORDS}
    assume(not known)
    assert ingredients(text) == ()


LETTERS = st.text(alphabet="abcdefghijklmnopqrstuvwxyzжλ", min_size=1, max_size=5)


@given(st.sampled_from(sorted(NAMES)), LETTERS, st.sampled_from(["before", "after", "both"]))
def test_no_ingredient_is_found_inside_another_word(name: str, letters: str, where: str) -> None:
    word = (letters if where != "after" else "") + name + (letters if where != "before" else "")
    assume(not WORDS & set(re.findall(r"[^\W\d_]+", word)))
    assert ingredients(f"{word} 10 MG Oral Tablet") == ()


@given(written(), st.sampled_from(sorted(LOCAL)))
def test_what_acts_where_it_is_put_is_no_treatment_of_the_whole_body(drug: tuple[str, str], word: str) -> None:
    text, _ = drug
    assume(not re.search(r"oral|tablet|capsule", text, re.IGNORECASE))
    assert ingredients(f"{text} {word}") == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Acetaminophen 325 MG / Hydrocodone Bitartrate 7.5 MG", ("5489",)),
        ("hydrocodone-acetaminophen 5-325 mg per tablet", ("5489",)),
        ("methylPREDNISolone 4 MG Oral Tablet", ("6902",)),  # not prednisolone
        ("frusemide 40mg tablets", ("4603",)),
        ("Furosemid-ratiopharm 40 mg", ("4603",)),
        ("glibenclamide 5 mg", ("4815",)),
        ("Acetylsalicylsäure 100 mg", ("1191",)),
        ("acetylsalicylic acid 81 mg enteric coated", ("1191",)),
        ("salicylic acid 2 % wash", ()),
        ("Simvistatin 10 MG", ("36567",)),  # as the sample data write it: declared, not alike
        ("simvastatine", ()),  # alike, not declared
        ("aspirin-free cold relief", ()),
        ("non-aspirin pain reliever", ()),
        ("Ibuprofen 200 MG Oral Capsule, liquid gel", ("5640",)),
        ("Diclofenac sodium 1 % gel", ()),
        ("timolol eye drops", ()),
        ("", ()),
    ],
)
def test_names_as_systems_write_them(text: str, expected: tuple[str, ...]) -> None:
    assert ingredients(text) == expected


def test_no_name_is_a_word_of_a_form_salt_or_strength() -> None:
    said = " ".join([*SALTS, *STRENGTHS, *FORMS, *BEFORE]).casefold()
    assert not WORDS & set(re.findall(r"[^\W\d_]+", said))
    assert not WORDS & LOCAL
