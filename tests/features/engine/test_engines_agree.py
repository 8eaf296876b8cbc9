"""The same expressions on DuckDB and on PySpark in local mode give the same frame."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.index import Index
from features.leakage import moved
from features.record import Record
from features.schema import EVENTS

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
    duck, cluster = build(index, record, features), build(index, record, features, backend=spark)
    assert moved(duck, cluster) == []
    assert np.isfinite(duck.column("sbp_mmhg_slope_1825d")).any()
