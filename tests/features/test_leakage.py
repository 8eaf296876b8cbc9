"""Canaries sing when they are planted before the moment, and move nothing from the moment on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.build import build
from features.canaries import DELAYS, canaries, earlier
from features.catalogue import Catalogue, catalogue
from features.engine import expression, genomic
from features.engine.plan import Plan
from features.index import Index
from features.leakage import CanaryProof, moved, prove_no_movement, shifted
from features.record.record import Record
from features.record.schema import EVENTS, POLYGENIC
from features.record.tells import TELLS_FILE, Tells

CODES = ["ICD10CM//E11.9", "LOINC//8480-6", "LOINC//72166-2", "RxNorm//83367", "Visit//IP", "VISIT_END//IP"]
FEATURES = catalogue(["measurements", "conditions", "medications", "utilisation", "social", "codes"])
EVERYTHING = ["demographics", "groups", "measurements", "conditions", "medications", "utilisation", "family_history",
              "social", "comorbidity", "monogenic", "codes"]  # fmt: skip
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
    proof = prove_no_movement(INDEX, record, catalogue=features, rng=np.random.default_rng(0))
    assert proof.holds
    assert proof.rows == 30  # one row a person
    read = (*features.helpers, *features.specs)
    assert proof.canaries == (30 * len(Plan.of(read).sources) + len(CODES)) * (len(DELAYS) + 1)


def test_canaries_one_microsecond_earlier_move_every_feature() -> None:
    record, features = a_record()
    index = Index.at(np.arange(30), "2020-01-01")
    early = earlier(canaries(index, features))["events"]
    assert early["available_time"].to_numpy().max() == np.datetime64("2019-12-31T23:59:59.999999")
    loud = Record.in_memory(pa.concat_tables([record.tables["events"], early]))
    found = moved(build(index, record, catalogue=features), build(index, loud, catalogue=features))
    assert set(found) == {*features.names, *features.code_names}


Seen = Callable[..., ir.Table]


def everything() -> tuple[Record, Catalogue]:
    """The record above with births; some people's polygenic score, and everybody's a year after the last canary."""
    record, _ = a_record()
    births = pa.Table.from_pylist(
        [{"subject_id": n, "time": np.datetime64("1960-01-01", "us").item(), "code": "MEDS_BIRTH"} for n in range(30)],
        schema=EVENTS,
    )
    results = [*((n, "2018-06-01") for n in range(0, 30, 3)), *((n, "2022-06-01") for n in range(30))]
    scores = [
        {"subject_id": n, "score_id": "PGS1", "z": n / 30 + (day > "2020"), "matched_weight": 0.9,
         "available_time": np.datetime64(day, "us").item()}
        for n, day in results
    ]  # fmt: skip
    events = pa.concat_tables([record.tables["events"], births])
    record = Record.in_memory(events, polygenic=pa.Table.from_pylist(scores, schema=POLYGENIC))
    return record, catalogue(EVERYTHING, polygenic=("PGS1",)).with_vocabulary(CODES)


def proof_of_everything() -> CanaryProof:
    record, features = everything()
    return prove_no_movement(INDEX, record, catalogue=features, rng=np.random.default_rng(0))


def test_a_sound_engine_is_proved_for_every_feature() -> None:
    proof = proof_of_everything()
    assert (proof.holds, proof.moved, proof.unproven) == (True, (), ())


def _leaks(seen: Seen, ahead: ibis.expr.types.IntervalValue) -> Seen:
    """The engine's join, whose moments lie ahead."""

    def leaky(events: ir.Table, index: ir.Table, *columns: str) -> ir.Table:
        return seen(events.mutate(known=events.known - ahead), index, *columns)

    return leaky


@pytest.mark.parametrize("ahead", [ibis.interval(microseconds=1), ibis.interval(days=400)], ids=["1 us", "400 days"])
def test_an_engine_that_looks_ahead_is_found_in_every_feature_of_events(
    ahead: ibis.expr.types.IntervalValue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expression, "seen", _leaks(expression.seen, ahead))
    proof = proof_of_everything()
    _, features = everything()
    of_events = {spec.name for spec in features.specs if spec.family not in {"polygenic", "monogenic"}}
    assert set(proof.moved) == of_events | set(features.code_names)
    assert not proof.holds


def test_a_genomic_leak_is_found_although_the_persons_own_later_result_hides_the_canary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ahead(index: Index) -> Index:
        return Index(index.subject_ids, index.as_of + np.timedelta64(4000, "D"))

    newest, genes = genomic._last_before, genomic._genes
    monkeypatch.setattr(
        genomic, "_last_before", lambda subjects, when, index: newest(subjects, when, index=ahead(index))
    )
    monkeypatch.setattr(genomic, "_genes", lambda panel, index, **tables: genes(panel, ahead(index), **tables))
    _, features = everything()
    found = {spec.name for spec in features.specs if spec.family in {"polygenic", "monogenic"}}
    assert set(proof_of_everything().moved) == found


def test_what_the_canaries_could_not_move_is_unproven_and_a_proof_of_nothing_fails() -> None:
    every_day = np.arange("2019-12-01", "2020-01-01", dtype="datetime64[D]").astype("datetime64[us]")
    rows = {"subject_id": np.zeros(len(every_day), dtype=np.int64), "time": every_day, "available_time": every_day,
            "code": ["ICD10CM//E11.9"] * len(every_day)}  # fmt: skip
    nulls = {"numeric_value": pa.nulls(31, pa.float32()), "text_value": pa.nulls(31, pa.large_string()),
             "unit": pa.nulls(31, pa.string())}  # fmt: skip
    record = Record.in_memory(pa.table({name: pa.array(v) for name, v in rows.items()} | nulls).select(EVENTS.names))
    index = Index.at([0], "2020-01-01")
    features = catalogue(["conditions"]).only(["diabetes_ever", "asthma_ever"])
    proof = prove_no_movement(index, record, catalogue=features, rng=np.random.default_rng(0))
    assert (proof.holds, proof.proven, proof.unproven) == (True, 1, ("diabetes_ever",))
    proof = prove_no_movement(index, record, catalogue=features.only(["diabetes_ever"]), rng=np.random.default_rng(0))
    assert (proof.holds, proof.moved) == (False, ())


def test_no_canaries_prove_nothing() -> None:
    empty = Record.in_memory(pa.Table.from_pylist([], schema=EVENTS))
    assert not prove_no_movement(INDEX, empty, catalogue=catalogue([]), rng=np.random.default_rng(0)).holds


def test_an_index_can_be_set_earlier() -> None:
    assert shifted(INDEX, 30).as_of[0] == np.datetime64("2018-12-02", "us")


def test_a_record_on_disk_is_proved_as_one_in_memory(tmp_path: Path) -> None:
    record, features = everything()
    for folder, table in (("data", "events"), ("genomic", "polygenic")):
        (tmp_path / folder).mkdir()
        pq.write_table(record.tables[table], tmp_path / folder / f"{table}.parquet")
    (tmp_path / "metadata").mkdir()
    (tmp_path / TELLS_FILE).write_text(json.dumps(Tells.all().to_json()))
    on_disk = Record.open(tmp_path)
    assert prove_no_movement(INDEX, on_disk, catalogue=features, rng=np.random.default_rng(0)) == proof_of_everything()
    memory, disk = build(INDEX, record, catalogue=features), build(INDEX, on_disk, catalogue=features)
    assert memory.values.tobytes() == disk.values.tobytes()
    assert memory.codes is not None
    assert disk.codes is not None
    assert (memory.codes != disk.codes).nnz == 0
