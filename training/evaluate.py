"""The numbers of models that were made elsewhere, by the same estimators as Presage's own: risks and outcomes in."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Floats, Ints
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import COMPETING, Cohort, Outcome, RiskCurves, Uncensored
from training.evaluation import Ask, Estimate, Folds, difference, evaluate
from training.fitting import followed as followed_of
from training.heldout import stream
from training.learners import conditional

TIME, EVENT = "time_days", "event"


@dataclass(frozen=True, slots=True)
class Judged:
    """What every model is measured on, and how: `risks` (n, h) by name of the model."""

    outcome: Outcome
    risks: Mapping[str, Floats]
    persons: Ints
    uncensored: Uncensored | None
    ask: Ask
    n_boot: int
    seed: int
    folds: Folds | None = None

    def rows(self, reference: str | None) -> Iterator[dict[str, Any]]:
        """A row for each model or difference, horizon and metric."""
        horizons = self.outcome.horizons_days or (math.nan,)
        for h, days in enumerate(horizons):
            for name, risk in self.risks.items():
                found = evaluate(self.outcome, risk[:, h], **self._shared(days))
                yield from _rows(name, days, metrics=found)
            for name, risk in self.risks.items():
                if reference is not None and name != reference:
                    other = self.risks[reference][:, h]
                    found = difference(self.outcome, risk[:, h], reference=other, **self._shared(days))
                    yield from _rows(f"{name} minus {reference}", days, metrics=found)

    def _shared(self, days: float) -> dict[str, Any]:
        """Each measure starts the same stream of chance, so that two models see the same replicates."""
        return {
            "horizon_days": days,
            "persons": self.persons,
            "rng": stream(self.seed, "bootstrap"),
            "n_boot": self.n_boot,
            "uncensored": self.uncensored,
            "ask": self.ask,
            "folds": self.folds,
        }


def evaluate_risks(
    outcome: Any,
    risks: Any,
    *,
    horizons_days: Sequence[float] = (),
    reference: str | None = None,
    persons: Any = None,
    covariates: pd.DataFrame | None = None,
    folds: Any = None,
    cutoffs: Sequence[float] = (),
    capacities: Sequence[float] = (),
    n_boot: int = 200,
    seed: int = 7,
) -> pd.DataFrame:
    """Metrics of each model at each horizon with 95 % intervals over people, a row for each.

    outcome: a data frame, mapping or cohort with `event` (n,) and, unless it is binary, `time_days` (n,); or the pair
    (time_days, event); or the events alone. risks: (n,) or (n, h) probabilities by each horizon, or several by name.
    reference: the model that the others' differences are taken from; of two models the first is, where none is named.
    persons: (n,) whose rows they are, resampled together. covariates: what the chance of being followed depends on;
    None: follow-up ends for everybody alike (Kaplan-Meier). Of a cohort both are known: its persons, and its clinical
    features, as in a training. folds: (n,) the fold whose model made each risk, where it was learned from the others:
    pairs of people are then compared within a fold; None: one model made all risks. cutoffs, capacities: risks and
    shares of people at which flagging is measured.

    Raises PresageError for lengths that differ, for what is no probability, and where pandas' rows stand in another
    order than the outcome's.
    """
    days = tuple(float(each) for each in horizons_days)
    happened = outcome_of(outcome, horizons_days=days)
    _check_order(outcome, {"risks": risks, "persons": persons, "covariates": covariates, "folds": folds})
    named = risks_of(risks, happened)
    if reference is None and len(named) == 2:
        reference = next(iter(named))
    if reference is not None and reference not in named:
        raise PresageError("reference", f"a model among {', '.join(named)}", found=f"'{reference}'")
    people = np.arange(len(happened)) if persons is None else _codes(persons, len(happened))
    followed = _followed(covariates, happened, persons=people)
    if isinstance(outcome, Cohort):
        people = outcome.persons if persons is None else people
        followed = _of_cohort(outcome, happened) if covariates is None else followed
    judged = Judged(
        happened,
        named,
        people,
        followed,
        Ask(tuple(cutoffs), tuple(capacities)),
        n_boot,
        seed,
        None if folds is None else _folds(folds, persons=people),
    )
    return pd.DataFrame(list(judged.rows(reference)))


def outcome_of(given: Any, *, horizons_days: tuple[float, ...] = ()) -> Outcome:
    """What happened, from a data frame or mapping (`event`, `time_days`), a cohort, (time_days, event), or events."""
    known = given.outcome if isinstance(given, Cohort) else given
    if isinstance(known, Outcome):
        if horizons_days in ((), known.horizons_days):
            return known
        checked = _outcome(known.time_days, known.event, horizons_days=horizons_days)
        return replace(checked, followable_days=known.followable_days)
    if isinstance(given, (pd.DataFrame, Mapping)):
        if EVENT not in given:
            columns = f"a column '{EVENT}', and '{TIME}' unless the outcome is binary"
            raise PresageError("outcome", columns, found=f"none called '{EVENT}'")
        return _outcome(given.get(TIME), given[EVENT], horizons_days=horizons_days)
    if not isinstance(given, tuple):
        return _outcome(None, given, horizons_days=horizons_days)
    if len(given) != 2:
        raise PresageError("outcome", "a pair of times in days and events", found=f"{len(given)} parts")
    return _outcome(given[0], given[1], horizons_days=horizons_days)


def _outcome(time: Any, event: Any, *, horizons_days: tuple[float, ...]) -> Outcome:
    if (time is None) != (not horizons_days):
        what = "horizons_days for an outcome with times" if horizons_days == () else "times for horizons_days"
        raise PresageError("outcome", what, way_out="give events alone, without horizons, for a binary outcome")
    if any(later <= earlier for earlier, later in itertools.pairwise(horizons_days)):
        told = ", ".join(f"{days:g}" for days in horizons_days)
        raise PresageError("horizons_days", "days that increase", found=told)
    known = _numbers(event, where=f"outcome, '{EVENT}'")
    allowed = (0, 1) if time is None else (0, 1, COMPETING)
    if not bool(np.isin(known, allowed).all()):
        words = "0 or 1" if time is None else "0 (censored), 1 (event) or 2 (competing event)"
        raise PresageError(f"outcome, '{EVENT}'", f"{words} in every row")
    if time is None:
        return Outcome(np.full(len(known), np.nan), known.astype(np.int8), ())
    days = _numbers(time, where=f"outcome, '{TIME}'")
    if len(days) != len(known):
        found = f"{len(days):,} times and {len(known):,} events"
        raise PresageError("outcome", "as many times as events", found=found)
    if not bool((np.isfinite(days) & (days >= 0)).all()):
        raise PresageError(f"outcome, '{TIME}'", "zero or more days in every row")
    return Outcome(days, known.astype(np.int8), horizons_days)


def _check_order(outcome: Any, others: Mapping[str, Any]) -> None:
    """Rows are taken in the order they stand in; where pandas labels them on both sides, the labels must agree."""
    parts = outcome if isinstance(outcome, tuple) else (outcome,)
    labels = next((index for part in parts if (index := _labels(part)) is not None), None)
    for where, given in others.items():
        for part in given.values() if isinstance(given, Mapping) else (given,):
            own = _labels(part)
            if labels is not None and own is not None and len(own) == len(labels) and not own.equals(labels):
                raise PresageError(
                    where, "rows with the outcome's index", found="another", way_out="take .loc[outcome.index] of them"
                )


def _labels(given: Any) -> pd.Index[Any] | None:
    """The index of a table or column; None where rows are only numbered."""
    if not isinstance(given, (pd.DataFrame, pd.Series)) or isinstance(given.index, pd.RangeIndex):
        return None
    return given.index


def risks_of(given: Any, outcome: Outcome) -> dict[str, Floats]:
    """(n, h) probabilities by name of the model; "model" where there is one without a name."""
    if isinstance(given, pd.DataFrame):
        given = {str(name): given[name] for name in given.columns}
    if not isinstance(given, Mapping):
        given = {"model": given.probabilities if isinstance(given, RiskCurves) else given}
    horizons = max(1, len(outcome.horizons_days))
    found: dict[str, Floats] = {}
    for name, risk in given.items():
        where = f"risks, '{name}'"
        values = np.asarray(risk, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values
        if values.shape != (len(outcome), horizons):
            expected = f"{len(outcome):,} rows" + (f" of {horizons} horizons" if horizons > 1 else "")
            raise PresageError(where, f"{expected}, as the outcome has", found=" x ".join(map(str, values.shape)))
        if not bool(((values >= 0) & (values <= 1)).all()):
            wrong = int((~((values >= 0) & (values <= 1))).any(axis=1).sum())
            raise PresageError(where, "a probability between 0 and 1 in every row", found=f"{wrong:,} rows without")
        found[str(name)] = values
    if not found:
        raise PresageError("risks", "the risks of one model at least")
    return found


def _numbers(given: Any, *, where: str) -> Floats:
    try:
        values = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise PresageError(where, "numbers") from None
    if values.ndim != 1:
        raise PresageError(where, "one number for each row")
    return values


def _codes(persons: Any, rows: int) -> Ints:
    codes = pd.factorize(np.asarray(persons))[0].astype(np.int64)
    if len(codes) != rows:
        raise PresageError("persons", f"one for each of the {rows:,} rows", found=f"{len(codes):,}")
    return codes


def _folds(given: Any, *, persons: Ints) -> Folds:
    """Each fold's model learned from all people whom it did not test."""
    names = np.asarray(given, dtype=object)
    if names.shape != persons.shape:
        raise PresageError("folds", f"one for each of the {len(persons):,} rows", found=f"{len(names):,}")
    if bool(pd.isna(names).any()):
        raise PresageError("folds", "a fold in every row", found=f"{int(pd.isna(names).sum()):,} rows without")
    labels = np.array([str(name) for name in names], dtype=object)
    everybody = len(np.unique(persons))
    learned_from = {name: everybody - len(np.unique(persons[labels == name])) for name in np.unique(labels).tolist()}
    return Folds.of(labels, persons, learned_from=learned_from)


def _followed(covariates: pd.DataFrame | None, outcome: Outcome, *, persons: Ints) -> Uncensored | None:
    """Chances of still being followed given the covariates, learned on these rows."""
    if covariates is None or not outcome.horizons_days:
        return None
    if len(covariates) != len(outcome):
        raise PresageError("covariates", f"a row for each of the {len(outcome):,} rows", found=f"{len(covariates):,}")
    levels: dict[str, tuple[str, ...]] = {}
    values = np.empty(covariates.shape, dtype=np.float32)
    for j, name in enumerate(map(str, covariates.columns)):
        column = covariates.iloc[:, j]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values[:, j] = column.to_numpy(dtype=np.float32, na_value=np.nan)
            continue
        codes, known = pd.factorize(column.astype("string"), sort=True)
        levels[name] = tuple(str(level) for level in known)
        values[:, j] = np.where(codes < 0, np.nan, codes)
    as_of = np.full(len(outcome), np.datetime64("NaT", "us"))
    return conditional(FeatureFrame(persons, as_of, tuple(map(str, covariates.columns)), values, levels), outcome)


def _of_cohort(cohort: Cohort, outcome: Outcome) -> Uncensored | None:
    """As a training weighs the rows it tests."""
    return followed_of(replace(cohort, outcome=outcome), np.arange(len(cohort)))


def _rows(model: str, days: float, *, metrics: Mapping[str, Estimate]) -> Iterator[dict[str, Any]]:
    for metric, found in metrics.items():
        yield {
            "model": model,
            "horizon_days": days,
            "metric": metric,
            "value": found.value,
            "low": found.low,
            "high": found.high,
        }
