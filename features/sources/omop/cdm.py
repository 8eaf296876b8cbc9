"""The OMOP tables that are read, declared once: which columns hold the concept, the dates and the value.

The OMOP Common Data Model 5.3 and 5.4 (https://ohdsi.github.io/CommonDataModel/) agree in every column named here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Known = Literal["at its own time", "at the end of its visit"]


@dataclass(frozen=True, slots=True)
class ClinicalTable:
    """A table with one dated fact a row.

    stem: the columns are `<stem>_concept_id`, `<stem>_source_concept_id`, `<stem>_source_value`.
    start: the date column, and the datetime beside it. known: when the fact was known at the latest (contract 1).
    number: the column that holds the value, and the unit it is always in. has_value: whether values may also be
    concepts or text, and have units of their own.
    """

    name: str
    key: str
    stem: str
    start: tuple[str, str]
    known: Known
    number: str | None = None
    number_unit: str | None = None
    has_value: bool = False

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which no row can become an event."""
        return ("person_id", f"{self.stem}_concept_id", self.start[0])


CLINICAL = (
    ClinicalTable(
        "condition_occurrence",
        "condition_occurrence_id",
        "condition",
        ("condition_start_date", "condition_start_datetime"),
        "at the end of its visit",
    ),
    ClinicalTable(
        "drug_exposure",
        "drug_exposure_id",
        "drug",
        ("drug_exposure_start_date", "drug_exposure_start_datetime"),
        "at its own time",
        # Not derived from drug_exposure_end_date: that is known only when the person has stopped.
        number="days_supply",
        number_unit="d",
    ),
    ClinicalTable(
        "procedure_occurrence",
        "procedure_occurrence_id",
        "procedure",
        ("procedure_date", "procedure_datetime"),
        "at the end of its visit",
    ),
    ClinicalTable(
        "measurement",
        "measurement_id",
        "measurement",
        ("measurement_date", "measurement_datetime"),
        "at its own time",
        number="value_as_number",
        has_value=True,
    ),
    ClinicalTable(
        "observation",
        "observation_id",
        "observation",
        ("observation_date", "observation_datetime"),
        "at its own time",
        number="value_as_number",
        has_value=True,
    ),
    ClinicalTable(
        "device_exposure",
        "device_exposure_id",
        "device",
        ("device_exposure_start_date", "device_exposure_start_datetime"),
        "at the end of its visit",
    ),
)

REQUIRED = {
    "person": ("person_id", "gender_concept_id", "year_of_birth"),
    "death": ("person_id", "death_date"),
    "observation_period": ("person_id", "observation_period_start_date", "observation_period_end_date"),
    "visit_occurrence": ("visit_occurrence_id", "person_id", "visit_concept_id", "visit_start_date"),
    "care_site": ("care_site_id",),
    "provider": ("provider_id",),
    "concept": ("concept_id", "vocabulary_id", "concept_code"),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id"),
    "concept_relationship": ("concept_id_1", "concept_id_2", "relationship_id"),
    **{table.name: table.required for table in CLINICAL},
}
"""Tables that are read, and the columns that each cannot do without. Only `person` must be there."""

VOCABULARY_COLUMNS: dict[str, tuple[str, ...]] = {
    "concept": ("concept_id", "vocabulary_id", "concept_code", "concept_name"),
    "concept_ancestor": ("ancestor_concept_id", "descendant_concept_id", "min_levels_of_separation"),
    "concept_relationship": ("concept_id_1", "concept_id_2", "relationship_id", "invalid_reason"),
}
"""The tables of the vocabulary, of which no row is ever kept whole, and the columns that are used of them."""

TABLES = frozenset(REQUIRED) | {
    "attribute_definition", "cdm_source", "cohort", "cohort_definition", "concept_class", "concept_synonym",
    "condition_era", "cost", "domain", "dose_era", "drug_era", "drug_strength", "episode", "episode_event",
    "fact_relationship", "location", "metadata", "note", "note_nlp", "payer_plan_period", "relationship",
    "source_to_concept_map", "specimen", "visit_detail", "vocabulary",
}  # fmt: skip
"""Every table of CDM 5.3 and 5.4."""
