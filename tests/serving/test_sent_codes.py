"""Codes of a person who is sent are looked up in the loaded vocabularies, as an ingest looks up those of a record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from features.build import build
from features.catalogue import Catalogue, FeatureSpec, catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.leakage import moved
from features.record import Record, Tells
from features.sources import fhir
from features.vocabulary import ancestors_of_codes, codes_below, load, loaded
from serving.api import SENT, People, PersonData
from serving.scoring import Champion, Hierarchy, frame_of
from training.bundle import Bundle

AS_OF = datetime.fromisoformat("2020-01-01T00:00:00")
FEATURES = catalogue(["demographics", "conditions", "medications", "social"])
DIABETES, MADE_UP, OTHER = 44054006, 990000001, 990000002
BELOW = FeatureSpec(
    "below", "test", "below", "1", "unknown", "any", codes=(f"<<SNOMED//{DIABETES}",), absent=0.0, kind="condition"
)
# Child, parent. The made-up one is in no list that ships, nor is what it maps to.
LINKS = ((MADE_UP, DIABETES), (OTHER, 990000003))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def rf2(folder: Path, links: tuple[tuple[int, int], ...] = LINKS) -> Path:
    folder.mkdir(parents=True)
    concepts = ["id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId"]
    concepts += [f"{one}\t20240101\t1\t0\t0" for one in sorted({each for link in links for each in link})]
    rows = ["id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId"]
    rows += [f"{n}\t20240101\t1\t0\t{child}\t{parent}\t0\t116680003" for n, (child, parent) in enumerate(links)]
    (folder / "sct2_Concept_Snapshot_INT_20240101.txt").write_text("\n".join(concepts) + "\n")
    (folder / "sct2_Relationship_Snapshot_INT_20240101.txt").write_text("\n".join(rows) + "\n")
    return folder


def champion_of(folder: Path, tells: Tells | None, *, version: str = "1") -> Champion:
    """A champion as far as features go: its catalogue, its lists, and what its record could tell."""
    folder.mkdir(exist_ok=True)
    return Champion("t2d-5y", version, cast("Bundle", SimpleNamespace(folder=folder, tells=tells)), FEATURES)


def condition(code: int) -> dict[str, Any]:
    coding = [{"system": "http://snomed.info/sct", "code": str(code)}]
    return {"resourceType": "Condition", "code": {"coding": coding}, "subject": {"reference": "Patient/1"},
            "recordedDate": "2018-03-04T10:00:00"}  # fmt: skip


def a_record(folder: Path, *codes: int) -> Record:
    """One person with these conditions, ingested by the vocabularies that are loaded."""
    patient = {"resourceType": "Patient", "id": "1", "birthDate": "1950-02-03", "gender": "male"}
    (folder / "source").mkdir(parents=True)
    lines = [patient, *(condition(code) for code in codes)]
    (folder / "source" / "all.ndjson").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    fhir.ingest(folder / "source", folder / "record")
    return Record.open(folder / "record")


def told(*codes: int) -> PersonData:
    events: list[Mapping[str, Any]] = [
        {"code": "MEDS_BIRTH", "time": "1950-02-03T00:00:00"},
        {"code": "Gender//M"},
        *({"code": f"SNOMED//{code}", "time": "2018-03-04T10:00:00"} for code in codes),
    ]
    return PersonData.model_validate({"events": events})


def sent(people: People, champion: Champion, *codes: int) -> FeatureFrame:
    record = people.sent(told(*codes), as_of=AS_OF, champion=champion)
    return frame_of(champion, record, subject_ids=np.array([SENT]), as_of=np.array([AS_OF], "datetime64[us]"))


def of_record(record: Record) -> FeatureFrame:
    return build(Index.at(record.subject_ids(), AS_OF), record, catalogue=FEATURES)


def diabetes(frame: FeatureFrame) -> float:
    return float(frame.column("diabetes_ever")[0])


def test_what_lies_below_a_concept_is_what_has_it_above(tmp_path: Path) -> None:
    load(rf2(tmp_path / "release", (*LINKS, (DIABETES, 73211009), (MADE_UP, OTHER))))
    everything = sorted({one for link in LINKS for one in link} | {73211009})
    above = ancestors_of_codes(f"SNOMED//{one}" for one in everything).to_pylist()
    below = codes_below(f"SNOMED//{one}" for one in everything).to_pylist()
    assert sorted((row["code"], row["ancestor"]) for row in below) == sorted(
        (row["code"], row["ancestor"]) for row in above
    )


@pytest.mark.parametrize("with_record", [False, True])
def test_one_who_is_sent_has_the_features_of_the_batch(tmp_path: Path, *, with_record: bool) -> None:
    load(rf2(tmp_path / "release"))
    batch = a_record(tmp_path / "batch", MADE_UP, OTHER)
    known = tmp_path / "other" / "record"
    if with_record:
        a_record(tmp_path / "other", OTHER)  # the service's record has never seen the code
    champion = champion_of(tmp_path / "bundle", batch.tells)
    frame = sent(People(known if with_record else None), champion, MADE_UP, OTHER)
    assert diabetes(frame) == 1.0
    assert not moved(of_record(batch), replace(frame, subject_ids=batch.subject_ids()))


def test_without_the_vocabulary_what_lies_below_is_not_read_and_nothing_is_denied_by_it(tmp_path: Path) -> None:
    load(rf2(tmp_path / "release"))
    champion = champion_of(tmp_path / "bundle", a_record(tmp_path / "batch", MADE_UP).tells)
    champion = replace(champion, catalogue=Catalogue((BELOW,)))
    assert [float(sent(People(None), champion, *codes).values[0, 0]) for codes in ((), (MADE_UP,))] == [0.0, 1.0]
    for path in (tmp_path / "home").rglob("release.json"):
        path.unlink()
    assert loaded() == ()
    elsewhere = People(None)
    assert all(np.isnan(sent(elsewhere, champion, *codes).values[0, 0]) for codes in ((), (MADE_UP,)))
    assert elsewhere.hierarchy.differs["t2d-5y"] == [
        "learned by snomed 20240101, which is not loaded here (presage vocabulary load)"
    ]


def test_the_codes_of_the_record_are_read_as_the_record_reads_them(tmp_path: Path) -> None:
    before = a_record(tmp_path / "before", MADE_UP)  # ingested before the vocabulary was loaded
    load(rf2(tmp_path / "release"))
    champion = champion_of(tmp_path / "bundle", Tells.all())
    assert diabetes(sent(People(before.path), champion, MADE_UP)) == diabetes(of_record(before)) == 0.0
    assert diabetes(sent(People(None), champion, MADE_UP)) == 1.0


def test_the_hierarchy_is_one_table_until_a_code_comes_that_it_lacks(tmp_path: Path) -> None:
    load(rf2(tmp_path / "release"))
    people, champion = People(None), champion_of(tmp_path / "bundle", Tells.all())
    tables = [people.sent(told(*codes), as_of=AS_OF, champion=champion).tables["ancestors"] for codes in CODES]
    assert tables[0] is tables[1]
    assert tables[2] is tables[3]
    assert tables[1] is not tables[2]


CODES: tuple[tuple[int, ...], ...] = ((), (OTHER,), (MADE_UP,), (MADE_UP, OTHER))


def test_another_release_is_said_with_both_names(tmp_path: Path) -> None:
    load(rf2(tmp_path / "release"))
    tells = a_record(tmp_path / "batch", MADE_UP).tells
    assert tells == Tells.from_json(tells.to_json(), where="here", way_out="none")
    hierarchy = Hierarchy()
    hierarchy.learn(champion_of(tmp_path / "bundle", tells))
    assert hierarchy.differs == {}
    load(rf2(tmp_path / "next", ((MADE_UP, DIABETES),)), release="20250101")
    hierarchy.learn(champion_of(tmp_path / "bundle", tells, version="2"))
    assert hierarchy.differs == {"t2d-5y": ["learned by snomed 20240101, release 20250101 loaded here"]}


def test_a_list_of_the_study_is_looked_up_as_well(tmp_path: Path) -> None:
    load(rf2(tmp_path / "release", ((MADE_UP, OTHER),)))
    champion = champion_of(tmp_path / "bundle", Tells.all())
    listed = "code,term,include_descendants\nSNOMED//990000002,a concept of the study's own,true\n"
    (tmp_path / "bundle" / "codelist_own.csv").write_text(listed, encoding="utf-8")
    found = People(None).sent(told(MADE_UP), as_of=AS_OF, champion=champion).tables["ancestors"].to_pylist()
    assert found == [{"code": f"SNOMED//{MADE_UP}", "ancestor": f"SNOMED//{OTHER}"}]


def test_other_codings_and_codes_without_their_dot_are_read() -> None:
    events = [
        {"code": "Local//7", "codings": ["ICD10CM//E119", "Local//7"], "time": "2018-03-04T10:00:00"},
        {"code": "LOINC//72166-2", "codings": ["Answer//SNOMED//8517006"], "time": "2018-03-04T10:00:00"},
    ]
    record = People(None).sent(PersonData.model_validate({"events": events}), as_of=AS_OF)
    frame = build(Index.at([SENT], AS_OF), record, catalogue=FEATURES)
    assert [float(frame.column(name)[0]) for name in ("type_2_diabetes_ever", "smoking_ever")] == [1.0, 1.0]
