"""Extremely randomised trees (scikit-survival, scikit-learn): a comparator, as it cannot be written without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesClassifier
from sksurv.ensemble import ExtraSurvivalTrees
from sksurv.util import Surv

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import CENSORED, COMPETING, EVENT, Outcome, RiskCurves, person_folds
from training.fitted import Contributions, cumulative_incidence
from training.learners.folds import INNER_FOLDS, MIN_EVENTS, check_learnable, out_of_fold

GRID = 60
TREES = 200
LARGEST_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class ExtraTreesFit:
    """One forest per cause, on a grid of event times; one classifier where the outcome is binary."""

    names: tuple[str, ...]
    fill: Floats
    absent: npt.NDArray[np.bool_]
    grid_days: Floats
    forests: tuple[Any, ...]
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "extra_trees"

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence by each horizon."""
        X = _matrix(frame.only(self.names).values, self.fill, absent=self.absent)
        if len(X) == 0:
            return RiskCurves(horizons_days, np.empty((0, len(horizons_days))))
        if len(self.grid_days) == 0:
            return RiskCurves(horizons_days, self.forests[0].predict_proba(X)[:, 1:])
        hazards = [self._jumps(forest, X) for forest in self.forests]
        other = hazards[1] if len(hazards) > 1 else np.zeros_like(hazards[0])
        incidence = cumulative_incidence(hazards[0], other)
        at = np.searchsorted(self.grid_days, horizons_days, side="right")
        return RiskCurves(horizons_days, np.concatenate([np.zeros((len(X), 1)), incidence], axis=1)[:, at])

    def _jumps(self, forest: Any, X: Floats) -> Floats:
        """(n, m) jumps of the cumulative hazard on the grid, which the forest counts 1, 2, ...

        The forest's are shares of those at risk, and many events share a grid time: -log(1 - share) is their hazard.
        """
        cumulative = forest.predict_cumulative_hazard_function(X, return_array=True)
        known = np.concatenate([np.zeros((len(X), 1)), cumulative], axis=1)
        at = np.searchsorted(forest.unique_times_, np.arange(1, len(self.grid_days) + 1), side="right")
        shares = np.diff(known[:, at], axis=1, prepend=0.0)
        return -np.log1p(-np.minimum(shares, LARGEST_SHARE))

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """Comparators explain nothing."""
        raise ValueError("a comparator explains nothing: none is to be asked")

    def write(self, folder: Path) -> None:
        """Refused: its trees would need pickle."""
        raise ValueError("'extra_trees' is a comparator, which is not served: none is to be written")


@dataclass(frozen=True, slots=True)
class ExtraTrees:
    """Random splits, averaged; event times on a grid of at most 60 points.

    max_features: share of the features tried at each split; None: all of them, the square root for a binary outcome.
    """

    trees: int = TREES
    min_leaf: int = 10
    max_features: float | None = None
    name: str = "extra_trees"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> ExtraTreesFit:
        """Forests on all rows, and out-of-fold risks from as many forests as there are inner folds."""
        check_learnable(frame, outcome, persons=persons)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        seed = int(rng.integers(2**31))
        horizons = outcome.horizons_days or (float("nan"),)

        def part(learn: npt.NDArray[np.intp]) -> ExtraTreesFit:
            some = None if weights is None else weights[learn]
            return self.forests(frame.take(learn), outcome.take(learn), weights=some, seed=seed)

        held_out = out_of_fold(frame, folds, horizons_days=horizons, fit=part)
        return replace(self.forests(frame, outcome, weights=weights, seed=seed), out_of_fold=held_out)

    def usual_features(self, frame: FeatureFrame, outcome: Outcome) -> float:
        """The share of features tried where nothing else is said."""
        if self.max_features is not None:
            return self.max_features
        return max(0.05, float(np.sqrt(len(frame.names)) / len(frame.names))) if outcome.kind == "binary" else 1.0

    def forests(self, frame: FeatureFrame, outcome: Outcome, *, weights: Floats | None, seed: int) -> ExtraTreesFit:
        """The forest of every cause on all of these rows, without risks held out."""
        values = frame.values
        some = ~np.isnan(values).all(axis=0)
        fill = np.zeros(values.shape[1])
        fill[some] = np.nanmedian(values[:, some], axis=0)
        absent: npt.NDArray[np.bool_] = np.asarray(np.isnan(values).any(axis=0) & some)
        X = _matrix(values, fill, absent=absent)
        shared = {"n_estimators": self.trees, "min_samples_leaf": self.min_leaf, "random_state": seed, "n_jobs": -1}
        settings: dict[str, float | int | str] = {"trees": self.trees, "min_leaf": self.min_leaf}
        if outcome.kind == "binary":
            forest = ExtraTreesClassifier(max_features=self.max_features or "sqrt", **shared).fit(
                X, outcome.event == EVENT, sample_weight=weights
            )
            return ExtraTreesFit(frame.names, fill, absent, np.empty(0), (forest,), settings)
        grid = _grid(outcome)
        index = np.searchsorted(grid, outcome.time_days, side="left") + 1.0
        if len(np.unique(index)) == 1:  # one time alone is too few for scikit-survival; events come first at a tie
            index = index + (outcome.event == CENSORED)
        competing = int((outcome.event == COMPETING).sum()) >= MIN_EVENTS
        forests = tuple(
            ExtraSurvivalTrees(max_features=self.max_features, **shared).fit(
                X, Surv.from_arrays(outcome.event == cause, index), sample_weight=weights
            )
            for cause in ((EVENT, COMPETING) if competing else (EVENT,))
        )
        return ExtraTreesFit(frame.names, fill, absent, grid, forests, settings)


def _grid(outcome: Outcome) -> Floats:
    """At most 60 event times, and the horizons' last event times; an event counts at the next grid time."""
    times = np.unique(outcome.time_days[outcome.event != 0])
    if len(times) <= GRID:
        return times
    return np.unique(times[np.linspace(0, len(times) - 1, GRID).round().astype(np.int64)])


def _matrix(values: npt.NDArray[np.float32], fill: Floats, *, absent: npt.NDArray[np.bool_]) -> Floats:
    missing = np.isnan(values)
    return np.concatenate([np.where(missing, fill, values), missing[:, absent]], axis=1).astype(np.float64)
