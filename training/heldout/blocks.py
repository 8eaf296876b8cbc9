"""What each block of features adds on the same test people: differences with paired intervals, overall and by ancestry.

Who is above a cut-off is all that reclassification at that cut-off looks at, so the net reclassification of events is
the change in sensitivity and that of non-events the change in specificity (Pencina, Stat Med 2008;27:157; Kerr,
Epidemiology 2014;25:114). Censoring and competing events are weighed as everywhere in the evaluation, and people are
resampled, not rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Strings
from training.cohort import EVENT, Cohort
from training.evaluation import MIN_EVENTS, GroupResult, groups_json, metrics_json
from training.heldout.bench import Bench, Metrics
from training.heldout.candidates import Nested
from training.heldout.sentence import block_sentence

BY = "ancestry"


@dataclass(frozen=True, slots=True)
class Added:
    """What one block adds to those before it. delta is empty where it cannot be judged, and why_not says why."""

    step: Nested
    people: int
    delta: Metrics
    groups: Mapping[str, GroupResult]
    why_not: str = ""


def added_by(bench: Bench, nested: Sequence[Nested], *, cohort: Cohort, min_people: int) -> list[Added]:
    """For each block: the people who have both risks, and the differences there."""
    return [_added(bench, step, cohort=cohort, min_people=min_people) for step in nested]


def _added(bench: Bench, step: Nested, *, cohort: Cohort, min_people: int) -> Added:
    rows = np.flatnonzero(~np.isnan(step.risk[:, -1]) & ~np.isnan(step.without[:, -1]))
    if len(rows) == 0:
        return Added(step, 0, {}, {}, step.why_not or "nobody among the test people has it")
    some, risk, without = bench.take(rows), step.risk[rows], step.without[rows]
    groups: dict[str, GroupResult] = {}
    labels: Strings | None = cohort.groups.get(BY)
    for level in sorted({label for label in labels[some.rows] if label is not None}) if labels is not None else []:
        inside = np.flatnonzero(labels[some.rows] == level) if labels is not None else rows
        one = some.take(inside)
        events = _events(one)
        if one.people < min_people or events < MIN_EVENTS:
            reason = f"fewer than {min_people} people or {MIN_EVENTS} events"
            groups[level] = GroupResult(one.people, events, {}, reason)
        else:
            groups[level] = GroupResult(one.people, events, one.compare(risk[inside], without[inside]))
    return Added(step, some.people, some.compare(risk, without), groups)


def _events(bench: Bench) -> int:
    event = bench.outcome.event == EVENT
    if bench.outcome.horizons_days:
        event = event & (bench.outcome.time_days <= bench.days)
    return len(np.unique(bench.persons[event]))


def added_json(added: Added, cutoffs: Sequence[float]) -> dict[str, Any]:
    """One entry of the summary's `blocks`."""
    name, before = added.step.block.name, added.step.before
    delta = metrics_json(added.delta)
    levels = groups_json({BY: added.groups})[BY] if added.groups else {}
    groups = {
        level: {key: value for key, value in found.items() if key != "metrics"} | _deltas(found["metrics"], cutoffs)
        for level, found in levels.items()
    }
    return {
        "added": name,
        "to": list(before),
        "people": added.people,
        **_deltas(delta, cutoffs),
        "groups": {BY: groups} if groups else {},
        "sentence": block_sentence(name, before, people=added.people, delta=added.delta, why_not=added.why_not),
    }


def _deltas(delta: Mapping[str, Any], cutoffs: Sequence[float]) -> dict[str, Any]:
    """Metrics that need neither cut-off nor capacity; then reclassification and net benefit at each cut-off."""
    if not delta:
        return {"delta": {}, "reclassification": [], "net_benefit": []}
    return {
        "delta": {name: value for name, value in delta.items() if not ("_at_" in name or "_top_" in name)},
        "reclassification": [
            {"cutoff": c, "events": delta[f"sensitivity_at_{c:g}"], "nonevents": delta[f"specificity_at_{c:g}"]}
            for c in cutoffs
        ],
        "net_benefit": [{"cutoff": c, "delta": delta[f"net_benefit_at_{c:g}"]} for c in cutoffs],
    }
