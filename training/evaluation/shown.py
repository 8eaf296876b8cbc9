"""Numbers as a result shows them: None for what is not defined, and counts of 1 to 10 people hidden."""

from __future__ import annotations

import math
from collections.abc import Mapping

from training.disclosure import suppress
from training.evaluation.estimate import Estimate
from training.evaluation.groups import GroupResult
from training.result import Group, Metric

HIDDEN = "suppressed: a count of 1 to 10 could be derived"


def shown_metric(estimate: Estimate) -> Metric:
    """An estimate as a part of a result."""
    return Metric(value=finite(estimate.value), low=finite(estimate.low), high=finite(estimate.high))


def shown_metrics(estimates: Mapping[str, Estimate]) -> dict[str, Metric]:
    """Estimates by name as a part of a result."""
    return {name: shown_metric(estimate) for name, estimate in estimates.items()}


def shown_with_ici(estimates: Mapping[str, Estimate], *, if_perfect: float) -> dict[str, Metric]:
    """The same, with the ICI that exactly right risks would have beside the one that was measured."""
    ici = estimates["ici"]
    beside = Metric(value=finite(ici.value), low=finite(ici.low), high=finite(ici.high), if_perfect=finite(if_perfect))
    return shown_metrics(estimates) | {"ici": beside}


def shown_groups(results: Mapping[str, GroupResult]) -> dict[str, Group]:
    """One grouping's levels; counts of 1 to 10 people, and whatever would give them away, are None."""
    if not results:
        return {}
    counts = suppress([[one.events, max(one.people - one.events, 0)] for one in results.values()])
    shown = zip(counts.row_totals, counts.cells, strict=True)
    return {
        level: Group(people=None, metrics={}, reason=HIDDEN) if people is None else _group(result, events)
        for (level, result), (people, (events, _)) in zip(results.items(), shown, strict=True)
    }


def _group(result: GroupResult, events: int | None) -> Group:
    metrics = shown_metrics(result.metrics)
    return Group(people=result.people, events=events, metrics=metrics, reason=result.reason or None)


def finite(value: float) -> float | None:
    """None for nan and infinity, as JSON has neither."""
    return float(value) if math.isfinite(value) else None
