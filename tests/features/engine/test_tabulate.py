"""The table of every code by window, in shards, against pandas."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import windowed
from windowed import tabulate

from features.index import Index
from features.record.record import Record
from features.record.schema import EVENTS
from features.record.tells import TELLS_FILE, Tells

AS_OF = np.datetime64("2020-01-01", "us")


@pytest.mark.slow
def test_shards_give_what_pandas_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, n = np.random.default_rng(5), 3000
    seconds = rng.permutation(700 * 86_400)[:n]
    time = AS_OF - seconds.astype("timedelta64[s]")
    columns = {
        "subject_id": pa.array(np.sort(rng.integers(0, 60, n))),
        "time": pa.array(time),
        "code": pa.array(rng.choice(["A//1", "B//2", "C//3", "D//4"], n)),
        "numeric_value": pa.array(rng.integers(-3, 4, n).astype(np.float32), mask=rng.random(n) < 0.3),
        "text_value": pa.nulls(n, pa.large_string()),
        "available_time": pa.array(time),
        "unit": pa.nulls(n, pa.string()),
    }
    table = pa.table(columns, schema=EVENTS)
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "0.parquet")
    (tmp_path / "metadata").mkdir()
    (tmp_path / TELLS_FILE).write_text(json.dumps(Tells.all().to_json()))
    monkeypatch.setattr(windowed, "SHARD_PAIRS", 700)
    index = Index.at(rng.permutation(60), AS_OF)
    matrix, names = tabulate(index, Record.open(tmp_path), ["C//3", "A//1", "B//2"], windows_days=(30, 365))
    events = table.to_pandas()
    dense = matrix.toarray()
    for column, name in enumerate(names):
        assert dense[:, column] == pytest.approx(expected(events, name, index), abs=1e-5), name


def expected(events: pd.DataFrame, name: str, index: Index) -> np.ndarray:
    """0 where nothing is stored."""
    head, statistic = name.rsplit("/", 1)
    code, _, window = head.partition("@")
    mine = events[(events["code"] == code) & (events["time"] < pd.Timestamp(AS_OF))]
    if window:
        mine = mine[mine["time"] >= pd.Timestamp(AS_OF) - pd.Timedelta(days=int(window.removesuffix("d")))]
    if statistic == "count":
        found = mine.groupby("subject_id").size()
    elif statistic == "latest":  # the value of the latest event, where that has one
        found = mine.sort_values("time").groupby("subject_id").tail(1).set_index("subject_id")["numeric_value"]
    else:
        found = mine.groupby("subject_id")["numeric_value"].agg(statistic)
    return found.reindex(index.subject_ids).fillna(0).to_numpy(dtype=np.float64)
