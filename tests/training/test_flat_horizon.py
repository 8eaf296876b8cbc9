from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from training.cohort.table import read_flat
from training.study import read_study

STUDY = """
name = "drawn"
[source]
table = "people.csv"
index_date = "seen"
[outcome]
time = "days"
event = "status"
[features]
exclude = ["held_out"]
[validation]
"""


@pytest.mark.parametrize("scheme", ['test_column = "held_out"', "test_from = 2020-01-01"])
def test_the_default_horizon_is_the_median_event_time_of_those_who_are_learned_from(
    tmp_path: Path, scheme: str
) -> None:
    #                event at   10   20   30   (learned)   1000 2000 (tested)      free
    days, test = np.array([10.0, 20, 30, 1000, 2000, 40]), np.array([0, 0, 0, 1, 1, 0])
    seen = np.where(test == 1, "2021-05-01", "2018-05-01")
    columns = {"x": np.arange(6.0), "days": days, "status": [1, 1, 1, 1, 1, 0], "held_out": test, "seen": seen}
    pd.DataFrame(columns).to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "study.toml").write_text(STUDY + scheme)
    cohort = read_flat(read_study(tmp_path / "study.toml"), tmp_path)
    assert cohort.outcome.horizons_days == (20.0,)
