from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import select

from features.record.record import Record
from serving.access import sign_ins
from serving.scoring.champions import Champion, Champions
from serving.scoring.score import score_record
from serving.service import Backend, application
from serving.settings import Settings
from serving.store.engine import open_store, reading
from serving.store.rows import Receipt
from serving.store.schema import audit
from tests.serving.conftest import NORTH, TestClient

EXAMPLES = 300 if os.environ.get("PRESAGE_SLOW") else 20
AS_OF = datetime.fromisoformat("2024-01-01T00:00:00")


@pytest.fixture(scope="module")
def installation(record_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("api")
    return Settings(home=home, store_url=f"sqlite:///{home / 'presage.db'}", record=record_dir)


@pytest.fixture(scope="module")
def api(installation: Settings, champion: Champion) -> Iterator[TestClient]:
    """The service, called by a record system that works for the North Clinic."""
    engine = open_store(installation.store_url)
    sign_ins.add(engine, name="ehr", role="machine", password=None, panels=[NORTH])
    now = datetime.fromisoformat("2024-01-01T00:00:00")
    token = sign_ins.make_token(engine, name="ehr", label="", now=now, valid=timedelta(days=36500))
    engine.dispose()
    champions = Champions(load=lambda name: _named(name, champion), versions=lambda: {champion.name: champion.version})
    with TestClient(application(Backend(installation, champions), metrics=False)) as client:
        client.headers["authorization"] = f"Bearer {token}"
        yield client


def _named(name: str, champion: Champion) -> Champion:
    from features.errors import PresageError

    if name != champion.name:
        raise PresageError(name, "a registered model", found="none of that name", way_out="train it first")
    return champion


@pytest.fixture(scope="module")
def batch(champion: Champion, record_dir: Path) -> dict[int, Receipt]:
    return {one.subject_id: one for one in score_record(champion, Record.open(record_dir), as_of=AS_OF)}


def sent(record_dir: Path, subject_id: int) -> dict[str, object]:
    """Somebody of the record as another system would send them: their events and results, without a number."""

    def rows(table: list[dict[str, object]]) -> list[dict[str, object]]:
        mine = [row for row in table if row.pop("subject_id") == subject_id]
        told = [{name: value for name, value in row.items() if value is not None} for row in mine]
        return [{k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()} for row in told]

    polygenic = ["subject_id", "score_id", "z", "matched_weight", "available_time"]
    coverage = ["subject_id", "gene_symbol", "result", "available_time"]
    genomic = record_dir / "genomic"
    return {
        "events": rows(ds.dataset(record_dir / "data").to_table().to_pylist()),
        "polygenic": rows(pq.read_table(genomic / "polygenic.parquet", columns=polygenic).to_pylist()),
        "coverage": rows(pq.read_table(genomic / "coverage.parquet", columns=coverage).to_pylist()),
    }


@pytest.mark.parametrize("subject_id", [1, 31, 399])
def test_the_record_the_request_and_the_batch_give_one_receipt(
    api: TestClient, batch: dict[int, Receipt], record_dir: Path, subject_id: int
) -> None:
    request = {"model": "chd-10y", "as_of": AS_OF.isoformat()}
    known = api.post("/api/score", json=request | {"subject_id": subject_id})
    told = api.post("/api/score", json=request | {"person": sent(record_dir, subject_id)})
    expected = batch[subject_id]
    assert known.status_code == told.status_code == 200, (known.text, told.text)
    for answer in (known.json(), told.json()):
        assert answer["feature_hash"] == (expected.feature_hash or None), "identical float32 features"
        assert answer["not_scored"] == expected.not_scored
        assert answer["model"] == (expected.model or None)
        assert (answer["risks"] or []) == pytest.approx(list(expected.risks), abs=1e-6)
        assert answer["bundle_digest"] == expected.bundle_digest


@pytest.mark.parametrize(
    ("time", "as_of", "seen"),
    [
        ("2023-03-02T22:30:00-05:00", "2023-03-02T23:00:00", True),  # the record's own clock, not UTC
        ("2023-03-02T00:30:00+02:00", "2023-03-02T00:15:00", False),
        ("2023-03-02T12:00:00", "2023-03-02T23:00:00-05:00", True),
        ("2023-03-02T00:00:00", "2023-03-02T12:00:00", False),  # no clock time: known at the day's end
        ("2023-03-02T00:00:00", "2023-03-03T00:00:00", True),
    ],
)
def test_times_that_are_sent_mean_what_they_mean_in_a_record(
    api: TestClient, time: str, as_of: str, seen: bool
) -> None:
    events = [
        {"code": "MEDS_BIRTH", "time": "1960-06-15T00:00:00"},
        {"code": "Gender//F"},
        {"code": "OBSERVATION_PERIOD//START", "time": "2015-01-01T00:00:00"},
        {"code": "OBSERVATION_PERIOD//END", "time": "9999-12-31T00:00:00"},
        {"code": "LOINC//13457-7", "time": "2022-03-02T00:00:00", "numeric_value": 130, "unit": "mg/dL"},
    ]
    pressure = {"code": "LOINC//8480-6", "time": time, "numeric_value": 150, "unit": "mm[Hg]"}
    request = {"model": "chd-10y", "as_of": as_of}
    without, with_it = (
        api.post("/api/score", json=request | {"person": {"events": told}}).json()
        for told in (events, [*events, pressure])
    )
    assert (without["feature_hash"] != with_it["feature_hash"]) == seen, (without, with_it)


def test_somebody_on_another_panel_and_nobody_get_the_same_answer(api: TestClient) -> None:
    request = {"model": "chd-10y", "as_of": AS_OF.isoformat()}
    other = api.post("/api/score", json=request | {"subject_id": 2})
    nobody = api.post("/api/score", json=request | {"subject_id": 999_999})
    assert other.status_code == nobody.status_code == 404
    assert other.json() == nobody.json()


def test_each_score_leaves_an_audit_row(api: TestClient, installation: Settings) -> None:
    api.post("/api/score", json={"model": "chd-10y", "as_of": AS_OF.isoformat(), "subject_id": 5})
    engine = open_store(installation.store_url)
    with reading(engine) as connection:
        newest = connection.execute(
            select(audit.c.action, audit.c.subject_id, audit.c.detail).order_by(audit.c.id.desc())
        )
        assert tuple(newest.first() or ()) == ("scored", 5, "chd-10y version 3")
    engine.dispose()


GOOD = {"model": "chd-10y", "as_of": "2024-01-01T00:00:00", "subject_id": 1}
SECRET = "SECRET-VALUE-OF-A-PERSON"


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        (GOOD | {"as_of": SECRET}, 400, "as_of"),
        (GOOD | {"as_of": "0001-01-01T00:00:00+14:00"}, 400, "as_of"),
        (GOOD | {"subject_id": SECRET}, 400, "subject_id"),
        (GOOD | {"colour": SECRET}, 400, "colour"),
        ({"model": "chd-10y", "as_of": "2024-01-01"}, 400, "the request's body"),
        (GOOD | {"person": {"events": [{"code": "X"}]}}, 400, "the request's body"),
        ({"model": "chd-10y", "as_of": "2024-01-01", "person": {"events": []}}, 400, "person.events"),
        (
            {"model": "chd-10y", "as_of": "2024-01-01", "person": {"events": [{"code": "X", "numeric_value": SECRET}]}},
            400,
            "person.events.0.numeric_value",
        ),
        (GOOD | {"model": "t2d-5y"}, 422, "t2d-5y"),
    ],
)
def test_a_bad_request_gets_one_clear_error_that_repeats_nothing_it_sent(
    api: TestClient, caplog: pytest.LogCaptureFixture, body: dict[str, object], status: int, where: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = api.post("/api/score", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["where"] == where
    assert answer.json()["error"]["expected"]
    assert SECRET not in answer.text
    assert SECRET not in caplog.text


def test_an_error_that_its_sender_can_mend_is_answered_in_three_keys(api: TestClient) -> None:
    answer = api.post("/api/score", json=GOOD | {"model": "chd-10"})
    assert answer.json() == {
        "error": {
            "where": "chd-10",
            "expected": "a registered model, found none of that name",
            "way_out": "train it first",
        }
    }


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.bentoml+pickle", "application/octet-stream", "text/plain", "multipart/form-data", ""],
)
def test_pickle_and_every_other_media_type_is_refused(api: TestClient, media_type: str) -> None:
    answer = api.post("/api/score", content=b"cos\nsystem\n(S'true'\ntR.", headers={"content-type": media_type})
    assert answer.status_code == 415
    assert answer.json()["error"]["expected"] == "application/json"


def test_a_body_that_is_no_json_or_too_large_is_a_4xx(api: TestClient) -> None:
    headers = {"content-type": "application/json"}
    for content, status in ((b"{", 400), (b"[]", 400), (b"null", 400), (b"", 400), (b" " * 4_000_001, 413)):
        answer = api.post("/api/score", content=content, headers=headers)
        assert answer.status_code == status, (content[:5], answer.text)
        assert set(answer.json()) == {"error"}


def test_a_moment_outside_enrolment_is_an_answer_and_not_an_error(api: TestClient) -> None:
    answer = api.post("/api/score", json=GOOD | {"as_of": "1999-01-01T00:00:00"})
    assert answer.status_code == 200
    assert answer.json()["risks"] is None
    assert "enrolled" in answer.json()["not_scored"]


def test_no_request_made_from_the_schema_breaks_the_service(api: TestClient) -> None:
    """Schemathesis: well-formed and malformed requests of every kind the service's own description allows."""
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    described = api.get("/docs.json").json()
    described["paths"] = {path: what for path, what in described["paths"].items() if path == "/api/score"}
    operation = schemathesis.openapi.from_dict(described)["/api/score"]["POST"]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=operation.as_strategy())
    def each(case) -> None:
        body = case.body if isinstance(case.body, dict | list) else None
        if isinstance(body, dict) and isinstance(body.get("model"), str):
            body["model"] = "chd-10y"  # a random name gets no further than the registry
        answer = api.post("/api/score", content=json.dumps(body), headers={"content-type": "application/json"})
        assert answer.status_code in (200, 400, 404, 422), answer.text
        assert answer.status_code == 200 or set(answer.json()) == {"error"}

    each()
