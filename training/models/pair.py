"""The clinical-only and the combined model of one candidate, each calibrated on the people it serves (contract 3).

The clinical model serves everybody. The combined model serves people with genomic results: it is a model of the
clinical model's risk (on the complementary log-log scale) and the genomic terms. How both are learned:
`training.fitting.pair`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from features.arrays import Floats, Ints, Strings
from features.frame import FeatureFrame
from training.cohort import CARRIER, Cohort, Dosages
from training.fitted import Fitted
from training.models.calibration import Calibration
from training.models.dosages import DosageScore

CLINICAL_SCORE, DOSAGE_SCORE = "clinical_score", "genotype_score"
SMALLEST_RISK = 1e-6


@dataclass(frozen=True, slots=True)
class Clinical:
    """A calibrated model of features that everybody has."""

    names: tuple[str, ...]
    fitted: Fitted
    calibration: Calibration
    out_of_fold: Floats | None  # (n, h) calibrated, of the training rows

    def stood_in_for(self, frame: FeatureFrame) -> Strings:
        """(n,) why another model than the one that the learner is named after answers; empty where that one does."""
        if self.fitted.name != "equation_update":
            return np.full(len(frame), "", dtype=object)
        from training.fitted import EquationUpdateFit

        if not isinstance(self.fitted, EquationUpdateFit):
            raise ValueError(f"a model called {self.fitted.name} is to be one")
        return self.fitted.stood_in_for(frame)

    def risk(self, frame: FeatureFrame, horizons: tuple[float, ...]) -> Floats:
        """(n, h) calibrated cumulative incidence."""
        curves = self.fitted.risk_at(features_of(frame, self.names), horizons)
        return self.calibration.apply(curves).probabilities


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
        return self.calibration.apply(self.fitted.risk_at(stage, horizons)).probabilities

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
            raise ValueError("a pair that was read from a bundle has no held-out risks")
        served = self.clinical.out_of_fold.copy()
        if self.combined is not None and self.combined.out_of_fold is not None:
            served[self.combined.rows] = self.combined.out_of_fold
        return served


def stage_frame(
    frame: FeatureFrame, names: tuple[str, ...], *, clinical_risk: Floats, dosage_score: Floats | None
) -> FeatureFrame:
    """The combined model's features: the clinical score, the genomic columns, and the score of the dosages.

    Who was not tested for a variant counts as no known carrier: learning from the absence of a test would be learning
    from its reasons.
    """
    genomic = features_of(frame, names)
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


def features_of(frame: FeatureFrame, names: tuple[str, ...]) -> FeatureFrame:
    """The rows with these features alone; the frame itself where it has no others."""
    return frame if frame.names == names else frame.only(names)
