"""The same numbers for groups of people, and the widest gap between groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from training.censoring import Uncensored
from training.evaluation.estimate import Estimate, estimate
from training.evaluation.evaluate import Ask, metrics, summarise
from training.evaluation.sample import Observed, Predicted
from training.outcomes import EVENT, Outcome

Floats = npt.NDArray[np.float64]

MIN_PEOPLE = 100
MIN_EVENTS = 10


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One group. people: persons, not rows. metrics is empty, with the reason, where the group is too small."""

    people: int
    events: int
    metrics: Mapping[str, Estimate]
    reason: str = ""
    replicates: Mapping[str, Floats] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Gap:
    """The widest difference of one metric between two groups: `highest` minus `lowest`, with its interval."""

    lowest: str
    highest: str
    difference: Estimate


def by_group(
    outcome: Outcome,
    risk: Floats,
    groups: npt.NDArray[np.str_],
    *,
    horizon_days: float,
    persons: npt.NDArray[np.int64],
    rng: np.random.Generator,
    n_boot: int = 200,
    uncensored: Uncensored | None = None,
    ask: Ask = Ask(smooth=False),  # noqa: B008 a frozen value
    min_people: int = MIN_PEOPLE,
    min_events: int = MIN_EVENTS,
) -> dict[str, GroupResult]:
    """Metrics within each group, by name in order; groups are resampled independently of one another.

    groups: (n,) name of each row's group. Groups below `min_people` people or `min_events` events by the horizon get
    counts and a reason.
    """
    found: dict[str, GroupResult] = {}
    for name in np.unique(groups):
        rows = np.flatnonzero(groups == name)
        some = outcome.take(rows)
        people = len(np.unique(persons[rows]))
        label = some.event == EVENT
        events = int(label.sum() if some.kind == "binary" else (label & (some.time_days <= horizon_days)).sum())
        if people < min_people or events < min_events:
            reason = f"fewer than {min_people} people or {min_events} events"
            found[str(name)] = GroupResult(people, events, {}, reason)
            continue
        mine = None if uncensored is None else uncensored.take(rows)
        observed = Observed.of(some, horizon_days, persons[rows], mine)
        predicted = Predicted.of(some, risk[rows], None)
        drawn = [metrics(observed, predicted, observed.weighted(c), ask) for c in observed.counts(rng, n_boot)]
        kept = {metric: np.array([row[metric] for row in drawn[1:]]) for metric in drawn[0]}
        found[str(name)] = GroupResult(people, events, summarise(drawn), "", kept)
    return found


def largest_gap(results: Mapping[str, GroupResult], metric: str) -> Gap | None:
    """The widest gap among groups that have the metric; None with fewer than two."""
    have = {
        name: result
        for name, result in results.items()
        if metric in result.metrics and math.isfinite(result.metrics[metric].value)
    }
    if len(have) < 2:
        return None
    lowest = min(have, key=lambda name: have[name].metrics[metric].value)
    highest = max(have, key=lambda name: have[name].metrics[metric].value)
    high, low = have[highest], have[lowest]
    value = high.metrics[metric].value - low.metrics[metric].value
    return Gap(lowest, highest, estimate(value, high.replicates[metric] - low.replicates[metric]))
