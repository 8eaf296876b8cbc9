"""The registry: which version of a model is the champion, how it got there, and its bundle."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from features.errors import PresageError, meant
from training.bundle import MANIFEST, Bundle, load
from training.registry.tracking import client, quiet

CHAMPION, CHALLENGER = "champion", "challenger"
RUN_ID_LENGTH = 32


def keep_decision(model: str, version: int, *, tags: Mapping[str, str], promoted: bool) -> None:
    """Tags of the version, and the aliases: a champion is nobody's challenger, and a champion that fails stays."""
    registry = client()
    with quiet():
        for key, value in tags.items():
            registry.set_model_version_tag(model, str(version), key, value)
        aliases = {name: str(number) for name, number in registry.get_registered_model(model).aliases.items()}
        if promoted:
            registry.set_registered_model_alias(model, CHAMPION, str(version))
            if aliases.get(CHALLENGER) == str(version):
                registry.delete_registered_model_alias(model, CHALLENGER)
        elif aliases.get(CHAMPION) != str(version):
            registry.set_registered_model_alias(model, CHALLENGER, str(version))


def moment(now: datetime) -> str:
    """UTC without an offset, to the second, as the registry's tags have it."""
    if now.tzinfo is not None:
        now = now.astimezone(UTC).replace(tzinfo=None)
    return now.isoformat(timespec="seconds")


def registered_versions() -> list[tuple[str, int, str, str, datetime]]:
    """Every version of every model, newest last: model, version, its aliases, its run, and when it was registered."""
    registry = client()
    found = []
    with quiet():
        for model in sorted(registry.search_registered_models(), key=lambda model: str(model.name)):
            names: dict[int, list[str]] = {}
            for alias, number in model.aliases.items():
                names.setdefault(int(number), []).append(str(alias))
            versions = registry.search_model_versions(f"name='{model.name}'")
            for each in sorted(versions, key=lambda each: int(each.version)):
                at = datetime.fromtimestamp(each.creation_timestamp / 1000, UTC).replace(tzinfo=None)
                aliases = ", ".join(sorted(names.get(int(each.version), [])))
                found.append((str(model.name), int(each.version), aliases, str(each.run_id), at))
    return found


def find(target: str, version: str) -> tuple[Bundle, str | None, int | None]:
    """A bundle with its model and version: of a registered model, a training run's id, or a folder (which has neither).

    version: a number, latest, champion or challenger. Raises PresageError for what is none of these.
    """
    if (Path(target) / MANIFEST).is_file():
        return load(Path(target)), None, None
    if len(target) == RUN_ID_LENGTH and set(target) <= set("0123456789abcdef"):
        model, number = _version_of_run(target)
    else:
        model, number = target, version_number(target, version)
    return bundle_of(model, number), model, number


def _version_of_run(run_id: str) -> tuple[str, int]:
    registry = client()
    with quiet():
        found = list(registry.search_model_versions(f"run_id = '{run_id}'"))
    if not found:
        raise PresageError(
            f"run {run_id}",
            "a run that registered a model",
            found="one that did not",
            way_out="give its parent, which MLflow names with it",
        )
    return str(found[0].name), int(found[0].version)


def bundle_of(model: str, version: int | None = None) -> Bundle:
    """The verified bundle of a version; of the champion where none is named."""
    registry = client()
    with quiet():
        from mlflow.artifacts import download_artifacts
        from mlflow.exceptions import MlflowException

        try:
            if version is None:
                found = registry.get_model_version_by_alias(model, CHAMPION)
            else:
                found = registry.get_model_version(model, str(version))
            uri = registry.get_model_version_download_uri(model, found.version)
        except MlflowException:
            raise _unknown(registry, model, version=version) from None
        folder = Path(download_artifacts(artifact_uri=uri)) / "artifacts"
    return load(next(path.parent for path in folder.rglob("bundle.json")))


def champion_version(model: str) -> int:
    """The version that is the champion. Raises PresageError where there is none."""
    return _aliased(model, CHAMPION)


def _aliased(model: str, alias: str) -> int:
    registry = client()
    with quiet():
        from mlflow.exceptions import MlflowException

        try:
            return int(registry.get_model_version_by_alias(model, alias).version)
        except MlflowException:
            raise _unknown(registry, model, version=None, alias=alias) from None


def version_number(model: str, version: str) -> int:
    """The number that `version` names: itself, that of an alias, or that of the newest for "latest".

    Raises PresageError for another word, or where nothing is registered under the name.
    """
    if version.isdigit():
        return int(version)
    if version in (CHAMPION, CHALLENGER):
        return _aliased(model, version)
    if version != "latest":
        raise PresageError("VERSION", f"a version's number, latest, {CHAMPION} or {CHALLENGER}", found=f"'{version}'")
    with quiet():
        found = client().search_model_versions(f"name='{model}'")
    if not found:
        raise _unknown(client(), model, version=None)
    return max(int(each.version) for each in found)


def _unknown(registry: Any, model: str, *, version: int | None, alias: str = CHAMPION) -> PresageError:
    known = sorted(found.name for found in registry.search_registered_models())
    if model not in known:
        return PresageError(
            model,
            f"a registered model among {', '.join(known)}" if known else "a registered model",
            found="none of that name",
            way_out=meant(model, known) or "train it first",
        )
    if version is None:
        return PresageError(
            model,
            f"a version that is the {alias}",
            found="none",
            way_out=f"promote one: presage promote {model} VERSION",
        )
    return PresageError(f"{model} version {version}", "a registered version", found="none of that number")
