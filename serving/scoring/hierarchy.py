"""What loaded vocabularies put below the concepts of a model's lists, for people whose codes are sent.

A person of the record is read by the record's own hierarchy. One who is sent may have codes that the record has never
seen: they are looked up among all codes below the concepts that the models name, which are read once for each model.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from threading import Lock

from features.codes import read
from features.record import Tells
from features.vocabulary import Loaded, codes_below, loaded
from serving.scoring.champions import Champion

LOG = logging.getLogger("presage")


@dataclass(slots=True)
class Hierarchy:
    """Answers for codes by the vocabularies that were loaded when a champion was learned.

    differs: by the name of a model, how the vocabularies here are others than those of the record it was learned on.
    """

    differs: dict[str, list[str]] = field(default_factory=dict)
    _above: dict[str, set[str]] = field(default_factory=dict)  # code -> the concepts it lies below
    _asked: set[str] = field(default_factory=set)  # concepts whose codes are known
    _learned: set[tuple[str, str]] = field(default_factory=set)  # names and versions
    _vocabularies: frozenset[str] = frozenset()
    _lock: Lock = field(default_factory=Lock)

    def learn(self, champion: Champion) -> None:
        """Read what lies below the concepts of a champion's lists, once for each of its versions."""
        if (champion.name, champion.version) in self._learned:
            return
        with self._lock:
            concepts = set(_concepts(champion)) - self._asked
            for row in codes_below(concepts).to_pylist() if concepts else ():
                self._above.setdefault(row["code"], set()).add(row["ancestor"])
            self._asked |= concepts
            self._learned.add((champion.name, champion.version))
            here = loaded()
            self._vocabularies = frozenset(name for each in here for name in each.vocabularies)
            found = list(differences(champion.bundle.tells, here))
            self.differs = {name: said for name, said in self.differs.items() if name != champion.name}
            if found:
                self.differs[champion.name] = found
                LOG.warning("presage: %s: %s", champion.name, "; ".join(found))

    def readable(self, champion: Champion, record: Tells | None) -> Tells | None:
        """What a person who is sent can tell: as the record that the champion was learned on, but of no hierarchy that
        neither a vocabulary loaded here nor this service's record has. What cannot be read is not known, and no "no".
        """
        sealed = champion.bundle.tells
        if sealed is None:
            return None
        have = self._vocabularies | (record.hierarchies if record else frozenset())
        return replace(sealed, hierarchies=sealed.hierarchies & have)

    def links(self, codes: Iterable[str]) -> list[tuple[str, str]]:
        """Pairs of one of these codes and a concept that it lies below, sorted."""
        return sorted((code, above) for code in codes for above in self._above.get(code, ()))


def differences(sealed: Tells | None, here: Iterable[Loaded]) -> Iterator[str]:
    """How the vocabularies loaded here are others than those that a model was learned by, in words."""
    by_name = {each.name: each for each in here}
    for name, release, digest in () if sealed is None else sealed.releases:
        mine = by_name.get(name)
        if mine is None:
            yield f"learned by {name} {release}, which is not loaded here (presage vocabulary load)"
        elif mine.digest != digest:
            other = f"release {mine.release}" if mine.release != release else "other files of that release"
            yield f"learned by {name} {release}, {other} loaded here"


def _concepts(champion: Champion) -> Iterator[str]:
    """The concepts that the champion's features and its study's lists name with everything below them."""
    specs = (*champion.catalogue.helpers, *champion.catalogue.specs)
    patterns = [pattern for spec in specs for pattern in spec.codes]
    patterns += [pattern for path in champion.bundle.folder.glob("codelist_*.csv") for pattern in read(path).patterns]
    return (pattern.removeprefix("<<") for pattern in patterns if pattern.startswith("<<"))
