"""A command that is told to end does so, whatever runs at that moment, and leaves nothing half-written."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.cli.stopping import called_by_native_code

SIGNALS = 100 if os.environ.get("PRESAGE_SLOW") else 5
# Boosts without an end: small matrices, so that XGBoost asks Python for rows again and again.
BOOSTING = """
import sys
from pathlib import Path
import numpy as np
import serving.cli, serving.cli.models
from serving.cli.stopping import end_when_told

end_when_told()
from features.writing import whole_files
from training.learners.boosting import Grid, boost

rng = np.random.default_rng(1)
x = rng.normal(size=(300, 40)).astype(np.float32)
y, folds = (x[:, 0] > 0).astype(float), rng.integers(0, 5, 300)
grid = Grid((2,), {"objective": "binary:logistic", "eta": 1.0})
with whole_files(Path(sys.argv[1])) as (fresh,):
    fresh.write_text("half")
    print("boosting", flush=True)
    while True:
        boost(x, None, label=y, weight=np.ones(300), folds=folds, grid=grid)
"""


def test_python_that_native_code_called_is_let_finish():
    def inner() -> bool:
        return called_by_native_code(sys._getframe())

    def _next_wrapper() -> bool:
        return inner()

    assert not inner()
    assert _next_wrapper()


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_boosting_told_to_end_at_any_moment_ends_clean(tmp_path: Path, number: signal.Signals, code: int) -> None:
    moments = random.Random(7)
    for _ in range(SIGNALS):
        run = subprocess.Popen(
            [sys.executable, "-c", BOOSTING, str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        assert run.stdout.readline() == "boosting\n"
        time.sleep(moments.uniform(0, 0.4))
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
        assert run.returncode == code, said
        assert "ctypes callback" not in said  # nothing was raised where native code swallows it
        assert list(tmp_path.iterdir()) == []
