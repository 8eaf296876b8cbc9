"""An attrition table that may leave the care team: no step of it tells of 1 to 10 people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from training.disclosure.counts import SMALLEST
from training.result import Step


class Counted(Protocol):
    """A line of an attrition table: what was asked for, and how many are left."""

    @property
    def step(self) -> str:
        """What was asked for."""

    @property
    def people(self) -> int | None:
        """How many people are left; None where that is not known here."""

    @property
    def rows(self) -> int | None:
        """How many rows they have."""


def merged_steps(steps: Iterable[Counted]) -> list[Step]:
    """An attrition table in which no step loses 1 to 10 people: such a step joins the one before it."""
    kept: list[Step] = []
    for line in steps:
        step = Step(step=line.step, people=line.people, rows=line.rows)
        before = kept[-1].people if kept else None
        if before is None or step.people is None or not 0 < before - step.people < SMALLEST:
            kept.append(step)
            continue
        left = step if len(kept) > 1 else kept[-1]
        kept[-1] = Step(step=f"{kept[-1].step}; {step.step}", people=left.people, rows=left.rows)
    return kept


def shown_steps(steps: Iterable[Counted]) -> tuple[Step, ...]:
    """`merged_steps` as they may be kept with a model: a count of 1 to 10 people, and of their rows, is None."""
    return tuple(
        Step(step=one.step, people=None, rows=None) if 0 < (one.people or 0) < SMALLEST else one
        for one in merged_steps(steps)
    )
