"""A champion that is promoted while the service runs: noticed, verified, prepared and exchanged, no request lost."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from features import build
from serving.access import sign_ins
from serving.scoring.champions import Champion, Champions
from serving.service import Backend, application
from serving.settings import Settings
from serving.store.engine import open_store
from tests.serving.conftest import AS_OF, NORTH, PASSWORD, Browser, TestClient
from training.cohort import index as cohort_index
from training.registry.tracking import client as registry_client
from training.registry.tracking import log_training
from training.registry.versions import CHAMPION

MODEL = "chd-10y"
REQUEST = {"model": MODEL, "as_of": AS_OF.isoformat(), "subject_id": 5}


def register(champion: Champion) -> str:
    """A further version of the model in a real registry."""
    nothing: dict[str, Any] = {}
    return str(
        log_training(
            study=MODEL, seed=1, parameters=nothing, metrics=nothing, children=nothing, documents=nothing,
            figures=nothing, bundle=champion.bundle.folder, tags=nothing,
        ).version
    )  # fmt: skip


def promote(version: str) -> None:
    registry_client().set_registered_model_alias(MODEL, CHAMPION, version)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "registry"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path / "registry"


@pytest.fixture
def running(clinic: Settings, home: Path, champion: Champion) -> Iterator[TestClient]:
    """A service on a real registry whose first version is the champion; it looks for another three times a second."""
    promote(register(champion))
    engine = open_store(clinic.store_url)
    sign_ins.add(engine, name="ehr", role="machine", password=None, panels=[NORTH])
    sign_ins.add(engine, name="dana", role="data scientist", password=PASSWORD, panels=[])
    token = sign_ins.make_token(engine, name="ehr", label="", now=AS_OF, valid=timedelta(days=36_500))
    engine.dispose()
    backend = Backend(clinic, Champions(), look_every_seconds=0.3)
    with TestClient(application(backend, metrics=False), base_url="http://127.0.0.1:3000") as client:
        client.headers["authorization"] = f"Bearer {token}"
        yield client


def until(happened: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


def ready(client: TestClient) -> dict[str, Any]:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_a_promoted_champion_serves_without_a_restart_and_a_refused_one_does_not(
    running: TestClient, home: Path, champion: Champion, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[tuple[int, str]] = []
    enough = Event()

    def ask() -> None:
        while not enough.is_set():
            answer = running.post("/api/score", json=REQUEST)
            answers.append((answer.status_code, answer.json().get("model_version")))

    asking = Thread(target=ask)
    assert ready(running) == {"ready": True, "models": {MODEL: "1"}, "refused": {}}
    asking.start()
    try:
        second = register(champion)
        promote(second)
        until(lambda: ready(running)["models"] == {MODEL: second})
        third = register(champion)
        spoil(home, third)
        promote(third)
        until(lambda: ready(running)["refused"] == {MODEL: third})
        seen = len(answers)
        until(lambda: len(answers) > seen + 3)
    finally:
        enough.set()
        asking.join()
    assert {status for status, _ in answers} == {200}, "no request was lost"
    assert [version for _, version in answers] == sorted(version for _, version in answers)
    assert {version for _, version in answers} == {"1", second}
    assert ready(running) == {"ready": True, "models": {MODEL: second}, "refused": {MODEL: third}}
    said = [record.getMessage() for record in caplog.records if record.name == "presage"]
    assert said[0] == f"presage: {MODEL} version {second} serves now, in place of 1"
    assert said[1].startswith(f"presage: {MODEL}: version {second} goes on, {third} does not serve: ")
    assert said[1].endswith(
        "expected the file that the bundle was sealed with, found one that was changed since, so it is refused"
    )
    assert len(said) == 2, "told once, not with every look"
    browser = Browser(running)
    browser.sign_in("dana")
    assert f"version {second} goes on, {third} does not serve" in running.get("/models").text
    promote(second)
    until(lambda: ready(running)["refused"] == {})


def spoil(home: Path, version: str) -> None:
    """Change one figure of the evaluation in the stored bundle of a version."""
    uri = registry_client().get_model_version_download_uri(MODEL, version)
    (report,) = Path(uri.removeprefix("file://")).rglob("evaluation.json")
    told = json.loads(report.read_text())
    told["chosen"]["metrics"]["auc"]["value"] = 0.99
    report.write_text(json.dumps(told))


def test_a_registry_that_does_not_answer_changes_nothing(
    running: TestClient, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (home / "mlflow.db").write_text("no database any more")
    with caplog.at_level(logging.ERROR, logger="presage"):
        until(lambda: any("champions cannot be looked for" in record.getMessage() for record in caplog.records))
    assert running.post("/api/score", json=REQUEST).json()["model_version"] == "1"
    assert ready(running)["models"] == {MODEL: "1"}


def planned() -> tuple[int, ...]:
    """Statements that warm connections have planned, for features and for the studied population."""
    return (*(len(warm._session._prepared) for warm in build._WARM), len(cohort_index._warm()._prepared))


def test_the_first_person_waits_for_nothing_that_could_be_prepared(running: TestClient) -> None:
    at_start = planned()
    assert min(at_start[0], at_start[-1]) > 0
    assert running.post("/api/score", json=REQUEST | {"subject_id": 11}).json()["not_scored"] is None
    assert planned() == at_start
