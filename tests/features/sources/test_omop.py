"""OMOP into events: each rule as a drawn table and the events it must give."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from meds import CodeMetadataSchema, DataSchema, DatasetMetadataSchema

from features.errors import PresageError
from features.record.deltas import STORED
from features.record.record import Record
from features.record.schema import ANCESTORS, CODES, IDENTITY
from features.sources import store
from features.sources.omop import ingest

Cdm = Callable[..., Path]
EventsOf = Callable[..., list[dict[str, Any]]]
RejectsOf = Callable[[Path, str], list[tuple[dict[str, Any], str, bool]]]
TablesOf = Callable[[Path], dict[str, pa.Table]]

MEASUREMENT = """
measurement_id | person_id | measurement_concept_id | measurement_date | measurement_datetime \
| value_as_number | unit_concept_id | unit_source_value
1 | 1 | 1001 | 2010-05-04 | 2010-05-04 08:30:00 | 7.5 | 1005 | percent
2 | 1 | 1001 | 2011-05-04 | 2011-05-04 00:00:00 | 8 | | mg
3 | 2 | 1001 | 2012-05-04 | | | |
4 | 2 | 1001 | 2013-05-04 | 2013-05-04T23:30:00+02:00 | | |
5 | 2 | 1001 | 2014-05-04 | 2014-05-03 23:30:00 | | |
"""


def test_a_result_is_known_at_its_clock_time_else_at_the_end_of_its_day(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    ingest(cdm(measurement=MEASUREMENT), tmp_path / "record")
    rows = events_of(tmp_path / "record", "LOINC//4548-4")
    assert [(row["person"], row["time"], row["available_time"], row["numeric_value"], row["unit"]) for row in rows] == [
        ("1", "2010-05-04T08:30:00", "2010-05-04T08:30:00", 7.5, "%"),
        ("1", "2011-05-04T00:00:00", "2011-05-04T23:59:59.999999", 8.0, "mg"),
        ("2", "2012-05-04T00:00:00", "2012-05-04T23:59:59.999999", None, None),
        # Local time as it is written; and a clock time of another day than the date's is none.
        ("2", "2013-05-04T23:30:00", "2013-05-04T23:30:00", None, None),
        ("2", "2014-05-04T00:00:00", "2014-05-04T23:59:59.999999", None, None),
    ]


def test_a_diagnosis_is_known_when_its_visit_ends(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    source = cdm(
        visit_occurrence="""
        visit_occurrence_id | person_id | visit_concept_id | visit_start_date | visit_end_date | visit_end_datetime
        10                  | 1         | 9201             | 2010-01-01       | 2010-01-06     | 2010-01-06 14:00:00
        11                  | 1         | 9202             | 2011-01-01       | 2011-01-01     |
        12                  | 2         | 9201             | 2012-01-01       | 2012-02-01     |
        """,
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_source_concept_id \
        | condition_start_date | visit_occurrence_id
        1 | 1 | 1003 | 1002 | 2010-01-01 | 10
        2 | 1 | 1003 | 1002 | 2011-01-01 | 11
        3 | 1 | 1003 | 1002 | 2012-01-01 | 12
        4 | 1 | 1003 | 0 | 2013-01-01 |
        """,
    )
    report = ingest(source, tmp_path / "record")
    rows = events_of(tmp_path / "record", "ICD10CM//E11.9", "SNOMED//44054006")
    assert [(row["code"], row["available_time"]) for row in rows] == [
        ("ICD10CM//E11.9", "2010-01-06T14:00:00"),
        ("ICD10CM//E11.9", "2011-01-01T23:59:59.999999"),
        # The visit is somebody else's: it says nothing about this diagnosis.
        ("ICD10CM//E11.9", "2012-01-01T23:59:59.999999"),
        ("SNOMED//44054006", "2013-01-01T23:59:59.999999"),
    ]
    assert report.tables["condition_occurrence"].noted == {"its visit is not among the visits": 1}
    visits = events_of(tmp_path / "record", "Visit//IP", "VISIT_END//IP")
    assert [(row["code"], row["time"], row["numeric_value"], row["unit"]) for row in visits] == [
        ("Visit//IP", "2010-01-01T00:00:00", None, None),
        ("VISIT_END//IP", "2010-01-06T14:00:00", 5.0, "d"),
        ("Visit//IP", "2012-01-01T00:00:00", None, None),
        ("VISIT_END//IP", "2012-02-01T00:00:00", 31.0, "d"),
    ]


@pytest.mark.parametrize("with_hierarchy", [True, False])
def test_a_visit_in_a_place_of_care_is_the_kind_of_visit_above_it(
    with_hierarchy: bool, cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    hierarchy = """
    ancestor_concept_id | descendant_concept_id | min_levels_of_separation | max_levels_of_separation
    9202                | 777                   | 2                        | 2
    9201                | 777                   | 1                        | 1
    9201                | 9201                  | 0                        | 0
    """
    source = cdm(
        concept="""
        concept_id | concept_name      | vocabulary_id        | concept_code | domain_id | standard_concept
        777        | Intensive ward    | Site                 | ICU          | Visit     | S
        8870       | Emergency Room    | CMS Place of Service | 23           | Visit     | S
        """,
        visit_occurrence="""
        visit_occurrence_id | person_id | visit_concept_id | visit_start_date | visit_end_date
        10                  | 1         | 581477           | 2010-01-01       | 2010-01-01
        11                  | 1         | 8870             | 2011-01-01       | 2011-01-01
        12                  | 1         | 777              | 2012-01-01       | 2012-01-05
        13                  | 1         | 5084             | 2013-01-01       | 2013-01-01
        """,
        **({"concept_ancestor": hierarchy} if with_hierarchy else {}),
    )
    report = ingest(source, tmp_path / "record")
    rows = [row["code"] for row in events_of(tmp_path / "record") if (row["time"] or "") > "2000"]
    ward = "Visit//IP" if with_hierarchy else "Site//ICU"
    assert [code for code in rows if not code.startswith("VISIT_END")] == ["Visit//OP", "Visit//ER", ward, "OMOP//5084"]
    noted = report.tables["visit_occurrence"].noted
    assert noted["concept does not resolve (kept under its id)"] == 1
    known = pq.read_table(tmp_path / "record" / "metadata" / "codes.parquet")["code"].to_pylist()
    assert len(known) == len(set(known))


def test_a_person_has_birth_and_static_facts(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    source = cdm(
        person="""
        person_id | gender_concept_id | year_of_birth | month_of_birth | day_of_birth \
        | race_concept_id | race_source_value | care_site_id | provider_id
        1 | 8507 | 1960 | 3 | 5 | 8527 | white | 7 |
        2 | 0 | 1990 | | | 0 | klingon | | 3
        """,
        care_site="care_site_id | care_site_source_value\n7 | NORTH",
    )
    ingest(source, tmp_path / "record")
    rows = [(row["person"], row["time"], row["code"], row["text_value"]) for row in events_of(tmp_path / "record")]
    assert rows == [
        ("1", "1960-03-05T00:00:00", "MEDS_BIRTH", None),
        ("1", None, "CARE_SITE", "NORTH"),
        ("1", None, "Gender//M", None),
        ("1", None, "Race//5", None),
        ("2", "1990-01-01T00:00:00", "MEDS_BIRTH", None),
        ("2", None, "PROVIDER", "3"),
        ("2", None, "Race//klingon", None),
    ]


def test_every_race_of_the_catalogue_is_read_although_the_concept_table_lacks_it(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    concepts = (8657, 8515, 8516, 8557, 8527, 8522)  # vocabulary Race of https://athena.ohdsi.org, 1 to 6
    rows = "\n".join(f"{number} | 8532 | 1960 | {concept}" for number, concept in enumerate(concepts, 1))
    source = cdm(person=f"person_id | gender_concept_id | year_of_birth | race_concept_id\n{rows}")
    ingest(source, tmp_path / "record")
    races = tuple(f"Race//{number}" for number in range(1, 7))
    assert [(row["person"], row["code"]) for row in events_of(tmp_path / "record", *races)] == [
        (f"{number}", f"Race//{number}") for number in range(1, 7)
    ]


def test_the_source_concept_gives_the_code_else_the_standard_one_else_what_is_left(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    source = cdm(
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_source_concept_id \
        | condition_source_value | condition_start_date
        1 | 1 | 1003 | 1002 | E11.9 | 2010-01-01
        2 | 1 | 1003 | 555 | 250.00 | 2010-01-02
        3 | 1 | 777 | 555 | 250.00 | 2010-01-03
        4 | 1 | 0 | 555 | 250.00 | 2010-01-04
        5 | 1 | 0 | 0 | sugar | 2010-01-05
        6 | 1 | 0 | 0 | | 2010-01-06
        """
    )
    report = ingest(source, tmp_path / "record")
    rows = [row for row in events_of(tmp_path / "record") if row["person"] == "1" and row["time"]]
    assert [row["code"] for row in rows if row["time"].startswith("2010")] == [
        "ICD10CM//E11.9",
        "SNOMED//44054006",
        "OMOP//777",
        "OMOP//555",
        "Source/condition//sugar",
    ]
    table = report.tables["condition_occurrence"]
    assert table.rejected == {"no concept and no source value": 1}
    assert table.noted["concept does not resolve (kept under its id)"] == 3


def test_a_code_knows_its_ancestors_and_a_row_its_other_coding(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    source = cdm(
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_source_concept_id | condition_start_date
        1 | 1 | 1003 | 1002 | 2010-01-01
        """
    )
    ingest(source, tmp_path / "record")
    ancestors = pq.read_table(tmp_path / "record" / "metadata" / "ancestors.parquet").to_pylist()
    # The row says that it is both E11.9 and 44054006, and nothing of E11.9 elsewhere; 9999 is an ancestor that the
    # concept table does not hold.
    (row,) = events_of(tmp_path / "record", "ICD10CM//E11.9")
    assert row["codings"] == ["SNOMED//44054006"]
    assert [(row["code"], row["ancestor"]) for row in ancestors] == [
        ("SNOMED//44054006", "OMOP//9999"),
        ("SNOMED//44054006", "SNOMED//73211009"),
    ]
    codes = {row["code"]: row for row in pq.read_table(tmp_path / "record" / "metadata" / "codes.parquet").to_pylist()}
    assert codes["ICD10CM//E11.9"]["description"] == "Type 2 diabetes"
    assert codes["ICD10CM//E11.9"]["parent_codes"] is None
    assert codes["SNOMED//44054006"]["parent_codes"] == ["SNOMED//73211009"]
    assert "MEDS_BIRTH" in codes


def test_maps_to_of_the_vocabulary_counts_too(cdm: Cdm, tmp_path: Path) -> None:
    source = cdm(
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_source_concept_id | condition_start_date
        1 | 1 | 0 | 1002 | 2010-01-01
        """,
        concept_relationship="""
        concept_id_1 | concept_id_2 | relationship_id | invalid_reason
        1002         | 1003         | Maps to         |
        1002         | 1006         | Maps to         | D
        1002         | 1007         | Is a            |
        """,
    )
    ingest(source, tmp_path / "record")
    ancestors = pq.read_table(tmp_path / "record" / "metadata" / "ancestors.parquet").to_pylist()
    assert {row["ancestor"] for row in ancestors} == {"OMOP//9999", "SNOMED//44054006", "SNOMED//73211009"}


BOUNDS = """
measurement_id | person_id | measurement_concept_id | measurement_date | operator_concept_id | value_as_number
1 | 1 | 1001 | 2010-05-04 | 4171756 | 3
2 | 1 | 1001 | 2010-05-05 | 4172704 | 20
3 | 1 | 1001 | 2010-05-06 | 4172703 | 7
4 | 1 | 1001 | 2010-05-07 | 0 | 8
5 | 1 | 1001 | 2010-05-08 | 4171755 |
6 | 1 | 1001 | 2010-05-09 | 4171754 | 4
7 | 1 | 1001 | 2010-05-10 | 4171755 | 19
"""


def test_a_number_that_is_a_bound_says_so_in_its_text(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    report = ingest(cdm(measurement=BOUNDS), tmp_path / "record")
    rows = events_of(tmp_path / "record", "LOINC//4548-4")
    assert [(row["numeric_value"], row["text_value"]) for row in rows] == [
        (3.0, "<"), (20.0, ">"), (7.0, None), (8.0, None), (None, None), (4.0, "<="), (19.0, ">="),
    ]  # fmt: skip
    assert report.table("measurement").noted["number is a bound (its text says <, <=, >= or >)"] == 4


def test_tables_that_are_not_read_are_named_with_their_rows(cdm: Cdm, tmp_path: Path) -> None:
    source = cdm(
        note="note_id | person_id | note_text\n1 | 1 | a\n2 | 2 | b\n3 | 77 | c",
        payer_plan_period="payer_plan_period_id | person_id",
        domain="domain_id | domain_name\n1 | Drug",
    )
    (source / "specimen.csv").write_text("")
    report = ingest(source, tmp_path / "record")
    assert report.unread == ("domain", "note", "payer_plan_period", "specimen")
    assert report.unread_rows == {"note": 3, "payer_plan_period": 0}
    said = json.loads((tmp_path / "record" / "ingest_report.json").read_text())
    assert '"note": 3' in json.dumps(said)


def test_values_are_numbers_words_or_concepts(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    source = cdm(
        measurement="""
        measurement_id | person_id | measurement_concept_id | measurement_date \
        | value_as_number | value_as_concept_id | value_source_value
        1 | 1 | 1001 | 2010-01-01 | 7.5 | | 7.5 %
        2 | 1 | 1001 | 2010-01-02 | | 1006 | pos
        3 | 1 | 1001 | 2010-01-03 | | | haemolysed
        4 | 1 | 1001 | 2010-01-04 | seven | |
        5 | 1 | 1001 | 2010-01-05 | inf | 4242 |
        """,
        observation="""
        observation_id | person_id | observation_concept_id | observation_date | value_as_string | value_as_concept_id
        1              | 1         | 1001                   | 2010-01-06       | never           | 1006
        """,
        drug_exposure="""
        drug_exposure_id | person_id | drug_concept_id | drug_exposure_start_date | drug_exposure_end_date | days_supply
        1 | 1 | 1007 | 2010-01-07 | 2010-02-07 | 90
        2 | 1 | 1007 | 2010-01-08 | 2010-02-07 | 0
        """,
    )
    report = ingest(source, tmp_path / "record")
    rows = [
        (row["numeric_value"], row["text_value"], row["unit"])
        for row in events_of(tmp_path / "record", "LOINC//4548-4", "RxNorm//860975")
    ]
    assert rows == [
        (7.5, None, None),
        (None, "Positive", None),
        (None, "haemolysed", None),
        (None, None, None),
        (None, "OMOP//4242", None),
        (None, "never", None),
        (90.0, None, "d"),
        (None, None, None),  # 0 days say that nobody knows; the end date is not known when the drug is started
    ]
    assert report.tables["measurement"].mended == {"value is not a finite number": 2}


BAD_ROWS = """
measurement_id | person_id | measurement_concept_id | measurement_date | value_as_number
1              | 1         | 1001                   | 2010-05-04       | 7
2              | 99        | 1001                   | 2010-05-04       | 7
3              |           | 1001                   | 2010-05-04       | 7
4              | 1.5       | 1001                   | 2010-05-04       | 7
5              | 1         | 1001                   |                  | 7
6              | 1         | 1001                   | 2010-02-31       | 7
7              | 1         | 1001                   | yesterday        | 7
8              | 1         | 1001                   | 1960-03-04       | 7
9              | 1         | 1001                   | 1960-03-05       | 7
10             | 1         | 1001                   | 2015-06-02       | 7
11             | 1         | 1001                   | 2015-07-31       | 7
12             | 1         | 1001                   | 2015-08-01       | 7
13             | 1         | 1001                   | 2012-01-01       | 7
13             | 1         | 1001                   | 2012-01-01       | 7
13             | 1         | 1001                   | 2012-01-01       | 8
"""


def test_every_bad_row_is_counted_by_reason_and_kept(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf, rejects_of: RejectsOf
) -> None:
    source = cdm(measurement=BAD_ROWS, death="person_id | death_date\n1 | 2015-06-01\n99 | 2015-06-01\n1 | 2016-01-01")
    report = ingest(source, tmp_path / "record")
    table = report.tables["measurement"]
    assert table.rejected == {
        "person is not among the persons": 1,
        "no person, or not a valid id": 2,
        "no date": 1,
        "date is not a date of 1800 to 2249": 2,
        "before birth": 1,
        "more than 60 days after death": 1,
        "repeats a row with the same key": 1,
    }
    assert table.noted == {"after death (kept)": 2, "shares its key with a row of another event (both kept)": 1}
    assert table.rows == 15
    assert table.events == 6
    assert len(events_of(tmp_path / "record", "LOINC//4548-4")) == 6
    kept = rejects_of(tmp_path / "record", "measurement")
    assert sorted((row["measurement_id"], reason) for row, reason, _ in kept) == [
        ("12", "more than 60 days after death"),
        ("13", "repeats a row with the same key"),
        ("2", "person is not among the persons"),
        ("3", "no person, or not a valid id"),
        ("4", "no person, or not a valid id"),
        ("5", "no date"),
        ("6", "date is not a date of 1800 to 2249"),
        ("7", "date is not a date of 1800 to 2249"),
        ("8", "before birth"),
    ]
    assert report.tables["death"].rejected == {
        "person is not among the persons": 1,
        "a second row for one person": 1,
    }
    deaths = events_of(tmp_path / "record", "MEDS_DEATH")
    assert [(row["person"], row["time"]) for row in deaths] == [("1", "2015-06-01T00:00:00")]


def test_persons_may_be_doubled_or_without_birth_and_are_not_lost(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf, rejects_of: RejectsOf
) -> None:
    source = cdm(
        person="""
        person_id | gender_concept_id | year_of_birth | month_of_birth | day_of_birth
        1         | 8507              | 1960          | 13             | 40
        1         | 8507              | 1961          |                |
        2         | 8532              |               |                |
                  | 8532              | 1970          |                |
        """,
        measurement=MEASUREMENT,
    )
    report = ingest(source, tmp_path / "record")
    assert report.tables["person"].rejected == {"a second row for one person": 1, "no person, or not a valid id": 1}
    assert report.tables["person"].mended == {"no valid date or year of birth": 1}
    assert [row["time"] for row in events_of(tmp_path / "record", "MEDS_BIRTH")] == ["1960-01-01T00:00:00"]
    assert len(events_of(tmp_path / "record", "LOINC//4548-4")) == 5
    assert [kept for _, _, kept in rejects_of(tmp_path / "record", "person")].count(True) == 1


def test_overlapping_periods_become_one_and_impossible_ones_are_set_aside(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    source = cdm(
        observation_period="""
        observation_period_id | person_id | observation_period_start_date | observation_period_end_date
        1                     | 1         | 2000-01-01                    | 2005-12-31
        2                     | 1         | 2001-01-01                    | 2002-12-31
        3                     | 1         | 2006-01-01                    | 2006-06-30
        4                     | 1         | 2008-01-01                    | 2009-01-01
        5                     | 1         | 2011-01-01                    | 2010-01-01
        6                     | 2         | 1980-01-01                    | 2010-01-01
        7                     | 3         | 1980-01-01                    | 2010-01-01
        8                     | 2         | 1980-01-01                    | 1985-01-01
        9                     | 2         | 2020-01-01                    |
        10                    | 2         | x                             | 2021-01-01
        """
    )
    report = ingest(source, tmp_path / "record")
    rows = events_of(tmp_path / "record", "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END")
    assert [(row["person"], row["code"].split("//")[1], row["time"][:10]) for row in rows] == [
        ("1", "START", "2000-01-01"),
        ("1", "END", "2006-06-30"),
        ("1", "START", "2008-01-01"),
        ("1", "END", "2009-01-01"),
        ("2", "START", "1990-01-01"),
        ("2", "END", "2010-01-01"),
    ]
    table = report.tables["observation_period"]
    assert table.rejected == {
        "ends before it starts": 1,
        "person is not among the persons": 1,
        "before birth": 1,
        "no date": 1,
        "date is not a date of 1800 to 2249": 1,
    }
    assert table.mended == {"starts before birth": 1}


def test_a_visit_that_ends_before_it_starts_is_kept_without_its_end(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf, rejects_of: RejectsOf
) -> None:
    source = cdm(
        visit_occurrence="""
        visit_occurrence_id | person_id | visit_concept_id | visit_start_date | visit_end_date
        10                  | 1         | 9201             | 2010-01-10       | 2010-01-06
        11                  | 1         | 4711             | 2011-01-10       |
        11                  | 1         | 4711             | 2011-01-11       |
        """
    )
    report = ingest(source, tmp_path / "record")
    codes = [row["code"] for row in events_of(tmp_path / "record") if "isit" in row["code"] or "OMOP" in row["code"]]
    assert codes == ["Visit//IP", "OMOP//4711"]
    table = report.tables["visit_occurrence"]
    assert table.mended == {"ends before it starts": 1}
    assert table.rejected == {"repeats a row with the same key": 1}
    assert table.noted == {"visit has no end": 1, "concept does not resolve (kept under its id)": 1}
    reasons = {(reason, kept) for _, reason, kept in rejects_of(tmp_path / "record", "visit_occurrence")}
    assert reasons == {("ends before it starts", True), ("repeats a row with the same key", False)}


def test_lines_that_are_no_rows_are_counted_and_kept(cdm: Cdm, tmp_path: Path) -> None:
    source = cdm(measurement=MEASUREMENT)
    with (source / "measurement.csv").open("ab") as file:
        # These lines end another way than those above.
        file.write(
            b"9,1\n10,1,1001,2010-01-01,,1,,,x,y\n11,1,1001,2010-01-01,,5,,\xff\xfe\n12,1,1001,2010-01-01,,5,,\n"
        )
    report = ingest(source, tmp_path / "record")
    table = report.tables["measurement"]
    assert table.rejected == {
        "broken line: missing columns": 1,
        "broken line: too many columns": 1,
        "broken line: invalid encoding": 1,
    }
    assert table.rows == 9
    assert table.events == 6
    (path,) = (tmp_path / "record" / "rejects").glob("omop/measurement.parquet")
    assert "9,1" in pq.read_table(path)["source_row"].to_pylist()


def _as_upper_zip(source: Path, out: Path) -> Path:
    with zipfile.ZipFile(out / "cdm.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"export/{path.stem.upper()}.CSV")
        archive.writestr("__MACOSX/export/._PERSON.CSV", b"\x00\x05")
    return out / "cdm.zip"


def _as_gzip(source: Path, out: Path) -> Path:
    for path in source.iterdir():
        (out / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    return out


def _typed(source: Path) -> dict[str, pa.Table]:
    return {
        path.stem: pv.read_csv(path, convert_options=pv.ConvertOptions(strings_can_be_null=True))
        for path in source.iterdir()
    }


def _as_parquet(source: Path, out: Path) -> Path:
    for name, table in _typed(source).items():
        pq.write_table(table.rename_columns([column.upper() for column in table.column_names]), out / f"{name}.parquet")
    return out


def _as_duckdb(source: Path, out: Path) -> Path:
    with duckdb.connect(str(out / "cdm.duckdb")) as con:
        con.execute("CREATE SCHEMA omop")
        for name, table in _typed(source).items():
            con.register("arrow_table", table)
            con.execute(f'CREATE TABLE omop."{name.upper()}" AS SELECT * FROM arrow_table')
    return out / "cdm.duckdb"


def _as_tabs(source: Path, out: Path) -> Path:
    for path in source.iterdir():
        (out / path.name).write_text(path.read_text().replace(",", "\t"))
    return out


@pytest.mark.parametrize("shape", [_as_upper_zip, _as_gzip, _as_parquet, _as_duckdb, _as_tabs])
def test_every_shape_of_a_source_gives_the_same_record(
    shape: Callable[[Path, Path], Path], cdm: Cdm, tmp_path: Path, tables_of: TablesOf
) -> None:
    source = cdm(measurement=MEASUREMENT, death="person_id | death_date\n1 | 2015-06-01")
    (tmp_path / "shaped").mkdir()
    ingest(source, tmp_path / "plain")
    ingest(shape(source, tmp_path / "shaped"), tmp_path / "other")
    plain, other = tables_of(tmp_path / "plain"), tables_of(tmp_path / "other")
    assert plain.keys() == other.keys()
    for name, table in plain.items():
        assert table.equals(other[name]), name


def test_ids_that_a_tool_has_made_decimal_still_find_their_person_and_visit(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    source = cdm(
        visit_occurrence="""
        visit_occurrence_id | person_id | visit_concept_id | visit_start_date | visit_end_date
        10                  | 1         | 9201             | 2010-01-01       | 2010-01-06
        """,
        condition_occurrence="""
        condition_occurrence_id | person_id | condition_concept_id | condition_start_date | visit_occurrence_id
        1                       | 1.0       | 1003                 | 2010-01-01           | 10.0
        2                       | 1.0       | 1003.0               | 2010-01-02           |
        """,
    )
    ingest(source, tmp_path / "csv")
    (tmp_path / "typed").mkdir()
    ingest(_as_parquet(source, tmp_path / "typed"), tmp_path / "parquet")
    for record in (tmp_path / "csv", tmp_path / "parquet"):
        rows = events_of(record, "SNOMED//44054006")
        assert [(row["person"], row["available_time"][:10]) for row in rows] == [
            ("1", "2010-01-06"),
            ("1", "2010-01-02"),
        ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda source: (source / "person.csv").unlink(), "expected the table person, found none of that name"),
        (
            lambda source: (source / "measurement.csv").write_text("measurement_id,person_id,measurement_date\n"),
            "measurement.csv: expected the columns .*, found no column 'measurement_concept_id'",
        ),
        (
            lambda source: (source / "PERSON.CSV.GZ").write_bytes(b""),
            "expected one file for each table, found two of table person",
        ),
        (
            lambda source: (source / "measurement.csv").write_text(""),
            "measurement.csv: expected a first line with the names of the columns, found no line",
        ),
        (lambda source: shutil.rmtree(source), "expected a source in OMOP, found no such file or folder"),
        (
            lambda source: (shutil.rmtree(source), source.write_text("something else")),
            "expected a zip or a DuckDB file, found neither",
        ),
    ],
)
def test_a_source_that_cannot_be_read_is_one_clear_error_and_leaves_nothing(
    change: Callable[[Path], object], message: str, cdm: Cdm, tmp_path: Path
) -> None:
    source = cdm(measurement=MEASUREMENT)
    change(source)
    with pytest.raises(PresageError, match=message):
        ingest(source, tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_empty_tables_besides_person_are_no_hindrance(cdm: Cdm, tmp_path: Path) -> None:
    source = cdm(measurement=MEASUREMENT.strip().splitlines()[0])
    report = ingest(source, tmp_path / "record")
    assert (report.people, report.rejected) == (2, 0)
    assert (report.tables["measurement"].rows, report.tables["measurement"].events) == (0, 0)
    assert Record.open(tmp_path / "record")
    assert report.tables["visit_occurrence"].status == "absent"


PERSON_HEADER = "person_id | gender_concept_id | year_of_birth"


@pytest.mark.parametrize(
    "ids", [("-9223372036854775808", "9223372036854775807"), ("a1b2-c3", "Z9"), ("-5", "7"), ("007", "7x")]
)
def test_ids_may_be_negative_large_or_text_and_stay_apart_from_the_record(
    ids: tuple[str, str], cdm: Cdm, tmp_path: Path, events_of: EventsOf
) -> None:
    first, second = ids
    source = cdm(
        person=f"{PERSON_HEADER}\n{first} | 8507 | 1960\n{second} | 8532 | 1970",
        measurement=f"""
        measurement_id | person_id | measurement_concept_id | measurement_date
        1              | {first}   | 1001                   | 2010-01-01
        2              | {second}  | 1001                   | 2011-01-01
        3              | {second}9 | 1001                   | 2012-01-01
        """,
    )
    report = ingest(source, tmp_path / "record")
    rows = events_of(tmp_path / "record", "LOINC//4548-4")
    assert {(row["person"], row["time"][:4]) for row in rows} == {(first, "2010"), (second, "2011")}
    assert {row["subject_id"] for row in rows} == {1, 2}
    assert sum(report.tables["measurement"].rejected.values()) == 1


def test_reading_again_replaces_and_people_keep_their_numbers(
    cdm: Cdm, tmp_path: Path, events_of: EventsOf, tables_of: TablesOf
) -> None:
    record = tmp_path / "record"
    ingest(cdm(measurement=MEASUREMENT), record)
    once = tables_of(record)
    ingest(cdm(measurement=MEASUREMENT), record)
    assert {name: table.to_pydict() for name, table in tables_of(record).items()} == {
        name: table.to_pydict() for name, table in once.items()
    }
    before = {row["person"]: row["subject_id"] for row in events_of(record)}
    more = f"{PERSON_HEADER}\n0 | 8507 | 1950\n2 | 8532 | 1990\n3 | 8507 | 1950"
    with pytest.raises(PresageError, match=r"at least nine in ten of the 2 people .* found 1 of them .*--replace"):
        ingest(cdm(person=more), record)
    ingest(cdm(person=more), record, replace=True)
    after = {row["person"]: row["subject_id"] for row in events_of(record)}
    assert after["2"] == before["2"]
    assert {after["0"], after["3"]} == {3, 4}
    assert "1" not in after


def test_the_record_is_a_valid_meds_data_set(
    cdm: Cdm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables_of: TablesOf
) -> None:
    monkeypatch.setattr(store, "EVENTS_PER_SHARD", 4)
    record = tmp_path / "record"
    report = ingest(cdm(measurement=MEASUREMENT), record)
    shards = sorted((record / "data").rglob("*.parquet"))
    assert len(shards) == 2
    seen: set[int] = set()
    for shard in shards:
        table = pq.read_table(shard)
        assert table.schema.equals(STORED)  # ROWS, and the number of each row
        DataSchema.validate(table)
        subjects = table["subject_id"].to_pylist()
        assert not seen & set(subjects)
        seen |= set(subjects)
        order = [(row["subject_id"], str(row["time"] or "")) for row in table.to_pylist()]
        assert order == sorted(order)
    assert len(seen) == report.people == 2
    codes = pq.read_table(record / "metadata" / "codes.parquet")
    CodeMetadataSchema.validate(codes)
    assert codes.schema.equals(CODES)
    assert set(ds.dataset(record / "data").to_table()["code"].to_pylist()) <= set(codes["code"].to_pylist())
    DatasetMetadataSchema.validate(json.loads((record / "metadata" / "dataset.json").read_text()))
    tables = tables_of(record)
    assert tables["metadata/ancestors.parquet"].schema.equals(ANCESTORS)
    assert tables["identity/subjects.parquet"].schema.equals(IDENTITY)
    written = json.loads((record / "ingest_report.json").read_text())["omop"]
    assert written == report.as_json()


@settings(
    max_examples=20 if os.environ.get("PRESAGE_SLOW") else 3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(order=st.permutations(range(15)))
def test_the_order_of_rows_changes_nothing(order: list[int], cdm: Cdm, tmp_path: Path, tables_of: TablesOf) -> None:
    header, *rows = BAD_ROWS.strip().splitlines()
    for name in ("first", "second"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    ingest(cdm(measurement=BAD_ROWS), tmp_path / "first")
    ingest(cdm(measurement="\n".join([header, *(rows[place] for place in order)])), tmp_path / "second")
    first, second = tables_of(tmp_path / "first"), tables_of(tmp_path / "second")
    assert first.keys() == second.keys()
    for name, table in first.items():
        assert table.equals(second[name]), name


def test_a_million_events_of_one_person_are_read(cdm: Cdm, tmp_path: Path) -> None:
    source = tmp_path / "million"
    source.mkdir()
    cdm()
    pq.write_table(_typed(tmp_path / "cdm")["person"], source / "person.parquet")
    n = 1_000_000
    minutes = pa.array(range(n), pa.int64())
    with duckdb.connect() as con:
        con.register("minutes", pa.table({"i": minutes}))
        con.execute(
            "COPY (SELECT i AS measurement_id, 1 AS person_id, 1001 AS measurement_concept_id,"
            " (TIMESTAMP '2000-01-01' + i * INTERVAL 1 MINUTE)::DATE AS measurement_date, 5.5 AS value_as_number"
            f" FROM minutes) TO '{source / 'measurement.parquet'}' (FORMAT parquet)"
        )
    report = ingest(source, tmp_path / "record")
    assert report.tables["measurement"].events == n
    assert report.tables["measurement"].rejected == {}
    assert sum(file.count_rows() for file in ds.dataset(tmp_path / "record" / "data").get_fragments()) == n + 5
