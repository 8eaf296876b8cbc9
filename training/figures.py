"""Drawings of numbers computed elsewhere; nothing here estimates. Figures hold no person, only curves and groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.evaluation.calibration import CalibrationCurve
from training.evaluation.estimate import Estimate
from training.evaluation.utility import DecisionCurve

COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#6d597a", "#b08900")
INCHES = (5.2, 5.2)
WIDE = (6.4, 4.4)
SMALLEST_GROUP = 11  # counts of 1 to 10 are not shown


def calibration_figure(curves: Mapping[str, CalibrationCurve], *, title: str) -> Figure:
    """Smoothed observed against predicted risk by model, with tenths of people as points."""
    figure, axes = _canvas(INCHES, title, "Predicted risk", "Observed risk")
    top = max((float(max(c.expected.max(), c.observed.max())) for c in curves.values()), default=1.0)
    limit = min(1.0, 1.1 * max(top, 0.01))
    axes.plot([0, limit], [0, limit], color="0.6", linewidth=1, linestyle="--", label="ideal")
    for colour, (name, curve) in zip(_colours(len(curves)), curves.items(), strict=True):
        axes.plot(curve.grid, curve.smoothed, color=colour, linewidth=1.8, label=name)
        shown = curve.people >= SMALLEST_GROUP
        axes.plot(curve.expected[shown], curve.observed[shown], "o", color=colour, markersize=4)
    axes.set_xlim(0, limit)
    axes.set_ylim(0, limit)
    axes.legend(frameon=False)
    return figure


def decision_figure(curves: Mapping[str, DecisionCurve], *, title: str) -> Figure:
    """Net benefit over thresholds by model, beside treating everybody and nobody."""
    figure, axes = _canvas(WIDE, title, "Risk at which one would act", "Net benefit per person")
    highest = 0.0
    for colour, (name, curve) in zip(_colours(len(curves)), curves.items(), strict=True):
        axes.plot(curve.thresholds, curve.model, color=colour, linewidth=1.8, label=name)
        highest = max(
            highest, float(np.nanmax(curve.model, initial=0.0)), float(np.nanmax(curve.treat_all, initial=0.0))
        )
    for curve in list(curves.values())[:1]:
        axes.plot(curve.thresholds, curve.treat_all, color="0.4", linewidth=1, linestyle=":", label="everybody")
    axes.axhline(0.0, color="0.6", linewidth=1, linestyle="--", label="nobody")
    axes.set_ylim(-0.15 * max(highest, 0.01), 1.1 * max(highest, 0.01))
    axes.legend(frameon=False)
    return figure


def interval_figure(estimates: Mapping[str, Estimate], *, title: str, label: str, ideal: float | None = None) -> Figure:
    """One metric with its interval for several models or groups, one line each; undefined ones are left out."""
    shown = {name: found for name, found in estimates.items() if np.isfinite(found.value)}
    figure, axes = _canvas((6.4, 1.2 + 0.36 * max(len(shown), 1)), title, label, "")
    for row, found in enumerate(shown.values()):
        axes.plot([found.low, found.high], [row, row], color=COLOURS[0], linewidth=1.6)
        axes.plot([found.value], [row], "o", color=COLOURS[0], markersize=5)
    if ideal is not None:
        axes.axvline(ideal, color="0.6", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    return figure


def _canvas(inches: tuple[float, float], title: str, horizontal: str, vertical: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=inches, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(horizontal)
    axes.set_ylabel(vertical)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _colours(number: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(number)]
