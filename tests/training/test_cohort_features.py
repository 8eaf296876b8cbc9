"""A study of a record from ingest to bundle, on the public GI-bleed example."""

from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest

from features.sources.omop import ingest
from training.card.card import read_answers
from training.promote import promote
from training.registry.versions import bundle_of
from training.train import train

NOW = datetime.fromisoformat("2025-01-06T09:00:00")
STUDIES = Path(__file__).parents[2] / "training" / "studies"


def by_hand(folder: Path) -> tuple[int, int]:
    """People and events of the study, counted from the tables themselves."""
    table = {path.stem: pd.read_csv(path, low_memory=False).rename(columns=str.lower) for path in folder.glob("*.csv")}
    below = table["concept_ancestor"].groupby("ancestor_concept_id")["descendant_concept_id"].agg(set)
    drugs, bleeds = table["drug_exposure"], table["condition_occurrence"]
    drugs = drugs[drugs["drug_concept_id"].isin(below[1118084] | below[1124300])]
    index = pd.to_datetime(drugs["drug_exposure_start_date"]).groupby(drugs["person_id"]).min()
    bleeds = bleeds[bleeds["condition_concept_id"].isin(below.get(192671, set()) | {192671})]
    bled = pd.to_datetime(bleeds["condition_start_date"]).groupby(bleeds["person_id"]).min().reindex(index.index)
    period = table["observation_period"].set_index("person_id").reindex(index.index)
    start, end = (pd.to_datetime(period[f"observation_period_{side}_date"]) for side in ("start", "end"))
    chosen = ((index - start).dt.days >= 365) & (end >= index) & ~(bled <= index)
    events = chosen & ((bled - index).dt.days <= 365) & (bled <= end)
    return int(chosen.sum()), int(events.sum())


@pytest.mark.realdata
def test_gi_bleed_after_a_first_nsaid_is_predicted_and_calibrated(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    ingest(real_data / "omop_gibleed", tmp_path / "record")
    text = (STUDIES / "gi-bleed-1y.toml").read_text()
    text = text.replace('["cox", "xgboost"]', '["cox"]').replace("folds = 5", "folds = 3\nbootstraps = 50")
    (tmp_path / "codelists").symlink_to(STUDIES / "codelists")
    (tmp_path / "gi.toml").write_text(text)
    document = train(tmp_path / "gi.toml", record_dir=tmp_path / "record").document
    assert (document["people"], document["events"]) == by_hand(real_data / "omop_gibleed")
    metrics = document["chosen"]["metrics"]
    assert metrics["auc"]["low"] > 0.6
    assert metrics["calibration_slope"]["low"] < 1 < metrics["calibration_slope"]["high"]
    assert document["leakage"]["passed"]
    answers = read_answers(STUDIES / "cards" / "gi-bleed-1y.toml")
    bundle = bundle_of("gi-bleed-1y", 1)
    assert bundle.catalogue_hash == bundle.manifest["catalogue_hash"]
    rules = {
        rule.name: rule.verdict for rule in promote("gi-bleed-1y", 1, now=NOW, answers=answers, signed_by="demo").rules
    }
    assert rules["beats the reference equation"] == "not applicable"
    assert rules["leakage proof present"] == "pass"
    assert rules["model card signed"] == "pass"
