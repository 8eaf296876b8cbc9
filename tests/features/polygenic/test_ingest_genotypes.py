"""Genotypes into a record: who is known, when it was known, and what is set aside."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.build import build
from features.catalogue import catalogue
from features.errors import PresageError
from features.index import Index
from features.polygenic.ingest import ingest as ingest_at
from features.polygenic.run import Settings
from features.record.record import Record
from features.record.schema import EVENTS, IDENTITY, POLYGENIC


@pytest.fixture
def record(tmp_path):
    """People 17, 18 and 19 of the clinical source are subjects 1, 2 and 3."""
    folder = tmp_path / "record"
    (folder / "identity").mkdir(parents=True)
    rows = {"subject_id": [1, 2, 3], "source": ["omop"] * 3, "source_id": ["17", "18", "19"]}
    pq.write_table(pa.table(rows, schema=IDENTITY), folder / "identity" / "subjects.parquet")
    (folder / "ingest_report.json").write_text(json.dumps({"omop": {"people": 3}}))
    return folder


@pytest.fixture
def panel(tmp_path, write_panel):
    variants = pd.DataFrame({"chrom": "1", "pos": [100, 200], "id": ["a", "b"], "ref": ["A", "G"], "alt": ["C", "T"]})
    counts = np.array([[0, 1, 2, 1], [2, 2, 0, -9]], np.int8)
    return write_panel(tmp_path / "genotypes", variants, counts, np.array([0.5, 0.25]))


NOW = datetime.fromisoformat("2026-03-01T09:30:00")
ingest = partial(ingest_at, now=NOW)


@pytest.fixture
def score(tmp_path):
    return write_score(tmp_path, "S", "1\t100\tC\tA\t1\n1\t200\tT\tG\t10\n")


def write_score(folder, name, rows):
    path = folder / f"{name}.txt"
    path.write_text(f"#pgs_id={name}\nchr_name\tchr_position\teffect_allele\tother_allele\teffect_weight\n{rows}")
    return path


def link(panel, text):
    (panel.path.parent / "samples.csv").write_text("sample_id,person_id,collected\n" + text)


def stored(record):
    table = pq.read_table(record / "genomic" / "polygenic.parquet")
    assert table.schema.equals(POLYGENIC)
    return table.to_pandas()


LINKS = "S0,19,2020-05-01\nS1,17,\nS2,99,2020-01-01\n"


def test_a_sample_becomes_its_persons_score_known_at_the_days_end(panel, score, record):
    link(panel, LINKS)
    report = ingest(panel.path.parent, record, scores=[score], reference_frequencies=panel.afreq)
    found = stored(record)
    assert found[["subject_id", "score_id", "sum", "n_alleles", "matched_weight"]].values.tolist() == [
        [1, "S", 21.0, 4, 1.0],
        [3, "S", 20.0, 4, 1.0],
    ]
    assert found["available_time"][0] == NOW, "a result whose day is unknown is known from the day it came"
    assert found["available_time"][1] == pd.Timestamp("2020-05-01 23:59:59.999999")
    assert found["z"].isna().all(), "no reference, no adjusted score"
    assert report.people == 2


def test_a_day_of_collection_for_all_leaves_the_days_that_are_known(panel, score, record):
    link(panel, LINKS)
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq, collected=date(2019, 4, 2))
    assert stored(record)["available_time"].tolist() == [
        pd.Timestamp("2019-04-02 23:59:59.999999"), pd.Timestamp("2020-05-01 23:59:59.999999")
    ]  # fmt: skip


def test_an_undated_score_is_seen_at_no_moment_before_it_came(panel, score, record):
    link(panel, LINKS)
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    index = Index.at([1, 1, 1], np.array(["1960-01-01", NOW, "2026-03-02"], "datetime64[us]"))
    scores = pq.read_table(record / "genomic" / "polygenic.parquet")
    found = build(
        index, Record.in_memory(EVENTS.empty_table(), polygenic=scores), catalogue=catalogue([], polygenic=("S",))
    )
    assert found.column("prs_S_matched_weight").tolist() == pytest.approx([np.nan, np.nan, 1.0], nan_ok=True)


def test_who_is_unknown_is_counted_and_kept_aside(panel, score, record):
    link(panel, LINKS)
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    told = json.loads((record / "ingest_report.json").read_text())
    assert set(told) == {"genotypes", "omop"}
    rejected = told["genotypes"]["tables"]["samples"]["rejected"]
    assert rejected == {"sample not in samples.csv": 1, "unknown person": 1}
    kept = pq.read_table(record / "rejects" / "genotypes" / "samples.parquet").to_pydict()
    assert kept == {"row": ["S2", "S3"], "reason": ["unknown person", "sample not in samples.csv"]}


def test_a_second_run_replaces_its_scores_and_keeps_the_others(panel, score, record, tmp_path):
    link(panel, LINKS)
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    other = write_score(tmp_path, "T", "1\t100\tC\tA\t5\n")
    ingest(panel.path, record, scores=[other], reference_frequencies=panel.afreq)
    write_score(tmp_path, "S", "1\t100\tC\tA\t3\n1\t200\tT\tG\t10\n")
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    found = stored(record)
    assert found[["subject_id", "score_id", "sum"]].values.tolist() == [
        [1, "S", 23.0],
        [1, "T", 5.0],
        [3, "S", 20.0],
        [3, "T", 0.0],
    ]


def test_one_person_under_two_samples_counts_once(panel, score, record):
    link(panel, "S0,17,2020-01-01\nS1,17,2021-01-01\n")
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    assert stored(record)["subject_id"].tolist() == [1]
    told = json.loads((record / "ingest_report.json").read_text())
    assert told["genotypes"]["tables"]["samples"]["rejected"]["another sample of this person came first"] == 1


def test_a_missing_call_without_frequencies_says_why_there_is_no_sum(panel, score, record):
    link(panel, "S3,18,2020-01-01\nS0,17,2020-01-01\n")
    ingest(panel.path, record, scores=[score], settings=Settings())
    found = stored(record).set_index("subject_id")
    assert pd.isna(found["sum"][2])
    assert found["not_scored"][2].startswith("missing calls, fewer than 50 samples")
    assert found["sum"][1] == 20
    assert found["not_scored"][1] is None or pd.isna(found["not_scored"][1])


def test_a_record_without_people_is_refused_and_nothing_is_written(panel, score, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(PresageError, match="expected a record with people in it, found nobody"):
        ingest(panel.path, empty, scores=[score])
    assert list(empty.iterdir()) == []


def test_a_damaged_score_leaves_the_record_as_it_was(panel, score, record):
    link(panel, LINKS)
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    before = {path: path.read_bytes() for path in record.rglob("*") if path.is_file()}
    score.write_text("")
    with pytest.raises(PresageError):
        ingest(panel.path, record, scores=[score])
    assert {path: path.read_bytes() for path in record.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("S0,17,2020-01-01\nS0,18,2020-01-01\n", "column sample_id: expected every sample once"),
        ("S0,17,soon\n", "found a row that does not fit"),
    ],
)
def test_a_link_file_that_breaks_a_rule_is_refused(text, said, panel, score, record):
    link(panel, text)
    with pytest.raises(PresageError, match=said):
        ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)


def test_the_command_takes_the_options_of_matching(panel, record, tmp_path):
    """Those of presage prs."""
    score = write_score(tmp_path, "S", "1\t100\tC\tA\t1\n1\t200\tT\tG\t10\n1\t900\tT\tG\t10\n")
    link(panel, LINKS)
    presage = Path(sys.executable).with_name("presage")
    command = [presage, "ingest", "genotypes", panel.path, "--record", record, "--scores", score]
    command += ["--reference-frequencies", panel.afreq, "--threads", "1"]
    ingest(panel.path, record, scores=[score], reference_frequencies=panel.afreq)
    assert stored(record)["not_scored"].notna().all(), "half of the weight is missing"
    subprocess.run([*command, "--min-overlap", "0.5"], check=True, capture_output=True)
    assert stored(record)["sum"].tolist() == [21.0, 20.0]
