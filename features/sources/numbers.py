"""Numbers that a source wrote as text: `7.2`, `<4.0`, `GT 60`, `7,2 %`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

NUMBER_AS_TEXT = "number written as text (read)"
LARGEST = 3.4e38  # of a float32
_SIGNS = {
    "<": "<", "<=": "<=", "=<": "<=", "≤": "<=", "⩽": "<=", ">": ">", ">=": ">=", "=>": ">=", "≥": ">=", "⩾": ">=",
    "lt": "<", "gt": ">", "le": "<=", "ge": ">=", "less than": "<", "greater than": ">", "more than": ">",
    "below": "<", "above": ">", "over": ">", "under": "<", "=": "", "~": "", "": "",
}  # fmt: skip
_NUMBER = re.compile(
    r"^\s*(?P<sign><=|=<|>=|=>|[<>≤≥⩽⩾=~]|lt|gt|le|ge|less than|greater than|more than|below|above|over|under|)\s*"
    r"(?P<number>[+-]?\d+(?:[.,]\d+)?(?:e[+-]?\d+)?)\s*(?P<unit>[^\s\d].{0,24})?$",
    re.IGNORECASE,
)
# What a text begins with that may be a number, and how long one may be: the rest need not be looked at one by one.
_LIKE = r"(?i)^([+-]?[0-9]|[<>=~≤≥⩽⩾]|lt|gt|le|ge|less|greater|more|below|above|over|under)"
_LONGEST = 60
NUMBERS = pa.schema([
    ("as_text", pa.string()), ("said", pa.float64()), ("sign", pa.string()), ("said_unit", pa.string()),
])  # fmt: skip
_THOUSANDS = re.compile(r"^[+-]?\d{1,3},\d{3}$")


class Written(NamedTuple):
    """A number as text says it. sign: `<`, `<=`, `>`, `>=` where it is a bound. unit: what stands behind it."""

    number: float
    sign: str | None
    unit: str | None


def written_number(text: str) -> Written | None:
    """The number that a text says; None where it says none, several, or one that can be read in two ways.

    >>> written_number("GT 60"), written_number("7,2 %")
    (Written(number=60.0, sign='>', unit=None), Written(number=7.2, sign=None, unit='%'))
    >>> written_number("1,200") is None and written_number("120/80") is None and written_number("see note 7") is None
    True
    """
    found = _NUMBER.match(text)
    if found is None or _THOUSANDS.match(found["number"]):
        return None
    unit = (found["unit"] or "").strip()
    if unit[:1] in {"/", "-", ":", ","} and re.search(r"\d", unit):  # a ratio, a range, a time
        return None
    if unit and not re.fullmatch(r"[A-Za-zµμ%/*^.\[\]{}()0-9 ²³-]+", unit):
        return None
    number = float(found["number"].replace(",", "."))
    if abs(number) > LARGEST:
        return None
    return Written(number, _SIGNS[found["sign"].lower()] or None, unit or None)


def number_like(text: ir.StringValue) -> ir.StringValue:
    """A text that may be a number; null where it surely is none."""
    return ibis.ifelse(text.re_search(_LIKE) & (text.length() <= _LONGEST), text, ibis.null("string"))


def numbers_of(texts: Iterable[str | None]) -> pa.Table:
    """Those texts that say a number, with it, its sign and its unit: rows of NUMBERS."""
    written = ((text, written_number(text)) for text in texts if text)
    rows = [dict(zip(NUMBERS.names, (text, *said), strict=True)) for text, said in written if said is not None]
    return pa.Table.from_pylist(rows, NUMBERS)
