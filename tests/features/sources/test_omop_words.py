"""What an OMOP source says in words alone: drugs by their names, numbers as text; counted, and never by likeness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.build import build
from features.catalogue import catalogue
from features.index import Index
from features.record import Record
from features.sources.drugs import BY_NAME
from features.sources.numbers import NUMBER_AS_TEXT
from features.sources.omop import ingest

Cdm = Callable[..., Path]
EventsOf = Callable[..., list[dict[str, Any]]]

CONCEPT = """
concept_id | concept_name                  | vocabulary_id | concept_code | domain_id
2001       | Atorvastatin 40 MG            | Hausliste     | A-17         | Drug
2002       | simvastatin 20 MG [Product X] | RxNorm        | 999999991    | Drug
2003       | simvastatin                   | RxNorm        | 36567        | Drug
2004       | Pravastatinum novum XR        | Hausliste     | A-18         | Drug
2005       | Erythromycin 1 % eye ointment | Hausliste     | A-19         | Drug
2006       | simvastatin 10 MG             | RxNorm        | 999999992    | Drug
1001       | Haemoglobin A1c               | LOINC         | 4548-4       | Measurement
1006       | 3+                            | SNOMED        | 10828004     | Meas Value
"""
CONCEPT_ANCESTOR = """
ancestor_concept_id | descendant_concept_id | min_levels_of_separation
2003                | 2002                  | 1
"""
DRUG = """
drug_exposure_id | person_id | drug_concept_id | drug_source_concept_id | drug_source_value | drug_exposure_start_date
1 | 1 | 0    | 2001 |                              | 2020-01-01
2 | 1 | 0    | 0    | 24 HR metformin HCl 500 MG   | 2020-01-02
3 | 1 | 2002 | 0    | simvastatin                  | 2020-01-03
4 | 1 | 0    | 2004 | Pravastatinum                | 2020-01-04
5 | 1 | 0    | 2005 |                              | 2020-01-05
6 | 1 | 2003 | 0    | metformin                    | 2020-01-06
7 | 1 | 4711 | 0    | Rosuvastatin 5 MG            | 2020-01-07
8 | 1 | 2006 | 0    |                              | 2020-01-08
9 | 1 | 0    |      | metformin-free drink         | 2020-01-09
"""


def test_a_drug_that_no_list_knows_is_read_by_its_names(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    record = tmp_path / "record"
    report = ingest(cdm(concept=CONCEPT, concept_ancestor=CONCEPT_ANCESTOR, drug_exposure=DRUG), record)
    rows = {
        row["time"][8:10]: (row["code"], row["codings"])
        for row in events_of(record)
        if row["time"] and row["time"] > "2020"
    }
    assert rows == {
        "01": ("Hausliste//A-17", ["RxNormByName//83367"]),
        "02": ("Source/drug//24 HR metformin HCl 500 MG", ["RxNormByName//6809"]),
        "03": ("RxNorm//999999991", None),  # its ancestor says it
        "04": ("Hausliste//A-18", None),  # like a name, and none
        "05": ("Hausliste//A-19", None),  # it acts where it is put
        "06": ("RxNorm//36567", None),  # the code is known: the source's word changes nothing
        "07": ("OMOP//4711", ["RxNormByName//301542"]),
        "08": ("RxNorm//999999992", ["RxNormByName//36567"]),
        "09": ("Source/drug//metformin-free drink", None),
    }  # fmt: skip
    assert report.tables["drug_exposure"].noted[BY_NAME] == 4
    codes = {row["code"] for row in _codes(record)}
    assert {"RxNormByName//83367", "RxNormByName//6809"} <= codes


def _codes(record: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(record / "metadata" / "codes.parquet").to_pylist()
    return rows


def test_a_drug_read_by_its_name_reaches_the_feature(cdm: Cdm, tmp_path: Path) -> None:
    drug = "\n".join([DRUG.strip().splitlines()[0], "1 | 1 | 0 | 0 | Rosuvastatin 5 MG | 2020-12-20"])
    ingest(cdm(concept=CONCEPT, drug_exposure=drug), tmp_path / "record")
    frame = build(
        Index.at(np.array([1, 2]), "2021-01-01"),
        Record.open(tmp_path / "record"),
        catalogue=catalogue(["medications"]),
    )
    assert frame.column("statin_current").tolist() == [1, 0]


MEASUREMENT = """
measurement_id | person_id | measurement_concept_id | measurement_date | value_as_number | operator_concept_id \
| value_as_concept_id | value_as_string | value_source_value | unit_source_value
1  | 1 | 1001 | 2010-01-01 |       |         |      | 7.2        |           | %
2  | 1 | 1001 | 2010-01-02 |       |         |      |            | <4.0      | %
3  | 1 | 1001 | 2010-01-03 |       |         |      | GT 60      |           |
4  | 1 | 1001 | 2010-01-04 | < 5,5 |         |      |            |           | %
5  | 1 | 1001 | 2010-01-05 |       |         |      | high       | 7.9 %     |
6  | 1 | 1001 | 2010-01-06 |       |         | 1006 | 3          | 3         |
7  | 1 | 1001 | 2010-01-07 |       |         |      | 120/80     | 1,200     |
8  | 1 | 1001 | 2010-01-08 | 6.5   | 4171756 |      | 9.9        | 9.9       | %
9  | 1 | 1001 | 2010-01-09 | 1e99  |         |      |            | see 7     |
10 | 1 | 1001 | 2010-01-10 | high  |         |      |            | 6.1       |
11 | 1 | 1001 | 2010-01-11 |       |         |      | 1e400      |           |
"""


def test_numbers_written_as_text_are_read_and_counted(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    report = ingest(cdm(concept=CONCEPT, measurement=MEASUREMENT), tmp_path / "record")
    rows = {
        int(row["time"][8:10]): (
            row["numeric_value"] and round(row["numeric_value"], 4),
            row["text_value"],
            row["unit"],
        )
        for row in events_of(tmp_path / "record", "LOINC//4548-4")
    }
    assert rows == {
        1: (7.2, None, "%"),
        2: (4.0, "<", "%"),
        3: (60.0, ">", None),
        4: (5.5, "<", "%"),
        5: (7.9, "high", "%"),
        6: (None, "3", None),  # the value is a concept, not a number
        7: (None, "120/80", None),
        8: (6.5, "9.9", "%"),
        9: (None, "see 7", None),
        10: (6.1, None, None),
        11: (None, "1e400", None),
    }
    table = report.tables["measurement"]
    assert table.mended == {NUMBER_AS_TEXT: 6, "value is not a finite number": 1}
    assert table.noted["number is a bound (its text says <, <=, >= or >)"] == 4


@pytest.mark.parametrize("written", ["7.2", "<4.0", "GT 60"])
def test_a_number_as_text_is_the_number_that_fhir_reads(written: str) -> None:
    from features.sources.fhir.values import value_of
    from features.sources.numbers import written_number

    said, value = written_number(written), value_of({"valueString": written})
    assert said is not None
    assert (value.number, value.text, value.unit) == said


def test_a_concept_id_that_is_not_whole_is_no_concept(cdm: Cdm, tmp_path: Path, events_of: EventsOf) -> None:
    """1006.6 is not 1007: rounded it would be another person's, or another thing's, concept."""
    condition = """
    condition_occurrence_id | person_id | condition_concept_id | condition_start_date | condition_source_value
    1                       | 1         | 2002.6               | 2010-01-01           | odd
    2                       | 1         | 2003.0               | 2010-01-02           | whole
    """
    ingest(cdm(concept=CONCEPT, condition_occurrence=condition), tmp_path / "record")
    codes = [row["code"] for row in events_of(tmp_path / "record") if str(row["time"]).startswith("2010")]
    assert codes == ["Source/condition//odd", "RxNorm//36567"]
