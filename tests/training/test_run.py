"""From a flat table to a champion: numbers twice alike, a bundle that verifies, a model without a pickle."""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from features.errors import PresageError
from features.frame import FeatureFrame
from training.bundle.bundle import Bundle, load
from training.promote import promote
from training.registry.tracking import client, quiet
from training.registry.versions import CHAMPION, bundle_of, champion_version
from training.train import train

NOW = datetime.fromisoformat("2025-01-06T09:00:00")
STUDY = """
name = "drawn"
title = "Survival of drawn people"
[source]
table = "people.csv"
id = "patient"
[outcome]
time = "days"
event = "status"
horizons_days = [200, 400]
[features]
exclude = ["leak"]
[features.blocks]
clinical = ["age", "stage"]
genomic = ["gene_*"]
[models]
candidates = ["cox", "xgboost"]
[validation]
folds = 3
bootstraps = 40
[equity]
groups = ["sex"]
min_people = 60
"""


def people(n: int = 600, *, seed: int = 2) -> pd.DataFrame:
    """Hazard rises with age, stage and gene_1; half are genotyped; gene_2 does nothing; some die of something else."""
    rng = np.random.default_rng(seed)
    age, stage = rng.normal(60, 10, n), rng.choice(["I", "II", "III"], n)
    gene = rng.binomial(1, 0.4, (n, 2)).astype(float)
    rate = np.exp(0.04 * (age - 60) + 0.7 * (stage == "III") + 2.0 * gene[:, 0]) / 700
    event, other, left = rng.exponential(1 / rate), rng.exponential(2500, n), rng.uniform(100, 1200, n)
    days = np.minimum(np.minimum(event, other), left)
    status = np.where(days == event, 1, np.where(days == other, 2, 0))
    gene[rng.random(n) < 0.5] = np.nan
    return pd.DataFrame(
        {"patient": [f"MRN-{i:05d}" for i in range(n)], "age": age, "stage": stage, "sex": rng.choice(["F", "M"], n),
         "gene_1": gene[:, 0], "gene_2": gene[:, 1], "days": days, "status": status, "leak": status}
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "presage"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        people().to_csv(folder / "people.csv", index=False)
        (folder / "drawn.toml").write_text(STUDY)
        yield folder


@pytest.fixture(scope="module")
def document(home: Path) -> dict[str, Any]:
    summary = train(home / "drawn.toml", json_out=home / "out.json", predictions_out=home / "out.parquet", seed=5)
    assert json.loads((home / "out.json").read_text()) == json.loads(json.dumps(summary.document))
    return summary.document


def test_the_summary_says_what_the_contract_promises(document: dict[str, Any]) -> None:
    assert (document["study"], document["kind"], document["people"]) == ("drawn", "predictive", 600)
    assert document["events"] == int((people()["status"] == 1).sum())
    assert document["chosen"]["horizon_days"] == 400
    metrics = document["chosen"]["metrics"]
    for name in (
        "c_harrell", "c_uno", "auc", "auprc", "brier", "brier_scaled", "ibs", "calibration_slope",
        "calibration_in_the_large", "observed_to_expected", "sensitivity_top_0.05", "ppv_top_0.05",
    ):  # fmt: skip
        assert metrics[name]["low"] <= metrics[name]["value"] <= metrics[name]["high"]
    assert all(metrics[name]["low"] is None and metrics[name]["value"] > 0 for name in ("ici", "e50", "e90"))
    [cutoff] = document["validation"]["cutoffs"]  # the incidence, as the study names none
    for name in ("sensitivity", "specificity", "ppv", "alerts_per_true_case", "net_benefit"):
        assert metrics[f"{name}_at_{cutoff:g}"]["value"] is not None
        assert f"{name}_at_{cutoff:g}" in document["groups"]["sex"]["F"]["metrics"]
    assert set(document["candidates"]) == {"cox", "xgboost"}
    assert set(document["candidates"]["cox"]) == {"200", "400"}
    assert set(document["groups"]["sex"]) == {"F", "M"}
    assert set(document["comparison"]) == {"everyone", "genomic"}
    assert 0 < document["gaps"]["sex"]["expected_by_chance"] < document["gaps"]["sex"]["chance_high"] < 0.3


def test_it_is_said_until_when_and_whose_performance_it_is(document: dict[str, Any]) -> None:
    table = people()
    by = int(((table["status"] == 1) & (table["days"] <= 400)).sum())
    assert (document["events_by_horizon"], document["time_unit"]) == (by, "days")
    assert document["comparison"]["everyone"]["events_by_horizon"] == by
    assert (
        "mean of the 3 models that were tested, each learned on 2/3 of these people"
        in (document["validation"]["estimates"])
    )
    start, end = document["chosen"]["ibs_days"]
    assert 0 < start < end == 400


def test_each_folds_numbers_are_those_of_its_own_people(home: Path, document: dict[str, Any]) -> None:
    from sklearn.metrics import brier_score_loss

    found = pq.read_table(home / "out.parquet").to_pandas().query("horizon_days == 400")
    table = people().set_index("patient")
    assert sum(fold["people"] for fold in document["folds"].values()) == 600
    assert sum(fold["events"] for fold in document["folds"].values()) == document["events_by_horizon"]
    for name, fold in document["folds"].items():
        assert set(fold["models"]) == {"cox", "xgboost"}
        rows = found[(found["fold"] == name) & (found["candidate"] == "cox")].set_index("id")
        own = table.loc[rows.index]
        assert fold["people"] == len(rows)
        known = (own["days"] > 400) | (own["status"] != 0)
        label = (own["status"] == 1) & (own["days"] <= 400)
        unweighted = brier_score_loss(label[known], rows["risk"][known])
        assert fold["models"]["cox"]["brier"]["value"] == pytest.approx(unweighted, abs=0.03)
    harrell = [fold["models"]["cox"]["c_horizon"]["value"] for fold in document["folds"].values()]
    pooled = document["candidates"]["cox"]["400"]["c_horizon"]["value"]
    assert min(harrell) < pooled < max(harrell)


def test_a_gene_that_matters_is_credited_on_the_people_who_have_it(document: dict[str, Any]) -> None:
    [block] = document["blocks"]
    assert (block["added"], block["to"]) == ("genomic", ["clinical"])
    assert block["people"] == int(people()["gene_1"].notna().sum())
    assert block["delta"]["c_harrell"]["low"] > 0
    assert "adds discrimination" in block["sentence"]
    assert block["reclassification"][0]["events"]["value"] > 0
    assert block["delta"]["brier"]["high"] < 0
    assert block["net_benefit"][0]["delta"]["low"] > 0


def test_the_summary_says_what_moves_risk_most(document: dict[str, Any]) -> None:
    found = {one["feature"]: one for one in document["importance"]}
    assert set(list(found)[:3]) == {"age", "stage", "gene_1"}
    assert found["gene_1"]["family"] == "genomic"
    assert found["age"]["low"] <= found["age"]["value"] <= found["age"]["high"]
    assert 1 <= found["age"]["rank_low"] <= found["age"]["rank_high"] <= len(found)


def test_harrells_c_of_the_predictions_is_scikit_survivals(home: Path, document: dict[str, Any]) -> None:
    from sksurv.metrics import concordance_index_censored

    found = pq.read_table(home / "out.parquet").to_pandas()
    one = found[(found["candidate"] == "cox") & (found["horizon_days"] == 400)].set_index("id")
    table = people().set_index("patient").loc[one.index]
    # A competing event leaves the person at risk for ever after: Harrell's C on the subdistribution.
    followed = np.where(table["status"] == 2, table["days"].max() + 1, table["days"])
    agree = total = 0.0
    for fold in sorted(one["fold"].unique()):  # only people whom one model has tested are compared
        here = (one["fold"] == fold).to_numpy()
        counted = concordance_index_censored((table["status"] == 1)[here], followed[here], one["risk"][here])
        _, concordant, discordant, tied, _ = counted
        agree, total = agree + concordant + tied / 2, total + concordant + discordant + tied
    assert document["candidates"]["cox"]["400"]["c_harrell"]["value"] == pytest.approx(agree / total, abs=0.01)


def test_predictions_are_held_out_once_per_person_and_rise_with_the_horizon(
    home: Path, document: dict[str, Any]
) -> None:
    found = pq.read_table(home / "out.parquet").to_pandas()
    assert found.groupby(["candidate", "horizon_days"])["id"].nunique().eq(600).all()
    wide = found.pivot_table(index=["id", "candidate"], columns="horizon_days", values="risk")
    assert (wide[400.0] >= wide[200.0]).all()
    served = people().set_index("patient")["gene_1"].notna()
    assert (found["model"] == found["id"].map(served.map({True: "combined", False: "clinical"}))).all()


def test_two_trainings_with_one_seed_agree_in_every_number(home: Path, document: dict[str, Any]) -> None:
    again = train(home / "drawn.toml", predictions_out=home / "again.parquet", seed=5).document
    volatile = {"registered"}
    assert {k: v for k, v in again.items() if k not in volatile} == {
        k: v for k, v in document.items() if k not in volatile
    }
    assert again["registered"]["digest"] == document["registered"]["digest"]
    assert (home / "again.parquet").read_bytes() == (home / "out.parquet").read_bytes()


def test_a_search_for_settings_is_in_the_summary_and_a_second_one_is_not_run_again(home: Path, tmp_path: Path) -> None:
    (tmp_path / "searched.toml").write_text(STUDY.replace('"drawn"', '"searched"').replace("folds = 3", "folds = 2"))
    people(300).to_csv(tmp_path / "people.csv", index=False)
    runs = [train(tmp_path / "searched.toml", seed=5, tune=2).document for _ in range(2)]
    found = runs[0]["tuning"]
    assert set(found) == {"xgboost"}  # a regression learns its penalties in every fit
    assert found["xgboost"]["trials"] == 2
    assert set(found["xgboost"]["best"]) >= {"depth", "eta", "lambda"}
    assert set(found["xgboost"]["splits"]) == {"1", "2"}
    assert runs[1]["tuning"] == found
    assert runs[1]["registered"]["digest"] == runs[0]["registered"]["digest"]
    assert (home / "presage" / "tuning.db").is_file()


def frame_of_three(bundle: Bundle) -> FeatureFrame:
    names = bundle.names
    values = np.full((3, len(names)), np.nan, dtype=np.float32)
    for row, (age, stage, gene) in enumerate([(50, 0, 1), (70, 2, np.nan), (70, 2, 0)]):
        wanted = {"age": age, "stage": stage, "gene_1": gene, "gene_2": 0 if gene == gene else np.nan, "sex": 0}
        values[row] = [wanted[name] for name in names]
    moments = np.full(3, np.datetime64("NaT", "us"))
    levels = {name: tuple(known) for name, known in bundle.manifest["levels"].items()}
    return FeatureFrame(np.arange(3), moments, names, values, levels)


def test_the_bundle_serves_each_by_the_model_for_them_alone_as_in_a_batch(document: dict[str, Any]) -> None:
    bundle = bundle_of("drawn", document["registered"]["version"])
    frame = frame_of_three(bundle)
    answer = bundle.risk(frame)
    assert answer.model.tolist() == ["combined", "clinical", "combined"]
    assert answer.reason.tolist() == ["", "no genomic results", ""]
    for row in range(3):
        alone = bundle.risk(frame.take(np.array([row])))
        assert alone.risk[0] == pytest.approx(answer.risk[row], abs=1e-12)
    assert (answer.risk[:, 1] >= answer.risk[:, 0]).all()


def test_who_lacks_what_nobody_lacked_in_training_is_not_scored_by_any_model(document: dict[str, Any]) -> None:
    bundle = bundle_of("drawn", document["registered"]["version"])
    assert set(bundle.serving.required) == {
        "age",
        "stage",
    }  # sex is in no block; genes are missing for half of the people
    frame = frame_of_three(bundle)
    frame.values[0, frame.names.index("age")] = np.nan
    answer = bundle.risk(frame)
    assert answer.not_scored.tolist() == ["needs age, which is not recorded", "", ""]
    assert np.isnan(answer.risk[0]).all()
    assert np.isfinite(answer.risk[1:]).all()


def test_a_changed_added_or_missing_file_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    import shutil

    source = bundle_of("drawn", document["registered"]["version"]).folder
    assert {path.suffix for path in source.rglob("*") if path.is_file()} <= {
        ".json",
        ".parquet",
        ".ubj",
        ".md",
        ".toml",
    }
    for change in ("changed", "added", "missing"):
        copy = tmp_path / change
        shutil.copytree(source, copy)
        if change == "changed":
            (copy / "calibration.json").write_text((copy / "calibration.json").read_text() + " ")
        elif change == "added":
            (copy / "model.pkl").write_bytes(b"")
        else:
            (copy / "card.md").unlink()
        with pytest.raises(PresageError, match="so it is refused"):
            load(copy)
    with pytest.raises(PresageError, match="expected a bundle of the catalogue in use"):
        load(source, catalogue_hash="another")


def test_mlflow_holds_the_run_and_loads_the_model_without_a_pickle(home: Path, document: dict[str, Any]) -> None:
    store = client()
    with quiet():
        import mlflow

        run = store.get_run(document["registered"]["run_id"])
        children = store.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{run.info.run_id}'")
        model = mlflow.pyfunc.load_model(f"models:/drawn/{document['registered']['version']}")
        answer = model.predict(people()[["age", "stage", "sex", "gene_1", "gene_2"]].head(3))
    assert {child.data.tags["candidate"] for child in children} == {"cox", "xgboost"}
    assert run.data.metrics["auc_low"] <= run.data.metrics["auc"] <= run.data.metrics["auc_high"]
    assert run.data.params["seed"] == "5"
    assert ((answer["risk_400d"] > 0) & (answer["risk_400d"] < 1)).all()
    artifacts = [path for path in (home / "presage").rglob("*") if path.is_file()]
    assert not [path for path in artifacts if path.suffix in {".pkl", ".pickle", ".joblib"}]
    assert any(path.name == "calibration.svg" for path in artifacts)


def test_nothing_that_is_kept_knows_a_persons_id(home: Path, document: dict[str, Any]) -> None:
    for path in (home / "presage").rglob("*"):
        assert not path.is_file() or b"MRN-0" not in path.read_bytes(), path


def test_promotion_asks_for_a_signed_card_and_records_an_override(document: dict[str, Any]) -> None:
    version = document["registered"]["version"]
    refused = promote("drawn", version, now=NOW)
    verdicts = {rule.name: rule.verdict for rule in refused.rules}
    assert not refused.promoted
    assert verdicts["model card signed"] == "fail"
    assert verdicts["beats the reference equation"] == "not applicable"
    with pytest.raises(PresageError, match="expected a version that is the champion, found none"):
        champion_version("drawn")
    with pytest.raises(PresageError, match="--override: expected a reason, found none"):
        promote("drawn", version, now=NOW, signed_by="ada", override=True)
    with pytest.raises(PresageError, match="--override: expected the name of who overrides"):
        promote("drawn", version, now=NOW, override=True, reason="a test")
    assert promote("drawn", version, now=NOW, signed_by="ada", override=True, reason="a test").promoted
    assert champion_version("drawn") == version
    with quiet():
        kept = client().get_model_version_by_alias("drawn", CHAMPION)
    said = [kept.tags[f"gate_override_{what}"] for what in ("reason", "by", "at")]
    assert said == ["a test", "ada", "2025-01-06T09:00:00"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (lambda t: t.drop(columns="status"), "column 'status': expected a column among .*, found none of that name"),
        (lambda t: t.assign(status=3), "expected 0, 1 or 2"),
        (lambda t: t.assign(days=-1), "zero or more days"),
        (lambda t: t.assign(status=0), "events to learn from"),
        (lambda t: t.drop(columns="gene_1").drop(columns="gene_2"), "gene_"),
        (lambda t: t.assign(stage=[f"text {i}" for i in range(len(t))]), "different values"),
    ],
)
def test_a_table_that_cannot_be_learned_from_is_one_clear_error(
    home: Path, tmp_path: Path, table: Any, said: str
) -> None:
    table(people(200)).to_csv(tmp_path / "people.csv", index=False)
    (tmp_path / "drawn.toml").write_text(STUDY)
    with pytest.raises(PresageError, match=said) as caught:
        train(tmp_path / "drawn.toml")
    assert "MRN" not in str(caught.value)


@pytest.mark.realdata
def test_penncath_says_that_genomics_adds_nothing(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    folder = real_data / "geno_penncath_lite"
    study = f"""
    name = "penncath"
    [source]
    table = "{folder / "penncath_clinical.csv"}"
    id = "FamID"
    genotypes = "{folder / "penncath_lite.bed"}"
    [outcome]
    event = "CAD"
    [models]
    candidates = ["logistic"]
    [validation]
    folds = 3
    bootstraps = 100
    """
    (tmp_path / "penncath.toml").write_text(study)
    [block] = train(tmp_path / "penncath.toml").document["blocks"]
    assert block["people"] == 1401
    assert "adds nothing here" in block["sentence"]
    assert block["delta"]["auc"]["low"] <= 0


@pytest.mark.realdata
def test_mutations_in_173_genes_do_not_make_the_stack_worse(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """METABRIC; added to the clinical columns as they are, they lose .02 of C (see `benchmarks/genomics.py`)."""
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    folder = real_data / "cancer_metabric"
    clinical = pd.read_csv(folder / "metabric_clinical.tsv", sep="\t")
    outcome = pd.read_csv(folder / "metabric_survival.tsv", sep="\t")[["patientId", "time", "event"]]
    found = pd.read_csv(folder / "metabric_mutations.tsv", sep="\t", keep_default_na=False)
    genes = pd.crosstab(found["patientId"], found["hugoGeneSymbol"]).clip(upper=1).add_prefix("mutated_")
    table = clinical.merge(outcome, on="patientId").merge(genes, left_on="patientId", right_index=True, how="left")
    table.to_csv(tmp_path / "women.csv", index=False)
    (tmp_path / "metabric.toml").write_text(f"""
    name = "metabric"
    [source]
    table = "women.csv"
    id = "patientId"
    [outcome]
    time = "time"
    event = "event"
    horizons_days = [3650]
    [features.blocks]
    rest = "clinical"
    clinical = ["AGE_AT_DIAGNOSIS"]
    mutations = ["mutated_*"]
    [models]
    candidates = ["stack"]
    [validation]
    folds = 5
    repeats = {2 if os.environ.get("PRESAGE_SLOW") else 1}
    bootstraps = 50
    """)
    [block] = train(tmp_path / "metabric.toml").document["blocks"]
    assert block["people"] == 1859
    assert block["delta"]["c_harrell"]["value"] > -0.005
    assert block["delta"]["c_harrell"]["high"] > 0
