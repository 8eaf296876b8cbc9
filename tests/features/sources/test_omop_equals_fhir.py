"""The simulator's people through OMOP and through FHIR: the same features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.build import build, learn_vocabulary
from features.catalogue import FAMILIES, catalogue
from features.frame import FeatureFrame
from features.index import Index
from features.record import identity
from features.record.record import Record
from features.sources import fhir, omop
from training.simulation.fhir import write_fhir
from training.simulation.omop import write_tables
from training.simulation.world import clinical_tables, make_world

PEOPLE_IN_FHIR = 200
MOMENTS = ("2004-01-01", "2012-07-01", "2024-12-31")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("both")
    tables = clinical_tables(make_world(people=400, seed=11))
    everyone = tables["person"]["person_id"].to_pylist()
    people = sorted({*tables["death"]["person_id"].to_pylist()[:50], *everyone})[:PEOPLE_IN_FHIR]
    (folder / "source").mkdir()
    write_fhir(folder / "source", tables, person_ids=people)
    write_tables(tables, folder / "cdm")
    omop.ingest(folder / "cdm", folder / "omop")
    fhir.ingest(folder / "source", folder / "fhir")
    return folder / "omop", folder / "fhir"


def _subjects(record_dir: Path) -> dict[str, int]:
    return {row["source_id"]: row["subject_id"] for row in identity.read(record_dir).to_pylist()}


def _frame(record_dir: Path, people: list[str], moment: str, *, vocabulary_of: Path) -> FeatureFrame:
    families = [family for family in FAMILIES if family != "polygenic"]
    subjects = _subjects(record_dir)
    learners = _subjects(vocabulary_of)
    learned = learn_vocabulary(
        Index.at([learners[person] for person in people], moment),
        Record.open(vocabulary_of),
        catalogue=catalogue(families),
    )
    return build(Index.at([subjects[person] for person in people], moment), Record.open(record_dir), catalogue=learned)


@pytest.mark.parametrize("moment", MOMENTS)
def test_two_hundred_people_have_the_same_features_by_either_route(moment: str, records: tuple[Path, Path]) -> None:
    through_omop, through_fhir = records
    people = sorted(_subjects(through_fhir))
    assert len(people) == PEOPLE_IN_FHIR
    left, right = (_frame(record, people, moment, vocabulary_of=through_omop) for record in records)
    assert left.names == right.names
    assert left.code_names == right.code_names
    assert len(left.code_names) > 20
    np.testing.assert_array_equal(left.values, right.values)
    assert left.codes is not None
    assert right.codes is not None
    assert (left.codes != right.codes).nnz == 0
    assert np.isfinite(left.values).mean() > 0.2
