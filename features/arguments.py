"""What a notebook hands over (paths, days, subject ids) as the types that the rooms work with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np

from features.arrays import Ints, Moments
from features.errors import PresageError
from features.index import Index

StrPath = str | PathLike[str]
Moment = str | date | np.datetime64  # datetime and pandas.Timestamp are dates


def path_of(given: StrPath) -> Path:
    """The path, with ~ as the user's own folder."""
    return Path(given).expanduser()


def paths_of(given: StrPath | Iterable[StrPath]) -> list[Path]:
    """One path, or several."""
    return [path_of(given)] if isinstance(given, (str, PathLike)) else [path_of(each) for each in given]


def moment_of(given: Moment, *, where: str = "as_of") -> datetime:
    """A day (its first moment) or a moment, to the microsecond. Raises PresageError for what is neither.

    >>> moment_of("2024-12-31")
    datetime.datetime(2024, 12, 31, 0, 0)
    """
    return cast("datetime", moments_of(given, where=where).item())


def moments_of(given: Any, *, where: str = "as_of") -> Moments:
    """One moment (an array without axes) or one for each row, in microseconds.

    given: ISO 8601 text, date, datetime, NumPy or pandas moment, or a sequence of them. Raises PresageError for what
    cannot be read, for a moment that is missing, and for one in a time zone, as a record's times are local.
    """
    way_out = "write 2024-12-31 or 2024-12-31T09:30"
    if isinstance(given, (str, date)):
        given = _plain(given, where=where, way_out=way_out)
    elif not isinstance(given, np.datetime64):
        values = np.asarray(given)
        if values.dtype == object or values.dtype.kind in "US":
            given = [_plain(each, where=where, way_out=way_out) for each in values.ravel().tolist()]
        elif values.dtype.kind == "M":
            given = values
        else:
            raise PresageError(where, "a day or a moment, without a time zone", found="numbers", way_out=way_out)
    moments = np.asarray(given, dtype="datetime64[us]")
    if bool(np.isnat(moments).any()):
        raise PresageError(where, "a day or a moment, without a time zone", found="none", way_out=way_out)
    return moments


def _plain(given: Any, *, where: str, way_out: str) -> datetime:
    try:
        moment = datetime.fromisoformat(given) if isinstance(given, str) else given
    except ValueError:
        raise PresageError(where, "a day or a moment, without a time zone", way_out=way_out) from None
    if isinstance(moment, datetime) and moment == moment and moment.tzinfo is None:  # pandas.NaT is not itself
        return moment
    if isinstance(moment, date) and not isinstance(moment, datetime):
        return datetime.combine(moment, time.min)
    raise PresageError(where, "a day or a moment, without a time zone", way_out=way_out)


def index_of(subject_ids: Any, as_of: Any) -> Index:
    """The people at one moment, or each at a moment of their own.

    >>> len(index_of([7, 9], "2024-12-31"))
    2
    """
    subjects, moments = subjects_of(subject_ids), moments_of(as_of)
    if moments.ndim > 1 or (moments.ndim == 1 and len(moments) != len(subjects)):
        expected = f"one moment, or one for each of the {len(subjects):,} subject ids"
        raise PresageError("as_of", expected, found=f"{moments.size:,} of them")
    return Index.at(subjects, moments)


def subjects_of(given: Any, *, where: str = "subject_ids") -> Ints:
    """(n,) subject ids from one id or any sequence of whole numbers.

    >>> subjects_of(range(3)).tolist()
    [0, 1, 2]
    """
    values = np.atleast_1d(np.asarray(list(given) if isinstance(given, (set, frozenset)) else given))
    if values.dtype == object:
        whole = all(isinstance(each, (int, np.integer)) and not isinstance(each, bool) for each in values.ravel())
        values = values.astype(np.int64) if whole and values.size else values
    if values.size == 0:
        return np.empty(0, dtype=np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise PresageError(where, "whole numbers, one for each row", way_out="take those of record.subject_ids()")
    return values.astype(np.int64)
