import tomllib
from pathlib import Path

import pytest

from features.errors import PresageError
from training.cohort.table import read_flat
from training.study import read_study
from training.train import train

FLAT = """
name = "aml"
title = "Survival after acute myeloid leukaemia"
[source]
table = "aml.csv"
id = "patient_id"
[outcome]
time = "followup_days"
event = "status"
horizons_days = [365, 1095]
[features]
exclude = ["transplant_day"]
[features.blocks]
clinical = ["age", "wbc"]
genomic = ["NPM1", "FLT3_*"]
[validation]
folds = 5
repeats = 1
[equity]
groups = ["sex", "trial"]
"""
RECORD = """
name = "chd-10y"
[population]
index = "yearly"
age_years = [40, 79]
history_days = 365
exclude = ["codelists/cardiovascular.csv"]
[outcome]
codes = "codelists/coronary.csv"
competing = ["MEDS_DEATH"]
horizons_days = [3650]
[features]
families = ["demographics", "measurements"]
polygenic = ["PGS000899"]
equation = "prevent_chd_10y"
[models]
candidates = ["cox", "xgboost", "stack"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_both_shapes_of_the_contract_are_read(tmp_path: Path) -> None:
    flat = read_study(written(tmp_path, FLAT))
    assert flat.is_flat
    assert list(flat.features.blocks) == ["clinical", "genomic"]
    record = read_study(written(tmp_path, RECORD))
    assert not record.is_flat
    assert record.population.age_years == (40, 79)
    assert record.outcome.horizons_days == (3650.0,)


@pytest.mark.parametrize(
    ("wrong", "key", "said"),
    [
        (FLAT + "minimum = 3\n", "[equity] minimum", "a key among groups, min_people"),
        (FLAT.replace("folds = 5", 'folds = "five"'), "[validation] folds", "a whole number"),
        (FLAT.replace("[365, 1095]", "[1095, 365]"), "[outcome] horizons_days", "days that increase"),
        (FLAT.replace('event = "status"', ""), "[outcome] event", "the column that holds the outcome"),
        (
            FLAT.replace("folds = 5", 'folds = 5\nsite_column = "trial"'),
            "[validation]",
            "one scheme, found folds and site_column",
        ),
        (RECORD.replace('"yearly"', '"monthly"'), "[population] index", "'yearly'"),
        (RECORD.replace('codes = "codelists/coronary.csv"', ""), "[outcome] codes", "the outcome's code list"),
        (RECORD.replace("[40, 79]", "[79, 40]"), "[population] age_years", "the lower age first, found 79 and 40"),
    ],
)
def test_what_is_wrong_is_one_error_that_names_file_and_key(tmp_path: Path, wrong: str, key: str, said: str) -> None:
    path = written(tmp_path, wrong)
    with pytest.raises(PresageError) as caught:
        read_study(path)
    assert caught.value.where == f"{path}, {key}"
    assert caught.value.rule.startswith(said)


def test_comments_and_order_do_not_change_a_study_but_values_do(tmp_path: Path) -> None:
    first = read_study(written(tmp_path, RECORD)).digest()
    assert read_study(written(tmp_path, "# remark\n" + RECORD)).digest() == first
    assert read_study(written(tmp_path, RECORD.replace("3650", "3651"))).digest() != first


def test_the_studies_that_ship_are_valid_and_their_code_lists_are_there() -> None:
    from features.codes.lists import read

    folder = Path(__file__).parents[2] / "training" / "studies"
    found = sorted(folder.glob("*.toml"))
    assert [path.stem for path in found] == ["admission-12m", "chd-10y", "gi-bleed-1y", "t2d-5y"]
    for path in found:
        study = read_study(path)
        assert study.name == path.stem
        lists = [str(study.outcome.codes), *study.population.exclude, study.population.index.removeprefix("first:")]
        for entry in lists:
            if entry.endswith(".csv"):
                assert "Source" in read(folder / entry).provenance


def test_a_bundle_keeps_the_codes_of_that_day_and_not_the_name_of_a_list_that_ships(tmp_path: Path) -> None:
    from features.codes.lists import read
    from training.bundle.contents import code_lists

    folder = Path(__file__).parents[2] / "training" / "studies"
    sealed = code_lists(read_study(folder / "chd-10y.toml"), folder)
    assert set(sealed) == {"codelist_cardiovascular.csv", "codelist_coronary.csv"}
    for name, text in sealed.items():
        assert "Seed//" not in text
        (tmp_path / name).write_text(text)
        shipped = read(folder / "codelists" / name.removeprefix("codelist_"))
        assert read(tmp_path / name).patterns == shipped.patterns


def test_the_studies_that_ship_are_measured_at_the_cut_off_their_policy_acts_on() -> None:
    rooms = Path(__file__).parents[2]
    for path in sorted((rooms / "training" / "studies").glob("*.toml")):
        policy = tomllib.loads((rooms / "serving" / "policies" / path.name).read_text())
        lowest = policy["shortlist"]["minimum_risk"]
        assert read_study(path).validation.cutoffs == ((lowest,) if lowest > 0 else ())


def test_a_study_saved_by_another_editor_is_read_or_named(tmp_path: Path) -> None:
    path = written(tmp_path, FLAT)
    plain = read_study(path).digest()
    path.write_bytes(b"\xef\xbb\xbf" + FLAT.encode())
    assert read_study(path).digest() == plain
    for encoding in ("utf-16", "utf-16-be", "latin-1"):
        path.write_bytes(FLAT.replace("acute", "akute Ü").encode(encoding))
        with pytest.raises(PresageError, match=r"study\.toml(: expected text in UTF-8|, .*: expected TOML), found"):
            read_study(path)


def test_what_is_wrong_with_a_key_once_the_data_are_known_names_the_file(tmp_path: Path) -> None:
    rows = "".join(f"p{n},{n % 3},{n % 2}\n" for n in range(40))
    (tmp_path / "aml.csv").write_text("patient_id,age,status\n" + rows)
    text = FLAT.split("[outcome]")[0] + '[outcome]\nevent = "status"\n[validation]\nfolds = 100000\n'
    path = written(tmp_path, text)
    with pytest.raises(PresageError) as caught:
        train(path)
    assert str(caught.value) == f"{path}, [validation] folds: expected at most 40 folds for 40 people, found 100000"


def test_rows_of_a_flat_table_without_an_outcome_are_in_the_attrition(tmp_path: Path) -> None:
    (tmp_path / "aml.csv").write_text("patient_id,age,status\na,50,1\na,51,\nb,60,\nc,70,0\n")
    study = read_study(written(tmp_path, FLAT.split("[outcome]")[0] + '[outcome]\nevent = "status"\n'))
    steps = [(step.people, step.rows) for step in read_flat(study, tmp_path).attrition]
    assert steps == [(3, 4), (2, 2)]


def test_horizons_in_the_tables_own_unit_are_days_inside(tmp_path: Path) -> None:
    months = FLAT.replace("horizons_days = [365, 1095]", 'time_unit = "months"\nhorizons = [6, 60]')
    study = read_study(written(tmp_path, months))
    assert study.outcome.horizons_days == (6 * 30.4375, 5 * 365.25)
    assert study.changed(validation={"folds": 4}).outcome == study.outcome


@pytest.mark.parametrize(
    ("instead", "says"),
    [
        ("horizons = [6]", "time_unit: expected one of days, weeks, months, years, as horizons are in it, found none"),
        ('time_unit = "fortnights"\nhorizons = [6]', "time_unit"),
        ('time_unit = "years"\nhorizons = [6, 2]', "days that increase"),
        ('time_unit = "years"\nhorizons = [6]\nhorizons_days = [12]', "either horizons or horizons_days, found both"),
    ],
)
def test_a_horizon_without_a_unit_or_of_two_is_refused(tmp_path: Path, instead: str, says: str) -> None:
    with pytest.raises(PresageError, match=says):
        read_study(written(tmp_path, FLAT.replace("horizons_days = [365, 1095]", instead)))


def test_a_table_in_years_is_read_in_days(tmp_path: Path) -> None:
    (tmp_path / "aml.csv").write_text(
        "patient_id,followup_days,status,age,wbc,NPM1,sex,trial,transplant_day\n"
        "a,1.5,1,60,4,0,F,x,\nb,2,0,61,5,1,M,y,\nc,0.5,1,62,6,0,F,x,\n"
    )
    years = FLAT.replace("horizons_days = [365, 1095]", 'time_unit = "years"').replace('"FLT3_*"', '"NPM1"')
    study = read_study(written(tmp_path, years))
    outcome = read_flat(study, tmp_path).outcome
    assert outcome.time_days.tolist() == [1.5 * 365.25, 2 * 365.25, 0.5 * 365.25]
    assert outcome.horizons_days == (365.25,)
