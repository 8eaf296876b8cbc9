"""Features of a flat table that look as if they knew the outcome: a table has no times that could prove otherwise.

None of these is proof of a leak: a person has to say why such a column is known at the index. Looked for is what tells
the outcome alone, separates it, equals or orders the follow-up time, is a number or a date of its row, or is called
like another outcome.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints, Singles
from training.cohort.censoring import known_by, marginal
from training.cohort.columns import Read
from training.cohort.outcome import EVENT, Outcome
from training.result import IMPLAUSIBLE_AUC

FEWEST_EVENTS = 10  # and as many without
FOLDS, PRIOR_ROWS = 5, 10  # of a category's event rates
SEPARATED_BY_CHANCE = 1e-9  # a level without (or with nothing but) events is likelier than that to be chance
ONLY_EVENTS, ONLY_EVENTS_SHARE = 20, 0.1  # rows that all have the event, and their share of the events
NO_EVENTS_AUC = 0.7  # of a feature of which some values have no event at all
ONLY_EVENTS_AUC = 0.8  # of a number beyond a value of which all have the event
FEW_VALUES = 12
ORDERED = 0.9  # rank correlation with the follow-up time
SAME_TIME_SHARE, ABOVE_CHANCE = 0.2, 5.0  # rows with the follow-up time itself, and over that after a shuffle
ROUNDED = 0.51
UNITS_DAYS = (1.0, 7.0, 30.0, 30.4375, 365.0, 365.25)
CALLED_AUC, CALLED_ORDER = 0.6, 0.3  # how much a column that is called like an outcome must have to do with it
FEWEST_ROWS = 20  # that numbers of rows are told from
_OUTCOME_WORDS = {
    "alive", "censor", "censored", "censoring", "dead", "death", "deceased", "dfs", "dfi", "died", "dss", "efs",
    "event", "fu", "fup", "followup", "mortality", "os", "outcome", "pfi", "pfs", "progression", "recurrence",
    "relapse",    "relapsed", "rfs", "surv", "survival", "survived", "ttp", "vital",
}  # fmt: skip
_BEFORE_WORDS = {"baseline", "before", "family", "father", "history", "hx", "mother", "past", "previous", "prior"}
_ID_WORDS = {"id", "ids", "nr", "no", "number", "mrn", "identifier", "key", "uid", "guid", "record", "case", "barcode"}
_DATE_WORDS = {"date", "datetime", "timestamp", "dob", "dod"}


@dataclass(frozen=True, slots=True)
class Told:
    """What a feature is held against. label: (n,) event by the horizon; weight: (n,) zero where it is not known.

    order: (n,) ranks of the follow-up times, and time_days; None for a binary outcome.
    """

    label: Bools
    weight: Floats
    persons: Ints
    time_days: Floats | None
    order: Floats | None

    @classmethod
    def of(cls, outcome: Outcome, persons: Ints) -> Told:
        """At the last horizon, those weighted who could be followed to it."""
        if not outcome.horizons_days:
            return cls(outcome.event == EVENT, np.ones(len(outcome)), persons, None, None)
        label, weight = known_by(outcome, outcome.horizons_days[-1], uncensored=marginal(outcome))
        return cls(label, weight, persons, outcome.time_days, _ranks(outcome.time_days))


def looks_like(name: str, column: Read, told: Told) -> tuple[str, ...]:
    """What about a column looks like the outcome, in words that hold nobody's value; nothing where nothing does.

    >>> died = np.arange(60) % 2
    >>> told = Told.of(Outcome(np.full(60, np.nan), died.astype(np.int8), ()), np.arange(60))
    >>> looks_like("autopsy", Read(died.astype(np.float64)), told)
    ('tells the outcome alone (AUC 1.000)',)
    >>> looks_like("age", Read(40.0 + np.arange(60) % 7), told)
    ()
    """
    values, levels = np.where(np.isfinite(column.values), column.values, np.nan), column.levels
    missing = np.isnan(values)
    known = ~missing
    words = _name_of_its_row(name, values[known], column)
    numbers = values if levels is None else event_rates(values, told.label, persons=told.persons, k=len(levels))
    auc = _auc(numbers, told, rows=known)
    ordered = 0.0 if levels is not None else _order(values, told, rows=known)
    alone = _tells(auc) or _separates(values, told, rows=known, auc=auc, is_category=levels is not None)
    if alone:
        words.append(alone)
    elif missing.any() and known.any():
        words += _whether_known(missing, told)
    words += [] if levels is not None else _follows_time(values, told, rows=known, ordered=ordered)
    related = (auc is not None and auc >= CALLED_AUC) or ordered >= CALLED_ORDER
    called = _words_of(name)
    if not words and related and called & _OUTCOME_WORDS and not called & _BEFORE_WORDS:
        words.append("is called like another outcome, and goes with this one")
    return tuple(words)


def _whether_known(missing: Bools, told: Told) -> list[str]:
    lacking, everybody = missing.astype(np.float64), np.ones(len(missing), dtype=np.bool_)
    auc = _auc(lacking, told, rows=everybody)
    words = _tells(auc) or _separates(lacking, told, rows=everybody, auc=auc, is_category=True)
    return [f"by whether it is known, {words}"] if words else []


def _tells(auc: float | None) -> str:
    return f"tells the outcome alone (AUC {auc:.3f})" if auc is not None and auc > IMPLAUSIBLE_AUC else ""


def _auc(values: Floats | Singles, told: Told, *, rows: Bools) -> float | None:
    """In the better direction, each row weighted; None where fewer than 10 have the event, or are without it."""
    rows = rows & (told.weight > 0)
    label, weight = told.label[rows], told.weight[rows]
    if min(int(label.sum()), int((~label).sum())) < FEWEST_EVENTS:
        return None
    place = np.unique(values[rows], return_inverse=True)[1]
    cases = np.bincount(place, weights=weight * label)
    others = np.bincount(place, weights=weight * ~label)
    below = np.cumsum(others) - others / 2
    auc = float(cases @ below / (cases.sum() * others.sum()))
    return max(auc, 1 - auc)


def _separates(values: Floats, told: Told, *, rows: Bools, auc: float | None, is_category: bool) -> str:
    """Whether values stand for rows that all have the event, or that all have not, as no chance would make them.

    The coefficient of such a feature is infinite. Of a number of many values, only those beyond which all have it.
    """
    rows = rows & (told.weight > 0)
    label, (found, place) = told.label[rows], np.unique(values[rows], return_inverse=True)
    if auc is None or len(found) < 2:
        return ""
    cases, size = np.bincount(place, weights=label), np.bincount(place)
    share = label.mean()
    is_few = is_category or len(found) <= FEW_VALUES
    alone = [int(size[(cases == size) & (size >= ONLY_EVENTS)].sum())] if is_few else _ends(cases == size, size)
    most = max(alone, default=0)
    enough = most >= max(ONLY_EVENTS, ONLY_EVENTS_SHARE * label.sum()) and (is_few or auc >= ONLY_EVENTS_AUC)
    if enough and share**most < SEPARATED_BY_CHANCE:
        return "separates the outcome: some of its values stand for rows with the event alone"
    free = int(size[cases == 0].sum()) if len(found) <= FEW_VALUES else 0
    if free and auc >= NO_EVENTS_AUC and (1 - share) ** free < SEPARATED_BY_CHANCE:
        return "separates the outcome: some of its values stand for rows without the event alone"
    return ""


def _ends(alone: Bools, size: Ints) -> list[int]:
    """How many rows lie in the unbroken run of such values at either end."""
    return [int(rows[np.cumprod(run).astype(bool)].sum()) for run, rows in ((alone, size), (alone[::-1], size[::-1]))]


def _order(values: Floats, told: Told, *, rows: Bools) -> float:
    """Rank correlation with the follow-up time, whatever its sign; 0 where there is none."""
    if told.time_days is None or int(rows.sum()) < FEWEST_ROWS:
        return 0.0
    mine, theirs = _ranks(values[rows]), told.order
    times = _ranks(told.time_days[rows]) if theirs is None or not rows.all() else theirs
    if mine.std() == 0 or times.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(mine, times)[0, 1]))


def _ranks(values: Floats) -> Floats:
    """(n,) from 1; of equal values the mean."""
    _, place, size = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(size) - (size - 1) / 2)[place]
    return ranks


def _follows_time(values: Floats, told: Told, *, rows: Bools, ordered: float) -> list[str]:
    if told.time_days is None or int(rows.sum()) < FEWEST_ROWS:
        return []
    if ordered >= ORDERED:
        return [f"is ordered as the follow-up time (rank correlation {ordered:.2f})"]
    happened = rows & told.label
    if int(happened.sum()) >= FEWEST_ROWS and (within := _order(values, told, rows=happened)) >= ORDERED:
        return [f"is ordered as the time of those with the event (rank correlation {within:.2f})"]
    share = _same_time(values[rows], told.time_days[rows])
    return [f"is the follow-up time itself in {100 * share:.0f} % of rows"] if share else []


def _same_time(values: Floats, time_days: Floats) -> float:
    """The share of rows whose value is the follow-up time, in whatever unit; 0 where it may be chance.

    Whole numbers may have been rounded. By chance: were each row's time another's.
    """
    if len(np.unique(values)) <= FEW_VALUES:
        return 0.0
    whole, whole_times = bool((values % 1 == 0).all()), bool((time_days % 1 == 0).all())
    best = 0.0
    for factor in {unit**sign for unit in UNITS_DAYS for sign in (1, -1)}:
        times = time_days * factor
        slack = ROUNDED * max(float(whole), factor if whole_times and factor > 1 else 0.0) + 0.001 * np.abs(values)
        same = float((np.abs(values - times) <= slack).mean())
        if same < max(SAME_TIME_SHARE, best):
            continue
        times.sort()
        within = np.searchsorted(times, values + slack, "right") - np.searchsorted(times, values - slack, "left")
        if same > ABOVE_CHANCE * float(within.mean()) / len(times):
            best = same
    return best


def _name_of_its_row(name: str, known: Floats, column: Read) -> list[str]:
    """Whether it is a date, or a number or a text that stands for one row."""
    levels, words = column.levels, _words_of(name)
    if column.is_date or (levels is None and len(known) and (_is_day(known) or bool(_DATE_WORDS & words))):
        return ["holds dates"]
    distinct = len(np.unique(known))
    if len(known) < FEWEST_ROWS or distinct < 0.99 * len(known):
        return []
    if levels is not None:
        return ["has another value in each row, as an id has"]
    if bool((known % 1 != 0).any()):
        return []
    steps = np.diff(known)
    digits = np.unique(np.floor(np.log10(np.maximum(np.abs(known), 1))))
    dense = np.ptp(known) < 1.5 * len(known)
    numbered = dense or bool((steps > 0).all() or (steps < 0).all()) or (len(digits) == 1 and digits[0] >= 4)
    return ["has another whole number in each row, as an id has"] if numbered or _ID_WORDS & words else []


def _is_day(known: Floats) -> bool:
    """Whether all are days written as 20240131."""
    if bool((known % 1 != 0).any()):
        return False
    year, month, day = known // 10_000, known // 100 % 100, known % 100
    plausible = (year >= 1880) & (year <= 2100) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    return bool(plausible.all())


def _words_of(name: str) -> set[str]:
    """The words of a name, written_so, so.or or soOrSo.

    >>> sorted(_words_of("Overall.survivalTime_RFS"))
    ['overall', 'rfs', 'survival', 'time']
    """
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def event_rates(levels: Singles | Floats, event: Bools, *, persons: Ints, k: int) -> Singles:
    """(n,) share with the event among other people's rows of the same level, drawn towards the share among all.

    Other people's, and drawn towards the mean, so that levels of one person each do not look perfect.
    """
    fold = np.unique(persons, return_inverse=True)[1] % FOLDS
    level = np.where(np.isnan(levels), k, levels).astype(np.intp)  # the missing are a level of their own
    rates = np.empty(len(levels), dtype=np.float32)
    for number in range(FOLDS):
        others = fold != number
        rows = np.bincount(level[others], minlength=k + 1)
        events = np.bincount(level[others], weights=event[others], minlength=k + 1)
        mean = events.sum() / max(1, rows.sum())
        rates[~others] = ((events + PRIOR_ROWS * mean) / (rows + PRIOR_ROWS))[level[~others]]
    return rates
