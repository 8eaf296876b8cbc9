"""What intervals cover: simulated data sets, fast learners, and Presage's own evaluation under four schemes.

*Noise*: people whose one feature says nothing, so that the truth is .5. *Truth*: people whose outcome depends on three
features; the truth of a scheme is what the very models that it tested have on 200,000 fresh people, averaged over the
models. Decisions and definitions: docs/decisions/0018-pairs-within-folds.md.

    .venv/bin/python benchmarks/intervals.py --noise 2000 --truth 1000
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from features.arrays import Bools, Floats, Ints
from training.cohort import EVENT, Outcome
from training.cohort.folds import person_folds
from training.evaluation import Ask, Estimate, Folds, Pairs, concordance, evaluate, weighted_logistic
from training.evaluation.discrimination import auc_and_precision

HORIZON = 365.0
SCHEMES = ("5 folds", "5 x 5 folds", "one split", "by site")
FRESH, BINS = 200_000, 1000
NOISE_METRICS = ("auc", "c_harrell")
TRUTH_METRICS = ("auc", "c_harrell", "brier", "calibration_slope", "calibration_in_the_large")
SITES = np.array([0.1, 0.15, 0.2, 0.25, 0.3])  # shares of people
COVERED, IN_CI, WIDEST, NEAR_HALF = 0.92, 0.87, 1.6, 0.005


@dataclass(frozen=True, slots=True)
class People:
    """x: (n, p) features. outcome: everybody is followed to the horizon, so no weight is estimated."""

    x: Floats
    outcome: Outcome

    @classmethod
    def drawn(cls, n: int, *, effects: Floats, incidence: float, rng: np.random.Generator) -> People:
        """Exponential times with log hazard ratios `effects`; `incidence` is that of people with features of zero."""
        x = rng.normal(size=(n, len(effects)))
        rate = -np.log1p(-incidence) / HORIZON * np.exp(x @ effects)
        time = rng.exponential(1 / rate)
        event = (time <= HORIZON).astype(np.int8)
        return cls(x, Outcome(np.minimum(time, HORIZON), event, (HORIZON,)))

    @property
    def label(self) -> Bools:
        """(n,) who had the event by the horizon."""
        return np.asarray(self.outcome.event == EVENT)


def schemes(people: People, rng: np.random.Generator) -> Iterator[tuple[str, list[tuple[Ints, Ints]]]]:
    """By name: the training and the test rows of each split."""
    n = len(people.x)
    rows = np.arange(n)
    repeats = [person_folds(rows, people.outcome.event, folds=5, rng=rng) for _ in range(5)]
    tested = [[fold == k for k in range(5)] for fold in repeats]
    site = rng.choice(len(SITES), size=n, p=SITES)
    found = {
        "5 folds": tested[0],
        "5 x 5 folds": [test for one in tested for test in one],
        "one split": [rng.random(n) < 0.4],
        "by site": [site == k for k in range(len(SITES))],
    }
    for name in SCHEMES:
        yield name, [(np.flatnonzero(~test), np.flatnonzero(test)) for test in found[name]]


def learned(people: People, rows: Ints) -> Floats:
    """(p + 1,) a logistic regression of the event by the horizon on these rows."""
    design = np.column_stack([np.ones(len(rows)), people.x[rows]])
    return weighted_logistic(design, people.label[rows].astype(np.float64), np.ones(len(rows)), np.zeros(len(rows)))


def risk_of(model: Floats, x: Floats) -> Floats:
    """(n,) risks by the horizon."""
    return np.asarray(expit(model[0] + x @ model[1:]), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Tested:
    """What one scheme estimates on one data set, and the models that it tested."""

    estimates: Mapping[str, Estimate]
    models: tuple[Floats, ...]


def tested(people: People, splits: list[tuple[Ints, Ints]], *, rng: np.random.Generator, n_boot: int) -> Tested:
    """Learn and test on every split, and measure as a training does."""
    models = tuple(learned(people, train) for train, _ in splits)
    rows = np.concatenate([test for _, test in splits])
    names = np.concatenate([np.full(len(test), str(k), dtype=object) for k, (_, test) in enumerate(splits)])
    risk = np.concatenate([risk_of(model, people.x[test]) for model, (_, test) in zip(models, splits, strict=True)])
    folds = Folds.of(names, rows, learned_from={str(k): len(train) for k, (train, _) in enumerate(splits)})
    outcome, ask = people.outcome.take(rows), Ask(smooth=False)
    found = evaluate(outcome, risk, horizon_days=HORIZON, persons=rows, rng=rng, n_boot=n_boot, ask=ask, folds=folds)
    return Tested(found, models)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Fresh people, sorted by time once; log odds fall into 1,000 bins of one width, so a model is measured quickly."""

    people: People
    pairs: Pairs

    @classmethod
    def of(cls, people: People) -> Fresh:
        """Sort."""
        return cls(people, Pairs.of(people.outcome, np.zeros(len(people.x))))

    def numbers(self, model: Floats) -> dict[str, float]:
        """What the model has on them; people of one bin count as ties, and with its mean log odds."""
        outcome, label = self.people.outcome, self.people.label
        odds = model[0] + self.people.x @ model[1:]
        low, high = odds.min(), odds.max()
        binned = np.minimum((odds - low) * (BINS / (high - low)), BINS - 1).astype(np.int64)
        pairs = Pairs(self.pairs.order, self.pairs.starts, self.pairs.parts, binned, outcome.event)
        ones, every = np.ones(len(odds)), np.ones(len(odds), dtype=np.bool_)
        size, events = np.bincount(binned, minlength=BINS), np.bincount(binned[label], minlength=BINS)
        mean = np.bincount(binned, weights=odds, minlength=BINS) / np.maximum(size, 1)
        return {
            "c_harrell": concordance(pairs, ones, followed=ones, usable=every),
            **_of_bins(mean, events.astype(np.float64), (size - events).astype(np.float64)),
        }


def _of_bins(odds: Floats, cases: Floats, controls: Floats) -> dict[str, float]:
    """(b,) mean log odds of bins, and how many with and without the event: a weighted row of each kind for each bin."""
    y = np.append(np.ones(BINS), np.zeros(BINS)).astype(np.float64)
    weight: Floats = np.append(cases, controls).astype(np.float64)
    both, rank = np.tile(odds, 2), np.tile(np.arange(BINS), 2)
    line = weighted_logistic(np.column_stack([np.ones(2 * BINS), both]), y, weight, np.zeros(2 * BINS))
    return {
        "auc": auc_and_precision(np.argsort(-rank, kind="stable"), rank, y > 0, weight)[0],
        "brier": float(weight @ (expit(both) - y) ** 2 / weight.sum()),
        "calibration_slope": float(line[1]),
        "calibration_in_the_large": float(weighted_logistic(np.ones((2 * BINS, 1)), y, weight, both)[0]),
    }


@dataclass(frozen=True, slots=True)
class Row:
    """One scheme and metric. bias: of the estimate. width: of intervals, in 3.92 SD of estimate minus truth.

    of_estimates: the same in 3.92 SD of the estimate.
    """

    scheme: str
    metric: str
    mean: float
    bias: float
    covered: float
    width: float
    of_estimates: float


class Tally:
    """Estimates beside their truths, by scheme and metric."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[tuple[float, float, float, float]]] = defaultdict(list)

    def add(self, scheme: str, metric: str, *, estimate: Estimate, truth: float) -> None:
        """One data set's."""
        self.found[scheme, metric].append((estimate.value, estimate.low, estimate.high, truth))

    def rows(self) -> list[Row]:
        """Over the data sets in which the estimate is defined."""
        rows = []
        for (scheme, metric), numbers in self.found.items():
            value, low, high, truth = np.array(numbers).T
            known = np.isfinite(value)
            value, low, high, truth = value[known], low[known], high[known], truth[known]
            covered = float(np.mean((low <= truth) & (truth <= high)))
            error, mean = value - truth, float(np.mean(high - low))
            of_estimates = mean / (3.92 * float(np.std(value)))
            width = mean / (3.92 * float(np.std(error)))
            rows.append(Row(scheme, metric, float(value.mean()), float(error.mean()), covered, width, of_estimates))
        return rows


def noise(data_sets: int, *, people: int = 150, n_boot: int = 200, seed: int = 1) -> list[Row]:
    """AUC and concordance of one feature that says nothing; 3 of 10 have the event."""
    tally, rng = Tally(), np.random.default_rng(seed)
    for _ in range(data_sets):
        drawn = People.drawn(people, effects=np.zeros(1), incidence=0.3, rng=rng)
        for name, splits in schemes(drawn, rng):
            found = tested(drawn, splits, rng=rng, n_boot=n_boot).estimates
            for metric in NOISE_METRICS:
                tally.add(name, metric, estimate=found[metric], truth=0.5)
    return tally.rows()


def truth(data_sets: int, *, people: int = 1000, n_boot: int = 200, seed: int = 2, fresh: int = FRESH) -> list[Row]:
    """Five metrics of three features that say something; about 200 of 1,000 have the event."""
    tally, rng = Tally(), np.random.default_rng(seed)
    effects = np.array([0.6, 0.4, 0.2])
    others = Fresh.of(People.drawn(fresh, effects=effects, incidence=0.165, rng=rng))
    for _ in range(data_sets):
        drawn = People.drawn(people, effects=effects, incidence=0.165, rng=rng)
        known: dict[bytes, dict[str, float]] = {}  # the first of five repeats is the five folds
        for name, splits in schemes(drawn, rng):
            one = tested(drawn, splits, rng=rng, n_boot=n_boot)
            for model in one.models:
                if model.tobytes() not in known:
                    known[model.tobytes()] = others.numbers(model)
            for metric in TRUTH_METRICS:
                held = float(np.mean([known[model.tobytes()][metric] for model in one.models]))
                tally.add(name, metric, estimate=one.estimates[metric], truth=held)
    return tally.rows()


def failures(rows: list[Row], *, covered: float, half: bool) -> list[str]:
    """What misses its goal."""
    found = [f"{r.scheme}, {r.metric}: covers {r.covered:.3f}" for r in rows if r.covered < covered]
    found += [f"{r.scheme}, {r.metric}: {r.width:.2f} times as wide" for r in rows if r.width > WIDEST]
    return found + [f"{r.scheme}, {r.metric}: mean {r.mean:.4f}" for r in rows if half and abs(r.bias) > NEAR_HALF]


def _show(title: str, rows: list[Row]) -> None:
    print(f"\n{title}\n{'scheme':12s} {'metric':26s} {'mean':>7s} {'bias':>8s} {'covered':>8s} {'width':>6s}", end="")
    print(" (of the estimate)")
    for r in rows:
        print(f"{r.scheme:12s} {r.metric:26s} {r.mean:7.4f} {r.bias:8.4f} {r.covered:8.3f} {r.width:6.2f}", end="")
        print(f" {r.of_estimates:6.2f}")


def main() -> None:
    """Both simulations, and what misses its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=int, default=200, help="data sets without an effect")
    parser.add_argument("--truth", type=int, default=100, help="data sets with one")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    start, missed = time.process_time(), list[str]()
    if arguments.noise:
        rows = noise(arguments.noise, seed=arguments.seed)
        _show(f"Noise: {arguments.noise:,} data sets of 150 people", rows)
        missed += failures(rows, covered=COVERED, half=True)
    if arguments.truth:
        rows = truth(arguments.truth, seed=arguments.seed + 1)
        _show(f"Truth: {arguments.truth:,} data sets of 1,000 people", rows)
        missed += failures(rows, covered=COVERED, half=False)
    print(f"\n{time.process_time() - start:.0f} CPU seconds")
    for one in missed:
        print("MISSED", one)


if __name__ == "__main__":
    main()
