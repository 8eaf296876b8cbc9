"""FHIR's references as keys: what a resource is called, by its server, its type and its id, and what a reference means.

A key is `//server/Type/id` where the server is known, `Type/id` where nothing says whose it is, and
`Type?identifier:system|value` of a logical reference. Two servers' `Patient/1` are two people; `Group/1` is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote

Json = Mapping[str, Any]

# https://hl7.org/fhir/R4/references.html#literal, with ids that break FHIR's rule of letters, too.
_LITERAL = re.compile(
    r"^(?:(?P<base>[A-Za-z][A-Za-z0-9+.-]*://[^?#]*?)/+|\.?/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[^/?#]+)"
    r"(?:/_history/[^/?#]*)?/?$"
)
_CONDITIONAL = re.compile(r"(?:^|/)(?P<type>[A-Z][A-Za-z]+)\?identifier=(?P<identifier>[^&#]+)$")
_URN = re.compile(r"^urn:(?:uuid|oid):(?P<id>\S+)$", re.IGNORECASE)
# What a fact may be about that is no person (subjects of R4, R4B and R5). Only these are named in a report.
_SUBJECTS = frozenset({
    "Group", "Device", "Location", "Practitioner", "PractitionerRole", "Organization", "Procedure", "Medication",
    "Substance", "RelatedPerson", "BiologicallyDerivedProduct", "NutritionProduct", "Specimen",
})  # fmt: skip


class Literal(NamedTuple):
    """A literal reference. base: the server's address as it is written; None in a relative one."""

    base: str | None
    kind: str
    id: str


class Place(NamedTuple):
    """Where a resource lies: the server it is of, and what the urls of its bundle's entries mean (keys)."""

    server: str | None = None
    urls: Mapping[str, str] | None = None


NOWHERE = Place()


@lru_cache(maxsize=65536)
def literal(reference: str) -> Literal | None:
    """The server, type and id that a literal reference names; None where it is of another kind.

    >>> literal("https://a.example/fhir/Patient/1/_history/2")
    Literal(base='https://a.example/fhir', kind='Patient', id='1')
    >>> literal("urn:uuid:1") is None and literal("1") is None
    True
    """
    found = _LITERAL.match(reference)
    return Literal(found["base"], found["type"], found["id"]) if found else None


@lru_cache(maxsize=4096)
def server_of(base: str) -> str:
    """A server's address in one spelling: scheme and default port say nothing of whose a resource is.

    >>> server_of("HTTPS://A.example:443/fhir/"), server_of("http://a.example/fhir")
    ('//a.example/fhir', '//a.example/fhir')
    """
    scheme, _, rest = base.partition("://")
    host, slash, path = rest.partition("/")
    host = host.lower().removesuffix(":443" if scheme.lower() == "https" else ":80")
    prefix = "//" if scheme.lower() in ("http", "https") else f"//{scheme.lower()}:"
    return f"{prefix}{host}{slash}{path}".rstrip("/")


def key(server: str | None, kind: str, id_: str) -> str:
    """The key of a resource."""
    return f"{kind}/{id_}" if server is None else f"{server}/{kind}/{id_}"


def reference(target: Any, *, held: Any = None) -> str | None:
    """A FHIR reference as text: `Type/id`, `urn:uuid:id`, a URL, or `Type?identifier:system|value`.

    held: the resources contained where the reference stands; a contained one is known by its identifier, if at all.
    """
    if not isinstance(target, dict):
        return None
    text, kind = target.get("reference"), target.get("type")
    if isinstance(text, str) and text.startswith("#"):
        inside = contained_of(held, text)
        return _logical(str(inside.get("resourceType")), inside.get("identifier")) if inside else None
    if isinstance(text, str) and (text := text.strip()):
        if "?" in text and (found := _CONDITIONAL.search(text)):
            return f"{found['type']}?identifier:{unquote(found['identifier'])}"
        # An id without a type says nothing, unless the type stands beside it.
        bare = isinstance(kind, str) and re.fullmatch(r"[^/?#:]+", text)
        return f"{kind}/{text}" if bare else text
    return _logical(kind if isinstance(kind, str) else "", target.get("identifier"))


def _logical(kind: str, identifier: Any) -> str | None:
    first = next(iter(identifier), None) if isinstance(identifier, list) else identifier
    named = identifier_key(first) if isinstance(first, dict) else None
    kind = kind.rsplit("/", 1)[-1]  # Reference.type may be the address of the type's definition
    if named is None and kind not in ("", "Patient"):
        return f"{kind}/-"  # nobody knows which, and it is no person
    return f"{kind}?{named}" if named else None


def contained_of(held: Any, fragment: str) -> Json | None:
    """The contained resource that `#id` means."""
    inside = held if isinstance(held, list) else []
    return next((one for one in inside if isinstance(one, dict) and one.get("id") == fragment.removeprefix("#")), None)


def identifier_key(identifier: Json) -> str | None:
    """An identifier as text, `identifier:system|value`, by which logical references are resolved."""
    value = identifier.get("value")
    return f"identifier:{identifier.get('system') or ''}|{value}" if value else None


def resolved(text: str | None, place: Place, *, expected: str) -> str | None:
    """The key of what a reference means where it stands; None where it is no reference.

    A reference that does not say its type (`urn:uuid:`, an identifier) means the `expected` one. Relative references
    are those of the resource's own server.
    """
    if text is None:
        return None
    if place.urls and (found := place.urls.get(text) or place.urls.get(text.split("/_history/", 1)[0])):
        return found
    return _meant(text, place.server, expected)


@lru_cache(maxsize=65536)
def _meant(text: str, server: str | None, expected: str) -> str | None:
    if said := literal(text):
        return key(server if said.base is None else server_of(said.base), said.kind, said.id)
    if text.startswith("?"):
        return expected + text
    if "?identifier:" in text:
        return text
    return f"{expected}/{urn['id']}" if (urn := _URN.match(text)) else None


def kind_of(resolved_key: str) -> str:
    """The type that a key names."""
    before, logical, _ = resolved_key.partition("?identifier:")
    return before if logical else resolved_key.rsplit("/", 2)[-2]


def no_person(resolved_key: str) -> str | None:
    """Why what this key names is nobody; None of a Patient."""
    if resolved_key.startswith("Patient/") or (kind := kind_of(resolved_key)) == "Patient":
        return None
    return f"about a {kind}, not a person" if kind in _SUBJECTS else "about something that is no person"


def place_of(full_url: Any, urls: Mapping[str, str]) -> Place:
    """The place of a bundle's entry, by its fullUrl."""
    said = literal(full_url) if isinstance(full_url, str) else None
    return Place(server_of(said.base) if said and said.base else None, urls)


def urls_of(entries: Iterable[tuple[Any, Json]]) -> dict[str, str]:
    """What the urls of a bundle's entries mean: fullUrl -> key, of those that have an id."""
    return {
        url: key(place_of(url, {}).server, str(one.get("resourceType")), str(one["id"]))
        for url, one in entries
        if isinstance(url, str) and url and one.get("id")
    }
