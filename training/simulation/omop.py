"""Writes the simulated record as OMOP CDM 5.4 tables in Parquet, every column of the model in its order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.arrays import Floats, Ints
from features.progress import Progress, silent
from training.simulation.care import KEY_INDEX, KEYS, Rows
from training.simulation.concepts import CONCEPTS, ancestor_table, concept_table, relationship_table
from training.simulation.lives import Lives
from training.simulation.population import EPOCH, N_SITES, PROVIDERS_PER_SITE, People
from training.simulation.visits import CONCEPT_OF_REASON, Visits

UNIT = {
    "sbp": "mm[Hg]",
    "dbp": "mm[Hg]",
    "bmi": "kg/m2",
    "tc": "mg/dL",
    "hdl": "mg/dL",
    "ldl": "mg/dL",
    "tg": "mg/dL",
    "hba1c": "%",
    "glucose": "mg/dL",
    "creatinine": "mg/dL",
    "egfr": "mL/min/{1.73_m2}",
    "acr": "mg/g",
}
SMOKING_TEXT = ("never", "former", "current")
RACE_OF_GROUP = {"AFR": "black", "EUR": "white", "EAS": "asian", "SAS": "asian", "AMR": None}

_ID = np.array([CONCEPTS[key].concept_id for key in KEYS], dtype=np.int64)
_STANDARD = np.array([CONCEPTS[CONCEPTS[key].maps_to or key].concept_id for key in KEYS], dtype=np.int64)
_SOURCE = np.array([CONCEPTS[key].concept_id if CONCEPTS[key].maps_to else 0 for key in KEYS], dtype=np.int64)
_CODE = pa.array([CONCEPTS[key].code for key in KEYS])

# Columns of CDM 5.4 by table; the type follows the name (`_type`).
COLUMNS = {
    "person": "person_id gender_concept_id year_of_birth month_of_birth day_of_birth birth_datetime race_concept_id "
    "ethnicity_concept_id location_id provider_id care_site_id person_source_value gender_source_value "
    "gender_source_concept_id race_source_value race_source_concept_id ethnicity_source_value "
    "ethnicity_source_concept_id",
    "observation_period": "observation_period_id person_id observation_period_start_date observation_period_end_date "
    "period_type_concept_id",
    "visit_occurrence": "visit_occurrence_id person_id visit_concept_id visit_start_date visit_start_datetime "
    "visit_end_date visit_end_datetime visit_type_concept_id provider_id care_site_id visit_source_value "
    "visit_source_concept_id admitted_from_concept_id admitted_from_source_value discharged_to_concept_id "
    "discharged_to_source_value preceding_visit_occurrence_id",
    "condition_occurrence": "condition_occurrence_id person_id condition_concept_id condition_start_date "
    "condition_start_datetime condition_end_date condition_end_datetime condition_type_concept_id "
    "condition_status_concept_id stop_reason provider_id visit_occurrence_id visit_detail_id condition_source_value "
    "condition_source_concept_id condition_status_source_value",
    "drug_exposure": "drug_exposure_id person_id drug_concept_id drug_exposure_start_date drug_exposure_start_datetime "
    "drug_exposure_end_date drug_exposure_end_datetime verbatim_end_date drug_type_concept_id stop_reason refills "
    "quantity days_supply sig route_concept_id lot_number provider_id visit_occurrence_id visit_detail_id "
    "drug_source_value drug_source_concept_id route_source_value dose_unit_source_value",
    "measurement": "measurement_id person_id measurement_concept_id measurement_date measurement_datetime "
    "measurement_time measurement_type_concept_id operator_concept_id value_as_number value_as_concept_id "
    "unit_concept_id range_low range_high provider_id visit_occurrence_id visit_detail_id measurement_source_value "
    "measurement_source_concept_id unit_source_value unit_source_concept_id value_source_value measurement_event_id "
    "meas_event_field_concept_id",
    "observation": "observation_id person_id observation_concept_id observation_date observation_datetime "
    "observation_type_concept_id value_as_number value_as_string value_as_concept_id qualifier_concept_id "
    "unit_concept_id provider_id visit_occurrence_id visit_detail_id observation_source_value "
    "observation_source_concept_id unit_source_value qualifier_source_value value_source_value observation_event_id "
    "obs_event_field_concept_id",
    "death": "person_id death_date death_datetime death_type_concept_id cause_concept_id cause_source_value "
    "cause_source_concept_id",
    "care_site": "care_site_id care_site_name place_of_service_concept_id location_id care_site_source_value "
    "place_of_service_source_value",
    "provider": "provider_id provider_name npi dea specialty_concept_id care_site_id year_of_birth gender_concept_id "
    "provider_source_value specialty_source_value specialty_source_concept_id gender_source_value "
    "gender_source_concept_id",
}  # fmt: skip
_TEXTS = {"stop_reason", "sig", "lot_number", "measurement_time", "npi", "dea", "value_as_string"}
_NUMBERS = {"value_as_number", "range_low", "range_high", "quantity"}


def _type(name: str) -> pa.DataType:
    if name.endswith("_datetime"):
        return pa.timestamp("us")
    if name.endswith("_date"):
        return pa.date32()
    if name.endswith(("_source_value", "_name")) or name in _TEXTS:
        return pa.string()
    return pa.float64() if name in _NUMBERS else pa.int64()


def schema(table: str) -> pa.Schema:
    """The CDM 5.4 columns of a table."""
    return pa.schema([pa.field(name, _type(name)) for name in COLUMNS[table].split()])


def _table(name: str, columns: Mapping[str, pa.Array | NDArray[np.generic]]) -> pa.Table:
    """A table of this name; columns that are not given are null."""
    wanted = schema(name)
    length = len(next(iter(columns.values())))
    unknown = set(columns) - set(wanted.names)
    if unknown:
        raise ValueError(f"{name}: no such columns: {sorted(unknown)}")
    arrays = []
    for field in wanted:
        column = columns.get(field.name)
        if column is None:
            arrays.append(pa.nulls(length, field.type))
        else:
            array = column if isinstance(column, pa.Array) else pa.array(column)
            arrays.append(array.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=wanted)


def _dates(day: Ints | Floats) -> pa.Array:
    return pa.array(np.floor(day).astype(np.int32) + EPOCH.astype("int64").astype(np.int32), pa.int32()).cast(
        pa.date32()
    )


def _times(day: Floats) -> pa.Array:
    minutes = np.round(day * 1440).astype(np.int64)
    return pa.array(minutes * 60_000_000 + int(EPOCH.astype("datetime64[us]").astype(np.int64)), pa.int64()).cast(
        pa.timestamp("us")
    )


def _ids(n: int) -> Ints:
    return np.arange(1, n + 1, dtype=np.int64)


def _same(n: int, key: str) -> Ints:
    return np.full(n, CONCEPTS[key].concept_id, dtype=np.int64)


def person_table(people: People) -> pa.Table:
    """PERSON: race and ethnicity as recorded, in the coarse words of a front desk."""
    birth = (EPOCH + people.birth_day).astype("datetime64[D]")
    year = birth.astype("datetime64[Y]").astype(int) + 1970
    month = birth.astype("datetime64[M]").astype(int) % 12 + 1
    race = [RACE_OF_GROUP[g] for g in people.group]
    ethnicity = np.where(people.group == "AMR", "hispanic", "not_hispanic")
    return _table(
        "person",
        {
            "person_id": people.person_id,
            "gender_concept_id": np.where(people.female, CONCEPTS["F"].concept_id, CONCEPTS["M"].concept_id),
            "year_of_birth": year,
            "month_of_birth": month,
            "day_of_birth": (birth - birth.astype("datetime64[M]")).astype(int) + 1,
            "birth_datetime": _times(people.birth_day.astype(np.float64)),
            "race_concept_id": np.array([CONCEPTS[r].concept_id if r else 0 for r in race], dtype=np.int64),
            "ethnicity_concept_id": np.array([CONCEPTS[e].concept_id for e in ethnicity], dtype=np.int64),
            "provider_id": people.provider + 1,
            "care_site_id": people.site + 1,
            "person_source_value": pa.array([f"P{i:07d}" for i in people.person_id]),
            "gender_source_value": np.where(people.female, "F", "M"),
            "race_source_value": pa.array([r or "other" for r in race]),
            "ethnicity_source_value": pa.array(ethnicity),
        },
    )


def period_table(people: People, lives: Lives) -> pa.Table:
    """OBSERVATION_PERIOD, the last day included."""
    person, which = np.nonzero(lives.periods[:, :, 0] <= lives.periods[:, :, 1])
    n = len(person)
    return _table(
        "observation_period",
        {
            "observation_period_id": _ids(n),
            "person_id": people.person_id[person],
            "observation_period_start_date": _dates(lives.periods[person, which, 0]),
            "observation_period_end_date": _dates(lives.periods[person, which, 1]),
            "period_type_concept_id": _same(n, "ehr"),
        },
    )


def visit_table(people: People, visits: Visits) -> pa.Table:
    """VISIT_OCCURRENCE; its ids are the row numbers from 1."""
    concept = np.array([CONCEPTS[key].concept_id for key in CONCEPT_OF_REASON], dtype=np.int64)
    n = len(visits)
    return _table(
        "visit_occurrence",
        {
            "visit_occurrence_id": _ids(n),
            "person_id": people.person_id[visits.person],
            "visit_concept_id": concept[visits.reason],
            "visit_start_date": _dates(visits.start),
            "visit_start_datetime": _times(visits.start),
            "visit_end_date": _dates(visits.end),
            "visit_end_datetime": _times(visits.end),
            "visit_type_concept_id": _same(n, "ehr"),
            "provider_id": people.provider[visits.person] + 1,
            "care_site_id": people.site[visits.person] + 1,
            "visit_source_value": pa.array(CONCEPT_OF_REASON).take(pa.array(visits.reason)),
        },
    )


def _visit_ids(rows: Rows) -> pa.Array:
    return pa.array(rows.visit + 1, mask=rows.visit < 0)


def condition_table(people: People, rows: Rows) -> pa.Table:
    """CONDITION_OCCURRENCE: standard SNOMED with the ICD-10-CM source, dated by day."""
    n = len(rows)
    return _table(
        "condition_occurrence",
        {
            "condition_occurrence_id": _ids(n),
            "person_id": people.person_id[rows.person],
            "condition_concept_id": _STANDARD[rows.key],
            "condition_start_date": _dates(rows.time),
            "condition_type_concept_id": _same(n, "ehr"),
            "visit_occurrence_id": _visit_ids(rows),
            "condition_source_value": _CODE.take(pa.array(rows.key)),
            "condition_source_concept_id": _SOURCE[rows.key],
        },
    )


def drug_table(people: People, rows: Rows) -> pa.Table:
    """DRUG_EXPOSURE, dated by day."""
    n = len(rows)
    return _table(
        "drug_exposure",
        {
            "drug_exposure_id": _ids(n),
            "person_id": people.person_id[rows.person],
            "drug_concept_id": _STANDARD[rows.key],
            "drug_exposure_start_date": _dates(rows.time),
            "drug_exposure_end_date": _dates(np.floor(rows.time) + rows.value - 1),
            "drug_type_concept_id": _same(n, "ehr"),
            "days_supply": rows.value.astype(np.int64),
            "visit_occurrence_id": _visit_ids(rows),
            "drug_source_value": _CODE.take(pa.array(rows.key)),
            "drug_source_concept_id": np.zeros(n, dtype=np.int64),
        },
    )


def measurement_table(people: People, rows: Rows) -> pa.Table:
    """MEASUREMENT, with the clock time of the visit."""
    n = len(rows)
    unit_id = np.array([CONCEPTS[UNIT[key]].concept_id if key in UNIT else 0 for key in KEYS], dtype=np.int64)
    unit = pa.array([UNIT.get(key) for key in KEYS])
    return _table(
        "measurement",
        {
            "measurement_id": _ids(n),
            "person_id": people.person_id[rows.person],
            "measurement_concept_id": _STANDARD[rows.key],
            "measurement_date": _dates(rows.time),
            "measurement_datetime": _times(rows.time),
            "measurement_type_concept_id": _same(n, "ehr"),
            "value_as_number": rows.value,
            "unit_concept_id": unit_id[rows.key],
            "visit_occurrence_id": _visit_ids(rows),
            "measurement_source_value": _CODE.take(pa.array(rows.key)),
            "measurement_source_concept_id": np.zeros(n, dtype=np.int64),
            "unit_source_value": unit.take(pa.array(rows.key)),
        },
    )


def observation_table(people: People, rows: Rows) -> pa.Table:
    """OBSERVATION: smoking as text, the others as numbers."""
    n = len(rows)
    smoking = rows.key == KEY_INDEX["smoking"]
    text = pa.array(SMOKING_TEXT).take(pa.array(rows.value.astype(np.int64), mask=~smoking))
    return _table(
        "observation",
        {
            "observation_id": _ids(n),
            "person_id": people.person_id[rows.person],
            "observation_concept_id": _STANDARD[rows.key],
            "observation_date": _dates(rows.time),
            "observation_type_concept_id": _same(n, "ehr"),
            "value_as_number": pa.array(rows.value, mask=smoking),
            "value_as_string": text,
            "visit_occurrence_id": _visit_ids(rows),
            "observation_source_value": _CODE.take(pa.array(rows.key)),
            "observation_source_concept_id": np.zeros(n, dtype=np.int64),
        },
    )


def death_table(people: People, lives: Lives) -> pa.Table:
    """DEATH of those who were enrolled when they died."""
    dead = np.flatnonzero(np.isfinite(lives.death_day))
    dead = dead[lives.enrolled(dead, lives.death_day[dead])]
    return _table(
        "death",
        {
            "person_id": people.person_id[dead],
            "death_date": _dates(lives.death_day[dead]),
            "death_type_concept_id": _same(len(dead), "ehr"),
        },
    )


def site_tables() -> dict[str, pa.Table]:
    """CARE_SITE and PROVIDER."""
    sites, providers = np.arange(N_SITES), np.arange(N_SITES * PROVIDERS_PER_SITE)
    return {
        "care_site": _table(
            "care_site",
            {
                "care_site_id": sites + 1,
                "care_site_name": pa.array([f"Simulated practice {i + 1}" for i in sites]),
                "place_of_service_concept_id": np.zeros(len(sites), dtype=np.int64),
                "care_site_source_value": pa.array([f"SITE{i + 1:02d}" for i in sites]),
            },
        ),
        "provider": _table(
            "provider",
            {
                "provider_id": providers + 1,
                "provider_name": pa.array([f"Simulated doctor {i + 1}" for i in providers]),
                "care_site_id": providers // PROVIDERS_PER_SITE + 1,
                "provider_source_value": pa.array([f"DR{i + 1:03d}" for i in providers]),
            },
        ),
    }


def vocabulary_tables() -> dict[str, pa.Table]:
    """CONCEPT, CONCEPT_RELATIONSHIP and CONCEPT_ANCESTOR."""
    return {
        "concept": concept_table(),
        "concept_relationship": relationship_table(),
        "concept_ancestor": ancestor_table(),
    }


def write_tables(tables: Mapping[str, pa.Table], folder: Path, *, progress: Progress = silent) -> None:
    """One Parquet file per table."""
    folder.mkdir(parents=True, exist_ok=True)
    with progress("writing OMOP tables", total=len(tables)) as advance:
        for name, table in tables.items():
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd", row_group_size=1 << 20)
            advance(1)
