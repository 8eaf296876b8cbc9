"""The same numbers for groups of people, and the widest gap between groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints, Positions
from training.cohort import Outcome, Uncensored
from training.evaluation.estimate import Estimate, estimate
from training.evaluation.evaluate import Ask, lists_of, metrics
from training.evaluation.folds import Folds
from training.evaluation.resample import resampled, summarise
from training.evaluation.sample import Observed, Predicted

Measure = Callable[[Floats], dict[tuple[str, str], float]]
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
    folds: Folds | None = None,
    min_people: int = MIN_PEOPLE,
    min_events: int = MIN_EVENTS,
) -> dict[str, GroupResult]:
    """Metrics within each group, by name in order; people are resampled over all groups together.

    groups: (n,) name of each row's group, None where unknown. Groups below `min_people` people or `min_events` people
    with the event by the horizon get counts and a reason. At a capacity there is one list, of all rows: within a group
    `flagged` is how much of it stands on that list, and sensitivity and PPV are what the list finds there.
    """
    observed = Observed.of(outcome, horizon_days, persons=persons, uncensored=uncensored)
    found: dict[str, GroupResult] = {}
    for name in sorted({str(label) for label in groups if label is not None}):
        rows = np.flatnonzero(groups == name)
        people = len(np.unique(persons[rows]))
        events = len(np.unique(persons[rows][observed.label[rows]]))
        few = people < min_people or events < min_events
        by = "" if outcome.kind == "binary" else " by the horizon"
        reason = f"fewer than {min_people} people or {min_events} people with the event{by}" if few else ""
        found[name] = GroupResult(people, events, {}, reason)
    large = [name for name, result in found.items() if not result.reason]
    if not large:
        return found

    def make(rows: Ints) -> tuple[Observed, Measure]:
        some, mine = outcome.take(rows), None if uncensored is None else uncensored.take(rows)
        split = None if folds is None else folds.take(rows)
        whole = Observed.of(some, horizon_days, persons=persons[rows], uncensored=mine, folds=split)
        return whole, _within(
            whole, risk[rows], uncensored=mine, folds=split, groups=groups[rows], large=large, ask=ask
        )

    value, replicates = resampled(make, len(outcome), folds=folds, rng=rng, n_boot=n_boot)
    for name in large:
        own = {metric: number for (group, metric), number in value.items() if group == name}
        kept = {metric: replicates[name, metric] for metric in own}
        found[name] = replace(found[name], metrics=summarise(own, kept), replicates=kept)
    return found


def _within(
    whole: Observed,
    risk: Floats,
    *,
    uncensored: Uncensored | None,
    folds: Folds | None,
    groups: npt.NDArray[np.str_] | npt.NDArray[np.object_],
    large: Sequence[str],
    ask: Ask,
) -> Measure:
    """What turns counts of all rows into the metrics of each group; the lists at a capacity are of all rows."""
    outcome, days = whole.outcome, whole.horizon_days
    every = Predicted.of(outcome, risk, curves=None)
    parts: dict[str, tuple[Positions, Observed, Predicted]] = {}
    for name in large:
        rows = np.flatnonzero(groups == name)
        some, mine = outcome.take(rows), None if uncensored is None else uncensored.take(rows)
        split = None if folds is None else folds.take(rows)
        own = Observed.of(some, days, persons=whole.row_person[rows], uncensored=mine, folds=split)
        parts[name] = (rows, own, Predicted.of(some, risk[rows], curves=None, part=own.part))

    def measure(count: Floats) -> dict[tuple[str, str], float]:
        lists = lists_of(every, count, ask=ask)
        found: dict[tuple[str, str], float] = {}
        for name, (rows, own, risks) in parts.items():
            mine_on = {share: chosen[rows] for share, chosen in lists.items()}
            numbers = metrics(own, risks, weighted=own.weighted(count[rows]), ask=ask, lists=mine_on)
            found |= {(name, metric): number for metric, number in numbers.items()}
        return found

    return measure


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
