"""Columns of a flat table as features: numbers, dates as days, and texts as the levels of a category."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Floats
from features.errors import PresageError

FEW = 12  # so many different numbers may be the codes of a category
DATE_FORMATS = ("ISO8601", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%m/%d/%y", "%Y/%m/%d")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}([T ].*)?|\d{1,2}[-./]\d{1,2}[-./](\d{4}|\d{2})")
_BOUND = re.compile(r"[<>≤≥~≈]\s*=?\s*[-+]?[\d.,]*\d.*")
_COMMA = re.compile(r"[-+]?\d+(,\d+)+(\.\d+)?")
_CODE = re.compile(r"[A-Za-z]+[-._ ]?\d.*")  # such as V57 among 250.1: of a vocabulary, no number gone wrong


@dataclass(frozen=True, slots=True)
class Read:
    """A column as a feature. values: (n,) numbers, or positions in `levels`; NaN where unknown. is_date: days since
    1970.
    """

    values: Floats
    levels: tuple[str, ...] | None = None
    is_date: bool = False


def read_column(column: pd.Series[Any], *, path: str, is_category: bool = False) -> Read:
    """Numbers, dates, or a category of texts. The column's index numbers its rows.

    is_category: numbers are codes. Raises PresageError for text among numbers, and a category of too many values.
    """
    if is_category:
        return _levels(_whole(column), path=path)
    if pd.api.types.is_datetime64_any_dtype(column):
        return _days(column)
    if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return Read(column.to_numpy(dtype=np.float64, na_value=np.nan))
    text = column.astype(object).where(column.notna(), None)
    distinct = {str(value).strip() for value in text if value is not None}
    if distinct and all(_DATE.fullmatch(value) for value in distinct):
        moments = _moments(text)
        if moments is not None:
            return _days(moments)
    _check_numbers(text, distinct, path=path)
    return _levels(text, path=path)


def _whole(column: pd.Series[Any]) -> pd.Series[Any]:
    """Codes without a decimal point, where an unknown one made floats of them."""
    if pd.api.types.is_float_dtype(column) and bool((column.dropna() % 1 == 0).all()):
        column = column.astype("Int64")
    return column.astype(object).where(column.notna(), None)


def _days(moments: pd.Series[Any]) -> Read:
    plain = pd.to_datetime(moments, utc=True).dt.tz_localize(None)
    days = (plain - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return Read(np.asarray(days.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64), is_date=True)


def _moments(text: pd.Series[Any]) -> pd.Series[Any] | None:
    """The dates of texts that look like dates, by the first way of writing them that fits all; None where none does."""
    for written in DATE_FORMATS:
        moments = pd.to_datetime(text, errors="coerce", format=written, utc=True)
        if bool((moments.notna() == text.notna()).all()):
            return moments
    return None


def _check_numbers(text: pd.Series[Any], distinct: set[str], *, path: str) -> None:
    """Raise PresageError where most values are numbers, and the others are numbers gone wrong or no numbers at all.

    Codes of few different numbers, or of a vocabulary with letters before its numbers, are a category.
    """
    number = {value for value in distinct if _is_number(value)}
    if number == distinct or not (number or any(_COMMA.fullmatch(value) for value in distinct)):
        return
    faults = {value: _fault(value) for value in distinct - number}
    mended = {value for value, fault in faults.items() if fault is not None}
    wrong = mended
    if len(number) > FEW and not all(_CODE.fullmatch(value) for value in faults):
        wrong = set(faults)
    rows = np.array([None if value is None else str(value).strip() for value in text], dtype=object)
    known = np.array([value is not None for value in rows], dtype=np.bool_)
    numbers = np.isin(rows[known].astype(str), [*number, *(value for value in mended if _COMMA.fullmatch(value))])
    if not wrong or numbers.mean() < 0.5:
        return
    row = text.index[next(i for i, value in enumerate(rows) if value in wrong)]
    first = rows[list(text.index).index(row)]
    raise PresageError(
        f"{path}, row {row}, column '{text.name}'",
        "a number, as in most rows of the column",
        found=faults[first] or "text",
        way_out="write a number or leave it empty; where these are codes, name it under [features] categories",
    )


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _fault(value: str) -> str | None:
    """What is wrong with a number, in words that do not tell it; None for what is no number."""
    if _BOUND.fullmatch(value):
        return "a number with '<' or '>' before it"
    return "a number with a comma in it" if _COMMA.fullmatch(value) else None


def _levels(text: pd.Series[Any], *, path: str) -> Read:
    found = tuple(sorted({str(value) for value in text if value is not None}))
    most = max(50, len(text) // 2)
    if len(found) > most:
        raise PresageError(
            f"{path}, column '{text.name}'",
            f"numbers, or a category of at most {most} values",
            found=f"{len(found)} different values",
            way_out="name it under [features] exclude, or as [source] id",
        )
    number = {level: float(i) for i, level in enumerate(found)}
    return Read(np.array([np.nan if v is None else number[str(v)] for v in text], dtype=np.float64), found)
