"""FHIR R4 into events: what each type of resource becomes, and what is kept out and counted."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.sources.fhir import ingest
from features.sources.fhir.codes import coded, vocabulary

Json = dict[str, Any]
EventsOf = Callable[..., list[Json]]
RejectsOf = Callable[[Path, str], list[tuple[Json, str, bool]]]
TablesOf = Callable[[Path], dict[str, pa.Table]]

LOINC, SNOMED, ICD = "http://loinc.org", "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM, CVX = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://hl7.org/fhir/sid/cvx"
ANNA = {"reference": "Patient/anna"}


def concept(system: str, code: str, text: str | None = None) -> Json:
    return {"coding": [{"system": system, "code": code, "display": text or code}]}


def resource(kind: str, id_: str, **content: Any) -> Json:
    return {"resourceType": kind, "id": id_, **content}


def anna(**more: Any) -> Json:
    return resource("Patient", "anna", gender="female", birthDate="1960-03-05", **more)


def observation(id_: str, when: str = "2010-05-04", **more: Any) -> Json:
    known = {"status": "final", "code": concept(LOINC, "4548-4"), "subject": ANNA, "effectiveDateTime": when}
    return resource("Observation", id_, **{**known, **more})


def ndjson(folder: Path, resources: Iterable[Json]) -> Path:
    """A bulk export: one file a type."""
    folder.mkdir(parents=True, exist_ok=True)
    for one in resources:
        with (folder / f"{one['resourceType']}.ndjson").open("a") as file:
            file.write(json.dumps(one) + "\n")
    return folder


@pytest.fixture
def events(tmp_path: Path, events_of: EventsOf) -> Callable[..., list[Json]]:
    """The events of Anna's resources: `events(resource, ..., codes=[...])`."""

    def read(*resources: Json, codes: tuple[str, ...] = ()) -> list[Json]:
        ingest(ndjson(tmp_path / "source", [anna(), *resources]), tmp_path / "record")
        return events_of(tmp_path / "record", *codes)

    return read


Events = Callable[..., list[Json]]


def test_a_patient_has_birth_death_and_static_facts(tmp_path: Path, events_of: EventsOf) -> None:
    omb = "urn:oid:2.16.840.1.113883.6.238"
    us_core = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
    person = anna(
        deceasedDateTime="2020-01-02T03:04:05+01:00",
        managingOrganization={"reference": "Organization/o1"},
        generalPractitioner=[{"reference": "Practitioner/d9"}],
        extension=[
            {
                "url": us_core + "race",
                "extension": [{"url": "ombCategory", "valueCoding": {"system": omb, "code": "2106-3"}}],
            },
            {"url": us_core + "ethnicity", "extension": [{"url": "text", "valueString": "Frisian"}]},
        ],
    )
    clinic = resource("Organization", "o1", identifier=[{"system": "x", "value": "NORTH"}])
    ingest(ndjson(tmp_path / "source", [person, clinic]), tmp_path / "record")
    rows = [
        (row["code"], row["time"], row["available_time"], row["text_value"]) for row in events_of(tmp_path / "record")
    ]
    assert rows == [
        ("MEDS_BIRTH", "1960-03-05T00:00:00", "1960-03-05T00:00:00", None),
        ("MEDS_DEATH", "2020-01-02T03:04:05", "2020-01-02T03:04:05", None),
        ("CARE_SITE", None, None, "NORTH"),
        ("Ethnicity//Frisian", None, None, None),
        ("Gender//F", None, None, None),
        ("PROVIDER", None, None, "d9"),
        ("Race//5", None, None, None),
    ]


def test_every_race_of_the_catalogue_is_read_other_race_as_well(tmp_path: Path, events_of: EventsOf) -> None:
    omb = "urn:oid:2.16.840.1.113883.6.238"  # https://terminology.hl7.org/CodeSystem-CDCREC.html
    codes = ("1002-5", "2028-9", "2054-5", "2076-8", "2106-3", "2131-1")
    people = [
        anna(
            id=f"p{number}",
            extension=[
                {
                    "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
                    "extension": [{"url": "ombCategory", "valueCoding": {"system": omb, "code": code}}],
                }
            ],
        )
        for number, code in enumerate(codes, 1)
    ]
    ingest(ndjson(tmp_path / "source", people), tmp_path / "record")
    races = tuple(f"Race//{number}" for number in range(1, 7))
    assert [(row["person"], row["code"]) for row in events_of(tmp_path / "record", *races)] == [
        (f"p{number}", f"Race//{number}") for number in range(1, 7)
    ]


def test_a_diagnosis_is_known_at_the_end_of_its_encounter_or_when_it_was_recorded(events: Events) -> None:
    def diagnosis(id_: str, **more: Any) -> Json:
        return resource("Condition", id_, code=concept(ICD, "E11.9"), subject=ANNA, **more)

    visit = resource(
        "Encounter",
        "e1",
        status="finished",
        **{"class": {"code": "IMP"}},
        subject=ANNA,
        period={"start": "2010-01-01", "end": "2010-01-06T14:00:00Z"},
        hospitalization={"admitSource": concept("http://terminology.hl7.org/CodeSystem/admit-source", "emd")},
    )
    rows = events(
        visit,
        diagnosis("c1", onsetDateTime="2010-01-01", encounter={"reference": "Encounter/e1"}),
        diagnosis("c2", onsetDateTime="2011-01-01", recordedDate="2011-03-01"),
        diagnosis("c3", onsetDateTime="2012-05"),
        diagnosis("c4", onsetDateTime="2013"),
        diagnosis("c5", recordedDate="2014-01-01T10:00:00+00:00", onsetString="childhood"),
        codes=("ICD10CM//E11.9", "Visit//ERIP", "VISIT_END//ERIP"),
    )
    assert [(row["code"], row["time"], row["available_time"]) for row in rows] == [
        ("ICD10CM//E11.9", "2010-01-01T00:00:00", "2010-01-06T14:00:00"),
        ("Visit//ERIP", "2010-01-01T00:00:00", "2010-01-01T23:59:59.999999"),
        ("VISIT_END//ERIP", "2010-01-06T14:00:00", "2010-01-06T14:00:00"),
        ("ICD10CM//E11.9", "2011-01-01T00:00:00", "2011-03-01T23:59:59.999999"),
        ("ICD10CM//E11.9", "2012-05-01T00:00:00", "2012-05-31T23:59:59.999999"),
        ("ICD10CM//E11.9", "2013-01-01T00:00:00", "2013-12-31T23:59:59.999999"),
        ("ICD10CM//E11.9", "2014-01-01T10:00:00", "2014-01-01T10:00:00"),
    ]
    assert rows[2]["numeric_value"] == 5.0


def test_values_of_observations(events: Events) -> None:
    quantity = {"value": 7.5, "unit": "percent", "system": "http://unitsofmeasure.org", "code": "%"}
    rows = events(
        observation("1", "2010-01-01", valueQuantity=quantity, issued="2010-01-03T12:00:00Z"),
        observation("2", "2010-01-02", valueQuantity={**quantity, "comparator": "<", "code": None}),
        observation("3", "2010-01-03", valueCodeableConcept=concept(SNOMED, "10828004", "Positive")),
        observation("4", "2010-01-04", valueString="haemolysed"),
        observation("5", "2010-01-05", valueBoolean=True),
        observation("6", "2010-01-06", valueInteger=4),
        observation("7", "2010-01-07", valueRatio={"numerator": {"value": 3}, "denominator": {"value": 2}}),
        observation("8", "2010-01-08", dataAbsentReason=concept("x", "unknown")),
        observation("9", "2010-01-09"),
        codes=("LOINC//4548-4",),
    )
    assert [(row["numeric_value"], row["text_value"], row["unit"]) for row in rows] == [
        (7.5, None, "%"),
        (7.5, "<", "percent"),
        (None, "Positive", None),
        (None, "haemolysed", None),
        (1.0, None, None),
        (4.0, None, None),
        (1.5, None, None),
        (None, None, None),
    ]
    assert rows[0]["available_time"] == "2010-01-03T12:00:00"


def test_a_panel_is_told_by_its_components(events: Events) -> None:
    def part(code: str, **more: Any) -> Json:
        return {"code": concept(LOINC, code), **more}

    pressure = observation(
        "bp",
        code=concept(LOINC, "85354-9"),
        component=[
            part("8480-6", valueQuantity={"value": 120, "code": "mm[Hg]"}),
            part("8462-4", dataAbsentReason=concept("x", "error")),
        ],
    )
    rows = events(pressure, codes=("LOINC//85354-9", "LOINC//8480-6", "LOINC//8462-4"))
    assert [(row["code"], row["numeric_value"], row["unit"]) for row in rows] == [("LOINC//8480-6", 120.0, "mm[Hg]")]


def test_medicines_are_prescribed_given_and_stated(events: Events) -> None:
    statin = concept(RXNORM, "83367")
    rows = events(
        resource("Medication", "m1", code=statin),
        resource(
            "MedicationRequest",
            "r1",
            status="completed",
            intent="order",
            subject=ANNA,
            authoredOn="2010-01-01",
            medicationReference={"reference": "Medication/m1"},
            dispenseRequest={"expectedSupplyDuration": {"value": 2, "code": "wk"}},
        ),
        resource(
            "MedicationRequest",
            "r2",
            status="active",
            intent="order",
            subject=ANNA,
            authoredOn="2010-01-02",
            contained=[{"resourceType": "Medication", "id": "in", "code": statin}],
            medicationReference={"reference": "#in"},
        ),
        resource(
            "MedicationAdministration",
            "a1",
            status="completed",
            subject=ANNA,
            effectivePeriod={"start": "2010-01-03T10:00:00Z", "end": "2010-01-03T11:00:00Z"},
            medicationCodeableConcept=statin,
        ),
        resource(
            "MedicationStatement",
            "s1",
            status="active",
            subject=ANNA,
            effectiveDateTime="2009",
            dateAsserted="2010-01-04",
            medicationCodeableConcept={"text": "little white pill"},
        ),
        resource("Immunization", "i1", status="completed", patient=ANNA, occurrenceDateTime="2010-01-05",
                 vaccineCode=concept(CVX, "140")),
        codes=("RxNorm//83367", "Source/drug//little white pill", "CVX//140"),
    )  # fmt: skip
    assert [(row["code"], row["time"][:10], row["available_time"][:10], row["numeric_value"]) for row in rows] == [
        ("Source/drug//little white pill", "2009-01-01", "2010-01-04", None),
        ("RxNorm//83367", "2010-01-01", "2010-01-01", 14.0),
        ("RxNorm//83367", "2010-01-02", "2010-01-02", None),
        ("RxNorm//83367", "2010-01-03", "2010-01-03", None),
        ("CVX//140", "2010-01-05", "2010-01-05", None),
    ]


def test_relatives_and_allergies_are_not_the_person_and_not_the_drug(events: Events) -> None:
    role = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
    rows = events(
        resource(
            "FamilyMemberHistory",
            "f1",
            status="completed",
            patient=ANNA,
            date="2010-01-01",
            relationship=concept(role, "MTH"),
            condition=[{"code": concept(ICD, "I21.9")}, {"code": concept(ICD, "E11.9")}],
        ),
        resource("AllergyIntolerance", "g1", patient=ANNA, recordedDate="2010-01-02", code=concept(RXNORM, "7980")),
    )
    dated = [
        (row["code"], row["text_value"], row["numeric_value"]) for row in rows if row["time"] and "2010" in row["time"]
    ]
    assert dated == [
        ("FAMILY_HISTORY//ICD10CM//E11.9", "MTH", 1.0),
        ("FAMILY_HISTORY//ICD10CM//I21.9", "MTH", 1.0),
        ("OBSERVATION_PERIOD//START", None, None),
        ("ALLERGY//RxNorm//7980", None, None),
        ("OBSERVATION_PERIOD//END", None, None),
    ]


def test_several_codings_are_one_event_that_keeps_them_all(events: Events, tmp_path: Path) -> None:
    both = {
        "coding": [
            {"system": "https://hospital.example/codes", "code": "DM2"},
            {"system": SNOMED, "code": "44054006", "display": "Type 2 diabetes"},
            {"system": ICD, "code": "E11.9"},
        ]
    }
    rows = events(resource("Condition", "c1", code=both, subject=ANNA, onsetDateTime="2010-01-01"))
    assert [row["code"] for row in rows if row["time"] == "2010-01-01T00:00:00"] == [
        "OBSERVATION_PERIOD//END",
        "OBSERVATION_PERIOD//START",
        "SNOMED//44054006",
    ]
    (diagnosis,) = [row for row in rows if row["code"] == "SNOMED//44054006"]
    assert diagnosis["codings"] == ["ICD10CM//E11.9", "https://hospital.example/codes//DM2"]
    assert not pq.read_table(tmp_path / "record" / "metadata" / "ancestors.parquet").num_rows
    codes = {row["code"]: row for row in pq.read_table(tmp_path / "record" / "metadata" / "codes.parquet").to_pylist()}
    assert codes["SNOMED//44054006"]["description"] == "Type 2 diabetes"


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("http://snomed.info/sct", "SNOMED"),
        ("urn:oid:2.16.840.1.113883.6.1", "LOINC"),
        ("http://www.cms.gov/Medicare/Coding/ICD10", "ICD10PCS"),
        ("http://www.ama-assn.org/go/cpt", "CPT4"),
        ("http://www.whocc.no/atc", "ATC"),
        ("urn:oid:1.2.3", "urn:oid:1.2.3"),
        ("https://hospital.example/codes/", "https://hospital.example/codes"),
        (None, "unknown system"),
    ],
)
def test_code_systems_have_the_names_of_vocabularies_and_unknown_ones_survive(system: str | None, name: str) -> None:
    assert vocabulary(system) == name


def test_the_coding_its_user_chose_is_the_code() -> None:
    chosen = {"system": "urn:x", "code": "A", "userSelected": True}
    found = coded({"coding": [{"system": SNOMED, "code": "1"}, chosen]}, text_prefix="T")
    assert found is not None
    assert (found.code, found.others) == ("urn:x//A", ("SNOMED//1",))
    assert coded({"coding": [{"system": SNOMED}]}, text_prefix="T") is None


KEPT_OUT = [
    ("Condition", {"verificationStatus": concept("v", "entered-in-error")}, "entered in error"),
    ("Condition", {"verificationStatus": concept("v", "refuted")}, "refuted"),
    ("AllergyIntolerance", {"verificationStatus": concept("v", "refuted")}, "refuted"),
    ("Observation", {"status": "entered-in-error"}, "entered in error"),
    ("Observation", {"status": "cancelled"}, "status cancelled"),
    ("Procedure", {"status": "not-done"}, "status not-done"),
    ("Immunization", {"status": "not-done"}, "status not-done"),
    ("MedicationRequest", {"status": "cancelled"}, "status cancelled"),
    ("MedicationRequest", {"status": "active", "intent": "plan"}, "a proposal, a plan or a prohibition"),
    ("MedicationRequest", {"status": "active", "doNotPerform": True}, "a proposal, a plan or a prohibition"),
    ("MedicationStatement", {"status": "not-taken"}, "status not-taken"),
    ("DiagnosticReport", {"status": "entered-in-error"}, "entered in error"),
    ("FamilyMemberHistory", {"status": "entered-in-error"}, "entered in error"),
    ("Encounter", {"status": "planned"}, "status planned"),
    ("Coverage", {"status": "cancelled"}, "status cancelled"),
]


def test_what_is_in_error_refuted_or_never_happened_is_kept_out_and_counted(
    tmp_path: Path, events_of: EventsOf, rejects_of: RejectsOf
) -> None:
    everything = {
        "code": concept(SNOMED, "1"),
        "vaccineCode": concept(CVX, "1"),
        "medicationCodeableConcept": concept(RXNORM, "1"),
        "subject": ANNA,
        "onsetDateTime": "2010-01-01",
        "effectiveDateTime": "2010-01-01",
        "authoredOn": "2010-01-01",
        "period": {"start": "2010-01-01", "end": "2011-01-01"},
        "valueInteger": 1,
    }
    sources = [resource(kind, str(n), **{**everything, **what}) for n, (kind, what, _) in enumerate(KEPT_OUT)]
    report = ingest(ndjson(tmp_path / "source", [anna(), *sources]), tmp_path / "record")
    assert {row["code"] for row in events_of(tmp_path / "record")} == {"MEDS_BIRTH", "Gender//F"}
    for kind in {kind for kind, _, _ in KEPT_OUT}:
        expected = [reason for other, _, reason in KEPT_OUT if other == kind]
        assert sorted(report.tables[kind].rejected.elements()) == sorted(expected)
        kept = [reason for row, reason, _ in rejects_of(tmp_path / "record", kind) if row["resourceType"] == kind]
        assert sorted(kept) == sorted(expected)


def test_coverage_is_enrolment_and_without_it_the_first_event_to_the_export(
    tmp_path: Path, events_of: EventsOf
) -> None:
    def coverage(id_: str, start: str | None, end: str | None) -> Json:
        return resource("Coverage", id_, status="active", beneficiary=ANNA, period={"start": start, "end": end})

    source = ndjson(
        tmp_path / "source",
        [
            anna(),
            coverage("1", "2000-01-01", "2001-12-31"),
            coverage("2", "2002-01-01", "2002-06-30"),
            coverage("3", "2010-01-01", None),
            coverage("4", "2009-01-01", "2008-01-01"),
            coverage("5", None, "2008-01-01"),
            resource("Patient", "bert"),
            observation("1", "2012-01-01", subject={"reference": "Patient/bert"}, valueInteger=1),
            observation("2", "2013-01-01", subject={"reference": "Patient/bert"}, valueInteger=1),
        ],
    )
    done = {"eventId": "status_complete", "eventDetail": {"transactionTime": "2015-08-06T18:12:57Z"}}
    counted = {"eventId": "download_complete", "eventDetail": {"resourceType": "Coverage", "resourceCount": 6}}
    (source / "log.ndjson").write_text("\n".join(json.dumps(entry) for entry in (done, counted)))
    report = ingest(source, tmp_path / "record")
    rows = events_of(tmp_path / "record", "OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END")
    assert [(row["person"], row["time"][:10]) for row in rows] == [
        ("anna", "2000-01-01"),
        ("anna", "2002-06-30"),
        ("anna", "2010-01-01"),
        ("anna", "2015-08-06"),
        ("bert", "2012-01-01"),
        ("bert", "2015-08-06"),
    ]
    table = report.tables["Coverage"]
    assert table.rejected == {"ends before it starts": 1, "no date": 1}
    assert table.noted == {
        "people without Coverage: enrolled from their first event to death or the day of the export": 1,
        "resources more or fewer than the export's log counts": 1,
    }


BAD_LINES = [
    b'{"resourceType": "Observation", "id": "broken"',
    b"[1, 2]",
    b'{"id": "typeless"}',
    b'{"resourceType": "Observation", "id": "misshapen", "status": "final", "component": 5}',
]


def test_bad_input_is_counted_set_aside_and_never_stops_the_rest(tmp_path: Path, events_of: EventsOf) -> None:
    person = anna(deceasedDateTime="2015-01-01")
    source = ndjson(
        tmp_path / "source",
        [
            person,
            resource("Patient", "late", birthDate="2000-01-01", deceasedDateTime="1999-01-01"),
            resource("Patient", "odd", birthDate="not a date"),
            resource("Patient", "gone", deceasedBoolean=True),
            observation("ok", valueInteger=1, meta={"lastUpdated": "2019-01-01T00:00:00Z"}),
            observation("ok", valueInteger=2, meta={"lastUpdated": "2020-01-01T00:00:00Z"}),
            observation("early", "1950-01-01", valueInteger=1),
            observation("after", "2016-01-01", valueInteger=1),
            observation("soon", "2015-02-01", valueInteger=1),
            observation("when", "yesterday", valueInteger=1),
            observation("never", "", valueInteger=1),
            observation("who", subject={"reference": "Patient/nobody"}, valueInteger=1),
            observation("nobody", subject=None, valueInteger=1),
            observation("code", code={}, valueInteger=1),
            observation("huge", valueQuantity={"value": 1e300}),
            resource("MedicationRequest", "lost", status="active", intent="order", subject=ANNA,
                     authoredOn="2010-01-01", medicationReference={"reference": "Medication/none"}),
        ],
    )  # fmt: skip
    with (source / "Observation.ndjson").open("ab") as file:
        file.write(b"\n".join(BAD_LINES) + b"\n\n")
    report = ingest(source, tmp_path / "record")
    table = report.tables["Observation"]
    assert table.rejected == {
        "broken JSON": 1,
        "not a FHIR resource": 2,
        "not shaped as FHIR says": 1,
        "repeats a row with the same key": 1,
        "before birth": 1,
        "more than 60 days after death": 1,
        "date is not a date of 1800 to 2249": 1,
        "no date": 1,
        "person is not among the persons": 1,
        "no person, or not a valid id": 1,
        "no code": 1,
    }
    assert table.mended == {"value is not a finite number": 1}
    assert table.noted == {"after death (kept)": 1}
    assert table.rows == 11 + len(BAD_LINES)
    assert report.tables["MedicationRequest"].rejected == {"no code": 1}
    assert report.tables["Patient"].mended == {
        "birth date is not a date of 1800 to 2249": 1,
        "death before birth (death left out)": 1,
        "died, nobody says when": 1,
    }
    assert report.people == 2
    rows = events_of(tmp_path / "record", "LOINC//4548-4")
    # Of two resources with one id the one updated last counts.
    values = sorted((row["time"][:10], str(row["numeric_value"])) for row in rows)
    assert values == [("2010-05-04", "2.0"), ("2010-05-04", "None"), ("2015-02-01", "1.0")]
    kept = pq.read_table(tmp_path / "record" / "rejects" / "fhir" / "Observation.parquet").to_pylist()
    assert len(kept) == sum(table.rejected.values()) + sum(table.mended.values())
    assert BAD_LINES[0].decode() in {row["source_row"] for row in kept}


def test_a_file_that_breaks_off_loses_only_what_is_missing(tmp_path: Path) -> None:
    source = ndjson(tmp_path / "source", [anna()])
    many = b"\n".join(json.dumps(observation(str(n), valueInteger=n)).encode() for n in range(5_000))
    (source / "Observation.ndjson.gz").write_bytes(gzip.compress(many)[:-20_000])
    report = ingest(source, tmp_path / "record")
    assert 0 < report.tables["Observation"].events < 5_000
    assert report.tables["Observation"].rejected["broken JSON"] >= 1


def _urn_bundle(resources: list[Json]) -> bytes:
    """A transaction as Synthea writes it: resources refer to each other by `urn:uuid`, and have no id of their own."""
    text = json.dumps(resources)
    for one in resources:
        text = text.replace(f'"{one["resourceType"]}/{one["id"]}"', f'"urn:uuid:{one["id"]}"')
    entries = [{"fullUrl": f"urn:uuid:{one['id']}", "resource": one} for one in json.loads(text)]
    for entry in entries:
        del entry["resource"]["id"]
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries}).encode()


def _url_bundle(resources: list[Json]) -> bytes:
    base = "https://fhir.example/r4"
    text = json.dumps(resources)
    for one in resources:
        name = f"{one['resourceType']}/{one['id']}"
        text = text.replace(f'"{name}"', f'"{base}/{name}"')
    entries = [{"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one} for one in json.loads(text)]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def _logical(resources: list[Json]) -> bytes:
    """References by the patient's identifier."""
    text = json.dumps(resources).replace(
        '"reference": "Patient/anna"', '"identifier": {"system": "mrn", "value": "17"}'
    )
    return b"\n".join(json.dumps(one).encode() for one in json.loads(text))


SMALL_EXPORT = [
    anna(identifier=[{"system": "mrn", "value": "17"}]),
    resource(
        "Encounter",
        "e1",
        status="finished",
        **{"class": {"code": "AMB"}},
        subject=ANNA,
        period={"start": "2010-01-01T10:00:00Z", "end": "2010-01-01T11:00:00Z"},
    ),
    resource(
        "Condition",
        "c1",
        code=concept(ICD, "E11.9"),
        subject=ANNA,
        onsetDateTime="2010-01-01",
        encounter={"reference": "Encounter/e1"},
    ),
    observation("o1", valueInteger=1),
]


@pytest.fixture(scope="module")
def bulk_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bulk")
    ingest(ndjson(folder / "source", SMALL_EXPORT), folder / "record")
    return folder / "record"


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (_urn_bundle, "b.json"),
        (_url_bundle, "b.json.gz"),
        (_logical, "all.ndjson"),
        (_url_bundle, "bundles.zip"),
    ],
)
def test_bundles_and_bulk_files_of_the_same_people_give_the_same_record(
    write: Callable[[list[Json]], bytes], name: str, tmp_path: Path, bulk_record: Path, tables_of: TablesOf
) -> None:
    text = write(SMALL_EXPORT)
    source = tmp_path / "other"
    source.mkdir()
    if name.endswith(".zip"):
        source = source / name
        with zipfile.ZipFile(source, "w") as archive:
            archive.writestr("people/anna.json", text)
            archive.writestr("people/readme.txt", "nothing")
    else:
        (source / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    ingest(source, tmp_path / "record")
    first, second = tables_of(bulk_record), tables_of(tmp_path / "record")
    assert first.keys() == second.keys()
    for table, content in first.items():
        assert content.equals(second[table]), table


def test_a_source_without_fhir_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PresageError, match="expected a source in FHIR, found no such file or folder"):
        ingest(tmp_path / "nowhere", tmp_path / "record")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "notes.txt").write_text("hello")
    with pytest.raises(PresageError, match="source: expected at least one FHIR file, found none"):
        ingest(tmp_path / "source", tmp_path / "record")
