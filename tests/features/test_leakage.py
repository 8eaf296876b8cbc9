"""Canaries sing when they are planted before the moment, and move nothing from the moment on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.index import Index
from features.leakage import canaries, moved, prove_no_movement, shifted
from features.record import Record
from features.schema import EVENTS

CODES = ["ICD10CM//E11.9", "LOINC//8480-6", "LOINC//72166-2", "RxNorm//83367", "Visit//IP", "VISIT_END//IP"]
FEATURES = catalogue(["measurements", "conditions", "medications", "utilisation", "social", "codes"])
INDEX = Index.at(np.repeat(np.arange(30), 2), np.tile(np.array(["2019-01-01", "2020-01-01"], "datetime64[us]"), 30))


def a_record() -> tuple[Record, Catalogue]:
    """Each person has had one to six of the codes, in 2018."""
    rng = np.random.default_rng(3)
    days = rng.integers(0, 365, 90).astype("timedelta64[D]").astype("timedelta64[us]")
    times = pa.array(np.datetime64("2018-01-01", "us") + days)
    columns = {
        "subject_id": pa.array(np.repeat(np.arange(30), 3)),
        "time": times,
        "code": pa.array(rng.choice(CODES, 90)),
        "numeric_value": pa.array(np.full(90, 120.0, dtype=np.float32)),
        "text_value": pa.nulls(90, pa.large_string()),
        "available_time": times,
        "unit": pa.nulls(90, pa.string()),
    }
    return Record.in_memory(pa.table(columns, schema=EVENTS)), FEATURES.with_vocabulary(CODES)


def test_canaries_from_the_moment_on_move_no_feature() -> None:
    record, features = a_record()
    proof = prove_no_movement(INDEX, record, features, rng=np.random.default_rng(0))
    assert proof.holds
    assert proof.rows == 30  # one row a person
    assert proof.canaries == 30 * 4 * len(CODES)


def test_canaries_one_microsecond_earlier_move_what_they_should() -> None:
    record, features = a_record()
    index = Index.at(np.arange(30), "2020-01-01")
    early = canaries(Index(index.subject_ids, index.as_of - np.timedelta64(1, "us")), CODES)
    loud = Record.in_memory(pa.concat_tables([record.tables["events"], early]))
    found = moved(build(index, record, features), build(index, loud, features))
    for name in ("diabetes_ever", "sbp_mmhg_latest_730d", "statin_current", "admissions_90d", "ICD10CM//E11.9@365d"):
        assert name in found
    assert "egfr_ml_min_173m2_latest_1825d" not in found


def test_no_canaries_prove_nothing() -> None:
    empty = Record.in_memory(pa.Table.from_pylist([], schema=EVENTS))
    assert not prove_no_movement(INDEX, empty, FEATURES, rng=np.random.default_rng(0)).holds


def test_an_index_can_be_set_earlier() -> None:
    assert shifted(INDEX, 30).as_of[0] == np.datetime64("2018-12-02", "us")


def test_a_record_on_disk_is_proved_as_one_in_memory(tmp_path: Path) -> None:
    record, features = a_record()
    (tmp_path / "data").mkdir()
    pq.write_table(record.tables["events"], tmp_path / "data" / "0.parquet")
    on_disk = Record.open(tmp_path)
    assert prove_no_movement(INDEX, on_disk, features, rng=np.random.default_rng(0)).holds
    memory, disk = build(INDEX, record, features), build(INDEX, on_disk, features)
    assert memory.values.tobytes() == disk.values.tobytes()
    assert memory.codes is not None
    assert disk.codes is not None
    assert (memory.codes != disk.codes).nnz == 0
