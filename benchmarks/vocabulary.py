"""A vocabulary of real size: `presage vocabulary load` beside a bare DuckDB script that reads and sorts the same rows.

    python benchmarks/vocabulary.py [--concepts 8e6 --ancestors 8e7 --links 2e7] [--data FOLDER]

The export is made up: concepts of five vocabularies, pairs of a concept and one of its ancestors, and `Maps to` beside
other relations, in the layout in which Athena writes them. Each route runs in a process of its own; wall and CPU
seconds, and peak resident memory (VmHWM) of the process. The goal for the defaults: 10 minutes and 3 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

FILES = ("CONCEPT.csv", "CONCEPT_ANCESTOR.csv", "CONCEPT_RELATIONSHIP.csv")


def write_export(folder: Path, *, concepts: int, ancestors: int, links: int) -> None:
    """An export of made-up concepts; an ancestor has a lower number, so that there is no circle."""
    folder.mkdir(parents=True, exist_ok=True)
    each = max(1, ancestors // concepts)
    maps = max(1, links // concepts)
    queries = (
        f"""SELECT i AS concept_id, 'concept ' || i AS concept_name, 'Condition' AS domain_id,
        ['SNOMED', 'RxNorm', 'ICD10CM', 'LOINC', 'NDC'][1 + i % 5] AS vocabulary_id, 'C' AS concept_class_id,
        CASE WHEN i % 5 < 2 THEN 'S' END AS standard_concept, 'c' || i AS concept_code, '19700101' AS valid_start_date,
        '20991231' AS valid_end_date, NULL AS invalid_reason FROM range(1, {concepts + 1}) t(i)""",
        f"""SELECT 1 + (hash(i * 64 + n) % i)::BIGINT AS ancestor_concept_id, i AS descendant_concept_id,
        1 AS min_levels_of_separation, 1 AS max_levels_of_separation
        FROM range(1, {concepts + 1}) t(i), range({each}) s(n)""",
        f"""SELECT i AS concept_id_1, 1 + (hash(i * 64 + n + 32) % i)::BIGINT AS concept_id_2,
        CASE WHEN n = 0 THEN 'Maps to' ELSE 'Subsumes' END AS relationship_id, '19700101' AS valid_start_date,
        '20991231' AS valid_end_date, NULL AS invalid_reason
        FROM range(1, {concepts + 1}) t(i), range({maps}) s(n)""",
    )
    connection = duckdb.connect()
    connection.execute("SET memory_limit = '2GB'; SET preserve_insertion_order = false")
    for name, query in zip(FILES, queries, strict=True):
        connection.execute(f"COPY ({query}) TO '{folder / name}' (DELIMITER '\t', HEADER)")


def by_hand(folder: Path, scratch: Path) -> None:
    """Read the same columns, join codes to pairs, sort, write: the least that any loader does."""
    connection = duckdb.connect(str(scratch / "hand.duckdb"))
    connection.execute("SET memory_limit = '2GB'; SET preserve_insertion_order = false")
    concept, ancestor, _ = (f"read_csv('{folder / name}', delim='\t', header=true)" for name in FILES)
    connection.execute(
        f"""CREATE TABLE concepts AS
        SELECT concept_id AS id, vocabulary_id || '//' || concept_code AS code FROM {concept};
        COPY (SELECT d.code, a.code AS ancestor FROM {ancestor} p JOIN concepts d ON d.id = p.descendant_concept_id
        JOIN concepts a ON a.id = p.ancestor_concept_id ORDER BY d.code, a.code) TO '{scratch / "pairs.parquet"}'"""
    )


def by_presage(folder: Path, scratch: Path) -> None:
    """`presage vocabulary load` into a home of its own."""
    from features.vocabulary import load

    os.environ["PRESAGE_HOME"] = str(scratch)
    load(folder)


ROUTES = {"presage": by_presage, "by hand": by_hand}


def measured(route: str, folder: Path) -> dict[str, float]:
    """Seconds and MB of one route, in a process of its own."""
    command = [sys.executable, __file__, "--route", route, "--data", str(folder)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def run(route: str, folder: Path) -> None:
    """One route; prints its JSON."""
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        begun = time.perf_counter()
        ROUTES[route](folder, Path(scratch))
        wall = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime, "mb": int(peak.split()[1]) / 1024}))


def main() -> None:
    """Make the export where it is not there yet, measure both routes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concepts", type=float, default=8e6)
    parser.add_argument("--ancestors", type=float, default=8e7)
    parser.add_argument("--links", type=float, default=2e7)
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "presage-vocabulary")
    parser.add_argument("--route", choices=ROUTES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.route:
        run(asked.route, asked.data)
        return
    size = f"{int(asked.concepts)}-{int(asked.ancestors)}-{int(asked.links)}"
    folder = asked.data / size
    if not all((folder / name).is_file() for name in FILES):
        write_export(folder, concepts=int(asked.concepts), ancestors=int(asked.ancestors), links=int(asked.links))
    print("route     wall s  CPU s  peak MB")
    for route in ROUTES:
        row = measured(route, folder)
        print(f"{route:9} {row['wall']:6.1f} {row['cpu']:6.1f} {row['mb']:8.0f}", flush=True)


if __name__ == "__main__":
    main()
