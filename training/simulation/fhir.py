"""The record of some simulated people as FHIR R4: one transaction bundle per person, from the OMOP tables.

Ids are those of the OMOP tables, so that both records can be told to be of the same people. A date without a clock time
stays one; clock times are UTC. Enrolment is a Coverage; an admission through the emergency room is an inpatient
Encounter whose admit source says so. Conditions have SNOMED CT first and ICD-10-CM second, drugs the numbers and names
of RxNorm's products.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

Json = dict[str, object]
Row = Mapping[str, object]

PRESAGE_SYSTEM = "urn:presage:vocabulary"
MRN_SYSTEM = "https://presage.invalid/simulated/mrn"
SYSTEMS = {
    "ICD10CM": "http://hl7.org/fhir/sid/icd-10-cm",
    "SNOMED": "http://snomed.info/sct",
    "LOINC": "http://loinc.org",
    "RxNorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "Presage": PRESAGE_SYSTEM,
}
UCUM = "http://unitsofmeasure.org"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
_OMB = "urn:oid:2.16.840.1.113883.6.238"

# OMOP's Race and Ethnicity codes to OMB categories (HL7 US Core).
_RACE = {
    "5": ("2106-3", "White"),
    "3": ("2054-5", "Black or African American"),
    "2": ("2028-9", "Asian"),
}
_ETHNICITY = {
    "Hispanic": ("2135-2", "Hispanic or Latino"),
    "Not Hispanic": ("2186-5", "Not Hispanic or Latino"),
}
# Encounter class (HL7 v3 ActCode) by OMOP visit code.
_CLASS = {
    "OP": ("AMB", "ambulatory"),
    "ER": ("EMER", "emergency"),
    "IP": ("IMP", "inpatient encounter"),
    "ERIP": ("IMP", "inpatient encounter"),
}
_SMOKING = {
    "never": ("266919005", "Never smoked tobacco"),
    "former": ("8517006", "Ex-smoker"),
    "current": ("77176002", "Smoker"),
}
VITAL_SIGNS = {"8480-6", "8462-4", "39156-5"}


@dataclass(frozen=True, slots=True)
class _Concept:
    vocabulary: str
    code: str
    name: str


Concepts = Mapping[int, _Concept]


@dataclass(frozen=True, slots=True)
class _Names:
    """Source value (the id in FHIR) and name of sites and doctors, by OMOP id."""

    sites: Mapping[int, tuple[str, str]]
    providers: Mapping[int, tuple[str, str]]

    def of_site(self, row: Row) -> tuple[str, str]:
        return self.sites[int(str(row["care_site_id"]))]

    def of_provider(self, row: Row) -> tuple[str, str]:
        return self.providers[int(str(row["provider_id"]))]


def write_fhir(folder: Path, tables: Mapping[str, pa.Table], *, person_ids: Sequence[int]) -> None:
    """Write person-<id>.json for each of these people. `tables`: OMOP CDM 5.4, by table name."""
    folder.mkdir(parents=True, exist_ok=True)
    for person, bundle in zip(person_ids, bundles(tables, person_ids), strict=True):
        text = json.dumps(bundle, ensure_ascii=False, separators=(",", ":"))
        (folder / f"person-{person:07d}.json").write_text(text + "\n", encoding="utf-8", newline="\n")


def bundles(tables: Mapping[str, pa.Table], person_ids: Sequence[int]) -> Iterable[Json]:
    """The bundles of these people, in their order."""
    concepts = _concepts(tables)
    names = _Names(_names(tables, "care_site"), _names(tables, "provider"))
    wanted = pa.array(person_ids, pa.int64())
    rows = {name: _by_person(tables[name], wanted) for name in ("person", "death", "visit_occurrence", *_MAKERS)}
    for person in person_ids:
        deaths = rows["death"].get(person, [])
        (row,) = rows["person"][person]
        resources = [*_surroundings(row, names), _patient(row, deaths, concepts=concepts, names=names)]
        resources += [_encounter(row, concepts, names=names) for row in rows["visit_occurrence"].get(person, [])]
        for name, make in _MAKERS.items():
            resources += [make(row, concepts) for row in rows[name].get(person, [])]
        yield {"resourceType": "Bundle", "type": "transaction", "entry": [_entry(r) for r in resources]}


def _concepts(tables: Mapping[str, pa.Table]) -> dict[int, _Concept]:
    return {
        row["concept_id"]: _Concept(row["vocabulary_id"], row["concept_code"], row["concept_name"])
        for row in tables["concept"].to_pylist()
    }


def _by_person(table: pa.Table, wanted: pa.Array) -> dict[int, list[Row]]:
    held: dict[int, list[Row]] = {}
    for row in table.filter(pc.is_in(table["person_id"], wanted)).to_pylist():
        held.setdefault(row["person_id"], []).append(row)
    return held


def _entry(resource: Json) -> Json:
    name = f"{resource['resourceType']}/{resource['id']}"
    return {
        "fullUrl": f"https://presage.invalid/simulated/fhir/{name}",
        "resource": resource,
        "request": {"method": "PUT", "url": name},
    }


def _names(tables: Mapping[str, pa.Table], name: str) -> dict[int, tuple[str, str]]:
    """Source value and name by id, of a CARE_SITE or PROVIDER."""
    return {row[f"{name}_id"]: (row[f"{name}_source_value"], row[f"{name}_name"]) for row in tables[name].to_pylist()}


def _surroundings(person: Row, names: _Names) -> list[Json]:
    """The practice and the doctor that the patient names."""
    site, provider = names.of_site(person), names.of_provider(person)
    return [
        {"resourceType": "Organization", "id": site[0], "name": site[1]},
        {"resourceType": "Practitioner", "id": provider[0], "name": [{"text": provider[1]}]},
    ]


def _patient(person: Row, deaths: list[Row], *, concepts: Concepts, names: _Names) -> Json:
    race = _RACE.get(_code(concepts, person["race_concept_id"]))
    ethnicity = _ETHNICITY.get(_code(concepts, person["ethnicity_concept_id"]))
    patient: Json = {
        "resourceType": "Patient",
        "id": str(person["person_id"]),
        "extension": [
            _us_core("race", race, words=str(person["race_source_value"])),
            _us_core("ethnicity", ethnicity, words=str(person["ethnicity_source_value"])),
        ],
        "identifier": [{"system": MRN_SYSTEM, "value": str(person["person_source_value"])}],
        "gender": "female" if _code(concepts, person["gender_concept_id"]) == "F" else "male",
        "birthDate": f"{person['year_of_birth']:04d}-{person['month_of_birth']:02d}-{person['day_of_birth']:02d}",
        "managingOrganization": {"reference": f"Organization/{names.of_site(person)[0]}"},
        "generalPractitioner": [{"reference": f"Practitioner/{names.of_provider(person)[0]}"}],
    }
    if deaths:
        patient["deceasedDateTime"] = _when(deaths[0], "death")
    return patient


def _us_core(name: str, category: tuple[str, str] | None, *, words: str) -> Json:
    """The category where there is one, and the words."""
    parts: list[Json] = [{"url": "text", "valueString": category[1] if category else words}]
    if category:
        coding = {"system": _OMB, "code": category[0], "display": category[1]}
        parts.insert(0, {"url": "ombCategory", "valueCoding": coding})
    return {"url": f"{_US_CORE}us-core-{name}", "extension": parts}


def _coverage(row: Row, concepts: Concepts) -> Json:
    return {
        "resourceType": "Coverage",
        "id": str(row["observation_period_id"]),
        "status": "active",
        "beneficiary": _subject(row),
        "period": {
            "start": _text(row["observation_period_start_date"]),
            "end": _text(row["observation_period_end_date"]),
        },
        "payor": [{"display": "Simulated health system"}],
    }


def _encounter(row: Row, concepts: Concepts, *, names: _Names) -> Json:
    visit = _code(concepts, row["visit_concept_id"])
    code, display = _CLASS[visit]
    encounter: Json = {
        "resourceType": "Encounter",
        "id": str(row["visit_occurrence_id"]),
        "status": "finished",
        "class": {"system": _TERMINOLOGY + "v3-ActCode", "code": code, "display": display},
        "subject": _subject(row),
        "participant": [{"individual": {"reference": f"Practitioner/{names.of_provider(row)[0]}"}}],
        "period": {"start": _when(row, "visit_start"), "end": _when(row, "visit_end")},
        "serviceProvider": {"reference": f"Organization/{names.of_site(row)[0]}"},
    }
    if visit == "ERIP":
        source = _concept(_TERMINOLOGY + "admit-source", "emd", "From accident/emergency department")
        encounter["hospitalization"] = {"admitSource": source}
    return encounter


def _condition(row: Row, concepts: Concepts) -> Json:
    return _at_visit(
        row,
        {
            "resourceType": "Condition",
            "id": str(row["condition_occurrence_id"]),
            "clinicalStatus": _concept(_TERMINOLOGY + "condition-clinical", "active"),
            "verificationStatus": _concept(_TERMINOLOGY + "condition-ver-status", "confirmed"),
            "category": [_concept(_TERMINOLOGY + "condition-category", "encounter-diagnosis")],
            "code": _coded(row, "condition", concepts=concepts),
            "subject": _subject(row),
            "onsetDateTime": _when(row, "condition_start"),
            "recordedDate": _when(row, "condition_start"),
        },
    )


def _medication_request(row: Row, concepts: Concepts) -> Json:
    request: Json = {
        "resourceType": "MedicationRequest",
        "id": str(row["drug_exposure_id"]),
        "status": "completed",
        "intent": "order",
        "medicationCodeableConcept": _coded(row, "drug", concepts=concepts),
        "subject": _subject(row),
        "authoredOn": _when(row, "drug_exposure_start"),
    }
    if row["days_supply"] is not None:
        duration = {"value": row["days_supply"], "unit": "d", "system": UCUM, "code": "d"}
        request["dispenseRequest"] = {"expectedSupplyDuration": duration}
    return _at_visit(row, request)


def _measurement(row: Row, concepts: Concepts) -> Json:
    code = _code(concepts, row["measurement_concept_id"])
    observation = _observed(row, "measurement", concepts=concepts)
    observation["id"] = f"m{row['measurement_id']}"
    observation["category"] = [_category("vital-signs" if code in VITAL_SIGNS else "laboratory")]
    unit = row["unit_source_value"]
    quantity = {"value": row["value_as_number"], "unit": unit, "system": UCUM, "code": unit}
    observation["valueQuantity"] = quantity
    return _at_visit(row, observation)


def _answer(row: Row, concepts: Concepts) -> Json:
    observation = _observed(row, "observation", concepts=concepts)
    observation["id"] = f"o{row['observation_id']}"
    observation["category"] = [_category("social-history")]
    text, number = row["value_as_string"], row["value_as_number"]
    if isinstance(text, str):
        value = _concept(SYSTEMS["SNOMED"], *_SMOKING[text])
        observation["valueCodeableConcept"] = {**value, "text": text}
    elif isinstance(number, float):
        observation["valueInteger"] = int(number)
    return _at_visit(row, observation)


_MAKERS: dict[str, Callable[[Row, Concepts], Json]] = {
    "observation_period": _coverage,
    "condition_occurrence": _condition,
    "drug_exposure": _medication_request,
    "measurement": _measurement,
    "observation": _answer,
}


def _observed(row: Row, stem: str, *, concepts: Concepts) -> Json:
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": _coded(row, stem, concepts=concepts),
        "subject": _subject(row),
        "effectiveDateTime": _when(row, stem),
    }


def _coded(row: Row, stem: str, *, concepts: Concepts) -> Json:
    """As record systems write it: the standard concept (SNOMED CT, LOINC, a product of RxNorm), then the billing code
    where there is one, nobody's choice marked; no broader concepts and no ingredients.
    """
    ids = [int(str(row[name])) for name in (f"{stem}_concept_id", f"{stem}_source_concept_id") if row[name]]
    known = [concepts[concept_id] for concept_id in dict.fromkeys(ids)]
    codings: list[Json] = [
        {"system": SYSTEMS[concept.vocabulary], "code": concept.code, "display": concept.name} for concept in known
    ]
    return {"coding": codings, "text": known[0].name}


def _at_visit(row: Row, resource: Json) -> Json:
    if row["visit_occurrence_id"] is not None:
        resource["encounter"] = {"reference": f"Encounter/{row['visit_occurrence_id']}"}
    return resource


def _when(row: Row, stem: str) -> str:
    """The clock time where there is one, else the date."""
    stamp = row[f"{stem}_datetime"]
    return _text(stamp if stamp is not None else row[f"{stem}_date"])


def _text(moment: object) -> str:
    if isinstance(moment, datetime):
        return moment.isoformat() + "Z"
    if isinstance(moment, date):
        return moment.isoformat()
    raise TypeError("a date or a time was to be written")


def _subject(row: Row) -> Json:
    return {"reference": f"Patient/{row['person_id']}"}


def _code(concepts: Concepts, concept_id: object) -> str:
    found = concepts.get(int(str(concept_id or 0)))
    return found.code if found else ""


def _category(code: str) -> Json:
    return _concept(_TERMINOLOGY + "observation-category", code)


def _concept(system: str, code: str, display: str | None = None) -> Json:
    coding = {"system": system, "code": code}
    return {"coding": [{**coding, "display": display} if display else coding]}
