"""Code lists are read strictly, versioned by what they match, and expanded by what the record knows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from features.codes.lists import Matcher, read, spelled_out
from features.errors import PresageError
from features.record.record import Record
from features.record.schema import EVENTS

LIST = """# Coronary disease, version 2025-01-01
# https://example.org/coronary
code,term,include_descendants
ICD10CM//I21,Acute myocardial infarction,true
ICD10CM//I25.10,Coronary artery disease,false
SNOMED//22298006,Myocardial infarction,true
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "coronary.csv"
    path.write_text(text)
    return path


def a_record(*codes: str, links: tuple[tuple[str, str], ...] = ()) -> Record:
    events = pa.Table.from_pylist([{"subject_id": 1, "code": code} for code in codes], schema=EVENTS)
    hierarchy = pa.table({"code": [code for code, _ in links], "ancestor": [above for _, above in links]})
    return Record.in_memory(
        events, ancestors=hierarchy.cast(pa.schema([("code", pa.string()), ("ancestor", pa.string())]))
    )


def test_a_list_keeps_its_provenance_and_its_hash_is_of_what_it_matches(tmp_path: Path) -> None:
    listed = read(write(tmp_path, LIST))
    assert listed.name == "coronary"
    assert listed.codes == ("ICD10CM//I21", "ICD10CM//I25.10", "SNOMED//22298006")
    assert listed.provenance == "Coronary disease, version 2025-01-01\nhttps://example.org/coronary"
    assert read(write(tmp_path, LIST.replace("Acute m", "M"))).hash == listed.hash
    assert read(write(tmp_path, LIST.replace("disease,false", "disease,true"))).hash != listed.hash


def test_descendants_come_by_prefix_in_icd_and_by_the_hierarchy_elsewhere(tmp_path: Path) -> None:
    record = a_record(
        "ICD10CM//I21.9", "ICD10CM//I25.10", "ICD10CM//I25.110", "SNOMED//401303003", "SNOMED//1", "ICD10CM//I2",
        links=(("SNOMED//401303003", "SNOMED//22298006"), ("SNOMED//1", "SNOMED//2")),
    )  # fmt: skip
    assert read(write(tmp_path, LIST)).expand(record) == ["ICD10CM//I21.9", "ICD10CM//I25.10", "SNOMED//401303003"]


def test_a_row_of_the_seed_is_every_code_of_the_list_that_ships(tmp_path: Path) -> None:
    seeded = "# Version 1\ncode,term,include_descendants\nSeed//tia,TIA,true\nICD10CM//Z86.73,Past,false\n"
    listed = read(write(tmp_path, seeded))
    assert {"ICD10CM//G45*", "<<SNOMED//266257000", "ICD10CM//Z86.73"} <= set(listed.patterns)
    assert len(set(listed.patterns)) == len(listed.patterns) == len(listed.terms)
    record = a_record("ICD10CM//G45.9", "ICD10GM//G45.92", "SNOMED//266257000", "ICD10CM//Z86.73", "ICD10CM//G46.0")
    assert listed.expand(record) == ["ICD10CM//G45.9", "ICD10CM//Z86.73", "ICD10GM//G45.92", "SNOMED//266257000"]
    with pytest.raises(PresageError, match="Seed//gout: expected a list that ships"):
        read(write(tmp_path, seeded.replace("tia", "gout")))


@pytest.mark.parametrize("text", [LIST, "code,term,include_descendants\nSeed//diabetes,diabetes,true\nX//1,a,no\n"])
def test_a_list_spelled_out_matches_the_same_and_names_no_list_that_ships(tmp_path: Path, text: str) -> None:
    before = read(write(tmp_path, text))
    after = read(write(tmp_path, spelled_out(tmp_path / "coronary.csv")))
    assert (after.patterns, after.terms, after.provenance) == (before.patterns, before.terms, before.provenance)
    assert not any("Seed//" in pattern for pattern in after.patterns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("term,code\n", r"line 1: expected the columns code,term,include_descendants"),
        ("code,term,include_descendants\n", "expected at least one code, found none"),
        ("code,term,include_descendants\nI21,x,true\n", r"line 2, column 'code': expected a code as VOCABULARY//CODE"),
        (
            "code,term,include_descendants\nX//1,x,perhaps\n",
            r"line 2, column 'include_descendants': expected true or false",
        ),
        ("code,term,include_descendants\nX//1,x\n", "line 2: expected 3 columns, found 2"),
        (
            "code,term,include_descendants\nX//1,x,no\nX//1,y,no\n",
            "expected every code once, found 1 rows that repeat one",
        ),
    ],
)
def test_a_bad_list_is_one_error_that_says_where(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PresageError, match=message):
        read(write(tmp_path, text))
    with pytest.raises(PresageError, match="expected a code list, found no such file"):
        read(tmp_path / "absent.csv")


def test_a_matcher_finds_every_pattern_that_a_code_matches() -> None:
    matcher = Matcher(["A//1", "A//1*", "<<A//1", "<<ICD10CM//I2", "ICD10CM//I21*"], {"A//9": ["A//1", "A//0"]})
    assert matcher("A//1") == ["<<A//1", "A//1", "A//1*"]
    assert matcher("A//12") == ["A//1*"]
    assert matcher("A//9") == ["<<A//1"]
    assert matcher("ICD10CM//I21.4") == ["<<ICD10CM//I2", "ICD10CM//I21*"]
    assert matcher("") == []
