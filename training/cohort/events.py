"""The outcome's column of a flat table: which values are the event, which a competing event, and which neither."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from features.arrays import Bools
from features.errors import PresageError
from training.cohort.outcome import COMPETING, EVENT
from training.disclosure import SMALLEST
from training.study import OutcomeSection

MOST_SHOWN = 8
_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "≥": operator.ge, "≤": operator.le,
}  # fmt: skip
_COMPARED = re.compile(r"(>=|<=|>|<|≥|≤)\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)")
_EXAMPLE = '[outcome] positive = ["..."]'


def events_of(
    column: pd.Series[Any], section: OutcomeSection, *, path: str, must_occur: bool = True
) -> npt.NDArray[np.int8]:
    """(n,) 0, 1 for the event, 2 for a competing one. The column's index numbers its rows; no value is missing.

    Without `positive`, the column holds 0, 1 (and 2, where there is a time). Raises PresageError for a value under
    `positive` or `competing` that the column does not hold (unless not `must_occur`), for a column whose coding has two
    readings, and for an outcome that is a number.
    """
    where = f"{path}, column '{column.name}'"
    if section.positive:
        return _named(column, section, where=where, must_occur=must_occur)
    if section.competing_values:
        raise PresageError(
            "[outcome] positive", "the values that count as the event, as `competing` names others", found="none"
        )
    most = EVENT if section.time is None else COMPETING
    numbers = _numbers(column)
    found = set(np.unique(numbers[~np.isnan(numbers)]).tolist())
    if found == {1.0, 2.0} and not np.isnan(numbers).any():
        raise _two_readings(where, timed=section.time is not None)
    bad = ~np.isin(numbers, np.arange(most + 1))
    if bool(bad.any()):
        allowed = "0 or 1" if most == EVENT else "0, 1 or 2"
        if section.time is None and _is_continuous(numbers):
            raise _continuous(where, allowed, values=len(found))
        row = column.index[int(np.flatnonzero(bad)[0])]
        raise PresageError(
            f"{path}, row {row}, column '{column.name}'",
            allowed,
            found=_held(column),
            way_out=f"name the values that count as the event: {_EXAMPLE}",
        )
    return numbers.astype(np.int8)


def _named(column: pd.Series[Any], section: OutcomeSection, *, where: str, must_occur: bool) -> npt.NDArray[np.int8]:
    event = np.zeros(len(column), dtype=np.int8)
    for key, values, kind in (
        ("competing", section.competing_values, COMPETING),
        ("positive", section.positive, EVENT),
    ):
        for value in values:
            rows = _matching(column, value)
            if must_occur and not bool(rows.any()):
                raise PresageError(
                    f"[outcome] {key}",
                    f"values that column '{column.name}' holds",
                    found=f"'{value}', which no row has ({_held(column)})",
                    way_out=_way_out(value),
                )
            if bool((event[rows] == COMPETING).any()) and kind == EVENT:
                raise PresageError(
                    "[outcome] competing", "values that do not count as the event, too", found=f"'{value}' in both"
                )
            event[rows] = kind
    if section.time is None and section.competing_values:
        raise PresageError(
            "[outcome] competing", "a time to the events, as one comes before the other", found="no [outcome] time"
        )
    if must_occur and not bool((event != EVENT).any()):
        raise PresageError(
            where, "rows without the event", found="none, as every row has a value that [outcome] positive names"
        )
    return event


def _way_out(value: str) -> str:
    return "name a value that it holds, such as '1', or compare numbers, as in positive = \">= 49\""


def _matching(column: pd.Series[Any], value: str) -> Bools:
    """(n,) rows with this value: as a number, else as a text without blanks around it and whatever its capitals; or
    rows whose number compares so, where the value is no text of the column.
    """
    number = _numbers(pd.Series([value]))[0]
    rows = np.zeros(len(column), dtype=np.bool_)
    if not np.isnan(number):
        rows = _numbers(column) == number
    if not bool(rows.any()):
        rows = np.array([_folded(one) == _folded(value) for one in column], dtype=np.bool_)
    compared = _COMPARED.fullmatch(value.strip())
    if compared is not None and not bool(rows.any()):
        with np.errstate(invalid="ignore"):
            rows = np.asarray(_COMPARISONS[compared[1]](_numbers(column), float(compared[2])), dtype=np.bool_)
    return rows


def _numbers(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """(n,) as numbers, true being 1; NaN for text."""
    if pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def _folded(value: object) -> str:
    return str(value).strip().casefold()


def _is_continuous(numbers: npt.NDArray[np.float64]) -> bool:
    known = numbers[~np.isnan(numbers)]
    return len(known) > len(numbers) / 2 and (bool((known % 1 != 0).any()) or len(np.unique(known)) > MOST_SHOWN)


def _continuous(where: str, allowed: str, *, values: int) -> PresageError:
    return PresageError(
        where,
        allowed,
        found=f"numbers of {values:,} different values: a continuous outcome, which is not supported",
        way_out='name the numbers that count as the event, as in [outcome] positive = ">= 49"',
    )


def _two_readings(where: str, *, timed: bool) -> PresageError:
    """1 and 2 without any 0: R's coding of no and yes, or an event and a competing one with nobody censored."""
    other = (
        '1 event, 2 competing event, and nobody censored: positive = "1" and competing = "2"'
        if timed
        else '1 yes, 2 no: positive = "1"'
    )
    first = "1 censored, 2 event, as in R" if timed else "1 no, 2 yes, as in R"
    return PresageError(
        where,
        "a coding with one reading",
        found="1 and 2 without any 0",
        way_out=f'write in [outcome] which it is: {first}: positive = "2"; or {other}',
    )


def _held(column: pd.Series[Any]) -> str:
    """What the column holds: its values, but those of fewer than 11 rows, and of many values the number alone."""
    counts = column.astype(str).str.strip().value_counts()
    common = sorted(counts[counts >= SMALLEST].index)
    rarer = len(counts) - len(common)
    if not common or len(common) > MOST_SHOWN:
        return f"{len(counts):,} different values"
    named = _listed([f"'{value}'" for value in common])
    return named if not rarer else f"{named}, and {rarer:,} rarer {'value' if rarer == 1 else 'values'}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
