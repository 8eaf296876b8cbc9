"""A model on people it was not made for: known numbers come back, what moved is named, and the model stays as it is."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import statsmodels.api as sm
from rich.console import Console
from scipy.special import expit, logit

from features.errors import PresageError
from features.frame import FeatureFrame
from features.sources.omop import ingest
from tests.made import validated
from tests.training.conftest import Drawn, draw_people
from training.cohort.censoring import Uncensored
from training.cohort.outcome import Outcome
from training.elsewhere.compare import drift, drift_sentence, recalibration, sentence
from training.external import Drift
from training.heldout.bench import Bench
from training.registry.kept import validations_of
from training.registry.tracking import client, quiet
from training.registry.versions import bundle_of
from training.report.page import story_of
from training.report.render import render_report
from training.result import Metric
from training.simulation import simulate
from training.train import train
from training.validate import External, reach_notes, validate

STUDIES = Path(__file__).parents[2] / "training" / "studies"
NOW = datetime.fromisoformat("2025-01-06T09:00:00")


def elsewhere(tmp_path: Path, table: pd.DataFrame, **more: Any) -> dict[str, Any]:
    table.to_csv(tmp_path / "other.csv", index=False)
    return validate("drawn", "latest", now=NOW, table=tmp_path / "other.csv", seed=5, **more).document


def test_the_held_out_people_give_the_trainings_own_numbers(at_home: Drawn, tmp_path: Path) -> None:
    """To the digit where nothing is weighted; censoring weights know the few people of site C by that name at home, and
    as the rest elsewhere, since a bundle does not keep their name.
    """
    table = at_home.table
    found = elsewhere(tmp_path, table[table["held_out"] == 1])
    chosen = at_home.document["chosen"]["metrics"]
    for name in ("c_harrell", "c_uno", "ibs"):
        assert found["metrics"][name] == chosen[name]
    assert found["metrics"].keys() == chosen.keys()
    values = {name: one["value"] for name, one in chosen.items()}
    assert {name: one["value"] for name, one in found["metrics"].items()} == pytest.approx(values, rel=0.01, abs=2e-3)
    assert found["people"] == at_home.document["validation"]["test_people"] == 450
    for level, one in at_home.document["groups"]["sex"].items():
        assert found["groups"]["sex"][level]["metrics"]["c_harrell"] == one["metrics"]["c_harrell"]
    assert "holds here" in found["sentence"]
    assert found["recalibration"]["kind"] in {"none", "shift", "slope"}


def test_other_people_give_scikit_survivals_concordance_of_the_bundles_own_risks(
    at_home: Drawn, tmp_path: Path
) -> None:
    from sksurv.metrics import concordance_index_censored

    table = draw_people(500, seed=9)
    found = elsewhere(tmp_path, table)
    with quiet():
        import mlflow

        client()
        risk = mlflow.pyfunc.load_model("models:/drawn/1").predict(table)["risk_400d"].to_numpy()
    followed = np.where(table["status"] == 2, table["days"].max() + 1, table["days"])
    # Harrell's C at the horizon: who lives beyond it is censored there.
    beyond = followed > 400
    expected = concordance_index_censored((table["status"] == 1) & ~beyond, np.where(beyond, 400.5, followed), risk)[0]
    assert found["metrics"]["c_harrell"]["value"] == pytest.approx(expected, abs=0.02)


def test_a_validation_is_a_run_below_the_training_and_leaves_the_model_alone(at_home: Drawn, tmp_path: Path) -> None:
    before = bundle_of("drawn", 1).digest
    found = elsewhere(tmp_path, draw_people(400, seed=12), source="Hospital B", by="ada", json_out=tmp_path / "v.json")
    assert json.loads((tmp_path / "v.json").read_text()) == json.loads(json.dumps(found))
    with quiet():
        run = client().get_run(found["run_id"])
    assert run.data.tags["mlflow.parentRunId"] == at_home.document["registered"]["run_id"]
    assert run.data.tags["validates"] == "drawn/1"
    assert run.data.metrics["auc"] == pytest.approx(found["metrics"]["auc"]["value"])
    assert bundle_of("drawn", 1).digest == before
    assert validations_of("drawn", 1)[0].source == "Hospital B"
    told = story_of("drawn", "1")
    said = {f.item.number: f.text for f in told.card.lists[0][2]}
    assert (said["6(i)"], said["6(ii)"]) == ("Hospital B.", "ada")
    assert "Hospital B" in render_report(told)


def test_levels_go_by_name_and_what_is_absent_is_missing(at_home: Drawn, tmp_path: Path) -> None:
    table = draw_people(400, seed=13)
    table["stage"] = table["stage"].replace({"I": "IV"})  # a level that nobody had in training
    table["frail"] = np.nan
    found = {one["feature"]: one for one in elsewhere(tmp_path, table)["drift"]}
    assert found["stage"]["missing_here"] == pytest.approx(
        (table["stage"].isna() | (table["stage"] == "IV")).mean(), abs=0.001
    )
    assert found["frail"]["missing_here"] == 1.0
    reordered = table.assign(stage=table["stage"].replace({"IV": "I"})).sample(frac=1.0, random_state=1)
    assert "stage" not in {one["feature"] for one in elsewhere(tmp_path, reordered)["drift"]}


def test_a_weaker_effect_elsewhere_asks_for_a_slope_and_is_called_lower(at_home: Drawn, tmp_path: Path) -> None:
    found = elsewhere(tmp_path, draw_people(2500, seed=21, age_effect=-0.02))
    assert found["recalibration"]["kind"] == "slope"
    assert found["recalibration"]["slope"] < 0.8
    assert "lower here" in found["sentence"]


def test_the_wrong_kind_of_source_and_too_few_events_are_one_clear_error(at_home: Drawn, tmp_path: Path) -> None:
    with pytest.raises(PresageError, match="--table: expected a table, as drawn was learned from one"):
        validate("drawn", "latest", now=NOW, record_dir=tmp_path)
    with pytest.raises(PresageError, match="expected at least 10 events there, found fewer"):
        elsewhere(tmp_path, draw_people(400, seed=3).query("status != 1 or index < 8"))
    with pytest.raises(PresageError, match="expected a version that is the champion, found none"):
        validate("drawn", now=NOW, table=tmp_path / "other.csv")


def test_the_suggested_recalibration_is_statsmodels_weighted_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    risk = rng.uniform(0.02, 0.6, 3000)
    event = (rng.random(3000) < expit(-0.5 + 0.6 * logit(risk))).astype(np.int8)
    persons = np.arange(3000)
    bench = Bench(persons, Outcome(np.full(3000, np.nan), event, ()), persons, None, 0, 1)
    steep = Metric(value=0.6, low=0.5, high=0.7)
    metrics = {"calibration_slope": steep, "calibration_in_the_large": Metric(value=0.1, low=0.0, high=0.2)}
    found = recalibration(bench, risk, metrics=metrics)
    expected = sm.Logit(event, sm.add_constant(logit(risk))).fit(disp=False).params
    assert [found.intercept, found.slope] == pytest.approx(list(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("slope", "large", "kind"),
    [((0.9, 1.1), (-0.1, 0.1), "none"), ((0.9, 1.1), (0.01, 0.2), "shift"), ((0.7, 0.9), (-0.1, 0.1), "slope"),
     ((1.0, 1.2), (0.0, 0.1), "none"), ((None, None), (0.0, 0.1), "unknown")],
)  # fmt: skip
def test_a_recalibration_is_suggested_only_where_an_interval_excludes_the_ideal(
    slope: tuple[float, float], large: tuple[float, float], kind: str
) -> None:
    persons = np.arange(200)
    event = (np.arange(200) % 3 == 0).astype(np.int8)
    bench = Bench(persons, Outcome(np.full(200, np.nan), event, ()), persons, None, 0, 1)
    metrics = {
        "calibration_slope": Metric(value=1.0, low=slope[0], high=slope[1]),
        "calibration_in_the_large": Metric(value=0.1, low=large[0], high=large[1]),
    }
    assert recalibration(bench, np.linspace(0.1, 0.6, 200), metrics=metrics).kind == kind


def test_a_validation_says_whom_it_could_not_follow(at_home: Drawn, tmp_path: Path) -> None:
    """In the table nobody is cut off before the horizon; of 200 rows 30, or 4, are."""
    found = elsewhere(tmp_path, draw_people(400, seed=13))
    assert found["notes"] == []
    outcome = Outcome(np.full(200, 9.0), np.zeros(200, dtype=np.int8), (5.0,))
    for out, said in ((30, "30 of 200 rows cannot be followed to 5 days"), (4, "fewer than 11 rows cannot"), (0, None)):
        reach = np.arange(200) >= out
        followed = Uncensored(np.ones(200), np.ones((200, 1)), reach[:, None])
        notes = reach_notes(Bench(np.arange(200), outcome, np.arange(200), followed, 0, 1))
        assert [note.startswith(said or "") for note in notes] == ([] if said is None else [True])
    console = Console(width=200, record=True, file=io.StringIO())
    noted = validated(**found | {"notes": ["30 of 200 rows cannot be followed"]})
    console.print(External(noted, noted.metrics))
    assert "Note: 30 of 200 rows cannot be followed" in console.export_text()


def test_drift_names_what_is_missing_or_moved_and_no_count_of_1_to_10() -> None:
    n = 1000
    moved, same, sparse = np.full(n, 1.0), np.zeros(n), np.zeros(n)
    moved[::2] = np.nan
    sparse[:995] = np.nan
    names = ("moved", "same", "sparse")
    values = np.column_stack([moved, same, sparse]).astype(np.float32)
    as_of = np.full(n, np.datetime64("NaT", "us"))
    frame = FeatureFrame(np.arange(n), as_of, names, values, {})
    rows = [{"feature": name, "missing": 0.0, "mean": 0.0, "sd": 2.0} for name in names]
    found = drift(frame, pa.Table.from_pylist(rows))
    assert [one.feature for one in found] == ["moved", "sparse"]
    assert found[0] == Drift(feature="moved", missing_training=0.0, missing_here=0.5, shift=0.5)
    assert found[1].missing_here is None  # five people have a value
    assert drift_sentence(found, 3).startswith("2 of 3 features are missing")
    assert drift_sentence([], 3) == "None of 3 features moved."


@pytest.mark.parametrize(
    ("low", "high", "said"), [(0.6, 0.69, "lower here"), (0.66, 0.74, "holds here"), (0.71, 0.8, "higher here")]
)
def test_discrimination_holds_where_the_internal_estimate_is_within_the_external_interval(
    low: float, high: float, said: str
) -> None:
    external = {"auc": Metric(value=(low + high) / 2, low=low, high=high)}
    assert said in sentence({"auc": Metric(value=0.7, low=0.6, high=0.8)}, external)


ADMISSION = """
name = "admission-small"
[population]
index = "yearly"
index_years = [2014, 2016, 2018]
age_years = [18, 90]
history_days = 365
[outcome]
name = "unplanned_admission"
codes = "codelists/unplanned_admission.csv"
washout_days = 0
horizons_days = [365]
[features]
families = ["demographics", "conditions"]
[models]
candidates = ["cox"]
[validation]
folds = 2
bootstraps = 20
[equity]
groups = ["sex"]
"""


def simulated(folder: Path, *, seed: int, scenario: str) -> Path:
    simulate(folder / "source", people=1000, seed=seed, scenario=scenario)
    ingest(folder / "source" / "omop", folder / "record")
    return folder / "record"


def test_a_record_elsewhere_is_read_by_the_same_definition_and_scored_by_the_same_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    here = simulated(tmp_path / "here", seed=3, scenario="default")
    there = simulated(tmp_path / "there", seed=4, scenario="no-treatment-benefit")
    (tmp_path / "codelists").symlink_to(STUDIES / "codelists")
    (tmp_path / "study.toml").write_text(ADMISSION)
    trained = train(tmp_path / "study.toml", record_dir=here, seed=2).document
    home = validate("admission-small", "latest", now=NOW, record_dir=here).document
    assert (home["people"], home["events"]) == (trained["people"], trained["events"])
    assert home["attrition"] == trained["attrition"]
    assert home["drift"] == []
    found = validate("admission-small", "latest", now=NOW, record_dir=there).document
    assert found["served_by"] == {"clinical": found["rows"]}
    assert found["attrition"][-1]["people"] == found["people"]
    assert found["people"] != home["people"]
    assert found["metrics"]["auc"]["low"] > 0.5
    with pytest.raises(PresageError, match="--record: expected a record, as admission-small"):
        validate("admission-small", "latest", now=NOW, table=tmp_path / "study.toml")
