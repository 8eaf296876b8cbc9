"""The same expressions on DuckDB and on PySpark in local mode give the same frame."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.engine.session import IbisSession, duckdb_session
from features.index import Index
from features.leakage import moved
from features.record.record import Record
from features.record.schema import EVENTS
from training.cohort import index as cohort_index

pytest.importorskip("pyspark", reason="the extra 'spark' is not installed")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java", allow_module_level=True)

CODES = ["ICD10CM//E11.9", "LOINC//8480-6", "LOINC//2093-3", "LOINC//72166-2", "RxNorm//83367", "Visit//IP",
         "VISIT_END//IP", "Gender//F", "MEDS_BIRTH"]  # fmt: skip

# Read like those that stay: left out for speed.
OTHERS = ("dbp", "hdl", "ldl", "triglycerides", "hba1c", "egfr", "creatinine", "bmi", "urine", "anti", "opioid",
          "nsaid", "aspirin", "proton", "cortico", "glucose")  # fmt: skip


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PySpark 4.0 uses what pandas 3 and Python deprecate
        import ibis
        from pyspark.sql import SparkSession

        session = (
            SparkSession.builder.master("local[2]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.session.timeZone", "UTC")
            .config("spark.sql.shuffle.partitions", "2")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .getOrCreate()
        )
        yield ibis.pyspark.connect(session)
        session.stop()


def a_record(rng: np.random.Generator) -> Record:
    n = 600
    time = np.datetime64("2018-01-01", "us") + rng.integers(0, 900 * 86_400, n).astype("timedelta64[s]")
    known = time + rng.choice([0, 3, 40], n).astype("timedelta64[D]")
    columns = {
        "subject_id": pa.array(rng.integers(0, 20, n)),
        "time": pa.array(time, mask=rng.random(n) < 0.05),
        "code": pa.array(rng.choice(CODES, n)),
        "numeric_value": pa.array(rng.normal(120, 40, n).astype(np.float32), mask=rng.random(n) < 0.2),
        "text_value": pa.array(rng.choice(["current", "Never", "?"], n), pa.large_string()),
        "available_time": pa.array(known, mask=rng.random(n) < 0.3),
        "unit": pa.array(rng.choice(["mm[Hg]", "mg/dL", "mmol/L", "d"], n), mask=rng.random(n) < 0.3),
    }
    return Record.in_memory(pa.table(columns, schema=EVENTS))


@pytest.mark.filterwarnings("ignore")
def test_duckdb_and_spark_give_the_same_bits(spark: Any) -> None:
    record = a_record(np.random.default_rng(1))
    index = Index.at(np.repeat(np.arange(20), 2), np.tile(np.array(["2019-06-01", "2020-06-01"], "datetime64[us]"), 20))
    features: Catalogue = catalogue(["demographics", "measurements", "medications", "utilisation", "social", "codes"])
    features = features.only(name for name in features.names if not name.startswith(OTHERS)).with_vocabulary(CODES[:6])
    duck, cluster = build(index, record, catalogue=features), build(index, record, catalogue=features, backend=spark)
    assert moved(duck, cluster) == []
    assert np.isfinite(duck.column("sbp_mmhg_slope_1825d")).any()


def enrolled_people(rng: np.random.Generator, *, is_enrolled: bool) -> pa.Table:
    """Birth, visits and some deaths of 40 people; stretches that overlap, touch or leave gaps, or no enrolment.

    Of those who leave, most do on the day of their last visit; an appointment lies ahead, a static fact has no time.
    """
    rows: list[tuple[int, str | None, str]] = [(0, None, "Gender//F"), (0, "2030-01-01", "Visit//OP")]
    for person in range(40):
        visits = np.datetime64("2006-01-01", "D") + np.sort(rng.integers(0, 4000, 4))
        rows += [(person, "1950-06-01", "MEDS_BIRTH"), *((person, str(day), "Visit//OP") for day in visits)]
        if person % 7 == 0:
            rows.append((person, str(visits[-1]), "MEDS_DEATH"))
        ends = [visits[-1] if person % 4 else visits[-1] + 9, visits[1] + int(rng.integers(-9, 9)), visits[0] + 1]
        starts = [visits[2], visits[0], visits[0]]
        for start, end in zip(starts[: 1 + person % 3], ends, strict=False) if is_enrolled else ():
            rows += [(person, str(start), "OBSERVATION_PERIOD//START"), (person, str(end), "OBSERVATION_PERIOD//END")]
    today = datetime.fromisoformat("2020-01-01")
    events = []
    for person, day, code in rows:
        time = None if day is None else datetime.fromisoformat(day)
        known = None if time is None else min(time, today)
        events.append({"subject_id": person, "time": time, "code": code, "available_time": known})
    return pa.Table.from_pylist(events, schema=EVENTS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("is_enrolled", [True, False])
def test_duckdb_and_spark_find_the_same_enrolment(is_enrolled: bool, spark: Any) -> None:
    events = enrolled_people(np.random.default_rng(2), is_enrolled=is_enrolled)
    found = []
    for session in (duckdb_session(), IbisSession(spark)):
        session.put("presage_events", events)
        periods = session.run(cohort_index._periods().order_by("subject_id", "period_start")).to_pylist()
        (ends,) = session.run(cohort_index._ends()).to_pylist()
        found.append((periods, {name: int(n) for name, n in ends.items()}))
    assert found[0] == found[1]
    periods, ends = found[0]
    assert len(periods) > 40 if is_enrolled else len(periods) == 40
    assert ends["at_last"] > 10 if is_enrolled else ends == {"stretches": 0, "leave": 0, "at_last": 0}


@pytest.mark.filterwarnings("ignore")
def test_duckdb_and_spark_compute_the_same_bits_from_parts(spark: Any) -> None:
    rng = np.random.default_rng(3)
    births = [
        {"subject_id": who, "time": np.datetime64(f"{1940 + who}-01-01", "us"), "code": "MEDS_BIRTH"}
        for who in range(40)
    ]
    sexes = [{"subject_id": who, "code": f"Gender//{'FM'[who % 2]}"} for who in range(40)]
    day = np.datetime64("2018-01-01", "us")
    parts = [
        {"subject_id": who, "time": day + np.timedelta64(int(rng.integers(300)), "D"), "code": f"LOINC//{code}",
         "numeric_value": float(value * rng.uniform(0.7, 1.4)), "unit": unit}
        for who in range(40)
        for code, value, unit in (("2160-0", 90.0, "umol/L"), ("29463-7", 160.0, "[lb_av]"), ("8302-2", 170.0, "cm"))
    ]  # fmt: skip
    record = Record.in_memory(pa.Table.from_pylist([*births, *sexes, *parts], EVENTS))
    index = Index.at(range(40), "2019-06-01")
    features = catalogue(["measurements"]).only(["egfr_ml_min_173m2_latest_1825d", "bmi_kg_m2_latest_1825d"])
    here, there = build(index, record, catalogue=features), build(index, record, catalogue=features, backend=spark)
    assert here.values.tobytes() == there.values.tobytes()
    assert all(mask.sum() > 30 for mask in here.derived.values())
    assert all(np.array_equal(mask, there.derived[name]) for name, mask in here.derived.items())
