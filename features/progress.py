"""How long work tells a person where it stands, without knowing about any screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Opens a named stage; what it yields is called with the number of units done since the last call."""

    def __call__(self, stage: str, *, total: int | None = None) -> AbstractContextManager[Advance]:
        """Open a stage of `total` units; None where nobody can say."""
        ...


@contextmanager
def silent(stage: str, *, total: int | None = None) -> Iterator[Advance]:
    """Report no progress: what every function below the command line does unless it is given something better."""
    yield lambda done: None
