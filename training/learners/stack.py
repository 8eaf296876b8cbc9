"""A weighted mean of learners, weights by out-of-fold Brier score, drawn towards those expected with so many events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from features.arrays import Floats
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import EVENT, Outcome, RiskCurves
from training.fitted import StackFit
from training.learners.cox import Cox
from training.learners.logistic import Logistic
from training.learners.protocol import Learner
from training.learners.targets import Target, targets
from training.learners.xgboost_cox import XGBoostCox
from training.learners.xgboost_horizon import XGBoostHorizon

EVENTS_OF_PRIOR = 1000.0  # as if so many events had spoken for the weights that are expected
EVENTS_OF_EQUALS = 200  # from which the members are expected to be equally good; with none, the first one alone


@dataclass(frozen=True, slots=True)
class Stack:
    """Fits every member on the same rows; their out-of-fold risks give the weights, so nothing is fitted twice.

    members default to what can be served: penalised regression and XGBoost of the outcome's kind. monotone,
    parameters and depths are the boosted member's.
    """

    members: tuple[Learner, ...] = ()
    monotone: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[str, float | int | str] = field(default_factory=dict)
    depths: tuple[int, ...] = ()
    name: str = "stack"

    def boosted(self, outcome: Outcome) -> XGBoostHorizon | XGBoostCox:
        """The default boosted member."""
        if outcome.kind == "binary":
            return XGBoostHorizon(self.monotone, self.parameters, self.depths)
        return XGBoostCox(self.monotone, self.parameters, self.depths)

    def fit(
        self,
        frame: FeatureFrame,
        outcome: Outcome,
        *,
        persons: npt.NDArray[np.int64],
        rng: np.random.Generator,
        weights: Floats | None = None,
    ) -> StackFit:
        """Members, then their weights."""
        regression = Logistic() if outcome.kind == "binary" else Cox()
        learners = self.members or (regression, self.boosted(outcome))
        fitted = tuple(learner.fit(frame, outcome, persons=persons, rng=rng, weights=weights) for learner in learners)
        curves = [member.out_of_fold for member in fitted if member.out_of_fold is not None]
        risks = np.stack([curve.probabilities for curve in curves])
        events = int((outcome.event == EVENT).sum())
        share = stack_weights(risks, _known(frame, outcome, weights=weights), events=events)
        held_out = RiskCurves(curves[0].horizons_days, np.tensordot(share, risks, axes=1))
        settings = {f"weight_{member.name}": float(w) for member, w in zip(fitted, share, strict=True)}
        return StackFit(fitted, share, held_out.horizons_days[-1], settings, held_out)


def _known(frame: FeatureFrame, outcome: Outcome, *, weights: Floats | None) -> list[Target]:
    """The targets; none where too few are known to have, or not to have, the event by a horizon to weigh members by."""
    try:
        return targets(frame, outcome, weights=weights)
    except PresageError:
        return []


def stack_weights(risks: Floats, goals: list[Target], *, events: int) -> Floats:
    """(m,) weights on the simplex with the least mean Brier score over the horizons; risks (m, n, h).

    A ridge towards the weights expected before anything is seen, worth `EVENTS_OF_PRIOR` events, keeps chance from
    choosing a member; without goals they are the answer. The first member is a penalised regression: with few events
    trees lose to it, so it is expected to have all the weight with none, and an equal share from `EVENTS_OF_EQUALS` on.
    """
    m = len(risks)
    expected = np.full(m, min(1.0, events / EVENTS_OF_EQUALS) / m)
    expected[0] += 1.0 - expected.sum()
    if not goals:
        return expected
    quadratic, linear, spread = np.zeros((m, m)), np.zeros(m), 0.0
    for h, goal in enumerate(goals):
        p = risks[:, :, h]
        w = goal.weight / goal.weight.sum() / len(goals)
        quadratic += (p * w) @ p.T
        linear += (p * w) @ goal.label
        spread += float((((p - p.mean(axis=0)) ** 2) @ w).mean())
    ridge = spread * EVENTS_OF_PRIOR / max(events, 1)
    return simplex_minimum(quadratic + ridge * np.eye(m), linear + ridge * expected)


def simplex_minimum(quadratic: Floats, linear: Floats) -> Floats:
    """argmin w'Qw - 2 l'w with w >= 0 summing to one, by trying every support: members are few."""
    m = len(linear)
    best, best_value = np.full(m, 1 / m), np.inf
    for size in range(1, m + 1):
        for support in combinations(range(m), size):
            chosen = np.array(support)
            system = np.ones((size + 1, size + 1))
            system[:size, :size] = quadratic[np.ix_(chosen, chosen)] + 1e-12 * np.eye(size)
            system[size, size] = 0.0
            solved = np.linalg.lstsq(system, np.append(linear[chosen], 1.0), rcond=None)[0][:size]
            if (solved < -1e-12).any():
                continue
            w = np.zeros(m)
            w[chosen] = np.maximum(solved, 0.0)
            w /= w.sum()
            value = float(w @ quadratic @ w - 2 * linear @ w)
            if value < best_value - 1e-15:
                best, best_value = w, value
    return best
