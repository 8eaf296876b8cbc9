"""Whose the patients of a source are: one server's, several servers', and which references mean them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from features.sources.fhir.references import kind_of, literal, server_of

OTHER_SERVER = "person of a server that this source has no such patients of"
WHICH_SERVER = "several servers, and the reference does not say which"
SEVERAL_PEOPLE = "the reference fits several patients"
SEVERAL_CALLED = "an id of several patients: their bundles call them otherwise, and they share no identifier"
REPLACED_BY = "replaced by another patient (what is said of it is that patient's)"


@dataclass(slots=True)
class Servers:
    """What a source says of its servers.

    patients: the servers that patients say they are of, with the address as it is written. bare: whether there are
    patients that say none. meant: the servers that absolute references to a patient, of resources that say no server,
    mean; relative: whether such resources refer to patients without a server, too. called: of patients whose bundle
    calls them by a urn that is not their id, by key, each urn with the identifiers that the patient has there.
    """

    patients: dict[str, str] = field(default_factory=dict)
    bare: bool = False
    meant: set[str] = field(default_factory=set)
    relative: bool = False
    called: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def add_patient(self, server: str | None, full_url: str | None) -> None:
        """Remember the server of a patient, None where nothing says it."""
        said = literal(full_url) if full_url else None
        if server is None or said is None or said.base is None:
            self.bare = True
        else:
            base = said.base.rstrip("/")
            self.patients[server] = min(base, self.patients.get(server, base))

    def add_called(self, key: str, full_url: str | None, identifiers: Iterable[str]) -> None:
        """Remember by which urn a bundle calls a patient; one that is only its id says nothing more."""
        if full_url and full_url.lower().startswith("urn:") and not full_url.endswith(f":{key.rsplit('/', 1)[-1]}"):
            self.called.setdefault(key, {}).setdefault(full_url, set()).update(identifiers)

    def contradicted(self) -> frozenset[str]:
        """Keys that are of several people: bundles call them by several urns, and their identifiers differ.

        Ids are only unique within the server that gave them, and a urn names none. Patients who share an identifier, at
        first or second hand, are one; so is who has none beside others.
        """
        return frozenset(key for key, urns in self.called.items() if len(_apart(urns.values())) > 1)

    def add_reference(self, person: str) -> None:
        """Remember a reference to a patient, of a resource that says no server itself."""
        if person.startswith("Patient/"):
            self.relative = True
        elif person.startswith("//") and kind_of(person) == "Patient":
            self.meant.add(person.rsplit("/", 2)[0])

    def home(self, exported_from: str | None) -> str | None:
        """The server that everything is of that does not say one itself; None where that is not known.

        exported_from: the server's address by the export's log. Without patients that say no server it is the only one
        named; else the only one that their references mean, where none of these is relative, or the export's.
        """
        if not self.bare:
            return next(iter(self.patients)) if len(self.patients) == 1 else None
        if len(self.meant) == 1 and not self.relative:
            return next(iter(self.meant))
        return server_of(exported_from) if exported_from else None

    def merged(self, other: Servers) -> Servers:
        """What two readings of one source say together."""
        patients = {**other.patients, **self.patients}
        patients |= {name: min(base, other.patients.get(name, base)) for name, base in self.patients.items()}
        relative = self.relative or other.relative
        return Servers(patients, self.bare or other.bare, self.meant | other.meant, relative, self.called)

    def in_play(self, home: str | None) -> frozenset[str]:
        """The servers of the patients; the empty text stands for those that no server is known of."""
        return frozenset({*self.patients, *([home or ""] if self.bare else [])})


def _apart(groups: Iterable[set[str]]) -> list[set[str]]:
    """Groups that share nothing, those that share something made one; empty ones left out."""
    apart: list[set[str]] = []
    for group in groups:
        shared = [other for other in apart if other & group]
        if group:
            apart = [other for other in apart if not other & group] + [group.union(*shared)]
    return apart


def survivors(links: Iterable[tuple[str, str]], present: frozenset[str]) -> dict[str, str]:
    """The patient in whose place each replaced one stands: along chains, to an end; of a circle, the first by its key.

    A patient of whom two are said to stand in its place, and one replaced by a patient that the source lacks, stays.

    >>> survivors([("a", "b"), ("b", "c"), ("c", "b")], frozenset("abc"))
    {'a': 'b', 'c': 'b'}
    """
    after: dict[str, set[str]] = {}
    for replaced, by in links:
        if by in present and by != replaced:
            after.setdefault(replaced, set()).add(by)
    ends = {start: _end(start, after) for start in after}
    return {start: end for start, end in sorted(ends.items()) if start != end}


def _end(start: str, after: Mapping[str, set[str]]) -> str:
    reached = _reached(start, after)
    last = {one for one in reached if one not in after}
    if not last:
        last = {min(one for one in reached if one in _reached(one, after))}
    return last.pop() if len(last) == 1 else start


def _reached(start: str, after: Mapping[str, set[str]]) -> set[str]:
    """The patients that links lead to from this one."""
    reached: set[str] = set()
    waiting = [*after.get(start, ())]
    while waiting:
        at = waiting.pop()
        if at not in reached:
            reached.add(at)
            waiting += after.get(at, ())
    return reached
