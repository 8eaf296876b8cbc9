"""Which ids are a person's, and which are nobody's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from features.sources import omop

Cdm = Callable[..., Path]
EventsOf = Callable[..., list[dict[str, Any]]]

NOBODY = "no person, or not a valid id"
AGAIN = "a second row for one person"


@pytest.mark.parametrize(
    ("ids", "people", "rejected"),
    [
        (["1", "1.5", "1e3", "99999999999999999999999", ".5"], ["1"], {NOBODY: 4}),
        (["7", "007", "+7", "7.0", "-5", "0"], ["-5", "0", "7"], {AGAIN: 3}),
        (["9223372036854775807", "-9223372036854775808", "9223372036854775808"], None, {NOBODY: 1}),
        (["7", "007", "1e3", "a1b2"], ["007", "1e3", "7", "a1b2"], {}),
    ],
)
def test_ids_are_whole_numbers_unless_one_is_no_number_at_all(
    ids: list[str],
    people: list[str] | None,
    rejected: dict[str, int],
    cdm: Cdm,
    tmp_path: Path,
    events_of: EventsOf,
) -> None:
    rows = "\n".join(f"{one} | 8507 | {1950 + n}" for n, one in enumerate(ids))
    report = omop.ingest(cdm(person=f"person_id | gender_concept_id | year_of_birth\n{rows}"), tmp_path / "record")
    assert report.tables["person"].rejected == rejected
    assert [row["person"] for row in events_of(tmp_path / "record", "MEDS_BIRTH")] == (people or sorted(ids[:2]))
