"""Each fold's own numbers, and in words whose performance a scheme estimates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from training.disclosure import SMALLEST, suppress
from training.evaluation import finite
from training.heldout.bench import Bench
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan
from training.result import Fold, Metric, Metrics

METRICS = ("c_horizon", "c_harrell", "c_uno", "auc", "auprc", "brier", "calibration_slope", "calibration_in_the_large")


def fold_numbers(plan: Plan, held: Mapping[str, HeldOut]) -> dict[str, Fold] | None:
    """Every candidate on each split's test rows, at the last horizon; None where there is one split."""
    splits = plan.scheme.splits
    if len(splits) == 1:
        return None
    first = next(iter(held.values()))
    bench = Bench.of(plan, first, n_boot=0).one_model
    rows = {split.name: np.flatnonzero(first.fold == split.name) for split in splits}
    parts = {name: bench.take(mine) for name, mine in rows.items()}
    counts = suppress([[part.events, part.people - part.events] for part in parts.values()])
    return {
        name: Fold(
            people=people,
            events=events,
            models={} if part.people < SMALLEST else {c: _numbers(part, one, rows[name]) for c, one in held.items()},
        )
        for (name, part), people, (events, _) in zip(parts.items(), counts.row_totals, counts.cells, strict=True)
    }


def _numbers(part: Bench, held: HeldOut, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Metrics:
    measured = part.measure(held.served[rows])
    return {name: Metric(value=finite(measured[name].value)) for name in METRICS if name in measured}


def estimand_words(plan: Plan) -> str:
    """Whose performance the scheme estimates, and of what model."""
    splits, persons = plan.scheme.splits, plan.cohort.persons
    if len(splits) == 1:
        other = "learned on one part of these people, and not of the one that is served"
        same = "that is served" if plan.scheme.temporal else other
        return f"Performance is that of the one model {same}, on people it has not seen."
    learned = np.mean([len(np.unique(persons[split.train])) for split in splits])
    share = learned / len(np.unique(persons))
    return (
        f"Performance is the mean of the {len(splits)} models that were tested, each learned on {_share(float(share))} "
        "of these people and tested on people it has not seen; the model that is served is learned on everybody, and "
        "tested on nobody here."
    )


def _share(share: float) -> str:
    """As a fraction where it is all but one part, else in per cent."""
    parts = 1 / (1 - share) if share < 1 else np.inf
    whole = round(parts)
    return f"{whole - 1}/{whole}" if abs(parts - whole) < 0.05 and whole <= 20 else f"{100 * share:.0f} %"
