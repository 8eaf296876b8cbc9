"""FHIR R4 resources as facts: one pure function for each resource type, none of which knows of other resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from features.codes import ANSWER
from features.sources.checks import NEGATIVE_SUPPLY
from features.sources.drugs import BY_NAME
from features.sources.fhir.codes import Coded, answers, code_of, coded, coded_drug
from features.sources.fhir.contained import end_inside
from features.sources.fhir.references import contained_of, reference
from features.sources.fhir.statuses import not_to_be_used, note_of
from features.sources.fhir.values import Supply, has_negative_supply, is_absent, supply_of, value_of, with_repeats

NO_CODE = "no code"
NO_VALUE = "no value (a reason is given)"
_NO_SUPPLY = Supply()


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


class Mapped(NamedTuple):
    """The facts that a resource gives about a person (a reference, or an identifier), or the reason why
    it gives none.
    """

    person: str | None
    facts: tuple[Fact, ...] = ()
    reason: str | None = None
    note: str | None = None


def map_resource(kind: str, resource: Mapping[str, Any]) -> Mapped:
    """Map a resource: the person it is about, whether it is to be used, and its facts where its type has a mapper."""
    person = subject_of(resource)
    reason = not_to_be_used(kind, resource) or (NEGATIVE_SUPPLY if has_negative_supply(resource) else None)
    if reason:
        return Mapped(person, reason=reason)
    if kind not in MAPPERS:
        return Mapped(person)
    facts = tuple(MAPPERS[kind](resource))
    if not facts:
        return Mapped(person, reason=NO_VALUE if is_absent(resource) else NO_CODE)
    return Mapped(person, facts, note=_drug_note(facts) if kind.startswith("Medication") else note_of(kind, resource))


def _drug_note(facts: tuple[Fact, ...]) -> str | None:
    others = [fact.coded.others for fact in facts if fact.coded is not None and fact.coded.others]
    return BY_NAME if others and any(is_by_name(code) for codes in others for code in codes) else None


def is_by_name(code: str) -> bool:
    """Whether a coding was made from a drug's name."""
    return code.startswith("RxNormByName//")


def subject_of(resource: Mapping[str, Any]) -> str | None:
    """The reference to whom or what a resource is about, as text; None where it has none."""
    named = resource.get("subject") or resource.get("patient") or resource.get("beneficiary")
    return reference(named, held=resource.get("contained"))


def _when(resource: Mapping[str, Any], *stems: str) -> tuple[str | None, str | None]:
    """Start and end of `<stem>DateTime`, `<stem>Instant`, `<stem>Period` or `<stem>Timing`, of the first stem there."""
    for stem in stems:
        if isinstance(moment := resource.get(stem + "DateTime"), str):
            return moment, None
        for name in ("Instant", "Date"):
            if isinstance(moment := resource.get(stem + name), str):
                return moment, None
        timing = resource.get(stem + "Timing") or {}
        moments = timing.get("event") or []
        period = resource.get(stem + "Period") or (timing.get("repeat") or {}).get("boundsPeriod") or {}
        if moments:
            return moments[0], moments[-1]
        if period:
            return period.get("start") or period.get("end"), period.get("end")
    return None, None


def _encounter(resource: Mapping[str, Any]) -> str | None:
    return reference(resource.get("encounter") or resource.get("context"))


def _condition(resource: Mapping[str, Any]) -> Iterator[Fact]:
    condition = coded(resource.get("code"), text_prefix="Source/condition")
    onset, _ = _when(resource, "onset")
    recorded = resource.get("recordedDate")
    if condition:
        known = (recorded, end_inside(resource))
        yield Fact(condition, onset or recorded, known, encounter=_encounter(resource), at_visit_end=True)


def _observation(resource: Mapping[str, Any]) -> Iterator[Fact]:
    start, end = _when(resource, "effective")
    issued = resource.get("issued")
    components = [part for part in resource.get("component") or () if isinstance(part, dict)]
    encounter, is_preliminary = _encounter(resource), resource.get("status") == "preliminary"
    for part in (resource, *components):
        observed = coded(part.get("code"), text_prefix="Source/observation")
        value = value_of(part)
        # A panel is told by its components; a result that is missing for a reason is no result.
        empty_panel = part is resource and components and not value.present
        if observed and not empty_panel and (value.present or not is_absent(part)):
            yield Fact(
                observed,
                start or issued,
                (end, issued),
                value.number,
                value.text,
                value.unit,
                encounter,
                mended=value.mended,
                preliminary=is_preliminary,
                answers=_answers(part),
            )


def _answers(part: Mapping[str, Any]) -> tuple[str, ...]:
    if "valueCodeableConcept" in part:
        return answers(part["valueCodeableConcept"])
    return (f"{ANSWER}Boolean//false",) if part.get("valueBoolean") is False else ()


def _procedure(resource: Mapping[str, Any]) -> Iterator[Fact]:
    procedure = coded(resource.get("code"), text_prefix="Source/procedure")
    start, _ = _when(resource, "performed", "occurrence")  # R5 calls it an occurrence
    if procedure:
        known = (end_inside(resource),)
        yield Fact(procedure, start, known, encounter=_encounter(resource), at_visit_end=True)


def _immunization(resource: Mapping[str, Any]) -> Iterator[Fact]:
    vaccine = coded(resource.get("vaccineCode"), text_prefix="Source/immunization")
    start, _ = _when(resource, "occurrence")
    if vaccine:
        yield Fact(vaccine, start, (resource.get("recorded"),), encounter=_encounter(resource))


def _medication(
    resource: Mapping[str, Any], start: str | None, *, known: str | None = None, supply: Supply = _NO_SUPPLY
) -> Iterator[Fact]:
    either = resource.get("medication")  # R5: a concept or a reference in one element
    either = either if isinstance(either, dict) else {}
    target = resource.get("medicationReference") or either.get("reference")
    drug = coded_drug(resource.get("medicationCodeableConcept") or either.get("concept"))
    if isinstance(target, dict) and str(target.get("reference")).startswith("#"):
        inside = contained_of(resource.get("contained"), target["reference"])
        drug = drug or (coded_drug(inside.get("code")) if inside else None)
        target = None
    pointed = None if drug else reference(target)
    if drug or pointed:
        yield Fact(
            drug,
            start,
            (known,),
            supply.days,
            None,
            None if supply.days is None else "d",
            _encounter(resource),
            medication=pointed,
            mended=supply.mended,
        )


def _medication_request(resource: Mapping[str, Any]) -> Iterator[Fact]:
    dispense = resource.get("dispenseRequest") or {}
    supply = supply_of(dispense.get("expectedSupplyDuration"))
    supply = with_repeats(supply, [dispense.get("numberOfRepeatsAllowed")])
    yield from _medication(resource, resource.get("authoredOn"), supply=supply)


def _medication_administration(resource: Mapping[str, Any]) -> Iterator[Fact]:
    # R5 spells it so (https://hl7.org/fhir/R5/medicationadministration.html).
    yield from _medication(resource, _when(resource, "effective", "occurence", "occurrence")[0])


def _medication_dispense(resource: Mapping[str, Any]) -> Iterator[Fact]:
    start = resource.get("whenHandedOver") or resource.get("whenPrepared")
    yield from _medication(resource, start, supply=supply_of(resource.get("daysSupply")))


def _medication_statement(resource: Mapping[str, Any]) -> Iterator[Fact]:
    asserted = resource.get("dateAsserted")
    yield from _medication(resource, _when(resource, "effective")[0] or asserted, known=asserted)


def _family_history(resource: Mapping[str, Any]) -> Iterator[Fact]:
    """`FAMILY_HISTORY//<code>` for each condition of a relative, with the relationship's code as its text.

    A history without a date was known when its server last changed it.
    """
    relation = code_of(next(iter((resource.get("relationship") or {}).get("coding") or [{}])))
    relative = relation.split("//")[-1] if relation else (resource.get("relationship") or {}).get("text")
    meta = resource.get("meta")
    known = resource.get("date") or (meta.get("lastUpdated") if isinstance(meta, dict) else None)
    for condition in resource.get("condition") or []:
        if disease := coded(condition.get("code"), text_prefix="Source/condition"):
            kept = _prefixed("FAMILY_HISTORY", disease)
            yield Fact(kept, known, number=1.0, text=relative)


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
