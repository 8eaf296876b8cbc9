"""Sources that are refused: one clear error that names the file, and the record as it was."""

from __future__ import annotations

import gzip
import random
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.record import moving
from features.sources import fhir, meds, omop, store

Cdm = Callable[..., Path]
TablesOf = Callable[[Path], dict[str, pa.Table]]

PERSON_HEADER = "person_id,gender_concept_id,year_of_birth\n"
PERSONS = PERSON_HEADER + "1,8507,1960\n"


def _omop_of_nobody(folder: Path) -> Path:
    (folder / "person.csv").write_text(PERSON_HEADER)
    return folder


def _fhir_of_nobody(folder: Path) -> Path:
    (folder / "bundle.json").write_text('{"resourceType":"Bundle","entry":"x"}')
    return folder


def _empty_export(folder: Path) -> Path:
    (folder / "Patient.ndjson").write_text("")
    return folder


@pytest.mark.parametrize(
    ("source", "ingest"),
    [(_omop_of_nobody, omop.ingest), (_fhir_of_nobody, fhir.ingest), (_empty_export, fhir.ingest)],
)
def test_a_source_of_nobody_replaces_nobody(
    source: Callable[[Path], Path], ingest: Callable[..., object], tmp_path: Path, cdm: Cdm, tables_of: TablesOf
) -> None:
    record = tmp_path / "record"
    omop.ingest(cdm(), record)
    (tmp_path / "people").mkdir()
    (tmp_path / "people" / "Patient.ndjson").write_text(
        '{"resourceType":"Patient","id":"anna","birthDate":"1960-03-05"}'
    )
    fhir.ingest(tmp_path / "people", record)
    before, said = tables_of(record), (record / "ingest_report.json").read_text()
    (tmp_path / "nobody").mkdir()
    with pytest.raises(
        PresageError, match=r"nobody: expected at least one person, found none.*the record stands as it was\)"
    ):
        ingest(source(tmp_path / "nobody"), record)
    after = tables_of(record)
    assert before.keys() == after.keys()
    assert all(table.equals(after[name]) for name, table in before.items())
    assert (record / "ingest_report.json").read_text() == said


def test_why_there_is_nobody_is_said_without_a_persons_value(tmp_path: Path) -> None:
    (tmp_path / "person.csv").write_text(PERSON_HEADER + ",8507,1960\n,8532,1970\n")
    with pytest.raises(PresageError, match="person: 2 rows: no person, or not a valid id"):
        omop.ingest(tmp_path, tmp_path / "record")


def test_a_refused_source_leaves_no_record_behind(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for ingest in (omop.ingest, fhir.ingest):
        with pytest.raises(PresageError):
            ingest(tmp_path / "source", tmp_path / "record")
        assert not (tmp_path / "record").exists()
    with pytest.raises(PresageError):
        meds.ingest(tmp_path / "source", tmp_path / "record")
    assert not (tmp_path / "record").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(PresageError):
        omop.ingest(tmp_path / "source", tmp_path / "mine")
    assert (tmp_path / "mine").exists()


def _damaged_zip(path: Path, name: str, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, text)
    content = bytearray(path.read_bytes())
    content[content.index(text.encode()[:8])] ^= 0xFF
    path.write_bytes(bytes(content))
    return path


LONG = PERSON_HEADER + "".join(f"{n},8507,{1900 + n * 7919 % 100}\n" for n in range(50_000))
PACKED = gzip.compress(LONG.encode())
SPOILT = PACKED[: len(PACKED) // 2] + bytes(100) + PACKED[len(PACKED) // 2 + 100 :]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("person.csv.gz", gzip.compress(PERSONS.encode())[:20], "person.csv.gz: expected a whole gzip file"),
        ("person.csv.gz", PACKED[: len(PACKED) // 2], "person.csv.gz: expected a whole gzip file"),
        # DuckDB reads this to the damage and says nothing.
        ("person.csv.gz", SPOILT, "person.csv.gz: expected a whole gzip file"),
        ("person.csv.gz", PERSONS.encode(), "person.csv.gz: expected a whole gzip file"),
        ("person.parquet", PERSONS.encode(), "person.parquet: expected a whole Parquet file"),
        ("person.parquet", b"", "person.parquet: expected a whole Parquet file"),
        (
            "person.csv",
            PERSON_HEADER.replace("year_of_birth", "PERSON_ID").encode(),
            "expected every column once, found column 'person_id' 2 times",
        ),
        ("person.csv", b"\xff\xfe" + PERSONS.encode("utf-16-le"), "person.csv: expected text in UTF-8, found UTF-16"),
        ("person.csv", b"\xfe\xff" + PERSONS.encode("utf-16-be"), "person.csv: expected text in UTF-8, found UTF-16"),
    ],
)
def test_an_omop_file_that_is_broken_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / name).write_bytes(content)
    with pytest.raises(PresageError, match=message):
        omop.ingest(tmp_path / "source", tmp_path / "record")
    assert not (tmp_path / "record").exists()


def test_a_damaged_zip_is_named_with_its_member(tmp_path: Path) -> None:
    archive = _damaged_zip(tmp_path / "cdm.zip", "person.csv", PERSONS)
    with pytest.raises(PresageError, match=r"cdm.zip, person.csv: expected a whole zip file"):
        omop.ingest(archive, tmp_path / "record")


ANNA = '{"resourceType":"Patient","id":"anna","birthDate":"1960-03-05"}\n'
NOISE = random.Random(7).randbytes(100_000).hex()
MANY = gzip.compress(
    (ANNA + "".join(f'{{"resourceType":"Device","n":"{NOISE[n : n + 40]}"}}\n' for n in range(9_000))).encode()
)


def test_fhir_before_the_damage_is_read_and_the_damage_is_counted(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    half = len(MANY) // 2
    (tmp_path / "source" / "Patient.ndjson.gz").write_bytes(MANY[:half] + bytes(100) + MANY[half + 100 :])
    report = fhir.ingest(tmp_path / "source", tmp_path / "record")
    assert report.people == 1
    assert report.tables["Patient"].rejected["broken JSON"] >= 1


def test_a_fhir_file_that_is_no_text_of_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "Patient.ndjson").write_bytes(b"\xff\xfe" + ANNA.encode("utf-16-le"))
    with pytest.raises(PresageError, match=r"Patient\.ndjson: expected text in UTF-8, found UTF-16"):
        fhir.ingest(tmp_path / "source", tmp_path / "record")
    archive = _damaged_zip(tmp_path / "fhir.zip", "Patient.ndjson", ANNA)
    with pytest.raises(PresageError, match="broken JSON"):
        fhir.ingest(archive, tmp_path / "record")


def test_a_meds_file_that_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "7.parquet").write_bytes(b"PAR1")
    with pytest.raises(PresageError, match=r"7\.parquet: expected a whole Parquet file"):
        meds.ingest(tmp_path, tmp_path / "record")


def _events(n: int) -> pa.Table:
    """Texts that never repeat, so that pages are large and dense."""
    texts = [random.Random(n).randbytes(8).hex() + str(row) for row in range(n)]
    days = pa.array([row * 86_400_000_000 for row in range(n)], pa.timestamp("us"))
    return pa.table({"subject_id": list(range(n)), "time": days, "code": ["X"] * n, "text_value": texts})


def _with_damaged_page(path: Path, table: pa.Table, *, at: float) -> Path:
    """A file whose footer is whole and tells where everything is, with 64 bytes of zeros among its pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(table.num_columns - 1)
    first = column.dictionary_page_offset or column.data_page_offset
    start = first + int(at * column.total_compressed_size)
    content[start : start + 64] = bytes(64)
    path.write_bytes(bytes(content))
    pq.read_metadata(path)
    return path


@pytest.mark.parametrize("at", [0.1, 0.5, 0.8])
def test_a_damaged_page_in_a_meds_file_is_said_of_that_file(at: float, tmp_path: Path) -> None:
    for name in ("0", "2"):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(_events(500), tmp_path / "data" / f"{name}.parquet")
    _with_damaged_page(tmp_path / "data" / "1.parquet", _events(5_000), at=at)
    with pytest.raises(
        PresageError, match=r"data/1\.parquet: expected a whole Parquet file, found one of which a part"
    ):
        meds.ingest(tmp_path, tmp_path / "record")
    assert not (tmp_path / "record").exists()


@pytest.mark.parametrize("shape", ["file", "folder", "zip"])
def test_a_damaged_page_in_an_omop_file_is_one_line_and_exit_code_2(shape: str, tmp_path: Path, cdm: Cdm) -> None:
    source = cdm()
    values = [random.Random(3).randbytes(8).hex() + str(row) for row in range(5_000)]
    measured = pa.table(
        {
            "measurement_id": list(range(5_000)),
            "person_id": [1] * 5_000,
            "measurement_concept_id": [1001] * 5_000,
            "measurement_date": ["2010-05-04"] * 5_000,
            "value_source_value": values,
        }
    )
    name = "measurement/part-0.parquet" if shape == "folder" else "measurement.parquet"
    _with_damaged_page(source / name, measured, at=0.5)
    if shape == "zip":
        with zipfile.ZipFile(tmp_path / "cdm.zip", "w") as archive:
            for path in source.iterdir():
                archive.write(path, path.name)
        source = tmp_path / "cdm.zip"
    command = [sys.executable, "-c", "from serving.cli import main; main()", "ingest", "omop", str(source)]
    done = subprocess.run([*command, "--record", str(tmp_path / "record")], capture_output=True, text=True, check=False)
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("presage:")]
    assert f"/{Path(name).name}: expected a whole Parquet file, found one of which a part is damaged" in said
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "record").exists()


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C as a terminal has it; a shell's background jobs are started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_an_interrupt_leaves_the_old_record_or_the_new_one(
    cdm: Cdm, tmp_path: Path, tables_of: TablesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, fresh = tmp_path / "record", tmp_path / "fresh"
    omop.ingest(cdm(), record)
    before = tables_of(record)
    more = cdm(person="person_id | gender_concept_id | year_of_birth\n7 | 8507 | 1950")
    omop.ingest(more, fresh)
    for module, step, expected in ((store, "write_metadata", before), (moving, "_replace", tables_of(fresh))):
        with monkeypatch.context() as patch:
            whole = getattr(module, step)
            patch.setattr(
                module,
                step,
                lambda *args, whole=whole, **named: (signal.raise_signal(signal.SIGINT), whole(*args, **named)),
            )
            with pytest.raises(KeyboardInterrupt):
                omop.ingest(more, record, replace=True)
        after = tables_of(record)
        assert after["data/omop/0000.parquet"].drop("subject_id") == expected["data/omop/0000.parquet"].drop(
            "subject_id"
        )
        assert after["metadata/codes.parquet"] == expected["metadata/codes.parquet"]
        assert not list(record.glob(".ingest-*"))
