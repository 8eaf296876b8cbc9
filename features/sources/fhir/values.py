"""What an Observation or a component of one measured, and how long a supply lasts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from features.sources.checks import BAD_NUMBER, LONGEST_SUPPLY_DAYS, REFILLS_CUT
from features.sources.fhir.codes import vocabulary
from features.sources.numbers import NUMBER_AS_TEXT, written_number

RANGE = "value is a range (kept as text, without a number)"
UNREAD_KIND = "value of a kind that is not read (kept without it)"
_NUMBERS = (int, float)
_ABSENT = "/data-absent-reason"
_READ_KINDS = frozenset({
    "Quantity", "CodeableConcept", "String", "DateTime", "Time", "Integer", "Boolean", "Ratio", "Range", "Period",
})  # fmt: skip


class Value(NamedTuple):
    """A measured value. text: a comparator beside a number, else words. mended: what had to be mended to read it."""

    number: float | None = None
    text: str | None = None
    unit: str | None = None
    present: bool = False
    mended: str | None = None


def value_of(part: Mapping[str, Any]) -> Value:
    """What an Observation or a component of one measured."""
    for name, read in _READERS.items():
        found = read(part[name]) if name in part else None
        if found is not None:
            return found
    others = [name for name in part if name.startswith("value") and name[5:6].isupper()]
    if not others:
        return Value()
    unread = any(name[5:] not in _READ_KINDS for name in others)
    return Value(present=True, mended=UNREAD_KIND if unread else BAD_NUMBER)


def is_absent(part: Mapping[str, Any]) -> bool:
    """Whether a reason is given why there is no value, as an element or as an extension of the value."""
    if part.get("dataAbsentReason"):
        return True
    for name, value in part.items():
        if name.startswith(("value", "_value")) and isinstance(value, dict):
            urls = [one.get("url") for one in value.get("extension") or [] if isinstance(one, dict)]
            if any(str(url).endswith(_ABSENT) for url in urls) and not ({"value", "coding", "text"} & value.keys()):
                return True
    return False


def unit_of(quantity: Mapping[str, Any]) -> str | None:
    """The unit: its UCUM code, else its words. A code of another system than UCUM is no unit that is known."""
    code, words, system = quantity.get("code"), quantity.get("unit"), quantity.get("system")
    if code and words and system and vocabulary(str(system)) != "UCUM":
        return str(words)
    return code or words


def number_of(value: Any) -> float | None:
    """A JSON number as a float; None of anything else."""
    if type(value) is float:
        return value
    return float(value) if isinstance(value, _NUMBERS) and not isinstance(value, bool) else None


def _quantity(quantity: Any) -> Value | None:
    if not isinstance(quantity, dict):
        return None
    unit, given, sign = unit_of(quantity), quantity.get("value"), quantity.get("comparator")
    if isinstance(given, str) and (said := written_number(given)):
        return Value(said.number, sign or said.sign, unit or said.unit, present=True, mended=NUMBER_AS_TEXT)
    number = number_of(given)
    mended = BAD_NUMBER if number is None and given is not None else None
    return Value(number, sign, unit, present=number is not None, mended=mended)


def _concept(concept: Any) -> Value | None:
    if not isinstance(concept, dict):
        return None
    codings = [one for one in concept.get("coding") or [] if isinstance(one, dict)]
    words = concept.get("text") or next((one.get("display") or one.get("code") for one in codings), None)
    return _of_text(words) if isinstance(words, str) else Value(present=words is not None)


def _of_text(text: Any) -> Value | None:
    """A text that is a number, with or without a sign and a unit, is that number; every other is itself."""
    if not isinstance(text, str):
        return None
    said = written_number(text)
    if said is None:
        return Value(text=text, present=True)
    return Value(said.number, said.sign, said.unit, present=True, mended=NUMBER_AS_TEXT)


def _words(text: Any) -> Value | None:
    return Value(text=text, present=True) if isinstance(text, str) else None


def _integer(whole: Any) -> Value | None:
    number = number_of(whole)
    return None if number is None else Value(number, present=True)


def _boolean(truth: Any) -> Value | None:
    return Value(float(truth), present=True) if isinstance(truth, bool) else None


def _ratio(ratio: Any) -> Value | None:
    if not isinstance(ratio, dict):
        return None
    above, below = (ratio.get(name) or {} for name in ("numerator", "denominator"))
    top, bottom = number_of(above.get("value")), number_of(below.get("value"))
    if top is None or not bottom:
        return Value(present=True, mended=BAD_NUMBER)
    units = [unit_of(part) or "1" for part in (above, below)]
    return Value(
        top / bottom,
        above.get("comparator"),
        None if units == ["1", "1"] else "/".join(units),
        present=True,
    )


def _range(bounds: Any) -> Value | None:
    """A range is no number: nobody knows where in it the value lies. One of a single point is that number."""
    if not isinstance(bounds, dict):
        return None
    low, high = (bounds.get(name) or {} for name in ("low", "high"))
    least, most = number_of(low.get("value")), number_of(high.get("value"))
    unit = unit_of(low) or unit_of(high)
    if least is not None and least == most:
        return Value(least, None, unit, present=True)
    if least is None and most is None:
        return Value(present=True, mended=BAD_NUMBER)
    written = "-".join("" if one is None else f"{one:g}" for one in (least, most))
    return Value(None, f"{written} {unit or ''}".strip(), None, present=True, mended=RANGE)


def _period(period: Any) -> Value | None:
    if not isinstance(period, dict):
        return None
    return Value(text=f"{period.get('start') or ''}/{period.get('end') or ''}", present=True)


_READERS = {
    "valueQuantity": _quantity,
    "valueCodeableConcept": _concept,
    "valueString": _of_text,
    "valueDateTime": _words,
    "valueTime": _words,
    "valueInteger": _integer,
    "valueBoolean": _boolean,
    "valueRatio": _ratio,
    "valueRange": _range,
    "valuePeriod": _period,
}

_DAYS = {"d": 1.0, "wk": 7.0, "mo": 30.4375, "a": 365.25, "h": 1 / 24, "day": 1.0, "days": 1.0}
NO_DAYS = "days of supply that are none (left out)"


class Supply(NamedTuple):
    """How long a supply lasts, in days; mended: what is said of it and could not be read."""

    days: float | None = None
    mended: str | None = None


def supply_of(quantity: Any) -> Supply:
    """A duration in days. None where it is not positive or in no known unit, which is said, or where there is none."""
    if not isinstance(quantity, dict) or quantity.get("value") is None:
        return Supply()
    number = number_of(quantity["value"])
    size = _DAYS.get(str(quantity.get("code") or quantity.get("unit") or "d"))
    return Supply(number * size) if number and number > 0 and size else Supply(mended=NO_DAYS)


def has_negative_supply(resource: Mapping[str, Any]) -> bool:
    """Whether a prescription or a dispense is said to last for less than no time."""
    if "dispenseRequest" not in resource and "daysSupply" not in resource:
        return False
    dispense = resource.get("dispenseRequest")
    asked = dispense.get("expectedSupplyDuration") if isinstance(dispense, dict) else None
    quantities = (quantity for quantity in (asked, resource.get("daysSupply")) if isinstance(quantity, dict))
    return any((number_of(quantity.get("value")) or 0) < 0 for quantity in quantities)


def with_repeats(supply: Supply, values: Iterable[Any]) -> Supply:
    """The supply with its repeats, of which FHIR counts those beyond the first dispense, each of the expected duration.

    As many repeats count as end within two years.
    """
    if supply.days is None:
        return supply
    asked, fit = 1 + repeats(values), max(1, LONGEST_SUPPLY_DAYS // supply.days)
    cut = supply.mended or (REFILLS_CUT if asked > fit else None)
    return Supply(supply.days * min(asked, fit), cut)


def repeats(values: Iterable[Any]) -> float:
    """How often a supply is given beyond the first time; 0 where nobody says."""
    return next((number for value in values if (number := number_of(value)) and number > 0), 0.0)
