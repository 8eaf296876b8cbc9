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
ONLY_EVENTS_SHARE_OF_NUMBERS = 0.5  # as the tail of a strong but honest number may have the event alone
NO_EVENTS_AUC = 0.6  # of a feature of which some values have no event at all
FEW_VALUES = 12
ORDERED = 0.9  # rank correlation with the follow-up time
SAME_TIME_SHARE, ABOVE_CHANCE = 0.2, 5.0  # rows with the follow-up time itself, and over that after a shuffle
ROUNDED = 0.51
BOUNDED, BOUNDED_BY_CHANCE = 0.995, 0.8  # rows on one side of the follow-up time, and were each row's time another's
UNITS_DAYS = (1.0, 7.0, 30.0, 30.4375, 365.0, 365.25)
_FACTORS = tuple(dict.fromkeys(unit**sign for unit in UNITS_DAYS for sign in (1, -1)))
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
class View:
    """Who had the event: (n,) label, and weight, zero where it is not known."""

    label: Bools
    weight: Floats


@dataclass(frozen=True, slots=True)
class Told:
    """What a feature is held against. order: (n,) ranks of the follow-up times; both are None for a binary outcome.

    views: the event by the last horizon, those weighted who could be followed to it; then the event whenever it came,
    whose rows are weighted alike although some were followed for less long.
    """

    views: tuple[View, ...]
    persons: Ints
    time_days: Floats | None = None
    order: Floats | None = None

    @classmethod
    def of(cls, outcome: Outcome, persons: Ints) -> Told:
        """Of these rows, at the last horizon."""
        ever = View(outcome.event == EVENT, np.ones(len(outcome)))
        if not outcome.horizons_days:
            return cls((ever,), persons)
        by_horizon = View(*known_by(outcome, outcome.horizons_days[-1], uncensored=marginal(outcome)))
        return cls((by_horizon, ever), persons, outcome.time_days, _ranks(outcome.time_days))


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
    known = ~np.isnan(values)
    words = _name_of_its_row(name, values[known], column)
    seen = [_seen(values, view, persons=told.persons, rows=known, levels=levels) for view in told.views]
    alone = [found for _, found in seen if found] or _whether_known(~known, told)
    ordered = 0.0 if levels is not None else _order(values, told, rows=known)
    words += [*alone[:1], *([] if levels is not None else _follows_time(values, told, rows=known, ordered=ordered))]
    related = max(auc for auc, _ in seen) >= CALLED_AUC or ordered >= CALLED_ORDER
    called = _words_of(name)
    if not words and related and called & _OUTCOME_WORDS and not called & _BEFORE_WORDS:
        words.append("is called like another outcome, and goes with this one")
    return tuple(words)


def _seen(
    values: Floats, view: View, *, persons: Ints, rows: Bools, levels: tuple[str, ...] | None
) -> tuple[float, str]:
    """The AUC alone (.5 where it is not defined), and what about it is implausible."""
    numbers = values if levels is None else event_rates(values, view.label, persons=persons, k=len(levels))
    auc = _auc(numbers, view, rows=rows)
    if auc is None:
        return 0.5, ""
    return auc, _tells(auc) or _separates(values, view, rows=rows, auc=auc, is_category=levels is not None)


def _whether_known(missing: Bools, told: Told) -> list[str]:
    if missing.all() or not missing.any():
        return []
    everybody = np.ones(len(missing), dtype=np.bool_)
    lacking = missing.astype(np.float64)
    seen = [_seen(lacking, view, persons=told.persons, rows=everybody, levels=None)[1] for view in told.views]
    return [f"by whether it is known, {words}" for words in seen if words]


def _tells(auc: float) -> str:
    return f"tells the outcome alone (AUC {auc:.3f})" if auc > IMPLAUSIBLE_AUC else ""


def _auc(values: Floats | Singles, view: View, *, rows: Bools) -> float | None:
    """In the better direction, each row weighted; None where fewer than 10 have the event, or are without it."""
    rows = rows & (view.weight > 0)
    label, weight = view.label[rows], view.weight[rows]
    if min(int(label.sum()), int((~label).sum())) < FEWEST_EVENTS:
        return None
    place = np.unique(values[rows], return_inverse=True)[1]
    cases = np.bincount(place, weights=weight * label)
    others = np.bincount(place, weights=weight * ~label)
    below = np.cumsum(others) - others / 2
    auc = float(cases @ below / (cases.sum() * others.sum()))
    return max(auc, 1 - auc)


def _separates(values: Floats, view: View, *, rows: Bools, auc: float, is_category: bool) -> str:
    """Whether values stand for rows that all have the event, or that all have not, as no chance would make them.

    The coefficient of such a feature is infinite. Of a number of many values, only those beyond which all have it.
    """
    rows = rows & (view.weight > 0)
    label, (found, place) = view.label[rows], np.unique(values[rows], return_inverse=True)
    if len(found) < 2:
        return ""
    cases, size = np.bincount(place, weights=label), np.bincount(place)
    share = label.mean()
    is_few = is_category or len(found) <= FEW_VALUES
    alone = [int(size[(cases == size) & (size >= ONLY_EVENTS)].sum())] if is_few else _ends(cases == size, size)
    most = max(alone, default=0)
    least = max(ONLY_EVENTS, (ONLY_EVENTS_SHARE if is_few else ONLY_EVENTS_SHARE_OF_NUMBERS) * label.sum())
    if most >= least and share**most < SEPARATED_BY_CHANCE:
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
    happened = rows & told.views[-1].label
    if int(happened.sum()) >= FEWEST_ROWS and (within := _order(values, told, rows=happened)) >= ORDERED:
        return [f"is ordered as the time of those with the event (rank correlation {within:.2f})"]
    share = _same_time(values[rows], told.time_days[rows])
    if share:
        return [f"is the follow-up time itself in {100 * share:.0f} % of rows"]
    side = _bounded(values[rows], told.time_days[rows])
    return [f"is {side} the follow-up time in every row, as another time of the same people is"] if side else []


def _bounded(values: Floats, time_days: Floats) -> str:
    """Whether values never pass the follow-up time, or never stay below it, where independent ones would."""
    if len(np.unique(values)) <= FEW_VALUES:
        return ""
    for factor in _FACTORS:
        times = time_days * factor
        slack = ROUNDED * max(_step(values), _step(time_days) * factor) + 0.001 * np.abs(times)
        order = np.sort(times)
        below = float(np.searchsorted(order, values, "left").mean()) / len(order)  # of other rows' times
        for side, within, share in (
            ("at most", values <= times + slack, 1 - below),
            ("at least", values >= times - slack, below),
        ):
            if within.mean() >= BOUNDED and share <= BOUNDED_BY_CHANCE:
                return side
    return ""


def _same_time(values: Floats, time_days: Floats) -> float:
    """The share of rows whose value is the follow-up time, in whatever unit; 0 where it may be chance.

    Both may have been rounded. By chance: were each row's time another's.
    """
    if len(np.unique(values)) <= FEW_VALUES:
        return 0.0
    step, time_step = _step(values), _step(time_days)
    best = 0.0
    for factor in _FACTORS:
        times = time_days * factor
        slack = ROUNDED * max(step, time_step * factor) + 0.001 * np.abs(values)
        same = float((np.abs(values - times) <= slack).mean())
        if same < max(SAME_TIME_SHARE, best):
            continue
        times.sort()
        within = np.searchsorted(times, values + slack, "right") - np.searchsorted(times, values - slack, "left")
        if same > ABOVE_CHANCE * float(within.mean()) / len(times):
            best = same
    return best


def _step(values: Floats) -> float:
    """What the values were rounded to: 1 of whole numbers, .1 or .01 of others, 0 where they were not."""
    return next((step for step in (1.0, 0.1, 0.01) if bool(np.allclose(values, np.round(values / step) * step))), 0.0)


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
