"""Studies made in Python, and tables handed over as data frames: the same as from files."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from training.bundle.bundle import load
from training.cohort.table import read_flat
from training.evaluate import evaluate_risks
from training.promote import promote
from training.registry.versions import bundle_of
from training.study import Study, read_study
from training.train import train
from training.validate import validate

STUDIES = sorted((Path(__file__).parents[2] / "training" / "studies").glob("*.toml"))
TEXT = st.text(max_size=12)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
OUTCOME = {"time": "days", "event": "status", "horizons_days": [200]}


def people(n: int = 400, *, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, stage = rng.normal(60, 10, n), rng.choice(["I", "II", "III"], n)
    event = rng.exponential(600 / np.exp(0.05 * (age - 60) + 0.7 * (stage == "III")))
    left = rng.uniform(100, 900, n)
    table = pd.DataFrame(
        {"patient": [f"P{i:04d}" for i in range(n)], "age": age, "stage": stage, "sex": rng.choice(["F", "M"], n),
         "days": np.minimum(event, left), "status": (event <= left).astype(int)}
    )  # fmt: skip
    table.loc[rng.random(n) < 0.1, ["age", "stage"]] = None
    return table


def study(**keys: Any) -> Study:
    given: dict[str, Any] = {"models": {"candidates": ["cox"]}, "validation": {"folds": 3, "bootstraps": 10}}
    return Study(**({"name": "drawn", "source": {"id": "patient"}, "outcome": OUTCOME} | given | keys))


@settings(suppress_health_check=[HealthCheck.too_slow])  # a machine may be busy
@given(
    title=TEXT,
    blocks=st.dictionaries(TEXT, NAMES, max_size=3),
    monotone=st.dictionaries(TEXT, st.sampled_from([-1, 0, 1]), max_size=3),
    days=st.lists(st.floats(0.1, 1e5), min_size=1, max_size=3, unique=True).map(sorted),
    test_from=st.none() | st.dates(date(1900, 1, 1)),
    exclude=NAMES,
    beats=st.booleans(),
    slope=st.tuples(st.floats(0.1, 1), st.floats(1, 9)),
    genomic=st.none() | NAMES,
)
def test_a_study_and_its_text_say_the_same(
    title: str,
    blocks: Any,
    monotone: Any,
    days: Any,
    test_from: Any,
    exclude: Any,
    beats: Any,
    slope: Any,
    genomic: Any,
) -> None:
    made = Study(
        name="any",
        title=title,
        outcome={"codes": "x.csv", "horizons_days": days},
        features={"blocks": blocks, "monotone": monotone, "exclude": exclude, "genomic_blocks": genomic},
        validation={"test_from": test_from} if test_from else {"folds": 4},
        gate={"beats_equation": beats, "calibration_slope": slope},
    )
    again = Study.model_validate(tomllib.loads(made.to_toml()))
    assert again == made
    assert again.digest() == made.digest()


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_shipped_study_is_its_file_and_a_changed_one_keeps_the_rest(path: Path, tmp_path: Path) -> None:
    shipped = read_study(path)
    assert shipped.to_toml() == path.read_text(encoding="utf-8")
    assert (shipped.folder, shipped.where) == (path.parent, str(path))
    changed = shipped.changed(models={"candidates": ["cox"]}, title="mine")
    assert changed.models.candidates == ("cox",)
    assert changed.models.min_matched_weight == shipped.models.min_matched_weight
    assert changed.folder == path.parent
    (tmp_path / "mine.toml").write_text(changed.to_toml(), encoding="utf-8")
    assert read_study(tmp_path / "mine.toml") == changed
    assert changed != shipped
    assert changed.changed(models={"candidates": list(shipped.models.candidates)}, title=shipped.title) == shipped


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"outcome": {"event": "ill", "horizon_days": [1]}}, "[outcome] horizon_days: expected a key among codes, "),
        ({"outcome": {}}, "[outcome] codes: expected the outcome's code list, as the study is of a record"),
        ({"outcome": {"event": "ill"}, "folds": 5}, "folds: expected a key among name, title, "),
        ({"outcome": {"codes": "x.csv", "horizons_days": [2, 1]}}, "[outcome] horizons_days: expected days that inc"),
        ({"outcome": {"event": "ill"}, "validation": {"folds": 2, "test_column": "t"}}, "[validation]: expected one "),
        ({"outcome": {"event": 3}}, "[outcome] event: expected a text in quotes"),
    ],
)
def test_a_wrong_key_is_named_as_in_a_file(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(PresageError) as told:
        Study(**({"name": "mine"} | keys))
    assert str(told.value).startswith(f"study mine, {words}")
    assert told.value.__cause__ is None
    if keys["outcome"]:
        with pytest.raises(PresageError) as again:
            study(name="mine", outcome={"event": "ill"}).changed(**keys)
        assert str(again.value) == str(told.value)


def test_a_wrong_key_in_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('name = "x"\n[outcome]\nevnt = "ill"\n')
    with pytest.raises(PresageError, match=r"x\.toml, \[outcome\] evnt: expected a key among .*write 'event'"):
        Study.read(str(tmp_path / "x.toml"))


def test_what_is_wrong_once_the_data_are_known_names_the_study(home: Path) -> None:
    with pytest.raises(PresageError, match=r"^study drawn, \[validation\] folds: expected at most 400 folds"):
        train(study(validation={"folds": 500}), table=people())
    with pytest.raises(PresageError, match=r"^study drawn, \[source\] table: expected the table's file, found none"):
        train(study())


def test_a_table_for_a_study_of_a_record_is_refused(home: Path) -> None:
    with pytest.raises(PresageError, match="table: expected a study whose outcome is a column of it, found chd-10y"):
        train(Study.read("chd-10y"), table=people())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_data_frame_and_its_file_and_the_studys_own_table_give_the_same_numbers(home: Path) -> None:
    table = people()
    table.to_csv("people.csv", index=False)
    named = study(source={"id": "patient", "table": "people.csv"})
    (home / "study.toml").write_text(named.to_toml())
    documents = [
        train(study(), table=table, seed=4).document,
        train(study(), table=home / "people.csv", seed=4).document,
        train(named, seed=4).document,
        train(home / "study.toml", seed=4).document,
    ]
    of_the_run = {"registered", "study_digest"}
    for document in documents[1:]:
        assert {k: v for k, v in document.items() if k not in of_the_run} == {
            k: v for k, v in documents[0].items() if k not in of_the_run
        }
    assert documents[2]["study_digest"] == documents[3]["study_digest"]


def test_a_study_made_in_python_is_sealed_in_its_bundle_and_validated_on_a_data_frame(home: Path) -> None:
    train(study(title='A "quoted" title'), table=people(), seed=4)
    bundle = bundle_of("drawn", 1)
    assert load(bundle.folder).digest == bundle.digest
    assert read_study(bundle.folder / "study.toml") == study(title='A "quoted" title')
    now = pd.Timestamp("2025-01-06").to_pydatetime()
    promote("drawn", 1, now=now, override=True, reason="a test", signed_by="me")
    others = people(seed=9)
    others.to_csv("others.csv", index=False)
    found = [validate("drawn", now=now, table=table) for table in (others, home / "others.csv")]
    assert found[0].document["metrics"] == found[1].document["metrics"]
    assert found[0].metrics().loc["auc", "value"] == found[0].document["metrics"]["auc"]["value"]


def test_rows_without_ids_are_called_by_the_data_frames_index(home: Path) -> None:
    table = people().drop(columns="patient").set_index(np.arange(400) + 1000)
    found = train(study(source=None), table=table, seed=4)
    assert sorted(found.predictions()["id"]) == sorted(str(row) for row in table.index)


@pytest.mark.parametrize("kind", ["frame", "file"])
def test_a_wrong_value_is_told_by_its_row_and_column_and_not_by_anybodys_id(home: Path, kind: str) -> None:
    table = people().set_index(pd.Index([f"secret-{i}" for i in range(400)]))
    table["status"] = table["status"].astype(object)
    table.loc["secret-3", "days"] = None  # left out: the rows after it keep their numbers
    table.loc["secret-7", "status"] = "perhaps"
    table.to_csv("people.csv", index=False)
    with pytest.raises(PresageError, match="row") as told:
        read_flat(study(), home, handed=table if kind == "frame" else home / "people.csv")
    row = "the data frame, row 7" if kind == "frame" else "people.csv, row 9"  # below the header, counted from 1
    assert f"{row}, column 'status'" in str(told.value)
    assert "secret" not in str(told.value)


def test_columns_may_be_numbered_and_must_differ(home: Path) -> None:
    numbered = people().rename(columns={"age": 7})
    cohort = read_flat(study(), home, handed=numbered)
    assert "7" in cohort.frame.names
    twice = pd.concat([people(), people()[["age"]]], axis=1)
    with pytest.raises(PresageError, match="the data frame, column 'age': expected one column of each name"):
        read_flat(study(), home, handed=twice)


def test_a_cohort_as_a_data_frame_is_the_table_again(home: Path) -> None:
    table = people()
    cohort = read_flat(study(), home, handed=table)
    shown = cohort.to_pandas()
    assert shown.index.get_level_values("id").tolist() == table["patient"].tolist()
    assert shown["event"].tolist() == table["status"].tolist()
    np.testing.assert_allclose(shown["time_days"], table["days"])
    np.testing.assert_allclose(shown["age"], table["age"].astype(np.float32))
    assert shown["stage"].astype(object).fillna("").tolist() == table["stage"].fillna("").tolist()
    assert repr(cohort).startswith("<Cohort: 400 rows of 400 people")


def test_numbers_of_a_training_are_data_frames_of_its_document(home: Path) -> None:
    blocks = {"blocks": {"clinical": ["age"], "stage": ["stage", "sex"]}}
    found = train(study(features=blocks, equity={"groups": ["sex"], "min_people": 20}), table=people(), seed=4)
    document = found.document
    chosen = document["chosen"]
    assert found.metrics().loc["auc", ["value", "low", "high"]].to_dict() == chosen["metrics"]["auc"]
    with pytest.raises(PresageError, match="horizon_days: expected a horizon among 200, found 100"):
        found.metrics(100)
    assert set(found.candidates()["candidate"]) == {"cox"}
    [block] = document["blocks"]
    auc = found.blocks().query("metric == 'auc'").iloc[0]
    assert (auc["added"], auc["to"], auc["value"]) == ("stage", "clinical", block["delta"]["auc"]["value"])
    groups = found.groups().query("metric == 'auc'").set_index("group")
    for level in ("F", "M"):
        assert groups.loc[level, "value"] == document["groups"]["sex"][level]["metrics"]["auc"]["value"]
        assert groups.loc[level, "people"] == document["groups"]["sex"][level]["people"]
    assert found.comparison()["model"].unique().tolist() == list(document["comparison"]["everyone"]["models"])
    assert found.importance().index.tolist() == [one["feature"] for one in document["importance"]]
    assert found.attrition()["people"].tolist() == [step["people"] for step in document["attrition"]]


def test_groups_that_are_too_small_keep_a_row_that_says_so(home: Path) -> None:
    table = people()
    table.loc[:4, "sex"] = "X"
    found = train(study(equity={"groups": ["sex"], "min_people": 20}), table=table, seed=4).groups()
    hidden = found[found["people"].isna()]
    assert len(hidden) > 0
    assert hidden["value"].isna().all()
    assert hidden["reason"].str.len().gt(0).all()


def test_risks_from_elsewhere_on_a_cohort_are_measured_as_a_trainings_own(home: Path) -> None:
    """Two ways to the same numbers, intervals included: those of the training, and those of its predictions."""
    table = people()
    table["patient"] = [f"P{i // 2:04d}" for i in range(len(table))]  # two rows each
    table["days"] = np.where(table["sex"] == "F", table["days"] * 0.8, table["days"])
    drawn = study(validation={"folds": 3, "bootstraps": 30})
    found = train(drawn, table=table, seed=4)
    cohort = read_flat(drawn, home, handed=table)
    held = found.predictions()
    held = held.set_index([held["id"], held.groupby("id").cumcount()])  # rows of one id keep their order
    rows = pd.Series(cohort.ids)
    held = held.loc[pd.MultiIndex.from_arrays([rows, rows.groupby(rows).cumcount()])]
    risks, folds = held["risk"].to_numpy(), held["fold"].to_numpy()
    numbers = evaluate_risks(cohort, risks, folds=folds, n_boot=30, seed=4).set_index("metric")[
        ["value", "low", "high"]
    ]
    own = found.metrics().loc[numbers.index]
    pd.testing.assert_frame_equal(numbers, own, check_names=False)
