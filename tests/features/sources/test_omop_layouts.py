"""One OMOP source in every layout in which exports and engines write it: one record, and no file is passed over."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from features.sources.omop import ingest
from features.sources.omop.layout import layout
from tests.features.sources.conftest import CONCEPT, CONCEPT_ANCESTOR, PERSON, draw, rows_of, whole

MEASUREMENT = """
measurement_id | person_id | measurement_concept_id | measurement_date | value_as_number | unit_source_value
1 | 1 | 1001 | 2010-05-04 | 7.5 | percent
2 | 1 | 1001 | 2011-05-04 | 8   | mg
3 | 2 | 1001 | 2012-05-04 |     |
4 | 2 | 1001 | 2013-05-04 | 6.5 | percent
5 | 9 | 1001 | 2013-05-04 | 6.5 | percent
"""
VISIT = """
visit_occurrence_id | person_id | visit_concept_id | visit_start_date | visit_end_date
10 | 1 | 9201 | 2010-01-01 | 2010-01-06
11 | 2 | 9202 | 2010-03-01 | 2010-03-01
"""
TABLES = {
    "person": PERSON,
    "measurement": MEASUREMENT,
    "visit_occurrence": VISIT,
    "concept": CONCEPT,
    "concept_ancestor": CONCEPT_ANCESTOR,
}
Cells = list[list[str]]
Writer = Callable[[Path, str, Cells], None]


def _text(rows: Cells, delimiter: str = ",") -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()


def _table(rows: Cells) -> pa.Table:
    """Text as it stands; what has no cell filled is of no type, as pandas writes it."""
    columns = [[row[n] or None for row in rows[1:]] for n in range(len(rows[0]))]
    arrays = [pa.array(column) if any(column) else pa.nulls(len(column)) for column in columns]
    return pa.table(dict(zip(rows[0], arrays, strict=True)))


def _into(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _split(rows: Cells) -> list[Cells]:
    """Parts of at most two rows: the second with its columns turned round and without those that are empty in it."""
    parts = [[rows[0], *rows[start : start + 2]] for start in range(1, len(rows), 2)]
    if len(parts) > 1:
        columns = list(zip(*parts[1], strict=True))
        kept = [column for column in columns if any(column[1:]) or "_id" in column[0] or "_date" in column[0]]
        parts[1] = [list(row) for row in zip(*kept[::-1], strict=True)]
    return parts


def _folder_of_csv(root: Path, name: str, rows: Cells) -> None:
    for number, part in enumerate(_split(rows)):
        _into(root / name / f"{number:03}.csv", _text(part))
    _into(root / name / "999.csv", b"")


def _spark_csv(root: Path, name: str, rows: Cells) -> None:
    for number, part in enumerate(_split(rows)):
        _into(root / f"{name}.csv" / f"part-{number:05}-6f1d.csv.gz", gzip.compress(_text(part)))
    _into(root / f"{name}.csv" / "_SUCCESS", b"")
    _into(root / f"{name}.csv" / "_temporary" / "0" / "part-00000.csv", _text(rows))
    _into(root / f"{name}.csv" / ".part-00000-6f1d.csv.gz.crc", b"crc")


def _spark_parquet(root: Path, name: str, rows: Cells) -> None:
    for number, part in enumerate(_split(rows)):
        path = root / f"{name}.parquet" / f"part-{number:05}-6f1d.snappy.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(_table(part), path)
    _into(root / f"{name}.parquet" / "_SUCCESS", b"")


def _hive(root: Path, name: str, rows: Cells) -> None:
    for number, part in enumerate(_split(rows)):
        path = root / name / f"year={2019 + number}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(_table(part), path)


def _hive_by_person(root: Path, name: str, rows: Cells) -> None:
    """A column of the table that stands in the folders' names alone."""
    key = next(column for column in ("person_id", "vocabulary_id", "min_levels_of_separation") if column in rows[0])
    at = rows[0].index(key)
    for number, row in enumerate(rows[1:]):
        rest = [rows[0][:at] + rows[0][at + 1 :], row[:at] + row[at + 1 :]]
        if key != "person_id" or number % 2 == 0 or name == "person":
            path = root / name / f"{key}={row[at]}" / f"{number}.csv"
        else:
            path = root / name / f"{key}={row[at]}" / f"{number}"
        _into(path, _text(rest))


def _numbered(root: Path, name: str, rows: Cells) -> None:
    for number, part in enumerate(_split(rows)):
        _into(root / f"{name}-{number:012}.csv.gz", gzip.compress(_text(part)))


def _two_frames(root: Path, name: str, rows: Cells) -> None:
    text, packer = _text(rows), zstandard.ZstdCompressor()
    _into(root / f"{name}.csv.zst", packer.compress(text[:90]) + packer.compress(text[90:]))


def _upper(rows: Cells) -> bytes:
    return _text([[column.upper() for column in rows[0]], *rows[1:]])


WRITERS: dict[str, Writer] = {
    "csv": lambda root, name, rows: _into(root / f"{name}.csv", _text(rows)),
    "upper case": lambda root, name, rows: _into(root / f"{name.upper()}.CSV", _upper(rows)),
    "tsv": lambda root, name, rows: _into(root / f"{name}.tsv", _text(rows, "\t")),
    "tsv.gz": lambda root, name, rows: _into(root / f"{name}.tsv.gz", gzip.compress(_text(rows, "\t"))),
    "csv.zst": lambda root, name, rows: _into(root / f"{name}.csv.zst", zstandard.compress(_text(rows))),
    "csv.zst of two frames": _two_frames,
    "no ending, csv": lambda root, name, rows: _into(root / name, _text(rows)),
    "no ending, gzip": lambda root, name, rows: _into(root / f"{name}.gz", gzip.compress(_text(rows))),
    "parquet": lambda root, name, rows: pq.write_table(_table(rows), root / f"{name}.parquet"),
    "no ending, parquet": lambda root, name, rows: pq.write_table(_table(rows), root / name),
    "folder of csv": _folder_of_csv,
    "csv by Spark": _spark_csv,
    "parquet by Spark": _spark_parquet,
    "hive": _hive,
    "hive by a column": _hive_by_person,
    "numbered": _numbered,
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    folder = tmp_path_factory.mktemp("plain")
    report = ingest(draw(folder / "cdm", TABLES), folder / "record")
    assert report.tables["measurement"].rejected == {"person is not among the persons": 1}
    return whole(folder / "record")


def _same(ours: dict[str, pa.Table], plain: dict[str, pa.Table]) -> None:
    assert ours.keys() == plain.keys()
    for name, table in plain.items():
        if name.startswith("rejects/"):
            assert table["reason"].equals(ours[name]["reason"])
        else:
            assert table.equals(ours[name]), name


@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    ways=st.tuples(*(st.sampled_from(sorted(WRITERS)) for _ in TABLES)),
    inside=st.sampled_from(["", "export", "export/2020"]),
    zipped=st.booleans(),
    vocabulary=st.sampled_from(["", "athena"]),
)
def test_one_source_in_whatever_layout_is_one_record(
    ways: Sequence[str], inside: str, zipped: bool, vocabulary: str, plain: dict[str, pa.Table], tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path)
    source = tmp_path / "source"
    for (name, drawn), way in zip(TABLES.items(), ways, strict=True):
        root = source / (vocabulary if name.startswith("concept") and vocabulary else inside)
        root.mkdir(parents=True, exist_ok=True)
        WRITERS[way](root, name, rows_of(drawn))
    if zipped:
        archive = shutil.make_archive(str(tmp_path / "cdm"), "zip", source)
        source = Path(archive)
    report = ingest(source, tmp_path / "record")
    assert report.unread == ()
    _same(whole(tmp_path / "record"), plain)


@pytest.mark.parametrize("way", sorted(WRITERS))
def test_every_layout_is_told_table_by_table(way: str, tmp_path: Path) -> None:
    for name, drawn in TABLES.items():
        WRITERS[way](tmp_path, name, rows_of(drawn))
    found = layout(tmp_path)
    assert found.tables.keys() == TABLES.keys()
    assert found.unread == ()
    assert all("_temporary" not in part.path.parts for parts in found.tables.values() for part in parts)


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    source = draw(tmp_path / "cdm", TABLES)
    strange = ("measurement.csv.bz2", "README.md", "death.xlsx", "old/person.csv", "death.json", "notes", "a/b/c.csv")
    for name in strange:
        _into(source / name, b"person_id,x\n1,2\n")
    _into(source / "visit_detail" / "0.csv", b"visit_detail_id,person_id\n1,1\n2,2\n")
    _into(source / "person_20200101.csv", b"person_id,gender_concept_id,year_of_birth\n7,8507,1950\n")
    for shape in ("folder", "zip"):
        given = source if shape == "folder" else Path(shutil.make_archive(str(tmp_path / "cdm"), "zip", source))
        report = ingest(given, tmp_path / shape)
        assert report.people == 2
        assert report.unread_rows == {"visit_detail": 2, "person_20200101": 1}
        assert set(report.unread) == {*strange, "person_20200101", "visit_detail"}


def _twice(source: Path) -> None:
    _into(source / "measurement" / "0.csv", _text(rows_of(MEASUREMENT)))


def _packed_twice(source: Path) -> None:
    (source / "measurement.csv").unlink()
    _twice(source)
    _into(source / "measurement" / "0.csv.gz", gzip.compress(_text(rows_of(MEASUREMENT))))


def _part_without_header(source: Path) -> None:
    (source / "measurement.csv").unlink()
    _twice(source)
    _into(source / "measurement" / "1.csv", _text(rows_of(MEASUREMENT)[1:]))


def _two_kinds(source: Path) -> None:
    (source / "measurement.csv").unlink()
    _twice(source)
    pq.write_table(_table(rows_of(MEASUREMENT)), source / "measurement" / "1.parquet")


def _delta(source: Path) -> None:
    (source / "measurement.csv").unlink()
    _spark_parquet(source, "measurement", rows_of(MEASUREMENT))
    _into(source / "measurement.parquet" / "_delta_log" / "00000000000000000000.json", b"{}")


def _iceberg(source: Path) -> None:
    _into(source / "death" / "metadata" / "v1.metadata.json", b"{}")


def _broken_zstd(source: Path) -> None:
    text = _text([*rows_of(MEASUREMENT), *([str(n), "1", "1001", "2010-01-01", str(n), "x"] for n in range(9, 9999))])
    packed = zstandard.compress(text)
    (source / "measurement.csv").unlink()
    _into(source / "measurement.csv.zst", packed[: len(packed) // 2])


def _two_sites(source: Path) -> None:
    for site in ("a", "b"):
        shutil.copytree(source, source.parent / "sites" / site)
    shutil.rmtree(source)
    (source.parent / "sites").rename(source)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_twice, "one file for each table, found two of table measurement"),
        (_packed_twice, "one file for each table, found two of table measurement"),
        (_part_without_header, r"1\.csv: expected the columns person_id, .*, found no column 'person_id'"),
        (_two_kinds, "table measurement: expected files of one kind, found 2"),
        (_delta, r"measurement\.parquet: expected a table whose files are all of it, found a Delta table"),
        (_iceberg, "death: expected a table whose files are all of it, found an Iceberg table"),
        (_broken_zstd, r"measurement\.csv\.zst: expected a whole zstd file"),
        (_two_sites, "one folder with a table person, found 2: a, b"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(
    change: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    source = draw(tmp_path / "cdm", TABLES)
    change(source)
    with pytest.raises(PresageError, match=message):
        ingest(source, tmp_path / "record")
    assert not (tmp_path / "record").exists()
