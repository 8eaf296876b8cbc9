from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.frame import FeatureFrame
from training.learners.tuning import tune
from training.outcomes import Outcome


def world() -> tuple[FeatureFrame, Outcome]:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(400, 4)).astype(np.float32)
    event_at, censored_at = rng.exponential(np.exp(-values[:, 0])), rng.uniform(0.1, 3, 400)
    when = np.full(400, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(400), when, ("a", "b", "c", "d"), values)
    return frame, Outcome(np.minimum(event_at, censored_at), (event_at <= censored_at).astype(np.int8), (1.0,))


@pytest.mark.parametrize("name", ["xgboost", "xgboost_cox"])
def test_the_same_seed_finds_the_same_settings_and_they_fit(name: str) -> None:
    frame, outcome = world()
    found = [
        tune(name, frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(2), trials=3)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0].trials == 3
    learner = found[0].learner(name)  # type: ignore[arg-type]
    fitted = learner.fit(frame, outcome, persons=frame.subject_ids, rng=np.random.default_rng(3))
    assert fitted.settings["depth"] == found[0].depth


def test_a_second_call_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    frame, outcome = world()
    storage = f"sqlite:///{tmp_path / 'tuning.db'}"
    args = {"persons": frame.subject_ids, "storage": storage, "study": "chd"}
    first = tune("xgboost_cox", frame, outcome, rng=np.random.default_rng(2), trials=2, **args)  # type: ignore[arg-type]
    second = tune("xgboost_cox", frame, outcome, rng=np.random.default_rng(2), trials=4, **args)  # type: ignore[arg-type]
    assert (first.trials, second.trials) == (2, 4)
    assert second.loss <= first.loss
