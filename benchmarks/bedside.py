"""One person at the bedside: milliseconds from events in memory to the feature frame, once the connection is warm.

    python benchmarks/bedside.py [--calls 500] [--events 500]

One person with 500 events over thirteen years, of which the catalogue reads a part, as in a real chart; a polygenic
result. Catalogues: the one that the shipped chd-10y study serves; its whole families; every dense family with the
published equations. Then what serving asks before: is this person of the studied population. Each call is given
tables that it has never seen. The first call of each is shown apart, and the frame is compared, bit by bit, with
the batch's from the same record on disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.build import build
from features.catalogue import Catalogue, catalogue
from features.catalogue.catalogue import dense_families
from features.index import Index
from features.leakage import moved
from features.record import EVENTS, GENOMIC, Record
from training.cohort import allowed_names, index_facts
from training.study import Study, read_study, shipped_study

READ = ("LOINC//8480-6", "LOINC//2093-3", "LOINC//2085-9", "LOINC//4548-4", "LOINC//33914-3", "LOINC//39156-5",
        "RxNorm//83367", "ICD10CM//E11.9", "ICD10CM//I10", "Visit//OP", "VISIT_END//OP", "Visit//IP")  # fmt: skip
CODES = (*READ, *(f"LOINC//9{number:04d}" for number in range(60)))
START, AS_OF, SPAN_DAYS = np.datetime64("2010-01-01", "us"), "2023-06-01", 4800


def a_person(subject_id: int, n_events: int, rng: np.random.Generator) -> Record:
    """Events sorted by time, after birth and sex; the tables are new ones each time."""
    seconds = np.sort(rng.integers(0, SPAN_DAYS * 86_400, n_events - 2)).astype("timedelta64[s]")
    time_ = np.concatenate([[np.datetime64("1960-01-01", "us"), np.datetime64("NaT")], START + seconds])
    values = np.concatenate([[np.nan, np.nan], rng.normal(120, 10, n_events - 2)]).astype(np.float32)
    events = pa.table(
        {
            "subject_id": np.full(n_events, subject_id),
            "time": pa.array(time_),
            "code": pa.array(["MEDS_BIRTH", "Gender//F", *rng.choice(CODES, n_events - 2)]),
            "numeric_value": pa.array(values, from_pandas=True),
            "text_value": pa.nulls(n_events, pa.large_string()),
            "available_time": pa.array(time_),
            "unit": pa.nulls(n_events, pa.string()),
        },
        schema=EVENTS,
    )
    result = {"subject_id": subject_id, "score_id": "SIM-CHD", "z": float(rng.normal()), "matched_weight": 0.99}
    return Record.in_memory(events, polygenic=pa.Table.from_pylist([result], schema=GENOMIC["polygenic"]))


def catalogues(study: Study) -> dict[str, Catalogue]:
    """By name."""
    families = catalogue(["demographics", *study.features.families], polygenic=study.features.polygenic)
    return {
        study.name: families.only(allowed_names(study.features, families.names, where="[features]")),
        "its whole families": families,
        "every dense family": catalogue(dense_families()),
    }


def timed(call: Callable[[Record], object], people: list[Record]) -> str:
    """The first call, then the rest."""
    wall, cpu = [], []
    for person in people:
        start, before = time.perf_counter(), time.process_time()
        call(person)
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - before))
    p50, p95 = np.quantile(wall[10:], [0.5, 0.95])
    return f"p50 {p50:5.1f} ms  p95 {p95:5.1f} ms  CPU {np.mean(cpu[10:]):5.1f} ms  (first call {wall[0]:,.0f} ms)"


def same_as_batch(people: list[Record], features: Catalogue) -> str:
    """Whether twenty people one by one have the bits of the batch."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("events", "polygenic"):
            at = Path(scratch) / ("data/0.parquet" if name == "events" else f"genomic/{name}.parquet")
            at.parent.mkdir(exist_ok=True)
            pq.write_table(pa.concat_tables([person.tables[name] for person in people]), at)
        batch = build(Index.at(np.arange(len(people)), AS_OF), Record.open(Path(scratch)), catalogue=features)
    alone = [build(Index.at([row], AS_OF), person, catalogue=features) for row, person in enumerate(people)]
    differing = [name for row, one in enumerate(alone) for name in moved(batch.take(np.array([row])), one)]
    return f"DIFFERS: {sorted(set(differing))}" if differing else "the same bits as the batch"


def main() -> None:
    """Print one line for each catalogue, and one for the question of the population."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--events", type=int, default=500)
    asked = parser.parse_args()
    rng = np.random.default_rng(7)
    people = [a_person(row, asked.events, rng) for row in range(asked.calls + 10)]
    study = read_study(shipped_study("chd-10y"))
    for name, features in catalogues(study).items():
        said = timed(lambda one, features=features: build(_index(one), one, catalogue=features), people)  # type: ignore[misc]
        same = same_as_batch(people[:20], features)
        print(f"{name:20} {len(features.specs):4} features  {said}  {same}", flush=True)
    population = study.population.model_copy(update={"index": AS_OF})
    codes = {"first_codes": [], "exclude": ["ICD10CM//I63.9"], "outcome": ["ICD10CM//I21.9"], "competing": []}
    facts = timed(lambda one: index_facts(one, None, population=population, **codes), people)  # type: ignore[arg-type]
    print(f"{'of the population?':20} {'':13}  {facts}", flush=True)


def _index(record: Record) -> Index:
    return Index.at(record.tables["events"]["subject_id"].to_numpy()[:1], AS_OF)


if __name__ == "__main__":
    main()
