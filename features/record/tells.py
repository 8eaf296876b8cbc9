"""What a record can tell: which vocabularies its sources use for what kind of fact, and since when.

That nobody has written a diagnosis down means "no" only where the record could have said it: its sources use a
vocabulary in which the diagnosis can be read. This is declared once, by ingest for a record on disk or by whoever makes
a record in memory; it is never concluded from the events of a person, nor from events after an index moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.errors import PresageError

READING = 3  # the rules by which codes, units and their absence are read; features of other rules are other features
TELLS_FILE = "metadata/tells.json"
BY_NAME = "RxNormByName"  # drugs of unknown number, read by their names
BARE_NUMBERS = "OMOP"  # concepts that the source's concept table lacks: numbers without a code or a name
ANY = "any"  # the kind of facts of a source that does not say what kind they are
ALWAYS, NEVER = np.datetime64("0001-01-01", "us"), np.datetime64("9999-12-31", "us")


@dataclass(frozen=True, slots=True)
class Tells:
    """kinds: kind of fact (condition, drug, measurement, visit, ...) to vocabulary to the first moment (ISO, to the
    microsecond) at which anybody's fact of that kind and vocabulary was known. hierarchies: vocabularies whose concepts
    the record can tell the descendants of. everything: every vocabulary is taken to be in use since ever. releases: the
    loaded vocabularies that an ingest read by, each as its name, its release and the digest of its files.
    """

    kinds: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    hierarchies: frozenset[str] = frozenset()
    everything: bool = False
    releases: tuple[tuple[str, str, str], ...] = ()

    @classmethod
    def all(cls) -> Tells:
        """Of a record whose maker vouches that what is not in it did not happen.

        >>> bool(Tells.all().since("condition", ["ICD10CM//I21*"]) == ALWAYS)
        True
        """
        return cls(everything=True)

    def since(self, kind: str, patterns: Iterable[str]) -> np.datetime64:
        """The moment after which the absence of every fact that these patterns match means "no"; NEVER if at no time.

        A pattern can be read in a vocabulary that is in use for this kind of fact: an exact code or a prefix as it is,
        a concept with everything below it where the record has a hierarchy of its vocabulary (ICD and ATC spell it).
        Drugs that were read by name tell of others only where every drug had a name: not where some are bare numbers.

        >>> Tells({"condition": {"SNOMED": "2010-01-01"}}).since("condition", ["SNOMED//44054006", "ICD10CM//E11*"])
        np.datetime64('2010-01-01T00:00:00.000000')
        """
        if self.everything:
            return ALWAYS
        readable = {_vocabulary(pattern) for pattern in patterns if self._can_read(pattern)}
        firsts = [
            np.datetime64(first, "us")
            for name in {kind, ANY} & set(self.kinds)
            for vocabulary, first in self.kinds[name].items()
            if vocabulary in readable and not (vocabulary == BY_NAME and BARE_NUMBERS in self.kinds[name])
        ]
        return min(firsts, default=NEVER)

    def _can_read(self, pattern: str) -> bool:
        if not pattern.startswith("<<"):
            return True
        vocabulary = _vocabulary(pattern)
        return vocabulary in self.hierarchies or vocabulary in SPELT

    def merged(self, other: Tells) -> Tells:
        """Of two sources in one record."""
        kinds: dict[str, dict[str, str]] = {kind: dict(each) for kind, each in self.kinds.items()}
        for kind, vocabularies in other.kinds.items():
            mine = kinds.setdefault(kind, {})
            for vocabulary, first in vocabularies.items():
                mine[vocabulary] = min(first, mine.get(vocabulary, first))
        return Tells(
            kinds,
            self.hierarchies | other.hierarchies,
            self.everything or other.everything,
            tuple(sorted({*self.releases, *other.releases})),
        )

    def to_json(self) -> dict[str, Any]:
        """Plain types; the inverse of `from_json`."""
        return {
            "reading": READING,
            "kinds": {kind: dict(sorted(each.items())) for kind, each in sorted(self.kinds.items())},
            "hierarchies": sorted(self.hierarchies),
            "everything": self.everything,
            "vocabularies": [
                {"name": name, "release": release, "digest": digest} for name, release, digest in self.releases
            ],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any], *, where: str, way_out: str) -> Tells:
        """Raises PresageError where it was declared under other rules of reading."""
        if body.get("reading") != READING:
            raise PresageError(
                where,
                f"what was read by rules {READING}",
                found=f"what was read by rules {body.get('reading', 1)}",
                way_out=way_out,
            )
        releases = ((each["name"], each["release"], each["digest"]) for each in body.get("vocabularies", ()))
        return cls(
            body["kinds"], frozenset(body["hierarchies"]), bool(body.get("everything")), tuple(sorted(set(releases)))
        )

    @classmethod
    def read(cls, text: str, *, where: str) -> Tells:
        """Of the file beside a record."""
        return cls.from_json(json.loads(text), where=where, way_out="run presage ingest again for its sources")


SPELT = frozenset({"ICD10CM", "ICD10", "ICD10GM", "ICD9CM", "ICD9", "ATC"})


def _vocabulary(pattern: str) -> str:
    return pattern.removeprefix("<<").partition("//")[0]
