"""Small whole values for tests that look at a part of them: a result of a training, and a plan of one."""

from __future__ import annotations

import json
from typing import Any

from training.cohort.rows import Cohort
from training.cohort.splits import Scheme
from training.external import ExternalResult
from training.fitting.pair import followed
from training.heldout.plan import Plan
from training.result import Result
from training.study import OutcomeSection, Source, Study

LEAST = {
    "study": "drawn",
    "title": "Drawn people",
    "kind": "predictive",
    "people": 600,
    "rows": 600,
    "events": 90,
    "attrition": [],
    "validation": {
        "scheme": "5 folds",
        "splits": 5,
        "train_people": 600,
        "test_people": 600,
        "test_rows": 600,
        "bootstraps": 100,
    },
    "chosen": {"candidate": "cox", "horizon_days": 730.0, "metrics": {}},
    "candidates": {},
    "inner_brier": {},
    "comparison": {},
    "equation": None,
    "blocks": [],
    "groups": {},
    "gaps": {},
    "notes": [],
    "seed": 7,
    "study_digest": "5" * 64,
}


def result_with(**parts: Any) -> Result:
    """The keys that every result has had since the first, with these parts; of a part of it, those keys alone."""
    whole: dict[str, Any] = dict(LEAST)
    for key, part in parts.items():
        merged = key in ("validation", "chosen")
        whole[key] = whole[key] | part if merged else part
    return Result.model_validate_json(json.dumps(whole))


def validated(**parts: Any) -> ExternalResult:
    """The keys that every validation has had, with these parts."""
    unknown = {"kind": "unknown", "intercept": None, "slope": None, "sentence": "Too few events to say."}
    least = {
        "study": "drawn",
        "people": 400,
        "rows": 400,
        "events": 60,
        "attrition": [],
        "left_out": {},
        "served_by": {"clinical": 400},
        "metrics": {},
        "horizons": {},
        "groups": {},
        "gaps": {},
        "equation": None,
        "recalibration": unknown,
        "drift": [],
        "drift_sentence": "None moved.",
        "sentence": "Discrimination holds here.",
        "bootstraps": 100,
        "seed": 7,
        "model": "drawn",
        "version": 1,
        "bundle_digest": "b" * 64,
        "source": "another table",
        "by": None,
        "at": "2025-01-06T09:00:00",
    }
    return ExternalResult.model_validate_json(json.dumps(least | parts))


def changed(result: Result, **parts: Any) -> Result:
    """The same result with other parts, given as JSON has them."""
    return Result.model_validate_json(json.dumps(result.to_json() | parts))


def plan_of(cohort: Cohort, scheme: Scheme, *, seed: int = 1) -> Plan:
    """A plan of a cohort that no study file made."""
    study = Study(name="drawn", source=Source(table="people.csv"), outcome=OutcomeSection(event="status"))
    return Plan(study, cohort, scheme, tuple(followed(cohort, split.train) for split in scheme.splits), seed)
