"""What each block of features adds on the same test people: differences with paired intervals, overall and by ancestry.

Who is above a cut-off is all that reclassification at that cut-off looks at, so the net reclassification of events is
the change in sensitivity and that of non-events the change in specificity (Pencina, Stat Med 2008;27:157; Kerr,
Epidemiology 2014;25:114). Censoring and competing events are weighed as everywhere in the evaluation, and people are
resampled, not rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.arrays import Floats
from training.cohort import Cohort
from training.disclosure import shown_part
from training.evaluation import MIN_EVENTS, GroupResult, shown_groups, shown_metrics
from training.heldout.bench import Bench, Estimates
from training.heldout.candidates import Nested
from training.heldout.sentence import block_sentence
from training.result import Added, AddedInGroup, Group, Metrics, NetBenefit, Reclassification

BY = "ancestry"


def added_by(bench: Bench, nested: Sequence[Nested], *, cohort: Cohort, min_people: int) -> tuple[Added, ...]:
    """For each block: the people who have both risks, and the differences there."""
    return tuple(_added(bench, step, cohort=cohort, min_people=min_people) for step in nested)


def _added(bench: Bench, step: Nested, *, cohort: Cohort, min_people: int) -> Added:
    rows = np.flatnonzero(~np.isnan(step.risk[:, -1]) & ~np.isnan(step.without[:, -1]))
    delta, people, why_not = Estimates(), 0, ""
    groups: dict[str, AddedInGroup] = {}
    if len(rows) == 0:
        why_not = step.why_not or "nobody among the test people has it"
    else:
        some = bench.take(rows)
        delta, people = some.compare(step.risk[rows], step.without[rows]), some.people
        groups = _by_ancestry(some, step.risk[rows], without=step.without[rows], cohort=cohort, min_people=min_people)
    metrics, name = shown_metrics(delta), step.block.name
    shown = shown_part(people, bench.people)
    return Added(
        added=name,
        to=step.before,
        people=shown,
        delta=_overall(metrics),
        reclassification=_reclassification(metrics, bench.cutoffs),
        net_benefit=_net_benefit(metrics, bench.cutoffs),
        groups={BY: groups} if groups else {},
        sentence=block_sentence(name, step.before, people=shown, delta=delta, why_not=why_not),
    )


def _by_ancestry(
    bench: Bench, risk: Floats, *, without: Floats, cohort: Cohort, min_people: int
) -> dict[str, AddedInGroup]:
    """The differences among the people of each ancestry, by its name; none where the study has no such groups."""
    every = cohort.groups.get(BY)
    if every is None:
        return {}
    labels, found = every[bench.rows], dict[str, GroupResult]()
    for level in sorted({label for label in labels if label is not None}):
        inside = np.flatnonzero(labels == level)
        some = bench.take(inside)
        events = some.events
        if some.people < min_people or events < MIN_EVENTS:
            reason = f"fewer than {min_people} people or {MIN_EVENTS} events"
            found[level] = GroupResult(some.people, events, {}, reason)
        else:
            found[level] = GroupResult(some.people, events, some.compare(risk[inside], without[inside]))
    return {level: _in_group(group, bench.cutoffs) for level, group in shown_groups(found).items()}


def _in_group(group: Group, cutoffs: Sequence[float]) -> AddedInGroup:
    if group.people is None:
        return AddedInGroup(people=None, reason=group.reason, delta={}, reclassification=(), net_benefit=())
    return AddedInGroup(
        people=group.people,
        events=group.events,
        reason=group.reason,
        delta=_overall(group.metrics),
        reclassification=_reclassification(group.metrics, cutoffs),
        net_benefit=_net_benefit(group.metrics, cutoffs),
    )


def _overall(delta: Metrics) -> Metrics:
    """Those that need neither a cut-off nor a capacity."""
    return {name: metric for name, metric in delta.items() if not ("_at_" in name or "_top_" in name)}


def _reclassification(delta: Metrics, cutoffs: Sequence[float]) -> tuple[Reclassification, ...]:
    return tuple(
        Reclassification(cutoff=c, events=delta[f"sensitivity_at_{c:g}"], nonevents=delta[f"specificity_at_{c:g}"])
        for c in (cutoffs if delta else ())
    )


def _net_benefit(delta: Metrics, cutoffs: Sequence[float]) -> tuple[NetBenefit, ...]:
    return tuple(NetBenefit(cutoff=c, delta=delta[f"net_benefit_at_{c:g}"]) for c in (cutoffs if delta else ()))
