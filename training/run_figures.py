"""The figures of a training: calibration and decision curves of the models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluation import curves
from training.figures import calibration_figure, decision_figure
from training.run_metrics import Bench

DRAWN = ("clinical", "as served", "equation")


def draw(study: str, bench: Bench, risks: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, Any]:
    """Figures by file name, on the test rows to which all drawn models apply."""
    shown = {name: risk[:, -1] for name, risk in risks.items() if name in DRAWN}
    rows = np.flatnonzero(np.all([~np.isnan(risk) for risk in shown.values()], axis=0))
    if len(rows) == 0:
        return {}
    some = bench.take(rows)
    drawn = {
        name: curves(some.outcome, risk[rows], horizon_days=some.days, uncensored=some.uncensored)
        for name, risk in shown.items()
    }
    calibration = {name: found[0] for name, found in drawn.items()}
    decision = {name: found[1] for name, found in drawn.items()}
    return {
        "calibration.svg": calibration_figure(calibration, title=f"Calibration: {study}"),
        "decision.svg": decision_figure(decision, title=f"Decision curve: {study}"),
    }
