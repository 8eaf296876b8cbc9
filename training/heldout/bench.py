"""Every number of a training: candidates, the models side by side on the same people, blocks, groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from training.cohort import EVENT, Cohort, Outcome, RiskCurves, Scheme, Uncensored
from training.evaluation import (
    Ask,
    Chance,
    Estimate,
    GroupResult,
    aalen_johansen,
    by_group,
    difference,
    evaluate,
    gap_by_chance,
    ici_if_perfect,
    largest_gap,
    metrics_json,
)
from training.fitting import followed
from training.heldout.candidates import HeldOut, stream

Metrics = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Bench:
    """The test rows that every model is measured on: outcomes, censoring weights, people, replicates.

    Two models compared on the same rows see the same replicates, as each measure starts the same stream of chance.
    """

    rows: Ints
    outcome: Outcome
    persons: Ints
    uncensored: Uncensored | None
    n_boot: int
    seed: int
    cutoffs: tuple[float, ...] = ()
    capacities: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        cohort: Cohort,
        held: HeldOut,
        *,
        n_boot: int,
        seed: int,
        cutoffs: tuple[float, ...] = (),
        capacities: tuple[float, ...] = (),
    ) -> Bench:
        """Censoring weights depend on the clinical features, as marginal ones reward predicting censoring.

        cutoffs, capacities: risks and shares of people at which flagging is measured.
        """
        rows = held.rows
        outcome, persons = cohort.outcome.take(rows), cohort.persons[rows]
        uncensored = None
        if outcome.horizons_days:
            tested, where = np.unique(rows, return_inverse=True)
            own = followed(cohort, tested)
            uncensored = None if own is None else own.take(where)
        return cls(rows, outcome, persons, uncensored, n_boot, seed, cutoffs, capacities)

    def take(self, chosen: Ints) -> Bench:
        """Some of the test rows."""
        some = self.uncensored
        if some is not None:
            some = some.take(chosen)
        return replace(
            self,
            rows=self.rows[chosen],
            outcome=self.outcome.take(chosen),
            persons=self.persons[chosen],
            uncensored=some,
        )

    def _ask(self, *, smooth: bool = False) -> Ask:
        return Ask(self.cutoffs, self.capacities, smooth=smooth)

    @property
    def days(self) -> float:
        """The last horizon; nan for a binary outcome."""
        return self._days(-1)

    @property
    def people(self) -> int:
        """Persons, not rows."""
        return len(np.unique(self.persons))

    def measure(
        self,
        risk: Floats,
        horizon: int = -1,
        *,
        n_boot: int | None = None,
        integrated: bool = False,
        curves: RiskCurves | None = None,
    ) -> Metrics:
        """Metrics of (n, h) risks at one horizon; `integrated`: the smoothed curve's distances as well.

        curves: the same model's risks over a grid of times; with them the Brier score over time, at the last horizon.
        """
        last = horizon in (-1, risk.shape[1] - 1)
        return evaluate(
            self.outcome,
            risk[:, horizon],
            horizon_days=self._days(horizon),
            persons=self.persons,
            rng=stream(self.seed, "bootstrap"),
            n_boot=self.n_boot if n_boot is None else n_boot,
            uncensored=self.uncensored,
            curves=curves if last else None,
            ask=self._ask(smooth=integrated),
        )

    def ici_if_perfect(self, risk: Floats, horizon: int = -1) -> float:
        """The ICI that exactly right risks would have here."""
        return ici_if_perfect(
            self.outcome,
            risk[:, horizon],
            horizon_days=self._days(horizon),
            persons=self.persons,
            rng=stream(self.seed, "perfect"),
            uncensored=self.uncensored,
        )

    def compare(self, risk: Floats, reference: Floats, *, horizon: int = -1) -> Metrics:
        """Paired differences: metric of `risk` minus metric of `reference`."""
        return difference(
            self.outcome,
            risk[:, horizon],
            reference=reference[:, horizon],
            horizon_days=self._days(horizon),
            persons=self.persons,
            rng=stream(self.seed, "bootstrap"),
            n_boot=self.n_boot,
            uncensored=self.uncensored,
            ask=self._ask(),
        )

    def groups(self, risk: Floats, labels: npt.NDArray[np.object_], *, min_people: int) -> dict[str, GroupResult]:
        """Metrics within each group of known label; at a capacity, of the one list of all rows."""
        return by_group(
            self.outcome,
            risk[:, -1],
            groups=labels,
            horizon_days=self._days(-1),
            persons=self.persons,
            rng=stream(self.seed, "groups"),
            n_boot=self.n_boot,
            uncensored=self.uncensored,
            ask=self._ask(),
            min_people=min_people,
        )

    def gap_by_chance(
        self, risk: Floats, labels: npt.NDArray[np.object_], *, results: Mapping[str, GroupResult]
    ) -> Chance:
        """The widest gap in AUC if people were shuffled between the groups that were measured."""
        names = {name: i for i, name in enumerate(name for name, found in results.items() if found.metrics)}
        code = np.array([names.get(str(label), -1) if label is not None else -1 for label in labels], dtype=np.int64)
        rows = np.flatnonzero(code >= 0)
        some = self.take(rows)
        return gap_by_chance(
            some.outcome,
            risk[rows, -1],
            groups=code[rows],
            horizon_days=self._days(-1),
            persons=some.persons,
            rng=stream(self.seed, "chance"),
            uncensored=some.uncensored,
        )

    def _days(self, horizon: int) -> float:
        return self.outcome.horizons_days[horizon] if self.outcome.horizons_days else math.nan


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Models on the same test people. models: name to metrics at the last horizon."""

    people: int
    events: int
    models: Mapping[str, Metrics]


def side_by_side(bench: Bench, risks: Mapping[str, Floats], *, rows: npt.NDArray[np.bool_]) -> SideBySide | None:
    """Every model that has a risk for all of `rows` (n,); None where there are none."""
    chosen = np.flatnonzero(rows)
    if len(chosen) == 0:
        return None
    some = bench.take(chosen)
    whole = {name: risk[chosen] for name, risk in risks.items() if not bool(np.isnan(risk[chosen, -1]).any())}
    events = len(np.unique(some.persons[some.outcome.event == 1]))
    return SideBySide(some.people, events, {name: some.measure(risk) for name, risk in whole.items()})


def usual_cutoffs(cohort: Cohort, scheme: Scheme) -> tuple[float, ...]:
    """Where a study names none: the incidence by the last horizon among those who are learned from, to two digits.

    At the incidence, net reclassification and net benefit are at their most comparable between outcomes (Pencina, Stat
    Med 2017;36:4494).
    """
    outcome = cohort.outcome.take(np.unique(np.concatenate([split.train for split in scheme.splits])))
    binary = outcome.kind == "binary"
    incidence = float(np.mean(outcome.event == EVENT)) if binary else aalen_johansen(outcome, outcome.horizons_days[-1])
    return (float(f"{incidence:.2g}"),) if 0.0 < float(f"{incidence:.2g}") < 1.0 else ()


def group_results(
    bench: Bench, cohort: Cohort, *, risk: Floats, min_people: int
) -> tuple[dict[str, dict[str, GroupResult]], dict[str, dict[str, float | str | None]]]:
    """Metrics by group, and the widest gap in AUC of each grouping beside the one that chance alone would make."""
    results: dict[str, dict[str, GroupResult]] = {}
    gaps: dict[str, dict[str, float | str | None]] = {}
    for name, labels in cohort.groups.items():
        results[name] = bench.groups(risk, labels[bench.rows], min_people=min_people)
        gap = largest_gap(results[name], "auc")
        if gap is not None:
            low = gap.difference.low if math.isfinite(gap.difference.low) else 0.0
            chance = bench.gap_by_chance(risk, labels[bench.rows], results=results[name])
            gaps[name] = {
                "auc": gap.difference.value,
                "low": low,
                "lowest": gap.lowest,
                "highest": gap.highest,
                "expected_by_chance": chance.expected if math.isfinite(chance.expected) else None,
                "chance_high": chance.high if math.isfinite(chance.high) else None,
            }
    return results, gaps


def side_by_side_json(compared: SideBySide, title: str) -> dict[str, Any]:
    """One set of test people and the models on it."""
    models = {name: metrics_json(found) for name, found in compared.models.items()}
    return {"title": title, "people": compared.people, "events": compared.events, "models": models}
