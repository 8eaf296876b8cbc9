"""Vocabularies loaded once: three published layouts give the same ancestors, and every source is read by them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from features.build import build
from features.catalogue import catalogue
from features.errors import PresageError
from features.index import Index
from features.record import Record
from features.sources import fhir
from features.vocabulary import ancestors_of_codes, load, loaded

# Child, parent; 7 closes no circle: 5 and 6 lie above each other, as a damaged release may have it.
LINKS = ((2, 1), (3, 2), (4, 2), (4, 1), (6, 5), (5, 6), (9, 4))
CONCEPTS = (1, 2, 3, 4, 5, 6, 9)
SNOMED, RXNORM = "SNOMED", "RxNorm"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def naive_ancestors(concept: int) -> set[int]:
    """Every concept that a walk upwards meets, the concept itself left out."""
    met: set[int] = set()
    waiting = [concept]
    while waiting:
        here = waiting.pop()
        above = {parent for child, parent in LINKS if child == here} - met
        met |= above
        waiting += above
    return met - {concept}


def rf2(folder: Path) -> Path:
    folder.mkdir(parents=True)
    concepts = ["id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId"]
    concepts += [f"{concept}\t20240101\t1\t0\t0" for concept in CONCEPTS]
    links = ["id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId"]
    links += [f"{n}\t20240101\t1\t0\t{child}\t{parent}\t0\t116680003" for n, (child, parent) in enumerate(LINKS)]
    links += [
        "90\t20240101\t0\t0\t3\t9\t0\t116680003",
        "91\t20240101\t1\t0\t1\t9\t0\t363698007",
    ]  # retired; another type
    (folder / "sct2_Concept_Snapshot_INT_20240101.txt").write_text("\n".join(concepts) + "\n")
    (folder / "sct2_Relationship_Snapshot_INT_20240101.txt").write_text("\n".join(links) + "\n")
    return folder


def rrf(folder: Path) -> Path:
    folder.mkdir(parents=True)
    conso = [f"{c}|ENG|P||||||||||RXNORM|SCD|{c}|drug {c}||N||".replace("P||||||||||", "P|||||||||") for c in CONCEPTS]
    links = [f"{parent}||CUI|RN|{child}||CUI|has_ingredient|||RXNORM||||N||" for child, parent in LINKS]
    links += ["3||CUI|RO|1||CUI|ingredient_of|||RXNORM||||N||", "9||CUI|RN|1||CUI|has_ingredient|||MTHSPL||||N||"]
    (folder / "RXNCONSO.RRF").write_text("\n".join(conso) + "\n")
    (folder / "RXNREL.RRF").write_text("\n".join(links) + "\n")
    return folder


def omop(folder: Path) -> Path:
    folder.mkdir(parents=True)
    days = "19700101\t20991231"  # as Athena writes them: every column, and in this order
    columns = "concept_id concept_name domain_id vocabulary_id concept_class_id standard_concept concept_code"
    concepts = ["\t".join([*columns.split(), "valid_start_date", "valid_end_date", "invalid_reason"])]
    concepts += [f"{concept}\tname\tCondition\t{SNOMED}\tFinding\tS\t{concept}\t{days}\t" for concept in CONCEPTS]
    concepts += [f"100\tname\tCondition\tICD10CM\tcode\t\tE11.9\t{days}\t"]
    above = [(child, parent) for child in CONCEPTS for parent in naive_ancestors(child)]
    ancestors = ["ancestor_concept_id\tdescendant_concept_id\tmin_levels_of_separation\tmax_levels_of_separation"]
    ancestors += [f"{parent}\t{child}\t1\t1" for child, parent in above] + [f"{c}\t{c}\t0\t0" for c in CONCEPTS]
    relations = ["concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason"]
    relations += [f"100\t4\tMaps to\t{days}\t", f"100\t9\tMaps to\t{days}\tD", f"100\t3\tSubsumes\t{days}\t"]
    (folder / "CONCEPT.csv").write_text("\n".join(concepts) + "\n")
    (folder / "CONCEPT_ANCESTOR.csv").write_text("\n".join(ancestors) + "\n")
    (folder / "CONCEPT_RELATIONSHIP.csv").write_text("\n".join(relations) + "\n")
    return folder


@pytest.mark.parametrize(("made", "vocabulary"), [(rf2, SNOMED), (rrf, RXNORM), (omop, SNOMED)])
def test_each_layout_gives_the_ancestors_of_a_walk_upwards(made: object, vocabulary: str, tmp_path: Path) -> None:
    load(made(tmp_path / "release"))  # type: ignore[operator]
    rows = ancestors_of_codes(f"{vocabulary}//{concept}" for concept in CONCEPTS).to_pylist()
    pairs = {(row["code"], row["ancestor"]) for row in rows}
    assert pairs == {
        (f"{vocabulary}//{concept}", f"{vocabulary}//{above}")
        for concept in CONCEPTS
        for above in naive_ancestors(concept)
    }


def test_a_code_that_maps_to_another_lies_below_all_that_one_lies_below(tmp_path: Path) -> None:
    load(omop(tmp_path / "release"))
    above = {row["ancestor"] for row in ancestors_of_codes(["ICD10CM//E11.9"]).to_pylist()}
    assert above == {f"{SNOMED}//{concept}" for concept in {4} | naive_ancestors(4)}


def test_a_release_is_named_and_replaces_the_one_before(tmp_path: Path, home: Path) -> None:
    first = load(rf2(tmp_path / "release"))
    assert first.release == "20240101"
    (tmp_path / "release" / "sct2_Relationship_Snapshot_INT_20240101.txt").write_text(
        "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\n"
    )
    second = load(tmp_path / "release", release="today")
    assert loaded() == (second,)
    assert (second.release, second.pairs) == ("today", 0)
    assert second.digest != first.digest
    assert sorted(path.name for path in (home / "vocabularies" / "snomed").iterdir()) == [
        "ancestors.parquet",
        "concepts.parquet",
        "release.json",
    ]


@pytest.mark.parametrize("missing", ["CONCEPT_ANCESTOR.csv", "CONCEPT_RELATIONSHIP.csv", "CONCEPT.csv"])
def test_half_a_release_is_refused_and_leaves_nothing(missing: str, tmp_path: Path, home: Path) -> None:
    folder = omop(tmp_path / "release")
    (folder / missing).unlink()
    with pytest.raises(PresageError, match="expected"):
        load(folder)
    assert not list(home.rglob("*.parquet"))


def test_a_source_is_read_by_what_was_loaded_before_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "Patient.ndjson").write_text(
        '{"resourceType":"Patient","id":"p","gender":"female","birthDate":"1960-01-01"}\n'
    )
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "999000011000000102"}]},
        "onsetDateTime": "2010-01-01",
    }
    (source / "Condition.ndjson").write_text(json.dumps(condition) + "\n")
    release = tmp_path / "release"
    release.mkdir()
    (release / "sct2_Concept_Snapshot_INT_20240101.txt").write_text(
        "id\teffectiveTime\tactive\n999000011000000102\t20240101\t1\n73211009\t20240101\t1\n"
    )
    (release / "sct2_Relationship_Snapshot_INT_20240101.txt").write_text(
        "id\teffectiveTime\tactive\tsourceId\tdestinationId\ttypeId\n"
        "1\t20240101\t1\t999000011000000102\t73211009\t116680003\n"
    )

    def diabetes(record: Path) -> float:
        report = fhir.ingest(source, record)
        assert [each["name"] for each in report.vocabularies] == [each.name for each in loaded()]
        kept = Record.open(record)
        frame = build(Index.at(np.array(kept.subject_ids()), "2020-01-01"), kept, catalogue=catalogue(["conditions"]))
        return float(frame.column("diabetes_ever")[0])

    assert diabetes(tmp_path / "before") == 0.0
    load(release)
    assert diabetes(tmp_path / "after") == 1.0
    sealed = json.loads((tmp_path / "after" / "metadata" / "tells.json").read_text())
    assert [each["release"] for each in sealed["vocabularies"]] == ["20240101"]
