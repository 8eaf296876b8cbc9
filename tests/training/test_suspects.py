"""A column that knows the outcome is named in summary, verdict and gate; honest columns are not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from tests.made import result_with
from tests.training.leaking import LEAKS, TIMED_LEAKS, honest_table, leaking_table
from training.cohort.table import read_flat
from training.promote import promote
from training.registry.gate import gate
from training.report.verdict import bottom_line
from training.result import Suspect
from training.study import Gate, Study
from training.train import train

TABLES = 340 if os.environ.get("PRESAGE_SLOW") else 34  # each kind of leak once, or ten times
SURVIVAL_TABLES = ("metabric", "gbsg", "support", "whas", "flchain", "nwtco")


def suspected(table: pd.DataFrame, *, timed: bool, **more: Any) -> dict[str, str]:
    outcome: dict[str, Any] = {"event": "died"} | ({"time": "days"} if timed else {})
    cohort = read_flat(Study(name="drawn", outcome=outcome, **more), Path(), handed=table)
    assert cohort.suspects is not None
    return {one.feature: one.words for one in cohort.suspects}


def test_every_generated_table_with_a_leaking_column_is_warned_of_and_of_that_column_alone() -> None:
    missed, wrongly = [], []
    for seed in range(TABLES):
        table, name, kind, timed = leaking_table(seed)
        found = suspected(table, timed=timed)
        missed += [(seed, kind)] if name not in found else []
        wrongly += [(seed, other, words) for other, words in found.items() if other != name]
    assert missed == []
    assert wrongly == []


def test_all_kinds_of_leak_are_among_the_generated() -> None:
    assert {leaking_table(seed)[2] for seed in range(34)} == {*LEAKS, *TIMED_LEAKS}


@settings(deadline=None, max_examples=300 if os.environ.get("PRESAGE_SLOW") else 20)
@given(seed=st.integers(0, 10**6), timed=st.booleans())
def test_no_honest_table_is_suspected(seed: int, *, timed: bool) -> None:
    table = honest_table(np.random.default_rng([seed, 3]), timed=timed).drop(columns="relapse_at")
    assert suspected(table, timed=timed) == {}


def test_a_column_that_is_called_like_another_outcome_needs_to_go_with_this_one() -> None:
    rng = np.random.default_rng(4)
    table = honest_table(rng, timed=False).drop(columns="relapse_at")
    died, n = table["died"], len(table)
    table["relapse"] = np.where(rng.random(n) < 0.7, died, rng.integers(0, 2, n))
    table["prior_relapse"], table["vital_capacity"] = table["relapse"], rng.integers(0, 2, n)
    assert suspected(table, timed=False) == {"relapse": "is called like another outcome, and goes with this one"}


def test_words_hold_no_value_of_anybody() -> None:
    table = honest_table(np.random.default_rng(5), timed=True).drop(columns="relapse_at")
    table["note"] = table["died"].map({0: "secretly well", 1: "secretly ill"})
    assert "secret" not in suspected(table, timed=True)["note"]


@pytest.mark.realdata
@pytest.mark.parametrize("name", SURVIVAL_TABLES)
def test_no_column_of_the_public_survival_tables_is_suspected(name: str, real_data: Path) -> None:
    study = Study(name=name, outcome={"time": "time", "event": "status"})
    cohort = read_flat(study, Path(), handed=real_data / "survival_benchmark" / f"{name}.csv")
    assert cohort.suspects == ()


@pytest.mark.realdata
def test_no_column_of_metabric_penncath_and_readmission_is_suspected(real_data: Path) -> None:
    from genomics import women
    from readmission import encounters

    breast = Study(name="metabric", source={"id": "patientId"}, outcome={"time": "time", "event": "event"})
    assert read_flat(breast, Path(), handed=women(real_data / "cancer_metabric")).suspects == ()
    heart = Study(name="penncath", source={"id": "FamID"}, outcome={"event": "CAD"})
    table = real_data / "geno_penncath_lite" / "penncath_clinical.csv"
    assert read_flat(heart, Path(), handed=table).suspects == ()
    exclude = {"exclude": ["encounter_id"]}
    stays = Study(name="stays", source={"id": "patient_nbr"}, outcome={"event": "readmitted"}, features=exclude)
    assert read_flat(stays, Path(), handed=encounters()).suspects == ()


@pytest.mark.realdata
def test_support_names_what_is_known_after_the_outcome(real_data: Path) -> None:
    """Its own description: slos and hospdead are of the whole stay, sfdm2 is function after two months."""
    with (real_data / "clin_support2" / "support2.csv").open() as file:
        table = pd.read_csv(file)
    study = Study(
        name="support",
        source={"id": "sno"},
        outcome={"time": "d.time", "event": "death", "horizons_days": [180]},
    )
    found = {one.feature for one in read_flat(study, Path(), handed=table).suspects or ()}
    assert {"hospdead", "slos", "sfdm2"} <= found
    assert found <= {"hospdead", "slos", "sfdm2", "surv2m", "surv6m"}  # the last two are other models' survival


LEAK = {"feature": "autopsy", "words": "tells the outcome alone (AUC 1.000)"}


def measured(*suspects: dict[str, str], auc: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Any:
    estimate = dict(zip(("value", "low", "high"), auc, strict=True))
    data = {
        "digest": "d" * 64, "first_index": None, "last_index": None, "median_followup_days": None,
        "rows_with_event": 90, "rows_with_competing_event": None, "rows_without_either": 510, "features": 2,
        "code_features": 0, "blocks": [], "missing": {}, "sensitive": {}, "suspects": list(suspects),
    }  # fmt: skip
    return result_with(chosen={"metrics": {"auc": estimate, "calibration_slope": {"value": 1.0}}}, data=data)


def rule(result: Any, *, signed_by: str | None = "ada", flat: bool = True) -> tuple[str, str]:
    name = "columns that look like the outcome explained"
    rules = gate(result, Gate(), flat=flat, signed_by=signed_by, blank=())
    return next((one.verdict, one.why) for one in rules if one.name == name)


def test_better_than_chance_never_stands_alone_where_a_column_looks_like_the_outcome() -> None:
    found = bottom_line(measured(LEAK))
    assert found.adds == "unsure"
    assert "better than chance" not in found.words
    assert "'autopsy' tells the outcome alone (AUC 1.000)" in found.words
    explained = bottom_line(measured(LEAK | {"reason": "done before"}))
    assert explained.adds == "something"
    assert "'autopsy' tells the outcome alone (AUC 1.000) (explained: done before)" in explained.words


def test_a_model_that_adds_nothing_says_so_and_names_the_column_too() -> None:
    found = bottom_line(measured(LEAK, auc=(0.5, 0.45, 0.55)))
    assert found.adds == "nothing"
    assert "'autopsy'" in found.words


def test_an_auc_that_is_rarely_true_is_doubted_though_no_single_column_is() -> None:
    found = bottom_line(measured(auc=(0.99, 0.98, 1.0)))
    assert found.adds == "unsure"
    assert "rarely true" in found.words


@pytest.mark.parametrize(
    ("suspects", "signed_by", "verdict", "why"),
    [
        ([], "ada", "pass", "no column looks like the outcome"),
        ([LEAK], "ada", "fail", "'autopsy' tells the outcome alone (AUC 1.000): leave them out"),
        ([LEAK | {"reason": "done before"}], None, "fail", "nobody signed it"),
        ([LEAK | {"reason": "done before"}], "ada", "pass", "(explained: done before); signed by ada"),
    ],
)
def test_the_gate_asks_for_a_reason_and_a_signature(
    suspects: list[dict[str, str]], signed_by: str | None, verdict: str, why: str
) -> None:
    found = rule(measured(*suspects), signed_by=signed_by)
    assert found[0] == verdict
    assert why in found[1]


def test_a_result_of_earlier_code_was_never_looked_at() -> None:
    assert rule(result_with())[0] == "not applicable"


def test_a_suspect_is_written_and_read_back() -> None:
    made = measured(LEAK)
    assert made.data.unexplained == (Suspect(**LEAK),)
    assert made.to_json()["data"]["suspects"] == [LEAK]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("leaking")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRESAGE_HOME", str(folder / "home"))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield folder


def readme(**features: Any) -> Study:
    """The README's example, on fewer columns."""
    blocks = {"clinical": ["age", "wbc"], "genomic": ["NPM1"]}
    return Study(
        name="aml",
        source={"id": "patient_id"},
        outcome={"time": "followup_days", "event": "status", "horizons_days": [365]},
        features={"blocks": blocks, **features},
        models={"candidates": ["cox"]},
        validation={"folds": 3, "bootstraps": 30},
    )


def leukaemia(n: int = 500) -> pd.DataFrame:
    """NPM1 and age raise the hazard; with three columns that know the outcome beside the blocks."""
    rng = np.random.default_rng(8)
    age, gene = rng.normal(60, 10, n), rng.binomial(1, 0.4, n)
    event = rng.exponential(900 / np.exp(0.03 * (age - 60) + 1.0 * gene))
    left, relapse = rng.uniform(100, 1500, n), rng.exponential(700 / np.exp(0.03 * (age - 60)))
    days = np.minimum(event, left)
    table = pd.DataFrame({"patient_id": [f"{i:04d}" for i in range(n)], "age": age, "wbc": rng.normal(size=n)})
    table = table.assign(NPM1=gene, followup_days=days.round(), status=(event <= left).astype(int))
    start = pd.Timestamp("2012-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    table["last_seen"] = (start + pd.to_timedelta(days.round(), unit="D")).strftime("%Y-%m-%d")
    table["rfs_days"] = np.minimum(days, relapse).round()
    return table.assign(rfs=((relapse <= days) | (event <= left)).astype(int))


def test_what_genomics_adds_is_the_same_sentence_with_and_without_leaking_columns_beside_the_blocks(
    home: Path,
) -> None:
    leaking = ["last_seen", "rfs_days", "rfs"]
    beside = train(readme(), table=leukaemia(), seed=4)
    without = train(readme(), table=leukaemia().drop(columns=leaking), seed=4)
    [sentence] = [block.sentence for block in beside.result.blocks]
    assert "adds discrimination" in sentence
    assert [block.sentence for block in without.result.blocks] == [sentence]
    assert beside.result.chosen.metrics == without.result.chosen.metrics
    assert beside.document["data"]["left_out"] == leaking
    assert beside.document["data"]["suspects"] == []
    assert "left out, as no block names them: last_seen, rfs_days, rfs" in printed(beside)


def test_what_is_asked_for_by_rest_is_suspected_in_summary_verdict_and_gate_until_it_is_explained_and_signed(
    home: Path,
) -> None:
    found = train(readme(rest="clinical"), table=leukaemia(), seed=4)
    assert [one["feature"] for one in found.document["data"]["suspects"]] == ["last_seen", "rfs_days", "rfs"]
    text = printed(found)
    for name in ("last_seen", "rfs_days", "rfs"):
        assert f"! '{name}'" in text
        assert f"'{name}'" in found.verdict
    assert "better than chance" not in found.verdict
    now = pd.Timestamp("2025-01-06").to_pydatetime()
    failed = promote("aml", found.version, now=now, signed_by="ada")
    assert not failed.promoted
    assert {one.name: one.verdict for one in failed.rules}["columns that look like the outcome explained"] == "fail"
    overridden = promote("aml", found.version, now=now, signed_by="ada", override=True, reason="to see")
    assert overridden.promoted


def printed(shown: object) -> str:
    console = Console(width=400, record=True)
    console.print(shown)
    return console.export_text()
