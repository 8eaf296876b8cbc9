"""MEDS data sets of others, and our own record through MEDS and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.record import identity
from features.sources import meds, omop

EventsOf = Callable[..., list[dict[str, Any]]]
Cdm = Callable[..., Path]

FOREIGN = pa.schema(
    [
        ("subject_id", pa.int64()),
        ("time", pa.timestamp("us")),
        ("code", pa.string()),
        ("numeric_value", pa.float32()),
        ("text_value", pa.large_string()),
    ]
)


def _timestamp(text: str | None) -> int | None:
    return None if text is None else int(pa.scalar(text).cast(pa.timestamp("us")).value)


def foreign(folder: Path, *rows: tuple[int | None, str | None, str | None, float | None], shards: int = 1) -> Path:
    """A MEDS data set with only the columns of MEDS."""
    for number in range(shards):
        part = rows[number::shards]
        columns = list(zip(*part, strict=True)) if part else [(), (), (), ()]
        table = pa.table(
            [
                pa.array(columns[0], pa.int64()),
                pa.array([_timestamp(time) for time in columns[1]], pa.int64()).cast(pa.timestamp("us")),
                pa.array(columns[2], pa.string()),
                pa.array(columns[3], pa.float32()),
                pa.nulls(len(part), pa.large_string()),
            ],
            schema=FOREIGN,
        )
        path = folder / "data" / "train" / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
    return folder


def test_when_a_fact_was_known_is_derived(tmp_path: Path, events_of: EventsOf) -> None:
    source = foreign(
        tmp_path / "source",
        (7, None, "Gender//F", None),
        (7, "1970-02-03", "MEDS_BIRTH", None),
        (7, "2010-01-01", "ICD10CM//E11.9", None),
        (7, "2010-01-01 08:30:00", "LOINC//4548-4", 7.5),
    )
    report = meds.ingest(source, tmp_path / "record")
    rows = [(row["code"], row["available_time"], row["subject_id"]) for row in events_of(tmp_path / "record")]
    assert sorted(rows, key=str) == [
        ("Gender//F", None, 7),
        ("ICD10CM//E11.9", "2010-01-01T23:59:59.999999", 7),
        ("LOINC//4548-4", "2010-01-01T08:30:00", 7),
        ("MEDS_BIRTH", "1970-02-03T00:00:00", 7),
    ]
    assert (report.people, report.events) == (1, 4)


def test_bad_rows_are_counted_and_kept(tmp_path: Path, events_of: EventsOf) -> None:
    source = foreign(
        tmp_path / "source",
        (1, "1970-02-03", "MEDS_BIRTH", None),
        (1, "2010-01-01", "MEDS_DEATH", None),
        (1, "1969-01-01", "X//1", None),
        (1, "2010-02-01", "X//2", None),
        (1, "2010-06-01", "X//3", None),
        (1, "2009-06-01", None, None),
        (None, "2009-06-01", "X//4", None),
        (2, "2009-06-01", "X//5", float("nan")),
    )
    report = meds.ingest(source, tmp_path / "record")
    table = report.tables["data"]
    assert table.rejected == {
        "before birth": 1,
        "more than 60 days after death": 1,
        "no code": 1,
        "no subject_id": 1,
    }
    assert table.mended == {"value is not a finite number": 1}
    assert table.noted == {"after death (kept)": 1}
    kept = pq.read_table(tmp_path / "record" / "rejects" / "meds" / "data.parquet")
    assert kept.num_rows == 5
    assert [row["code"] for row in events_of(tmp_path / "record", "X//2", "X//5")] == ["X//2", "X//5"]


def test_a_person_spread_over_files_comes_into_one(tmp_path: Path) -> None:
    rows = [(subject, f"20{year:02}-01-01", "X//1", None) for subject in (1, 2, 3) for year in range(10)]
    meds.ingest(foreign(tmp_path / "source", *rows, shards=4), tmp_path / "record")
    table = ds.dataset(tmp_path / "record" / "data").to_table().to_pandas()
    assert table.subject_id.tolist() == sorted(table.subject_id)
    assert len(table) == 30


def test_our_own_record_comes_back_as_it_was(cdm: Cdm, tmp_path: Path) -> None:
    source = cdm(
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_source_concept_id | condition_start_date
        1                       | 1         | 1003                 | 1002                        | 2010-01-01
        """,
        measurement="""
        measurement_id | person_id | measurement_concept_id | measurement_date | value_as_number | unit_source_value
        1              | 2         | 1001                   | 2010-05-04       | 7.5             | %
        """,
    )
    omop.ingest(source, tmp_path / "first")
    meds.ingest(tmp_path / "first", tmp_path / "second")
    for name in ("data/{}/0000.parquet", "metadata/codes.parquet", "metadata/ancestors.parquet"):
        first, second = (tmp_path / "first" / name.format("omop"), tmp_path / "second" / name.format("meds"))
        assert pq.read_table(first).equals(pq.read_table(second))


def test_parents_of_a_foreign_data_set_become_ancestors(tmp_path: Path) -> None:
    source = foreign(tmp_path / "source", (1, "2010-01-01", "a", None))
    (source / "metadata").mkdir()
    codes = [
        {"code": "a", "description": "A", "parent_codes": ["b"]},
        {"code": "b", "description": "B", "parent_codes": ["c", "a"]},
    ]
    pq.write_table(pa.Table.from_pylist(codes), source / "metadata" / "codes.parquet")
    meds.ingest(source, tmp_path / "record")
    ancestors = pq.read_table(tmp_path / "record" / "metadata" / "ancestors.parquet").to_pylist()
    assert [(row["code"], row["ancestor"]) for row in ancestors] == [("a", "b"), ("a", "c")]


def test_two_sources_share_a_record_and_their_people_do_not_mix(cdm: Cdm, tmp_path: Path) -> None:
    record = tmp_path / "record"
    omop.ingest(cdm(), record)
    meds.ingest(foreign(tmp_path / "source", *((subject, "2010-01-01", "X//1", None) for subject in (2, 3, 9))), record)
    who = {(row["source"], row["source_id"]): row["subject_id"] for row in identity.read(record).to_pylist()}
    # 2 was taken by a person of the first source; 3 and 9 were free.
    assert {who["omop", "1"], who["omop", "2"]} == {1, 2}
    assert who["meds", "9"] == 9
    assert who["meds", "3"] == 3
    assert who["meds", "2"] == 10
    codes = pq.read_table(record / "metadata" / "codes.parquet")["code"].to_pylist()
    assert {"X//1", "Gender//M"} <= set(codes)
    assert codes == sorted(codes)
    of_meds = identity.read(record, source="meds").to_pylist()
    assert {row["source_id"]: row["subject_id"] for row in of_meds} == {"2": 10, "3": 3, "9": 9}


def test_what_is_not_meds_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PresageError, match=r"found no data/\*.parquet"):
        meds.ingest(tmp_path, tmp_path / "record")
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"subject_id": [1], "time": [None]}), tmp_path / "data" / "0.parquet")
    with pytest.raises(PresageError, match="data: expected the columns subject_id, time, code, found no column 'code'"):
        meds.ingest(tmp_path, tmp_path / "record")
