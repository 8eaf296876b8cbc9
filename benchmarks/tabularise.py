"""MEDS events on disk to a sparse matrix of windowed features: this engine, DuckDB SQL by hand, and meds-tab.

    python benchmarks/tabularise.py --events 1e6 1e7 [--meds-tab /path/to/venv/bin/meds-tab-tabularize-time-series]

2,000 codes, 100 events a person over ten years, one index a person, windows of 30, 90, 180 and 365 days; count, mean,
min and max by window, and the latest of all. Every route runs in a process of its own and writes its matrix by shard;
CPU seconds (user and system) after the imports, peak resident memory of the whole process. The engine's matrix is
checked against the SQL's, cell by cell, at the smallest size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import sparse

if TYPE_CHECKING:
    import duckdb

CODES, EVENTS_A_PERSON, PEOPLE_A_FILE = 2000, 100, 50_000
WINDOWS = (30, 90, 180, 365)
AS_OF = np.datetime64("2020-01-01", "us")
HISTORY_DAYS = 3650


def write_events(folder: Path, events: int, seed: int = 7) -> None:
    """A MEDS data set: each person's events sorted by time, in files of 50,000 people."""
    rng = np.random.default_rng(seed)
    (folder / "data").mkdir(parents=True)
    codes = pa.array([f"LOINC//{number:05d}" for number in range(CODES)])
    people = events // EVENTS_A_PERSON
    for file, first in enumerate(range(0, people, PEOPLE_A_FILE)):
        subjects = np.repeat(np.arange(first, min(first + PEOPLE_A_FILE, people)), EVENTS_A_PERSON)
        seconds = rng.integers(1, HISTORY_DAYS * 86_400, len(subjects))
        order = np.lexsort((-seconds, subjects))
        time_ = pa.array(AS_OF - seconds[order].astype("timedelta64[s]"))
        table = pa.table(
            {
                "subject_id": subjects,
                "time": time_,
                "code": codes.take(pa.array(rng.integers(0, CODES, len(subjects)))),
                "numeric_value": rng.normal(100, 20, len(subjects)).round(1).astype(np.float32),
                "text_value": pa.nulls(len(subjects), pa.large_string()),
                "available_time": time_,
                "unit": pa.nulls(len(subjects), pa.string()),
            }
        )
        pq.write_table(table, folder / "data" / f"{file:04d}.parquet", row_group_size=1 << 19)


def engine(folder: Path, events: int, out: Path) -> int:
    """This engine."""
    from features.engine.tabulate import shards
    from features.index import Index
    from features.record import Record

    index = Index.at(np.arange(events // EVENTS_A_PERSON), AS_OF)
    codes = [f"LOINC//{number:05d}" for number in range(CODES)]
    found = shards(index, Record.open(folder), codes, windows_days=WINDOWS)
    return store((block for _, block in found), out)


def store(blocks: Iterable[sparse.csr_matrix], out: Path) -> int:
    """Write each shard's matrix; the number of stored cells."""
    stored = 0
    for number, block in enumerate(blocks):
        block.sort_indices()
        sparse.save_npz(out / f"{number:04d}.npz", block, compressed=False)
        stored += block.nnz
    return stored


def by_hand(folder: Path, events: int, out: Path) -> int:
    """What one would write in DuckDB for the same result, in the same shards of people."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET preserve_insertion_order = false")
    con.register("vocabulary", pa.table({"code": [f"LOINC//{n:05d}" for n in range(CODES)],
                                         "number": pa.array(np.arange(CODES, dtype=np.int32))}))  # fmt: skip
    return store(_by_hand(con, folder, events), out)


def _by_hand(con: duckdb.DuckDBPyConnection, folder: Path, events: int) -> Iterator[sparse.csr_matrix]:
    columns = []
    for days in WINDOWS:
        where = f" FILTER (time >= TIMESTAMP '2020-01-01' - INTERVAL {days} DAY)"
        columns += [f"count(*){where}", f"avg(v){where}", f"min(v){where}", f"max(v){where}"]
    edges = np.linspace(0, events // EVENTS_A_PERSON, events // 1_500_000 + 2).astype(int)
    for low, high in itertools.pairwise(edges):
        table = con.sql(
            f"SELECT subject_id, number, {', '.join(columns)}, arg_max(v, time) FROM (SELECT subject_id, time, code, "
            f"numeric_value::DOUBLE v FROM read_parquet('{folder}/data/*.parquet') WHERE subject_id >= {low} AND "
            f"subject_id < {high} AND available_time < TIMESTAMP '2020-01-01') JOIN vocabulary USING (code) "
            "GROUP BY subject_id, number"
        ).to_arrow_table()
        row = (table.column(0).to_numpy() - low).astype(np.int32)
        number = table.column(1).to_numpy().astype(np.int32)
        data, rows, cells = [], [], []
        for block in range(table.num_columns - 2):
            values = table.column(block + 2).to_numpy().astype(np.float64)
            there = values != 0 if block % 4 == 0 and block < 16 else ~np.isnan(values)
            data.append(values[there].astype(np.float32))
            rows.append(row[there])
            cells.append(number[there] + np.int32(block * CODES))
        parts = (np.concatenate(data), (np.concatenate(rows), np.concatenate(cells)))
        yield sparse.csr_matrix(parts, shape=(high - low, CODES * (table.num_columns - 2)))


ROUTES = {"engine": engine, "by hand": by_hand}


def run_route(route: str, folder: Path, events: int, out: Path) -> dict[str, float]:
    """A route in a process of its own."""
    out.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "--route", route, "--folder", str(folder), "--events", str(events)]
    done = subprocess.run([*command, "--out", str(out)], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def one(route: str, folder: Path, events: int, out: Path | None) -> None:
    """Inside that process: the numbers as JSON."""
    import features.engine.tabulate  # noqa: F401 - the imports of every route, before the clock

    imports_mb = peak_mb()
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    stored = ROUTES[route](folder, events, out)
    after = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "stored": stored,
        "wall_s": time.perf_counter() - start,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_mb": peak_mb(),
        "imports_mb": imports_mb,
    }
    print(json.dumps(found))


def peak_mb() -> float:
    """Peak resident memory of this process since it was executed; getrusage would count the parent's."""
    status = Path("/proc/self/status").read_text()
    return next(int(row.split()[1]) / 1024 for row in status.splitlines() if row.startswith("VmHWM"))


def agree(ours: Path, theirs: Path) -> str:
    """Whether two matrices are the same, cell by cell."""
    a, b = (
        sparse.vstack([sparse.load_npz(file) for file in sorted(at.iterdir())], format="csr") for at in (ours, theirs)
    )
    same = np.array_equal(a.indptr, b.indptr) and np.array_equal(a.indices, b.indices)
    return "the same cells and values" if same and np.allclose(a.data, b.data, rtol=1e-6, atol=1e-5) else "DIFFERENT"


def meds_tab(script: Path, folder: Path) -> dict[str, float]:
    """meds-tab's own command on the same files, in its own environment; CPU of the child."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([str(script), str(folder)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.perf_counter() - start, 2), "cpu_s": round(cpu, 2)}


def line(size: int, route: str, found: dict[str, float]) -> str:
    """One result."""
    return (
        f"{size:>12,} {route:8} cpu {found['cpu_s']:7.2f} s wall {found['wall_s']:7.2f} s "
        f"peak {found['peak_mb']:5.0f} MB (imports {found['imports_mb']:.0f}) stored {found['stored']:,}"
    )


def main() -> None:
    """Print one line a size and route."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, nargs="+", default=[1e6])
    parser.add_argument("--route", choices=list(ROUTES))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--meds-tab", type=Path, help="a script that runs meds-tab on the folder it is given")
    asked = parser.parse_args()
    if asked.route:
        one(asked.route, asked.folder, int(asked.events[0]), asked.out)
        return
    for number, size in enumerate(sorted(int(events) for events in asked.events)):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "meds"
            write_events(folder, size)
            for route in ("engine", "by hand"):
                print(line(size, route, run_route(route, folder, size, Path(scratch) / route)), flush=True)
            if number == 0:
                print(f"{size:>12,} they hold {agree(Path(scratch) / 'engine', Path(scratch) / 'by hand')}", flush=True)
            if asked.meds_tab and number == 0:
                print(f"{size:>12,} meds-tab {meds_tab(asked.meds_tab, folder)}", flush=True)


if __name__ == "__main__":
    main()
