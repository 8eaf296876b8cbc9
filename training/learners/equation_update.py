"""Learns what a published equation needs here: a baseline, a slope, and corrections that are drawn to nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints, Positions
from features.equations import EQUATIONS
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import COMPETING, EVENT, Outcome, RiskCurves
from training.disclosure import coarse
from training.fitted import GROUP_NAMES, Design, EquationUpdateFit, Start, Updated
from training.fitted.equation_update import answered, scale_of
from training.learners.baseline import learn_baseline
from training.learners.cox import Cox
from training.learners.folds import MIN_EVENTS, check_learnable
from training.learners.linear import (
    EXPECTED_SPREADS,
    Warm,
    design_of,
    fit_warm,
    fit_with_held_out,
    penalty_settings,
)
from training.learners.logistic import Bernoulli, Logistic
from training.learners.partial_likelihood import PartialLikelihood
from training.learners.ridge import FREE, Likelihood, RidgeFit, fit_ridge

OWN, SLOPE = len(GROUP_NAMES), len(GROUP_NAMES) + 1  # of the penalties, after those of a design
# What corrections of the equation's inputs, and of its slope, are expected to add to the variance of the log hazard.
SURE = 0.5  # standard deviations of chi2 that corrections have to add beyond df
EXPECTED = np.append(EXPECTED_SPREADS, [0.1, 0.3])


@dataclass(frozen=True, slots=True)
class EquationUpdate:
    """A Cox regression (logistic for a binary outcome) with the equation as offset: see decision 0020."""

    equation: str | None = None
    name: str = "equation_update"

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> EquationUpdateFit:
        """The update on the rows that the equation answers, and the clinical model on all of them.

        Raises PresageError without an equation of risks, or where too few people with the event have its inputs.
        """
        equation = updatable(self.equation, frame.names)
        regression = Logistic() if outcome.kind == "binary" else Cox()
        other = regression.fit(frame, outcome, persons=persons, rng=rng, weights=weights)
        has = np.flatnonzero(answered(equation, frame))
        some, their_outcome, their_persons = frame.take(has), outcome.take(has), persons[has]
        _check_answered(some, their_outcome, persons=their_persons, equation=equation)
        rows = _Offset.of(equation, some, their_outcome, persons=their_persons, weights=_of(weights, has))
        updated = fit_with_held_out(_fit, rows, their_outcome, persons=their_persons, rng=rng)
        if other.out_of_fold is None or updated.out_of_fold is None:
            raise ValueError("both models are to give held-out risks")
        risks = other.out_of_fold.probabilities.copy()
        risks[has] = updated.out_of_fold.probabilities
        settings = {**updated.settings, "answered_by_equation": float(len(has) / max(len(frame), 1))}
        curves = RiskCurves(other.out_of_fold.horizons_days, risks)
        return EquationUpdateFit(replace(updated, out_of_fold=None), other, settings, curves)


def updatable(equation: str | None, names: tuple[str, ...]) -> str:
    """The equation that a study updates. Raises PresageError for none, for points, and where a feature is not there."""
    where = "[models] candidates"
    if equation is None or equation not in EQUATIONS:
        raise PresageError(
            where,
            "an equation that 'equation_update' can start from",
            found="none",
            way_out="name it: [features] equation",
        )
    if EQUATIONS[equation].points:
        raise PresageError(where, "an equation of risks for 'equation_update'", found=f"points of {equation}")
    lacking = [name for name in EQUATIONS[equation].inputs if name not in names]
    if lacking:
        raise PresageError(
            where,
            f"the inputs of {equation} for 'equation_update'",
            found=f"no feature '{lacking[0]}' ({len(lacking)} are absent)",
            way_out="add the family or the column, or leave the candidate out",
        )
    return equation


def _check_answered(frame: FeatureFrame, outcome: Outcome, *, persons: Ints, equation: str) -> None:
    events = len(np.unique(persons[outcome.event == EVENT]))
    if events < MIN_EVENTS:
        raise PresageError(
            "[models] candidates",
            f"at least {MIN_EVENTS} people with the event and every input of {equation}",
            found=str(events),
            way_out="leave 'equation_update' out",
        )
    check_learnable(frame, outcome, persons=persons)


def _of(weights: Floats | None, rows: Positions) -> Floats | None:
    return None if weights is None else weights[rows]


@dataclass(frozen=True, slots=True)
class _Offset:
    """n rows that the equation answers; published: (n,) its log hazard or log odds, against their mean."""

    frame: FeatureFrame
    outcome: Outcome
    persons: Ints
    weights: Floats | None
    published: Floats
    start: Start
    scale: float  # of the published predictor

    @classmethod
    def of(
        cls, equation: str, frame: FeatureFrame, outcome: Outcome, *, persons: Ints, weights: Floats | None
    ) -> _Offset:
        hazards = outcome.kind != "binary"
        columns = {name: frame.column(name).astype(np.float64) for name in EQUATIONS[equation].inputs}
        said = scale_of(EQUATIONS[equation].value(columns), hazards=hazards)
        shared = coarse(frame)
        typical = {name: float(np.nanmedian(shared.column(name))) for name in columns}
        typical = {name: _nearest(value, columns[name]) for name, value in typical.items()}
        start = Start(equation, hazards, float(said.mean()), 1.0, typical)
        return cls(frame, outcome, persons, weights, said - said.mean(), start, max(float(said.std()), 1e-9))

    def take(self, rows: Positions) -> _Offset:
        return replace(
            self,
            frame=self.frame.take(rows),
            outcome=self.outcome.take(rows),
            persons=self.persons[rows],
            weights=_of(self.weights, rows),
            published=self.published[rows],
        )


def _nearest(value: float, column: Floats) -> float:
    """The median, or the commoner of 0 and 1 where a median of rows would be between them."""
    return float(round(value)) if set(np.unique(column)) <= {0.0, 1.0} else value


def _fit(rows: _Offset, warm: Warm | None) -> tuple[Updated, list[RidgeFit]]:
    event = rows.outcome.event == EVENT
    design = design_of(rows.frame, warm, relevance=event - float(event.mean()))
    X = design.matrix(rows.frame)
    slope = rows.published[:, None] / rows.scale
    groups = np.append(_groups(design, rows.start), SLOPE)
    if not rows.start.hazards:
        groups = np.append(groups, FREE)
        whole = np.column_stack([X, slope, np.ones(len(X))])
        weight = np.ones(len(X)) if rows.weights is None else rows.weights
        odds = Bernoulli(whole, event.astype(np.float64), weight, rows.published)
        fit = _ridge(odds, groups, warm=None if warm is None else warm.at(0, design))
        return _updated(rows, design, [_drawn_back(odds, fit, groups)], intercept=float(fit.beta[-1])), [fit]
    whole = np.column_stack([X, slope])
    fits = [_cause(rows, whole, EVENT, groups=groups, warm=warm, design=design)]
    if rows.outcome.kind == "competing":
        fits.append(_cause(rows, X, COMPETING, groups=groups[:-1], warm=warm, design=design))
    first = _drawn_back(_of_event(rows, whole), fits[0], groups)
    return _updated(rows, design, [first, *fits[1:]]), fits


def _drawn_back(likelihood: PartialLikelihood | Bernoulli, fit: RidgeFit, groups: Ints) -> RidgeFit:
    """The same fit, its corrections multiplied by 1 - (df + sqrt(2 df) / 2) / chi2, or 0 where this is below it.

    After van Houwelingen and le Cessie (Stat Med 1990;9:1303), with half a standard deviation of chi2 more.

    chi2: twice what they add to the log likelihood of the recalibrated equation. df: what corrections so penalised
    would add to it, on average, where the equation needs none.
    """
    kept = (groups == SLOPE) | (groups == FREE)
    alone = replace(likelihood, X=likelihood.X[:, kept])
    recalibrated = fit_ridge(alone, groups[kept], penalties=fit.penalties)
    gain = likelihood.gradient(fit.beta)[0] - alone.gradient(recalibrated.beta)[0]
    df = _expected_gain(fit, groups) - _expected_gain(recalibrated, groups[kept])
    factor = max(0.0, 1.0 - (df + SURE * np.sqrt(2 * df)) / (2 * gain)) if gain > 0 else 0.0
    both = np.zeros(len(groups))
    both[kept] = recalibrated.beta
    return replace(fit, beta=factor * fit.beta + (1 - factor) * both)


def _expected_gain(fit: RidgeFit, groups: Ints) -> float:
    """Twice the log likelihood that columns without an effect gain on average under the fit's penalties."""
    ridge = np.append(fit.penalties, 0.0)[groups]
    kept = np.linalg.solve(fit.information + np.diag(ridge + 1e-10), fit.information)
    return float(2 * np.trace(kept) - np.trace(kept @ kept))


def _groups(design: Design, start: Start) -> Ints:
    """(P,) penalties: those of the design, but one apart for straight parts and levels of the equation's inputs."""
    known = np.array([name in start.typical for name in design.feature_names], dtype=np.bool_)[design.owners]
    straight = design.groups <= GROUP_NAMES.index("levels")
    return np.where(known & straight, OWN, design.groups)


def _cause(rows: _Offset, X: Floats, cause: int, *, groups: Ints, warm: Warm | None, design: Design) -> RidgeFit:
    happened = rows.outcome.event == cause
    if cause == COMPETING and len(np.unique(rows.persons[happened])) < MIN_EVENTS:
        return RidgeFit(np.zeros(X.shape[1]), np.full(len(EXPECTED), 10.0), 0.0, np.eye(X.shape[1]))
    if cause == EVENT:
        likelihood = _of_event(rows, X)
    else:
        likelihood = PartialLikelihood.of(X, rows.outcome.time_days, event=happened, weights=rows.weights)
    return _ridge(likelihood, groups, warm=None if warm is None else warm.at(cause - EVENT, design))


def _of_event(rows: _Offset, X: Floats) -> PartialLikelihood:
    """Of the event, the equation as its offset."""
    happened = rows.outcome.event == EVENT
    return PartialLikelihood.of(X, rows.outcome.time_days, event=happened, weights=rows.weights, offset=rows.published)


def _ridge(likelihood: Likelihood, groups: Ints, *, warm: RidgeFit | None) -> RidgeFit:
    return fit_warm(likelihood, groups, warm=warm, start=1 / EXPECTED, expected=EXPECTED)


def _updated(rows: _Offset, design: Design, fits: list[RidgeFit], *, intercept: float = 0.0) -> Updated:
    columns = len(design.groups)
    beta = np.stack([fit.beta[:columns] for fit in fits])
    start = replace(rows.start, slope=1.0 + float(fits[0].beta[columns]) / rows.scale)
    settings = penalty_settings(fits[0].penalties[: len(GROUP_NAMES)]) | {
        "penalty_own_inputs": float(fits[0].penalties[OWN]),
        "penalty_slope": float(fits[0].penalties[SLOPE]),
        "slope": start.slope,
        "effective_parameters": fits[0].effective_parameters,
    }
    if not start.hazards:
        return Updated(start, design, beta, None, intercept, settings)
    eta = design.matrix(rows.frame) @ beta.T
    eta[:, 0] += start.slope * rows.published
    baseline = learn_baseline(rows.outcome, eta, weights=rows.weights, persons=rows.persons)
    return Updated(start, design, beta, baseline, 0.0, settings)
