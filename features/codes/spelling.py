"""How a code is spelt: one spelling for each code, whatever a source left out of it or put into it.

ICD codes are kept with their dot (`E119` is `E11.9`) and without ICD-10-GM's marks of cause and manifestation. The same
regular expressions serve Python and the engines' SQL.
"""

from __future__ import annotations

import re
from functools import lru_cache

import ibis.expr.types as ir

_ICD10 = ("ICD10CM", "ICD10", "ICD10GM")
_MARKS = "[+*!†#]+$"
_ICD10_DOTLESS = "^([A-Z][0-9][0-9A-Z])([0-9A-Z]+)$"
_ICD9_DOTLESS = "^([0-9V][0-9]{2})([0-9]{1,2})$"
_ICD9_EXTERNAL_DOTLESS = "^(E[0-9]{3})([0-9])$"


@lru_cache(maxsize=65536)
def canonical_code(code: str) -> str:
    """`VOCABULARY//CODE` as it is kept.

    >>> canonical_code("ICD10CM//E119"), canonical_code("ICD9CM//4019"), canonical_code("ICD10GM//E10.30+")
    ('ICD10CM//E11.9', 'ICD9CM//401.9', 'ICD10GM//E10.30')
    """
    vocabulary, separator, bare = code.partition("//")
    if vocabulary in _ICD10:
        return vocabulary + separator + re.sub(_ICD10_DOTLESS, r"\1.\2", re.sub(_MARKS, "", bare.strip().upper()))
    if vocabulary == "ICD9CM":
        dotted = re.sub(_ICD9_DOTLESS, r"\1.\2", bare.strip().upper())
        return vocabulary + separator + re.sub(_ICD9_EXTERNAL_DOTLESS, r"\1.\2", dotted)
    return code


def canonical_bare(vocabulary: ir.StringValue, bare: ir.StringValue) -> ir.StringValue:
    """The same as an expression over a vocabulary and its bare code."""
    upper = bare.strip().upper()
    icd10 = upper.re_replace(_MARKS, "").re_replace(_ICD10_DOTLESS, r"\1.\2")
    icd9 = upper.re_replace(_ICD9_DOTLESS, r"\1.\2").re_replace(_ICD9_EXTERNAL_DOTLESS, r"\1.\2")
    return vocabulary.isin(_ICD10).ifelse(icd10, (vocabulary == "ICD9CM").ifelse(icd9, bare))
