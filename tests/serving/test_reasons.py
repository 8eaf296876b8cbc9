from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from features.catalogue import FAMILIES, catalogue
from features.frame import FeatureFrame
from features.record.record import Record
from serving.scoring.champions import Champion
from serving.scoring.reasons import contributions, reasons_of_frame, worded
from serving.scoring.score import feature_hashes, frame_of, score_record
from tests.serving.conftest import AS_OF, SCORE_ID
from training.models.pair import score_of

Z = f"prs_{SCORE_ID}_z"
SPECS = {spec.name: spec for spec in catalogue(FAMILIES, polygenic=(SCORE_ID,)).specs}


def one(name: str, value: float) -> FeatureFrame:
    now = np.array(["2024-01-01"], dtype="datetime64[us]")
    return FeatureFrame(np.array([1]), now, (name,), np.array([[value]], dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("age_years", 63.9, "Age 63 years"),
        ("sex_female", 0.0, "Male sex"),
        ("sbp_mmhg_latest_1825d", 168.0, "Systolic blood pressure 168 mmHg"),
        ("hba1c_percent_latest_1825d", 7.25, "HbA1c 7.2%"),
        ("egfr_ml_min_173m2_latest_1825d", 41.0, "eGFR 41 mL/min/1.73 m²"),
        ("ldl_mg_dl_latest_1825d", math.nan, "LDL cholesterol: no plausible result in 1825 days"),
        ("diabetes_ever", 1.0, "Diabetes of any type ever recorded"),
        ("diabetes_ever", 0.0, "No diabetes of any type ever recorded"),
        ("statin_current", 0.0, "No statin now"),
        ("smoking_current", 1.0, "Smokes now"),
        ("smoking_current", 0.0, "Does not smoke now"),
        ("smoking_current", math.nan, "Smokes now: smoking status never recorded"),
        ("family_history_chd", 0.0, "No family history of coronary disease"),
        ("family_history_chd", math.nan, "Family history of coronary disease: never asked"),
        ("unplanned_admissions_365d", 2.0, "Unplanned admissions in 365 days: 2"),
        ("race", 1.0, "Race as recorded: asian"),
        # Standard normal tables: P(Z > 1.2816) = .10, P(Z < -1.6449) = .05.
        (
            f"prs_{SCORE_ID}_z",
            1.2817,
            f"Polygenic score {SCORE_ID} among the highest 10 of 100 people of like ancestry",
        ),
        (f"prs_{SCORE_ID}_z", -1.645, f"Polygenic score {SCORE_ID} among the lowest 5 of 100 people of like ancestry"),
        (f"prs_{SCORE_ID}_z", 0.1, f"Polygenic score {SCORE_ID} about average for like ancestry"),
    ],
)
def test_a_feature_in_words(name: str, value: float, words: str) -> None:
    assert worded(SPECS[name], one(name, value), row=0) == words


@pytest.mark.parametrize(
    ("days", "said"),
    [(0.0, "today"), (1.0, "1 day ago"), (40.0, "40 days ago"), (91.0, "3 months ago"), (731.0, "2 years ago")],
)
def test_a_result_says_how_old_it_is_where_that_is_known(days: float, said: str) -> None:
    names = ("ldl_mg_dl_latest_1825d", "ldl_mg_dl_days_since")
    now = np.array(["2024-01-01"], dtype="datetime64[us]")
    frame = FeatureFrame(np.array([1]), now, names, np.array([[197.0, days]], dtype=np.float32))
    assert worded(SPECS[names[0]], frame, row=0) == f"LDL cholesterol 197 mg/dL, latest {said}"


@pytest.mark.parametrize(("computed", "said"), [(True, "eGFR 58 mL/min/1.73 m² (computed: CKD-EPI 2021)"),
                                             (False, "eGFR 58 mL/min/1.73 m²")])  # fmt: skip
def test_a_computed_value_says_so(said: str, *, computed: bool) -> None:
    name = "egfr_ml_min_173m2_latest_1825d"
    frame = replace(one(name, 58.0), derived={name: np.array([computed])})
    assert worded(SPECS[name], frame, row=0) == said
    assert worded(SPECS[name], frame.only((name,)).take(np.array([0])), row=0) == said


def test_a_reason_says_whether_care_can_change_it(champion: Champion, record_dir) -> None:
    ids = np.arange(1, 161)
    frame = frame_of(
        champion, Record.open(record_dir), subject_ids=ids, as_of=np.full(len(ids), AS_OF, dtype="datetime64[us]")
    )
    told = [one for why in reasons_of_frame(champion, frame, combined=np.ones(len(ids), dtype=np.bool_)) for one in why]
    assert {one.modifiable for one in told if one.words.startswith("Age ")} <= {False}
    pressed = [one for one in told if one.words.startswith("Systolic")]
    assert all(one.modifiable for one in pressed)


def test_contributions_add_up_to_the_difference_in_the_models_own_risk_score(champion: Champion, record_dir) -> None:
    """Of a Cox model: the difference of two people's linear predictors is that of their log cumulative hazards."""
    scored = [one for one in score_record(champion, Record.open(record_dir), as_of=AS_OF) if one.model == "clinical"]
    ids = np.array([one.subject_id for one in scored])
    frame = frame_of(
        champion, Record.open(record_dir), subject_ids=ids, as_of=np.full(len(ids), AS_OF, dtype="datetime64[us]")
    )
    _, values = contributions(champion, frame, combined=np.zeros(len(ids), dtype=np.bool_))
    raw = champion.bundle.pair.clinical.fitted.risk_at(
        frame.only(champion.bundle.pair.clinical.names), champion.bundle.horizons_days
    )
    difference = score_of(raw.probabilities[:, -1])
    np.testing.assert_allclose(values.sum(axis=1) - values[0].sum(), difference - difference[0], atol=1e-4)


def test_what_raises_most_comes_first_and_what_lowers_comes_last(champion: Champion, record_dir) -> None:
    ids = np.arange(1, 161)
    frame = frame_of(
        champion, Record.open(record_dir), subject_ids=ids, as_of=np.full(len(ids), AS_OF, dtype="datetime64[us]")
    )
    for why in reasons_of_frame(champion, frame, combined=np.ones(len(ids), dtype=np.bool_)):
        weights = [reason.weight for reason in why]
        raising = [weight for weight in weights if weight > 0]
        assert weights[: len(raising)] == sorted(raising, reverse=True)
        assert len(raising) <= 4
        assert len(weights) - len(raising) <= 1


def test_the_feature_hash_changes_with_any_value_and_with_nothing_else() -> None:
    frame = one("age_years", 50.0)
    assert feature_hashes(frame) == feature_hashes(replace(frame, subject_ids=np.array([9])))
    assert feature_hashes(frame) != feature_hashes(
        one("age_years", float(np.nextafter(np.float32(50), np.float32(51))))
    )
    assert feature_hashes(frame) != feature_hashes(one("sbp_mmhg_latest_1825d", 50.0))
    assert feature_hashes(one("age_years", -0.0)) == feature_hashes(one("age_years", 0.0))
    quiet, other = np.array([0x7FC00000, 0x7FC00001], dtype=np.uint32).view(np.float32)
    assert feature_hashes(one("age_years", quiet)) == feature_hashes(one("age_years", other)), "one kind of NaN"
