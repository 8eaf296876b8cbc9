"""A training's numbers as data frames: what a notebook computes with. Counts of 1 to 10 people stay hidden."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from features.errors import PresageError
from training.result import Metric, Metrics, Result

NUMBERS = ("value", "low", "high")


def metrics_table(result: Result, horizon_days: float | None = None) -> pd.DataFrame:
    """Of the chosen candidate at one horizon, the last where none is named: a row for each metric."""
    chosen = result.candidates[result.chosen.candidate]
    key = list(chosen)[-1] if horizon_days is None else f"{float(horizon_days):g}"
    if key not in chosen:
        raise PresageError("horizon_days", f"a horizon among {', '.join(chosen)}", found=key)
    return estimates_table(chosen[key])


def estimates_table(metrics: Metrics) -> pd.DataFrame:
    """A row for each metric: value, low and high."""
    return _indexed("metric", [{"metric": name, **_numbers(metric)} for name, metric in metrics.items()])


def candidates_table(result: Result, served: Sequence[str]) -> pd.DataFrame:
    """Every candidate at every horizon. `comparator`: it is compared only and cannot be served."""
    return pd.DataFrame(
        [
            {
                "candidate": name,
                "chosen": name == result.chosen.candidate,
                "comparator": name not in served,
                "horizon_days": _days(key),
                "metric": metric,
                **_numbers(found),
            }
            for name, horizons in result.candidates.items()
            for key, metrics in horizons.items()
            for metric, found in metrics.items()
        ]
    )


def comparison_table(result: Result) -> pd.DataFrame:
    """Clinical and combined model, the published equation and (of a simulation) the true risk, on the same people."""
    return pd.DataFrame(
        [
            {"among": compared.title, "people": compared.people, "model": model, "metric": name, **_numbers(metric)}
            for compared in result.comparison.values()
            for model, metrics in compared.models.items()
            for name, metric in metrics.items()
        ]
    )


def blocks_table(result: Result) -> pd.DataFrame:
    """What each block of features adds to those before it: differences of metrics on the same people.

    A block that cannot be judged has one row without a metric; `sentence` says why.
    """
    return pd.DataFrame(
        [
            {
                "added": block.added,
                "to": " + ".join(block.to),
                "people": block.people,
                **row,
                "sentence": block.sentence,
            }
            for block in result.blocks
            for row in _metric_rows(block.delta)
        ],
        columns=["added", "to", "people", "metric", *NUMBERS, "sentence"],
    )


def groups_table(result: Result) -> pd.DataFrame:
    """Metrics within each group. A group that is too small has one row without a metric; `reason` says why."""
    return pd.DataFrame(
        [
            {"grouping": grouping, "group": level, "people": group.people, "events": group.events, **row,
             "reason": group.reason or ""}
            for grouping, levels in result.groups.items()
            for level, group in levels.items()
            for row in _metric_rows(group.metrics)
        ],
        columns=["grouping", "group", "people", "events", "metric", *NUMBERS, "reason"],
    ).astype({"people": "Int64", "events": "Int64"})  # fmt: skip


def importance_table(result: Result) -> pd.DataFrame:
    """Features by how far they move risk: mean absolute change of the log hazard or log odds, and their rank."""
    return _indexed("feature", [one.to_json() for one in result.importance])


def attrition_table(result: Result) -> pd.DataFrame:
    """Who is left after each rule of the study; a count of 1 to 10 is missing."""
    steps = [step.to_json() for step in result.attrition]
    return pd.DataFrame(steps, columns=["step", "people", "rows"]).astype({"people": "Int64", "rows": "Int64"})


def _indexed(name: str, rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).set_index(name) if rows else pd.DataFrame()


def _numbers(metric: Metric) -> dict[str, float]:
    """A metric's numbers, NaN for what is not defined."""
    numbers = zip(NUMBERS, (metric.value, metric.low, metric.high), strict=True)
    return {name: math.nan if number is None else number for name, number in numbers}


def _metric_rows(metrics: Metrics) -> Iterator[dict[str, Any]]:
    """A row for each metric, or one without any."""
    if not metrics:
        yield {"metric": None, **dict.fromkeys(NUMBERS, math.nan)}
    for name, metric in metrics.items():
        yield {"metric": name, **_numbers(metric)}


def _days(key: str) -> float:
    return math.nan if key == "all" else float(key)
