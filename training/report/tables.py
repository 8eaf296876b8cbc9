"""A training's numbers as data frames: what a notebook computes with. Counts of 1 to 10 people stay hidden.

Every other place reads the document through these functions, so that its keys are named once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from features.errors import PresageError

Document = Mapping[str, Any]
NUMBERS = ("value", "low", "high")


def metrics_table(document: Document, horizon_days: float | None = None) -> pd.DataFrame:
    """Of the chosen candidate at one horizon, the last where none is named: a row for each metric."""
    chosen = document["candidates"][document["chosen"]["candidate"]]
    key = list(chosen)[-1] if horizon_days is None else f"{float(horizon_days):g}"
    if key not in chosen:
        raise PresageError("horizon_days", f"a horizon among {', '.join(chosen)}", found=key)
    return estimates_table(chosen[key])


def estimates_table(metrics: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """A row for each metric: value, low and high."""
    return _indexed("metric", [{"metric": name, **found} for name, found in _estimates(metrics)])


def candidates_table(document: Document, served: Sequence[str]) -> pd.DataFrame:
    """Every candidate at every horizon. `comparator`: it is compared only and cannot be served."""
    return pd.DataFrame(
        [
            {
                "candidate": name,
                "chosen": name == document["chosen"]["candidate"],
                "comparator": name not in served,
                "horizon_days": _days(key),
                "metric": metric,
                **found,
            }
            for name, horizons in document["candidates"].items()
            for key, metrics in horizons.items()
            for metric, found in _estimates(metrics)
        ]
    )


def comparison_table(document: Document) -> pd.DataFrame:
    """Clinical and combined model, the published equation and (of a simulation) the true risk, on the same people."""
    return pd.DataFrame(
        [
            {"among": compared["title"], "people": compared["people"], "model": model, "metric": metric, **found}
            for compared in document["comparison"].values()
            for model, metrics in compared["models"].items()
            for metric, found in _estimates(metrics)
        ]
    )


def blocks_table(document: Document) -> pd.DataFrame:
    """What each block of features adds to those before it: differences of metrics on the same people.

    A block that cannot be judged has one row without a metric; `sentence` says why.
    """
    return pd.DataFrame(
        [
            {"added": block["added"], "to": " + ".join(block["to"]), "people": block["people"], **found,
             "sentence": block["sentence"]}
            for block in document["blocks"]
            for found in _metric_rows(block["delta"])
        ],
        columns=["added", "to", "people", "metric", *NUMBERS, "sentence"],
    )  # fmt: skip


def groups_table(document: Document) -> pd.DataFrame:
    """Metrics within each group. A group that is too small has one row without a metric; `reason` says why."""
    return pd.DataFrame(
        [
            {"grouping": grouping, "group": level, "people": found["people"], "events": found.get("events"), **row,
             "reason": found.get("reason", "")}
            for grouping, levels in document["groups"].items()
            for level, found in levels.items()
            for row in _metric_rows(found["metrics"])
        ],
        columns=["grouping", "group", "people", "events", "metric", *NUMBERS, "reason"],
    ).astype({"people": "Int64", "events": "Int64"})  # fmt: skip


def importance_table(document: Document) -> pd.DataFrame:
    """Features by how far they move risk: mean absolute change of the log hazard or log odds, and their rank."""
    return _indexed("feature", list(document["importance"]))


def attrition_table(document: Document) -> pd.DataFrame:
    """Who is left after each rule of the study; a count of 1 to 10 is missing."""
    return pd.DataFrame(document["attrition"], columns=["step", "people", "rows"]).astype(
        {"people": "Int64", "rows": "Int64"}
    )


def _indexed(name: str, rows: list[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).set_index(name) if rows else pd.DataFrame()


def _estimates(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, float]]]:
    """Each metric's numbers, NaN for what is not defined."""
    for name, found in metrics.items():
        yield name, {key: float("nan") if found[key] is None else found[key] for key in NUMBERS}


def _metric_rows(metrics: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """A row for each metric, or one without any."""
    if not metrics:
        yield {"metric": None, **dict.fromkeys(NUMBERS, float("nan"))}
    for name, found in _estimates(metrics):
        yield {"metric": name, **found}


def _days(key: str) -> float:
    return float("nan") if key == "all" else float(key)
