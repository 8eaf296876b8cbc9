"""Numbers and days in the words of the worklist."""

from __future__ import annotations

from datetime import date

YEAR_DAYS = 365.25
_ROUND_YEARS_DAYS = 20  # 3,650 days are ten years to everybody but an astronomer


def percent(probability: float) -> str:
    """A probability as a whole percentage, with one decimal below ten percent."""
    value = 100 * probability
    if value < 0.1:
        return "< 0.1 %"
    return f"{value:.1f} %" if value < 9.95 else f"{value:.0f} %"


def out_of_100(probability: float) -> int:
    """A probability as a number of people among a hundred like this one."""
    return min(100, max(0, round(100 * probability)))


def horizon(days: float | None) -> str:
    """A horizon in the unit in which people say it.

    >>> horizon(3650), horizon(365)
    ('in 10 years', 'in 1 year')
    """
    if days is None:
        return "in the study's window"
    years = round(days / YEAR_DAYS)
    if years >= 1 and abs(days - years * YEAR_DAYS) <= _ROUND_YEARS_DAYS:
        return "in 1 year" if years == 1 else f"in {years} years"
    return f"in {days:,.0f} days"


def day(when: date) -> str:
    """A day as 4 Jan 2025."""
    return f"{when.day} {when:%b %Y}"


def due(on: date, *, today: date) -> str:
    """How far a deadline is away, in words."""
    days = (on - today).days
    if days < 0:
        return f"{-days} {_days(-days)} overdue"
    return "due today" if days == 0 else f"due in {days} {_days(days)}"


def _days(count: int) -> str:
    return "day" if count == 1 else "days"


def capitalised(words: str) -> str:
    """The first letter in upper case, the rest as it stands."""
    return words[:1].upper() + words[1:]
