"""Small drawn OMOP sources, and records read back as rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

Drawn = dict[str, str]

CONCEPT = """
concept_id | concept_name           | vocabulary_id | concept_code | domain_id   | standard_concept
1001       | Haemoglobin A1c        | LOINC         | 4548-4       | Measurement | S
1002       | Type 2 diabetes        | ICD10CM       | E11.9        | Condition   |
1003       | Type 2 diabetes        | SNOMED        | 44054006     | Condition   | S
1004       | Diabetes               | SNOMED        | 73211009     | Condition   | S
1005       | per cent               | UCUM          | %            | Unit        | S
1006       | Positive               | SNOMED        | 10828004     | Meas Value  | S
1007       | metformin 500 MG       | RxNorm        | 860975       | Drug        | S
"""
CONCEPT_ANCESTOR = """
ancestor_concept_id | descendant_concept_id | min_levels_of_separation | max_levels_of_separation
1003                | 1003                  | 0                        | 0
1004                | 1003                  | 1                        | 1
9999                | 1003                  | 2                        | 2
"""
PERSON = """
person_id | gender_concept_id | year_of_birth | month_of_birth | day_of_birth | care_site_id
1         | 8507              | 1960          | 3              | 5            | 7
2         | 8532              | 1990          |                |              |
"""


def rows_of(drawn: str) -> list[list[str]]:
    """A drawn table as rows of trimmed cells, the header first."""
    return [[cell.strip() for cell in line.split("|")] for line in drawn.strip().splitlines()]


def draw(folder: Path, tables: Drawn) -> Path:
    """Write drawn tables as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, drawn in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows(rows_of(drawn))
    return folder


@pytest.fixture
def cdm(tmp_path: Path) -> Callable[..., Path]:
    """Draws a CDM: `cdm(measurement=...)`, with two persons and a few concepts unless others are given."""

    def drawn(**tables: str) -> Path:
        known = {"person": PERSON, "concept": CONCEPT, "concept_ancestor": CONCEPT_ANCESTOR}
        return draw(tmp_path / "cdm", {**known, **tables})

    return drawn


Rows = list[dict[str, Any]]


@pytest.fixture
def events_of() -> Callable[..., Rows]:
    """Events with these codes (or all) as rows in order, the source's id as `person`, times in ISO 8601."""

    def read(record: Path, *codes: str) -> Rows:
        who = {
            row["subject_id"]: row["source_id"]
            for row in pq.read_table(record / "identity" / "subjects.parquet").to_pylist()
        }
        events = ds.dataset(record / "data").to_table().to_pylist()
        kept = [
            {
                **row,
                "person": who[row["subject_id"]],
                **{name: row[name] and row[name].isoformat() for name in ("time", "available_time")},
            }
            for row in events
            if not codes or row["code"] in codes
        ]
        return sorted(kept, key=lambda row: (row["person"], str(row["time"]), row["code"]))

    return read


@pytest.fixture
def rejects_of() -> Callable[[Path, str], list[tuple[dict[str, Any], str, bool]]]:
    """What a record keeps of rows set aside or mended: the row, the reason, whether the rest of it is in the record."""

    def read(record: Path, table: str) -> list[tuple[dict[str, Any], str, bool]]:
        (path,) = (record / "rejects").glob(f"*/{table}.parquet")
        rows = pq.read_table(path).to_pylist()
        return [(json.loads(row["source_row"]), row["reason"], row["kept"]) for row in rows]

    return read


def whole(record: Path) -> dict[str, pa.Table]:
    """Every Parquet file of a record, by name."""
    # kept/ and origins/ hold rows and references as the source spells them, for updates.
    paths = [path for path in sorted(record.rglob("*.parquet")) if not {"kept", "origins"} & set(path.parts)]
    return {str(path.relative_to(record)): pq.read_table(path) for path in paths}


@pytest.fixture
def tables_of() -> Callable[[Path], dict[str, pa.Table]]:
    return whole
