"""A source into a record: `presage ingest` beside a bare DuckDB script that reads the same columns, sorts and writes.

    python benchmarks/ingest.py [--omop 2e7] [--fhir 1e6] [--csv] [--repeat 1] [--data FOLDER]

Both sources are made up. OMOP: visits, conditions, drugs, procedures, measurements and observations of one person in
two hundred rows, in no order, with 20,000 concepts and their ancestors, as Parquet (`--csv`: as CSV). FHIR: a bulk
export (NDJSON) of Patients, Encounters and Observations as Synthea shapes them. The bare script checks nothing and
knows nothing of concepts: it reads the columns that the ingest reads, sorts them by person, time and code, and writes
Parquet (zstd), with the threads that the ingest has, and 900 MB for DuckDB: with the ingest's 700 it does not end.

Each route runs in a process of its own. Shown are its CPU seconds (user and system, less those of the same route on
one person), their ratio, and the peak resident memory (VmHWM). The goals for the defaults: 3.5 times the bare script's
CPU for OMOP, 6 times for FHIR, and 1.2 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import duckdb

ROWS_A_PERSON, CONCEPTS, MEMORY = 200, 20_000, "900MB"
# Shares of the rows, which concepts a table uses, and its own columns beside those of every table.
TABLES = {
    "condition_occurrence": (0.15, "condition", "condition_start"),
    "drug_exposure": (0.15, "drug", "drug_exposure_start"),
    "procedure_occurrence": (0.10, "procedure", "procedure"),
    "measurement": (0.40, "measurement", "measurement"),
    "observation": (0.05, "observation", "observation"),
}
VISITS = 0.15


def write_omop(folder: Path, rows: int, *, csv: bool) -> None:
    """A CDM 5.4 of made-up people; what is drawn depends on the number of the row only."""
    folder.mkdir(parents=True)
    people, visits = max(1, rows // ROWS_A_PERSON), max(1, int(rows * VISITS))
    connection = _connection(folder)
    copy = "(HEADER, DELIMITER ',')" if csv else "(FORMAT parquet, COMPRESSION zstd)"
    for name, query in _omop_tables(rows, people, visits=visits).items():
        connection.execute(f"COPY ({query}) TO '{folder / name}.{'csv' if csv else 'parquet'}' {copy}")


def _omop_tables(rows: int, people: int, *, visits: int) -> dict[str, str]:
    second = "TIMESTAMP '2010-01-01' + to_seconds((hash(i * 7 + {salt}) % 378000000)::BIGINT)"
    # A row belongs to a visit, and so to its person; three in four are on the visit's first day.
    person, visit = "1 + (hash(v) % {people})::BIGINT", "1 + (hash(i * 13 + {salt}) % {visits})::BIGINT"
    tables = {
        "person": f"""SELECT i AS person_id, [8507, 8532][1 + i % 2] AS gender_concept_id, 1930 + i % 70 AS
        year_of_birth, 1 + i % 12 AS month_of_birth, 1 + i % 28 AS day_of_birth, 8527 AS race_concept_id,
        38003564 AS ethnicity_concept_id, 1 + i % 50 AS care_site_id FROM range(1, {people + 1}) t(i)""",
        "concept": f"""SELECT i AS concept_id, 'concept ' || i AS concept_name,
        ['ICD10CM', 'RxNorm', 'SNOMED', 'LOINC'][1 + i % 4] AS vocabulary_id,
        CASE WHEN i % 4 = 0 THEN 'E' || (10 + i % 80) || '.' || i ELSE i::VARCHAR END AS concept_code
        FROM range(1, {CONCEPTS + 1}) t(i) UNION ALL SELECT 8840, 'mg/dL', 'UCUM', 'mg/dL'""",
        "concept_ancestor": f"""SELECT DISTINCT 1 + (hash(i * 16 + n) % i)::BIGINT AS ancestor_concept_id,
        i AS descendant_concept_id, 1 + n AS min_levels_of_separation, 1 + n AS max_levels_of_separation
        FROM range(2, {CONCEPTS + 1}) t(i), range(8) s(n)""",
        "observation_period": f"""SELECT i AS observation_period_id, i AS person_id, DATE '2009-12-01' AS
        observation_period_start_date, DATE '2022-06-30' AS observation_period_end_date
        FROM range(1, {people + 1}) t(i)""",
        "visit_occurrence": f"""SELECT v AS visit_occurrence_id, {person.format(people=people)} AS person_id,
        [9201, 9202, 9203][1 + v % 3] AS visit_concept_id,
        moment::DATE AS visit_start_date, moment AS visit_start_datetime,
        (moment + to_hours((v % 3) * 24))::DATE AS visit_end_date, moment + to_hours((v % 3) * 24) AS visit_end_datetime
        FROM (SELECT i AS v, {second.format(salt=0)} AS moment FROM range(1, {visits + 1}) t(i))""",
    }
    for salt, (name, (share, stem, start)) in enumerate(TABLES.items(), start=1):
        dated = f"{second.format(salt=0)}".replace("i * 7", "v * 7")
        values = (
            """, CASE WHEN i % 10 < 8 THEN round(50 + hash(i * 3) % 20000 / 100.0, 2) END AS value_as_number,
            0 AS value_as_concept_id, 0 AS operator_concept_id, CASE WHEN i % 10 < 8 THEN 8840 ELSE 0 END
            AS unit_concept_id, CASE WHEN i % 10 < 8 THEN 'mg/dL' END AS unit_source_value,
            CASE WHEN i % 10 < 8 THEN NULL ELSE 'positive' END AS value_source_value"""
            if stem in ("measurement", "observation")
            else ", 30 AS days_supply" if stem == "drug" else ""
        )  # fmt: skip
        # A tenth of the concepts make up most of the rows.
        concept = f"1 + (hash(i * 5 + {salt}) % CASE WHEN i % 10 < 9 THEN {CONCEPTS // 10} ELSE {CONCEPTS} END)::BIGINT"
        tables[name] = f"""SELECT i AS {name}_id, {person.format(people=people)} AS person_id, v AS visit_occurrence_id,
        {concept} AS {stem}_concept_id, CASE WHEN i % 3 = 0 THEN {concept} ELSE 0 END AS {stem}_source_concept_id,
        'c' || ({concept}) AS {stem}_source_value, moment::DATE AS {start}_date, moment AS {start}_datetime{values}
        FROM (SELECT i, v, {dated} + to_hours((i % 4)::BIGINT * 7) AS moment FROM (SELECT i,
        {visit.format(salt=salt, visits=visits)} AS v FROM range(1, {max(1, int(rows * share)) + 1}) t(i)))"""
    return tables


def write_fhir(folder: Path, observations: int) -> None:
    """A bulk export of made-up people: ten Observations an Encounter, ROWS_A_PERSON a Patient."""
    folder.mkdir(parents=True)
    people, encounters = max(1, observations // ROWS_A_PERSON), max(1, observations // 10)
    subject, visit = f"'Patient/' || md5('p' || i % {people})", f"'Encounter/' || md5('e' || i % {encounters})"
    moment = f"TIMESTAMP '2010-01-01' + to_seconds((hash(i % {encounters} * 7) % 378000000)::BIGINT)"
    moment = f"strftime({moment}, '%Y-%m-%dT%H:%M:%S+00:00')"
    patient = """'{"resourceType":"Patient","id":"' || md5('p' || i) || '","gender":"' || ['male','female'][1 + i % 2]
    || '","birthDate":"' || (1930 + i % 70) || '-03-0' || (1 + i % 9) || '"}'"""
    coded = '"code":{{"coding":[{{"system":"{}","code":"{}","display":"{}"}}],"text":"{}"}}'
    check_up = "Encounter for check up (procedure)"
    kind = coded.format("http://snomed.info/sct", "185349003", check_up, check_up).removeprefix('"code":')
    encounter = f"""'{{"resourceType":"Encounter","id":"' || md5('e' || i) || '","status":"finished","class":{{'
    || '"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"AMB"}},"type":[{kind}],'
    || '"subject":{{"reference":"' || {subject} || '"}},'
    || '"period":{{"start":"' || moment || '","end":"' || moment || '"}}}}'"""
    measured, number = "A measurement in serum or plasma", "' || (1000 + hash(i) % 300) || '-' || (hash(i) % 7) || '"
    observation = f"""'{{"resourceType":"Observation","id":"' || md5('o' || i) || '","status":"final","category":['
    || '{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory",'
    || '"display":"laboratory"}}]}}],{coded.format("http://loinc.org", number, measured, measured)},'
    || '"subject":{{"reference":"' || {subject} || '"}},"encounter":{{"reference":"' || {visit} || '"}},'
    || '"effectiveDateTime":"' || moment || '","issued":"' || replace(moment, '+00', '.530+00')
    || '","valueQuantity":{{"value":' || round(50 + hash(i * 3) % 20000 / 100.0, 2) || ',"unit":"mg/dL",'
    || '"system":"http://unitsofmeasure.org","code":"mg/dL"}},"meta":{{"lastUpdated":"2022-11-01T00:00:00.000+00:00",'
    || '"versionId":"1","tag":[{{"system":"https://smarthealthit.org/tags","code":"synthea-5-2019"}}]}}}}'"""
    connection = _connection(folder)
    for name, text, n in (
        ("Patient", patient, people),
        ("Encounter", encounter, encounters),
        ("Observation", observation, observations),
    ):
        query = f"SELECT {text} FROM (SELECT i, {moment} AS moment FROM range({n}) t(i))"
        lines = "(FORMAT csv, HEADER false, QUOTE '', DELIMITER '\x01')"
        connection.execute(f"COPY ({query}) TO '{folder / name}.ndjson' {lines}")


def _connection(scratch: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{scratch / 'spill'}'")
    connection.execute("SET preserve_insertion_order = false")
    return connection


def omop_by_hand(source: Path, scratch: Path) -> None:
    """The tables that become events, each row one with the columns of the record, its code as a number."""
    ending = next(source.glob("person.*")).suffix
    visit = ("visit_occurrence", "visit", "visit_start")
    selects = []
    for name, stem, start in (visit, *((name, stem, start) for name, (_, stem, start) in TABLES.items())):
        has_value = stem in ("measurement", "observation")
        code = f"{stem}_concept_id"
        code = code if stem == "visit" else f"coalesce(nullif({stem}_source_concept_id, 0), {code})"
        number = "value_as_number" if has_value else "days_supply" if stem == "drug" else "NULL"
        text = "value_source_value" if has_value else "NULL" if stem == "visit" else f"{stem}_source_value"
        end = "visit_end_datetime" if stem == "visit" else f"{start}_date"
        unit = "unit_concept_id" if has_value else "NULL"
        selects.append(
            f"SELECT person_id AS subject_id, {start}_datetime AS time, {code} AS code, {number}::FLOAT AS number,"
            f" {text} AS text, {end}::TIMESTAMP AS available_time, {unit} AS unit, visit_occurrence_id AS visit"
            f" FROM '{source / name}{ending}'"
        )
    _connection(scratch).execute(
        f"COPY (FROM ({' UNION ALL '.join(selects)}) ORDER BY subject_id, time, code)"
        f" TO '{scratch / 'hand.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
    )


def fhir_by_hand(source: Path, scratch: Path) -> None:
    """The elements of Observations that the ingest reads, sorted, in one file; Patients and Encounters in others."""
    connection = _connection(scratch)
    coded = 'STRUCT(coding STRUCT(system VARCHAR, code VARCHAR, display VARCHAR)[], "text" VARCHAR)'
    reference, meta = "STRUCT(reference VARCHAR)", 'STRUCT("lastUpdated" VARCHAR, "versionId" VARCHAR)'
    shapes: Mapping[str, Mapping[str, str]] = {
        "Patient": {"id": "VARCHAR", "gender": "VARCHAR", "birthDate": "DATE"},
        "Encounter": {
            "id": "VARCHAR", "status": "VARCHAR", "class": "STRUCT(code VARCHAR)", "subject": reference,
            "period": "STRUCT(start TIMESTAMPTZ, \"end\" TIMESTAMPTZ)",
        },
        "Observation": {
            "id": "VARCHAR", "status": "VARCHAR", "code": coded, "subject": reference, "encounter": reference,
            "effectiveDateTime": "TIMESTAMPTZ", "issued": "TIMESTAMPTZ", "meta": meta,
            "valueQuantity": "STRUCT(\"value\" DOUBLE, unit VARCHAR, system VARCHAR, code VARCHAR)",
        },
    }  # fmt: skip
    orders = {
        "Patient": "id",
        "Encounter": "subject.reference, period.start",
        "Observation": 'subject.reference, "effectiveDateTime", code.coding[1].code',
    }
    for kind, shape in shapes.items():
        columns = ", ".join(f"\"{name}\": '{type_}'" for name, type_ in shape.items())
        connection.execute(
            f"COPY (FROM read_ndjson('{source / kind}.ndjson', columns = {{{columns}}}) ORDER BY {orders[kind]})"
            f" TO '{scratch / kind}.parquet' (FORMAT parquet, COMPRESSION zstd)"
        )


def omop_by_presage(source: Path, scratch: Path) -> None:
    """`presage ingest omop`."""
    from features.sources.omop import run as omop

    omop.ingest(source, scratch / "record")


def fhir_by_presage(source: Path, scratch: Path) -> None:
    """`presage ingest fhir`."""
    from features.sources.fhir import run as fhir

    fhir.ingest(source, scratch / "record")


ROUTES = {
    "omop": {"presage": omop_by_presage, "by hand": omop_by_hand},
    "fhir": {"presage": fhir_by_presage, "by hand": fhir_by_hand},
}


def run(format_: str, route: str, source: Path) -> None:
    """One route in this process; prints its JSON."""
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        begun = time.perf_counter()
        ROUTES[format_][route](source, Path(scratch))
        wall = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "mb": int(peak.split()[1]) / 1024}))


def measured(format_: str, route: str, source: Path, *, repeat: int = 1) -> dict[str, float]:
    """Seconds and MB of one route, in a process of its own: of several runs the one with the least CPU."""
    command = [sys.executable, __file__, "--run", format_, route, "--data", str(source)]
    runs = (subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(repeat))
    return dict(min((json.loads(line) for line in runs), key=lambda row: float(row["cpu"])))


def made(folder: Path, format_: str, size: int, *, csv: bool) -> Path:
    """The source of this size, written where it is not there yet."""
    source = folder / f"{format_}-{size}{'-csv' if csv else ''}"
    if not source.exists():
        part = folder / f"{source.name}.part"
        write_omop(part, size, csv=csv) if format_ == "omop" else write_fhir(part, size)
        part.rename(source)
    return source


def compare(folder: Path, format_: str, size: int, *, csv: bool, repeat: int) -> None:
    """Print a line for each route, and the ratio of their CPU."""
    sources = [made(folder, format_, each, csv=csv) for each in (ROWS_A_PERSON, size)]
    cpu = []
    for route in ROUTES[format_]:
        empty, full = (measured(format_, route, source, repeat=repeat) for source in sources)
        cpu.append(full["cpu"] - empty["cpu"])
        print(
            f"{format_} {size:>10,} {route:8} {full['wall']:7.1f} {full['cpu']:7.1f} {empty['cpu']:7.1f}"
            f" {cpu[-1]:7.1f} {full['mb']:7.0f}",
            flush=True,
        )
    print(f"{format_} {size:>10,} ratio {cpu[0] / cpu[1]:.2f}", flush=True)


def main() -> None:
    """Make the sources where they are not there yet, measure both routes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--omop", type=float, default=2e7, help="rows; 0 for none")
    parser.add_argument("--fhir", type=float, default=1e6, help="Observations; 0 for none")
    parser.add_argument("--csv", action="store_true", help="OMOP as CSV")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "presage-ingest")
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        format_, route = asked.run
        run(format_, route, asked.data)
        return
    print("source       rows route     wall s   CPU s   empty    less peak MB")
    for format_ in ROUTES:
        if size := int(getattr(asked, format_)):
            asked.data.mkdir(parents=True, exist_ok=True)
            compare(asked.data, format_, size, csv=asked.csv and format_ == "omop", repeat=asked.repeat)


if __name__ == "__main__":
    main()
