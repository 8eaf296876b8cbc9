"""Whom a FHIR resource is about: a reference has a type and a server, against a naive resolver in plain Python."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.sources.fhir import ingest
from features.sources.fhir.references import NOWHERE, Place, reference, resolved
from features.sources.fhir.servers import survivors
from features.sources.report import IngestReport

Json = dict[str, Any]
EventsOf = Callable[..., list[Json]]

HBA1C = {"coding": [{"system": "http://loinc.org", "code": "4548-4"}]}
PANEL = {"coding": [{"system": "http://loinc.org", "code": "24331-1"}]}
DIABETES = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "E11.9"}]}
SERVERS = ("https://a.example/fhir", "https://b.example/fhir", "https://b.example/fhir/tenant")
IDS = ("1", "01", "a", "A")


def observation(id_: str, subject: Json | None, value: float = 7.0, **more: Any) -> Json:
    return {
        "resourceType": "Observation", "id": id_, "status": "final", "code": HBA1C, "subject": subject,
        "effectiveDateTime": "2020-03-01", "valueQuantity": {"value": value, "code": "%"}, **more,
    }  # fmt: skip


def patient(id_: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": id_, "birthDate": "1960-01-01", **more}


def bundle(*entries: tuple[str | None, Json]) -> Json:
    held = [{"resource": one} if url is None else {"fullUrl": url, "resource": one} for url, one in entries]
    return {"resourceType": "Bundle", "type": "collection", "entry": held}


def of(base: str, one: Json) -> tuple[str, Json]:
    return f"{base}/{one['resourceType']}/{one['id']}", one


@pytest.fixture
def read(tmp_path: Path, events_of: EventsOf) -> Callable[..., tuple[IngestReport, dict[str, list[float]]]]:
    """The report, and the results of each person, of these resources, one file each line."""

    def ingested(*content: Json) -> tuple[IngestReport, dict[str, list[float]]]:
        (tmp_path / "source").mkdir()
        text = "\n".join(json.dumps(one) for one in content)
        (tmp_path / "source" / "all.ndjson").write_text(text + "\n", encoding="utf-8")
        report = ingest(tmp_path / "source", tmp_path / "record")
        found: dict[str, list[float]] = {}
        for row in events_of(tmp_path / "record", "LOINC//4548-4"):
            found.setdefault(row["person"], []).append(round(row["numeric_value"], 3))
        return report, {person: sorted(values) for person, values in found.items()}

    return ingested


Read = Callable[..., tuple[IngestReport, dict[str, list[float]]]]


Said = tuple[int, int, str, str, str]
said = st.tuples(
    st.integers(0, 2),
    st.integers(0, 2),
    st.sampled_from(["relative", "absolute", "version", "identifier", "http"]),
    st.sampled_from(["Patient", "Patient", "Patient", "Group", "Device"]),
    st.sampled_from(IDS),
)


def _written(one: Said) -> Json:
    _, other, style, kind, id_ = one
    styles: dict[str, Json] = {
        "relative": {"reference": f"{kind}/{id_}"},
        "absolute": {"reference": f"{SERVERS[other]}/{kind}/{id_}"},
        "version": {"reference": f"{SERVERS[other]}/{kind}/{id_}/_history/3"},
        "identifier": {"type": kind, "identifier": {"system": SERVERS[other], "value": id_}},
        "http": {"reference": f"{SERVERS[other]}/{kind}/{id_}".replace("https:", "http:")},
    }
    return styles[style]


def _naive(one: Said, patients: set[str]) -> str | None:
    """The address of the patient that a reference means, as one would look it up by hand."""
    own, other, style, kind, id_ = one
    base = SERVERS[own] if style == "relative" else SERVERS[other]
    address = urljoin(base + "/", f"{kind}/{id_}")
    return address if address in patients else None


@settings(
    max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    held=st.sets(st.tuples(st.integers(0, 2), st.sampled_from(IDS)), min_size=3),
    sayings=st.lists(said, min_size=10, max_size=40),
    seed=st.integers(0, 1000),
)
def test_results_of_several_servers_belong_to_whom_a_naive_reader_finds(
    held: set[tuple[int, str]], sayings: list[Said], seed: int, tmp_path_factory: pytest.TempPathFactory,
    events_of: EventsOf,
) -> None:  # fmt: skip
    held |= {(0, "1"), (1, "1")}  # two servers at least
    people = [
        of(SERVERS[n], patient(id_, identifier=[{"system": SERVERS[n], "value": id_}])) for n, id_ in sorted(held)
    ]
    results = [of(SERVERS[one[0]], observation(f"o{n}", _written(one), float(n + 1))) for n, one in enumerate(sayings)]
    entries: list[tuple[str | None, Json]] = [*people, *results]
    random.Random(seed).shuffle(entries)
    folder = tmp_path_factory.mktemp("servers")
    (folder / "source").mkdir()
    for number in range(0, len(entries), 7):
        text = json.dumps(bundle(*entries[number : number + 7]))
        (folder / "source" / f"{number:03}.json").write_text(text)
    report = ingest(folder / "source", folder / "record")
    patients = {address for address, _ in people}
    expected = [(address, float(n + 1)) for n, one in enumerate(sayings) if (address := _naive(one, patients))]
    found = [(row["person"], row["numeric_value"]) for row in events_of(folder / "record", "LOINC//4548-4")]
    assert sorted(found) == sorted(expected)
    assert report.people == len(patients)
    rejected = report.tables["Observation"].rejected if "Observation" in report.tables else {}
    assert sum(rejected.values()) == len(sayings) - len(expected)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=12))
def test_replaced_patients_lead_to_the_last_of_their_chain(links: list[tuple[int, int]]) -> None:
    present = frozenset(str(n) for n in range(7))  # 7 and 8 are not in the source
    found = survivors(((str(one), str(other)) for one, other in links), present)
    steps = {one: {other for left, other in links if left == one and other != one and other < 7} for one in range(9)}
    for one in range(9):
        reached: set[int] = set()
        front = steps[one]
        for _ in range(12):  # longer than any chain
            reached |= front
            front = {after for at in front for after in steps[at]}
        ends = {at for at in reached if not steps[at]}
        if len(ends) == 1:
            assert found[str(one)] == str(min(ends))
        elif len(ends) > 1:
            assert str(one) not in found
        if str(one) in found:
            assert found[str(one)] in present
            assert found[str(one)] not in found  # nobody stands in the place of one that is replaced


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ({"reference": "Patient/1"}, "//s/Patient/1"),
        ({"reference": "Patient/1/_history/4"}, "//s/Patient/1"),
        ({"reference": "https://T.example:443/r4/Patient/1"}, "//t.example/r4/Patient/1"),
        ({"reference": "http://t.example/r4//Patient/1/"}, "//t.example/r4/Patient/1"),
        ({"reference": "urn:uuid:x"}, "//s/Patient/9"),
        ({"reference": "urn:oid:1.2.3"}, "Patient/1.2.3"),
        ({"reference": "1"}, None),
        ({"reference": "1", "type": "Patient"}, "//s/Patient/1"),
        ({"reference": "patient/1"}, None),
        ({"reference": "Patient?identifier=mrn%7C17"}, "Patient?identifier:mrn|17"),
        ({"identifier": {"system": "mrn", "value": "17"}}, "Patient?identifier:mrn|17"),
        ({"type": "Group", "identifier": {"value": "17"}}, "Group?identifier:|17"),
        ({"type": "Group", "display": "the ward"}, "//s/Group/-"),
        ({"display": "Anna"}, None),
        ("Patient/1", None),
    ],
)
def test_a_reference_means_what_its_server_and_its_bundle_say(target: Any, key: str | None) -> None:
    place = Place("//s", {"urn:uuid:x": "//s/Patient/9"})
    assert resolved(reference(target), place, expected="Patient") == key
    assert resolved(None, NOWHERE, expected="Patient") is None


def test_what_is_about_a_group_a_device_or_a_place_is_nobodys(read: Read) -> None:
    nobody = [observation(kind, {"reference": f"{kind}/1"}) for kind in ("Group", "Device", "Location", "Smith")]
    report, found = read(patient("1"), *nobody, observation("o", {"reference": "Patient/1"}, 6.5))
    assert found == {"1": [6.5]}
    assert report.tables["Observation"].rejected == {
        "about a Device, not a person": 1,
        "about a Group, not a person": 1,
        "about a Location, not a person": 1,
        "about something that is no person": 1,
    }


def test_an_export_whose_references_all_name_one_server_is_that_servers(read: Read) -> None:
    mine = {"reference": f"{SERVERS[0]}/Patient/1"}
    _, found = read(patient("1"), observation("o", mine, 6.5))
    assert found == {"1": [6.5]}


def test_references_to_another_server_are_nobodys_whatever_their_id(read: Read) -> None:
    report, found = read(
        patient("1"),
        observation("o1", {"reference": "Patient/1"}, 6.5),
        observation("o2", {"reference": f"{SERVERS[0]}/Patient/1"}, 9.9),
    )
    assert found == {"1": [6.5]}
    assert report.tables["Observation"].rejected == {"person of a server that this source has no such patients of": 1}


def test_references_to_several_servers_fit_no_patient_that_says_none(read: Read) -> None:
    report, found = read(
        patient("1"), *(observation(f"o{n}", {"reference": f"{SERVERS[n]}/Patient/1"}) for n in range(2))
    )
    assert not found
    assert report.tables["Observation"].rejected == {"person of a server that this source has no such patients of": 2}


def test_a_reference_that_does_not_say_which_of_two_servers_is_nobodys(read: Read) -> None:
    report, found = read(
        bundle(of(SERVERS[0], patient("1"))),
        bundle(of(SERVERS[1], patient("1"))),
        observation("o", {"reference": "Patient/1"}),
    )
    assert not found
    assert report.tables["Observation"].rejected == {"several servers, and the reference does not say which": 1}


def test_an_encounter_and_a_medication_are_those_of_the_resources_own_server(
    tmp_path: Path, events_of: EventsOf
) -> None:
    entries = []
    for n, base in enumerate(SERVERS[:2]):
        who = {"reference": "Patient/1"}
        drug = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": f"{n}7"}]}
        entries += [
            of(base, patient("1")),
            of(base, {"resourceType": "Encounter", "id": "1", "status": "finished", "class": {"code": "IMP"},
                      "subject": who, "period": {"start": "2010-01-01", "end": f"2010-01-0{n + 3}T10:00:00Z"}}),
            of(base, {"resourceType": "Condition", "id": "1", "code": DIABETES, "subject": who,
                      "onsetDateTime": "2010-01-01", "encounter": {"reference": "Encounter/1"}}),
            of(base, {"resourceType": "Medication", "id": "1", "code": drug}),
            of(base, {"resourceType": "MedicationRequest", "id": "1", "status": "active", "intent": "order",
                      "subject": who, "authoredOn": "2010-02-01",
                      "medicationReference": {"reference": "Medication/1"}}),
        ]  # fmt: skip
    (tmp_path / "all.json").write_text(json.dumps(bundle(*entries)))
    ingest(tmp_path / "all.json", tmp_path / "record")
    rows = events_of(tmp_path / "record", "ICD10CM//E11.9", "RxNorm//07", "RxNorm//17")
    assert [(row["person"], row["code"], row["available_time"][:10]) for row in rows] == [
        (f"{SERVERS[0]}/Patient/1", "ICD10CM//E11.9", "2010-01-03"),
        (f"{SERVERS[0]}/Patient/1", "RxNorm//07", "2010-02-01"),
        (f"{SERVERS[1]}/Patient/1", "ICD10CM//E11.9", "2010-01-04"),
        (f"{SERVERS[1]}/Patient/1", "RxNorm//17", "2010-02-01"),
    ]


def test_what_is_said_of_a_replaced_patient_is_said_of_the_one_in_its_place(read: Read) -> None:
    def link(kind: str, other: str) -> list[Json]:
        return [{"type": kind, "other": {"reference": f"Patient/{other}"}}]

    report, found = read(
        patient("old", link=link("replaced-by", "new"), birthDate="1961-01-01"),
        patient("new", link=link("replaced-by", "newest")),
        patient("newest", link=link("replaces", "gone")),
        patient("other", link=link("seealso", "newest")),
        *(observation(who, {"reference": f"Patient/{who}"}, float(n)) for n, who in
          enumerate(("old", "new", "newest", "gone", "other"))),
    )  # fmt: skip
    assert found == {"newest": [0.0, 1.0, 2.0, 3.0], "other": [4.0]}
    assert report.people == 2
    assert report.tables["Patient"].rejected == {
        "replaced by another patient (what is said of it is that patient's)": 2
    }


def test_results_contained_in_a_report_are_those_of_its_person(read: Read) -> None:
    def held(id_: str, value: float, **more: Any) -> Json:
        one = observation(id_, None, value)
        return {**{name: what for name, what in one.items() if name not in ("subject", "effectiveDateTime")}, **more}

    report = {
        "resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": PANEL,
        "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2020-03-02",
        "contained": [
            held("x1", 6.1), held("x2", 6.2, subject={"reference": "Patient/1"}),
            held("x3", 6.3, subject={"reference": "Patient/2"}), held("x4", 6.4, subject={"reference": "Group/1"}),
            held("x5", 6.5, subject={"reference": "#who"}), held("x6", 6.6, status="cancelled"),
            {"resourceType": "Patient", "id": "who", "identifier": [{"system": "mrn", "value": "17"}]},
        ],
    }  # fmt: skip
    wrong = {**report, "id": "w", "status": "entered-in-error"}
    second = {**report, "id": "s", "subject": {"reference": "Patient/2"}, "contained": [held("x1", 7.1)]}
    found = read(
        patient("1", identifier=[{"system": "mrn", "value": "17"}]),
        patient("2"),
        bundle((None, bundle((None, report)))),
        {"resourceType": "Parameters", "parameter": [{"name": "p", "part": [{"name": "q", "resource": second}]}]},
        wrong,
    )
    assert found[1] == {"1": [6.1, 6.2, 6.5], "2": [7.1]}
    table = found[0].tables["Observation"]
    assert table.noted["contained in another resource (read as its person's)"] == 13
    assert table.rejected == {
        "about a Group, not a person": 2,
        "contained in a resource about another person": 1,
        "entered in error": 4,
        "status cancelled": 2,
    }


def test_a_newer_version_of_a_report_takes_the_place_of_what_the_older_contained(read: Read) -> None:
    def version(number: str, *values: float) -> Json:
        return {
            "resourceType": "DiagnosticReport", "id": "r", "status": "final", "code": PANEL,
            "meta": {"versionId": number}, "subject": {"reference": "Patient/1"},
            "contained": [observation(f"x{n}", None, value) for n, value in enumerate(values)],
        }  # fmt: skip

    _, found = read(patient("1"), version("1", 9.0, 9.1), version("2", 6.5))
    assert found == {"1": [6.5]}


def named(urn: str, id_: str, value: float, *identifiers: str) -> Json:
    """A bundle that calls its patient by a urn, as a sender of documents does, with one result."""
    who = patient(id_, identifier=[{"system": "mrn", "value": value} for value in identifiers])
    result = (f"urn:uuid:{urn}-o", observation(f"{urn}-o", {"reference": f"urn:uuid:{urn}"}, value))
    return bundle((f"urn:uuid:{urn}", who), result)


def test_an_id_that_two_senders_gave_is_one_persons_where_an_identifier_says_so(read: Read) -> None:
    _, found = read(named("a", "1", 5.0, "17"), named("b", "1", 6.0, "17", "18"), named("c", "1", 7.0, "18"))
    assert found == {"1": [5.0, 6.0, 7.0]}


def test_an_id_of_two_people_by_their_identifiers_is_nobodys_and_keeps_nobody_else_away(read: Read) -> None:
    report, found = read(
        named("a", "1", 5.0, "17"), named("b", "1", 6.0, "18"), named("c", "2", 7.0, "19"), named("d", "2", 8.0)
    )
    assert found == {"2": [7.0, 8.0]}
    assert report.tables["Patient"].rejected == {
        "an id of several patients: their bundles call them otherwise, and they share no identifier": 2,
        "repeats a row with the same key": 1,
    }
    assert report.tables["Observation"].rejected == {"person is not among the persons": 2}


def test_a_patient_called_by_her_id_is_one_in_every_bundle(read: Read) -> None:
    first, second = named("1", "1", 5.0, "17"), named("1", "1", 6.0, "18")
    second["entry"][1]["resource"]["id"] = "other"
    assert read(first, second)[1] == {"1": [5.0, 6.0]}


def test_a_contained_encounter_is_no_visit_and_its_end_is_when_its_container_was_known(
    tmp_path: Path, events_of: EventsOf
) -> None:
    visit = {"resourceType": "Encounter", "id": "e", "status": "finished", "class": {"code": "IMP"},
             "period": {"start": "2020-03-01T08:00:00", "end": "2020-03-09T10:00:00"}}  # fmt: skip
    inside = {"subject": {"reference": "Patient/1"}, "encounter": {"reference": "#e"}, "contained": [visit]}
    condition = {"resourceType": "Condition", "id": "c", "code": DIABETES, "recordedDate": "2020-03-02", **inside}
    procedure = {"resourceType": "Procedure", "id": "p", "status": "completed", "code": PANEL,
                 "performedDateTime": "2020-03-03", **inside}  # fmt: skip
    lines = [patient("1"), condition, procedure]
    (tmp_path / "all.ndjson").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    report = ingest(tmp_path / "all.ndjson", tmp_path / "record")
    rows = events_of(tmp_path / "record", "ICD10CM//E11.9", "LOINC//24331-1")
    assert [row["available_time"] for row in rows] == ["2020-03-09T10:00:00"] * 2
    assert not events_of(tmp_path / "record", "Visit//IP")
    assert report.tables["Encounter"].noted == {
        "contained in another resource (no visit of its own; the container was known at its end)": 2
    }
