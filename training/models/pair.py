"""The clinical-only and the combined model of one candidate, each calibrated on the people it serves (contract 3).

The clinical model learns from everybody. The combined model learns from people with genomic results only: the
clinical model's risk (held-out, on the complementary log-log or logit scale) and the genomic terms. So what the many
untested people teach about clinical risk is kept. What genomics adds is measured against the same second stage without
genomic terms (`run_validation.clinical_of_the_tested`), so that it is not confounded by who was tested.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints
from features.errors import PresageError
from features.frame import FeatureFrame
from training.cohort import CARRIER, EVENT, Cohort, Dosages, Outcome, RiskCurves, Uncensored
from training.disclosure import SMALLEST, last_rows
from training.learners import LEARNERS, Budget, Fitted, Learner, conditional, make_learner
from training.models.calibration import Calibration, learn_calibration
from training.models.dosages import DosageScore, learn_dosage_score

CLINICAL_SCORE, DOSAGE_SCORE = "clinical_score", "genotype_score"
SMALLEST_RISK = 1e-6


@dataclass(frozen=True, slots=True)
class Clinical:
    """A calibrated model of features that everybody has."""

    names: tuple[str, ...]
    fitted: Fitted
    calibration: Calibration
    out_of_fold: Floats | None  # (n, h) calibrated, of the training rows

    def risk(self, frame: FeatureFrame, horizons: tuple[float, ...]) -> Floats:
        """(n, h) calibrated cumulative incidence."""
        return _probabilities(self.calibration, self.fitted.risk_at(_only(frame, self.names), horizons))


@dataclass(frozen=True, slots=True)
class Combined:
    """A calibrated model of the clinical score and genomic terms, for people who have genomic results."""

    names: tuple[str, ...]
    fitted: Fitted
    calibration: Calibration
    dosage_score: DosageScore | None
    rows: Ints  # training rows it learned from, as positions within them
    out_of_fold: Floats | None  # (len(rows), h)

    def risk(
        self, frame: FeatureFrame, clinical_risk: Floats, *, dosages: Dosages | None, horizons: tuple[float, ...]
    ) -> Floats:
        """(n, h) calibrated cumulative incidence, given the clinical model's."""
        stage = self.stage(frame, clinical_risk, dosages=dosages)
        return _probabilities(self.calibration, self.fitted.risk_at(stage, horizons))

    def stage(self, frame: FeatureFrame, clinical_risk: Floats, *, dosages: Dosages | None) -> FeatureFrame:
        """The second stage's input for these rows: the clinical score, the genomic features, the score of the dosages.

        clinical_risk: (n, h) served risks of the clinical model. They may follow the hazards of the record's last
        calendar years; this factor is taken out again, because the second stage was learned without it and its own
        calibration applies it.
        """
        score = None if self.dosage_score is None or dosages is None else self.dosage_score.score(dosages)
        risk = clinical_risk[:, -1]
        factor = self.calibration.calibrators[-1].hazard
        if factor != 1.0:
            risk = -np.expm1(np.log1p(-np.minimum(risk, 1 - SMALLEST_RISK)) / factor)
        return stage_frame(frame, self.names, clinical_risk=risk, dosage_score=score)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models of one candidate; `combined` is None with the reason why."""

    candidate: str
    clinical: Clinical
    combined: Combined | None
    why_no_combined: str = ""

    def risks(self, cohort: Cohort, rows: Ints) -> tuple[Floats, Floats]:
        """(n, h) risks of the clinical model, and of the combined one (NaN where it may not serve)."""
        horizons = cohort.horizons
        frame = cohort.frame.take(rows)
        clinical = self.clinical.risk(frame, horizons)
        combined = np.full_like(clinical, np.nan)
        has = np.flatnonzero(cohort.genotyped[rows])
        if self.combined is not None and len(has):
            dosages = None if cohort.dosages is None else cohort.dosages.take(rows[has])
            combined[has] = self.combined.risk(frame.take(has), clinical[has], dosages=dosages, horizons=horizons)
        return clinical, combined

    def in_period(self, hazards: Sequence[float]) -> Pair:
        """The same models, each person's hazard by each horizon multiplied by that horizon's factor."""
        clinical, combined = self.clinical, self.combined
        if combined is not None:
            combined = replace(combined, calibration=combined.calibration.times(hazards))
        return replace(
            self, clinical=replace(clinical, calibration=clinical.calibration.times(hazards)), combined=combined
        )

    def served_out_of_fold(self) -> Floats:
        """(n, h) held-out risks of the training rows by the model that would serve each."""
        if self.clinical.out_of_fold is None:
            raise PresageError("pair", "a pair fitted here, not one read from a bundle")
        served = self.clinical.out_of_fold.copy()
        if self.combined is not None and self.combined.out_of_fold is not None:
            served[self.combined.rows] = self.combined.out_of_fold
        return served


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
) -> Pair:
    """Both models from these rows; the combined one where enough people have genomic results and the event.

    uncensored: of these rows, as `followed` gives it; calibration weighs by it. budget: of a search for settings, on
    these rows alone.
    """
    learner = make_learner(candidate, monotone=cohort.monotone, budget=budget)
    clinical = fit_clinical(learner, cohort, rows=rows, names=cohort.clinical_names, uncensored=uncensored, rng=rng)
    if not any(block.genomic for block in cohort.blocks):
        return Pair(candidate, clinical, None, "the study has no genomic features")
    try:
        combined = fit_combined(
            cohort, rows, clinical=clinical, names=cohort.genomic_names, uncensored=uncensored, rng=rng
        )
    except PresageError as error:
        return Pair(candidate, clinical, None, f"{error.where}: {error.expected}")
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
    frame = _only(cohort.frame.take(rows), names)
    frame = with_codes(frame, common_codes(frame, cohort.code_prevalence))
    fitted = learner.fit(frame, outcome, persons=persons, rng=rng)
    calibration, held_out = _calibrated(fitted, outcome, uncensored=uncensored)
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
        raise PresageError("combined model", "held-out clinical risks")
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
    calibration, held_out = _calibrated(fitted, outcome, uncensored=uncensored)
    return Combined(names, fitted, calibration, score, has, held_out)


def stage_frame(
    frame: FeatureFrame, names: tuple[str, ...], *, clinical_risk: Floats, dosage_score: Floats | None
) -> FeatureFrame:
    """The combined model's features: the clinical score, the genomic columns, and the score of the dosages.

    Who was not tested for a variant counts as no known carrier: learning from the absence of a test would be learning
    from its reasons.
    """
    genomic = _only(frame, names)
    carriers = np.array([name.startswith(CARRIER) for name in names], dtype=np.bool_)
    known = np.where(carriers & np.isnan(genomic.values), np.float32(0), genomic.values)
    columns: list[npt.NDArray[np.floating[Any]]] = [score_of(clinical_risk)[:, None], known]
    all_names = (CLINICAL_SCORE, *names)
    if dosage_score is not None:
        columns.append(dosage_score[:, None])
        all_names = (*all_names, DOSAGE_SCORE)
    values = np.concatenate(columns, axis=1).astype(np.float32)
    return FeatureFrame(frame.subject_ids, frame.as_of, all_names, values, genomic.levels)


def score_of(risk: Floats) -> Floats:
    """log(-log(1 - risk)): the log cumulative hazard, close to the logit where risks are small."""
    return np.asarray(np.log(-np.log1p(-np.clip(risk, SMALLEST_RISK, 1 - SMALLEST_RISK))), dtype=np.float64)


def common_codes(frame: FeatureFrame, prevalence: float | None) -> tuple[str, ...]:
    """Codes (without their windows) that at least this share of the rows, and the last rows of 11 people, ever had."""
    if frame.codes is None or prevalence is None:
        return ()
    ever = [j for j, name in enumerate(frame.code_names) if name.endswith("@ever")]
    rows_with, people_with = (
        np.bincount(codes.indices, minlength=len(frame.code_names))
        for codes in (frame.codes, frame.codes[last_rows(frame.subject_ids)])
    )
    least = prevalence * len(frame)
    return tuple(
        frame.code_names[j].removesuffix("@ever") for j in ever if rows_with[j] >= least and people_with[j] >= SMALLEST
    )


def with_codes(frame: FeatureFrame, codes: tuple[str, ...]) -> FeatureFrame:
    """The same rows with the columns of these codes only."""
    if frame.codes is None:
        return frame
    wanted = set(codes)
    columns = [j for j, name in enumerate(frame.code_names) if name.rsplit("@", 1)[0] in wanted]
    kept = frame.codes[:, columns] if columns else None
    return replace(frame, codes=kept, code_names=tuple(frame.code_names[j] for j in columns))


def _only(frame: FeatureFrame, names: tuple[str, ...]) -> FeatureFrame:
    return frame if frame.names == names else frame.only(names)


def _probabilities(calibration: Calibration, curves: RiskCurves) -> Floats:
    probabilities: Floats = calibration.apply(curves).probabilities
    return probabilities


def _calibrated(fitted: Fitted, outcome: Outcome, *, uncensored: Uncensored | None) -> tuple[Calibration, Floats]:
    """On held-out risks, the censored stood in for by people like them."""
    if fitted.out_of_fold is None:
        raise PresageError(fitted.name, "a learner that gives held-out risks")
    calibration = learn_calibration(fitted.out_of_fold, outcome, uncensored=uncensored)
    return calibration, _probabilities(calibration, fitted.out_of_fold)


def _residual(outcome: Outcome, risk: Floats) -> Floats:
    """Label minus risk; before the horizon's end a censored row counts what it has been expected so far."""
    happened: Floats = (outcome.event == EVENT).astype(np.float64)
    if not outcome.horizons_days:
        return np.asarray(happened - risk, dtype=np.float64)
    horizon = outcome.horizons_days[-1]
    happened *= outcome.time_days <= horizon
    followed = np.minimum(outcome.time_days, horizon) / horizon
    expected: Floats = -np.log1p(-np.clip(risk, 0.0, 1 - SMALLEST_RISK)) * followed
    return happened - expected
