"""Patients, encounters and coverage of FHIR R4: the resources that other resources are checked against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from features.sources.fhir.codes import ADMITTED_FROM_EMERGENCY, ETHNICITIES, GENDERS, RACES, VISITS, code_of
from features.sources.fhir.references import identifier_key, reference

_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"


class Patient(NamedTuple):
    """A person.

    Moments are text as FHIR writes it, and so are references. aliases: names by which logical references may mean the
    person. replaced_by, replaces: references to patients in whose place this one stands, or that stand in its place.
    """

    birth: str | None
    deceased: str | None
    dead_without_date: bool
    static_codes: tuple[str, ...]
    care_site: str | None
    provider: str | None
    aliases: tuple[str, ...]
    replaced_by: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


class Encounter(NamedTuple):
    """A visit."""

    code: str
    start: str | None
    end: str | None


def patient(resource: Mapping[str, Any]) -> Patient:
    """Read a Patient resource."""
    doctors = resource.get("generalPractitioner") or []
    return Patient(
        birth=resource.get("birthDate"),
        deceased=resource.get("deceasedDateTime"),
        dead_without_date=resource.get("deceasedBoolean") is True,
        static_codes=tuple(_static_codes(resource)),
        care_site=reference(resource.get("managingOrganization")),
        provider=next((ref for doctor in doctors if (ref := reference(doctor))), None),
        aliases=tuple(
            key
            for identifier in resource.get("identifier") or []
            if isinstance(identifier, dict) and (key := identifier_key(identifier))
        ),
        replaced_by=tuple(_links(resource, "replaced-by")),
        replaces=tuple(_links(resource, "replaces")),
    )


def _links(resource: Mapping[str, Any], kind: str) -> Iterator[str]:
    for link in resource.get("link") or []:
        if isinstance(link, dict) and link.get("type") == kind and (other := reference(link.get("other"))):
            yield other


def _static_codes(resource: Mapping[str, Any]) -> Iterator[str]:
    gender = GENDERS.get(str(resource.get("gender")))
    if gender:
        yield gender
    for extension in resource.get("extension") or []:
        url = extension.get("url") or ""
        for name, known, prefix in (("race", RACES, "Race"), ("ethnicity", ETHNICITIES, "Ethnicity")):
            if url == _US_CORE + name:
                yield from _us_core(extension, known, prefix=prefix)


def _us_core(extension: Mapping[str, Any], known: Mapping[str, str], *, prefix: str) -> Iterator[str]:
    """The category of a US Core race or ethnicity; where it has none, its text."""
    parts = extension.get("extension") or []
    codings = [part.get("valueCoding") or {} for part in parts if part.get("url") == "ombCategory"]
    codes = [known.get(str(coding.get("code"))) or code_of(coding) for coding in codings]
    text = next((part.get("valueString") for part in parts if part.get("url") == "text"), None)
    distinct = sorted({code for code in codes if code})
    yield from distinct or ([f"{prefix}//{text}"] if text else [])


def encounter(resource: Mapping[str, Any]) -> Encounter:
    """Read an Encounter resource; one that came through the emergency department is an unplanned admission."""
    kind = _class_of(resource.get("class"))
    stay = resource.get("hospitalization") or resource.get("admission") or {}  # the latter in R5
    admitted_from = {coding.get("code") for coding in (stay.get("admitSource") or {}).get("coding") or []}
    if kind == "IP" and ADMITTED_FROM_EMERGENCY in admitted_from:
        kind = "ERIP"
    period = resource.get("period") or resource.get("actualPeriod") or {}
    return Encounter(f"Visit//{kind}", period.get("start"), period.get("end"))


def _class_of(raw: Any) -> str:
    """The kind of visit: R4's class is a coding, R5's are concepts, of which the first that is known counts."""
    concepts = raw if isinstance(raw, list) else [{"coding": [raw]}]
    codings = [coding for concept in concepts if isinstance(concept, dict) for coding in concept.get("coding") or []]
    acts = [str(coding["code"]) for coding in codings if isinstance(coding, dict) and coding.get("code")]
    return next((VISITS[act] for act in acts if act in VISITS), acts[0] if acts else "unknown")


def coverage(resource: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The start and the end of a Coverage's period, as text."""
    period = resource.get("period") or {}
    return period.get("start"), period.get("end")
