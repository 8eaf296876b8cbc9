"""615 people of Synthea as FHIR, and the same people converted to OMOP here: the same features.

Nothing of the conversion is shared with the readers. Not converted are allergies, which FHIR keeps as `ALLERGY//` and
OMOP as observations of "allergy to", and reports, which OMOP has no table for; no feature reads them.
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.build import build, learn_vocabulary
from features.catalogue import FAMILIES, catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.record import identity
from features.record.record import Record
from features.sources import fhir, omop
from features.vocabulary import load

pytestmark = [pytest.mark.realdata, pytest.mark.slow]

MOMENTS = ("2008-07-01", "2017-01-01")
Resource = dict[str, Any]
Row = dict[str, object]

VOCABULARIES = {
    "http://snomed.info/sct": "SNOMED",
    "http://loinc.org": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://unitsofmeasure.org": "UCUM",
}
VISITS = {"AMB": 9202, "EMER": 9203, "IMP": 9201}
GENDERS = {"male": 8507, "female": 8532}
RACES = {"2106-3": 8527, "2054-5": 8516, "2028-9": 8515, "2076-8": 8557, "1002-5": 8657, "2131-1": 8522}
ETHNICITIES = {"2135-2": 38003563, "2186-5": 38003564}
# OMOP's domains: what these categories hold is a measurement, all else an observation.
MEASURED = ("vital-signs", "vital-sign", "laboratory", "imaging", "exam", "procedure", "therapy")

# Parents of what occurs; concepts that lists name and that nobody here has come in as ancestors.
PARENTS = {
    "44054006": ("73211009", "Diabetes mellitus"),
    "368581000119106": ("44054006", "Diabetes mellitus type 2"),
    "422034002": ("44054006", "Diabetes mellitus type 2"),
    "1551000119108": ("44054006", "Diabetes mellitus type 2"),
    "1501000119109": ("44054006", "Diabetes mellitus type 2"),
    "90781000119102": ("44054006", "Diabetes mellitus type 2"),
    "127013003": ("73211009", "Diabetes mellitus"),
    "88805009": ("42343007", "Congestive heart failure"),
    "42343007": ("84114007", "Heart failure"),
    "22298006": ("414545008", "Ischaemic heart disease"),
    "53741008": ("414545008", "Ischaemic heart disease"),
    "431855005": ("709044004", "Chronic kidney disease"),
    "431856006": ("709044004", "Chronic kidney disease"),
    "87433001": ("13645005", "Chronic obstructive pulmonary disease"),
    "185086009": ("13645005", "Chronic obstructive pulmonary disease"),
    "233678006": ("195967001", "Asthma"),
    "254637007": ("363358000", "Malignant tumour of lung"),
    "254632001": ("363358000", "Malignant tumour of lung"),
    "424132000": ("254637007", "Non-small cell lung cancer"),
    "67811000119102": ("254632001", "Small cell carcinoma of lung"),
    "93761005": ("363406005", "Malignant tumour of colon"),
}
# RxNorm's ingredients, by a word of the product's name.
INGREDIENTS = {
    "simv": ("36567", "simvastatin"),
    "atorvastatin": ("83367", "atorvastatin"),
    "metformin": ("6809", "metformin"),
    "hydrochlorothiazide": ("5487", "hydrochlorothiazide"),
    "amlodipine": ("17767", "amlodipine"),
    "captopril": ("1998", "captopril"),
    "metoprolol": ("6918", "metoprolol"),
    "verapamil": ("11170", "verapamil"),
    "furosemide": ("4603", "furosemide"),
    "lasix": ("4603", "furosemide"),
    "clopidogrel": ("32968", "clopidogrel"),
    "warfarin": ("11289", "warfarin"),
    "aspirin": ("1191", "aspirin"),
    "digoxin": ("3407", "digoxin"),
    "amiodarone": ("703", "amiodarone"),
    "prednisone": ("8640", "prednisone"),
    "insulin": ("5856", "insulin"),
    "naproxen": ("7258", "naproxen"),
    "ibuprofen": ("5640", "ibuprofen"),
    "allopurinol": ("519", "allopurinol"),
    "sertraline": ("36437", "sertraline"),
    "fluoxetine": ("4493", "fluoxetine"),
}


def lines(source: Path, kind: str) -> Iterator[Resource]:
    with gzip.open(source / f"{kind}.ndjson.gz", "rt") as file:
        yield from map(json.loads, file)


def clock(moment: str) -> str:
    """The time on the wall, as OMOP writes it."""
    return moment[:19].replace("T", " ")


class Converter:
    """The FHIR files of a folder as tables of OMOP. Concept ids are made up, in the order in which codes come."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.concepts: dict[tuple[str, str], tuple[int, str]] = {}
        self.persons: dict[str, int] = {}
        self.visits: dict[str, int] = {}
        self.first: dict[int, str] = {}
        self.last_day = ""
        self.tables: dict[str, list[Row]] = {}

    def concept(self, vocabulary: str, code: str, name: str) -> int:
        known = self.concepts.setdefault((vocabulary, code), (2_000_000_001 + len(self.concepts), name))
        return known[0]

    def coded(self, concept: Resource) -> tuple[int, str]:
        (coding,) = concept["coding"]
        return self.concept(VOCABULARIES[coding["system"]], coding["code"], concept["text"]), coding["code"]

    def add(self, table: str, **row: object) -> None:
        rows = self.tables.setdefault(table, [])
        rows.append({f"{table}_id": len(rows) + 1, **row})

    def add_fact(self, table: str, resource: Resource, concept: Resource, *, start: str, **values: object) -> None:
        """One row of a clinical table; the columns' stems are the CDM's."""
        stem = table.removesuffix("_occurrence").removesuffix("_exposure")
        column = {"condition": "condition_start", "drug": "drug_exposure_start"}.get(stem, stem)
        concept_id, code = self.coded(concept)
        person = self.persons[(resource.get("subject") or resource["patient"])["reference"]]
        self.seen(person, start)
        self.add(
            table,
            person_id=person,
            visit_occurrence_id=self.visits[resource["encounter"]["reference"]],
            **{
                f"{stem}_concept_id": concept_id,
                f"{stem}_source_concept_id": 0,
                f"{stem}_source_value": code,
                f"{column}_date": start[:10],
                f"{column}_datetime": clock(start),
            },
            **values,
        )

    def seen(self, person: int, start: str) -> None:
        self.first[person] = min(self.first.get(person, start), start)
        self.last_day = max(self.last_day, start[:10])

    def convert(self) -> None:
        self.people()
        self.encounters()
        for one in lines(self.source, "Condition"):
            self.add_fact("condition_occurrence", one, one["code"], start=one["onsetDateTime"])
        for one in lines(self.source, "Procedure"):
            self.add_fact("procedure_occurrence", one, one["code"], start=one["performedPeriod"]["start"])
        for one in lines(self.source, "MedicationRequest"):
            self.add_fact("drug_exposure", one, one["medicationCodeableConcept"], start=one["authoredOn"])
        for one in lines(self.source, "Immunization"):
            self.add_fact("drug_exposure", one, one["vaccineCode"], start=one["occurrenceDateTime"])
        for one in lines(self.source, "Observation"):
            self.observation(one)
        self.periods()

    def people(self) -> None:
        for number, one in enumerate(lines(self.source, "Patient"), start=1):
            self.persons[f"urn:uuid:{one['id']}"] = number
            # Synthea calls 66 people's race "Hispanic or Latino" and the same people's ethnicity "not Hispanic": each
            # element is read by itself.
            said = {
                extension["url"].rsplit("-", 1)[-1]: part["valueCoding"]["code"]
                for extension in one["extension"]
                for part in extension.get("extension", [])
                if part["url"] == "ombCategory"
            }
            year, month, day = one["birthDate"].split("-")
            self.add(
                "person",
                person_id=number,
                person_source_value=one["id"],
                gender_concept_id=GENDERS[one["gender"]],
                year_of_birth=year,
                month_of_birth=month,
                day_of_birth=day,
                race_concept_id=RACES.get(said["race"], 0),
                ethnicity_concept_id=ETHNICITIES.get(said["ethnicity"], 0),
            )
            if died := one.get("deceasedDateTime"):
                self.add("death", person_id=number, death_date=died[:10], death_datetime=clock(died))

    def encounters(self) -> None:
        for number, one in enumerate(lines(self.source, "Encounter"), start=1):
            self.visits[f"urn:uuid:{one['id']}"] = number
            person, start, end = self.persons[one["subject"]["reference"]], *map(one["period"].get, ("start", "end"))
            self.seen(person, start)
            self.add(
                "visit_occurrence",
                person_id=person,
                visit_concept_id=VISITS[one["class"]["code"]],
                visit_start_date=start[:10],
                visit_start_datetime=clock(start),
                visit_end_date=end[:10],
                visit_end_datetime=clock(end),
            )

    def observation(self, one: Resource) -> None:
        """A panel is its components; a coded answer is a concept, a text a text (which OBSERVATION alone can hold)."""
        measured = one["category"][0]["coding"][0]["code"] in MEASURED
        for part in one.get("component") or [one]:
            values: Row = {}
            if quantity := part.get("valueQuantity"):
                values["value_as_number"] = quantity["value"]
                if "code" in quantity:
                    values["unit_concept_id"] = self.concept("UCUM", quantity["code"], quantity["unit"])
                    values["unit_source_value"] = quantity["unit"]
            elif answer := part.get("valueCodeableConcept"):
                values["value_as_concept_id"], values["value_source_value"] = self.coded(answer)
            elif "valueString" in part:
                assert not measured
                values["value_as_string"] = part["valueString"]
            table = "measurement" if measured else "observation"
            self.add_fact(table, one, part["code"], start=one["effectiveDateTime"], **values)

    def periods(self) -> None:
        """Followed from the first contact to death or the day of the extraction."""
        died = {row["person_id"]: str(row["death_date"]) for row in self.tables["death"]}
        for person, first in self.first.items():
            self.add(
                "observation_period",
                person_id=person,
                observation_period_start_date=first[:10],
                observation_period_end_date=max(died.get(person, self.last_day), first[:10]),
            )

    def vocabulary(self) -> Mapping[str, list[Row]]:
        """CONCEPT, CONCEPT_ANCESTOR and CONCEPT_RELATIONSHIP of the codes that occur."""
        above: dict[int, dict[int, int]] = {}
        for (vocabulary, code), (concept_id, name) in list(self.concepts.items()):
            chain = {concept_id: 0}
            if vocabulary == "SNOMED":
                at = code
                while at in PARENTS:
                    at, parent = PARENTS[at]
                    chain[self.concept("SNOMED", at, parent)] = len(chain)
            if vocabulary == "RxNorm":
                for word, ingredient in INGREDIENTS.items():
                    if word in name.lower():
                        chain[self.concept("RxNorm", *ingredient)] = 1
            above[concept_id] = chain
        concepts: list[Row] = [
            {
                "concept_id": concept_id,
                "concept_name": name,
                "domain_id": "Unit" if vocabulary == "UCUM" else "Condition",
                "vocabulary_id": vocabulary,
                "concept_class_id": "-",
                "standard_concept": "S",
                "concept_code": code,
                "valid_start_date": "19700101",
                "valid_end_date": "20991231",
                "invalid_reason": "",
            }
            for (vocabulary, code), (concept_id, name) in self.concepts.items()
        ]
        ancestors: list[Row] = [
            {
                "ancestor_concept_id": ancestor,
                "descendant_concept_id": concept_id,
                "min_levels_of_separation": levels,
                "max_levels_of_separation": levels,
            }
            for concept_id, chain in above.items()
            for ancestor, levels in chain.items()
        ]
        links: list[Row] = [
            {
                "concept_id_1": row["concept_id"],
                "concept_id_2": row["concept_id"],
                "relationship_id": "Maps to",
                "valid_start_date": "19700101",
                "valid_end_date": "20991231",
                "invalid_reason": "",
            }
            for row in concepts
        ]
        return {"CONCEPT": concepts, "CONCEPT_ANCESTOR": ancestors, "CONCEPT_RELATIONSHIP": links}


def write(folder: Path, tables: Mapping[str, list[Row]], *, delimiter: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        columns = dict.fromkeys(column for row in rows for column in row)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(columns), delimiter=delimiter, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


@pytest.fixture(scope="module")
def frames(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[FeatureFrame, FeatureFrame]]:
    """By moment, the features of everybody in the order of the patients' ids: through FHIR, and through OMOP."""
    folder, source = tmp_path_factory.mktemp("both"), real_data / "fhir_r4_synthea" / "ndjson"
    converter = Converter(source)
    converter.convert()
    write(folder / "vocabulary", converter.vocabulary(), delimiter="\t")
    write(folder / "cdm", converter.tables, delimiter=",")
    for table in (folder / "vocabulary").iterdir():
        shutil.copy(table, folder / "cdm")
    omop.ingest(folder / "cdm", folder / "omop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        load(folder / "vocabulary")
        fhir.ingest(source, folder / "fhir")
    people = sorted(converter.persons)
    ids = {
        "fhir": [reference.removeprefix("urn:uuid:") for reference in people],
        "omop": [str(converter.persons[reference]) for reference in people],
    }
    return {moment: _frames(folder, ids, moment) for moment in MOMENTS}


def _frames(folder: Path, ids: dict[str, list[str]], moment: str) -> tuple[FeatureFrame, FeatureFrame]:
    subjects = {
        name: {row["source_id"]: row["subject_id"] for row in identity.read(folder / name).to_pylist()} for name in ids
    }
    index = {name: Index.at([subjects[name][one] for one in people], moment) for name, people in ids.items()}
    families = [family for family in FAMILIES if family != "polygenic"]
    learned = learn_vocabulary(index["omop"], Record.open(folder / "omop"), catalogue=catalogue(families))
    through_fhir, through_omop = (
        build(index[name], Record.open(folder / name), catalogue=learned) for name in ("fhir", "omop")
    )
    return through_fhir, through_omop


@pytest.mark.parametrize("moment", MOMENTS)
def test_synthea_has_the_same_features_through_fhir_and_through_omop(
    moment: str, frames: dict[str, tuple[FeatureFrame, FeatureFrame]]
) -> None:
    through_fhir, through_omop = frames[moment]
    assert through_fhir.names == through_omop.names
    differing = {
        name: int((~np.isclose(left, right, rtol=0, atol=0, equal_nan=True)).sum())
        for name, left, right in zip(through_fhir.names, through_fhir.values.T, through_omop.values.T, strict=True)
    }
    assert {name: n for name, n in differing.items() if n} == {}
    assert np.isfinite(through_fhir.values).mean() > 0.2
    assert through_fhir.codes is not None
    assert through_omop.codes is not None
    assert len(through_fhir.code_names) > 50
    np.testing.assert_array_equal(through_fhir.codes.toarray(), through_omop.codes.toarray())
