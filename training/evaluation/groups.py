"""The same numbers for groups of people, and the widest gap between groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Positions
from training.cohort import Outcome, Uncensored
from training.evaluation.estimate import Estimate, estimate
from training.evaluation.evaluate import Ask, lists_of, metrics, summarise
from training.evaluation.sample import Observed, Predicted

MIN_PEOPLE = 100
MIN_EVENTS = 10


@dataclass(frozen=True, slots=True)
class GroupResult:
    """One group. people, events: persons, not rows. metrics is empty, with the reason, where the group is too small."""

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
    *,
    groups: npt.NDArray[np.str_] | npt.NDArray[np.object_],
    horizon_days: float,
    persons: npt.NDArray[np.int64],
    rng: np.random.Generator,
    n_boot: int = 200,
    uncensored: Uncensored | None = None,
    ask: Ask = Ask(smooth=False),  # noqa: B008 a frozen value
    min_people: int = MIN_PEOPLE,
    min_events: int = MIN_EVENTS,
) -> dict[str, GroupResult]:
    """Metrics within each group, by name in order; people are resampled over all groups together.

    groups: (n,) name of each row's group, None where unknown. Groups below `min_people` people or `min_events` people
    with the event by the horizon get counts and a reason. At a capacity there is one list, of all rows: within a group
    `flagged` is how much of it stands on that list, and sensitivity and PPV are what the list finds there.
    """
    observed, predicted = (
        Observed.of(outcome, horizon_days, persons=persons, uncensored=uncensored),
        Predicted.of(outcome, risk, curves=None),
    )
    found: dict[str, GroupResult] = {}
    parts: dict[str, tuple[Positions, Observed, Predicted]] = {}
    for name in sorted({str(label) for label in groups if label is not None}):
        rows = np.flatnonzero(groups == name)
        people = len(np.unique(persons[rows]))
        events = len(np.unique(persons[rows][observed.label[rows]]))
        reason = ""
        if people < min_people or events < min_events:
            reason = f"fewer than {min_people} people or {min_events} people with the event"
        else:
            some, mine = outcome.take(rows), None if uncensored is None else uncensored.take(rows)
            own = Observed.of(some, horizon_days, persons=persons[rows], uncensored=mine)
            parts[name] = (rows, own, Predicted.of(some, risk[rows], curves=None))
        found[name] = GroupResult(people, events, {}, reason)
    drawn: dict[str, list[dict[str, float]]] = {name: [] for name in parts}
    for count in observed.counts(rng, n_boot if parts else 0):
        lists = lists_of(predicted, count, ask=ask)
        for name, (rows, own, risks) in parts.items():
            mine_on = {share: chosen[rows] for share, chosen in lists.items()}
            drawn[name].append(metrics(own, risks, weighted=own.weighted(count[rows]), ask=ask, lists=mine_on))
    for name, replicates in drawn.items():
        kept = {metric: np.array([row[metric] for row in replicates[1:]]) for metric in replicates[0]}
        found[name] = replace(found[name], metrics=summarise(replicates), replicates=kept)
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
