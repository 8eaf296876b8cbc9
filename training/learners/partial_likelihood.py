"""Cox's partial likelihood with Efron's handling of ties, and Breslow's baseline hazard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.arrays import Bools, Floats

BLOCK = 32  # columns summed at once: bounds the memory of the running sums


@dataclass(frozen=True, slots=True)
class RiskSets:
    """Rows sorted by falling time and where the risk set of each event ends; shared by every evaluation."""

    order: npt.NDArray[np.int64]  # rows, longest time first
    weights: Floats  # in that order
    event_rows: npt.NDArray[np.int64]  # positions of events in that order
    tied_start: npt.NDArray[np.int64]  # per event: where its tie group starts among the events
    tied_share: Floats  # per event: l/d, the share of its ties already taken out (Efron)
    last_at_risk: npt.NDArray[np.int64]  # per event: last position still at risk
    tied_weight: Floats  # per event: mean weight of its tie group
    group_first: npt.NDArray[np.int64]  # first event of each tie group
    group_of: npt.NDArray[np.int64]  # tie group of each event


def risk_sets(time: Floats, event: Bools, *, weights: Floats | None = None) -> RiskSets:
    """Sort once; rows with weight zero are left out."""
    w = np.ones(len(time)) if weights is None else weights
    kept = np.flatnonzero(w > 0)
    order = kept[np.argsort(-time[kept], kind="stable")]
    t, e, w = time[order], event[order], w[order]
    event_rows = np.flatnonzero(e)
    times = t[event_rows]
    starts = np.flatnonzero(np.append(True, times[1:] != times[:-1])) if len(times) else np.empty(0, dtype=np.int64)
    counts = np.diff(np.append(starts, len(times)))
    group_of = np.repeat(np.arange(len(starts)), counts)
    within = np.arange(len(times)) - starts[group_of]
    summed = np.add.reduceat(w[event_rows], starts) if len(starts) else np.empty(0)
    return RiskSets(
        order=order,
        weights=w,
        event_rows=event_rows,
        tied_start=starts[group_of],
        tied_share=within / counts[group_of],
        last_at_risk=np.searchsorted(-t, -times, side="right") - 1,
        tied_weight=(summed / counts)[group_of],
        group_first=starts,
        group_of=group_of,
    )


@dataclass(frozen=True, slots=True)
class PartialLikelihood:
    """Cox's log partial likelihood of X @ beta + offset. Efron: B. Efron, JASA 1977;72:557.

    X: (n, P) in the risk sets' order; offset: (n,) in the same order, or 0.
    """

    X: Floats
    sets: RiskSets
    offset: Floats | float = 0.0

    @classmethod
    def of(
        cls,
        X: Floats,
        time: Floats,
        *,
        event: Bools,
        weights: Floats | None = None,
        offset: Floats | None = None,
    ) -> PartialLikelihood:
        """Sort the rows once. offset: (n,) of the log hazard; None: nothing is known before."""
        sets = risk_sets(time, event, weights=weights)
        return cls(X[sets.order], sets, 0.0 if offset is None else offset[sets.order])

    def gradient(self, beta: Floats) -> tuple[float, Floats]:
        """Value and gradient (P,)."""
        eta, top, hazard, total = self._totals(beta)
        w, events = self.sets.weights, self.sets.event_rows
        value = float(w[events] @ eta[events] - self.sets.tied_weight @ (np.log(total) + top))
        observed = np.zeros(len(eta))
        observed[events] = w[events]
        share = _share(hazard, self.sets, increments=self.sets.tied_weight / total)
        return value, self.X.T @ (observed - share)

    def information(self, beta: Floats) -> Floats:
        """(P, P) minus the second derivatives."""
        _, _, hazard, total = self._totals(beta)
        share = _share(hazard, self.sets, increments=self.sets.tied_weight / total)
        means = np.empty((len(total), self.X.shape[1]))
        for first in range(0, self.X.shape[1], BLOCK):
            columns = slice(first, first + BLOCK)
            at_risk, tied = _efron_sums(hazard[:, None] * self.X[:, columns], self.sets)
            means[:, columns] = (at_risk - self.sets.tied_share[:, None] * tied) / total[:, None]
        means *= np.sqrt(self.sets.tied_weight)[:, None]
        root = self.X * np.sqrt(np.maximum(share, 0.0))[:, None]
        return np.asarray(root.T @ root - means.T @ means, dtype=np.float64)

    def _totals(self, beta: Floats) -> tuple[Floats, float, Floats, Floats]:
        eta = self.X @ beta + self.offset
        top = float(eta.max(initial=0.0))
        hazard = self.sets.weights * np.exp(eta - top)
        at_risk, tied = _efron_sums(hazard[:, None], self.sets)
        return eta, top, hazard, at_risk[:, 0] - self.sets.tied_share * tied[:, 0]


def _efron_sums(columns: Floats, sets: RiskSets) -> tuple[Floats, Floats]:
    """(E, k) sums over each event's risk set, and over the events tied with it."""
    at_risk = np.cumsum(columns, axis=0)[sets.last_at_risk]
    if len(sets.group_first) == len(sets.event_rows):
        return at_risk, columns[sets.event_rows]
    tied = np.add.reduceat(columns[sets.event_rows], sets.group_first, axis=0)[sets.group_of]
    return at_risk, tied


def _share(hazard: Floats, sets: RiskSets, *, increments: Floats) -> Floats:
    """(n,) each row's expected number of events: its hazard times the baseline increments while it was at risk."""
    taken = np.zeros(len(hazard) + 1)
    np.add.at(taken, sets.last_at_risk, increments)
    cumulative = np.cumsum(taken[:-1][::-1])[::-1]
    share = hazard * cumulative
    own = np.bincount(sets.group_of, weights=increments * sets.tied_share, minlength=len(sets.group_first))
    share[sets.event_rows] -= hazard[sets.event_rows] * own[sets.group_of]
    return share


def baseline_jumps(time: Floats, event: Bools, *, eta: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Distinct event times and the jumps of the baseline cumulative hazard there (at linear predictor zero).

    Breslow's estimate, with Efron's correction for ties, as in the likelihood: those tied leave the risk set one after
    the other, by their average share. So exp(-H) stays close to Kaplan-Meier where many have the event on one day.
    """
    w = np.ones(len(time)) if weights is None else weights
    order = np.argsort(-time, kind="stable")
    hazard = w * np.exp(eta)
    at_risk = np.cumsum(hazard[order])
    times, which, tied = np.unique(time[event], return_inverse=True, return_counts=True)
    deaths = np.bincount(which, weights=w[event], minlength=len(times))
    own = np.bincount(which, weights=hazard[event], minlength=len(times))
    last = np.searchsorted(-time[order], -times, side="right") - 1
    position = np.arange(int(tied.sum())) - np.repeat(np.cumsum(tied) - tied, tied)  # 0, 1, ... among those tied
    left = np.repeat(at_risk[last], tied) - position / np.repeat(tied, tied) * np.repeat(own, tied)
    at = np.repeat(np.arange(len(times)), tied)
    jumps = np.bincount(at, weights=np.repeat(deaths / tied, tied) / left, minlength=len(times))
    return times, jumps.astype(np.float64)  # integers where nobody had the event
