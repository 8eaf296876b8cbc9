"""The models that serve: each name's champion in the registry, verified and loaded once per version."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from features.errors import PresageError

if TYPE_CHECKING:
    from features.catalogue import Catalogue
    from training.bundle import Bundle

METRICS = (
    ("auc", "AUC"),
    ("c_harrell", "Concordance (Harrell)"),
    ("calibration_slope", "Calibration slope"),
    ("brier", "Brier score"),
)


@dataclass(frozen=True, slots=True)
class Champion:
    """A verified bundle, with the catalogue its frames are built by, under its registered name and version."""

    name: str
    version: str
    bundle: Bundle
    catalogue: Catalogue

    @property
    def horizons_days(self) -> tuple[float | None, ...]:
        """None stands for a binary outcome, which has no horizon."""
        return tuple(None if np.isnan(days) else float(days) for days in self.bundle.horizons_days)

    def metrics(self) -> tuple[tuple[str, str], ...]:
        """The evaluation's main numbers with their intervals, in words."""
        measured = self.bundle.report()["chosen"]["metrics"]
        return tuple(
            (words, _with_interval(measured[key]))
            for key, words in METRICS
            if measured.get(key, {}).get("value") is not None
        )


def _with_interval(estimate: dict[str, float | None]) -> str:
    low, high = estimate.get("low"), estimate.get("high")
    interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return f"{estimate['value']:.3f}{interval}"


def load_champion(name: str) -> Champion:
    """The champion of a registered model. Raises PresageError where there is none or its bundle does not verify."""
    from mlflow.exceptions import MlflowException

    from training.registry import bundle_of, champion_version

    version = champion_version(name)
    try:
        bundle = bundle_of(name, version)
    except MlflowException as error:
        raise PresageError(
            f"{name} version {version}", "a bundle that the registry can hand out", way_out=str(error.error_code)
        ) from None
    return champion_of(name, str(version), bundle)


def load_version(name: str, version: str) -> Champion:
    """A version of a registered model, champion or not: what a receipt names."""
    from training.registry import bundle_of

    return champion_of(name, version, bundle_of(name, int(version)))


def champion_of(name: str, version: str, bundle: Bundle) -> Champion:
    """Refuses a bundle whose catalogue is not the one it was sealed with."""
    from features.catalogue import Catalogue

    if bundle.manifest.get("flat", False):
        raise PresageError(
            f"{name} version {version}",
            "a model that was trained on a record; this one comes from a flat table, which has nobody to score",
        )
    catalogue = Catalogue.from_json(bundle.catalogue_json())
    if catalogue.hash != bundle.catalogue_hash:
        raise PresageError(
            f"{name} version {version}", "refused: its catalogue does not have the hash that the bundle names"
        )
    return Champion(name, version, bundle, catalogue)


def champion_names() -> list[str]:
    """Every registered model that has a champion."""
    from training.registry import CHAMPION
    from training.tracking import client, quiet

    with quiet():
        return sorted(model.name for model in client().search_registered_models() if CHAMPION in model.aliases)


@dataclass(slots=True)
class Champions:
    """What a service holds: champions loaded at its start, and on demand for one promoted since."""

    load: Callable[[str], Champion] = load_champion
    names: Callable[[], list[str]] = champion_names
    refused: dict[str, str] = field(default_factory=dict)  # by name, why it does not serve
    _held: dict[str, Champion] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def preload(self) -> None:
        """Load every champion there is. One that is refused keeps nobody from the others and from the worklist."""
        for name in self.names():
            try:
                self.get(name)
            except PresageError as error:
                self.refused[name] = str(error)
                logging.getLogger("presage").error("%s", error)

    def get(self, name: str) -> Champion:
        """A champion by its model's name."""
        with self._lock:
            if name not in self._held:
                self._held[name] = self.load(name)
                self.refused.pop(name, None)
            return self._held[name]

    def held(self) -> list[Champion]:
        """Everything loaded so far, by name."""
        with self._lock:
            return [self._held[name] for name in sorted(self._held)]
