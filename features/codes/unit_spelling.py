"""What record systems write where UCUM is meant, brought to UCUM.

UCUM's own expressions are left as they are, without their annotations, which carry no meaning (UCUM, §12): only that a
clearance is indexed to body surface (`1.73 m2`, in a dozen spellings) is kept, as `{1.73_m2}`, since it says what was
measured. What is no UCUM is compared without case, blanks and the words that name a substance.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

INDEXED = "{1.73_m2}"
_ANNOTATION = re.compile(r"\{[^}]*\}")
_SURFACE = re.compile(
    r"[/.]?\s*\(?\s*(?:\{?1[.,_]73[ _.]?(?:\{?m\s?[\^*]?\s?2\}?|m\*\*2|sq\.?\s?m|msq|m\s?sq)\}?"
    r"|173\.?10\*-2\.m2|173\*10\^-2\.?m2)\s*\)?",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"\b(?:of|total|hba1c|hb|hgb|a1c|haemoglobin|hemoglobin|creatinine|creat|crea|cre|cr|ngsp|dcct|ifcc|calc|calculated|"
    r"est|estimated|fasting|serum|plasma|blood|urine)\b\.?",
    re.IGNORECASE,
)

# Whole expressions, in lower case without blanks.
_SYNONYMS = {
    "mmhg": "mm[Hg]", "mm[hg]": "mm[Hg]", "millimetersofmercury": "mm[Hg]", "torr": "mm[Hg]", "mmhg(torr)": "mm[Hg]",
    "percent": "%", "pct": "%", "perc": "%", "bpm": "/min", "beats/min": "/min", "beat/min": "/min",
    "breaths/min": "/min", "resp/min": "/min", "beats/minute": "/min", "breaths/minute": "/min",
    "degf": "[degF]", "°f": "[degF]", "f": "[degF]", "fahrenheit": "[degF]", "degreesfahrenheit": "[degF]",
    "degc": "Cel", "°c": "Cel", "cel": "Cel", "celsius": "Cel", "degreescelsius": "Cel",
    "k/ul": "10*3/uL", "thou/ul": "10*3/uL", "thous/ul": "10*3/uL", "th/ul": "10*3/uL", "k/mm3": "10*3/uL",
    "k/cumm": "10*3/uL", "thou/mm3": "10*3/uL", "bil/l": "10*9/L", "g/l(10*9)": "10*9/L", "giga/l": "10*9/L",
    "m/ul": "10*6/uL", "mil/ul": "10*6/uL", "mill/ul": "10*6/uL", "mil/mm3": "10*6/uL", "m/mm3": "10*6/uL",
    "tera/l": "10*12/L", "cells/ul": "/uL", "cells/mm3": "/uL", "/cumm": "/uL", "/mm3": "/uL",
    "kg/msq": "kg/m2", "kg/sqm": "kg/m2", "kilogram/squaremeter": "kg/m2", "kg/(m2)": "kg/m2", "kg/(m^2)": "kg/m2",
    "mg%": "mg/dL", "gm%": "g/dL", "g%": "g/dL", "ratio": "1", "score": "{score}", "index": "1", "number": "1",
}  # fmt: skip

# Single components, in lower case without blanks.
_COMPONENTS = {
    "g": "g", "gm": "g", "gms": "g", "gram": "g", "grams": "g", "gr": "g", "kg": "kg", "kgs": "kg", "kilogram": "kg",
    "kilograms": "kg", "mg": "mg", "mgs": "mg", "milligram": "mg", "milligrams": "mg", "ug": "ug", "mcg": "ug",
    "microgram": "ug", "micrograms": "ug", "ng": "ng", "nanogram": "ng", "nanograms": "ng", "pg": "pg",
    "picogram": "pg",
    "mol": "mol", "mole": "mol", "moles": "mol", "mmol": "mmol", "mmole": "mmol", "mmoles": "mmol", "millimol": "mmol",
    "millimole": "mmol", "millimoles": "mmol", "umol": "umol", "mcmol": "umol", "mcmole": "umol", "umole": "umol",
    "umoles": "umol", "micromol": "umol", "micromole": "umol", "micromoles": "umol", "nmol": "nmol", "nmole": "nmol",
    "nanomol": "nmol", "pmol": "pmol", "pmole": "pmol", "picomol": "pmol", "l": "L", "lt": "L", "ltr": "L",
    "liter": "L", "litre": "L", "liters": "L", "litres": "L", "dl": "dL", "100ml": "dL", "deciliter": "dL",
    "decilitre": "dL", "ml": "mL", "milliliter": "mL", "millilitre": "mL", "cc": "mL", "ul": "uL", "mcl": "uL",
    "microliter": "uL", "microlitre": "uL", "nl": "nL", "fl": "fL", "u": "U", "unit": "U", "units": "U", "iu": "[IU]",
    "intunit": "[IU]", "miu": "m[IU]", "mu": "mU", "uiu": "u[IU]", "mciu": "u[IU]", "kiu": "k[IU]", "ku": "kU",
    "eq": "eq", "meq": "meq", "mosm": "mosm", "osm": "osm", "mosmol": "mosm", "min": "min", "mins": "min",
    "minute": "min", "minutes": "min", "h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "s": "s", "sec": "s",
    "secs": "s", "second": "s", "seconds": "s", "d": "d", "day": "d", "days": "d", "24h": "d", "24hr": "d",
    "24hrs": "d",
    "wk": "wk", "week": "wk", "weeks": "wk", "mo": "mo", "month": "mo", "months": "mo", "a": "a", "y": "a", "yr": "a",
    "yrs": "a", "year": "a", "years": "a", "m": "m", "meter": "m", "metre": "m", "meters": "m", "cm": "cm",
    "centimeter": "cm", "centimetre": "cm", "centimeters": "cm", "mm": "mm", "millimeter": "mm", "m2": "m2",
    "m^2": "m2", "m*2": "m2", "m**2": "m2", "sqm": "m2", "in": "[in_i]", "inch": "[in_i]", "inches": "[in_i]",
    "[in_us]": "[in_i]", "[in_i]": "[in_i]", "\"": "[in_i]", "ft": "[ft_i]", "foot": "[ft_i]", "feet": "[ft_i]",
    "[ft_us]": "[ft_i]", "lb": "[lb_av]", "lbs": "[lb_av]", "pound": "[lb_av]", "pounds": "[lb_av]",
    "[lb_us]": "[lb_av]", "[lb_av]": "[lb_av]", "oz": "[oz_av]", "ounce": "[oz_av]", "ounces": "[oz_av]",
    "[oz_us]": "[oz_av]", "[iu]": "[IU]", "m[iu]": "m[IU]", "u[iu]": "u[IU]", "k[iu]": "k[IU]", "kpa": "kPa",
    "hpa": "hPa", "pa": "Pa", "%": "%", "1": "1", "ppm": "[ppm]", "kat": "kat", "ukat": "ukat", "nkat": "nkat",
    "mmhg": "mm[Hg]", "10*3": "10*3", "10*6": "10*6", "10*9": "10*9", "10*12": "10*12",
}  # fmt: skip
_POWER = re.compile(r"^(?:x|\*)?10(?:\^|\*|e|\*\*|exp|x)?\(?\+?(3|6|9|12)\)?$")


def plain(unit: str) -> str:
    """A unit without annotations, but for the index to body surface.

    >>> plain("mmol/mol{Hb}"), plain("mL/min/{1.73_m2}"), plain("mL/min/1.73 m2")
    ('mmol/mol', 'mL/min/{1.73_m2}', 'mL/min/{1.73_m2}')
    """
    text, indexed = _surface(unit)
    kept = "{score}" if "{score}" in text else ""
    text = kept or _ANNOTATION.sub("", text)
    text = text.strip() or ("1" if unit.strip() else "")
    return f"{text}/{INDEXED}" if indexed else text


def _surface(unit: str) -> tuple[str, bool]:
    found = _SURFACE.search(unit)
    return (unit[: found.start()] + unit[found.end() :], True) if found else (unit, False)


def synonym(unit: str) -> str | None:
    """UCUM for a whole expression that has a name of its own, even where UCUM would read it as something else.

    >>> synonym("K/uL")
    '10*3/uL'
    """
    return _SYNONYMS.get("".join(unit.split()).lower())


@lru_cache(maxsize=4096)
def spelt(unit: str) -> str | None:
    """UCUM for what a record system wrote in its own way; None where a part of it is not known.

    >>> spelt("MG/DL"), spelt("mcg/mL"), spelt("mg/g creat"), spelt("x10E3/uL"), spelt("mmol per mol"), spelt("Mg/dl")
    ('mg/dL', 'ug/mL', 'mg/g', '10*3/uL', 'mmol/mol', 'mg/dL')
    """
    text, indexed = _surface(unicodedata.normalize("NFKC", unit).replace("μ", "u").replace("×", "x"))
    text = _ANNOTATION.sub("", text).lower().replace("·", ".").replace(" per ", "/")
    text = _WORDS.sub(" ", re.sub(r"(?<=[g%l])(?=(?:hba1c|a1c|creat|cr)\b)", " ", text))
    written = "".join(text.split()).strip("/") if text.strip() != "/" else ""
    written = ("/" + written) if text.lstrip().startswith("/") else written
    whole = _SYNONYMS.get(written)
    if whole is None:
        parts = [_component(part) for part in written.split("/")]
        if not written or any(part is None for part in parts):
            return None
        whole = "/".join(part for part in parts if part is not None)
    return f"{whole}/{INDEXED}" if indexed else whole


def _component(text: str) -> str | None:
    if text == "":
        return ""
    power = _POWER.match(text)
    return f"10*{power[1]}" if power else _COMPONENTS.get(text.strip("()."))
