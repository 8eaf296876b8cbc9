"""Estimates as JSON: None for what is not defined, and counts of 1 to 10 people hidden."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from training.disclosure import suppress
from training.evaluation.estimate import Estimate
from training.evaluation.groups import GroupResult


def metrics_json(metrics: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
    """Metrics with intervals; None for what is not defined."""
    return {name: found.to_json() for name, found in metrics.items()}


def groups_json(results: Mapping[str, Mapping[str, GroupResult]]) -> dict[str, dict[str, Any]]:
    """Groups by column and level; counts of 1 to 10 people, and whatever would give them away, are None."""
    found: dict[str, dict[str, Any]] = {}
    for name, levels in results.items():
        if not levels:
            found[name] = {}
            continue
        counts = suppress([[one.events, max(one.people - one.events, 0)] for one in levels.values()])
        shown = zip(counts.row_totals, counts.cells, strict=True)
        found[name] = {
            level: {"people": None, "metrics": {}, "reason": "suppressed: a count of 1 to 10 could be derived"}
            if people is None
            else _group_json(result, events)
            for (level, result), (people, (events, _)) in zip(levels.items(), shown, strict=True)
        }
    return found


def _group_json(result: GroupResult, events: int | None) -> dict[str, Any]:
    reason = {"reason": result.reason} if result.reason else {}
    return {"people": result.people, "events": events, "metrics": metrics_json(result.metrics)} | reason


def finite(value: float) -> float | None:
    """None for nan, as JSON has none."""
    return value if math.isfinite(value) else None
