from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.record.record import Record
from features.record.schema import EVENTS
from features.shown import text_of
from serving.api import People, score_one
from serving.scoring.champions import Champion, Champions, champion_of
from serving.scoring.score import SCORES, Scores, read_scores, score, score_record
from serving.store.rows import Receipt

AS_OF = datetime.fromisoformat("2024-01-01T00:00:00")


@pytest.fixture(scope="session")
def batch(champion: Champion, record_dir: Path) -> dict[int, object]:
    return {one.subject_id: one for one in score_record(champion, Record.open(record_dir), as_of=AS_OF)}


def test_one_person_at_the_api_gets_the_batch_receipt_to_the_last_bit(
    champion: Champion, record_dir: Path, batch: dict[int, object]
) -> None:
    people = People(record_dir)
    for subject_id in [1, 2, 11, 17, 202, 399]:
        alone = score_one(champion, people.known(subject_id), as_of=AS_OF, subject_id=subject_id)
        assert alone.feature_hash == batch[subject_id].feature_hash
        assert alone.not_scored == batch[subject_id].not_scored
        np.testing.assert_allclose(alone.risks, batch[subject_id].risks, rtol=0, atol=1e-6)


ENROLMENT = ("OBSERVATION_PERIOD//START", "OBSERVATION_PERIOD//END")


@pytest.mark.parametrize("who_is_enrolled", ["nobody", "others"])
def test_somebody_without_enrolment_gets_the_batch_receipt_too(
    who_is_enrolled: str, champion: Champion, record_dir: Path, tmp_path: Path
) -> None:
    """Without enrolment people are followed to the record's last day, of which one person's events say nothing."""
    few = [1, 2, 11, 17, 31, 202, 399]
    events = ds.dataset(record_dir / "data").to_table().to_pylist()
    kept = [e for e in events if e["code"] not in ENROLMENT or (who_is_enrolled == "others" and e["subject_id"] == 400)]
    kept = [e for e in kept if e["subject_id"] in {*few, 400}]
    of_400 = {"subject_id": 400, "code": "Visit//OP", "numeric_value": None, "text_value": None, "unit": None}
    died = dict.fromkeys(("time", "available_time"), datetime.fromisoformat("2023-11-30"))
    seen = dict.fromkeys(("time", "available_time"), datetime.fromisoformat("2024-03-01"))
    booked = seen | {"time": datetime.fromisoformat("2030-01-01")}
    kept += [of_400 | seen, of_400 | booked, of_400 | died | {"subject_id": 31, "code": "MEDS_DEATH"}]
    shutil.copytree(record_dir / "genomic", tmp_path / "genomic")
    (tmp_path / "data").mkdir()
    shutil.copytree(record_dir / "metadata", tmp_path / "metadata")
    pq.write_table(pa.Table.from_pylist(kept, EVENTS), tmp_path / "data" / "0.parquet")
    people = People(tmp_path)
    for moment in ("2021-01-01", "2024-01-01", "2024-03-01", "2024-03-02"):
        as_of = datetime.fromisoformat(moment)
        batch = {one.subject_id: one for one in score_record(champion, Record.open(tmp_path), as_of=as_of)}
        gone = {31} if moment > "2023-11-30" else set()
        expected = set() if who_is_enrolled == "others" or moment == "2024-03-02" else {*few} - gone
        assert set(batch) - {400} == expected
        for subject_id in few:
            alone = score_one(champion, people.known(subject_id), as_of=as_of, subject_id=subject_id)
            if subject_id in batch:
                assert alone.feature_hash == batch[subject_id].feature_hash
                assert alone.not_scored == batch[subject_id].not_scored
                np.testing.assert_allclose(alone.risks, batch[subject_id].risks, rtol=0, atol=1e-6)
            else:
                assert str(alone.not_scored).startswith("not enrolled")


def test_a_record_that_grew_has_another_last_day(champion: Champion, record_dir: Path, tmp_path: Path) -> None:
    events = [e for e in ds.dataset(record_dir / "data").to_table().to_pylist() if e["code"] not in ENROLMENT]
    (tmp_path / "data").mkdir()
    shutil.copytree(record_dir / "metadata", tmp_path / "metadata")
    people, as_of = People(tmp_path), datetime.fromisoformat("2024-01-01")
    for last, enrolled in (("2023-12-31", False), ("2024-01-01", True)):
        more = (
            events[0] | {"code": "Visit//OP"} | dict.fromkeys(("time", "available_time"), datetime.fromisoformat(last))
        )
        pq.write_table(pa.Table.from_pylist([*events, more], EVENTS), tmp_path / "data" / "part")
        (tmp_path / "data" / "part").replace(tmp_path / "data" / "0.parquet")
        alone = score_one(champion, people.known(2), as_of=as_of, subject_id=2)
        assert (alone.not_scored is None) == enrolled


def test_everybody_enrolled_has_a_receipt_and_the_reasons_for_no_score_are_those_of_a_naive_loop(
    record_dir: Path, batch: dict[int, object]
) -> None:
    events = ds.dataset(record_dir / "data").to_table().to_pylist()
    born = {e["subject_id"]: e["time"] for e in events if e["code"] == "MEDS_BIRTH"}
    ends = {e["subject_id"]: e["time"] for e in events if e["code"] == "OBSERVATION_PERIOD//END"}
    infarcted = {e["subject_id"] for e in events if e["code"].startswith("ICD10CM//I21")}
    assert set(batch) == {n for n, end in ends.items() if end >= AS_OF}
    for subject_id, one in batch.items():
        age = (AS_OF - born[subject_id]).days / 365.25
        outside = not 40 <= int(age) <= 79 or subject_id in infarcted
        assert (one.not_scored is not None) == outside, subject_id
        assert (one.not_scored or "").startswith("outside the studied population") == outside
        assert bool(one.risks) != outside


def test_the_combined_model_serves_exactly_those_with_a_polygenic_result(batch: dict[int, object]) -> None:
    scored = [one for one in batch.values() if one.not_scored is None]
    assert {one.model for one in scored} == {"clinical", "combined"}
    for one in scored:
        assert (one.model == "combined") == (one.subject_id <= 160)
        assert bool(one.model_reason) == (one.model == "clinical")


def test_a_file_of_receipts_comes_back_as_it_was_written(
    champions: Champions, record_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    written = score("chd-10y", record_dir=record_dir, as_of=AS_OF, out=out)
    again = score("chd-10y", record_dir=record_dir, as_of=AS_OF, out=tmp_path / "again.parquet")
    read = read_scores(out)
    assert read.receipts == written.receipts == again.receipts
    assert read.digest == read_scores(tmp_path / "again.parquet").digest, "same input, same bytes"
    assert pq.read_schema(out).names[:3] == ["subject_id", "as_of", "study"]


def test_another_parquet_file_is_refused(record_dir: Path) -> None:
    with pytest.raises(PresageError, match="receipts"):
        read_scores(record_dir / "data" / "0.parquet")


def test_a_model_of_a_flat_table_and_one_with_another_catalogue_are_refused_with_the_reason(champion: Champion) -> None:
    bundle = champion.bundle
    with pytest.raises(PresageError, match="flat table"):
        champion_of("aml", "1", bundle=replace(bundle, manifest={**bundle.manifest, "flat": True}))
    with pytest.raises(PresageError, match="expected the catalogue whose hash the bundle names"):
        champion_of("chd-10y", "1", bundle=replace(bundle, catalogue_hash="0" * 64))


def test_one_refused_champion_keeps_nobody_from_the_others(champion: Champion) -> None:
    def load(name: str) -> Champion:
        if name == "aml":
            raise PresageError("aml version 1", "a model that was trained on a record")
        return champion

    champions = Champions(load=load, versions=lambda: {"aml": "1", champion.name: champion.version})
    champions.refresh()
    assert champions.held() == [champion]
    assert list(champions.refused) == ["aml"]


def test_a_moment_at_which_nobody_is_enrolled_is_refused_and_writes_nothing(
    champions: Champions, record_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scores.parquet"
    with pytest.raises(PresageError, match=r"--as-of: expected .*, found nobody at 2204-01-01"):
        score("chd-10y", record_dir=record_dir, as_of=AS_OF.replace(year=2204), out=out)
    for wrong in (tmp_path, tmp_path / "scores.csv"):
        with pytest.raises(PresageError, match=r"--out: expected the name of a file that ends in \.parquet"):
            score("chd-10y", record_dir=record_dir, as_of=AS_OF, out=wrong)
    assert not list(tmp_path.glob("*"))


def test_a_file_with_another_stamp_or_other_types_is_no_file_of_receipts(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    for stamp in ("{", "[]", '{"model": "m"}', '{"model": "m", "as_of": "soon"}'):
        pq.write_table(SCORES.empty_table().replace_schema_metadata({"presage": stamp}), path)
        with pytest.raises(PresageError, match=r"found (other types, or another stamp|other columns, or no stamp)"):
            read_scores(path)


@pytest.mark.parametrize(
    ("combined", "clinical", "refused", "first", "last"),
    [
        (40, 60, 12, "100 people scored (40 with genomics)", "not scored: 12 too young"),
        (3, 60, 3, "63 people scored (1–10 with genomics)", "not scored: 1–10 too young"),
        (97, 3, 11, "100 people scored (some with genomics)", "not scored: 11 too young"),
        (0, 5, 1, "1–10 people scored (0 with genomics)", "not scored: 1–10 too young"),
    ],
)
def test_scores_show_no_count_of_few_people(combined: int, clinical: int, refused: int, first: str, last: str) -> None:
    one = Receipt(1, AS_OF, "chd", "combined", "", "1", "d", "c", "f", (3650.0,), (0.1,), None)
    receipts = (
        *[one] * combined,
        *[replace(one, model="clinical")] * clinical,
        *[replace(one, model="", risks=(), not_scored="too young")] * refused,
    )
    lines = text_of(Scores("chd", AS_OF, receipts)).splitlines()
    assert lines[0].endswith(first)
    assert lines[1].strip() == last
