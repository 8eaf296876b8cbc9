"""FHIR resources as they lie in files: bundles, loose resources that name each other, contained ones; their codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Resource = dict[str, Any]  # FHIR JSON as parsed


@dataclass(slots=True)
class Scope:
    """Resources that may refer to each other: those of one bundle, or the loose ones of one folder."""

    where: str
    resources: list[Resource] = field(default_factory=list)
    by_reference: dict[str, Resource] = field(default_factory=dict)
    origin: dict[int, str] = field(default_factory=dict)

    def add(self, resource: Resource, *, full_url: str | None = None, where: str | None = None) -> None:
        """Add a resource to the scope, to be found by `Type/id` and by its full URL."""
        self.resources.append(resource)
        self.origin[id(resource)] = where or self.where
        if resource.get("id"):
            self.by_reference[f"{resource.get('resourceType')}/{resource['id']}"] = resource
        if full_url:
            self.by_reference[full_url] = resource

    def of_type(self, name: str) -> Iterator[Resource]:
        """Resources of one type, in the order of the files."""
        return (resource for resource in self.resources if resource.get("resourceType") == name)

    def find(self, reference: object, *, holder: Resource | None = None) -> Resource | None:
        """The resource that a FHIR Reference points to: in the bundle or folder, or (`#id`) contained in the `holder`.

        None if absent.
        """
        target = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(target, str):
            return None
        if target.startswith("#"):
            return next((r for r in contained(holder) if f"#{r.get('id')}" == target), None)
        return self.by_reference.get(target) or self.by_reference.get("/".join(target.split("/")[-2:]))


def scopes(documents: Iterable[tuple[str, Resource]]) -> Iterator[Scope]:
    """One scope per bundle; the loose resources of all documents make the last one."""
    loose = Scope("loose resources")
    for where, document in documents:
        if document.get("resourceType") == "Bundle":
            yield _bundle(where, document)
        else:
            loose.add(document, where=where)
    if loose.resources:
        yield loose


def _bundle(where: str, document: Resource) -> Scope:
    scope = Scope(where)
    for entry in items(document, "entry"):
        resource = entry.get("resource")
        if isinstance(resource, dict):
            full_url = entry.get("fullUrl")
            scope.add(resource, full_url=full_url if isinstance(full_url, str) else None)
    return scope


def contained(resource: Resource | None) -> list[Resource]:
    """The resources that are contained in a resource."""
    return items(resource or {}, "contained")


def items(holder: Resource, key: str) -> list[Resource]:
    """The objects of a list under `key`.

    An entry that is not a list, and members that are not objects, are left out.
    """
    members = holder.get(key)
    return [item for item in members if isinstance(item, dict)] if isinstance(members, list) else []


def profiles(resource: Resource) -> set[str]:
    """The last parts of the URLs of the profiles that a resource claims to follow."""
    meta = resource.get("meta")
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    return {str(url).rsplit("/", 1)[-1] for url in claimed} if isinstance(claimed, list) else set()


def codes(concept: object) -> list[tuple[str, str, str | None]]:
    """System, code and display of every coding of a CodeableConcept."""
    if not isinstance(concept, dict):
        return []
    return [
        (str(c.get("system", "")), str(c["code"]), c.get("display")) for c in items(concept, "coding") if c.get("code")
    ]


def words(concept: object) -> str | None:
    """The text of a CodeableConcept, else the first display of its codings; None where it has neither."""
    if not isinstance(concept, dict):
        return None
    text = concept.get("text") or next((display for _, _, display in codes(concept) if display), None)
    return str(text) if text else None


def has_code(resource: Resource, code: str) -> bool:
    """Whether the resource's `code` has this code."""
    return any(c == code for _, c, _ in codes(resource.get("code")))


def components(observation: Resource, code: str) -> list[object]:
    """The values of all components of an Observation that have this code."""
    return [
        next((part[key] for key in part if key.startswith("value")), None)
        for part in items(observation, "component")
        if has_code(part, code)
    ]


def component(observation: Resource, code: str) -> object:
    """The value of the first component of an Observation that has this code and a value."""
    return next((value for value in components(observation, code) if value is not None), None)


def extensions(resource: Resource, name: str) -> list[Resource]:
    """The extensions of a resource whose URL ends in `name`."""
    return [e for e in items(resource, "extension") if str(e.get("url", "")).rsplit("/", 1)[-1] == name]
