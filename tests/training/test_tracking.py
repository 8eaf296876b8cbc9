"""What MLflow is told of a training: parent, candidates, folds; what it was made of; and nobody's identity or value."""

from __future__ import annotations

import re
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from training.heldout.evidence import code_digest
from training.promote import promote
from training.registry import tracking
from training.registry.tracking import check_server, client, quiet
from training.registry.versions import CHALLENGER, bundle_of, version_number
from training.train import train

STUDY = """
name = "planted"
[source]
table = "people.csv"
id = "patient"
[outcome]
time = "days"
event = "status"
horizons_days = [300]
[models]
candidates = ["cox", "xgboost"]
[validation]
folds = 3
bootstraps = 10
[equity]
groups = ["sex"]
"""
NOW = datetime.fromisoformat("2025-01-06T09:00:00")
NAME, AGE = "Zebrowska-4711", 61.137291


def people(n: int = 400) -> pd.DataFrame:
    """A recognisable person among others."""
    rng = np.random.default_rng(4)
    age, weight = rng.normal(60, 10, n), rng.normal(70, 9, n)
    event = rng.exponential(900 / np.exp(0.06 * (age - 60)))
    left = rng.uniform(50, 900, n)
    days = np.minimum(event, left)
    table = pd.DataFrame(
        {"patient": [f"person-{i}" for i in range(n)], "age": age, "weight": weight, "sex": rng.choice(["F", "M"], n),
         "days": days, "status": (event <= left).astype(int)}
    )  # fmt: skip
    table.loc[7, ["patient", "age"]] = [NAME, AGE]
    return table


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        people().to_csv(folder / "people.csv", index=False)
        (folder / "planted.toml").write_text(STUDY)
        yield folder / "home", train(folder / "planted.toml", seed=3).document


def below(run_id: str) -> list[Any]:
    with quiet():
        run = client().get_run(run_id)
        return list(client().search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run_id}'"))


def test_a_study_has_a_run_each_candidate_a_child_and_each_fold_a_grandchild(
    store: tuple[Path, dict[str, Any]],
) -> None:
    children = below(store[1]["registered"]["run_id"])
    assert {run.data.tags["candidate"] for run in children} == {"cox", "xgboost"}
    for child in children:
        folds = below(child.info.run_id)
        assert {run.data.tags["fold"] for run in folds} == {"1", "2", "3"}
        assert sum(run.data.metrics["people"] for run in folds) == 400
        assert {run.info.status for run in [child, *folds]} == {"FINISHED"}


def test_a_folds_auc_is_scikit_survivals_dynamic_auc_of_its_rows(
    store: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    from sksurv.metrics import concordance_index_censored

    home, _ = store
    train(home.parent / "planted.toml", seed=3, predictions_out=tmp_path / "p.parquet")
    found = pd.read_parquet(tmp_path / "p.parquet").merge(people(), left_on="id", right_on="patient")
    children = below(store[1]["registered"]["run_id"])
    for child in children:
        for fold in below(child.info.run_id):
            rows = found[
                (found["candidate"] == child.data.tags["candidate"]) & (found["fold"] == fold.data.tags["fold"])
            ]
            expected = concordance_index_censored(rows["status"] == 1, rows["days"], rows["risk"])[0]
            assert fold.data.metrics["c_harrell"] == pytest.approx(expected, abs=0.01)


def test_a_run_says_what_it_was_made_of(store: tuple[Path, dict[str, Any]]) -> None:
    document = store[1]
    with quiet():
        run = client().get_run(document["registered"]["run_id"])
        files = {file.path for file in client().list_artifacts(run.info.run_id)}
    assert float(run.data.params["horizon_days"]) == document["chosen"]["horizon_days"]
    tags = run.data.tags
    assert tags["code_digest"] == code_digest() == document["code_digest"]
    assert tags["data_digest"] == document["data"]["digest"]
    assert tags["bundle_digest"] == document["registered"]["digest"]
    assert re.fullmatch(r"[0-9a-f]{64}", tags["catalogue_hash"])
    assert tags["leakage_proof"] == "none"
    assert tags["mlflow.source.name"] == "presage train"
    assert {"environment.json", "summary.json", "card.md", "study.toml", "figures"} <= files


def test_the_model_scores_a_data_frame_as_its_bundle_does_with_pickle_forbidden(
    store: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    table = people().head(20)
    with quiet():
        import mlflow

        from training.registry.pyfunc import frame_of

        client()
        answer = mlflow.pyfunc.load_model("models:/planted/1").predict(table)
    bundle = bundle_of("planted", 1)
    expected = bundle.risk(frame_of(table, bundle)).risk[:, 0]
    assert answer["risk_300d"].to_numpy() == pytest.approx(expected, abs=1e-12)
    assert len(np.unique(expected)) == 20
    assert not [path for path in store[0].rglob("*") if path.suffix in {".pkl", ".pickle", ".joblib"}]


def test_another_value_anywhere_is_another_digest_of_the_data(store: tuple[Path, dict[str, Any]]) -> None:
    from training.cohort.table import read_flat
    from training.heldout.evidence import data_digest
    from training.study import read_study

    folder = store[0].parent
    study = read_study(folder / "planted.toml")
    cohort = read_flat(study, folder)
    assert data_digest(cohort) == store[1]["data"]["digest"]
    cohort.frame.values[3, 0] += 1
    assert data_digest(cohort) != store[1]["data"]["digest"]


def test_a_new_version_is_the_challenger(store: tuple[Path, dict[str, Any]]) -> None:
    with quiet():
        newest = max(int(v.version) for v in client().search_model_versions("name='planted'"))
        assert int(client().get_model_version_by_alias("planted", CHALLENGER).version) == newest


def test_nothing_in_the_store_knows_a_persons_name_or_value(store: tuple[Path, dict[str, Any]]) -> None:
    home, _ = store
    # A feature's value, as text and as bytes. Event times are not looked for: a baseline hazard steps at them.
    said = [f"{AGE:.6f}".encode(), f"{AGE:.4f}".encode(), struct.pack("<f", AGE), struct.pack("<d", AGE)]
    planted = [NAME.encode(), b"person-1", *said]
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        assert not [part for part in planted if part in content], path


def test_the_search_above_would_find_a_value_in_the_database(store: tuple[Path, dict[str, Any]]) -> None:
    home, document = store
    with quiet():
        client().set_tag(document["registered"]["run_id"], "leak", NAME)
    with sqlite3.connect(home / "mlflow.db") as connection:
        assert connection.execute("select count(*) from tags where value = ?", [NAME]).fetchone() == (1,)
    assert any(NAME.encode() in path.read_bytes() for path in home.glob("mlflow.db*"))
    with quiet():
        client().delete_tag(document["registered"]["run_id"], "leak")


def test_a_champion_is_nobodys_challenger_and_stays_when_a_later_look_fails(
    store: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(store[0]))
    version = version_number("planted", "latest")
    assert version > 1
    assert promote("planted", version, now=NOW, signed_by="ada", override=True, reason="a test").promoted
    assert aliases() == {"champion": version}
    assert not promote("planted", version, now=NOW).promoted
    assert aliases() == {"champion": version}
    assert not promote("planted", 1, now=NOW).promoted
    assert aliases() == {"champion": version, "challenger": 1}
    assert version_number("planted", "champion") == version
    assert version_number("planted", "challenger") == 1


def aliases() -> dict[str, int]:
    with quiet():
        return {name: int(v) for name, v in client().get_registered_model("planted").aliases.items()}


def test_a_server_that_is_not_there_is_said_at_once_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.2)
    (tmp_path / "planted.toml").write_text(
        STUDY
    )  # its table is not there: nothing was read before the server was asked
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
        for _ in ("nobody listens", "somebody listens and says nothing"):
            for ask in (client, lambda: train(tmp_path / "planted.toml")):
                with pytest.raises(PresageError, match=f"a tracking server at 127.0.0.1:{port}") as caught:
                    ask()
                assert "secret" not in str(caught.value)
            mute.listen()


class _Refuses(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(401)

    def log_message(self, *said: object) -> None:
        """Nothing."""


def test_a_server_that_refuses_a_stranger_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), _Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.server_port}/behind/")
        check_server()


def test_a_training_that_is_interrupted_registers_no_version(
    store: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*arguments: object, **settings: object) -> None:
        raise KeyboardInterrupt

    def versions() -> list[int]:
        with quiet():
            return [int(one.version) for one in client().search_model_versions("name = 'planted'")]

    people().to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "planted.toml").write_text(STUDY.replace('"cox", "xgboost"', '"cox"'))
    monkeypatch.setenv("PRESAGE_HOME", str(store[0]))
    before = versions()
    with monkeypatch.context() as patch:
        patch.setattr(tracking, "_log_child", pressed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "planted.toml", seed=3)
    assert versions() == before
