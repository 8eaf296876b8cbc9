"""Every concept the simulated record uses, as OMOP concept tables: real ids where known, local ones above 2 billion.

Real ids stand as they do in the concept tables of OHDSI's GiBleed and Synthea27Nj sets. Other concepts have local ids
but keep their true vocabulary and code; the vocabulary `Presage` holds what no vocabulary has.
"""

from __future__ import annotations

import csv
import datetime
from dataclasses import dataclass
from importlib import resources

import pyarrow as pa

LOCAL = 2_000_000_000
VALID_FROM, VALID_TO = datetime.date(1970, 1, 1), datetime.date(2099, 12, 31)


@dataclass(frozen=True, slots=True)
class Concept:
    """One row of CONCEPT. `standard`: S, or empty for source concepts, which `maps_to` a standard one's key."""

    concept_id: int
    name: str
    domain: str
    vocabulary: str
    concept_class: str
    code: str
    standard: str
    maps_to: str


def _rows(file: str) -> list[dict[str, str]]:
    with (resources.files("training.simulation") / file).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


CONCEPTS: dict[str, Concept] = {
    row["key"]: Concept(
        concept_id=int(row["concept_id"]),
        name=row["concept_name"],
        domain=row["domain_id"],
        vocabulary=row["vocabulary_id"],
        concept_class=row["concept_class_id"],
        code=row["concept_code"],
        standard=row["standard_concept"],
        maps_to=row["maps_to"],
    )
    for row in _rows("concepts.csv")
}


def concept_table() -> pa.Table:
    """CONCEPT, in the order of ids."""
    rows = sorted(CONCEPTS.values(), key=lambda concept: concept.concept_id)
    return pa.table(
        {
            "concept_id": pa.array([c.concept_id for c in rows], pa.int64()),
            "concept_name": [c.name for c in rows],
            "domain_id": [c.domain for c in rows],
            "vocabulary_id": [c.vocabulary for c in rows],
            "concept_class_id": [c.concept_class for c in rows],
            "standard_concept": pa.array([c.standard or None for c in rows], pa.string()),
            "concept_code": [c.code for c in rows],
            **_validity(len(rows)),
        }
    )


def relationship_table() -> pa.Table:
    """CONCEPT_RELATIONSHIP: each source concept 'Maps to' its standard one; standard ones to themselves."""
    pairs = sorted(
        (c.concept_id, CONCEPTS[c.maps_to].concept_id if c.maps_to else c.concept_id) for c in CONCEPTS.values()
    )
    return pa.table(
        {
            "concept_id_1": pa.array([source for source, _ in pairs], pa.int64()),
            "concept_id_2": pa.array([standard for _, standard in pairs], pa.int64()),
            "relationship_id": ["Maps to"] * len(pairs),
            **_validity(len(pairs)),
        }
    )


def ancestor_table() -> pa.Table:
    """CONCEPT_ANCESTOR: every standard clinical concept is its own ancestor, as OMOP has it, and the hierarchy."""
    clinical = ("Drug", "Condition", "Measurement", "Observation")
    rows = [(c.concept_id, c.concept_id, 0) for c in CONCEPTS.values() if c.standard and c.domain in clinical]
    rows += [
        (CONCEPTS[row["ancestor"]].concept_id, CONCEPTS[row["descendant"]].concept_id, int(row["levels"]))
        for row in _rows("concept_ancestors.csv")
    ]
    rows.sort()
    return pa.table(
        {
            "ancestor_concept_id": pa.array([ancestor for ancestor, _, _ in rows], pa.int64()),
            "descendant_concept_id": pa.array([descendant for _, descendant, _ in rows], pa.int64()),
            "min_levels_of_separation": pa.array([levels for _, _, levels in rows], pa.int64()),
            "max_levels_of_separation": pa.array([levels for _, _, levels in rows], pa.int64()),
        }
    )


def _validity(n: int) -> dict[str, pa.Array]:
    return {
        "valid_start_date": pa.array([VALID_FROM] * n, pa.date32()),
        "valid_end_date": pa.array([VALID_TO] * n, pa.date32()),
        "invalid_reason": pa.nulls(n, pa.string()),
    }
