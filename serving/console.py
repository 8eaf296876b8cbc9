"""What the command line looks like: one console, and progress bars for long work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features.progress import Advance

console = Console()
_errors = Console(stderr=True)


@contextmanager
def progress(stage: str, *, total: int | None = None) -> Iterator[Advance]:
    """A bar for one stage on stderr; a spinner where the total is unknown."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=_errors, transient=not _errors.is_terminal) as bars:
        task = bars.add_task(stage, total=total)
        yield lambda done: bars.advance(task, done)
        bars.update(task, total=bars.tasks[0].completed or 1, completed=bars.tasks[0].completed or 1)
