"""Resources contained in others: facts of the same person, which inherit from their container what they do not say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from features.sources.fhir.references import contained_of

Resource = Mapping[str, Any]

# What a result of a report has from the report where it says nothing of its own.
_OF_REPORT = ("effectiveDateTime", "effectiveInstant", "effectivePeriod", "issued")
_DATED = ("effectiveTiming", *_OF_REPORT)
_PERSON = ("subject", "patient", "beneficiary")


def contained(resource: Resource, kinds: frozenset[str]) -> Iterator[tuple[str, Resource]]:
    """The contained resources of these types, each whole: about the container's person where it names nobody.

    Its id is only unique within its container, so it has none here.
    """
    held = resource.get("contained")
    for one in held if isinstance(held, list) else ():
        kind = one.get("resourceType") if isinstance(one, dict) else None
        if isinstance(kind, str) and kind in kinds:
            yield kind, _whole(one, resource)


def encounters_inside(resource: Resource) -> int:
    """How many encounters a resource contains. They are no visits: each resource of a visit holds a copy of its own."""
    held = resource.get("contained")
    found = (one for one in (held if isinstance(held, list) else ()) if isinstance(one, dict))
    return sum(one.get("resourceType") == "Encounter" for one in found)


def end_inside(resource: Resource) -> str | None:
    """The end of the contained encounter that a resource says it is of."""
    named = resource.get("encounter") or resource.get("context")
    text = named.get("reference") if isinstance(named, dict) else None
    if not (isinstance(text, str) and text.startswith("#")):
        return None
    period = (contained_of(resource.get("contained"), text) or {}).get("period")
    end = period.get("end") if isinstance(period, dict) else None
    return end if isinstance(end, str) else None


def _whole(one: Resource, container: Resource) -> Resource:
    whole = {name: value for name, value in one.items() if name != "id"}
    whole["contained"] = container["contained"]
    if not _names_somebody(whole, container):
        for name in _PERSON:
            whole.pop(name, None)
        whole.update({name: container[name] for name in _PERSON if name in container})
    if "encounter" not in whole and "context" not in whole:
        whole.update({name: container[name] for name in ("encounter", "context") if name in container})
    if whole.get("resourceType") == "Observation" and not any(name in whole for name in _DATED):
        whole.update({name: container[name] for name in _OF_REPORT if name in container})
    return whole


def _names_somebody(one: Resource, container: Resource) -> bool:
    """Whether a contained resource names whom it is about; the container's own contained subject is no other."""
    named = next((one[name] for name in _PERSON if one.get(name)), None)
    if not isinstance(named, dict):
        return False
    text = named.get("reference")
    inside = isinstance(text, str) and text.startswith("#")
    theirs = next((container[name] for name in _PERSON if container.get(name)), None)
    if inside and text == "#":
        return False
    if inside and isinstance(theirs, dict) and theirs.get("reference") == text:
        return False
    return not (inside and contained_of(container.get("contained"), str(text)) is None)
