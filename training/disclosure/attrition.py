"""An attrition table that may leave the care team: neither a step nor the difference of two tells of 1 to 10 people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from training.disclosure.counts import SMALLEST
from training.result import Step

PART = "of them"  # how the name of a step begins that is a part of the people before it, of whom nobody has left
NEARLY_ALL = "all but 1 to 10"


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
    """An attrition table in which no step loses 1 to 10 people or rows: such a step joins the one before it.

    Both then have the count of who is left after both, so that the last step has as many people as every other part
    of a result says there are. A part that lacks 1 to 10 of the people before it says so, and has their count.
    """
    kept: list[Step] = []
    for line in steps:
        step = Step(step=line.step, people=line.people, rows=line.rows)
        if kept and _is_part(step):
            kept.append(_part(step, next((one for one in reversed(kept) if not _is_part(one)), kept[0])))
            continue
        while (position := _last_whole(kept)) is not None and _few_apart(kept[position], step):
            step = Step(step=f"{kept[position].step}; {step.step}", people=step.people, rows=step.rows)
            del kept[position:]  # with its parts, which are no part of who is left
        kept.append(step)
    return kept


def shown_steps(steps: Iterable[Counted]) -> tuple[Step, ...]:
    """`merged_steps` as they may be kept with a model: a count of 1 to 10 people, and of their rows, is None."""
    return tuple(
        Step(step=one.step, people=None, rows=None) if _few(one.people) or _few(one.rows) else one
        for one in merged_steps(steps)
    )


def _is_part(step: Step) -> bool:
    return step.step.startswith(PART)


def _last_whole(kept: list[Step]) -> int | None:
    """Where the last step that is no part stands."""
    return next((i for i in reversed(range(len(kept))) if i == 0 or not _is_part(kept[i])), None)


def _part(step: Step, whole: Step) -> Step:
    """The part, or that it is nearly everybody, where a difference of 1 to 10 could be read from its count."""
    if _few_apart(whole, step):
        return Step(step=f"{step.step} ({NEARLY_ALL})", people=whole.people, rows=whole.rows)
    return step


def _few(count: int | None) -> bool:
    return 0 < (count or 0) < SMALLEST


def _few_apart(before: Step, after: Step) -> bool:
    """Whether 1 to 10 people or rows can be read from the two counts."""
    pairs = ((before.people, after.people), (before.rows, after.rows))
    return any(a is not None and b is not None and _few(abs(a - b)) for a, b in pairs)
