"""FHIR R4 resources as facts: one pure function for each resource type, none of which knows of other resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from features.sources.checks import BAD_NUMBER, LONGEST_SUPPLY_DAYS, NEGATIVE_SUPPLY
from features.sources.drugs import BY_NAME
from features.sources.fhir.codes import Coded, answers, code_of, coded, coded_drug
from features.sources.numbers import written_number

ENTERED_IN_ERROR = "entered in error"
REFUTED = "refuted"
NO_CODE = "no code"
NO_VALUE = "no value (a reason is given)"
NUMBER_AS_TEXT = "number written as text (read)"


class Value(NamedTuple):
    """A measured value. text: a comparator beside a number, else words. from_text: the number was written as text.
    unread: there is something where a number should be, and it is none.
    """

    number: float | None = None
    text: str | None = None
    unit: str | None = None
    present: bool = False
    from_text: bool = False
    unread: bool = False


class Fact(NamedTuple):
    """A fact that may become an event.

    known: moments at which the fact was known at the latest, beside its start. at_visit_end: it counts as known only
    when its encounter has ended. medication: where the code is that of another resource. answers: codings of the value.
    mended: what had to be mended to read it. preliminary: a later result of the same thing takes its place.
    """

    coded: Coded | None
    start: str | None
    known: tuple[str | None, ...] = ()
    number: float | None = None
    text: str | None = None
    unit: str | None = None
    encounter: str | None = None
    at_visit_end: bool = False
    medication: str | None = None
    answers: tuple[str, ...] = ()
    mended: str | None = None
    preliminary: bool = False


@dataclass(frozen=True, slots=True)
class Mapped:
    """The facts that a resource gives about a person (a reference, or an identifier), or the reason why
    it gives none.
    """

    person: str | None
    facts: tuple[Fact, ...] = ()
    reason: str | None = None
    note: str | None = None


def map_resource(kind: str, resource: Mapping[str, Any]) -> Mapped:
    """Map a resource: the person it is about, whether it is to be used, and its facts where its type has a mapper."""
    person = reference(resource.get("subject") or resource.get("patient") or resource.get("beneficiary"))
    reason = _not_to_be_used(kind, resource)
    if reason:
        return Mapped(person, reason=reason)
    if kind not in MAPPERS:
        return Mapped(person)
    facts = tuple(MAPPERS[kind](resource))
    if not facts:
        nothing = NO_VALUE if resource.get("dataAbsentReason") else NO_CODE
        return Mapped(person, reason=nothing)
    return Mapped(person, facts, note=_note(kind, resource, facts=facts))


def reference(target: Any) -> str | None:
    """A FHIR reference as text: `Type/id`, `urn:uuid:id`, a URL, or `identifier:system|value` of
    a logical reference.
    """
    if not isinstance(target, dict):
        return None
    literal = target.get("reference")
    if isinstance(literal, str) and literal:
        if "?identifier=" in literal:
            return "identifier:" + literal.split("?identifier=", 1)[1]
        return literal.split("/_history/", 1)[0]
    identifier = target.get("identifier")
    return identifier_key(identifier) if isinstance(identifier, dict) else None


def identifier_key(identifier: Mapping[str, Any]) -> str | None:
    """An identifier as text, `identifier:system|value`, by which logical references are resolved."""
    value = identifier.get("value")
    return f"identifier:{identifier.get('system') or ''}|{value}" if value else None


def id_of(ref: str | None) -> str | None:
    """The id at the end of a literal reference."""
    if ref is None or ref.startswith(("#", "identifier:")):
        return ref
    return ref.rsplit("/", 1)[-1].removeprefix("urn:uuid:").removeprefix("urn:oid:")


def _status_codes(resource: Mapping[str, Any], name: str) -> frozenset[str]:
    concept = resource.get(name)
    if isinstance(concept, str):
        return frozenset([concept])
    codings = concept.get("coding") or [] if isinstance(concept, dict) else []
    return frozenset(str(coding.get("code")) for coding in codings if isinstance(coding, dict))


# Statuses that say that the thing did not happen, or has no result (http://hl7.org/fhir/R4, value sets of `status`).
_NEVER_HAPPENED = {
    "Encounter": frozenset({"planned", "cancelled"}),
    "Observation": frozenset({"cancelled", "registered"}),
    "DiagnosticReport": frozenset({"cancelled", "registered"}),
    "MedicationRequest": frozenset({"cancelled", "draft"}),
    "MedicationAdministration": frozenset({"not-done"}),
    "MedicationDispense": frozenset({"cancelled", "declined", "preparation"}),
    "MedicationStatement": frozenset({"not-taken", "intended"}),
    "Procedure": frozenset({"not-done", "preparation"}),
    "Immunization": frozenset({"not-done"}),
    "FamilyMemberHistory": frozenset({"health-unknown"}),
    "Coverage": frozenset({"cancelled", "draft"}),
}


def _not_to_be_used(kind: str, resource: Mapping[str, Any]) -> str | None:
    status = resource.get("status")
    verification = _status_codes(resource, "verificationStatus")
    if status == "entered-in-error" or "entered-in-error" in verification:
        return ENTERED_IN_ERROR
    if "refuted" in verification:
        return REFUTED
    if status in _NEVER_HAPPENED.get(kind, ()):
        return f"status {status}"
    if kind == "MedicationRequest" and (resource.get("intent") in ("proposal", "plan") or resource.get("doNotPerform")):
        return "a proposal, a plan or a prohibition"
    return NEGATIVE_SUPPLY if (_number(_supply(resource).get("value")) or 0) < 0 else None


def _supply(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quantity that says for how long a prescription or a dispense lasts."""
    quantity = (resource.get("dispenseRequest") or {}).get("expectedSupplyDuration") or resource.get("daysSupply")
    return quantity if isinstance(quantity, dict) else {}


def _note(kind: str, resource: Mapping[str, Any], *, facts: Sequence[Fact]) -> str | None:
    unsure = _status_codes(resource, "verificationStatus") & {"unconfirmed", "provisional", "differential"}
    if kind == "Condition" and unsure:
        return f"{min(unsure)} (kept)"
    drugs = (fact.coded for fact in facts if fact.coded is not None)
    return BY_NAME if any(is_by_name(other) for drug in drugs for other in drug.others) else None


def is_by_name(code: str) -> bool:
    """Whether a coding was made from a drug's name."""
    return code.startswith("RxNormByName//")


def _when(resource: Mapping[str, Any], stem: str) -> tuple[str | None, str | None]:
    """Start and end of `<stem>DateTime`, `<stem>Instant` or `<stem>Period`."""
    for name in ("DateTime", "Instant", "Date"):
        if isinstance(moment := resource.get(stem + name), str):
            return moment, None
    period = resource.get(stem + "Period") or {}
    return period.get("start") or period.get("end"), period.get("end")


def _encounter(resource: Mapping[str, Any]) -> str | None:
    return reference(resource.get("encounter") or resource.get("context"))


def _condition(resource: Mapping[str, Any]) -> Iterator[Fact]:
    condition = coded(resource.get("code"), text_prefix="Source/condition")
    onset, _ = _when(resource, "onset")
    recorded = resource.get("recordedDate")
    if condition:
        yield Fact(condition, onset or recorded, (recorded,), encounter=_encounter(resource), at_visit_end=True)


def _observation(resource: Mapping[str, Any]) -> Iterator[Fact]:
    start, end = _when(resource, "effective")
    issued = resource.get("issued")
    components = [part for part in resource.get("component") or [] if isinstance(part, dict)]
    for part in (resource, *components):
        observed = coded(part.get("code"), text_prefix="Source/observation")
        value = _value(part)
        # A panel is told by its components; a result that is missing for a reason is no result.
        empty_panel = part is resource and components and not value.present
        if observed and not empty_panel and (value.present or not part.get("dataAbsentReason")):
            moments = (end, issued)
            yield Fact(
                observed,
                start or issued,
                moments,
                value.number,
                value.text,
                value.unit,
                encounter=_encounter(resource),
                mended=NUMBER_AS_TEXT
                if value.from_text
                else BAD_NUMBER
                if value.unread and not value.present
                else None,
                preliminary=resource.get("status") == "preliminary",
                answers=answers(part.get("valueCodeableConcept")),
            )


def _value(part: Mapping[str, Any]) -> Value:
    """What an Observation or a component of one measured."""
    if isinstance(quantity := part.get("valueQuantity"), dict):
        unit = quantity.get("code") or quantity.get("unit")
        given = quantity.get("value")
        if isinstance(given, str) and (said := written_number(given)):
            sign = quantity.get("comparator") or said.sign
            return Value(said.number, sign, unit or said.unit, present=True, from_text=True)
        number = _number(given)
        return Value(number, quantity.get("comparator"), unit, present=number is not None, unread=given is not None)
    if isinstance(concept := part.get("valueCodeableConcept"), dict):
        words = concept.get("text") or next(
            (coding.get("display") or coding.get("code") for coding in concept.get("coding") or []), None
        )
        return _of_text(words) if isinstance(words, str) else Value(present=words is not None)
    if isinstance(text := part.get("valueString"), str):
        return _of_text(text)
    for name in ("valueDateTime", "valueTime"):
        if isinstance(text := part.get(name), str):
            return Value(text=text, present=True)
    if isinstance(whole := part.get("valueInteger"), int):
        return Value(float(whole), present=True)
    if isinstance(truth := part.get("valueBoolean"), bool):
        return Value(float(truth), present=True)
    if isinstance(ratio := part.get("valueRatio"), dict):
        return _ratio(ratio)
    return Value(present=any(name.startswith("value") for name in part))


def _mended(value: Value) -> str | None:
    if value.from_text:
        return NUMBER_AS_TEXT
    return BAD_NUMBER if value.unread and not value.present else None


def _of_text(text: str) -> Value:
    """A text that is a number, with or without a sign and a unit, is that number; every other is itself."""
    said = written_number(text)
    if said is None:
        return Value(text=text, present=True)
    return Value(said.number, said.sign, said.unit, present=True, from_text=True)


def _ratio(ratio: Mapping[str, Any]) -> Value:
    above, below = (ratio.get(name) or {} for name in ("numerator", "denominator"))
    top, bottom = _number(above.get("value")), _number(below.get("value"))
    if top is None or not bottom:
        return Value(present=True)
    units = [part.get("code") or part.get("unit") or "1" for part in (above, below)]
    return Value(top / bottom, None, None if units == ["1", "1"] else "/".join(units), present=True)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _procedure(resource: Mapping[str, Any]) -> Iterator[Fact]:
    procedure = coded(resource.get("code"), text_prefix="Source/procedure")
    start, _ = _when(resource, "performed")
    if procedure:
        yield Fact(procedure, start, encounter=_encounter(resource), at_visit_end=True)


def _immunization(resource: Mapping[str, Any]) -> Iterator[Fact]:
    vaccine = coded(resource.get("vaccineCode"), text_prefix="Source/immunization")
    start, _ = _when(resource, "occurrence")
    if vaccine:
        yield Fact(vaccine, start, (resource.get("recorded"),), encounter=_encounter(resource))


_DAYS = {"d": 1.0, "wk": 7.0, "mo": 30.4375, "a": 365.25, "h": 1 / 24, "day": 1.0, "days": 1.0}


def _days(quantity: Any) -> float | None:
    """A duration in days; null where it is none."""
    if not isinstance(quantity, dict):
        return None
    number = _number(quantity.get("value"))
    size = _DAYS.get(str(quantity.get("code") or quantity.get("unit") or "d"))
    return number * size if number and number > 0 and size else None


def _medication(
    resource: Mapping[str, Any], start: str | None, *, known: str | None, days: float | None
) -> Iterator[Fact]:
    drug = coded_drug(resource.get("medicationCodeableConcept"))
    pointed = reference(resource.get("medicationReference"))
    if pointed and pointed.startswith("#"):
        held = [inner for inner in resource.get("contained") or [] if inner.get("id") == pointed[1:]]
        drug = drug or (coded_drug(held[0].get("code")) if held else None)
        pointed = None
    if drug or pointed:
        unit = None if days is None else "d"
        yield Fact(drug, start, (known,), days, None, unit, _encounter(resource), medication=None if drug else pointed)


def _medication_request(resource: Mapping[str, Any]) -> Iterator[Fact]:
    dispense = resource.get("dispenseRequest") or {}
    days, refills = _days(dispense.get("expectedSupplyDuration")), _number(dispense.get("numberOfRepeatsAllowed"))
    if days is not None and refills is not None and refills > 0:
        # FHIR: repeats are those beyond the first dispense, each of the expected duration.
        whole = days * (1 + refills)
        days = whole if whole <= LONGEST_SUPPLY_DAYS else days
    yield from _medication(resource, resource.get("authoredOn"), known=None, days=days)


def _medication_administration(resource: Mapping[str, Any]) -> Iterator[Fact]:
    yield from _medication(resource, _when(resource, "effective")[0], known=None, days=None)


def _medication_dispense(resource: Mapping[str, Any]) -> Iterator[Fact]:
    start = resource.get("whenHandedOver") or resource.get("whenPrepared")
    yield from _medication(resource, start, known=None, days=_days(resource.get("daysSupply")))


def _medication_statement(resource: Mapping[str, Any]) -> Iterator[Fact]:
    asserted = resource.get("dateAsserted")
    yield from _medication(resource, _when(resource, "effective")[0] or asserted, known=asserted, days=None)


def _family_history(resource: Mapping[str, Any]) -> Iterator[Fact]:
    """`FAMILY_HISTORY//<code>` for each condition of a relative, with the relationship's code as its text."""
    relation = code_of(next(iter((resource.get("relationship") or {}).get("coding") or [{}])))
    relative = relation.split("//")[-1] if relation else (resource.get("relationship") or {}).get("text")
    for condition in resource.get("condition") or []:
        if disease := coded(condition.get("code"), text_prefix="Source/condition"):
            kept = _prefixed("FAMILY_HISTORY", disease)
            yield Fact(kept, resource.get("date"), number=1.0, text=relative)


def _allergy(resource: Mapping[str, Any]) -> Iterator[Fact]:
    """`ALLERGY//<code>`: an allergy to a drug is not a prescription of it."""
    allergen = coded(resource.get("code"), text_prefix="Source/allergy")
    onset, _ = _when(resource, "onset")
    recorded = resource.get("recordedDate")
    if allergen:
        kept = _prefixed("ALLERGY", allergen)
        yield Fact(kept, onset or recorded, (recorded,), encounter=_encounter(resource))


def _report(resource: Mapping[str, Any]) -> Iterator[Fact]:
    """That the report was made; its results are Observations."""
    report = coded(resource.get("code"), text_prefix="Source/report")
    start, end = _when(resource, "effective")
    issued = resource.get("issued")
    if report:
        yield Fact(report, start or issued, (end, issued), encounter=_encounter(resource))


def _prefixed(prefix: str, found: Coded) -> Coded:
    return Coded(f"{prefix}//{found.code}", tuple(f"{prefix}//{other}" for other in found.others), found.words)


Mapper = Callable[[Mapping[str, Any]], Iterator[Fact]]

MAPPERS: Mapping[str, Mapper] = {
    "Condition": _condition,
    "Observation": _observation,
    "Procedure": _procedure,
    "Immunization": _immunization,
    "MedicationRequest": _medication_request,
    "MedicationAdministration": _medication_administration,
    "MedicationDispense": _medication_dispense,
    "MedicationStatement": _medication_statement,
    "FamilyMemberHistory": _family_history,
    "AllergyIntolerance": _allergy,
    "DiagnosticReport": _report,
}
"""Types with dated facts. People, visits, coverage and what is only referred to have ways of their own."""
