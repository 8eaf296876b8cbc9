from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from training.evaluation.utility import decision_curve
from training.report.drawing import Row, calibration, decision, forest, over_time, standalone, ticks
from training.result import DrawnCalibration, Histogram, Metric

SVG = "{http://www.w3.org/2000/svg}"
CURVE = DrawnCalibration(
    grid=(0.0, 0.15, 0.3),
    smoothed=(0.02, 0.1, 0.28),
    expected=(0.05, 0.2),
    observed=(0.06, 0.9),
    people=(500, None),
)


def read(figure: str) -> ElementTree.Element:
    """As a browser reads it; and it names itself for who cannot see it."""
    found = ElementTree.fromstring(figure)
    title = found.find(f"{SVG}title")
    assert title is not None
    assert title.attrib["id"] in found.attrib["aria-labelledby"]
    return found


def words(figure: str) -> list[str]:
    return [text.text or "" for text in read(figure).iter(f"{SVG}text")]


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)]


def test_a_calibration_figure_draws_each_model_and_hides_small_groups() -> None:
    figure = calibration({"clinical": CURVE, "combined": CURVE}, None, key="k", title="10-year risk")
    assert {"ideal", "clinical", "combined"} <= set(words(figure))
    circles = list(read(figure).iter(f"{SVG}circle"))
    assert len(circles) == 2  # one tenth of each model: the other has too few people


def test_a_histogram_shows_a_suppressed_count_as_such_and_no_height() -> None:
    histogram = Histogram(edges=(0.0, 0.1, 0.2, 0.3), counts=(40, None, 0))
    figure = calibration({"clinical": CURVE}, histogram, key="k", title="t")
    bars = list(read(figure).iter(f"{SVG}rect"))
    assert [rect.attrib["class"] for rect in bars] == ["column s1", "few s1"]
    assert float(bars[1].attrib["height"]) == pytest.approx(3, abs=0.2)


def test_a_decision_figure_puts_net_benefit_where_the_numbers_are() -> None:
    risk = np.linspace(0.01, 0.9, 200)
    thresholds = np.linspace(0.05, 0.5, 10)
    curve = decision_curve(
        risk, np.random.default_rng(1).random(200) < risk, weight=np.ones(200), thresholds=thresholds
    )
    figure = decision(
        thresholds.tolist(),
        {"stack": curve.model.tolist()},
        treat_all=curve.treat_all.tolist(),
        cutoffs=(),
        key="d",
        title="Acting on risk",
    )
    assert {"stack", "everybody"} <= set(words(figure))
    line = next(path for path in read(figure).iter(f"{SVG}path") if path.attrib["class"] == "curve s1")
    drawn = points(line.attrib["d"])
    heights = np.array([y for _, y in drawn])
    # A straight scale: heights are a falling linear function of net benefit.
    slope, intercept = np.polyfit(curve.model[: len(heights)], heights, 1)
    assert slope < 0
    assert heights == pytest.approx(slope * curve.model[: len(heights)] + intercept, abs=0.2)


def test_a_decision_figure_reaches_the_policys_cut_off_even_where_nothing_is_gained() -> None:
    thresholds, gained = [0.01, 0.02, 0.1, 0.2], [0.04, 0.03, 0.0, 0.0]
    drawn = {
        cutoffs: read(
            decision(thresholds, {"cox": gained}, treat_all=gained, cutoffs=cutoffs, key="d", title="Acting on risk")
        )
        for cutoffs in ((), (0.075,))
    }
    last = {cutoffs: [c.text for c in figure.iter(f"{SVG}text") if c.text and "%" in c.text][-1]
            for cutoffs, figure in drawn.items()}  # fmt: skip
    assert float((last[()] or "").rstrip(" %")) < 7.5 <= float((last[0.075,] or "").rstrip(" %"))
    upright = [path for path in drawn[0.075,].iter(f"{SVG}path") if "cutoff" in path.attrib["class"]]
    assert len(upright) == 1


def test_what_is_not_defined_has_no_point_but_its_reason_in_a_forest() -> None:
    rows = [
        Row("sex", heading=True),
        Row("F", Metric(value=0.7, low=0.6, high=0.8)),
        Row("X", Metric(value=None), note="too few"),
    ]
    figure = forest(rows, key="f", title="AUC by sex", label="AUC", ideal=0.5)
    assert len(list(read(figure).iter(f"{SVG}circle"))) == 1
    assert {"F", "X", "too few", "0.700 (0.600 to 0.800)"} <= set(words(figure))


def test_a_metric_over_time_skips_times_without_a_value() -> None:
    known, unknown = Metric(value=0.7, low=0.6, high=0.8), Metric(value=None)
    figure = over_time([100.0, 200.0, 300.0], [unknown, known, known], key="o", title="AUC", label="AUC")
    assert len(list(read(figure).iter(f"{SVG}circle"))) == 2


def test_a_name_cannot_break_out_of_a_figure() -> None:
    figure = forest([Row("<script>", Metric(value=1.0))], key="f", title="a & b", label="x")
    assert "<script>" not in figure
    assert "<script>" in words(figure)


def test_a_figure_of_its_own_carries_its_style() -> None:
    alone = standalone(calibration({"clinical": CURVE}, None, key="k", title="t"))
    assert alone.count("<style>") == 1
    ElementTree.fromstring(alone)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0, 0.07, [0, 0.02, 0.04, 0.06]), (-0.5, 0.5, [-0.4, -0.2, 0, 0.2, 0.4])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)
