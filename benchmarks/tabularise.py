"""MEDS events on disk to a sparse matrix of windowed features: this engine, DuckDB SQL by hand, and meds-tab.

    python benchmarks/tabularise.py --events 1e6 1e7 5e7 [--meds-tab VENV/bin --meds-tab-limit 300] [--data FOLDER]

2,000 codes, 100 events a person over ten years, one index a person, windows of 30, 90, 180 and 365 days; count, mean,
min and max by window, and the latest of all. Every route runs in a process of its own, on one thread and with DuckDB
held to 80 MB, and writes its matrix by shard; CPU seconds (user and system) after the imports, peak resident memory
(VmHWM) of the whole process. The engine's matrix is checked against the SQL's, cell by cell, at the smallest size.
The events are written once, into the temporary folder unless told otherwise, and kept for the next run.

meds-tab runs on the smallest size in an environment of its own (`uv pip install meds-tab==0.2.0`), with the same codes,
windows and statistics (its sum and count for our mean; it has no latest value), one worker, until it is done or the
limit is reached.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
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

CODES, EVENTS_A_PERSON, PEOPLE_A_FILE = 2000, 100, 20_000
WINDOWS = (30, 90, 180, 365)
AS_OF = np.datetime64("2020-01-01", "us")
HISTORY_DAYS = 3650
MEMORY = "80MB"  # for DuckDB, beside what Python and the libraries take
HAND_SHARD = 200_000


def write_events(folder: Path, events: int, seed: int = 7) -> None:
    """A MEDS data set: each person's events sorted by time, in files of 20,000 people."""
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


def written(folder: Path, events: int) -> Path:
    """The data set, made where it is not there yet; memory is bounded by a file's events."""
    if not folder.exists():
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        write_events(part, events)
        part.rename(folder)
    return folder


def engine(folder: Path, events: int, out: Path) -> int:
    """This engine."""
    from windowed import shards

    from features.index import Index
    from features.record import Record

    index = Index.at(np.arange(events // EVENTS_A_PERSON), AS_OF)
    codes = [f"LOINC//{number:05d}" for number in range(CODES)]
    found = shards(index, Record.open(folder), codes, windows_days=WINDOWS, max_memory=MEMORY, threads=1)
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
    """What a good DuckDB engineer would write for the same result.

    Shards of people, one thread, no insertion order, integer codes, one integer key of person and code; the windows
    from the events of the widest one only, the latest value in a query of its own.
    """
    import duckdb

    con = duckdb.connect()
    con.execute(f"SET preserve_insertion_order = false; SET threads = 1; SET memory_limit = '{MEMORY}'")
    con.register("vocabulary", pa.table({"code": [f"LOINC//{n:05d}" for n in range(CODES)],
                                         "number": pa.array(np.arange(CODES, dtype=np.int32))}))  # fmt: skip
    return store(_by_hand(con, folder, events), out)


def _by_hand(con: duckdb.DuckDBPyConnection, folder: Path, events: int) -> Iterator[sparse.csr_matrix]:
    columns = []
    for days in WINDOWS:
        where = f" FILTER (time >= TIMESTAMP '2020-01-01' - INTERVAL {days} DAY)"
        columns += [f"count(*){where}", f"avg(v){where}", f"min(v){where}", f"max(v){where}"]
    read = (
        f"FROM (SELECT ((subject_id - $low) * {CODES} + number)::INT cell, time, numeric_value v "
        f"FROM read_parquet('{folder}/data/*.parquet') JOIN vocabulary USING (code) WHERE subject_id >= $low "
        "AND subject_id < $high AND available_time < TIMESTAMP '2020-01-01'"
    )
    widest = f"AND time >= TIMESTAMP '2020-01-01' - INTERVAL {max(WINDOWS)} DAY"
    windowed = f"SELECT cell, {', '.join(columns)} {read} {widest}) GROUP BY cell"
    latest = f"SELECT cell, arg_max(v, time) {read}) GROUP BY cell"
    edges = np.linspace(0, events // EVENTS_A_PERSON, events // HAND_SHARD + 2).astype(int)
    for low, high in itertools.pairwise(edges.tolist()):
        data, rows, cells = [], [], []
        at = 0
        for query in (windowed, latest):
            table = con.sql(query, params={"low": low, "high": high}).to_arrow_table()
            row, number = np.divmod(table.column(0).to_numpy(), np.int32(CODES))
            for column in range(1, table.num_columns):
                values = table.column(column).to_numpy()
                counts = query is windowed and column % 4 == 1
                there = values != 0 if counts else ~np.isnan(values)
                data.append(values[there].astype(np.float32))
                rows.append(row[there])
                cells.append(number[there] + np.int32(at * CODES))
                at += 1
        parts = (np.concatenate(data), (np.concatenate(rows), np.concatenate(cells)))
        yield sparse.csr_matrix(parts, shape=(high - low, CODES * at))


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
    import pandas  # noqa: F401 - pyarrow imports it at the first table
    import windowed  # noqa: F401 - the imports of every route, before the clock

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


def meds_tab(scripts: Path, folder: Path, scratch: Path, limit: float) -> str:
    """meds-tab's own commands on the same files; CPU of the children, up to the limit."""
    where = [f"input_dir={folder / 'data'}", f"output_dir={scratch / 'meds-tab'}", "do_overwrite=True"]
    what = [
        f"tabularization.window_sizes=[{','.join(f'{days}d' for days in WINDOWS)}]",
        "tabularization.aggs=[code/count,value/count,value/sum,value/min,value/max]",
    ]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = "done"
    try:
        for name, more in (("describe", []), ("tabularize-time-series", what)):
            left = limit - (time.perf_counter() - start)
            subprocess.run([scripts / f"meds-tab-{name}", *where, *more], timeout=left, check=True, capture_output=True)
    except subprocess.TimeoutExpired:
        ended = f">{limit:g} s, did not finish"
    except subprocess.CalledProcessError as error:
        ended = f"failed: {error.stderr.decode().strip().splitlines()[-1][:200]}"
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    files = len(list((scratch / "meds-tab" / "tabularize").rglob("*.npz")))
    wall = time.perf_counter() - start
    return f"cpu {cpu:7.2f} s wall {wall:7.2f} s {ended}; {files} of {5 * len(WINDOWS)} matrices a file"


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
    parser.add_argument("--data", type=Path, default=Path(tempfile.gettempdir()) / "presage-tabularise")
    parser.add_argument("--meds-tab", type=Path, help="the folder of meds-tab's commands")
    parser.add_argument("--meds-tab-limit", type=float, default=300.0, help="seconds")
    asked = parser.parse_args()
    if asked.route:
        one(asked.route, asked.folder, int(asked.events[0]), asked.out)
        return
    for number, size in enumerate(sorted(int(events) for events in asked.events)):
        folder = written(asked.data / str(size), size)
        with tempfile.TemporaryDirectory() as scratch:
            found = {route: run_route(route, folder, size, Path(scratch) / route) for route in ("engine", "by hand")}
            for route, numbers in found.items():
                print(line(size, route, numbers), flush=True)
            ratio = found["engine"]["cpu_s"] / found["by hand"]["cpu_s"]
            print(f"{size:>12,} engine's CPU over by hand's: {ratio:.2f}", flush=True)
            if number == 0:
                print(f"{size:>12,} they hold {agree(Path(scratch) / 'engine', Path(scratch) / 'by hand')}", flush=True)
            if asked.meds_tab and number == 0:
                said = meds_tab(asked.meds_tab, folder, Path(scratch), asked.meds_tab_limit)
                print(f"{size:>12,} meds-tab {said}", flush=True)


if __name__ == "__main__":
    main()
