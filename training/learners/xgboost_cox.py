"""XGBoost on Cox's partial likelihood, with slope and Breslow baseline fitted on out-of-fold margins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost as xgb

from features.arrays import Floats
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import COMPETING, EVENT, Outcome, RiskCurves, person_folds
from training.disclosure import coarse
from training.learners.baseline import Baseline, learn_baseline
from training.learners.boosting import Boosted, Columns, Grid, boost, default_grid, margin, tree_shap
from training.learners.cox import BASELINE_FILE
from training.learners.folds import INNER_FOLDS, MIN_EVENTS, check_learnable
from training.learners.linear import read_learner, write_learner
from training.learners.partial_likelihood import PartialLikelihood
from training.learners.protocol import Contributions
from training.learners.ridge import fit_ridge

SMALLEST_SLOPE = 0.05  # margins that mean nothing out of fold still order people, without spreading their risks


@dataclass(frozen=True, slots=True)
class XGBoostCoxFit:
    """Boosted log hazard of each cause, its slope, and the baselines."""

    columns: Columns
    boosters: tuple[xgb.Booster, ...]
    slopes: tuple[float, ...]
    centres: tuple[float, ...]
    baseline: Baseline
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "xgboost_cox"

    def linear_predictor(self, frame: FeatureFrame) -> Floats:
        """(n, causes) log hazard ratios."""
        matrix = self.columns.matrix(frame)
        parts = [margin(booster, matrix) for booster in self.boosters]
        return (np.column_stack(parts) - self.centres) * self.slopes

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence by each horizon."""
        return self.baseline.risk(self.linear_predictor(frame), horizons_days)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """TreeSHAP on the event's log hazard."""
        found = tree_shap(self.boosters[0], self.columns, frame=frame, slope=self.slopes[0])
        return replace(found, baseline=found.baseline - self.centres[0] * self.slopes[0], hazard=self.baseline)

    def write(self, folder: Path) -> None:
        """`learner.json`, `baseline.parquet` and one UBJ per cause."""
        stored = {"learner": self.name, "columns": self.columns.to_json(), "slopes": [*self.slopes]}
        write_learner(folder, stored | {"centres": [*self.centres], "settings": dict(self.settings)})
        self.baseline.write(folder / BASELINE_FILE)
        for i, booster in enumerate(self.boosters):
            booster.save_model(folder / f"booster_{i}.ubj")

    @classmethod
    def read(cls, folder: Path) -> XGBoostCoxFit:
        """What `write` wrote."""
        stored = read_learner(folder)
        slopes, centres = tuple(stored["slopes"]), tuple(stored["centres"])
        boosters = tuple(xgb.Booster(model_file=folder / f"booster_{i}.ubj") for i in range(len(slopes)))
        baseline = Baseline.read(folder / BASELINE_FILE)
        return cls(Columns.from_json(stored["columns"]), boosters, slopes, centres, baseline, stored["settings"])


@dataclass(frozen=True, slots=True)
class XGBoostCox:
    """Gradient boosted trees on the partial likelihood; competing events get boosters of their own."""

    monotone: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    depths: tuple[int, ...] = ()
    name: str = "xgboost_cox"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> XGBoostCoxFit:
        """Boosters with rounds and depth by the inner folds; slopes and baselines on their out-of-fold margins."""
        if outcome.kind == "binary":
            raise PresageError("models", "a time-to-event outcome for 'xgboost_cox'", way_out="name 'xgboost' instead")
        check_learnable(frame, outcome, persons=persons)
        seen = coarse(frame)
        columns = Columns.of(seen)
        folds = person_folds(persons, outcome.event, folds=INNER_FOLDS, rng=rng)
        seed = int(rng.integers(2**31))
        own = np.ones(len(frame)) if weights is None else weights
        matrix = columns.matrix(seen)
        competing = np.unique(persons[outcome.event == COMPETING])
        causes = [EVENT, COMPETING] if len(competing) >= MIN_EVENTS else [EVENT]
        boosted = []
        for cause in causes:
            grid = self.grid(columns, len(frame), seed=seed, monotone=cause == EVENT)
            label = signed_ranks(outcome.time_days, outcome.event == cause)
            boosted.append(boost(matrix, columns.types, label=label, weight=own, folds=folds, grid=grid))
        return _assemble(columns, boosted, causes=causes, outcome=outcome, weights=weights, persons=persons)

    def grid(self, columns: Columns, rows: int, *, seed: int, monotone: bool) -> Grid:
        """The depths to try and what XGBoost is told."""
        default = default_grid(columns, rows, seed=seed, monotone=self.monotone if monotone else {})
        goal = {"objective": "survival:cox", "eval_metric": "cox-nloglik"}
        return Grid(self.depths or default.depths, {**default.parameters, **goal, **self.parameters})


def _assemble(
    columns: Columns,
    boosted: list[Boosted],
    *,
    causes: list[int],
    outcome: Outcome,
    weights: Floats | None,
    persons: npt.NDArray[np.int64],
) -> XGBoostCoxFit:
    centres = tuple(float(np.mean(b.margins_out_of_fold)) for b in boosted)
    margins = np.column_stack([b.margins_out_of_fold for b in boosted]) - centres
    slopes = tuple(
        _slope(margins[:, i], outcome.time_days, event=outcome.event == cause, weights=weights)
        for i, cause in enumerate(causes)
    )
    baseline = learn_baseline(outcome, margins * slopes, weights=weights, persons=persons)
    risks = baseline.risk(margins * slopes, outcome.horizons_days)
    settings = {"rounds": boosted[0].rounds, "depth": boosted[0].depth, "slope": slopes[0]}
    return XGBoostCoxFit(columns, tuple(b.booster for b in boosted), slopes, centres, baseline, settings, risks)


def signed_ranks(time: Floats, event: npt.NDArray[np.bool_]) -> Floats:
    """XGBoost's labels: positive for the event, negative for censoring; ranks, since only the order counts."""
    ranks = np.unique(time, return_inverse=True)[1] + 1.0
    return np.where(event, ranks, -ranks)


def _slope(margins: Floats, time: Floats, *, event: npt.NDArray[np.bool_], weights: Floats | None) -> float:
    """Slope of the log hazard on the out-of-fold margin."""
    if float(np.std(margins)) < 1e-9:
        return 1.0
    likelihood = PartialLikelihood.of(margins[:, None], time, event=event, weights=weights)
    fit = fit_ridge(likelihood, np.zeros(1, dtype=np.int64), penalties=np.full(1, 1e-6))
    return max(float(fit.beta[0]), SMALLEST_SLOPE)
