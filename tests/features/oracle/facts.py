"""Raw FHIR and OMOP files as plain facts, read with pandas and json and nothing of the project.

Written from the FHIR R4 and OMOP CDM specifications and docs/sources.md. What a real set could hold but these do not
(repeated keys, references to nobody, requests that are no orders) is refused here rather than handled.
"""

from __future__ import annotations

import gzip
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from tests.features.oracle.declared import drug_names, seed

DAY = pd.Timedelta(days=1)
LATEST = pd.Timedelta(days=60)  # how long after death a fact still counts
SYSTEMS = {
    "http://snomed.info/sct": "SNOMED",
    "http://loinc.org": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://hl7.org/fhir/sid/cvx": "CVX",
}
OMB_RACES = {"1002-5": 0, "2028-9": 1, "2054-5": 2, "2076-8": 3, "2106-3": 4, "2131-1": 5}
OMOP_RACES = {8657: 0, 8515: 1, 8516: 2, 8557: 3, 8527: 4, 8522: 5}
ETHNICITIES = {"2186-5": 0, "2135-2": 1, 38003564: 0, 38003563: 1}
CLASSES = {"AMB": "OP", "VR": "OP", "IMP": "IP", "EMER": "ER"}  # visited from afar is an outpatient
VISITS = {9201: "IP", 9202: "OP", 9203: "ER", 262: "ERIP"}
# Places of care by the kind of visit above them in OHDSI's hierarchy; MIMIC's concept table has neither.
VISITS |= {8870: "ER", 8883: "OP", 581385: "OP", 38004207: "OP"}
COLUMNS = ["person", "kind", "codings", "time", "known", "value", "unit", "answers", "words"]
# Forms that act where they are put: such a drug is no treatment of the body (docs/sources.md, read by name).
LOCAL = {"topical", "cream", "ointment", "gel", "lotion", "ophthalmic", "otic", "nasal", "inhalation", "inhaler"}


@dataclass(frozen=True)
class Source:
    """People (indexed by the source's id: birth, death, female, race, ethnicity), and facts.

    Of each fact: person, kind (condition, drug, measurement, ...), codings (`VOCABULARY//CODE`), time, when it was
    known, number and unit, the codes and words of an answer. Visits have the kind `visit` and the coding `Visit//IP`;
    their ends the kind `visit end` and the number of midnights. ancestors: code to the codes above it.
    """

    people: pd.DataFrame
    facts: pd.DataFrame
    ancestors: dict[str, set[str]] = field(default_factory=dict)


def known_at(moment: pd.Timestamp) -> pd.Timestamp:
    """When a fact was known: midnight sharp is what systems write that know only the day, so then at its end."""
    return moment + DAY - pd.Timedelta(microseconds=1) if moment == moment.normalize() else moment


def within_life(facts: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Facts that are not before birth and not more than 60 days after death."""
    birth, death = facts.person.map(people.birth), facts.person.map(people.death)
    return facts[(facts.time >= birth) & ~(facts.time > death + LATEST)].reset_index(drop=True)


# FHIR


def resources(folder: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The resources of one type in a folder of gzipped NDJSON."""
    for path in sorted(folder.glob(f"{kind}.*ndjson.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)


def moment(text: str) -> pd.Timestamp:
    """As it is written, without its offset: a day is the person's own day."""
    return pd.Timestamp(re.sub(r"(Z|[+-]\d\d:\d\d)$", "", text))


def fhir(folder: Path) -> Source:
    """A folder of FHIR R4."""
    people = _patients(folder)
    ends = {}
    rows = []
    for one in resources(folder, "Encounter"):
        assert one["status"] == "finished"
        assert "admitSource" not in one.get("hospitalization", {})
        start, end = (moment(one["period"][key]) for key in ("start", "end"))
        person = _id(one["subject"])
        ends[one["id"]] = (person, end)
        kind = CLASSES.get(one["class"]["code"], one["class"]["code"])
        nights = (end.normalize() - start.normalize()).days
        rows.append(_row(person, "visit", [f"Visit//{kind}"], start, known_at(start), 0.0))
        rows.append(_row(person, "visit end", [f"VISIT_END//{kind}"], end, known_at(end), nights))
    for one in resources(folder, "Condition"):
        assert one["verificationStatus"]["coding"][0]["code"] == "confirmed"
        time = moment(one["onsetDateTime"])
        known = max(_later(time, one.get("recordedDate")), _end_of_visit(one, ends, time))
        rows.append(_row(_id(one["subject"]), "condition", _codings(one["code"]), time, known))
    for one in resources(folder, "Procedure"):
        assert one["status"] == "completed"
        time = moment(one["performedPeriod"]["start"])
        known = max(known_at(time), _end_of_visit(one, ends, time))
        rows.append(_row(_id(one["subject"]), "procedure", _codings(one["code"]), time, known))
    for one in resources(folder, "MedicationRequest"):
        assert (one["intent"], one["status"] in ("active", "stopped")) == ("order", True)
        assert "dispenseRequest" not in one
        time, drug = moment(one["authoredOn"]), one["medicationCodeableConcept"]
        codings = [*_codings(drug), *by_name(_codings(drug), [each.get("display", "") for each in drug["coding"]])]
        rows.append(_row(_id(one["subject"]), "drug", codings, time, known_at(time)))
    for one in resources(folder, "Observation"):
        rows.extend(_results(one))
    assert not list(resources(folder, "FamilyMemberHistory"))
    facts = pd.DataFrame(rows, columns=COLUMNS)
    assert facts.person.isin(people.index).all()
    return Source(people, within_life(facts, people))


def by_name(codings: list[str], names: list[str]) -> list[str]:
    """The ingredients that a drug's name says, where none of its codes stands in a shipped list."""
    shipped = (pattern for patterns in seed().values() for pattern in patterns)
    known = {f"RxNorm//{code}" for vocabulary, code, _ in shipped if vocabulary == "RxNorm"}
    if known & set(codings):
        return []
    found = set()
    for name in names:
        words = re.findall(r"[a-z]+", re.sub(r"\[.*?\]", " ", name.lower()))
        if LOCAL & set(words) or {"dummy", "placebo"} & set(words) or {"insulin", "syringe"} <= set(words):
            continue
        text = f" {' '.join(words)} "
        found |= {f"RxNormByName//{number}" for each, number in drug_names().items() if f" {each} " in text}
    return sorted(found)


def _patients(folder: Path) -> pd.DataFrame:
    rows = {}
    for one in resources(folder, "Patient"):
        assert "link" not in one
        us = {each["url"].rsplit("-", 1)[1]: each for each in one["extension"] if "us-core" in each["url"]}
        rows[one["id"]] = {
            "birth": moment(one["birthDate"]),
            "death": moment(one["deceasedDateTime"]) if "deceasedDateTime" in one else pd.NaT,
            "female": {"female": 1.0, "male": 0.0}.get(one["gender"]),
            "race": OMB_RACES.get(_omb(us["race"])),
            "ethnicity": ETHNICITIES.get(_omb(us["ethnicity"])),
        }
    return pd.DataFrame.from_dict(rows, orient="index").astype({"race": float, "ethnicity": float, "female": float})


def _omb(extension: dict[str, Any]) -> str:
    (code,) = [each["valueCoding"]["code"] for each in extension["extension"] if each["url"] == "ombCategory"]
    return str(code)


def _id(reference: dict[str, str]) -> str:
    return reference["reference"].removeprefix("urn:uuid:").rsplit("/", 1)[-1]


def _codings(concept: dict[str, Any]) -> list[str]:
    return [f"{SYSTEMS[each['system']]}//{each['code']}" for each in concept["coding"]]


def _later(time: pd.Timestamp, recorded: str | None) -> pd.Timestamp:
    """Known when it was recorded, unless that is before the fact itself."""
    said = moment(recorded) if recorded else time
    return known_at(said) if said >= time else known_at(time)


def _end_of_visit(one: dict[str, Any], ends: dict[str, tuple[str, pd.Timestamp]], time: pd.Timestamp) -> pd.Timestamp:
    person, end = ends[_id(one["encounter"])]
    return known_at(end) if person == _id(one["subject"]) else time


def _row(
    person: str,
    kind: str,
    codings: list[str],
    time: pd.Timestamp,
    known: pd.Timestamp,
    value: float | None = None,
    unit: str | None = None,
    answers: tuple[str, ...] = (),
    words: str = "",
) -> tuple[Any, ...]:
    return (person, kind, tuple(codings), time, known, value, unit, answers, words)


def _results(one: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """The result itself, and each of its components."""
    assert one["status"] == "final"
    time = moment(one["effectiveDateTime"])
    parts = one.get("component", [])
    own = [one] if any(key.startswith("value") for key in one) or not parts else []
    for part in (*own, *parts):
        number, answer = part.get("valueQuantity", {}), part.get("valueCodeableConcept", {})
        assert "comparator" not in number
        yield _row(
            _id(one["subject"]),
            "measurement",
            _codings(part["code"]),
            time,
            _later(time, one.get("issued")),
            number.get("value"),
            number.get("code") or number.get("unit"),
            tuple(f"{SYSTEMS.get(each['system'], '?')}//{each['code']}" for each in answer.get("coding", [])),
            answer.get("text", part.get("valueString", "")).strip().lower(),
        )


# OMOP

TABLES = {
    "condition_occurrence": ("condition", "condition_start", "days"),
    "drug_exposure": ("drug", "drug_exposure_start", "own"),
    "procedure_occurrence": ("procedure", "procedure", "days"),
    "measurement": ("measurement", "measurement", "own"),
    "observation": ("observation", "observation", "own"),
}


class Tables:
    """The tables of a CDM, in a folder or a zip, in lower or upper case."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __getitem__(self, table: str) -> pd.DataFrame | None:
        if self.path.suffix == ".zip":
            with zipfile.ZipFile(self.path) as archive:
                if f"{table.upper()}.csv" not in archive.namelist():
                    return None
                with archive.open(f"{table.upper()}.csv") as file:
                    return pd.read_csv(file, low_memory=False).rename(columns=str.lower)
        path = self.path / f"{table}.csv"
        return pd.read_csv(path, low_memory=False).rename(columns=str.lower) if path.exists() else None

    def rows(self, table: str) -> pd.DataFrame:
        """A table that has to be there."""
        found = self[table]
        assert found is not None
        return found


def omop(path: Path) -> Source:
    """A CDM 5.3 or 5.4."""
    tables = Tables(path)
    concept = tables.rows("concept")
    codes = (concept.vocabulary_id + "//" + concept.concept_code.astype(str).str.strip()).set_axis(concept.concept_id)
    people = _persons(tables)
    visits = tables.rows("visit_occurrence")
    assert not visits.visit_occurrence_id.duplicated().any()
    start = pd.to_datetime(visits.visit_start_datetime.fillna(visits.visit_start_date))
    end = pd.to_datetime(visits.visit_end_datetime.fillna(visits.visit_end_date))
    assert (end >= start).all()
    word = visits.visit_concept_id.map(VISITS).fillna("other")
    nights = (end.dt.normalize() - start.dt.normalize()).dt.days
    parts = [
        _frame(visits.person_id, "visit", "Visit//" + word, start),
        _frame(visits.person_id, "visit end", "VISIT_END//" + word, end, nights),
    ]
    ends = visits.assign(end=end).set_index("visit_occurrence_id")
    for table, (stem, date, known) in TABLES.items():
        rows = tables[table]
        if rows is not None and len(rows):
            parts.append(_events(rows, stem, date, codes, concept, ends if known == "days" else None))
    facts = pd.concat(parts, ignore_index=True)
    return Source(people, within_life(facts, people), _ancestors(tables, codes))


def _persons(tables: Tables) -> pd.DataFrame:
    person, death = tables.rows("person"), tables.rows("death")
    date = pd.DataFrame(
        {
            "year": person.year_of_birth,
            "month": person.month_of_birth.fillna(1).astype(int),
            "day": person.day_of_birth.fillna(1).astype(int),
        }
    )
    people = pd.DataFrame(
        {
            "birth": pd.to_datetime(date).to_numpy(),
            "female": person.gender_concept_id.map({8532: 1.0, 8507: 0.0}).to_numpy(),
            "race": person.race_concept_id.map(OMOP_RACES).to_numpy(float),
            "ethnicity": person.ethnicity_concept_id.map(ETHNICITIES).to_numpy(float),
        },
        index=person.person_id.astype(str),
    )
    died = pd.to_datetime(death.death_datetime.fillna(death.death_date)).set_axis(death.person_id.astype(str))
    return people.assign(death=died.groupby(level=0).min().reindex(people.index))


def _frame(
    person: pd.Series, kind: str, codings: pd.Series, time: pd.Series, value: Any = None, unit: Any = None
) -> pd.DataFrame:
    clockless = time == time.dt.normalize()
    return pd.DataFrame(
        {
            "person": person.astype(str).to_numpy(),
            "kind": kind,
            "codings": [(each,) if isinstance(each, str) else each for each in codings],
            "time": time.to_numpy(),
            "known": (time.where(~clockless, time + DAY - pd.Timedelta(microseconds=1))).to_numpy(),
            "value": None if value is None else value.to_numpy(float),
            "unit": None if unit is None else unit.to_numpy(),
            "answers": [()] * len(time),
            "words": "",
        }
    )


def _events(
    rows: pd.DataFrame, stem: str, date: str, codes: pd.Series, concept: pd.DataFrame, ends: pd.DataFrame | None
) -> pd.DataFrame:
    """One fact a row: the source's own concept and the standard one are both codings of it."""
    rows = rows.drop_duplicates().reset_index(drop=True)
    own, standard = (rows[f"{stem}{each}_concept_id"].fillna(0).map(codes) for each in ("_source", ""))
    codings = pd.Series(
        [tuple({each for each in pair if isinstance(each, str)}) for pair in zip(own, standard, strict=True)]
    )
    time = pd.to_datetime(rows[f"{date}_datetime"].fillna(rows[f"{date}_date"]))
    value = unit = None
    if stem == "drug":
        codings = _drug_codings(rows, codings, concept)
        supply = pd.to_numeric(rows.days_supply)
        value, unit = supply.where(supply > 0), pd.Series("d", rows.index)
        assert not rows.refills.fillna(0).any()
    elif "value_as_number" in rows:
        ucum = concept[concept.vocabulary_id == "UCUM"].set_index("concept_id").concept_code
        value = rows.value_as_number
        unit = rows.unit_concept_id.map(ucum).astype(object).fillna(rows.unit_source_value.astype(object))
        assert not (rows.value_as_concept_id.fillna(0) != 0).any()
        assert not rows.get("operator_concept_id", pd.Series(0, rows.index)).fillna(0).any()
    facts = _frame(rows.person_id, stem, codings, time, value, unit)
    if ends is not None:
        visit = ends.reindex(rows.visit_occurrence_id)
        end = pd.Series(visit.end.to_numpy()).where(pd.Series(visit.person_id.to_numpy() == rows.person_id.to_numpy()))
        end = end.where(end != end.dt.normalize(), end + DAY - pd.Timedelta(microseconds=1))
        facts["known"] = facts.known.where(~(end > facts.known), end)
    return facts


def _drug_codings(rows: pd.DataFrame, codings: pd.Series, concept: pd.DataFrame) -> pd.Series:
    """With what a drug's names say, or the bare number of a concept that the source's concept table lacks."""
    names = concept.drop_duplicates("concept_id").set_index("concept_id").concept_name
    drugs = pd.DataFrame(
        {
            "codings": codings,
            "number": rows.drug_concept_id.where(rows.drug_concept_id != 0, rows.drug_source_concept_id).fillna(0),
            "standard": rows.drug_concept_id.map(names),
            "source": rows.drug_source_concept_id.map(names),
            "value": rows.drug_source_value,
        }
    )
    said: dict[tuple[object, ...], tuple[str, ...]] = {}
    for one in drugs.drop_duplicates().itertuples(index=False):
        words = [str(word) for word in (one.standard, one.source, one.value) if isinstance(word, str)]
        bare = [f"OMOP//{int(one.number)}"] if not one.codings and one.number else []
        said[tuple(map(str, one))] = (*one.codings, *bare, *by_name(list(one.codings), words))
    return pd.Series([said[tuple(map(str, one))] for one in drugs.itertuples(index=False)])


def _ancestors(tables: Tables, codes: pd.Series) -> dict[str, set[str]]:
    """Of every code the codes above it: concept_ancestor, and what it maps to with everything above that."""
    above: dict[str, set[str]] = {}
    links = tables["concept_ancestor"]
    if links is not None:
        pairs = zip(links.descendant_concept_id.map(codes), links.ancestor_concept_id.map(codes), strict=True)
        for below, ancestor in pairs:
            if isinstance(below, str) and isinstance(ancestor, str):
                above.setdefault(below, set()).add(ancestor)
    maps = tables.rows("concept_relationship")
    maps = maps[maps.relationship_id == "Maps to"]
    for below, ancestor in zip(maps.concept_id_1.map(codes), maps.concept_id_2.map(codes), strict=True):
        if isinstance(below, str) and isinstance(ancestor, str):
            above.setdefault(below, set()).update({ancestor}, above.get(ancestor, set()))
    return above
