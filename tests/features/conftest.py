"""The real data sets as records, each ingested once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from features.sources import fhir, omop
from features.sources.report import IngestReport

REAL_SETS = {
    "gibleed": (omop.ingest, "omop_gibleed"),
    "mimic": (omop.ingest, "omop_mimic_iv_demo"),
    "synthea27nj": (omop.ingest, "omop_synthea27nj/Synthea27Nj_5.4.zip"),
    "synthea": (fhir.ingest, "fhir_r4_synthea/ndjson"),
    "bulk": (fhir.ingest, "fhir_r4_bulk_10"),
}


class Ingested(NamedTuple):
    """What the report said, the record, and the source it was read from."""

    report: IngestReport
    record: Path
    source: Path


@pytest.fixture(scope="session")
def ingested(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ingested]:
    """One of `REAL_SETS` as a record that no test may change."""

    @cache
    def read(name: str) -> Ingested:
        ingest, where = REAL_SETS[name]
        record = tmp_path_factory.mktemp(name)
        return Ingested(ingest(real_data / where, record), record, real_data / where)

    return read
