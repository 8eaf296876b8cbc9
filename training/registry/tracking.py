"""Runs in MLflow: one parent per study, a child per candidate, and below it one per fold.

Nothing here holds a person or names a machine: parameters, metrics, counts, curves, digests and the bundle only.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from features.errors import PresageError
from features.home import made_home

if TYPE_CHECKING:
    from training.external import ExternalResult

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

PARAMETER_LENGTH = 500
PATIENCE_S = 5.0  # MLflow itself tries for minutes before it says that nobody is there
SOURCE = "presage train"
VALIDATES = "validates"  # tag of a validation's run: MODEL/VERSION


@dataclass(frozen=True, slots=True)
class Registered:
    """Where a training ended up."""

    run_id: str
    model: str
    version: int


@dataclass(frozen=True, slots=True)
class Child:
    """A candidate's run: its settings, its numbers, and the numbers of each of its folds by name."""

    settings: Mapping[str, Any]
    numbers: Mapping[str, float]
    folds: Mapping[str, Mapping[str, float]]


def tracking_uri() -> str:
    """$MLFLOW_TRACKING_URI, else an SQLite file in $PRESAGE_HOME."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{made_home() / 'mlflow.db'}"


def check_server() -> None:
    """Raise PresageError where the store is a server that does not answer; any answer will do, a refusal, too."""
    uri = urlsplit(tracking_uri())
    if uri.scheme not in {"http", "https"}:
        return
    place = uri.netloc.rpartition("@")[2]  # without a name and password
    try:
        urllib.request.urlopen(f"{uri.scheme}://{place}{uri.path.rstrip('/')}/health", timeout=PATIENCE_S).close()
    except urllib.error.HTTPError as answer:
        answer.close()
    except (OSError, ValueError):
        raise PresageError(
            "MLFLOW_TRACKING_URI",
            f"a tracking server at {place}",
            found=f"no answer within {PATIENCE_S:g} seconds",
            way_out="start it, or unset the variable to keep runs in $PRESAGE_HOME",
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """MLflow without its chatter; SQLAlchemy's and MLflow's own deprecations are theirs to mend."""
    alembic = logging.getLogger("alembic")
    level = alembic.level
    alembic.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        alembic.setLevel(level)


def client() -> Any:
    """An MLflow client of this tracking store."""
    with quiet():
        import mlflow

        _use_store()
        return mlflow.MlflowClient()


def _use_store() -> None:
    """Point MLflow at the store. It writes the address into the environment, where it would pass for a user's wish."""
    import mlflow

    check_server()
    wished = os.environ.get("MLFLOW_TRACKING_URI")
    mlflow.set_tracking_uri(tracking_uri())
    if wished is None:
        os.environ.pop("MLFLOW_TRACKING_URI", None)


def log_training(
    *,
    study: str,
    seed: int,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, float],
    children: Mapping[str, Child],
    documents: Mapping[str, Any],
    figures: Mapping[str, str],
    bundle: Path,
    tags: Mapping[str, str],
) -> Registered:
    """One parent run with its children; registers the bundle under the study's name."""
    with quiet():
        import mlflow

        _use_store()
        mlflow.set_experiment(experiment_id=_experiment(study))
        source = {"mlflow.source.name": SOURCE}  # MLflow would name the path of this machine's program
        with mlflow.start_run(run_name=study, tags={"study": study, **source, **tags}) as run:
            # Before any metric: MLflow links every metric that exists to the model, one statement each.
            info = _log_model(bundle)
            mlflow.log_params(_short({"seed": seed, **parameters}))
            mlflow.log_metrics(_finite(metrics))
            _log_files(documents, figures)
        for name, child in children.items():
            _log_child(run.info.experiment_id, run.info.run_id, study=study, name=name, child=child, seed=seed)
        # Last: what was interrupted is no version.
        version = mlflow.register_model(info.model_uri, study, await_registration_for=0).version
        _make_challenger(study, str(version))
    return Registered(run.info.run_id, study, int(version))


def log_validation(model: str, version: int, *, found: ExternalResult) -> str:
    """A run below the version's training run, with the numbers and the whole document; the model stays as it is."""
    with quiet():
        from mlflow import MlflowClient

        _use_store()
        store = MlflowClient()
        trained = store.get_run(str(store.get_model_version(model, str(version)).run_id))
        numbers = {name: metric.value for name, metric in found.metrics.items()}
        run_id = _log_nested(
            trained.info.experiment_id,
            trained.info.run_id,
            name=f"validation: {found.source}",
            tags={"study": model, VALIDATES: f"{model}/{version}", "bundle_digest": found.bundle_digest},
            parameters={"source": found.source, "by": found.by, "seed": found.seed, "bootstraps": found.bootstraps},
            numbers={**numbers, "people": found.people},
        )
        store.log_text(run_id, found.to_text().rstrip("\n"), "validation.json")
    return run_id


def _log_child(experiment: str, parent: str, *, study: str, name: str, child: Child, seed: int) -> None:
    """A run for the candidate and one for each fold: everything of a run in one batch, as each call has its price."""
    own = _log_nested(
        experiment,
        parent,
        name=name,
        tags={"study": study, "candidate": name},
        parameters={"seed": seed, "candidate": name, **child.settings},
        numbers=child.numbers,
    )
    for fold, numbers in child.folds.items():
        tags = {"study": study, "candidate": name, "fold": fold}
        _log_nested(experiment, own, name=f"{name}, {fold}", tags=tags, parameters={"fold": fold}, numbers=numbers)


def _log_nested(
    experiment: str,
    parent: str,
    *,
    name: str,
    tags: Mapping[str, str],
    parameters: Mapping[str, Any],
    numbers: Mapping[str, float | None],
) -> str:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    store = MlflowClient()
    placed = {"mlflow.parentRunId": parent, "mlflow.source.name": SOURCE, **tags}
    run = store.create_run(experiment, run_name=name, tags=placed)
    at = run.info.start_time
    store.log_batch(
        run.info.run_id,
        metrics=[Metric(key, value, at, 0) for key, value in _finite(numbers).items()],
        params=[Param(key, value) for key, value in _short(parameters).items()],
    )
    store.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def _make_challenger(study: str, version: str) -> None:
    """A new version challenges until it is promoted."""
    from mlflow import MlflowClient

    MlflowClient().set_registered_model_alias(study, "challenger", version)


def _log_model(bundle: Path) -> Any:
    """From code and a bundle, not from a pickle; requirements are named, as inferring them loads everything."""
    import mlflow

    return mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"bundle": str(bundle)},
        pip_requirements=["presage", f"mlflow=={mlflow.__version__}"],
    )


def _experiment(study: str) -> str:
    import mlflow

    found = mlflow.get_experiment_by_name(study)
    if found is not None:
        return str(found.experiment_id)
    local = "MLFLOW_TRACKING_URI" not in os.environ
    location = (made_home() / "mlartifacts" / study).as_uri() if local else None
    return str(mlflow.create_experiment(study, artifact_location=location))


def _log_files(documents: Mapping[str, Any], figures: Mapping[str, str]) -> None:
    """All in one upload: a round trip per file is slow on a remote store."""
    import mlflow

    with tempfile.TemporaryDirectory() as scratch:
        for name, content in documents.items():
            text = content if isinstance(content, str) else json.dumps(content, indent=1)
            (Path(scratch) / name).write_text(text, encoding="utf-8")
        for name, figure in figures.items():
            path = Path(scratch) / "figures" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(figure, encoding="utf-8")
        mlflow.log_artifacts(scratch)


def _short(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value)[:PARAMETER_LENGTH] for name, value in parameters.items()}


def _finite(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items() if value is not None and np.isfinite(value)}
