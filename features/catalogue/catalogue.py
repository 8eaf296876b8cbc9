"""A catalogue is the ordered features of one study, and the vocabulary of its code-based family."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from features.catalogue import clinical, comorbidity, equations, genomic, history, measurements
from features.catalogue.spec import FeatureSpec
from features.errors import PresageError, meant
from features.record import READING

CODE_WINDOWS_DAYS: tuple[int | None, ...] = (365, None)
CODE_PREVALENCE = 0.01

_DENSE: Mapping[str, Callable[[], tuple[FeatureSpec, ...]]] = {
    "demographics": history.demographics,
    "groups": history.groups,
    "measurements": measurements.measurements,
    "conditions": clinical.conditions,
    "medications": clinical.medications,
    "utilisation": clinical.utilisation,
    "family_history": history.family_history,
    "social": history.social,
    "comorbidity": comorbidity.comorbidity,
    "monogenic": genomic.monogenic,
    "equations": equations.equations,
}
FAMILIES = (*_DENSE, "polygenic", "codes")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The ordered features of a study, and the vocabulary of its code-based family.

    specs: dense features in the order of the frame's columns. helpers: features that derived ones are computed from and
    that are not shown. code_prevalence: None without the code-based family; otherwise the share of index rows that a
    code must reach to be learned into `vocabulary` (codes, sorted). Each code has a column for each window of
    `code_windows_days`.
    """

    specs: tuple[FeatureSpec, ...]
    code_prevalence: float | None = None
    code_windows_days: tuple[int | None, ...] = CODE_WINDOWS_DAYS
    vocabulary: tuple[str, ...] = ()
    helpers: tuple[FeatureSpec, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the dense features."""
        return tuple(spec.name for spec in self.specs)

    @property
    def code_names(self) -> tuple[str, ...]:
        """Names of the sparse columns: all codes of the first window, then of the next."""
        return tuple(f"{code}@{_window(days)}" for days in self.code_windows_days for code in self.vocabulary)

    @property
    def hash(self) -> str:
        """SHA-256 of the catalogue's canonical JSON, which bundles and receipts carry."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The catalogue as canonical JSON: sorted keys, no blanks, ASCII."""
        body = {
            "specs": [spec.to_dict() for spec in self.specs],
            "helpers": [spec.to_dict() for spec in self.helpers],
            "code_prevalence": self.code_prevalence,
            "code_windows_days": list(self.code_windows_days),
            "vocabulary": list(self.vocabulary),
            "reading": READING,
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Catalogue:
        """The inverse of `to_json`. Raises PresageError where features were declared under other rules of reading."""
        body = json.loads(text)
        if body.get("reading") != READING:
            raise PresageError(
                "catalogue",
                f"features read by rules {READING}",
                found=f"features of rules {body.get('reading', 1)}",
                way_out="train the model again",
            )
        return cls(
            tuple(FeatureSpec.from_dict(row) for row in body["specs"]),
            body["code_prevalence"],
            tuple(body["code_windows_days"]),
            tuple(body["vocabulary"]),
            tuple(FeatureSpec.from_dict(row) for row in body["helpers"]),
        )

    def with_vocabulary(self, codes: Iterable[str]) -> Catalogue:
        """The same catalogue with this vocabulary frozen in."""
        return replace(self, vocabulary=tuple(sorted(set(codes))))

    def only(self, names: Iterable[str]) -> Catalogue:
        """The same catalogue with these dense features only, in the catalogue's order.

        Features they are derived from stay as helpers.
        """
        kept = set(names)
        specs = tuple(spec for spec in self.specs if spec.name in kept)
        known = {spec.name: spec for spec in (*self.helpers, *self.specs)}
        needed = set(_read_by(specs, known))
        helpers = tuple(spec for spec in (*self.helpers, *self.specs) if spec.name in needed)
        return replace(self, specs=specs, helpers=helpers)

    def spec(self, name: str) -> FeatureSpec:
        """The declaration of the feature with this name."""
        return next(spec for spec in self.specs if spec.name == name)


def _window(days: int | None) -> str:
    return "ever" if days is None else f"{days}d"


def catalogue(
    families: Sequence[str],
    *,
    polygenic: Sequence[str] = (),
    code_prevalence: float = CODE_PREVALENCE,
) -> Catalogue:
    """Make the catalogue of these families, in this order, and of these polygenic scores.

    `polygenic` holds ids of scores; each gives its z, whether there is one, and its matched weight. The code-based
    family is asked for by the name `codes`; its vocabulary is learned later, inside training folds. Raises PresageError
    for a family that does not exist.

    >>> catalogue(["demographics"]).names
    ('age_years', 'sex_female')
    """
    specs: list[FeatureSpec] = []
    for family in dict.fromkeys(families):
        if family in _DENSE:
            specs.extend(_DENSE[family]())
        elif family not in FAMILIES:
            raise PresageError(
                "families", f"names among {', '.join(FAMILIES)}", found=f"'{family}'", way_out=meant(family, FAMILIES)
            )
    for score in dict.fromkeys(polygenic):
        specs.extend(genomic.polygenic(score))
    return Catalogue(tuple(specs), code_prevalence if "codes" in families else None, helpers=_helpers(specs))


def dense_families() -> tuple[str, ...]:
    """Names of the families whose features need neither a polygenic score nor a learned vocabulary."""
    return tuple(_DENSE)


def of_names(names: Sequence[str]) -> Catalogue:
    """Make the catalogue of exactly these features, in this order; the inputs of an equation, for example.

    Raises PresageError for a name that no family declares.
    """
    known = _declared()
    for name in names:
        if name not in known:
            raise PresageError(
                "names",
                "features of the catalogue",
                found=f"'{name}'",
                way_out=meant(name, known) or "choose from the list of: presage catalogue",
            )
    specs = [known[name] for name in names]
    return Catalogue(tuple(specs), helpers=_helpers(specs))


def _declared() -> dict[str, FeatureSpec]:
    specs = [spec for family in _DENSE.values() for spec in family()]
    return {spec.name: spec for spec in (*measurements.parts(), *specs)}


def _helpers(specs: Sequence[FeatureSpec]) -> tuple[FeatureSpec, ...]:
    """What derived features are computed from, and these from, as far as it is not shown itself."""
    known = _declared()
    return tuple(known[name] for name in _read_by(specs, known))


def _read_by(specs: Sequence[FeatureSpec], known: Mapping[str, FeatureSpec]) -> list[str]:
    """Names of all that these features are computed from, and what that is computed from, without the features
    themselves, in the order in which they are met.
    """
    met: dict[str, None] = {}
    waiting = [name for spec in specs for name in spec.inputs]
    while waiting:
        name = waiting.pop(0)
        if name not in met:
            met[name] = None
            waiting += known[name].inputs
    shown = {spec.name for spec in specs}
    return [name for name in met if name not in shown]
