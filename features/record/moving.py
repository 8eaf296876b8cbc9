"""Moving an ingest's results into the record: the old record or the new one stands, even if the process is killed."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from features.errors import PresageError

# Folders that hold one folder for each source, exchanged whole.
BY_SOURCE = ("data", "origins", "deltas", "kept", "rejects")
_MOVING, _SCRATCH, _OLD = ".moving-", ".ingest-", ".old"


@contextmanager
def scratch(record_dir: Path) -> Iterator[Path]:
    """A folder inside the record to work in, which is gone afterwards.

    Folders of processes that were killed are cleared away.
    """
    with _alone(record_dir):
        for left in record_dir.glob(f"{_SCRATCH}*"):
            if _is_left(left):
                shutil.rmtree(left)
        folder = Path(mkdtemp(prefix=_SCRATCH, dir=record_dir))
        held = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if held is not None:
            os.close(held)


def move_in(ready: Path, record_dir: Path) -> None:
    """Move everything below `ready`, a folder on the record's file system, to its place in the record.

    Ctrl-C waits until it is done. One rename decides: before it the old record stands, after it the new one, and
    whoever opens the record next finishes with `settle` the move that a killed process has begun.
    """
    settle(record_dir)
    with _alone(record_dir), _uninterrupted():
        moving = record_dir / f"{_MOVING}{ready.parent.name.removeprefix(_SCRATCH)}"
        ready.rename(moving)
        _finish(moving, record_dir)


def settle(record_dir: Path) -> None:
    """Finish a move that was broken off, and wait for one that is going on.

    Without a move this costs one look at the folder.
    """
    if not any(record_dir.glob(f"{_MOVING}*")):
        return
    try:
        with _alone(record_dir), _uninterrupted():
            for moving in sorted(record_dir.glob(f"{_MOVING}*")):
                _finish(moving, record_dir)
    except PermissionError:
        raise PresageError(
            str(record_dir),
            "a whole record",
            found="one that an ingest was moving into place when it was broken off",
            way_out="run any presage command on it as somebody who may write there: that finishes the move",
        ) from None


def _finish(moving: Path, record_dir: Path) -> None:
    """Put what is still there in its place. May be broken off anywhere and begun again."""
    for part in BY_SOURCE:
        for fresh in sorted((moving / part).glob("*")):
            place = record_dir / part / fresh.name
            if place.exists():
                _replace(place, moving / _OLD / part / fresh.name)
            _replace(fresh, place)
            if not any(place.iterdir()):  # nothing was set aside
                place.rmdir()
    for path in sorted(moving.rglob("*")):
        if path.is_file() and _OLD not in path.relative_to(moving).parts:
            _replace(path, record_dir / path.relative_to(moving))
    shutil.rmtree(moving)


def _replace(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    path.replace(place)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until this is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _alone(record_dir: Path) -> Iterator[None]:
    """One process at a time; the system lets go of a killed one's lock."""
    held = _lock(record_dir, wait=True)
    try:
        yield
    finally:
        if held is not None:
            os.close(held)


def _is_left(folder: Path) -> bool:
    """Whether nobody works in a scratch folder any more."""
    try:
        held = _lock(folder)
    except BlockingIOError:
        return False
    if held is not None:
        os.close(held)
    return held is not None


if sys.platform == "win32":

    def _lock(folder: Path, *, wait: bool = False) -> int | None:
        """Windows locks no folders: there one ingest at a time is the user's to see to."""
        return None

else:
    import fcntl

    def _lock(folder: Path, *, wait: bool = False) -> int | None:
        """A lock on the folder for as long as the descriptor is open. Raises BlockingIOError where it is taken."""
        held = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(held)
            raise
        return held
