"""Labels of groups are what was known at the moment, too."""

from datetime import datetime

import ibis
import numpy as np
import pyarrow as pa

from features.frame import FeatureFrame
from features.record.record import Record
from features.record.schema import EVENTS, POLYGENIC
from training.cohort.features import _group


def test_ancestry_is_unknown_until_a_result_is_available() -> None:
    results = [(1, "AFR", "2018-06-01"), (1, "EUR", "2020-06-01"), (2, None, "2001-01-01"), (3, "EAS", None)]
    rows = [
        {"subject_id": subject, "score_id": "P", "ancestry_group": label,
         "available_time": None if day is None else datetime.fromisoformat(day)}
        for subject, label, day in results
    ]  # fmt: skip
    record = Record.in_memory(EVENTS.empty_table(), polygenic=pa.Table.from_pylist(rows, schema=POLYGENIC))
    asked = [(1, "2010-01-01"), (1, "2018-06-01"), (1, "2019-01-01"), (1, "2021-01-01"), (2, "2021-01-01"),
             (3, "2010-01-01"), (4, "2021-01-01")]  # fmt: skip
    frame = FeatureFrame(
        np.array([subject for subject, _ in asked]),
        np.array([day for _, day in asked], "datetime64[us]"),
        (),
        np.empty((len(asked), 0), np.float32),
    )
    labels = _group("ancestry", frame, record=record, backend=ibis.duckdb.connect())
    assert labels.tolist() == [None, None, "AFR", "EUR", None, "EAS", None]
