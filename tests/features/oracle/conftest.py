"""Each real set read twice: by the project, and by the naive reading beside it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.build import build
from features.catalogue import catalogue, dense_families
from features.index import Index
from features.record import Record
from tests.features.conftest import Ingested
from tests.features.oracle import facts
from tests.features.oracle.equations import equations
from tests.features.oracle.readings import features, numbers


class Read(NamedTuple):
    """One row a person, in the source's order and under its ids: what the project found, and what the oracle did."""

    ours: pd.DataFrame
    theirs: pd.DataFrame
    people: pd.DataFrame


@pytest.fixture(scope="session")
def source(ingested: Callable[[str], Ingested]) -> Callable[[str], facts.Source]:
    """A real set as plain facts."""

    @cache
    def read(name: str) -> facts.Source:
        path = ingested(name).source
        return facts.fhir(path) if name in {"synthea", "bulk"} else facts.omop(path)

    return read


@pytest.fixture(scope="session")
def found(ingested: Callable[[str], Ingested]) -> Callable[[str, pd.Index, pd.Series | str], pd.DataFrame]:
    """The project's features of these people of a set, at one moment or at one of each."""

    def read(name: str, people: pd.Index, as_of: pd.Series | str) -> pd.DataFrame:
        record = ingested(name).record
        identity = pq.read_table(record / "identity" / "subjects.parquet").to_pandas()
        subjects = identity.set_index("source_id").subject_id.loc[list(people)]
        moments = as_of if isinstance(as_of, str) else as_of.to_numpy("datetime64[us]")
        index = Index.at(subjects.to_numpy(), moments)
        frame = build(index, Record.open(record), catalogue=catalogue(dense_families())).to_pandas()
        return frame.apply(numbers).set_axis(people)

    return read


@pytest.fixture(scope="session")
def read_twice(
    source: Callable[[str], facts.Source],
    found: Callable[[str, pd.Index, pd.Series | str], pd.DataFrame],
    real_data: Path,
) -> Callable[[str, str], Read]:
    """Everybody of a real set at a moment."""

    @cache
    def read(name: str, moment: str) -> Read:
        plain = source(name)
        theirs = features(plain, pd.Timestamp(moment))
        theirs = theirs.join(equations(theirs, real_data / "equations"))
        return Read(found(name, plain.people.index, moment), theirs, plain.people)

    return read
