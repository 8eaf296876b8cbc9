"""A scikit-learn classifier as a comparator: the same rows, folds and calibration as Presage's own learners.

A classifier knows no censoring. With horizons there is one classifier for each, of who had the event by it: rows whose
follow-up ended before are left out, and the others weigh as much as people like them who were lost (the inverse of the
chance of being followed given the features, as `targets` gives it to Presage's own boosted trees). A competing event by
the horizon counts as no event, so what is estimated is the cumulative incidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.utils.validation import has_fit_parameter

from features.arrays import Floats, Ints
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import CENSORED, Outcome, RiskCurves, person_folds
from training.fitted import Contributions, rising
from training.learners.design import learn_design
from training.learners.folds import INNER_FOLDS, check_learnable, out_of_fold
from training.learners.targets import Target, targets

NOT_IN_NAMES = str.maketrans(dict.fromkeys('[]<>{}",:', "_"))  # XGBoost and LightGBM refuse these


@dataclass(frozen=True, slots=True)
class Encoding:
    """Features as numbers without gaps, learned on training rows: medians, levels, and which features lack a value.

    fill: (p,) median of each number. levels: names of the levels seen, by category. absent: features that some training
    row lacked, each with a column that says so. codes: those that `learn_design` screens for the linear learners.
    """

    names: tuple[str, ...]
    fill: Mapping[str, float]
    levels: Mapping[str, tuple[str, ...]]
    absent: tuple[str, ...]
    codes: tuple[str, ...]

    @classmethod
    def of(cls, frame: FeatureFrame, relevance: Floats) -> Encoding:
        """relevance: (n,) residuals of the null model, positive for events; they screen the codes."""
        fill, levels = {}, {}
        for name in frame.names:
            known = frame.column(name)[~np.isnan(frame.column(name))]
            if name in frame.levels:
                levels[name] = tuple(frame.levels[name][int(v)] for v in np.unique(known))
            else:
                fill[name] = float(np.median(known)) if len(known) else 0.0
        share = np.isnan(frame.values).mean(axis=0)
        absent = tuple(name for j, name in enumerate(frame.names) if 0 < share[j] < 1)
        codes = () if frame.codes is None else learn_design(frame, relevance=relevance).code_names
        return cls(frame.names, fill, levels, absent, codes)

    def table(self, frame: FeatureFrame) -> pd.DataFrame:
        """(n, columns) by name, float64; a level that training has not seen has no column, so all of them are 0."""
        columns: list[tuple[str, Floats]] = []
        for name in self.names:
            column = frame.column(name).astype(np.float64)
            if name in self.fill:
                columns.append((name, np.where(np.isnan(column), self.fill[name], column)))
                continue
            here = frame.levels[name]
            number = {level: here.index(level) if level in here else -1 for level in self.levels[name]}
            columns += [(f"{name}={level}", (column == number[level]).astype(np.float64)) for level in number]
        for name in self.absent:
            columns.append((f"{name} is missing", np.isnan(frame.column(name)).astype(np.float64)))
        if self.codes and frame.codes is not None:
            where = [frame.code_names.index(code) for code in self.codes]
            counts = np.log1p(frame.codes[:, where].toarray().astype(np.float64))
            columns += [(code, counts[:, j]) for j, code in enumerate(self.codes)]
        names = _apart(name.translate(NOT_IN_NAMES) for name, _ in columns)
        return pd.DataFrame(dict(zip(names, (column for _, column in columns), strict=True)))


def _apart(names: Iterable[str]) -> list[str]:
    """The names, with a number behind one that stood before."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return found


@dataclass(frozen=True, slots=True)
class EstimatorFit:
    """One fitted classifier per horizon; one where the outcome is binary."""

    name: str
    encoding: Encoding
    horizons_days: tuple[float, ...]
    classifiers: tuple[Any, ...]
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Probability of the event by each horizon, never falling. Raises PresageError for another horizon."""
        if len(frame) == 0:
            return rising(self.horizons_days, np.empty((0, len(self.horizons_days))), asked=horizons_days)
        table = self.encoding.table(frame)
        risks = np.column_stack([_probability(classifier, table) for classifier in self.classifiers])
        return rising(self.horizons_days, risks, asked=horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """Comparators explain nothing."""
        raise ValueError("a comparator explains nothing: none is to be asked")

    def write(self, folder: Path) -> None:
        """Refused: it would need pickle."""
        raise ValueError(f"'{self.name}' is a comparator, which is not served: none is to be written")


def _probability(classifier: Any, table: pd.DataFrame) -> Floats:
    """(n,) of the event; a classifier that has seen one class only says so for everybody."""
    answer = np.asarray(classifier.predict_proba(table), dtype=np.float64)
    events = np.flatnonzero(np.asarray(classifier.classes_) == 1)
    return answer[:, events[0]] if len(events) else np.zeros(len(table))


@dataclass(frozen=True, slots=True)
class Estimator:
    """A learner that clones the estimator for every fit, so that nothing is carried from one fold to the next."""

    name: str
    estimator: Any

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> EstimatorFit:
        """Classifiers of all rows, and out-of-fold risks from as many as there are inner folds."""
        check_learnable(frame, outcome, persons=persons)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        goals = targets(frame, outcome, weights=weights)
        seed = int(rng.integers(2**31))
        horizons = tuple(goal.horizon_days for goal in goals)

        def part(learn: Ints) -> EstimatorFit:
            return self._fit(frame.take(learn), [_some(goal, learn) for goal in goals], seed=seed)

        held_out = out_of_fold(frame, folds, horizons_days=horizons, fit=part)
        return replace(self._fit(frame, goals, seed=seed), out_of_fold=held_out)

    def _fit(self, frame: FeatureFrame, goals: Sequence[Target], *, seed: int) -> EstimatorFit:
        last = goals[-1]
        mean = float(np.average(last.label, weights=last.weight))
        encoding = Encoding.of(frame, last.weight * (last.label - mean))
        table = encoding.table(frame)
        classifiers = tuple(self._classifier(table, goal, seed=seed) for goal in goals)
        return EstimatorFit(
            self.name, encoding, tuple(goal.horizon_days for goal in goals), classifiers, self._settings()
        )

    def _classifier(self, table: pd.DataFrame, goal: Target, *, seed: int) -> Any:
        known = np.flatnonzero(goal.weight > 0)
        made = _seeded(clone(self.estimator), seed)
        weight = goal.weight[known]
        given = {} if bool((weight == 1.0).all()) else {self._weight_name(): weight}
        return made.fit(table.iloc[known], goal.label[known].astype(np.int64), **given)

    def _weight_name(self) -> str:
        found = weight_argument(self.estimator)
        if found is None:
            raise PresageError(
                f"candidates['{self.name}']",
                "an estimator whose fit takes sample_weight, as follow-up is censored",
                found=f"{_called(self.estimator)}, whose does not",
                way_out="take another estimator, or a binary outcome",
            )
        return found

    def check(self, outcome: Outcome) -> None:
        """Raise PresageError, before anything is fitted, for an estimator that cannot take part with this outcome."""
        lacking = [name for name in ("fit", "predict_proba", "get_params") if not hasattr(self.estimator, name)]
        if lacking or isinstance(self.estimator, type):
            raise PresageError(
                f"candidates['{self.name}']",
                "a scikit-learn classifier, not fitted, with fit, predict_proba and get_params",
                found=f"{'the class ' if isinstance(self.estimator, type) else ''}{_called(self.estimator)}",
                way_out="give one such as RandomForestClassifier()",
            )
        if outcome.horizons_days:
            early = (outcome.event == CENSORED) & (outcome.time_days < outcome.horizons_days[-1])
            if bool(early.any()):
                self._weight_name()

    def _settings(self) -> dict[str, float | int | str]:
        plain = {
            name: value
            for name, value in self.estimator.get_params(deep=False).items()
            if isinstance(value, (bool, int, float, str))
        }
        return {"estimator": _called(self.estimator), **plain}


def comparators(given: Mapping[str, Any]) -> dict[str, Estimator]:
    """Learners of scikit-learn estimators, by the names they are compared under."""
    return {name: Estimator(name, estimator) for name, estimator in given.items()}


def weight_argument(estimator: Any) -> str | None:
    """What `fit` calls the weights of rows; None where it takes none."""
    if has_fit_parameter(estimator, "sample_weight"):
        return "sample_weight"
    if isinstance(estimator, (GridSearchCV, RandomizedSearchCV)):
        return weight_argument(estimator.estimator)
    steps = getattr(estimator, "steps", None)
    if not steps:
        return None
    name, last = steps[-1]
    inner = weight_argument(last)
    return None if inner is None else f"{name}__{inner}"


def _called(estimator: Any) -> str:
    return estimator.__name__ if isinstance(estimator, type) else type(estimator).__name__


def _seeded(estimator: Any, seed: int) -> Any:
    """The same seed, the same numbers: chance that the estimator leaves open is drawn from the training's."""
    open_ends = [
        name
        for name, value in estimator.get_params(deep=True).items()
        if value is None and name.rsplit("__", 1)[-1] == "random_state"
    ]
    return estimator.set_params(**dict.fromkeys(open_ends, seed))


def _some(goal: Target, rows: Ints) -> Target:
    return Target(goal.horizon_days, goal.label[rows], goal.weight[rows])
