"""Pages of a report and a card: templates filled with what `report_view` made. One file, no script, no request."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from training.card import (
    Card,
    count,
    events_words,
    flow,
    horizon_words,
    left_out_words,
    outcome_words,
    population_words,
)
from training.report.drawing import STYLE
from training.report.verdict import bottom_line

if TYPE_CHECKING:
    from jinja2 import Environment

    from training.report.view import Story

TEMPLATES = Path(__file__).with_name("templates")


def render_card(card: Card) -> str:
    """The card as a page."""
    return _environment().get_template("card.html").render(card=card, figure_style=_style())


def render_report(story: Story) -> str:
    """The report as a page."""
    from training.report import view

    result = story.result
    words, style = view.verdict(story)
    return (
        _environment()
        .get_template("report.html")
        .render(
            d=result,
            story=story,
            card=story.card,
            view=view,
            charts=view.charts(result.figures, time_unit=result.time_unit),
            bottom_line=bottom_line(result),
            flow=flow(result.attrition),
            verdict_words=words,
            verdict_style=style,
            events=events_words(result),
            outcome=outcome_words(result, story.manifest),
            population=population_words(story.manifest),
            horizon=horizon_words(result.chosen.horizon_days),
            figure_style=_style(),
        )
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": _number, "count": count, "horizon": horizon_words, "percent": _percent}
    made.filters["left_out"] = left_out_words
    return made


def _style() -> str:
    from markupsafe import Markup

    return Markup(STYLE)  # our own constant


def _number(value: float, digits: int = 3) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"
