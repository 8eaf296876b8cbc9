"""OMOP in PostgreSQL: the record of the same tables in files, from a real server, and no password anywhere."""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from features.errors import PresageError
from features.progress import Advance
from features.sources.omop import ingest, postgres
from tests.features.sources.conftest import whole
from tests.postgres import Server, running

Cdm = Callable[..., Path]
TablesOf = Callable[[Path], dict[str, pa.Table]]

PASSWORD = "correct-horse-battery"
WORDS = {
    "vocabulary_id",
    "domain_id",
    "concept_class_id",
    "relationship_id",
    "reverse_relationship_id",
    "concept_name",
    "concept_code",
}
VOCABULARY = ("concept", "concept_ancestor", "concept_relationship")

MEASUREMENT = """
measurement_id | person_id | measurement_concept_id | measurement_date | measurement_datetime \
| value_as_number | unit_concept_id | unit_source_value | value_source_value
1 | 1 | 1001 | 2010-05-04 | 2010-05-04 08:30:00 | 7.5 | 1005 | percent | 7.5
2 | 1 | 1001 | 2011-05-04 | 2011-05-04 00:00:00 | 8 | | mg |
3 | 2 | 1001 | 2012-05-04 | | | | | a line, "quoted"
4 | 9 | 1001 | 2012-05-04 | | | | | nobody's
5 | 2 | 1001 | 1850-05-04 | | 5.25 | 1005 | |
"""
TABLES = {"measurement": MEASUREMENT, "death": "person_id | death_date\n1 | 2015-06-01"}


def _type(column: str) -> str:
    """The type of OHDSI's DDL for PostgreSQL."""
    if column in {"value_as_number", "quantity", "dose_value"}:
        return "numeric"
    if column.endswith("_datetime"):
        return "timestamp"
    if column.endswith("_date"):
        return "date"
    if column.endswith("_source_value") or column in WORDS:
        return "varchar(255)"
    return "bigint" if column.endswith("_id") or "_concept_id_" in column else "text"


def fill(server: Server, source: Path, *, schema: str = "cdm", vocabulary: str = "vocab") -> None:
    """Tables of a folder of CSV, the vocabulary's in a schema of their own, which `reader` may read."""
    with psycopg.connect(server.url) as con:
        for name in {schema, vocabulary}:
            con.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
        for path in sorted(source.glob("*.csv")):
            table = f"{vocabulary if path.stem in VOCABULARY else schema}.{path.stem.lower()}"
            with path.open(newline="") as lines:
                columns = [column.lower() for column in next(csv.reader(lines))]
            typed = ", ".join(f'"{column}" {_type(column)}' for column in columns)
            con.execute(f"CREATE TABLE {table} ({typed})")
            with con.cursor().copy(f"COPY {table} FROM STDIN (FORMAT csv, HEADER)") as copy:
                copy.write(path.read_bytes())
        for role in ("reader", "clerk"):
            if not con.execute(f"SELECT 1 FROM pg_roles WHERE rolname = '{role}'").fetchone():
                con.execute(f"CREATE ROLE {role} LOGIN")
        con.execute(f"ALTER ROLE reader PASSWORD '{PASSWORD}'")
        for name in {schema, vocabulary}:
            con.execute(
                f"GRANT USAGE ON SCHEMA {name} TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO reader"
            )


@pytest.fixture
def server(postgres: Server) -> Server:
    """The server that all tests share, without what others have left in it."""
    with psycopg.connect(postgres.url) as con:
        left = (
            "SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema')"
        )
        for (schema,) in con.execute(left).fetchall():
            con.execute(f"DROP SCHEMA {schema} CASCADE")
        con.execute("CREATE SCHEMA public")
    return postgres


@pytest.fixture
def filled(server: Server, cdm: Cdm) -> tuple[Server, Path]:
    source = cdm(**TABLES)
    fill(server, source)
    return server, source


def _rows(kept: pa.Table) -> list[dict[str, str | None]]:
    """Rows set aside, every cell as text: a file has nothing but text, a database numbers too."""
    rows = [json.loads(row) for row in kept["source_row"].to_pylist()]
    return [{column: str(cell) if cell not in (None, "") else None for column, cell in row.items()} for row in rows]


def _same(files: dict[str, pa.Table], served: dict[str, pa.Table]) -> None:
    assert files.keys() == served.keys()
    for name, table in files.items():
        if name.startswith("rejects/"):
            assert sorted(map(str, _rows(table))) == sorted(map(str, _rows(served[name]))), name
        else:
            assert table.equals(served[name]), name


def test_a_database_gives_the_record_of_its_tables_in_files(filled: tuple[Server, Path], tmp_path: Path) -> None:
    server, source = filled
    said = ingest(source, tmp_path / "files").as_json()
    assert said["tables"]["measurement"]["rejected"] == {"person is not among the persons": 1, "before birth": 1}
    assert ingest(server.url, tmp_path / "served").as_json() == said
    _same(whole(tmp_path / "files"), whole(tmp_path / "served"))


@pytest.mark.realdata
def test_a_public_set_gives_the_same_record_by_either_door(server: Server, real_data: Path, tmp_path: Path) -> None:
    source = real_data / "omop_gibleed"
    fill(server, source)
    said = ingest(source, tmp_path / "files").as_json()
    served = ingest(server.url, tmp_path / "served").as_json()
    unread = {"unread", "unread_rows"}  # the schema of the clinical tables holds no other tables of the vocabulary
    assert {key: said[key] for key in said.keys() - unread} == {key: served[key] for key in served.keys() - unread}
    assert said["people"] == 2694
    _same(whole(tmp_path / "files"), whole(tmp_path / "served"))


def test_types_of_real_databases_are_read(server: Server, tmp_path: Path) -> None:
    """Numeric ids with decimals, an end that never comes, moments with their zone, padded text, types of no use."""
    with psycopg.connect(server.url) as con:
        con.execute(
            """
            CREATE SCHEMA odd; SET search_path = odd;
            CREATE TABLE "PERSON" ("PERSON_ID" numeric(20,2), gender_concept_id smallint,
                year_of_birth double precision, where_from point, gender_source_value char(10));
            INSERT INTO "PERSON" VALUES (1, 8507, 1960, '(1,2)', 'M'), (9007199254740993, 8532, 1970, NULL, NULL);
            CREATE TABLE observation_period (person_id bigint, observation_period_start_date date,
                observation_period_end_date date);
            INSERT INTO observation_period VALUES (1, '2000-01-01', 'infinity'),
                (9007199254740993, '2000-01-01', '2001-01-01');
            CREATE VIEW visit_occurrence AS SELECT 10.00::numeric(9,2) visit_occurrence_id, 1 person_id,
                9201 visit_concept_id, date '2010-01-01' visit_start_date, date '2010-01-06' visit_end_date;
            CREATE TABLE condition_occurrence AS SELECT 1 condition_occurrence_id, 1 person_id,
                1003 condition_concept_id, timestamptz '2010-01-01 12:00+02' condition_start_date,
                10::float8 visit_occurrence_id;
            CREATE TABLE measurement AS SELECT n measurement_id, 1 person_id, 0 measurement_concept_id,
                timestamp '2010-01-01' measurement_date, 'GLU'::varchar(50) measurement_source_value, v value_as_number
                FROM (VALUES (1, numeric '7.25'), (2, numeric 'NaN')) t (n, v);
            """
        )
    report = ingest(server.url, tmp_path / "record")
    rows = pa.concat_tables([t for n, t in whole(tmp_path / "record").items() if n.startswith("data/")]).to_pylist()
    assert report.people == 2
    assert sorted(row["source_id"] for row in whole(tmp_path / "record")["identity/subjects.parquet"].to_pylist()) == [
        "1",
        "9007199254740993",
    ]
    ends = [row["time"].isoformat() for row in rows if row["code"] == "OBSERVATION_PERIOD//END"]
    assert "2001-01-01T00:00:00" in ends
    assert "2010-01-06T00:00:00" in ends  # the open one ends with the last day of the source
    (condition,) = [row for row in rows if row["code"] == "OMOP//1003"]
    assert condition["available_time"].date().isoformat() == "2010-01-06"
    assert {row["numeric_value"] for row in rows if row["code"] == "Source/measurement//GLU"} == {7.25, None}
    assert report.tables["measurement"].mended == {"value is not a finite number": 1}


def test_the_schema_is_the_one_with_a_person_table_or_is_asked_for(filled: tuple[Server, Path], tmp_path: Path) -> None:
    server, source = filled
    with psycopg.connect(server.url) as con:
        con.execute("CREATE SCHEMA other; CREATE TABLE other.person AS SELECT * FROM cdm.person WHERE person_id = 1")
        con.execute("GRANT USAGE ON SCHEMA other, vocab TO clerk; GRANT SELECT ON other.person, vocab.concept TO clerk")
        con.execute("GRANT SELECT ON vocab.concept_ancestor TO clerk")
    with pytest.raises(PresageError, match=r"one schema with a table person, found 2: cdm, other .*--schema cdm"):
        ingest(server.url, tmp_path / "record")
    assert ingest(server.url, tmp_path / "record", schema="other").people == 1
    with pytest.raises(PresageError, match=r"expected the schema 'cmd', found none of that name .*cdm, other"):
        ingest(server.url, tmp_path / "record", schema="cmd")
    # A user who may read one of them means that one.
    assert ingest(server.url_of("clerk"), tmp_path / "clerk").people == 1
    with psycopg.connect(server.url) as con:
        con.execute("CREATE TABLE other.concept AS SELECT * FROM vocab.concept WHERE concept_id = 1001")
    with pytest.raises(
        PresageError, match=r"one schema with a table concept, found 2: other, vocab .*--vocabulary-sch"
    ):
        ingest(server.url, tmp_path / "record", schema="cdm")
    ingest(server.url, tmp_path / "one", schema="cdm", vocabulary_schema="vocab")
    ingest(source, tmp_path / "files")
    assert whole(tmp_path / "one")["metadata/codes.parquet"] == whole(tmp_path / "files")["metadata/codes.parquet"]
    with psycopg.connect(server.url) as con:
        con.execute("DROP SCHEMA cdm CASCADE; DROP SCHEMA other CASCADE")
    with pytest.raises(PresageError, match=r"a schema with the table person, found none"):
        ingest(server.url, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def _refused(url: str, tmp_path: Path) -> str:
    """What is said of a URL, once it is sure that neither it nor what led to it holds a password."""
    with pytest.raises(PresageError) as error:
        ingest(url, tmp_path / "record")
    told = "".join(traceback.format_exception(error.value))
    assert PASSWORD not in told
    assert "guessed" not in told
    assert not (tmp_path / "record").exists()
    return str(error.value)


def test_a_server_that_refuses_is_one_clear_error(
    filled: tuple[Server, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = filled
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "none"))
    monkeypatch.delenv("PGPASSWORD", raising=False)
    down = _refused(f"postgresql://presage@/postgres?host={tmp_path}", tmp_path)
    assert "a database that lets this user in, found no answer (check host" in down
    assert "set PGPASSWORD, or add a line to ~/.pgpass" in _refused(server.url_of("reader"), tmp_path)
    monkeypatch.setenv("PGPASSWORD", "guessed")
    wrong = _refused(server.url_of("reader"), tmp_path)
    assert 'found password authentication failed for user "reader" (set PGPASSWORD' in wrong
    assert 'found database "cdm" does not exist' in _refused(server.url_of("presage", "cdm"), tmp_path)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with psycopg.connect(server.url) as con:
        con.execute("REVOKE SELECT ON cdm.measurement FROM reader")
    denied = _refused(server.url_of("reader"), tmp_path)
    assert "table cdm.measurement: expected a table that this user may read, found no permission (ask for" in denied
    with psycopg.connect(server.url) as con:
        con.execute("GRANT SELECT ON cdm.measurement TO reader; ALTER TABLE cdm.measurement RENAME TO note")
        con.execute("REVOKE SELECT ON cdm.note FROM reader")
    report = ingest(server.url_of("reader"), tmp_path / "record")  # nobody reads a note
    assert (report.unread, report.unread_rows) == (("note",), {})


SECRETS = (
    f"postgresql://reader:{PASSWORD}@localhost/cdm",
    f"postgres://reader:{PASSWORD}@localhost/cdm",
    f"postgresql://localhost/cdm?password={PASSWORD}",
    f"postgresql://localhost/cdm?user=a&pass%77ord={PASSWORD}",
    f"postgresql://reader:{PASSWORD}/x@localhost/cdm",
    f"postgresql://reader:{PASSWORD}?x@localhost/cdm",
    f"postgresql://reader:{PASSWORD}#x@localhost/cdm",
    f"postgresql://reader/{PASSWORD}@localhost/cdm",
    f"postgresql://localhost:{PASSWORD}/cdm",
)


@pytest.mark.parametrize("url", SECRETS)
def test_a_password_in_a_url_is_refused_and_never_repeated(url: str, tmp_path: Path) -> None:
    for given in (url, str(Path(url))):
        said = _refused(given, tmp_path)
        assert said.startswith("SOURCE: expected a URL ")


COMMAND = (sys.executable, "-c", "from serving.cli import main; main()", "ingest")


@pytest.mark.parametrize("kind", ["omop", "fhir", "meds"])
def test_no_reader_repeats_a_password_that_stands_in_a_url(kind: str, tmp_path: Path) -> None:
    command = [*COMMAND, kind, SECRETS[0], "--record", str(tmp_path / "record")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "expected a URL without a password, found one with it (leave it out" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr


def _command_lines() -> bytes:
    found = b""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes()
        except OSError:  # it has ended
            continue
    return found


@pytest.mark.parametrize("way", ["PGPASSWORD", "PGPASSFILE"])
def test_a_password_stands_in_no_output_no_process_list_and_no_file(
    way: str, filled: tuple[Server, Path], tmp_path: Path
) -> None:
    server, _ = filled
    secret = PASSWORD
    if way == "PGPASSFILE":
        line = f"*:*:*:reader:{PASSWORD}\n"
        (tmp_path / "pgpass").write_text(line)
        (tmp_path / "pgpass").chmod(0o600)
        secret = str(tmp_path / "pgpass")
    environment = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"}
    command = [*COMMAND, "omop", server.url_of("reader"), "--record", str(tmp_path / "record")]
    environment |= {way: secret, "PRESAGE_TRACEBACK": "1", "PRESAGE_HOME": str(tmp_path / "home")}
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    seen = b""
    while running.poll() is None:
        seen += _command_lines()
        time.sleep(0.05)
    out, err = running.communicate()
    assert running.returncode == 0, err
    assert server.url_of("reader").encode() in seen
    files = [path.read_bytes() for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert len(files) > 5
    for text in (seen, out, err, *files, (server.folder / "log").read_bytes()):
        assert PASSWORD.encode() not in text


def test_memory_does_not_grow_with_a_table(server: Server, tmp_path: Path) -> None:
    measured = """
import resource, sys, ibis
from features.sources.omop.places import Wanted, chosen
from features.sources.omop.postgres import connected
with connected(sys.argv[1]) as server:
    server.tables.update(chosen(server.places, "here", wanted=Wanted("large")))
    con = ibis.duckdb.connect(sys.argv[2] + "/scratch.duckdb", memory_limit="150MB")
    before = 0
    for name in ("person", "measurement"):
        rows = server.stage(name, con, "raw_" + name).count().to_pyarrow().as_py()
        print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""
    with psycopg.connect(server.url) as con:
        con.execute("CREATE SCHEMA large")
        for name, rows in (("person", 40_000), ("measurement", 600_000)):
            con.execute(
                f"CREATE TABLE large.{name} AS SELECT n::bigint person_id, n measurement_id, date '2020-01-01' a_date,"
                f" n::numeric / 7 value_as_number, md5(n::text) a_text, md5((-n)::text) b_text"
                f" FROM generate_series(1, {rows}) n"
            )
    done = subprocess.run(
        [sys.executable, "-c", measured, server.url, str(tmp_path)], capture_output=True, text=True, check=True
    )
    (few, small), (many, large) = [map(int, line.split()) for line in done.stdout.splitlines()]
    assert (few, many) == (40_000, 600_000)
    assert large - small < 160, "all rows as Python's objects are 500 MB"


def _stopping(server: Server, at: int) -> Callable[..., Iterator[Advance]]:
    """A progress that stops the server when so many steps are done."""

    @contextmanager
    def progress(stage: str, *, total: int | None = None) -> Iterator[Advance]:
        steps = 0

        def advance(n: int) -> None:
            nonlocal steps
            steps += n
            if steps == at:
                server.stop()

        yield advance

    return progress  # type: ignore[return-value]


@pytest.mark.parametrize("where", ["between tables", "within a table"])
def test_a_server_that_stops_leaves_the_old_record(
    where: str, cdm: Cdm, tmp_path: Path, tables_of: TablesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "record"
    with running() as server:
        fill(server, cdm(**TABLES))
        ingest(server.url, record)
        before = tables_of(record)
        with psycopg.connect(server.url) as con:
            con.execute("UPDATE cdm.measurement SET value_as_number = 1")
        progress = _stopping(server, 3)
        if where == "within a table":
            monkeypatch.setattr(postgres, "ROWS_AT_ONCE", 1)
            calls, fetch = itertools.count(), psycopg.ServerCursor.fetchmany

            def fetchmany(cursor: psycopg.ServerCursor[tuple[object, ...]], size: int) -> list[tuple[object, ...]]:
                if next(calls) == 12:
                    server.stop()
                return fetch(cursor, size)

            monkeypatch.setattr(psycopg.ServerCursor, "fetchmany", fetchmany)
            progress = _stopping(server, 1000)
        with pytest.raises(
            PresageError, match=r"expected a server that answers to the end.*the record stands as it was"
        ):
            ingest(server.url, record, progress=progress)  # type: ignore[arg-type]
    _same(before, tables_of(record))
    assert not list(record.glob(".ingest-*"))


def test_every_table_is_of_one_moment(filled: tuple[Server, Path], tmp_path: Path) -> None:
    server, source = filled

    @contextmanager
    def progress(stage: str, *, total: int | None = None) -> Iterator[Advance]:
        with psycopg.connect(server.url) as con:
            con.execute("DELETE FROM cdm.measurement")
        yield lambda n: None

    ingest(source, tmp_path / "files")
    ingest(server.url, tmp_path / "served", progress=progress)
    _same(whole(tmp_path / "files"), whole(tmp_path / "served"))
