"""Fits the clinical and the combined model of one candidate, each calibrated on the people it serves (contract 3).

The clinical model learns from everybody. The combined model learns from people with genomic results only: the
clinical model's risk (held-out, on the complementary log-log or logit scale) and the genomic terms. So what the many
untested people teach about clinical risk is kept. What genomics adds is measured against the same second stage without
genomic terms (`training.heldout.candidates.clinical_of_the_tested`), so that it is not confounded by who was tested.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.arrays import Floats, Ints
from features.errors import PresageError
from training.cohort import EVENT, UPDATED, Cohort, Outcome, Uncensored, common_codes, with_codes
from training.fitted import Fitted
from training.fitting.calibration import learn_calibration
from training.fitting.dosages import learn_dosage_score
from training.learners import LEARNERS, Budget, Learner, conditional, make_learner
from training.models import Calibration, Clinical, Combined, Pair, features_of, stage_frame

LARGEST_RISK = 1 - 1e-6


def followed(cohort: Cohort, rows: Ints) -> Uncensored | None:
    """Chances of still being followed given the clinical features, learned on these rows; None for a binary outcome."""
    if not cohort.outcome.horizons_days:
        return None
    frame = replace(cohort.frame.take(rows).only(cohort.clinical_names), codes=None, code_names=())
    return conditional(frame, cohort.outcome.take(rows))


def fit_pair(
    candidate: str,
    cohort: Cohort,
    *,
    rows: Ints,
    uncensored: Uncensored | None,
    rng: np.random.Generator,
    budget: Budget | None = None,
    learner: Learner | None = None,
) -> Pair:
    """Both models from these rows; the combined one where enough people have genomic results and the event.

    uncensored: of these rows, as `followed` gives it; calibration weighs by it. budget: of a search for settings, on
    these rows alone. learner: a comparator's, which `LEARNERS` does not know.
    """
    made = learner or make_learner(candidate, monotone=cohort.monotone, budget=budget, equation=cohort.equation)
    names = cohort.clinical_names if candidate != UPDATED else cohort.equation_names
    clinical = fit_clinical(made, cohort, rows=rows, names=names, uncensored=uncensored, rng=rng)
    if not any(block.genomic for block in cohort.blocks):
        return Pair(candidate, clinical, None, "the study has no genomic features")
    try:
        combined = fit_combined(
            cohort, rows, clinical=clinical, names=cohort.genomic_names, uncensored=uncensored, rng=rng
        )
    except PresageError as error:
        return Pair(candidate, clinical, None, error.fault)
    return Pair(candidate, clinical, combined)


def fit_clinical(
    learner: Learner,
    cohort: Cohort,
    *,
    rows: Ints,
    names: tuple[str, ...],
    uncensored: Uncensored | None,
    rng: np.random.Generator,
) -> Clinical:
    """Learn from all rows, then calibrate on the learner's own held-out risks."""
    outcome, persons = cohort.outcome.take(rows), cohort.persons[rows]
    frame = features_of(cohort.frame.take(rows), names)
    frame = with_codes(frame, common_codes(frame, cohort.code_prevalence))
    fitted = learner.fit(frame, outcome, persons=persons, rng=rng)
    calibration, held_out = _calibrated(fitted, outcome, uncensored=uncensored, persons=persons)
    return Clinical(names, fitted, calibration, held_out)


def fit_combined(
    cohort: Cohort,
    rows: Ints,
    *,
    clinical: Clinical,
    names: tuple[str, ...],
    uncensored: Uncensored | None,
    rng: np.random.Generator,
    use_dosages: bool = True,
) -> Combined:
    """Learn what these genomic features add to the held-out clinical score, on people who have them."""
    if clinical.out_of_fold is None:
        raise ValueError("a combined model is learned on the held-out risks of the clinical model")
    has = np.flatnonzero(cohort.genotyped[rows])
    outcome, persons = cohort.outcome.take(rows[has]), cohort.persons[rows[has]]
    risk = clinical.out_of_fold[has, -1]
    score = None
    if cohort.dosages is not None and use_dosages:
        residual = _residual(outcome, risk)
        score = learn_dosage_score(cohort.dosages.take(rows[has]), residual, persons=persons, rng=rng)
    held_out_score = None if score is None else score.out_of_fold
    stage = stage_frame(cohort.frame.take(rows[has]), names, clinical_risk=risk, dosage_score=held_out_score)
    fitted = LEARNERS["cox" if outcome.horizons_days else "logistic"]().fit(stage, outcome, persons=persons, rng=rng)
    if uncensored is not None:
        uncensored = uncensored.take(has)
    calibration, held_out = _calibrated(fitted, outcome, uncensored=uncensored, persons=persons)
    return Combined(names, fitted, calibration, score, has, held_out)


def _calibrated(
    fitted: Fitted, outcome: Outcome, *, uncensored: Uncensored | None, persons: Ints
) -> tuple[Calibration, Floats]:
    """On held-out risks, the censored stood in for by people like them."""
    if fitted.out_of_fold is None:
        raise ValueError(f"{fitted.name} was to give held-out risks to calibrate on")
    calibration = learn_calibration(fitted.out_of_fold, outcome, uncensored=uncensored, persons=persons)
    return calibration, calibration.apply(fitted.out_of_fold).probabilities


def _residual(outcome: Outcome, risk: Floats) -> Floats:
    """Label minus risk; before the horizon's end a censored row counts what it has been expected so far."""
    happened: Floats = (outcome.event == EVENT).astype(np.float64)
    if not outcome.horizons_days:
        return np.asarray(happened - risk, dtype=np.float64)
    horizon = outcome.horizons_days[-1]
    happened *= outcome.time_days <= horizon
    followed = np.minimum(outcome.time_days, horizon) / horizon
    expected: Floats = -np.log1p(-np.clip(risk, 0.0, LARGEST_RISK)) * followed
    return happened - expected
