"""Every number of a training: candidates, the models side by side on the same people, blocks, groups."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from training.cohort import EVENT, Cohort, Outcome, References, RiskCurves, Uncensored
from training.disclosure import shown_part
from training.evaluation import (
    Ask,
    Chance,
    Estimate,
    Folds,
    GroupResult,
    aalen_johansen,
    by_group,
    difference,
    evaluate,
    finite,
    gap_by_chance,
    ici_if_perfect,
    largest_gap,
    shown_metrics,
)
from training.fitting import followed
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan, stream
from training.result import AgainstEquation, Compared, Gap

Estimates = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Bench:
    """The test rows that every model is measured on: outcomes, censoring weights, people, replicates, and their folds.

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
    folds: Folds | None = None

    @classmethod
    def of(
        cls,
        plan: Plan,
        held: HeldOut,
        *,
        n_boot: int | None = None,
        cutoffs: tuple[float, ...] = (),
        capacities: tuple[float, ...] = (),
    ) -> Bench:
        """Censoring weights depend on the clinical features, as marginal ones reward predicting censoring.

        n_boot: None is the study's number of replicates. cutoffs, capacities: risks and shares of people at which
        flagging is measured.
        """
        cohort, rows = plan.cohort, held.rows
        outcome, persons = cohort.outcome.take(rows), cohort.persons[rows]
        uncensored = None
        if outcome.horizons_days:
            tested, where = np.unique(rows, return_inverse=True)
            own = followed(cohort, tested)
            uncensored = None if own is None else own.take(where)
        learned_from = {split.name: len(np.unique(cohort.persons[split.train])) for split in plan.scheme.splits}
        folds = Folds.of(held.fold, persons, learned_from=learned_from)
        replicates = plan.study.validation.bootstraps if n_boot is None else n_boot
        return cls(rows, outcome, persons, uncensored, replicates, plan.seed, cutoffs, capacities, folds)

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
            folds=None if self.folds is None else self.folds.take(chosen),
        )

    @property
    def one_model(self) -> Bench:
        """The same rows as if one model had tested them, as it has those of one split."""
        return replace(self, folds=None)

    def _ask(self, *, smooth: bool = False) -> Ask:
        return Ask(self.cutoffs, self.capacities, smooth=smooth)

    @property
    def days(self) -> float:
        """The last horizon; nan for a binary outcome."""
        return self._days(-1)

    @property
    def events(self) -> int:
        """Persons with the event by the last horizon."""
        event = self.outcome.event == EVENT
        if self.outcome.horizons_days:
            event = event & (self.outcome.time_days <= self.days)
        return len(np.unique(self.persons[event]))

    @property
    def ever(self) -> int:
        """Persons with the event at any time in their follow-up."""
        return len(np.unique(self.persons[self.outcome.event == EVENT]))

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
    ) -> Estimates:
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
            folds=self.folds,
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

    def compare(self, risk: Floats, reference: Floats, *, horizon: int = -1) -> Estimates:
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
            folds=self.folds,
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
            folds=self.folds,
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
            folds=some.folds,
        )

    def _days(self, horizon: int) -> float:
        return self.outcome.horizons_days[horizon] if self.outcome.horizons_days else math.nan


def horizon_key(days: float) -> str:
    """What a horizon is called among the keys of a result.

    >>> horizon_key(3650.0), horizon_key(float("nan"))
    ('3650', 'all')
    """
    return "all" if math.isnan(days) else f"{days:g}"


def side_by_side(
    bench: Bench, risks: Mapping[str, Floats], *, rows: npt.NDArray[np.bool_], title: str
) -> Compared | None:
    """Every model that has a risk for all of `rows` (n,), at the last horizon; None where there are no rows."""
    chosen = np.flatnonzero(rows)
    if len(chosen) == 0:
        return None
    some = bench.take(chosen)
    ever = some.ever
    whole = {name: risk[chosen] for name, risk in risks.items() if not bool(np.isnan(risk[chosen, -1]).any())}
    return Compared(
        title=title,
        people=shown_part(some.people, bench.people),
        events=shown_part(ever, bench.ever),
        events_by_horizon=_shown_events(some, bench) if some.outcome.horizons_days else None,
        models={name: shown_metrics(some.measure(risk)) for name, risk in whole.items()},
    )


def _shown_events(some: Bench, bench: Bench) -> int | None:
    """Events by the horizon, hidden where 1 to 10 could be read beside those of all follow-up or of all people."""
    return None if shown_part(some.events, some.ever) is None else shown_part(some.events, bench.events)


def against_equation(
    bench: Bench, risk: Floats, *, references: References, nobody: str | None = None
) -> AgainstEquation | None:
    """(N, h) served risks minus the equation's, on the rows it applies to; None where there are no risks of it.

    nobody: why it applies to nobody, where it does not.
    """
    name = references.equation_name
    if name is None or references.equation is None:
        return None
    equation = references.equation[bench.rows][:, None]
    rows = np.flatnonzero(~np.isnan(equation[:, 0]))
    if len(rows) == 0:
        return AgainstEquation(name=name, people=0, delta={}, reason=nobody)
    some = bench.take(rows)
    delta = some.compare(risk[rows], np.broadcast_to(equation[rows], risk[rows].shape))
    return AgainstEquation(name=name, people=some.people, delta=shown_metrics(delta))


def usual_cutoffs(plan: Plan) -> tuple[float, ...]:
    """Where a study names none: the incidence by the last horizon among those who are learned from, to two digits.

    At the incidence, net reclassification and net benefit are at their most comparable between outcomes (Pencina, Stat
    Med 2017;36:4494).
    """
    outcome = plan.cohort.outcome.take(plan.learned_rows)
    binary = outcome.kind == "binary"
    incidence = float(np.mean(outcome.event == EVENT)) if binary else aalen_johansen(outcome, outcome.horizons_days[-1])
    return (float(f"{incidence:.2g}"),) if 0.0 < float(f"{incidence:.2g}") < 1.0 else ()


def group_results(
    bench: Bench, cohort: Cohort, *, risk: Floats, min_people: int
) -> tuple[dict[str, dict[str, GroupResult]], dict[str, Gap]]:
    """Metrics by group, and the widest gap in AUC of each grouping beside the one that chance alone would make."""
    results: dict[str, dict[str, GroupResult]] = {}
    gaps: dict[str, Gap] = {}
    for name, labels in cohort.groups.items():
        results[name] = bench.groups(risk, labels[bench.rows], min_people=min_people)
        gap = largest_gap(results[name], "auc")
        if gap is not None:
            low = gap.difference.low if math.isfinite(gap.difference.low) else 0.0
            chance = bench.gap_by_chance(risk, labels[bench.rows], results=results[name])
            gaps[name] = Gap(
                auc=gap.difference.value,
                low=low,
                lowest=gap.lowest,
                highest=gap.highest,
                expected_by_chance=finite(chance.expected),
                chance_high=finite(chance.high),
            )
    return results, gaps
