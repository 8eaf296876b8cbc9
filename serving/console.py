"""The looks of the command line: one console, and progress of long work on stderr."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from features.progress import Advance

LOG_EVERY_S = 30.0
LOG_WIDTH = 110

console = Console()
_errors = Console(stderr=True)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = LOG_WIDTH  # a file is wider than the 80 columns that are assumed of it


def progress(stage: str, *, total: int | None = None) -> AbstractContextManager[Advance]:
    """A bar for one stage at a terminal (a spinner where the total is unknown); elsewhere, as in a log, plain lines."""
    return _bar(stage, total) if _errors.is_terminal else _lines(stage, total)


@contextmanager
def _bar(stage: str, total: int | None) -> Iterator[Advance]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *((TextColumn("left"), TimeRemainingColumn(compact=True)) if total else ()),
    )
    with Progress(*columns, console=_errors) as bars:
        task = bars.add_task(stage, total=total)
        yield lambda done: bars.advance(task, done)
        bars.update(task, total=bars.tasks[0].completed or 1, completed=bars.tasks[0].completed or 1)


@contextmanager
def _lines(stage: str, total: int | None) -> Iterator[Advance]:
    """A line when a stage is done, and one every half minute until then."""
    started = told = time.monotonic()
    done = 0

    def advance(more: int) -> None:
        nonlocal done, told
        done += more
        if time.monotonic() - told >= LOG_EVERY_S:
            told = time.monotonic()
            _errors.out(f"{stage}: {done:,}{_left(done, total, seconds=told - started)}", highlight=False)

    yield advance
    _errors.out(f"{stage}: done in {time.monotonic() - started:.1f} s", highlight=False)


def _left(done: int, total: int | None, *, seconds: float) -> str:
    """What is to come, at the pace so far: ` of 20, about 40 s left`."""
    if not total:
        return ""
    if not done:
        return f" of {total:,}"
    left = seconds * max(total - done, 0) / done
    return f" of {total:,}, about {f'{left / 60:.0f} min' if left >= 90 else f'{left:.0f} s'} left"
