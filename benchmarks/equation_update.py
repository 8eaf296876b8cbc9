"""What a model that starts from the published equation is worth with few events, on people whose true risk is known.

People have the inputs of PREVENT's coronary equation, a family history and a biomarker that it lacks, deaths of other
causes and early ends of follow-up; one in ten lacks a cholesterol. Three truths: the equation's ranking is right, it
lacks two things, or half of what it says is wrong here. Brier score by 10 years on 20,000 others (expected, from their
true risks), of the people whom the equation answers, beside the recalibrated equation and the penalised Cox regression.

    .venv/bin/python benchmarks/equation_update.py --events 50 200 1000 --seeds 20
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from features.arrays import Floats
from features.equations import EQUATIONS
from features.frame import FeatureFrame
from training.cohort import Outcome, RiskCurves
from training.fitting.calibration import learn_calibration
from training.learners import Cox, conditional
from training.learners.equation_update import EquationUpdate

EQUATION = "prevent_chd_10y"
HORIZON = EQUATIONS[EQUATION].horizon_days
TESTED, GRID = 20_000, 60
SHARE_WITH_EVENT = 0.06
# The part of the equation's log hazard that is true; effects of family history, biomarker, age and smoking beside it.
TRUTHS: Mapping[str, tuple[float, float, float, float, float]] = {
    "right": (0.9, 0.0, 0.0, 0.0, 0.0),
    "lacks two": (0.9, 0.7, 0.4, 0.0, 0.0),
    "half wrong": (0.4, 0.5, 0.3, -0.4, 0.8),
}


def main() -> None:
    """Every truth, number of events and seed; a line for each truth and number, and all rows to a CSV where named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", nargs="*", type=int, default=[50, 200, 1000])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--out", type=Path, help="a CSV to which rows are added as soon as they are known")
    arguments = parser.parse_args()
    with threadpool_limits(1, user_api="blas"):
        for events in arguments.events:
            for truth in TRUTHS:
                rows = pd.DataFrame([one(truth, events, seed=seed) for seed in range(arguments.seeds)])
                if arguments.out is not None:
                    rows.to_csv(arguments.out, mode="a", header=not arguments.out.exists(), index=False)
                print(told(rows), flush=True)


def told(rows: pd.DataFrame) -> str:
    """Mean Brier scores, and the difference to the better of the other two with its standard error over seeds."""
    better = "cox" if rows["cox"].mean() < rows["recalibrated"].mean() else "recalibrated"
    difference = rows["update"] - rows[better]
    error = difference.std() / np.sqrt(len(rows))
    means = ", ".join(f"{name} {rows[name].mean():.5f}" for name in ("truth", "update", "recalibrated", "cox"))
    each = (rows["update"] <= rows[["cox", "recalibrated"]].min(axis=1)).mean()
    verdict = "holds" if difference.mean() <= error else "DOES NOT HOLD"
    return (
        f"{rows['events'][0]:>5} events, {rows['truth_name'][0]:<10}: {means}; update - {better} "
        f"{1e5 * difference.mean():+.1f}e-5 (SE {1e5 * error:.1f}e-5) {verdict}; best of the three in {each:.0%}"
    )


def one(truth: str, events: int, *, seed: int) -> dict[str, float | str]:
    """Expected Brier scores of one draw of people."""
    rng = np.random.default_rng([seed, events, list(TRUTHS).index(truth)])
    frame, outcome = drawn(truth, round(events / SHARE_WITH_EVENT), rng=rng)
    tested, hazards = people(truth, TESTED, rng=rng)
    risk = incidence(hazards)
    answered = ~np.isnan(published(tested))
    persons = frame.subject_ids
    uncensored = conditional(frame, outcome)
    found: dict[str, float | str] = {"truth_name": truth, "events": events, "seed": seed}
    found["happened"] = float((outcome.event == 1).sum())
    found["truth"] = expected_brier(risk[answered], risk[answered])
    for name, learner in (("update", EquationUpdate(EQUATION)), ("cox", Cox())):
        fitted = learner.fit(frame, outcome, persons=persons, rng=np.random.default_rng(seed))
        if fitted.out_of_fold is None:
            raise ValueError("a learner is to give held-out risks")
        calibration = learn_calibration(fitted.out_of_fold, outcome, uncensored=uncensored)
        served = calibration.apply(fitted.risk_at(tested, (HORIZON,))).probabilities[:, 0]
        found[name] = expected_brier(served[answered], risk[answered])
        found[f"{name}_everyone"] = expected_brier(served, risk)
    said = published(frame)
    has = np.flatnonzero(~np.isnan(said))
    curve = RiskCurves((HORIZON,), said[has, None])
    recalibration = learn_calibration(curve, outcome.take(has), uncensored=uncensored.take(has))
    recalibrated = recalibration.apply(RiskCurves((HORIZON,), published(tested)[answered, None])).probabilities[:, 0]
    found["recalibrated"] = expected_brier(recalibrated, risk[answered])
    found["published"] = expected_brier(published(tested)[answered], risk[answered])
    return found


def expected_brier(risk: Floats, true_risk: Floats) -> float:
    """Of events drawn from the true risks: so nothing of it is the luck of the tested."""
    return float(np.mean((risk - true_risk) ** 2 + true_risk * (1 - true_risk)))


def published(frame: FeatureFrame) -> Floats:
    """(n,) the equation's risk; NaN where it lacks an input."""
    return EQUATIONS[EQUATION].value({name: frame.column(name) for name in EQUATIONS[EQUATION].inputs})


def people(truth: str, count: int, *, rng: np.random.Generator) -> tuple[FeatureFrame, Floats]:
    """A frame, and (2, n) true cumulative hazards by the horizon of the event and of other deaths."""
    columns = {
        "sex_female": rng.integers(0, 2, count),
        "age_years": rng.uniform(40, 78, count),
        "total_cholesterol_mg_dl_latest_1825d": np.clip(rng.normal(205, 35, count), 131, 319),
        "hdl_mg_dl_latest_1825d": np.clip(rng.normal(52, 14, count), 21, 99),
        "sbp_mmhg_latest_1825d": np.clip(rng.normal(130, 17, count), 91, 199),
        "egfr_ml_min_173m2_latest_1825d": np.clip(rng.normal(85, 17, count), 16, 139),
        "diabetes_ever": rng.random(count) < 0.12,
        "smoking_current": rng.random(count) < 0.18,
        "antihypertensive_current": rng.random(count) < 0.3,
        "statin_current": rng.random(count) < 0.2,
        "family_history": rng.random(count) < 0.2,
        "biomarker": rng.normal(size=count),
        "noise": rng.normal(size=count),
        "other_noise": rng.integers(0, 4, count),
    }
    values = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns.values()])
    whole = FeatureFrame(
        np.arange(count), np.full(count, np.datetime64("2015-01-01", "us")), tuple(columns), values.astype(np.float32)
    )
    kept, history, biomarker, age, smoking = TRUTHS[truth]
    said = np.log(-np.log1p(-published(whole)))
    older = values[:, whole.names.index("age_years")] - 59.0
    score = kept * (said - said.mean()) + age * older / 11
    for effect, name in ((history, "family_history"), (biomarker, "biomarker"), (smoking, "smoking_current")):
        score = score + effect * values[:, whole.names.index(name)]
    hazards = np.stack([_hazard(SHARE_WITH_EVENT, score), _hazard(0.08, 0.09 * older)])
    lacking = rng.random(count) < 0.1
    recorded = whole.values.copy()
    recorded[lacking, whole.names.index("total_cholesterol_mg_dl_latest_1825d")] = np.nan
    return FeatureFrame(whole.subject_ids, whole.as_of, whole.names, recorded), hazards


def incidence(hazards: Floats) -> Floats:
    """(n,) true risk by the horizon, deaths of other causes counted."""
    total = hazards.sum(axis=0)
    return np.asarray(hazards[0] / total * -np.expm1(-total), dtype=np.float64)


def drawn(truth: str, count: int, *, rng: np.random.Generator) -> tuple[FeatureFrame, Outcome]:
    """People followed until the event, another death, or the end of their follow-up: half of them for ten years."""
    frame, hazards = people(truth, count, rng=rng)
    at = HORIZON * rng.exponential(1 / hazards)
    left = np.where(rng.random(count) < 0.5, HORIZON + 30, rng.uniform(365, HORIZON + 30, count))
    times = np.stack([left, *at])
    return frame, Outcome(times.min(axis=0), times.argmin(axis=0).astype(np.int8), (HORIZON,))


def _hazard(share: float, score: Floats) -> Floats:
    """Cumulative hazards whose mean is that of a share with the event."""
    raw = np.exp(score)
    return np.asarray(-np.log1p(-share) * raw / raw.mean(), dtype=np.float64)


if __name__ == "__main__":
    main()
