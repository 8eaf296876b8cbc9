"""What of a record is read is said: codes, those that nobody reads, and results set aside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa

from features.describe import MISSING_UNIT, UNIT, describe
from features.record import ROWS, Record

DAY = datetime(2020, 1, 1)  # noqa: DTZ001 (MEDS is naive)


def row(subject: int, code: str, codings: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {"subject_id": subject, "time": DAY, "code": code, "available_time": DAY, "codings": codings, **more}


def record(*rows: dict[str, Any]) -> Record:
    return Record.in_memory(pa.Table.from_pylist(list(rows), schema=ROWS))


def test_a_fact_is_read_by_whichever_of_its_codings_is_known_and_counts_in_each_vocabulary() -> None:
    found = describe(
        record(
            row(1, "MEDS_BIRTH"),
            row(1, "LOCAL//HTN", ["ICD10CM//I10"]),
            row(2, "LOCAL//HTN", ["ICD10CM//I10"]),
            row(2, "LOCAL//OTHER"),
        )
    )
    by_name = {each.name: (each.codes, each.codes_read, each.facts, each.facts_read) for each in found.vocabularies}
    assert by_name == {"LOCAL": (2, 1, 3, 2), "ICD10CM": (1, 1, 2, 2)}
    assert [(code, n) for code, _, n in found.unread] == [("LOCAL//OTHER", 1)]
    assert (found.people, found.facts, found.codes, found.codes_read) == (2, 4, 3, 2)


def test_results_are_set_aside_by_code_and_unit_with_the_reason() -> None:
    found = describe(
        record(
            row(1, "LOINC//13457-7", numeric_value=130.0, unit="mg/dL"),
            row(1, "LOINC//13457-7", numeric_value=5.4),
            row(1, "LOINC//13457-7", numeric_value=3.0, unit="furlongs"),
            row(2, "LOINC//13457-7", numeric_value=3.0, unit="furlongs"),
        )
    )
    assert [(each.unit, each.results, each.why) for each in found.set_aside] == [
        ("furlongs", 2, UNIT),
        ("", 1, MISSING_UNIT),
    ]
    assert [each["results"] for each in found.to_json()["set_aside"]] == [None, None]  # counts of 1 to 10


def test_a_record_of_which_nothing_is_read_says_so() -> None:
    found = describe(record(row(1, "HR"), row(1, "ADMISSION//CARDIAC")))
    assert found.is_empty
    assert "No feature can be filled" in next(found.in_short())
    assert not describe(record(row(1, "MEDS_BIRTH"))).is_empty
