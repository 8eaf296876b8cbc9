from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from training.evaluation import Estimate
from training.evaluation.calibration import CalibrationCurve
from training.evaluation.utility import decision_curve
from training.figures import calibration_figure, decision_figure, interval_figure


def test_a_calibration_figure_draws_each_model_and_hides_small_groups() -> None:
    curve = CalibrationCurve(
        np.linspace(0.01, 0.3, 100),
        np.linspace(0.02, 0.28, 100),
        np.array([0.05, 0.2]),
        np.array([0.06, 0.9]),
        np.array([500, 10]),
    )
    figure = calibration_figure({"clinical": curve, "combined": curve}, title="10-year risk")
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ideal", "clinical", "combined"]
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [list(line.get_ydata()) for line in points] == [[0.06], [0.06]]
    written = BytesIO()
    figure.savefig(written, format="svg")
    assert written.tell() > 1000


def test_a_decision_figure_sets_models_beside_everybody_and_nobody() -> None:
    risk = np.linspace(0.01, 0.9, 200)
    curve = decision_curve(risk, np.random.default_rng(1).random(200) < risk, np.ones(200), np.linspace(0.05, 0.5, 10))
    figure = decision_figure({"stack": curve}, title="Acting on risk")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["stack", "everybody", "nobody"]
    drawn = next(line for line in figure.axes[0].lines if line.get_label() == "stack")
    assert np.asarray(drawn.get_ydata()) == pytest.approx(curve.model)


def test_what_is_not_defined_has_no_line_in_an_interval_figure() -> None:
    found = {"F": Estimate(0.7, 0.6, 0.8), "X": Estimate(float("nan"), float("nan"), float("nan"))}
    figure = interval_figure(found, title="AUC by sex", label="AUC", ideal=0.5)
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["F"]
