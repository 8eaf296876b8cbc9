"""One clock for every source: a report is known from the same moment, whichever way it came into the record."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.findings.ingest import ingest as ingest_findings
from features.findings.reports import moment
from features.record import identity
from features.sources.fhir import ingest as ingest_fhir
from features.sources.fhir.times import with_moments
from tests.features.findings.test_genomics_reporting import GERMLINE, a_bundle

# effectiveDateTime, issued, known
REPORTS = [
    (None, "2015-02-03T22:30:00-05:00", "2015-02-03T22:30:00"),  # in UTC it is the next day already
    (None, "2015-02-03T00:30:00+02:00", "2015-02-03T00:30:00"),  # in UTC it is the day before
    (None, "2015-02-03T10:00:00Z", "2015-02-03T10:00:00"),
    (None, "2015-02-03T10:00:00.250+01:00", "2015-02-03T10:00:00.250000"),
    (None, "2015-02-03T10:00+01:00", "2015-02-03T10:00:00"),
    (None, "2015-02-03T00:00:00-05:00", "2015-02-03T23:59:59.999999"),  # midnight sharp: no clock time
    (None, "2015-02-03", "2015-02-03T23:59:59.999999"),
    ("2015-02", None, "2015-02-28T23:59:59.999999"),
    ("2015", "2015-02-03T10:00:00+01:00", "2015-02-03T10:00:00"),  # when it was issued refines a date
    ("2015-02-03", "2015-02-03T10:00:00+01:00", "2015-02-03T10:00:00"),
    ("2015-02-04", "2015-02-03T10:00:00+01:00", "2015-02-04T23:59:59.999999"),  # issued before it was taken
    ("2015-02-03T11:00:00+01:00", "2015-02-03T10:00:00Z", "2015-02-03T11:00:00"),  # two clocks: the later
    ("2015-02-03", "soon", "2015-02-03T23:59:59.999999"),
    ("2015-01-20T08:00:00+01:00", "2015-02-03T10:00:00+01:00", "2015-02-03T10:00:00"),
]


def reported(n: int, effective: str | None, issued: str | None) -> str:
    """A report of a person of its own, with ids of its own."""
    bundle = a_bundle(GERMLINE)
    report = bundle["entry"][3]["resource"]
    del report["issued"]
    report |= {name: text for name, text in (("effectiveDateTime", effective), ("issued", issued)) if text}
    return re.sub(r'"((?:Patient/|Observation/)?)(m?7|v|i|r)"', rf'"\g<1>\g<2>-{n}"', json.dumps(bundle))


@pytest.mark.slow
def test_a_report_is_known_from_the_same_moment_by_either_route(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    for n, (effective, issued, _) in enumerate(REPORTS):
        (tmp_path / "reports" / f"{n}.json").write_text(reported(n, effective, issued))
    ingest_fhir(tmp_path / "reports", tmp_path / "record")
    ingest_findings(tmp_path / "reports", tmp_path / "record")
    people = {row["subject_id"]: row["source_id"] for row in identity.read(tmp_path / "record").to_pylist()}
    events = ds.dataset(tmp_path / "record" / "data").to_table(filter=ds.field("code") == "LOINC//51969-4")
    genomic = (pq.read_table(tmp_path / "record" / "genomic" / f"{name}.parquet") for name in ("findings", "coverage"))
    for table in (events, *genomic):
        found = {people[row["subject_id"]]: row["available_time"] for row in table.to_pylist()}
        assert found == {f"7-{n}": datetime.fromisoformat(known) for n, (*_, known) in enumerate(REPORTS)}


CLOCKS = st.one_of(
    st.just(""),
    st.builds(
        "T{:02}:{:02}{}{}".format,
        st.integers(0, 23),
        st.sampled_from([0, 0, 7, 59]),
        st.sampled_from(["", ":00", ":00", ":59", ":59.5", ":00.000001", ":07.123456789"]),
        st.sampled_from(["", "Z", "+14:00", "-12:00", "+05:30"]),
    ),
)
DAYS = st.dates(datetime.fromisoformat("1790-01-01").date(), datetime.fromisoformat("2260-12-31").date())
WRITTEN = st.one_of(
    st.builds("{:%Y-%m-%d}{}".format, DAYS, CLOCKS),
    st.builds("{:%Y-%m}".format, DAYS),
    st.builds("{:%Y}".format, DAYS),
    st.sampled_from(["", "soon", "0001-01-01", "9999-12-31", "2016-02-30", "2016-09-06T25:00:00", "2016-13"]),
)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.lists(WRITTEN, min_size=20, max_size=60))
def test_every_spelling_of_a_date_means_the_same_in_a_report_as_in_fhir(texts: list[str]) -> None:
    backend = ibis.duckdb.from_connection(duckdb.connect())
    written = with_moments(ibis.memtable(pa.table({"n": list(range(len(texts))), "text": texts})), "text")
    read = backend.to_pyarrow(written.order_by("n"))
    assert read["text_known"].to_pylist() == [moment(text) for text in texts]
