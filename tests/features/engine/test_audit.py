"""Values that cannot be used are counted by reason."""

from __future__ import annotations

import math
from datetime import datetime

import pyarrow as pa

from features.audit import audit
from features.catalogue import catalogue
from features.record.record import Record
from features.record.schema import EVENTS

NOON = datetime(2020, 1, 1, 12)  # noqa: DTZ001 - times in a record carry no zone


def test_results_are_counted_by_what_became_of_them() -> None:
    results = [
        (95.0, "mg/dL"),
        (5.0, "mmol/L"),
        (95.0, None),
        (9999.0, "mg/dL"),
        (95.0, "furlong"),
        (math.nan, "mg/dL"),
    ]
    rows = [
        {"subject_id": 1, "time": NOON, "code": "LOINC//1558-6", "numeric_value": value, "unit": unit}
        for value, unit in results
    ]
    counts = audit(Record.in_memory(pa.Table.from_pylist(rows, schema=EVENTS)), catalogue(["measurements"]))
    assert counts.to_pylist() == [
        {
            "feature": "fasting_glucose_mg_dl_latest_1825d",
            "results": 5,
            "without_unit": 1,
            "converted": 1,
            "not_convertible": 1,
            "implausible": 1,
        }
    ]


def test_values_at_the_ends_of_the_plausible_range_are_not_implausible() -> None:
    rows = [
        {"subject_id": 1, "time": NOON, "code": "LOINC//1558-6", "numeric_value": value, "unit": "mg/dL"}
        for value in (20.0, 1000.0, 19.5, 1000.5)
    ]
    counts = audit(Record.in_memory(pa.Table.from_pylist(rows, schema=EVENTS)), catalogue(["measurements"]))
    assert (counts["results"].to_pylist(), counts["implausible"].to_pylist()) == ([4], [2])
