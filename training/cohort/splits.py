"""Who is learned from and who is looked at: every person on one side of every split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from features.arrays import Bools, Ints, Strings
from features.errors import PresageError
from training.card import count
from training.cohort.folds import person_folds
from training.cohort.outcome import EVENT
from training.cohort.rows import Cohort
from training.cohort.sides import sides
from training.study import Validation

FEWEST_EVENTS = 10


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of one training and one test set; `name` says which fold, site or time it is."""

    name: str
    train: Ints
    test: Ints


@dataclass(frozen=True, slots=True)
class Scheme:
    """The splits, and what they are in words; `temporal` where the model that is served is the one evaluated.

    notes: what is odd about folds that somebody else made.
    """

    words: str
    splits: tuple[Split, ...]
    temporal: bool = False
    notes: tuple[str, ...] = ()


def make_splits(cohort: Cohort, validation: Validation, *, folder: Path, rng: np.random.Generator) -> Scheme:
    """The study's scheme; 5 folds where it names none.

    Raises PresageError where a side is empty or holds too few events, or a person would be on both sides.
    """
    if validation.test_from is not None:
        scheme = _temporal(cohort, validation, rng=rng)
    elif validation.test_column is not None:
        scheme = _test_column(cohort, validation.test_column)
    elif validation.site_column is not None:
        scheme = _by_label(
            cohort, cohort.columns[validation.site_column], what="site", words="internal-external by site"
        )
    elif validation.fold_column is not None:
        scheme = _by_label(cohort, cohort.columns[validation.fold_column], what="fold", words="folds of a column")
    elif validation.fold_file is not None:
        scheme = _fold_file(cohort, folder / validation.fold_file)
    else:
        scheme = _cross_validation(cohort, validation.folds or 5, repeats=validation.repeats, rng=rng)
    _check(cohort, scheme)
    return scheme


def _cross_validation(cohort: Cohort, folds: int, *, repeats: int, rng: np.random.Generator) -> Scheme:
    people = len(np.unique(cohort.persons))
    if folds > people:
        raise PresageError("[validation] folds", f"at most {people} folds for {people} people", found=str(folds))
    splits: list[Split] = []
    for repeat in range(repeats):
        fold = person_folds(cohort.persons, cohort.outcome.event, folds=folds, rng=rng)
        prefix = f"{repeat + 1}." if repeats > 1 else ""
        splits += [_split(f"{prefix}{k + 1}", fold == k) for k in range(folds)]
    repeated = f", repeated {repeats} times" if repeats > 1 else ""
    return Scheme(f"{folds}-fold cross-validation by person{repeated}", tuple(splits))


def _split(name: str, test: Bools) -> Split:
    return Split(name, np.flatnonzero(~test), np.flatnonzero(test))


def _temporal(cohort: Cohort, validation: Validation, *, rng: np.random.Generator) -> Scheme:
    """Training landmarks whose longest window closes by the first test landmark, of people drawn to that side.

    Everybody is drawn, whether they reach the test landmarks or not: to learn from all who do not would be to learn
    from those who died or had the event, and to promise too much risk.
    """
    if bool(np.isnat(cohort.as_of).any()):
        raise PresageError(
            "[validation] test_from",
            "an index date in every row",
            found="rows without one",
            way_out="name its column in [source] index_date",
        )
    early, late = sides(cohort.as_of, cohort.outcome.horizons_days, validation=validation)
    people = np.unique(cohort.persons)
    tested = np.isin(cohort.persons, people[rng.random(len(people)) < validation.test_share])
    train, test = early & ~tested, late & tested
    words = f"temporal: learned before, tested from {validation.test_from}, on other people"
    return Scheme(words, (Split("temporal", np.flatnonzero(train), np.flatnonzero(test)),), temporal=True)


def _test_column(cohort: Cohort, column: str) -> Scheme:
    test = marked(cohort.columns[column])
    return Scheme(f"held-out rows of column {column}", (_split("test", test),), temporal=True)


def marked(values: Strings) -> Bools:
    """(n,) rows that a test column says are test rows."""
    yes = {"1", "1.0", "true", "test", "yes"}
    return np.array([value is not None and value.lower() in yes for value in values], dtype=np.bool_)


def _by_label(cohort: Cohort, values: Strings, *, what: str, words: str, where: str | None = None) -> Scheme:
    known = sorted({value for value in values if value is not None}, key=_natural)
    if len(known) < 2:
        raise PresageError(where or f"[validation] {what}_column", f"at least two {what}s", found=str(len(known)))
    splits = tuple(_split(f"{what} {value}" if what == "site" else value, values == value) for value in known)
    without = int(sum(value is None for value in values))
    notes = (f"{_of(without, len(values))} in no {what}: learned from in every split, and never tested",)
    return Scheme(f"{words}, {len(known)} of them", splits, notes=notes if without else ())


def _of(rows: int, everybody: int) -> str:
    """How many rows, as it may be told, with their verb."""
    return f"{count(rows)} of {everybody:,} rows {'is' if rows == 1 else 'are'}"


def _natural(label: str) -> tuple[int, float, str]:
    return (0, float(label), "") if label.replace(".", "", 1).isdigit() else (1, 0.0, label)


def _fold_file(cohort: Cohort, path: Path) -> Scheme:
    """`set,iteration,row_id` (row numbers from 1, or ids), or `id,fold`: each id once, so that its fold is one."""
    if not path.is_file():
        raise PresageError(str(path), "a file of folds", found="no such file")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    if {"set", "iteration", "row_id"} <= set(table.columns):
        return _given_splits(cohort, table, path=path)
    if {"id", "fold"} <= set(table.columns):
        _once(table, ["id"], path=path, what="id")
        fold = {name: value for name, value in zip(table["id"], table["fold"], strict=True) if value}
        _rows_of(cohort, table["id"], path=path, column="id")
        values = np.array([fold.get(label) for label in cohort.ids], dtype=object)
        scheme = _by_label(cohort, values, what="fold", words="folds of a file", where=str(path))
        return replace(scheme, notes=(*scheme.notes, *_unknown(cohort, table["id"])))
    raise PresageError(f"{path}, line 1", "the columns set,iteration,row_id or id,fold")


def _given_splits(cohort: Cohort, table: pd.DataFrame, *, path: Path) -> Scheme:
    """Each iteration's two sides. All rows of an id go where the id goes."""
    rows = _rows_of(cohort, table["row_id"], path=path, column="row_id")
    sides = set(table["set"])
    if not {"train", "test"} <= sides <= {"train", "test"}:
        raise PresageError(f"{path}, column set", "train and test", found=f"{len(sides)} different values")
    _once(table, ["iteration", "row_id"], path=path, what="row_id of an iteration")
    splits = []
    for iteration in sorted(table["iteration"].unique(), key=_natural):
        chosen = (table["iteration"] == iteration).to_numpy()
        test = chosen & (table["set"] == "test").to_numpy()
        splits.append(Split(iteration, _together(rows, chosen & ~test), _together(rows, test)))
    used = np.unique(np.concatenate([side for split in splits for side in (split.train, split.test)]))
    unused = len(cohort) - len(used)
    notes = (f"{_of(unused, len(cohort))} in no split of {path.name}: neither learned from there nor tested",)
    return Scheme(
        f"{len(splits)} given splits",
        tuple(splits),
        notes=(*(notes if unused else ()), *_unknown(cohort, table["row_id"])),
    )


def _once(table: pd.DataFrame, columns: list[str], *, path: Path, what: str) -> None:
    """Raise PresageError where a person would have two folds, or be twice in one."""
    again = table.duplicated(columns).to_numpy()
    if again.any():
        row = int(np.flatnonzero(again)[0]) + 2
        raise PresageError(
            f"{path}, row {row}, column '{columns[-1]}'",
            f"each {what} once",
            found="one of an earlier row",
            way_out="leave one of the two rows",
        )


def _unknown(cohort: Cohort, named: pd.Series[str]) -> tuple[str, ...]:
    """A note of ids in a file of folds that no row of the cohort has."""
    strange = set(named) - set(cohort.ids)
    if not strange:
        return ()
    return (f"{count(len(strange))} ids of the fold file are of no row that is studied: passed over",)


def _together(rows: Sequence[Ints], chosen: Bools) -> Ints:
    some = [mine for mine, wanted in zip(rows, chosen, strict=True) if wanted]
    return np.unique(np.concatenate(some)) if some else np.empty(0, dtype=np.int64)


def _rows_of(cohort: Cohort, named: pd.Series[str], *, path: Path, column: str) -> list[Ints]:
    """The cohort rows of each id, none for those that the attrition left out."""
    where: dict[str, list[int]] = {}
    for row, label in enumerate(cohort.ids):
        where.setdefault(label, []).append(row)
    if where.keys().isdisjoint(named):
        expected = "row numbers from 1, or ids of the table" if column == "row_id" else "ids of the table"
        raise PresageError(f"{path}, column {column}", expected, found="none that the table has")
    return [np.array(where.get(label, []), dtype=np.int64) for label in named]


def _check(cohort: Cohort, scheme: Scheme) -> None:
    for split in scheme.splits:
        where = f"[validation], split '{split.name}'"
        if len(np.intersect1d(cohort.persons[split.train], cohort.persons[split.test])):
            raise PresageError(
                where,
                "each person on one side",
                found="somebody on both sides",
                way_out="keep all rows of an id in one fold",
            )
        for side, rows in (("training", split.train), ("test", split.test)):
            if len(rows) == 0:
                raise PresageError(where, f"at least one row in the {side} set", found="none")
        events = int((cohort.outcome.event[split.train] == EVENT).sum())
        if events < FEWEST_EVENTS:
            raise PresageError(
                where,
                f"at least {FEWEST_EVENTS} events to learn from in the training set",
                found=str(events),
                way_out="widen the population, the code list or the horizon, or use fewer folds",
            )
