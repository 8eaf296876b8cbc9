"""Which ingredients the name of a drug says: whole words of a declared table, never likeness of spelling.

The table is `seed/drug_names.csv`: RxNorm's number of an ingredient, one of its names, where they stand. A name of a
drug carries much else (strength, unit, form, release, pack, salt, brand in brackets); what is not in the table says
nothing here.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from functools import cache
from importlib import resources

_BRAND = re.compile(r"\[[^\]]*\]")  # RxNorm writes the brand behind the drug: `... Oral Tablet [Toprol]`
_WITHOUT = re.compile(r"\bnon[\s-]+[a-z]+|\b[a-z]+[\s-]+free\b(?!\s+base)")  # `aspirin-free`, `non-aspirin`
# What a drug is given by is not the drug.
_DEVICE = re.compile(r"\binsulin\s+(?:pen\s+|delivery\s+)?(?:syringes?|(?:pen\s*)?needles?)\b")
_WORD = re.compile(r"[^\W\d_]+")

# Words of a form or route that acts where it is put. Such a drug is no treatment of the whole body.
LOCAL = frozenset((
    "augensalbe", "augentropfen", "cream", "creme", "cutaneous", "dermal", "ear", "enema", "eye", "eyedrops", "foam",
    "gel", "inhalant", "inhalation", "inhalational", "inhaler", "intravitreal", "irrigation", "lotion", "mouthwash",
    "nasal", "nasenspray", "nebuliser", "nebulizer", "ointment", "ophthalmic", "otic", "otological", "salbe", "scalp",
    "shampoo", "topical", "vaginal",
))  # fmt: skip
_NO_DRUG = frozenset(("dummy", "placebo"))
_SWALLOWED = frozenset(("cap", "caps", "capsule", "capsules", "oral", "tablet"))  # a gel cap is no gel


def ingredients(name: str) -> tuple[str, ...]:
    """RxNorm's numbers of the ingredients that a drug's name says, each once, in their order in the name.

    Several of a combination; none of a drug that acts where it is put (a cream, eye drops, an inhaler), as every list
    here means the whole body. What is said of the drug (an allergy to it, that it was stopped) is not judged here.

    >>> ingredients("24 HR metformin hydrochloride 500 MG Extended Release Oral Tablet")
    ('6809',)
    >>> ingredients("amLODIPine 5 MG / benazepril hydrochloride 10 MG Oral Capsule [Lotrel]")
    ('17767', '18867')
    >>> ingredients("aspirin-free cold relief"), ingredients("Diclofenac sodium 1 % Topical Gel")
    ((), ())
    >>> ingredients("Insulin Syringe U-500"), ingredients("Insulin Dummy Package"), ingredients("insulin glargine")
    ((), (), ('5856',))
    """
    words = _WORD.findall(_DEVICE.sub(" ", _WITHOUT.sub(" ", _BRAND.sub(" ", _plain(name)))))
    if not _NO_DRUG.isdisjoint(words):
        return ()
    if not LOCAL.isdisjoint(words) and _SWALLOWED.isdisjoint(words):
        return ()
    found: dict[str, None] = {}
    table, longest = _table()
    at = 0
    while at < len(words):
        lengths = (n for n in range(min(longest, len(words) - at), 0, -1) if tuple(words[at : at + n]) in table)
        length = next(lengths, 0)
        if length:
            found[table[tuple(words[at : at + length])]] = None
        at += length or 1
    return tuple(found)


def names() -> dict[str, str]:
    """Every declared name, to RxNorm's number of its ingredient."""
    return {row["name"]: row["ingredient"] for row in _rows()}


def _rows() -> list[dict[str, str]]:
    path = resources.files("features.codes").joinpath("seed", "drug_names.csv")
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@cache
def _table() -> tuple[dict[tuple[str, ...], str], int]:
    """Words of a name -> number; and the most words that a name has."""
    table = {tuple(_WORD.findall(_plain(name))): number for name, number in names().items()}
    return table, max(len(words) for words in table)


def _plain(text: str) -> str:
    """In lower case, without accents: `Acétylsalicylique` as `acetylsalicylique`."""
    return "".join(each for each in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(each))
