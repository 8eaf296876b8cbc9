"""A process that is killed while it moves a record into place: the old record opens afterwards, or the new one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.record.moving import scratch, settle
from features.record.record import Record
from features.record.tells import Tells
from features.sources.omop import ingest as ingest_omop

# Kills itself before its n-th change of the file system.
KILLED = """
import os, signal, sys
from pathlib import Path
from features.record.moving import move_in

left = int(sys.argv[3])

def watch(event, arguments):
    global left
    if event in ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "shutil.rmtree"):
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
move_in(Path(sys.argv[1]), Path(sys.argv[2]))
"""
FILES = ("identity/subjects.parquet", "data/omop/0000.parquet", "origins/omop/0000.parquet",
         "kept/omop/people.parquet", "metadata/codes.parquet", "metadata/omop/codes.parquet",
         "genomic/findings.parquet", "metadata/tells.json", "ingest_report.json")  # fmt: skip


def written(folder: Path, word: str, *more: str) -> Path:
    for name in (*FILES, *more):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(pa.table({"subject_id": [1], "code": [word]}), path)
        else:
            path.write_text(json.dumps({**Tells.all().to_json(), "word": word}) if path.name == "tells.json" else word)
    return folder


def words(record: Path) -> dict[str, str]:
    """What each file of a record says, by its name; nothing of it may be left over."""
    found = {}
    for path in sorted(path for path in record.rglob("*") if path.is_file()):
        said = pq.read_table(path)["code"][0].as_py() if path.suffix == ".parquet" else path.read_text()
        found[str(path.relative_to(record))] = json.loads(said)["word"] if path.name == "tells.json" else str(said)
    return found


@pytest.fixture
def states(tmp_path: Path) -> Callable[[int], tuple[Path, Path]]:
    """An old record of two shards, rejects and a pending update, and a new one of one shard, ready beside it."""

    def made(n: int) -> tuple[Path, Path]:
        record = written(tmp_path / f"record{n}", "old", "data/omop/0001.parquet", "rejects/omop/person.parquet",
                         "data/fhir/0000.parquet", "deltas/omop/void.parquet")  # fmt: skip
        ready = written(record / ".ingest-x" / "ready", "new")
        for part in ("rejects", "deltas"):  # nothing set aside, nothing pending
            (ready / part / "omop").mkdir(parents=True)
        return record, ready

    return made


OTHERS = {"data/fhir/0000.parquet": "old"}
OLD = dict.fromkeys([*FILES, "data/omop/0001.parquet", "rejects/omop/person.parquet",
                     "deltas/omop/void.parquet"], "old") | OTHERS  # fmt: skip
NEW = dict.fromkeys(FILES, "new") | OTHERS


@pytest.mark.slow
def test_a_kill_at_any_step_leaves_the_old_record_or_the_new_one(states: Callable[[int], tuple[Path, Path]]) -> None:
    seen = []
    for step in range(1, 100):
        record, ready = states(step)
        done = subprocess.run([sys.executable, "-c", KILLED, str(ready), str(record), str(step)], check=False)
        assert done.returncode in (0, -signal.SIGKILL)
        Record.open(record)
        shutil.rmtree(record / ".ingest-x", ignore_errors=True)  # what the next ingest clears away
        found = words(record)
        assert found in (OLD, NEW), (step, found)
        seen.append(found == NEW)
        if done.returncode == 0:
            break
    assert seen == sorted(seen)  # once the new record stands, it stands
    assert len(seen) > 15
    assert not seen[0]


def test_a_kill_while_a_broken_off_move_is_finished_is_no_worse(states: Callable[[int], tuple[Path, Path]]) -> None:
    record, ready = states(0)
    for step in (6, 5, 4, 9, 3):
        subprocess.run([sys.executable, "-c", KILLED, str(ready), str(record), str(step)], check=False)
    settle(record)
    shutil.rmtree(record / ".ingest-x", ignore_errors=True)
    assert words(record) == NEW


def test_who_may_not_write_is_told_how_it_is_mended(states: Callable[[int], tuple[Path, Path]]) -> None:
    record, ready = states(0)
    ready.rename(record / ".moving-x")
    for folder in (record, *(path for path in record.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    with (
        _as_anybody(record),
        pytest.raises(PresageError, match="an ingest was moving into place when it was broken off"),
    ):
        Record.open(record)


@contextmanager
def _as_anybody(record: Path) -> Iterator[None]:
    """Root may write anywhere."""
    if os.geteuid():
        yield
        return
    for folder in record.parents[:3]:  # pytest closes them to others
        folder.chmod(folder.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_a_killed_ingest_left_is_cleared_away_and_what_another_works_in_is_not(tmp_path: Path) -> None:
    (tmp_path / ".ingest-killed" / "ready").mkdir(parents=True)
    with scratch(tmp_path) as first, scratch(tmp_path) as second:
        assert sorted(tmp_path.iterdir()) == sorted([first, second])
    assert not any(tmp_path.iterdir())


KILLS = 30 if os.environ.get("PRESAGE_SLOW") else 2  # each takes an ingest
INGEST = """
import sys, pathlib; from features.sources.omop import ingest
ingest(*map(pathlib.Path, sys.argv[1:]), replace=True)
"""


@pytest.mark.slow
def test_an_ingest_that_is_killed_at_any_moment_leaves_the_old_record_or_the_new_one(tmp_path: Path) -> None:
    rng = random.Random(3)
    for name, people in (("old", 300), ("new", 200)):
        (tmp_path / name).mkdir()
        lines = [f"{n},8507,{1900 + n % 90}" for n in range(people)]
        text = "\n".join(["person_id,gender_concept_id,year_of_birth", *lines])
        (tmp_path / name / "person.csv").write_text(text)
        ingest_omop(tmp_path / name, tmp_path / f"{name}-record")
    old, new = (events_in(tmp_path / f"{name}-record") for name in ("old", "new"))
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", INGEST, str(tmp_path / "new"), str(tmp_path / "whole")], check=True)
    took = time.monotonic() - began
    for n in range(KILLS):
        record = shutil.copytree(tmp_path / "old-record", tmp_path / f"record{n}")
        killed = subprocess.Popen([sys.executable, "-c", INGEST, str(tmp_path / "new"), str(record)])
        with suppress(subprocess.TimeoutExpired):
            killed.wait(timeout=took * rng.uniform(0.5, 0.98))
        killed.kill()
        killed.wait()
        Record.open(record)
        assert events_in(record) in (old, new)
        ingest_omop(tmp_path / "new", record, replace=True)
        assert events_in(record) == new
        assert not list(record.glob(".*"))


def events_in(record: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in (record / "data").rglob("*.parquet"))
