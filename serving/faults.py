"""Faults outside Presage (a full disk, a folder without permission, no memory) as the one line that the user gets."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from traceback import extract_tb

from features.errors import PresageError

HERE = Path(__file__).parents[1]  # a checkout, or the folder where every installed package lies
OWN = ("features", "training", "serving", "presage.py")
DISK_FULL = os.strerror(errno.ENOSPC)
ALLOWED = {
    errno.ENOSPC: "room on the disk",
    errno.EACCES: "the permission to use it",
    errno.EPERM: "the permission to use it",
    errno.EROFS: "a place that can be written",
    errno.ENAMETOOLONG: "a shorter name",
    errno.ENOENT: "a file or folder of this name",
    errno.EISDIR: "a file",
    errno.ENOTDIR: "a folder",
}
WAYS_OUT = {
    errno.ENOSPC: "free some space; what was there before stands",
    errno.EACCES: "ask for the permission, or name another place",
    errno.EROFS: "name another place",
    errno.ENAMETOOLONG: "choose a shorter one",
}


def mendable(error: Exception) -> PresageError | None:
    """Turn an error into one that its user can mend; None where it is a fault of Presage.

    Of the original text only the file's name is repeated: a driver's message may hold a person's value.
    """
    if isinstance(error, PresageError):
        return error
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
        return PresageError(
            "memory",
            "as much as the work needs",
            found="less than that on this machine",
            way_out="take fewer people at once, or more memory",
        )
    if isinstance(error, OSError) and error.errno is not None:
        where = str(error.filename2 or error.filename or "the file system")
        return PresageError(
            where,
            ALLOWED.get(error.errno, "a file or folder that can be used"),
            found=os.strerror(error.errno).lower(),
            way_out=WAYS_OUT.get(error.errno),
        )
    if DISK_FULL in str(error):  # DuckDB's and SQLite's errors are none of the operating system's
        return PresageError(
            "the file system", ALLOWED[errno.ENOSPC], found=DISK_FULL.lower(), way_out=WAYS_OUT[errno.ENOSPC]
        )
    return None


def unforeseen(error: Exception) -> str:
    """A fault of Presage in one line: its kind and the innermost line of Presage, without its message."""
    own = [frame for frame in extract_tb(error.__traceback__) if _is_own(frame.filename)]
    place = f" at {Path(own[-1].filename).relative_to(HERE)}:{own[-1].lineno}" if own else ""
    return (
        f"stopped by a fault of its own: {type(error).__name__}{place} "
        "(its message may hold a person's value and is left out; PRESAGE_TRACEBACK=1 shows everything)"
    )


def _is_own(filename: str) -> bool:
    return any(Path(filename).is_relative_to(HERE / own) for own in OWN)
