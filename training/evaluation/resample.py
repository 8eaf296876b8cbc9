"""Numbers with their replicates over people, one pass of the splits at a time, stretched for what splits share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

import numpy as np

from features.arrays import Floats, Ints
from training.evaluation.estimate import Estimate, estimate
from training.evaluation.folds import Folds
from training.evaluation.sample import Observed

Key = TypeVar("Key", bound=Hashable)
RANGES = {
    "auc": (0.0, 1.0),
    "auprc": (0.0, 1.0),
    "c_harrell": (0.0, 1.0),
    "c_horizon": (0.0, 1.0),
    "c_uno": (0.0, 1.0),
    "brier": (0.0, 1.0),
    "brier_scaled": (-np.inf, 1.0),
    "ibs": (0.0, 1.0),
    "observed_to_expected": (0.0, np.inf),
    "flagged": (0.0, 1.0),
    "sensitivity": (0.0, 1.0),
    "specificity": (0.0, 1.0),
    "ppv": (0.0, 1.0),
    "net_benefit": (-np.inf, 1.0),
    "alerts_per_true_case": (1.0, np.inf),
}
ANY = (-np.inf, np.inf)
DISTANCES = ("ici", "e50", "e90")  # of replicates they are too large by as much again as of the people: no interval


def resampled(
    make: Callable[[Ints], tuple[Observed, Callable[[Floats], dict[Key, float]]]],
    rows: int,
    *,
    folds: Folds | None,
    rng: np.random.Generator,
    n_boot: int,
) -> tuple[dict[Key, float], dict[Key, Floats]]:
    """Numbers by key, and (n_boot,) replicates of each.

    make: of some of the n rows, who they are and the function that turns counts of them into numbers. Replicates of
    each pass are drawn from its own rows, and their distance from its own estimate is stretched (`Folds.stretch`).
    """
    everybody = np.arange(rows)
    observed, measure = make(everybody)
    value = measure(np.ones(rows))
    passes = (everybody,) if folds is None else folds.passes
    stretch = 1.0 if folds is None else folds.stretch
    drawn: list[dict[Key, float]] = []
    for position, mine in enumerate(passes):
        draws = n_boot // len(passes) + (position < n_boot % len(passes))
        if draws == 0:
            continue
        one, measured = (observed, measure) if len(passes) == 1 else make(mine)
        counts = one.counts(rng, draws)
        here = measured(next(counts))
        for count in counts:
            found = measured(count)
            drawn.append({key: value[key] + stretch * (found[key] - here[key]) for key in value})
    return value, {key: np.array([row[key] for row in drawn], dtype=np.float64) for key in value}


def summarise(value: Mapping[str, float], replicates: Mapping[str, Floats]) -> dict[str, Estimate]:
    """Each number with its interval, within the range of its kind.

    A distance of risks has none: it cannot be negative, so replicates only move it upwards. Alerts per true case are
    1 / PPV, their interval's ends as well.
    """
    found = {name: estimate(number, replicates[name], within=_range(name)) for name, number in value.items()}
    for name in found:
        if name in DISTANCES:
            found[name] = Estimate(found[name].value, np.nan, np.nan)
        elif name.startswith("alerts_per_true_case_"):
            ppv = found["ppv_" + name.removeprefix("alerts_per_true_case_")]
            found[name] = Estimate(_inverse(ppv.value), _inverse(ppv.high), _inverse(ppv.low))
    return found


def differences(value: Mapping[str, float], replicates: Mapping[str, Floats]) -> dict[str, Estimate]:
    """Each difference of two models' numbers with its interval."""
    return {name: estimate(number, replicates[name]) for name, number in value.items()}


def _range(name: str) -> tuple[float, float]:
    return RANGES.get(name.partition("_at_")[0].partition("_top_")[0], ANY)


def _inverse(value: float) -> float:
    return 1.0 / value if value > 0 else np.nan
