"""Updates of an OMOP record beside its full ingest: a month of 200, with and without compaction, and reading.

    python benchmarks/updates.py [--rows 2e6] [--months 5] [--data FOLDER]

The source is made up: people of 200 rows each over 200 months, in Parquet, a tenth of them visits whose end, in
the last month, comes a month later. The full ingest reads all but the last months; each of these is then an
update of its own.
Each step runs in a process of its own; CPU seconds (user and system) less those of an ingest of three people, and peak
resident memory. The goals: an update at most 10 % of the full ingest, with compaction 40 %, reading with five deltas
1.3 times as long as with none.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb

MONTHS = 200
PER_PERSON = 200
CONCEPTS = ((1, "SNOMED", "22298006"), (2, "ICD10CM", "I10"), (3, "RxNorm", "36567"), (4, "LOINC", "2093-3"))
# Table -> its share of the rows, and the columns beside key, person and date.
TABLES = {
    "visit_occurrence": (0.1, "visit", "visit_start_date", "9201 AS visit_concept_id"),
    "condition_occurrence": (0.2, "condition", "condition_start_date", "1 + i % 2 AS condition_concept_id"),
    "drug_exposure": (0.2, "drug", "drug_exposure_start_date", "3 AS drug_concept_id, 30 AS days_supply"),
    "measurement": (
        0.5, "measurement", "measurement_date",
        "4 AS measurement_concept_id, 100 + hash(i) % 1000 / 10 AS value_as_number, 'mg/dL' AS unit_source_value",
    ),
}  # fmt: skip
READ = """
import ibis
from features.record import Record
backend = ibis.duckdb.connect(memory_limit="900MB")
events = Record.open(sys.argv[1]).events(backend)
ids = events.select("subject_id").distinct().count().to_pyarrow().as_py()
step = max(1, ids // 20)
for first in range(0, ids + step, step):
    part = events.filter(events.subject_id.between(first, first + step - 1))
    part.aggregate(n=part.count(), value=part.numeric_value.sum(), last=part.available_time.max(),
                   code=part.code.max()).to_pyarrow()
"""
INGEST = """
from pathlib import Path
from features.sources.omop import ingest
ingest(Path(sys.argv[1]), Path(sys.argv[2]), update="update" in sys.argv[3:])
"""
COMPACT = """
from pathlib import Path
from features.sources import compact
compact(Path(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds and peak resident memory (MB) of one step."""

    cpu: float
    memory: float


def write_source(folder: Path, *, rows: int, months: range, people: int) -> Path:
    """The rows of these months; of the month before the first, the visits again, now with their ends."""
    folder.mkdir(parents=True)
    connection = duckdb.connect()
    first = months.start == 0
    if first:
        columns = "i AS person_id, 8507 AS gender_concept_id, 1930 + i % 60 AS year_of_birth"
        _write(connection, folder / "person.parquet", f"SELECT {columns} FROM range(1, {people + 1}) t(i)")
    concepts = ", ".join(f"({number}, 'name {number}', '{name}', '{code}')" for number, name, code in CONCEPTS)
    _write(
        connection,
        folder / "concept.parquet",
        f"SELECT * FROM (VALUES {concepts}) t(concept_id, concept_name, vocabulary_id, concept_code)",
    )
    for table, (share, stem, date, more) in TABLES.items():
        n = int(rows * share)
        month = f"(hash(i * 31 + 7) % {MONTHS})::INTEGER"
        day = f"(DATE '2005-01-01' + {month} * 30 + (hash(i) % 28)::INTEGER)"
        key = "visit_occurrence_id" if stem == "visit" else f"{table}_id"
        where = f"m >= {months.start} AND m < {months.stop}"
        if stem == "visit":
            where = f"m >= {months.start - (not first)} AND m < {months.stop}"
            more += f", CASE WHEN m < {months.stop - 1} THEN d + 3 END AS visit_end_date"
        elif stem == "condition":
            more += f", 1 + (hash(i) % {max(1, int(rows * TABLES['visit_occurrence'][0]))}) AS visit_occurrence_id"
        query = (
            f"SELECT i AS {key}, 1 + (hash(i * 17) % {people})::BIGINT AS person_id, d AS {date}, {more} FROM"
            f" (SELECT i, {month} AS m, {day} AS d FROM range(1, {n + 1}) t(i)) WHERE {where}"
        )
        _write(connection, folder / f"{table}.parquet", query)
    return folder


def _write(connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> None:
    connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")


def measured(code: str, *arguments: str) -> Cost:
    """Run code in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    tail = "\nprint(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}{tail}", *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, int(done.stdout.split()[-1]) / 1024)


def run(folder: Path, *, rows: int, months: int) -> dict[str, object]:
    """Every step, in order."""
    people = max(1, rows // PER_PERSON)
    empty = write_source(folder / "empty", rows=30, months=range(MONTHS), people=3)
    whole = write_source(folder / "whole", rows=rows, months=range(MONTHS - months), people=people)
    record = folder / "record"
    start = measured(INGEST, str(empty), str(folder / "empty-record"))
    full = measured(INGEST, str(whole), str(record))
    no_read = measured(READ, str(folder / "empty-record"))
    none = measured(READ, str(record))
    updates = []
    for n in range(MONTHS - months, MONTHS):
        source = write_source(folder / f"month{n}", rows=rows, months=range(n, n + 1), people=people)
        updates.append(measured(INGEST, str(source), str(record), "update"))
    pending = measured(READ, str(record))
    compacted = measured(COMPACT, str(record))
    own = full.cpu - start.cpu
    update = max(one.cpu for one in updates) - start.cpu
    compaction = compacted.cpu - no_read.cpu
    costs = {"empty": start, "full": full, "compaction": compacted, "reading": none, "reading pending": pending}
    costs |= {f"update {n}": one for n, one in enumerate(updates)}
    return {
        "rows": rows,
        "full_cpu": round(own, 1),
        "update_of_full": round(update / own, 3),
        "with_compaction_of_full": round((update + compaction) / own, 3),
        "reading_with_deltas": round((pending.cpu - no_read.cpu) / (none.cpu - no_read.cpu), 2),
        "steps": {name: {"cpu": round(one.cpu, 1), "MB": round(one.memory)} for name, one in costs.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=2e6, help="rows of the whole source")
    parser.add_argument("--months", type=int, default=5, help="updates of a month each")
    parser.add_argument("--data", type=Path, help="a folder to work in; else a temporary one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.data) as folder:
        print(json.dumps(run(Path(folder), rows=int(given.rows), months=given.months), indent=1))


if __name__ == "__main__":
    main()
