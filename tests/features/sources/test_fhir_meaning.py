"""What FHIR's elements mean, in R4 and in the versions beside it: what is not understood is no plausible answer."""

from __future__ import annotations

from typing import Any

import pytest

from features.sources.checks import NEGATIVE_SUPPLY
from features.sources.fhir.codes import code_of, vocabulary
from features.sources.fhir.people import encounter
from features.sources.fhir.resources import map_resource
from features.sources.fhir.values import value_of

Json = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
CODE = {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]}
DRUG = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "83367"}]}


@pytest.mark.parametrize(
    ("part", "number", "text", "unit", "mended"),
    [
        ({"valueQuantity": {"value": 0, "code": "%"}}, 0.0, None, "%", None),
        ({"valueQuantity": {"value": -1.5, "code": "%"}}, -1.5, None, "%", None),
        ({"valueQuantity": {"value": 7, "unit": "mg/dL", "code": "17", "system": "urn:x"}}, 7.0, None, "mg/dL", None),
        ({"valueQuantity": {"value": 7, "unit": "x", "code": "mg/dL", "system": UCUM + "/"}}, 7.0, None, "mg/dL", None),
        ({"valueQuantity": {"value": 7, "comparator": ">="}}, 7.0, ">=", None, None),
        ({"valueQuantity": {"value": "high"}}, None, None, None, "value is not a finite number"),
        ({"valueRange": {"low": {"value": 6, "code": "%"}, "high": {"value": 7, "code": "%"}}}, None, "6-7 %", None,
         "value is a range (kept as text, without a number)"),
        ({"valueRange": {"low": {"value": 60}}}, None, "60-", None,
         "value is a range (kept as text, without a number)"),
        ({"valueRange": {"low": {"value": 6, "code": "%"}, "high": {"value": 6}}}, 6.0, None, "%", None),
        ({"valueRatio": {"numerator": {"value": 3}, "denominator": {"value": 0}}}, None, None, None,
         "value is not a finite number"),
        ({"valueSampledData": {"data": "1 2 3"}}, None, None, None,
         "value of a kind that is not read (kept without it)"),
        ({"valueAttachment": {}}, None, None, None, "value of a kind that is not read (kept without it)"),
        ({"valuePeriod": {"start": "2020", "end": "2021"}}, None, "2020/2021", None, None),
    ],
)  # fmt: skip
def test_a_value_is_the_number_it_says_or_it_is_said_why_not(
    part: Json, number: float | None, text: str | None, unit: str | None, mended: str | None
) -> None:
    found = value_of(part)
    assert (found.number, found.text, found.unit, found.mended) == (number, text, unit, mended)


@pytest.mark.parametrize(
    "absent",
    [
        {"dataAbsentReason": CODE},
        {"valueQuantity": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]}},
        {"_valueString": {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason"}]}},
    ],
)
def test_a_result_that_is_missing_for_a_reason_is_none(absent: Json) -> None:
    mapped = map_resource("Observation", {"code": CODE, "effectiveDateTime": "2020", **absent})
    assert (mapped.facts, mapped.reason) == ((), "no value (a reason is given)")


@pytest.mark.parametrize(
    ("kind", "content", "reason", "note"),
    [
        ("Condition", {"verificationStatus": {"coding": [{"code": "differential"}]}},
         "differential (one of several possible diagnoses)", None),
        ("Condition", {"verificationStatus": {"text": "Refuted"}}, "refuted", None),
        ("Condition", {"verificationStatus": {"text": "Entered in error"}}, "entered in error", None),
        ("Condition", {"verificationStatus": "refuted"}, "refuted", None),
        ("Condition", {"verificationStatus": {"coding": [{"code": "410516002"}]}}, "refuted", None),
        ("Condition", {"verificationStatus": {"coding": [{"code": "provisional"}]}}, None, "provisional (kept)"),
        ("Condition", {"verificationStatus": {"coding": [{"code": "maybe"}]}}, None,
         "verificationStatus is none of FHIR's (kept)"),
        ("Condition", {"clinicalStatus": {"coding": [{"code": "resolved"}]}}, None, None),
        ("Condition", {"modifierExtension": [{"url": "urn:not"}]}, "a modifier extension changes its meaning", None),
        ("MedicationStatement", {"taken": "n"}, "status not-taken", None),
        ("MedicationStatement", {"adherence": {"code": {"coding": [{"code": "not-taking"}]}}}, "status not-taken",
         None),
        ("MedicationRequest", {"intent": "option"}, "a proposal, a plan or a prohibition", None),
        ("Immunization", {"notGiven": True}, "status not-done", None),
        ("Procedure", {"notDone": True}, "status not-done", None),
    ],
)  # fmt: skip
def test_a_status_says_whether_a_fact_is_one(kind: str, content: Json, reason: str | None, note: str | None) -> None:
    whole = {"code": CODE, "vaccineCode": CODE, "medicationCodeableConcept": DRUG, **content}
    mapped = map_resource(kind, whole)
    assert (mapped.reason, mapped.note, bool(mapped.facts)) == (reason, note, reason is None)


@pytest.mark.parametrize(
    ("kind", "content", "start"),
    [
        ("Observation", {"effectiveTiming": {"event": ["2020-01-01", "2020-02-01"]}}, "2020-01-01"),
        ("Observation", {"effectiveTiming": {"repeat": {"boundsPeriod": {"start": "2020-01-03"}}}}, "2020-01-03"),
        ("Observation", {"effectiveInstant": "2020-01-01T10:00:00Z"}, "2020-01-01T10:00:00Z"),
        ("Procedure", {"occurrenceDateTime": "2020-01-01"}, "2020-01-01"),
        ("MedicationAdministration", {"occurencePeriod": {"start": "2020-01-01"}}, "2020-01-01"),
    ],
)
def test_dates_are_read_in_every_spelling_of_r4_and_r5(kind: str, content: Json, start: str) -> None:
    (fact,) = map_resource(kind, {"code": CODE, "medication": {"concept": DRUG}, "valueInteger": 1, **content}).facts
    assert fact.start == start


def test_a_drug_is_read_from_r5s_element_too() -> None:
    def fact(**content: Any) -> tuple[str | None, str | None, float | None, str | None]:
        (one,) = map_resource("MedicationRequest", {"authoredOn": "2020", **content}).facts
        return one.coded.code if one.coded else None, one.medication, one.number, one.mended

    held = [{"resourceType": "Medication", "id": "in", "code": DRUG}]
    assert fact(medication={"concept": DRUG}) == ("RxNorm//83367", None, None, None)
    assert fact(medication={"reference": {"reference": "Medication/1"}}) == (None, "Medication/1", None, None)
    assert fact(medication={"reference": {"reference": "#in"}}, contained=held) == ("RxNorm//83367", None, None, None)
    unknown = {"expectedSupplyDuration": {"value": 0, "code": "d"}}
    assert fact(medication={"concept": DRUG}, dispenseRequest=unknown)[2:] == (
        None,
        "days of supply that are none (left out)",
    )
    never = {"dispenseRequest": {"expectedSupplyDuration": {"value": -30, "code": "d"}}}
    assert map_resource("MedicationRequest", {"medication": {"concept": DRUG}, **never}).reason == NEGATIVE_SUPPLY


def test_a_visit_is_read_from_r5s_elements_too() -> None:
    emergency = {"coding": [{"code": "emd"}]}
    r5 = {
        "class": [{"coding": [{"code": "ours"}]}, {"coding": [{"code": "IMP"}]}],
        "actualPeriod": {"start": "2020-01-01", "end": "2020-01-03"},
        "admission": {"admitSource": emergency},
    }
    assert encounter(r5) == ("Visit//ERIP", "2020-01-01", "2020-01-03")
    assert encounter({"class": {"code": "AMB"}}).code == "Visit//OP"
    assert encounter({}).code == "Visit//unknown"


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("http://snomed.info/sct|http://snomed.info/sct/900000000000207008", "SNOMED"),
        ("http://snomed.info/sct/900000000000207008/version/20210131", "SNOMED"),
        (" https://loinc.org/ ", "LOINC"),
        ("http://loinc.org|2.72", "LOINC"),
        ("https://www.nlm.nih.gov/research/umls/rxnorm/", "RxNorm"),
        ("urn:OID:2.16.840.1.113883.6.96", "SNOMED"),
        ("http://fhir.de/CodeSystem/bfarm/icd-10-gm|2024", "ICD10GM"),
        ("http://hl7.org/fhir/sid/icd-10-cm|2023", "ICD10CM"),
        ("http://dmd.nhs.uk", "dm+d"),
        ("https://snomed.example/sct", "https://snomed.example/sct"),
        (" ", "unknown system"),
    ],
)
def test_a_code_system_is_known_in_each_of_its_spellings(system: str, name: str) -> None:
    assert vocabulary(system) == name


def test_a_term_behind_a_code_is_no_part_of_it() -> None:
    def snomed(code: str) -> str | None:
        return code_of({"system": "http://snomed.info/sct", "code": code})

    assert snomed("73211009 |Diabetes mellitus|") == snomed(" 73211009 ") == "SNOMED//73211009"
    expression = "413350009 |Finding with explicit context|:363698007=1"
    assert snomed(expression) == f"SNOMED//{expression}"
    assert snomed(" ") is None
