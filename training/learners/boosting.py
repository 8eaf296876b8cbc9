"""What the XGBoost learners share: the rows as a matrix, and rounds by inner folds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from features.arrays import Floats
from features.frame import FeatureFrame
from training.cohort import Outcome, person_folds
from training.disclosure import coarse
from training.fitted import Columns, Matrix, margin
from training.learners.folds import INNER_FOLDS, check_learnable

PATIENCE = 40
FEW_CELLS = 500_000  # below, a second thread waits more than it works
ROUNDS_AT_ONCE = 5
MAX_ROUNDS = 1500
MANY_ROWS = 10_000
# Every row is a third more than a fold's fit had: with its rounds the fit would stop short, and recalibration, learned
# on the folds' margins, would leave risks too moderate (docs/decisions/0007-rounds-for-every-row.md).
GROWTH = math.sqrt(INNER_FOLDS / (INNER_FOLDS - 1))


@dataclass(frozen=True, slots=True)
class Boosted:
    """A booster, and the margin of each training row from the inner fold that did not see that person."""

    booster: xgb.Booster
    margins_out_of_fold: Floats
    rounds: int
    depth: int
    loss: float


@dataclass(frozen=True, slots=True)
class Grid:
    """Which depths to try, and everything else XGBoost is told."""

    depths: tuple[int, ...]
    parameters: Mapping[str, Any]

    def told(self, goal: Mapping[str, str], parameters: Mapping[str, Any], *, depths: tuple[int, ...]) -> Grid:
        """The same for a goal, with a learner's own parameters and depths over what is here."""
        return Grid(depths or self.depths, {**self.parameters, **goal, **parameters})


def default_grid(columns: Columns, rows: int, *, seed: int, monotone: Mapping[str, int]) -> Grid:
    """The settings shared by all boosted learners. With many rows one depth and larger steps: tuning gains little.

    A category splits off one level at a time: sets of levels fit the noise of rare ones (30-day readmission, 700
    diagnosis codes: AUC .686 against .675).
    """
    many = rows >= MANY_ROWS
    parameters: dict[str, Any] = {
        "eta": 0.1 if many else 0.05,
        "subsample": 0.7,
        "colsample_bynode": 0.5,
        "min_child_weight": 3.0,
        "max_cat_to_onehot": 100_000,
        "seed": seed,
        **monotone_constraints(columns, monotone),
    }
    return Grid((4,) if many else (2, 3, 4), parameters)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What all boosters of one fit share: `coarse` rows as a matrix, the inner folds (n,), and a seed."""

    columns: Columns
    matrix: Matrix
    folds: npt.NDArray[np.int64]
    seed: int

    @classmethod
    def of(
        cls,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
    ) -> Prepared:
        """Raises PresageError where too few people have the event (`check_learnable`)."""
        check_learnable(frame, outcome, persons=persons)
        seen = coarse(frame)
        columns = Columns.of(seen)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        return cls(columns, columns.matrix(seen), folds, int(rng.integers(2**31)))

    def boost(self, label: Floats, weight: Floats, *, grid: Grid) -> Boosted:
        """See `boost`."""
        return boost(self.matrix, self.columns.types, label=label, weight=weight, folds=self.folds, grid=grid)


def boost(
    matrix: Matrix,
    types: list[str] | None,
    *,
    label: Floats,
    weight: Floats,
    folds: npt.NDArray[np.int64],
    grid: Grid,
) -> Boosted:
    """Rounds and depth with the least held-out loss over the folds, then one fit on every row for `GROWTH` as many.

    Rows of weight zero are not learned from but get an out-of-fold margin.
    """
    with _threads(matrix):
        trials = [
            cross_fit(
                matrix, types, label=label, weight=weight, folds=folds, parameters={**grid.parameters, "max_depth": d}
            )
            for d in grid.depths
        ]
        best = min(range(len(trials)), key=lambda i: trials[i].loss)
        trial, depth = trials[best], grid.depths[best]
        learned = _quantile_matrix(matrix, types, label=label, weight=weight, rows=np.flatnonzero(weight > 0))
        booster = xgb.train({**grid.parameters, "max_depth": depth}, learned, round(GROWTH * trial.rounds))
    return Boosted(booster, trial.margins, trial.rounds, depth, trial.loss)


@dataclass(frozen=True, slots=True)
class CrossFit:
    """Margins of each row from the booster that did not see it, after the best number of rounds."""

    margins: Floats
    rounds: int
    loss: float


def cross_fit(
    matrix: Matrix,
    types: list[str] | None,
    *,
    label: Floats,
    weight: Floats,
    folds: npt.NDArray[np.int64],
    parameters: Mapping[str, Any],
) -> CrossFit:
    """All folds grow together, a few rounds at a time, until their mean loss has not fallen for `PATIENCE` rounds."""
    n_folds = int(folds.max()) + 1
    learn = [
        _quantile_matrix(matrix, types, label=label, weight=weight, rows=np.flatnonzero((folds != k) & (weight > 0)))
        for k in range(n_folds)
    ]
    held = [np.flatnonzero((folds == k) & (weight > 0)) for k in range(n_folds)]
    hold = [_plain_matrix(matrix, types, label=label, weight=weight, rows=held[k]) for k in range(n_folds)]
    boosters = [xgb.Booster(dict(parameters), [learn[k], hold[k]]) for k in range(n_folds)]
    share = np.array([weight[rows].sum() for rows in held])
    best, best_rounds, rounds = np.inf, ROUNDS_AT_ONCE, 0
    while rounds < MAX_ROUNDS and rounds - best_rounds < PATIENCE:
        for k in range(n_folds):
            for i in range(ROUNDS_AT_ONCE):
                boosters[k].update(learn[k], rounds + i)
        rounds += ROUNDS_AT_ONCE
        losses = [float(boosters[k].eval(hold[k]).rsplit(":", 1)[1]) for k in range(n_folds)]
        loss = float(np.average(losses, weights=share))
        if loss < best - 1e-7:
            best, best_rounds = loss, rounds
    margins = np.empty(len(label))
    for k in range(n_folds):
        rows = np.flatnonzero(folds == k)
        margins[rows] = margin(boosters[k], matrix[rows], rounds=best_rounds)
    return CrossFit(margins, best_rounds, best)


def fold_loss(
    matrix: Matrix,
    types: list[str] | None,
    *,
    label: Floats,
    weight: Floats,
    held: npt.NDArray[np.bool_],
    parameters: Mapping[str, Any],
) -> float:
    """Least held-out loss over the rounds of one booster that did not see the rows `held` (n,)."""
    with _threads(matrix):
        learn = _quantile_matrix(matrix, types, label=label, weight=weight, rows=np.flatnonzero(~held & (weight > 0)))
        hold = _plain_matrix(matrix, types, label=label, weight=weight, rows=np.flatnonzero(held & (weight > 0)))
        booster = xgb.train(
            dict(parameters),
            learn,
            MAX_ROUNDS,
            evals=[(hold, "held")],
            early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )
    return float(booster.best_score)


def monotone_constraints(columns: Columns, monotone: Mapping[str, int]) -> dict[str, str]:
    """XGBoost's tuple of -1, 0, 1 by column; empty where nothing is constrained."""
    signs = [monotone.get(name, 0) for name in columns.names] + [0] * len(columns.code_names)
    if not any(signs):
        return {}
    return {"monotone_constraints": "(" + ",".join(str(sign) for sign in signs) + ")"}


@contextmanager
def _threads(matrix: Matrix) -> Iterator[None]:
    """One thread for few cells: of everything, as handing labels and weights over waits for threads, too."""
    few = matrix.shape[0] * matrix.shape[1] < FEW_CELLS
    with xgb.config_context(**({"nthread": 1} if few else {})):
        yield


def _plain_matrix(
    matrix: Matrix, types: list[str] | None, *, label: Floats, weight: Floats, rows: npt.NDArray[np.intp]
) -> xgb.DMatrix:
    """For held-out loss: predicting from a quantile matrix of sparse rows takes many times as long."""
    return xgb.DMatrix(
        matrix[rows],
        label=label[rows],
        weight=weight[rows],
        feature_types=types,
        enable_categorical=True,
    )


def _quantile_matrix(
    matrix: Matrix,
    types: list[str] | None,
    *,
    label: Floats,
    weight: Floats,
    rows: npt.NDArray[np.intp],
) -> xgb.QuantileDMatrix:
    whole = len(rows) == matrix.shape[0]
    return xgb.QuantileDMatrix(
        matrix if whole else matrix[rows],
        label=label[rows],
        weight=weight[rows],
        feature_types=types,
        enable_categorical=True,
    )
