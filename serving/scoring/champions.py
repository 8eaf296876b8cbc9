"""The models that serve: the champion of each registered model, verified, loaded once per version, and kept fresh."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import numpy as np

from features.errors import PresageError

if TYPE_CHECKING:
    from features.catalogue import Catalogue
    from training.bundle import Bundle
    from training.result import Metric

LOG = logging.getLogger("presage")
LOOKS_BETWEEN_TRIES = 20  # a refused version is tried again after so many looks, should its files have been mended
METRICS = (
    ("auc", "AUC"),
    ("c_harrell", "Concordance (Harrell)"),
    ("calibration_slope", "Calibration slope"),
    ("brier", "Brier score"),
)


@dataclass(frozen=True, slots=True)
class Champion:
    """A verified bundle under its registered name and version, with the catalogue that its frames are built by."""

    name: str
    version: str
    bundle: Bundle
    catalogue: Catalogue

    @property
    def horizons_days(self) -> tuple[float | None, ...]:
        """The horizons of the model's risks in days; None stands for a binary outcome, which has no horizon."""
        return tuple(None if np.isnan(days) else float(days) for days in self.bundle.horizons_days)

    def metrics(self) -> tuple[tuple[str, str], ...]:
        """The main numbers of the evaluation with their intervals, in words."""
        from training.result import known

        measured = self.bundle.report().chosen.metrics
        defined = ((words, known(measured, key)) for key, words in METRICS)
        return tuple((words, _with_interval(metric)) for words, metric in defined if metric is not None)


def _with_interval(metric: Metric) -> str:
    interval = "" if metric.interval is None else f" ({metric.interval[0]:.3f} to {metric.interval[1]:.3f})"
    return f"{metric.value:.3f}{interval}"


def load_champion(name: str) -> Champion:
    """Load the champion of a registered model.

    Raises PresageError where there is none or its bundle does not verify.
    """
    from mlflow.exceptions import MlflowException

    from training.registry import bundle_of, champion_version

    version = champion_version(name)
    try:
        bundle = bundle_of(name, version)
    except MlflowException as error:
        raise PresageError(
            f"{name} version {version}",
            "a bundle that the registry can hand out",
            found=f"what the registry calls {error.error_code}",
            way_out="check the registry's store of artefacts",
        ) from None
    return champion_of(name, str(version), bundle=bundle)


def load_version(name: str, version: str) -> Champion:
    """Load a version of a registered model, champion or not, such as the one that a receipt names."""
    from training.registry import bundle_of

    return champion_of(name, version, bundle=bundle_of(name, int(version)))


def champion_of(name: str, version: str, *, bundle: Bundle) -> Champion:
    """Make a champion of a bundle.

    Raises PresageError where the bundle's catalogue is not the one it was sealed with.
    """
    from features.catalogue import Catalogue

    if bundle.manifest.get("flat", False):
        raise PresageError(
            f"{name} version {version}",
            "a model that was trained on a record",
            found="one of a flat table, which has nobody to score",
        )
    catalogue = Catalogue.from_json(bundle.catalogue_json())
    if catalogue.hash != bundle.catalogue_hash:
        raise PresageError(
            f"{name} version {version}",
            "the catalogue whose hash the bundle names",
            found="another, so it is refused",
            way_out="train it again",
        )
    return Champion(name, version, bundle, catalogue)


def champion_versions() -> dict[str, str]:
    """The version that is the champion, of every registered model that has one."""
    from training.registry import CHAMPION, client, quiet

    with quiet():
        models = sorted(client().search_registered_models(), key=lambda model: str(model.name))
        return {model.name: str(model.aliases[CHAMPION]) for model in models if CHAMPION in model.aliases}


def _as_it_is(champion: Champion) -> None:
    """Nothing to prepare."""


@dataclass(slots=True)
class Champions:
    """The champions that a service holds: loaded at its start or on demand, and exchanged when another version is
    promoted.

    prepare: a function that is called with each champion before it serves anybody, so that nobody waits for it.
    """

    load: Callable[[str], Champion] = load_champion
    versions: Callable[[], dict[str, str]] = champion_versions
    prepare: Callable[[Champion], None] = _as_it_is
    refused: dict[str, str] = field(default_factory=dict)  # by name, what does not serve, and why
    _held: dict[str, Champion] = field(default_factory=dict)
    _waits: dict[str, tuple[str, int]] = field(default_factory=dict)  # refused versions, and looks until the next try
    _lock: Lock = field(default_factory=Lock)  # of what is held
    _loading: Lock = field(default_factory=Lock)  # one caller at a time asks the registry; who is held is served

    def refresh(self) -> None:
        """Hold every champion that the registry names now. The one before serves until the next is verified.

        A champion that is refused is told of and keeps nobody from the others; the one before, if there is any, goes
        on. A model that has no champion any more is let go of.
        """
        with self._loading:
            named = self.versions()
            for name, version in named.items():
                held = self._held.get(name)
                if held is not None and held.version == version:
                    self._forgive(name)
                elif not self._is_waiting(name, version):
                    self._exchange(name, version, held=held)
            with self._lock:
                for name in self._held.keys() - named.keys():
                    LOG.warning("presage: %s has no champion any more and is not served", name)
                    del self._held[name]
        for name in self.refused.keys() - named.keys():
            self._forgive(name)

    def get(self, name: str) -> Champion:
        """The champion of a model by the model's name; one that is not held yet is looked for in the registry."""
        with self._lock:
            if name in self._held:
                return self._held[name]
        with self._loading:
            if name not in self._held:
                self._hold(self.load(name))
            return self._held[name]

    def held(self) -> list[Champion]:
        """All champions that have been loaded so far, by name."""
        with self._lock:
            return [self._held[name] for name in sorted(self._held)]

    def told(self) -> dict[str, object]:
        """The versions that serve and the versions that were refused, for a probe of the service."""
        return {
            "models": {champion.name: champion.version for champion in self.held()},
            "refused": {name: version for name, (version, _) in sorted(self._waits.items())},
        }

    def _exchange(self, name: str, version: str, *, held: Champion | None) -> None:
        try:
            champion = self.load(name)
            self.prepare(champion)
        except PresageError as error:
            goes_on = "does not serve" if held is None else f"version {held.version} goes on, {version} does not serve"
            self.refused[name] = f"{goes_on}: {error}"
            self._waits[name] = version, LOOKS_BETWEEN_TRIES
            LOG.error("presage: %s: %s", name, self.refused[name])
            return
        self._hold(champion)
        if held is not None:
            LOG.warning("presage: %s version %s serves now, in place of %s", name, champion.version, held.version)

    def _is_waiting(self, name: str, version: str) -> bool:
        """Whether this version was refused a short while ago: it is not fetched and logged with every look."""
        refused, looks = self._waits.get(name, ("", 0))
        if refused != version or not looks:
            return False
        self._waits[name] = version, looks - 1
        return True

    def _hold(self, champion: Champion) -> None:
        with self._lock:
            self._held[champion.name] = champion
        self._forgive(champion.name)

    def _forgive(self, name: str) -> None:
        self.refused.pop(name, None)
        self._waits.pop(name, None)


class Watch:
    """A thread that refreshes champions, so that a promoted one serves without a restart."""

    def __init__(self, champions: Champions, *, every_seconds: float) -> None:
        self._champions, self._every = champions, every_seconds
        self._ended = Event()
        self._thread = Thread(target=self._run, name="presage-champions", daemon=True)

    def start(self) -> None:
        """Begin to look for other champions at regular intervals."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking for other champions."""
        self._ended.set()
        self._thread.join(timeout=self._every)

    def _run(self) -> None:
        silent = False
        while not self._ended.wait(self._every):
            try:
                self._champions.refresh()
                silent = False
            except Exception as error:  # noqa: BLE001  # the thread's door: what is held goes on, whatever is amiss
                if not silent:
                    LOG.error("presage: champions cannot be looked for (%s); what serves goes on", type(error).__name__)
                silent = True
