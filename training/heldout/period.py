"""Bringing the served model to the record's last years, and how far that was right on people held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from features.arrays import Ints
from training.card import horizon_words
from training.cohort import Cohort, Uncensored
from training.fitting import Period, followed, period_of
from training.heldout.candidates import HeldOut
from training.heldout.plan import Plan
from training.models import Pair
from training.result import PeriodFollowed, PeriodRatio, PeriodTested


def in_last_years(
    pair: Pair, cohort: Cohort, *, rows: Ints, uncensored: Uncensored | None
) -> tuple[Pair, list[Period]]:
    """The pair with the hazards of the last calendar years, by horizon, and what was found; rows: it learned from.

    Learned on the clinical model's held-out risks of everybody, and applied to the combined model as well.
    """
    found = [
        _of(pair, cohort, rows=rows, uncensored=uncensored, position=position)
        for position in range(len(cohort.horizons))
    ]
    known = [one for one in found if one is not None]
    if all(one.factor == 1.0 for one in known):
        return pair, known
    return pair.in_period([1.0 if one is None else one.factor for one in found]), known


def period_followed(plan: Plan, chosen: HeldOut, *, found: Sequence[Period]) -> tuple[PeriodFollowed, list[str]]:
    """What was found and done for each horizon, and how right that is on people held out; and its notes."""
    tested = _tested(plan, chosen)
    notes = [_note(one) for one in found]
    if tested is not None and any(one.factor != 1.0 for one in found):
        notes.append(_tested_note(tested))
    return PeriodFollowed(served=tuple(_ratio(one) for one in found), tested=tested), notes


def _tested(plan: Plan, chosen: HeldOut) -> PeriodTested | None:
    """Of the test rows at the last horizon: the ratio before, and after each split's own factor, learned on its
    training rows; None where there is nothing to tell.
    """
    cohort = plan.cohort
    seen = followed(cohort, np.arange(len(cohort)))
    if seen is None:
        return None
    parts = []
    for (split, chances), pair in zip(plan.parts, chosen.pairs, strict=True):
        one = _of(pair, cohort, rows=split.train, uncensored=chances, position=-1)
        parts.append(np.full(len(split.test), 1.0 if one is None else one.factor))
    outcome, persons = cohort.outcome.take(chosen.rows), cohort.persons[chosen.rows]
    before, after = (
        period_of(
            chosen.clinical[:, -1],
            outcome,
            persons=persons,
            uncensored=seen.take(chosen.rows),
            position=-1,
            factors=factors,
        )
        for factors in (None, np.concatenate(parts))
    )
    if before is None or after is None:
        return None
    return PeriodTested(before=_ratio(before), after=_ratio(after))


def _ratio(period: Period) -> PeriodRatio:
    return PeriodRatio(**asdict(period))


def _note(one: Period) -> str:
    when = "year" if one.years == 1 else f"{one.years} years"
    seen = f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f}) times those that risks by"
    said = f"in the record's last {when} hazards were {seen} {horizon_words(one.horizon_days)} were calibrated to"
    if one.factor == 1.0:
        return f"{said}: no sure difference, so risks stay as they are"
    follow = f"served risks follow, their hazards multiplied by {one.factor:.2f}"
    return f"{said}: {follow}, for people scored at the record's end if hazards stay so"


def _tested_note(tested: PeriodTested) -> str:
    before, after = (f"{one.ratio:.2f} ({one.low:.2f} to {one.high:.2f})" for one in (tested.before, tested.after))
    said = f"observed to expected in the last years is {before} without that factor and {after} with it"
    return f"on people held out, {said}; every other number here is of landmarks that can be followed, without it"


def _of(pair: Pair, cohort: Cohort, *, rows: Ints, uncensored: Uncensored | None, position: int) -> Period | None:
    risk = pair.clinical.out_of_fold
    if uncensored is None or risk is None:
        return None
    return period_of(
        risk[:, position],
        cohort.outcome.take(rows),
        persons=cohort.persons[rows],
        uncensored=uncensored,
        position=position,
    )
