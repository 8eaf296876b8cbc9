"""Drawings of numbers computed elsewhere, as SVG text; nothing here estimates, and no figure holds a person.

Colours are CSS variables of the page around a figure, so that it follows light, dark and print; `standalone` gives a
figure a style of its own. Series differ in dash as well as colour.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from training.card import Unit
from training.result import DrawnCalibration, Figures, Histogram, Metric
from training.study import DAYS_IN

Number = float | None

STYLE = """
.f{font:12.5px "Inter","Segoe UI",system-ui,-apple-system,"Liberation Sans",Arial,sans-serif;fill:var(--ink,#17242a)}
.f .soft{fill:var(--soft,#55646b)}.f .grid{stroke:var(--line,#dde4e3);stroke-width:1}
.f .axis{stroke:var(--line-strong,#8d9b9c);stroke-width:1}
.f .s1{--c:var(--series-1,#0d5f66)}.f .s2{--c:var(--series-2,#a3461a)}.f .s3{--c:var(--series-3,#5b4b9a)}
.f .s4{--c:var(--series-4,#80590a)}
.f .curve{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}
.f .s2.curve,.f .s2.key{stroke-dasharray:7 4}.f .s3.curve,.f .s3.key{stroke-dasharray:2 4}
.f .s4.curve,.f .s4.key{stroke-dasharray:10 3 2 3}
.f .key{stroke:var(--c);stroke-width:2.4}.f .dot{fill:var(--c);stroke:var(--surface,#fff);stroke-width:1.2}
.f .whisker{stroke:var(--c);stroke-width:2}.f .band{fill:var(--c);opacity:.14}
.f .ideal{fill:none;stroke:var(--soft,#55646b);stroke-width:1.2;stroke-dasharray:4 4}
.f .column{fill:var(--c)}.f .few{fill:none;stroke:var(--c);stroke-width:1;stroke-dasharray:2 2}
.f .strong{font-weight:640}
"""


@dataclass(frozen=True, slots=True)
class Panel:
    """A plotting area: where it stands in the figure, and the range of numbers that it shows."""

    x: tuple[float, float]
    y: tuple[float, float]
    left: float = 54
    top: float = 36
    width: float = 402
    height: float = 300

    def px(self, value: float) -> float:
        """Across."""
        return self.left + self.width * (value - self.x[0]) / (self.x[1] - self.x[0])

    def py(self, value: float) -> float:
        """Down, as SVG counts."""
        return self.top + self.height * (1 - (value - self.y[0]) / (self.y[1] - self.y[0]))

    def path(self, xs: Sequence[Number], ys: Sequence[Number]) -> str:
        """Broken where a number is missing or outside the panel."""
        found, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if x is None or y is None or not (self.x[0] <= x <= self.x[1] and self.y[0] <= y <= self.y[1]):
                pen = "M"
                continue
            found.append(f"{pen}{self.px(x):.1f} {self.py(y):.1f}")
            pen = "L"
        return "".join(found)

    def frame(self, across: str, up: str, *, percent: tuple[bool, bool] = (False, False)) -> str:
        """Grid, ticks and axis labels."""
        right, bottom = self.left + self.width, self.top + self.height
        parts = []
        across_ticks, up_ticks = ticks(*self.x), ticks(*self.y)
        for value in up_ticks:
            y = self.py(value)
            parts.append(f'<path class="grid" d="M{self.left:.1f} {y:.1f}H{right:.1f}"/>')
            said = _tick(value, up_ticks, percent=percent[1])
            parts.append(f'<text class="soft" x="{self.left - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{said}</text>')
        for value in across_ticks:
            x, said = self.px(value), _tick(value, across_ticks, percent=percent[0])
            parts.append(f'<path class="axis" d="M{x:.1f} {bottom:.1f}v4"/>')
            parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{said}</text>')
        parts.append(f'<path class="axis" d="M{self.left:.1f} {bottom:.1f}H{right:.1f}"/>')
        middle = self.left + self.width / 2
        parts.append(f'<text x="{middle:.1f}" y="{bottom + 38:.1f}" text-anchor="middle">{escape(across)}</text>')
        parts.append(f'<text class="strong" x="{self.left - 40:.1f}" y="{self.top - 14:.1f}">{escape(up)}</text>')
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a forest: a metric with its interval.

    note: said in place of a number that is not shown. other: of the other of two kinds. heading: no metric at all, but
    the name of those below.
    """

    name: str
    metric: Metric | None = None
    note: str = ""
    other: bool = False
    heading: bool = False

    @property
    def value(self) -> Number:
        """The number, where there is one."""
        return None if self.metric is None else self.metric.value


def calibration(curves: Mapping[str, DrawnCalibration], histogram: Histogram | None, *, key: str, title: str) -> str:
    """Smoothed observed against predicted risk with tenths of people as points; below, how many have which risk."""
    tops = [v for c in curves.values() for part in (c.grid, c.smoothed, c.expected, c.observed) for v in _known(part)]
    limit = min(1.0, 1.08 * max([*tops, 0.01]))
    panel = Panel((0, limit), (0, limit), top=58, height=320)
    body = [
        _legend(list(curves), ideal="ideal"),
        panel.frame("" if histogram else "Predicted risk", "Observed risk", percent=(True, True)),
    ]
    body.append(f'<path class="ideal" d="{panel.path([0, limit], [0, limit])}"/>')
    for series, curve in zip(_series(), curves.values(), strict=False):
        body.append(f'<path class="curve {series}" d="{panel.path(curve.grid, curve.smoothed)}"/>')
        for expected, observed, people in zip(curve.expected, curve.observed, curve.people, strict=True):
            if people is None or expected is None or observed is None:
                continue
            if expected <= limit and observed <= limit:
                at = f'cx="{panel.px(expected):.1f}" cy="{panel.py(observed):.1f}"'
                body.append(f'<circle class="dot {series}" {at} r="4.5"/>')
    height = 430.0
    if histogram:
        body.append(_histogram(histogram, (0, limit), top=418))
        height = 530
    described = "Each point is a tenth of the people; on the dashed line, predicted and observed risk agree."
    return _svg(key, title, described=described, body="".join(body), height=height)


def decision(
    thresholds: Sequence[float],
    models: Mapping[str, Sequence[Number]],
    *,
    treat_all: Sequence[Number],
    cutoffs: Sequence[float],
    key: str,
    title: str,
) -> str:
    """Net benefit by threshold of each model, of acting on everybody and on nobody; wide enough for every cut-off."""
    highest = max([*(v for line in models.values() for v in _known(line)), *_known(treat_all), 0.001])
    useful = [t for i, t in enumerate(thresholds) if any((line[i] or 0) > 0.02 * highest for line in models.values())]
    right = min(thresholds[-1], 1.15 * max([*useful, *cutoffs, 3 * thresholds[0]]))
    panel = Panel((0, right), (-0.15 * highest, 1.1 * highest), top=58)
    lines = [_legend(list(models), ideal="everybody")]
    lines.append(panel.frame("Risk at which one would act", "Net benefit per person", percent=(True, False)))
    lines.append(f'<path class="axis" d="M{panel.left} {panel.py(0):.1f}h{panel.width}"/>')
    lines.append(f'<path class="ideal" d="{panel.path(thresholds, treat_all)}"/>')
    within = [panel.px(cutoff) for cutoff in cutoffs if cutoff <= right]
    lines += [f'<path class="axis cutoff" d="M{x:.1f} {panel.top}v{panel.height}"/>' for x in within]
    for series, line in zip(_series(), models.values(), strict=False):
        lines.append(f'<path class="curve {series}" d="{panel.path(thresholds, line)}"/>')
    return _svg(
        key,
        title,
        described="Higher is better; acting on nobody has net benefit 0. Upright lines: the policy's cut-offs.",
        body="".join(lines),
        height=410,
    )


def axis_unit(last_day: float, time_unit: Unit | None) -> tuple[float, str]:
    """How many days an axis of time has to a unit, and the unit's name: the table's own where it was named.

    >>> axis_unit(3650.0, "days"), axis_unit(182.6, "months"), axis_unit(1.4, "unknown")
    ((365.25, 'years'), (30.4375, 'months'), (1.0, "the table's time units"))
    """
    if time_unit == "unknown":
        return 1.0, "the table's time units"
    if time_unit is not None and time_unit != "days":
        return DAYS_IN[time_unit], time_unit
    return (365.25, "years") if last_day >= 731 else (1.0, "days")


def over_time(
    days: Sequence[float], metrics: Sequence[Metric], *, key: str, title: str, label: str, time_unit: Unit | None = None
) -> str:
    """One metric with its interval at several times since the index."""
    unit, name = axis_unit(days[-1], time_unit)
    points = [(d / unit, m.value) for d, m in zip(days, metrics, strict=True) if m.value is not None]
    band = [(d / unit, *m.interval) for d, m in zip(days, metrics, strict=True) if m.value is not None and m.interval]
    values = [*(value for _, value in points), *(end for _, *ends in band for end in ends)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    margin = max(0.12 * (high - low), 0.005)
    panel = Panel((0, 1.03 * days[-1] / unit), (max(0.0, low - margin), high + margin), height=230)
    body = [panel.frame(f"Time since the index, {name}", label)]
    if len(band) > 1:
        there = panel.path([x for x, _, _ in band], [high for _, _, high in band])
        back = panel.path([x for x, _, _ in band[::-1]], [low for _, low, _ in band[::-1]])
        body.append(f'<path class="band s1" d="{there}{back.replace("M", "L", 1)}Z"/>')
    line = panel.path([x for x, _ in points], [value for _, value in points])
    body.append(f'<path class="curve s1" d="{line}"/>')
    for x, value in points:
        body.append(f'<circle class="dot s1" cx="{panel.px(x):.1f}" cy="{panel.py(value):.1f}" r="4"/>')
    return _svg(key, title, described="The band is the 95 % interval at each time.", body="".join(body), height=320)


def forest(
    rows: Sequence[Row],
    *,
    key: str,
    title: str,
    label: str,
    ideal: float | None = None,
    whole: Metric | None = None,
    span: tuple[float, float] | None = None,
) -> str:
    """One metric with its interval, a line for each row.

    whole: everybody's interval, drawn as a band. span: the range of the axis; else that of the numbers.
    """
    metrics = [metric for metric in (*(row.metric for row in rows), whole) if metric is not None]
    shown = _known([*(v for metric in metrics for v in (metric.value, metric.low, metric.high)), ideal])
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    margin = max(0.06 * (high - low), 0.01)
    step, width = 25, 690.0
    panel = Panel(
        span or (low - margin, high + margin), (0, 1), left=190, top=14, width=300, height=step * len(rows) + 6
    )
    body = [_forest_frame(panel, label)]
    if whole is not None and whole.interval is not None:
        x, w = panel.px(whole.interval[0]), panel.px(whole.interval[1]) - panel.px(whole.interval[0])
        body.append(f'<rect class="band s1" x="{x:.1f}" y="{panel.top}" width="{w:.1f}" height="{panel.height}"/>')
    if ideal is not None:
        body.append(f'<path class="ideal" d="M{panel.px(ideal):.1f} {panel.top}v{panel.height}"/>')
    body += [_forest_row(panel, row, y=panel.top + step * (i + 0.5) + 3) for i, row in enumerate(rows)]
    described = "A point is the estimate, its line the 95 % interval."
    return _svg(key, title, described=described, body="".join(body), height=panel.top + panel.height + 46, width=width)


def _forest_frame(panel: Panel, label: str) -> str:
    bottom = panel.top + panel.height
    parts = []
    marked = ticks(*panel.x, most=5)
    for value in marked:
        x = panel.px(value)
        parts.append(f'<path class="grid" d="M{x:.1f} {panel.top}V{bottom:.1f}"/>')
        said = _tick(value, marked)
        parts.append(f'<text class="soft" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{said}</text>')
    middle = panel.left + panel.width / 2
    parts.append(f'<text x="{middle:.1f}" y="{bottom + 36:.1f}" text-anchor="middle">{escape(label)}</text>')
    return "".join(parts)


def _forest_row(panel: Panel, row: Row, *, y: float) -> str:
    name = escape(row.name)
    if row.heading:
        return f'<text class="strong" x="4" y="{y + 4:.1f}">{name}</text>'
    parts = [f'<text x="14" y="{y + 4:.1f}">{name}</text>']
    value, ends = row.value, None if row.metric is None else row.metric.interval
    if value is None:
        said = escape(row.note or "not defined")
        return (
            "".join(parts) + f'<text class="soft" x="{panel.left + panel.width + 12:.1f}" y="{y + 4:.1f}">{said}</text>'
        )
    series = "s2" if row.other else "s1"
    if ends is not None:
        parts.append(f'<path class="whisker {series}" d="M{panel.px(ends[0]):.1f} {y:.1f}H{panel.px(ends[1]):.1f}"/>')
    parts.append(f'<circle class="dot {series}" cx="{panel.px(value):.1f}" cy="{y:.1f}" r="4.5"/>')
    interval = "" if ends is None else f" ({ends[0]:.3f} to {ends[1]:.3f})"
    said = (f"{value:.3f}{interval}" if abs(value) < 10 else f"{value:.1f}{interval}").replace("-", "−")
    parts.append(f'<text class="soft" x="{panel.left + panel.width + 12:.1f}" y="{y + 4:.1f}">{said}</text>')
    return "".join(parts)


def standalone(figure: str) -> str:
    """A figure as a file of its own."""
    return figure.replace(">", f"><style>{STYLE}</style>", 1)


def ticks(low: float, high: float, *, most: int = 6) -> list[float]:
    """Round numbers within a range."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _tick(value: float, among: Sequence[float], *, percent: bool = False) -> str:
    scaled = [v * (100 if percent else 1) for v in among]
    digits = next((d for d in range(5) if all(abs(round(v, d) - v) < 1e-9 for v in scaled)), 5)
    said = f"{value * (100 if percent else 1):.{digits}f}".replace("-", "−")
    return f"{said} %" if percent else said


def _histogram(histogram: Histogram, span: tuple[float, float], *, top: float) -> str:
    edges, counts = _known(histogram.edges), histogram.counts
    highest = max([*_known(counts), 1])
    panel = Panel(span, (0, highest), top=top, height=64)
    body = []
    for (left, right), count in zip(itertools.pairwise(edges), counts, strict=True):
        x, w = panel.px(left) + 0.8, max(0.5, panel.px(min(right, span[1])) - panel.px(left) - 1.6)
        if left >= span[1] or count == 0:
            continue
        h = panel.top + panel.height - panel.py(count) if count else 3
        y, style = panel.top + panel.height - h, "column s1" if count else "few s1"
        body.append(f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}"/>')
    bottom, middle = panel.top + panel.height, panel.left + panel.width / 2
    body.append(f'<path class="axis" d="M{panel.left} {bottom:.1f}h{panel.width}"/>')
    body.append(f'<text class="soft" x="{panel.left - 8}" y="{top + 8:.1f}" text-anchor="end">{highest:,.0f}</text>')
    body.append(
        f'<text x="{middle:.1f}" y="{bottom + 22:.1f}" text-anchor="middle">Predicted risk (bars: people)</text>'
    )
    return "".join(body)


def _legend(names: Sequence[str], *, ideal: str | None) -> str:
    parts, x = [], 14.0
    entries = [(name, f"key {series}") for series, name in zip(_series(), names, strict=False)]
    for name, style in [*entries, *([(ideal, "ideal")] if ideal else [])]:
        parts.append(f'<path class="{style}" d="M{x:.0f} 14h24"/><text x="{x + 30:.0f}" y="18">{escape(name)}</text>')
        x += 46 + 7.2 * len(name)
    return "".join(parts)


def _series() -> Sequence[str]:
    return ("s1", "s2", "s3", "s4")


def _known(values: Sequence[Number]) -> list[float]:
    return [v for v in values if v is not None and math.isfinite(v)]


def _svg(key: str, title: str, *, described: str, body: str, height: float, width: float = 480) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="f" viewBox="0 0 {width:g} {height:g}" role="img" '
        f'aria-labelledby="{key}-t {key}-d"><title id="{key}-t">{escape(title)}</title>'
        f'<desc id="{key}-d">{escape(described)}</desc>{body}</svg>'
    )


def draw(study: str, figures: Figures | None) -> dict[str, str]:
    """The run's figures as files: SVG by name; none where there are no curves."""
    if figures is None or figures.calibration is None or figures.decision is None:
        return {}
    curves = figures.decision
    drawn = {
        "calibration.svg": calibration(
            figures.calibration, figures.histogram, key="calibration", title=f"Calibration: {study}"
        ),
        "decision.svg": decision(
            curves.thresholds,
            curves.models,
            treat_all=curves.treat_all,
            cutoffs=curves.cutoffs,
            key="decision",
            title=f"Decision curve: {study}",
        ),
    }
    return {name: standalone(figure) for name, figure in drawn.items()}
