"""The numbers of one model on one set of people, with intervals; and how two models differ on the same people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from features.arrays import Floats, Ints
from features.errors import PresageError
from training.cohort import Outcome, RiskCurves, Uncensored
from training.evaluation.accuracy import brier, integrated_brier
from training.evaluation.calibration import CalibrationCurve, calibration, calibration_curve
from training.evaluation.discrimination import auc_and_precision, concordance
from training.evaluation.estimate import Estimate
from training.evaluation.folds import Folds
from training.evaluation.resample import differences, resampled, summarise
from training.evaluation.sample import Observed, Predicted, Weighted
from training.evaluation.utility import DecisionCurve, Flagging, at_threshold, decision_curve, of_the_list, on_the_list

Measure = Callable[[Floats], dict[str, float]]
THRESHOLDS = np.linspace(0.01, 0.5, 50)


@dataclass(frozen=True, slots=True)
class Ask:
    """What to compute. thresholds: risks at which one would act. capacities: shares of people a team can take on.

    smooth: ICI, E50 and E90, the dearest of them.
    """

    thresholds: tuple[float, ...] = ()
    capacities: tuple[float, ...] = ()
    smooth: bool = True


def evaluate(
    outcome: Outcome,
    risk: Floats,
    *,
    horizon_days: float,
    persons: Ints,
    rng: np.random.Generator,
    n_boot: int = 200,
    uncensored: Uncensored | None = None,
    curves: RiskCurves | None = None,
    ask: Ask = Ask(),
    folds: Folds | None = None,
) -> dict[str, Estimate]:
    """Every metric of these risks at the horizon, with 95 % intervals over people.

    risk: (n,) cumulative incidence by the horizon (nan for a binary outcome). uncensored: covariate-conditional
    probabilities of being followed for these rows; None uses Kaplan-Meier, estimated anew in each replicate. Rows out
    of its reach count in concordance, which looks at who was seen to come first, and in nothing that is by the horizon.
    curves: risks over a grid of times, for `ibs`. folds: which model tested each row, where there are several: pairs
    are then compared within a fold, and intervals carry what the models share. Metrics that are not defined here (one
    class only) are nan.
    """

    def make(rows: Ints) -> tuple[Observed, Measure]:
        observed = _observed(outcome, rows, days=horizon_days, persons=persons, uncensored=uncensored, folds=folds)
        predicted = _predicted(observed, risk[rows], curves=curves, rows=rows)
        return observed, lambda count: metrics(observed, predicted, weighted=observed.weighted(count), ask=ask)

    return summarise(*resampled(make, len(outcome), folds=folds, rng=rng, n_boot=n_boot))


def difference(
    outcome: Outcome,
    risk: Floats,
    *,
    reference: Floats,
    horizon_days: float,
    persons: Ints,
    rng: np.random.Generator,
    n_boot: int = 200,
    uncensored: Uncensored | None = None,
    curves: tuple[RiskCurves, RiskCurves] | None = None,
    ask: Ask = Ask(),
    folds: Folds | None = None,
) -> dict[str, Estimate]:
    """Metric of `risk` minus metric of `reference` on the same people, both seen in the same replicates."""
    first, second = (None, None) if curves is None else curves

    def make(rows: Ints) -> tuple[Observed, Measure]:
        observed = _observed(outcome, rows, days=horizon_days, persons=persons, uncensored=uncensored, folds=folds)
        one = _predicted(observed, risk[rows], curves=first, rows=rows)
        other = _predicted(observed, reference[rows], curves=second, rows=rows)

        def differ(count: Floats) -> dict[str, float]:
            weighted = observed.weighted(count)
            a, b = (metrics(observed, each, weighted=weighted, ask=ask) for each in (one, other))
            return {name: a[name] - b[name] for name in a}

        return observed, differ

    return differences(*resampled(make, len(outcome), folds=folds, rng=rng, n_boot=n_boot))


def _observed(
    outcome: Outcome,
    rows: Ints,
    *,
    days: float,
    persons: Ints,
    uncensored: Uncensored | None,
    folds: Folds | None,
) -> Observed:
    some = None if uncensored is None else uncensored.take(rows)
    mine = None if folds is None else folds.take(rows)
    return Observed.of(outcome.take(rows), days, persons=persons[rows], uncensored=some, folds=mine)


def _predicted(observed: Observed, risk: Floats, *, curves: RiskCurves | None, rows: Ints) -> Predicted:
    over_time = None if curves is None else RiskCurves(curves.horizons_days, curves.probabilities[rows])
    return Predicted.of(observed.outcome, risk, curves=over_time, part=observed.part)


def ici_if_perfect(
    outcome: Outcome,
    risk: Floats,
    *,
    horizon_days: float,
    persons: Ints,
    rng: np.random.Generator,
    uncensored: Uncensored | None = None,
    draws: int = 20,
) -> float:
    """What the ICI of these risks is on average where every one of them is exactly right.

    A distance has no negative errors, so a perfect model of few people has an ICI above zero; a measured one says
    something only beyond this. Outcomes are drawn from the risks, rows of one person with the same luck; who is known,
    and how much each counts, stays.
    """
    observed, predicted = (
        Observed.of(outcome, horizon_days, persons=persons, uncensored=uncensored),
        Predicted.of(outcome, risk, curves=None),
    )
    weighted = observed.weighted(np.ones(len(risk)))
    count = weighted.count * observed.reachable
    found = np.empty(draws)
    for k in range(draws):
        label = rng.random(observed.n_people)[observed.row_person] < risk
        found[k] = calibration(predicted.bases, label, weight=weighted.weight, count=count, smooth=True).ici
    defined = found[np.isfinite(found)]
    return float(defined.mean()) if len(defined) else float("nan")


def curves(
    outcome: Outcome,
    risk: Floats,
    *,
    horizon_days: float,
    uncensored: Uncensored | None = None,
    thresholds: Floats = THRESHOLDS,
) -> tuple[CalibrationCurve, DecisionCurve]:
    """What the figures draw of these risks at the horizon; nan is a binary outcome's horizon."""
    observed = Observed.of(outcome, horizon_days, persons=np.arange(len(outcome)), uncensored=uncensored)
    if not observed.reachable.all():
        rows = np.flatnonzero(observed.reachable)
        some = None if uncensored is None else uncensored.take(rows)
        return curves(outcome.take(rows), risk[rows], horizon_days=horizon_days, uncensored=some, thresholds=thresholds)
    Predicted.of(outcome, risk, curves=None)
    weight = observed.weighted(np.ones(len(outcome))).weight
    calibrated = calibration_curve(outcome, risk, label=observed.label, weight=weight, horizon_days=horizon_days)
    return calibrated, decision_curve(risk, observed.label, weight=weight, thresholds=thresholds)


def metrics(
    observed: Observed,
    predicted: Predicted,
    *,
    weighted: Weighted,
    ask: Ask,
    lists: Mapping[float, Floats] | None = None,
) -> dict[str, float]:
    """Every metric of one replicate.

    lists: by capacity the part of each row that stands on the team's list, where these rows are not all it is made of.
    """
    label, weight = observed.label, weighted.weight
    part, n_parts = observed.part, observed.n_parts
    auc, auprc = auc_and_precision(predicted.falling, predicted.rank, label, weight, part=part, n_parts=n_parts)
    score, scaled = brier(predicted.risk, label, weight=weight)
    count = weighted.count * observed.reachable
    lines = calibration(predicted.bases, label, weight=weight, count=count, smooth=ask.smooth)
    found = {
        "auc": auc,
        "auprc": auprc,
        "brier": score,
        "brier_scaled": scaled,
        "calibration_in_the_large": lines.in_the_large,
        "calibration_slope": lines.slope,
        "observed_to_expected": lines.observed_to_expected,
    }
    if ask.smooth:
        found |= {"ici": lines.ici, "e50": lines.e50, "e90": lines.e90}
    return (
        _concordances(observed, predicted, weighted=weighted)
        | found
        | _flaggings(observed, predicted, weighted=weighted, ask=ask, lists=lists)
    )


def _concordances(observed: Observed, predicted: Predicted, *, weighted: Weighted) -> dict[str, float]:
    if predicted.pairs is None:
        return {}
    everyone, ones = np.ones(len(observed.label), dtype=np.bool_), np.ones(len(observed.label))
    found = {
        "c_harrell": concordance(predicted.pairs, weighted.count, followed=ones, usable=everyone),
        "c_horizon": concordance(predicted.pairs, weighted.count, followed=ones, usable=observed.label),
        "c_uno": concordance(predicted.pairs, weighted.count, followed=weighted.followed, usable=observed.label),
    }
    if predicted.curves is not None:
        found["ibs"] = integrated_brier(observed.outcome, predicted.curves, count=weighted.count)
    return found


def lists_of(predicted: Predicted, count: Floats, *, ask: Ask) -> dict[float, Floats]:
    """The team's list at each capacity: by capacity, the part (n,) of each row that stands on the list of all rows.

    A part is 1 for a row on the list, 0 for one that is not, and between them for rows with equal risks at the end of
    the list. Raises PresageError for a capacity that is no share of people.
    """
    for share in ask.capacities:
        if not 0 < share <= 1:
            raise PresageError("capacities", "shares of people above 0 and at most 1", found=f"{share:g}")
    return {share: on_the_list(predicted.falling, count, share=share, rank=predicted.rank) for share in ask.capacities}


def _flaggings(
    observed: Observed, predicted: Predicted, *, weighted: Weighted, ask: Ask, lists: Mapping[float, Floats] | None
) -> dict[str, float]:
    found: dict[str, float] = {}
    for threshold in ask.thresholds:
        if not 0 < threshold < 1:
            raise PresageError("thresholds", "risks between 0 and 1", found=f"{threshold:g}")
        at = at_threshold(
            predicted.risk,
            observed.label,
            weight=weighted.weight,
            threshold=threshold,
            count=weighted.count,
        )
        found |= _named(at, f"at_{threshold:g}")
    for share, chosen in (lists_of(predicted, weighted.count, ask=ask) if lists is None else lists).items():
        top = of_the_list(chosen, observed.label, weight=weighted.weight, count=weighted.count)
        found |= _named(top, f"top_{share:g}")
    return found


def _named(flagging: Flagging, suffix: str) -> dict[str, float]:
    values = {f"{f.name}_{suffix}": float(getattr(flagging, f.name)) for f in fields(flagging)}
    return {name: value for name, value in values.items() if not (name.startswith("net_benefit_top"))}
