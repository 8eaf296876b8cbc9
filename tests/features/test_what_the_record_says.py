# ruff: noqa: DTZ001 - times in a record carry no zone
"""Laws of what a record says, against readings written apart: codings, absence, units and values without a unit."""

from __future__ import annotations

import math
import string
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from features.build import build
from features.catalogue import Catalogue, FeatureSpec, catalogue
from features.catalogue.measurements import ANALYTES, Analyte, measurements
from features.codes import conversion
from features.index import Index
from features.record import ANCESTORS, EVENTS, ROWS, Record, Tells
from features.sources.fhir.resources import map_resource

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
AS_OF = datetime(2020, 3, 1, 12)

# ----------------------------------------------------------------------------------------------------- codings

# What systems write beside each other, and a made-up hierarchy: 300 is below 100.
CODINGS = {
    ("http://snomed.info/sct", "100"): "SNOMED//100",
    ("http://snomed.info/sct", "200"): "SNOMED//200",
    ("http://snomed.info/sct", "300"): "SNOMED//300",
    ("http://hl7.org/fhir/sid/icd-10-cm", "I73.0"): "ICD10CM//I73.0",
    ("http://hl7.org/fhir/sid/icd-10-cm", "I73.9"): "ICD10CM//I73.9",
    ("http://hl7.org/fhir/sid/icd-10-cm", "I99.8"): "ICD10CM//I99.8",
    ("urn:hospital:codes", "I73.9"): "urn:hospital:codes//I73.9",
}
ABOVE = {"SNOMED//300": "SNOMED//100"}
CONCEPT = st.lists(st.sampled_from(sorted(CODINGS)), min_size=1, max_size=4, unique=True)
PEOPLE = st.lists(st.lists(CONCEPT, max_size=4), min_size=1, max_size=5)
PATTERNS = {"exact": ("ICD10CM//I73.9",), "prefix": ("ICD10CM//I73*", "SNOMED//200"), "below": ("<<SNOMED//100",)}


def _feature(name: str, aggregate: Any, codes: tuple[str, ...], kind: str = "condition") -> FeatureSpec:
    return FeatureSpec(name, "test", name, "1", "nothing", aggregate, codes=codes, absent=0.0, kind=kind)


CONDITIONS = Catalogue(
    tuple(_feature(f"{name}_{what}", what, codes) for name, codes in PATTERNS.items() for what in ("any", "count"))
)


def means(name: str, concept: list[tuple[str, str]]) -> bool:
    """Whether a concept means a list, by going through its codings and through nobody else's."""
    codes = [CODINGS[coding] for coding in concept]
    if name == "exact":
        return "ICD10CM//I73.9" in codes
    if name == "prefix":
        return any(code.startswith("ICD10CM//I73") or code == "SNOMED//200" for code in codes)
    return any(code == "SNOMED//100" or ABOVE.get(code) == "SNOMED//100" for code in codes)


def condition_rows(subject: int, concept: list[tuple[str, str]], chosen: int | None) -> list[dict[str, Any]]:
    codings: list[dict[str, Any]] = [{"system": system, "code": code} for system, code in concept]
    if chosen is not None:
        codings[chosen % len(codings)]["userSelected"] = True
    resource = {"resourceType": "Condition", "subject": {"reference": "Patient/p"}, "code": {"coding": codings},
                "onsetDateTime": "2010-01-01"}  # fmt: skip
    when = datetime(2010, 1, 1)
    return [
        {"subject_id": subject, "time": when, "available_time": when, "code": fact.coded.code,
         "codings": list(fact.coded.others) or None}
        for fact in map_resource("Condition", resource).facts if fact.coded is not None
    ]  # fmt: skip


@FAST
@given(PEOPLE, st.one_of(st.none(), st.integers(0, 3)), st.randoms(use_true_random=False))
def test_a_persons_codings_are_hers_in_any_order_and_a_fact_counts_once(
    people: list[list[list[tuple[str, str]]]], chosen: int | None, random: Any
) -> None:
    rows = [
        row for subject, facts in enumerate(people) for fact in facts for row in condition_rows(subject, fact, chosen)
    ]
    random.shuffle(rows)
    above = pa.table({"code": list(ABOVE), "ancestor": list(ABOVE.values())}, schema=ANCESTORS)
    record = Record.in_memory(pa.Table.from_pylist(rows, ROWS), ancestors=above)
    frame = build(Index.at(list(range(len(people))), AS_OF.isoformat()), record, catalogue=CONDITIONS)
    for name in PATTERNS:
        expected = [sum(means(name, fact) for fact in facts) for facts in people]
        assert frame.column(f"{name}_count").tolist() == expected
        assert frame.column(f"{name}_any").tolist() == [float(n > 0) for n in expected]


# --------------------------------------------------------------------------------------------- unknown is not no

DAY = timedelta(days=1)
READ_IN = {  # what a naive reader knows of each list: the vocabularies it can be read in, and whether below a concept
    "icd": (("ICD10CM//E11*", "ICD9CM//250.00"), {"ICD10CM", "ICD9CM"}, set[str]()),
    "snomed": (("<<SNOMED//44054006",), set[str](), {"SNOMED"}),
    "both": (("<<SNOMED//44054006", "ICD10CM//E11.9"), {"ICD10CM"}, {"SNOMED"}),
}
ABSENCE = Catalogue(
    tuple(
        _feature(f"{name}_{what}", what, codes) for name, (codes, _, _) in READ_IN.items() for what in ("any", "count")
    )
)
MOMENTS = st.integers(-2000, 2000).map(lambda n: AS_OF + n * DAY)
KINDS = st.dictionaries(
    st.sampled_from(["condition", "drug", "any"]),
    st.dictionaries(st.sampled_from(["SNOMED", "ICD10CM", "ICD9CM", "LOINC"]), MOMENTS, max_size=3),
    max_size=3,
)
EVENTS_OF_ONE = st.lists(
    st.tuples(MOMENTS, st.sampled_from(["ICD10CM//E11.9", "ICD10CM//I10", "SNOMED//44054006", "ICD9CM//250.00"])),
    max_size=5,
)


def told(name: str, kinds: dict[str, dict[str, datetime]], *, hierarchies: set[str]) -> bool:
    """Whether at AS_OF the record could have told of a condition of this list."""
    _, spelt, below = READ_IN[name]
    for kind, vocabularies in kinds.items():
        for vocabulary, first in vocabularies.items():
            readable = vocabulary in spelt or (vocabulary in below and vocabulary in hierarchies)
            if kind != "drug" and readable and first < AS_OF:
                return True
    return False


def row(moment: datetime, code: str) -> dict[str, Any]:
    return {"subject_id": 1, "time": moment, "available_time": moment, "code": code}


@FAST
@given(KINDS, st.sets(st.just("SNOMED")), EVENTS_OF_ONE)
def test_unknown_is_not_no_and_nothing_later_changes_that(
    kinds: dict[str, dict[str, datetime]], hierarchies: set[str], events: list[tuple[datetime, str]]
) -> None:
    said = {kind: {name: first.isoformat() for name, first in each.items()} for kind, each in kinds.items()}
    tells = Tells(said, frozenset(hierarchies))
    before = [row(*event) for event in events if event[0] < AS_OF]
    frames = [
        build(
            Index.at([1], AS_OF.isoformat()),
            Record.in_memory(pa.Table.from_pylist(some, EVENTS), tells=tells),
            catalogue=ABSENCE,
        )
        for some in (before, [row(*event) for event in events])
    ]
    np.testing.assert_array_equal(frames[0].values, frames[1].values)
    codes = [event["code"] for event in before]
    for name in READ_IN:
        mine = sum(
            (code in {"ICD10CM//E11.9", "ICD9CM//250.00"} and name == "icd")
            or (code == "SNOMED//44054006" and name != "icd")
            or (code == "ICD10CM//E11.9" and name == "both")
            for code in codes
        )
        absent = 0.0 if told(name, kinds, hierarchies=hierarchies) else math.nan
        np.testing.assert_equal(float(frames[0].column(f"{name}_count")[0]), float(mine) if mine else absent)
        np.testing.assert_equal(float(frames[0].column(f"{name}_any")[0]), 1.0 if mine else absent)


@FAST
@given(KINDS, EVENTS_OF_ONE)
def test_diabetes_of_any_type_is_never_below_type_2(
    kinds: dict[str, dict[str, datetime]], events: list[tuple[datetime, str]]
) -> None:
    said = {kind: {name: first.isoformat() for name, first in each.items()} for kind, each in kinds.items()}
    record = Record.in_memory(pa.Table.from_pylist([row(*one) for one in events], EVENTS), tells=Tells(said))
    frame = build(Index.at([1], AS_OF.isoformat()), record, catalogue=DIABETES)
    any_type, type_2 = float(frame.column("diabetes_ever")[0]), float(frame.column("type_2_diabetes_ever")[0])
    assert math.isnan(type_2) or any_type >= type_2


DIABETES = Catalogue(
    tuple(one for one in catalogue(["conditions"]).specs if one.name in {"diabetes_ever", "type_2_diabetes_ever"})
)

# ----------------------------------------------------------------------------------------------------- units

KNOWN_UNITS = [
    ("LOINC//4548-4", "mmol/mol", "%"),
    ("LOINC//4548-4", "%", "%"),
    ("LOINC//13457-7", "mmol/L", "mg/dL"),
    ("LOINC//13457-7", "mg/dL", "mg/dL"),
    ("LOINC//2160-0", "umol/L", "mg/dL"),
    ("LOINC//9318-7", "mg/mmol", "mg/g"),
    ("LOINC//9318-7", "mg/g", "mg/g"),
    ("LOINC//98979-8", "mL/min/1.73m2", "mL/min/{1.73_m2}"),
    ("LOINC//8480-6", "mm[Hg]", "mm[Hg]"),
    ("LOINC//39156-5", "kg/m2", "kg/m2"),
    ("LOINC//1988-5", "ug/mL", "mg/L"),
]
NOTE = st.text(st.sampled_from(string.ascii_letters + " _-.:"), max_size=12).filter(lambda note: "score" not in note)


def same(left: Any, right: Any) -> bool:
    """Two conversions that give the same value."""
    assert right is not None
    return left is not None and left(48.0) == pytest.approx(right(48.0), rel=1e-9)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KNOWN_UNITS), NOTE, st.data())
def test_an_annotation_behind_any_part_of_a_unit_changes_nothing(
    known: tuple[str, str, str], note: str, data: st.DataObject
) -> None:
    code, unit, target = known
    assume("1.73" not in unit)
    parts = unit.split("/")
    at = data.draw(st.integers(0, len(parts) - 1))
    parts[at] += f"{{{note}}}"
    assert same(conversion(code, "/".join(parts), target=target), conversion(code, unit, target=target))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KNOWN_UNITS), st.sampled_from([str.upper, str.lower, str.title, str]), st.data())
def test_case_and_blanks_of_a_unit_change_nothing(known: tuple[str, str, str], case: Any, data: st.DataObject) -> None:
    code, unit, target = known
    blanks = st.sampled_from(["", " ", "  "])
    written = "/".join(data.draw(blanks) + part + data.draw(blanks) for part in case(unit).split("/"))
    assert same(conversion(code, written, target=target), conversion(code, unit, target=target)), written


LATEST = catalogue(["measurements"]).only(one.name for one in measurements() if one.aggregate == "latest")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ANALYTES), st.floats(-1, 5, width=32), st.data())
def test_a_value_without_a_unit_is_read_only_where_it_can_be_in_no_other(
    analyte: Analyte, power: float, data: st.DataObject
) -> None:
    value = float(np.float32(data.draw(st.sampled_from([10.0**power, 10.0 ** (power / 3), 30.0, 5.4]))))
    when = datetime(2020, 2, 1)
    code = f"LOINC//{data.draw(st.sampled_from(analyte.loinc))}"
    one = row(when, code) | {"numeric_value": value}
    record = Record.in_memory(pa.Table.from_pylist([one], EVENTS))
    frame = build(Index.at([1], AS_OF.isoformat()), record, catalogue=LATEST)
    found = float(frame.column(f"{analyte.name}_latest_1825d")[0])
    low, high = analyte.valid
    elsewhere = False
    for unit, least, most in analyte.others:
        said = conversion(code, unit, target=analyte.unit)
        assert said is not None, unit
        elsewhere |= least <= value <= most and low <= said(value) <= high
    np.testing.assert_equal(math.isnan(found), elsewhere or not low <= value <= high, err_msg=f"{analyte.name} {value}")
