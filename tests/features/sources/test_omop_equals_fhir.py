"""The simulator's people through OMOP and through FHIR: the same events."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from features.sources import fhir, omop
from training.simulation import simulate

COLUMNS = ["person", "time", "code", "numeric_value", "text_value", "available_time", "unit"]

# What the two forms cannot say alike. OMOP's care site and provider have labels of their own, FHIR's organization has
# those of its identifiers; OMOP's numeric id of a care site has no place in FHIR. US Core has no category for a race
# that is none of OMB's.
DOCUMENTED = ("CARE_SITE", "PROVIDER", "Race//other")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder / "source", people=1000, seed=11, scenario="default")
    omop.ingest(folder / "source" / "omop", folder / "omop")
    fhir.ingest(folder / "source" / "fhir", folder / "fhir")
    left, right = (_events(folder / name) for name in ("omop", "fhir"))
    return left[left.person.isin(right.person.unique())], right


def _events(record: Path) -> pd.DataFrame:
    who = pq.read_table(record / "identity" / "subjects.parquet").to_pandas().set_index("subject_id").source_id
    events = ds.dataset(record / "data").to_table().to_pandas()
    return events.assign(person=events.subject_id.map(who))[COLUMNS]


def test_two_hundred_people_have_the_same_events_by_either_route(both: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    left, right = (
        part[~part.code.isin(DOCUMENTED)].sort_values(COLUMNS, na_position="first").reset_index(drop=True)
        for part in both
    )
    assert left.person.nunique() == right.person.nunique() == 200
    assert len(left) > 20_000
    pd.testing.assert_frame_equal(left, right)


def test_what_the_two_forms_say_differently_is_only_what_is_documented(
    both: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    left, right = both
    counts = pd.DataFrame({"omop": left.code.value_counts(), "fhir": right.code.value_counts()}).fillna(0)
    differ = counts[counts.omop != counts.fhir]
    assert set(differ.index) <= {"Race//other"}
