"""A published equation, recalibrated and extended, for whom it answers; the clinical model for everybody else.

Statistics: docs/decisions/0020-from-the-published-equation.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import expit

from features.arrays import Bools, Floats, Positions, Strings
from features.equations import EQUATIONS, Equation
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import RiskCurves
from training.fitted.baseline import BASELINE_FILE, Baseline
from training.fitted.design import Design
from training.fitted.horizons import rising
from training.fitted.linear import linear_terms
from training.fitted.protocol import Contributions, Fitted
from training.fitted.stored import read_learner, write_learner

UPDATED, OTHER = "updated", "clinical"  # the folders of the two models
SMALLEST_RISK = 1e-6


@dataclass(frozen=True, slots=True)
class Start:
    """What an equation says of a person before anything is learned, and how it is recalibrated.

    hazards: on the log of the cumulative hazard by the equation's own horizon, else on the log odds. centre: mean among
    those learned from. slope: of the equation; 1 is as published. typical: the median of each input.
    """

    equation: str
    hazards: bool
    centre: float
    slope: float
    typical: Mapping[str, float]

    def predictor(self, frame: FeatureFrame) -> Floats:
        """(n,) recalibrated log hazard (log odds) against the average of those learned from; NaN where it refuses."""
        published = scale_of(_of(self.equation).value(_inputs(self.equation, frame)), hazards=self.hazards)
        return self._recalibrated(published)

    def terms(self, frame: FeatureFrame) -> tuple[Floats, float]:
        """(n, inputs) each input's part of the predictor, and the predictor of the typical person: see `shared_out`."""
        equation = _of(self.equation)

        def said(columns: Mapping[str, Floats]) -> Floats:
            return scale_of(equation.value(columns), hazards=self.hazards)

        parts = shared_out(said, _inputs(self.equation, frame), typical=self.typical)
        first = said({name: np.array([value]) for name, value in self.typical.items()})
        return self.slope * parts, float(self._recalibrated(first)[0])

    def _recalibrated(self, published: Floats) -> Floats:
        return self.slope * (published - self.centre)


@dataclass(frozen=True, slots=True)
class Updated:
    """The equation as an offset, and what was learned beside it on a design.

    beta: (causes, P); with hazards a baseline for each cause, else an intercept of the log odds.
    """

    start: Start
    design: Design
    beta: Floats
    baseline: Baseline | None
    intercept: float = 0.0
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None

    def linear_predictor(self, frame: FeatureFrame) -> Floats:
        """(n, causes) for rows that the equation answers; it is the offset of the event's alone."""
        predictor = np.asarray(self.design.matrix(frame) @ self.beta.T, dtype=np.float64)
        predictor[:, 0] += self.start.predictor(frame)
        return predictor

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence by each horizon of rows that the equation answers."""
        predictor = self.linear_predictor(frame)
        if self.baseline is not None:
            return self.baseline.risk(predictor, horizons_days)
        return rising((float("nan"),), expit(predictor + self.intercept), asked=horizons_days)


@dataclass(frozen=True, slots=True)
class EquationUpdateFit:
    """An updated equation, and the clinical model that stands in where the equation lacks an input."""

    updated: Updated
    other: Fitted
    settings: Mapping[str, float | int | str] = field(default_factory=dict)
    out_of_fold: RiskCurves | None = None
    name: str = "equation_update"

    def stood_in_for(self, frame: FeatureFrame) -> Strings:
        """(n,) why the clinical model answers instead of the updated equation; empty where the equation answers."""
        equation = _of(self.updated.start.equation)
        reasons = equation.risk(_inputs(equation.name, frame)).reason
        return np.array([f"not the updated {equation.name}: {why}" if why else "" for why in reasons], dtype=object)

    def risk_at(self, frame: FeatureFrame, horizons_days: tuple[float, ...]) -> RiskCurves:
        """Cumulative incidence by each horizon, of each person by the model that answers."""
        rows, others = _rows(answered(self.updated.start.equation, frame))
        risks = np.empty((len(frame), len(horizons_days)))
        for chosen, model in ((rows, self.updated), (others, self.other)):
            if len(chosen):
                risks[chosen] = model.risk_at(frame.take(chosen), horizons_days).probabilities
        return RiskCurves(horizons_days, risks)

    def contributions(self, frame: FeatureFrame) -> Contributions:
        """The equation's terms shared out among its inputs, and the exact terms of what was learned beside it.

        The baseline and the hazard are those of the updated equation: terms of a person by the clinical model are
        relative to that model's own average person.
        """
        rows, others = _rows(answered(self.updated.start.equation, frame))
        updated, start = self.updated, self.updated.start
        learned = linear_terms(updated.design, updated.beta[0], frame=frame.take(rows))
        published, first = start.terms(frame.take(rows))
        by_other = self.other.contributions(frame.take(others))
        names = tuple(dict.fromkeys((*learned.names, *start.typical, *by_other.names)))
        where = {name: j for j, name in enumerate(names)}
        values = np.zeros((len(frame), len(names)))
        for at, part, columns in (
            (rows, learned.values, learned.names),
            (rows, published, tuple(start.typical)),
            (others, by_other.values, by_other.names),
        ):
            values[at[:, None], np.array([where[name] for name in columns], dtype=np.int64)] += part
        return Contributions(names, values, first + updated.intercept, updated.baseline)

    def write(self, folder: Path) -> None:
        """`learner.json`, and a folder for each of the two models."""
        start, updated = self.updated.start, self.updated
        write_learner(folder, {"learner": self.name, "settings": dict(self.settings)})
        write_learner(
            folder / UPDATED,
            {
                "equation": start.equation,
                "hazards": start.hazards,
                "centre": start.centre,
                "slope": start.slope,
                "typical": dict(start.typical),
                "design": updated.design.to_json(),
                "beta": updated.beta.tolist(),
                "intercept": updated.intercept,
                "settings": dict(updated.settings),
            },
        )
        if updated.baseline is not None:
            updated.baseline.write(folder / UPDATED / BASELINE_FILE)
        self.other.write(folder / OTHER)

    @classmethod
    def read(cls, folder: Path, *, member: Callable[[Path], Fitted]) -> EquationUpdateFit:
        """What `write` wrote; `member` reads the clinical model from its folder.

        Raises PresageError where this Presage does not know the equation.
        """
        stored, settings = read_learner(folder / UPDATED), read_learner(folder)["settings"]
        typical = {name: stored["typical"][name] for name in _of(stored["equation"]).inputs}
        start = Start(stored["equation"], stored["hazards"], stored["centre"], stored["slope"], typical)
        updated = Updated(
            start,
            Design.from_json(stored["design"]),
            np.array(stored["beta"], dtype=np.float64).reshape(len(stored["beta"]), -1),
            Baseline.read(folder / UPDATED / BASELINE_FILE) if start.hazards else None,
            stored["intercept"],
            stored["settings"],
        )
        return cls(updated, member(folder / OTHER), settings)


def scale_of(risk: Floats, *, hazards: bool) -> Floats:
    """The log cumulative hazard of risks, or their log odds."""
    p = np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK)
    return np.asarray(np.log(-np.log1p(-p)) if hazards else np.log(p) - np.log1p(-p), dtype=np.float64)


def answered(equation: str, frame: FeatureFrame) -> Bools:
    """(n,) whether the equation has every input it needs, each within its range."""
    return ~np.isnan(_of(equation).value(_inputs(equation, frame)))


def shared_out(
    said: Callable[[Mapping[str, Floats]], Floats], columns: Mapping[str, Floats], *, typical: Mapping[str, float]
) -> Floats:
    """(n, inputs) parts that add up to what `said` answers to the columns, less what it answers to the typical person.

    Shapley's shares over the inputs' order, forwards and backwards, begun at each of them in turn: exact where no three
    inputs act on each other; in any case every input has every place, and of two each comes first as often.
    """
    names, count = tuple(typical), len(next(iter(columns.values())))
    places = list(range(len(names)))
    forwards = [places[k:] + places[:k] for k in places]
    orders = [*forwards, *(order[::-1] for order in forwards)]
    parts = np.zeros((count, len(names)))
    for order in orders:
        here = {name: np.full(count, typical[name]) for name in names}
        before = said(here)
        for j in order:
            here[names[j]] = columns[names[j]]
            after = said(here)
            parts[:, j] += (after - before) / len(orders)
            before = after
    return parts


def _of(equation: str) -> Equation:
    if equation not in EQUATIONS:
        raise PresageError(
            "[features] equation",
            f"an equation among {', '.join(EQUATIONS)}",
            found=f"'{equation}'",
            way_out="use the Presage that wrote the model, or a later one",
        )
    return EQUATIONS[equation]


def _inputs(equation: str, frame: FeatureFrame) -> dict[str, Floats]:
    return {name: frame.column(name).astype(np.float64) for name in _of(equation).inputs}


def _rows(here: Bools) -> tuple[Positions, Positions]:
    return np.flatnonzero(here), np.flatnonzero(~here)
