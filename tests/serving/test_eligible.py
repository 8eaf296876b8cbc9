"""Whom a study that starts at a first event may still be asked about, some time after that event."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import ibis
import pyarrow as pa
import pytest

from features.record.record import Record
from features.record.schema import EVENTS
from serving.scoring.eligible import eligible
from training.bundle.bundle import Bundle

NOW = "2024-01-01"


def outside(*events: tuple[str, str], end: str = "2025-12-31", index: str = "2021-03-01") -> str | None:
    """Why person 1 is not scored as of NOW, whose index was in 2021; "" when scored; None when not looked at."""
    told = [("1950-01-01", "MEDS_BIRTH"), ("2015-01-01", "OBSERVATION_PERIOD//START"),
            (end, "OBSERVATION_PERIOD//END"), (index, "INDEX"), *events]  # fmt: skip
    times = [datetime.fromisoformat(time) for time, _ in told]
    rows = [
        {"subject_id": 1, "time": time, "code": code, "available_time": time}
        for time, (_, code) in zip(times, told, strict=True)
    ]
    manifest = {
        "population": {"index": "first:INDEX"},
        "outcome": {"codes": "OUTCOME", "competing": ["MEDS_DEATH", "GRAFT"], "horizons_days": [365, 1826]},
    }
    bundle = SimpleNamespace(manifest=manifest, horizons_days=(365.0, 1826.0), folder=Path())
    found = eligible(
        cast("Bundle", bundle),
        Record.in_memory(pa.Table.from_pylist(rows, schema=EVENTS)),
        backend=ibis.duckdb.connect(),
        as_of=datetime.fromisoformat(NOW),
    )
    return str(found.outside[0]) if len(found.outside) else None


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([], ""),
        ([("2022-01-01", "OUTCOME")], "had the outcome since the index"),
        ([("2022-01-01", "MEDS_DEATH")], "died since the index"),
        ([("2022-01-01", "OUTCOME"), ("2022-05-01", "MEDS_DEATH")], "died since the index"),
        ([("2022-01-01", "GRAFT")], "had a competing event since the index"),
        ([(NOW, "MEDS_DEATH")], "died since the index"),  # on the day itself
        ([("2024-01-02", "MEDS_DEATH"), ("2024-01-02", "OUTCOME")], ""),  # not yet
    ],
)
def test_who_is_no_longer_at_risk_is_not_scored(events: list[tuple[str, str]], reason: str) -> None:
    assert outside(*events) == reason


@pytest.mark.parametrize(("end", "reason"), [("2024-01-01", ""), ("2023-12-31", "not enrolled any more")])
def test_who_has_left_is_not_scored(end: str, reason: str) -> None:
    assert outside(end=end) == reason


@pytest.mark.parametrize(
    ("index", "reason"),
    [
        ("2019-01-01 12:00:00", ""),  # half a day before 1,826 days have passed
        ("2019-01-01", "the last horizon from the index has passed"),
        ("2018-12-31", None),  # nobody looks further back
    ],
)
def test_whose_horizon_has_passed_is_not_scored(index: str, reason: str | None) -> None:
    assert outside(index=index) == reason
