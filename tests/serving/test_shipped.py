"""What ships goes by its name, a path that exists comes first, and a copy to edit overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from features.codes.lists import read as read_codes
from features.errors import PresageError
from serving.cli import app
from serving.flagging.policy import POLICIES, policy_path, read_policy
from serving.shipped import init, population_phrase, studies
from training.card import ANSWERS, card_path, read_answers
from training.study import STUDIES, Population, read_study, shipped_study, study_path

NAMES = ("admission-12m", "chd-10y", "gi-bleed-1y", "t2d-5y")
ROOT = Path(__file__).parents[2]
FINDERS = [
    pytest.param(study_path, "study", "training/studies", id="study"),
    pytest.param(card_path, "card", "training/studies/cards", id="card"),
    pytest.param(policy_path, "policy", "serving/policies", id="policy"),
]
Finder = Callable[[str | Path], Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of each test: a folder in which nothing lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(what: object) -> str:
    """As a wide terminal shows it."""
    console = Console(file=StringIO(), width=250)
    console.print(what)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("find", "kind", "folder"), FINDERS)
def test_a_name_means_the_shipped_file_where_no_such_path_exists(find: Finder, kind: str, folder: str) -> None:
    for name in NAMES:
        assert find(name) == ROOT / folder / f"{name}.toml"
        assert find(name).is_file(), kind


@pytest.mark.parametrize(("find", "kind", "folder"), FINDERS)
def test_a_path_that_exists_comes_before_the_shipped_file(
    find: Finder, kind: str, folder: str, elsewhere: Path
) -> None:
    (elsewhere / "chd-10y").write_text("")
    assert find("chd-10y") == Path("chd-10y")
    (elsewhere / "t2d-5y").mkdir()
    (elsewhere / "t2d-5y" / f"{kind}.toml").write_text("")
    assert find("t2d-5y") == Path("t2d-5y") / f"{kind}.toml"
    assert find(ROOT / folder / "t2d-5y.toml") == ROOT / folder / "t2d-5y.toml"


@pytest.mark.parametrize(("find", "kind", "folder"), FINDERS)
def test_an_unknown_name_is_one_error_that_lists_the_names_that_ship(
    find: Finder, kind: str, folder: str, elsewhere: Path
) -> None:
    for unknown in ("chd", "chd-10y.toml", f"{folder}/chd-10y.toml"):
        with pytest.raises(PresageError) as caught:
            find(unknown)
        assert caught.value.where == unknown
        assert caught.value.expected == f"a {kind} file, or the name of a shipped {kind} among {', '.join(NAMES)}"
    (elsewhere / "chd-10y").mkdir()
    with pytest.raises(PresageError, match=rf"^chd-10y: .*a {kind} file, or a folder with {kind}\.toml in it"):
        find("chd-10y")


def test_each_shipped_study_has_a_policy_for_it_and_a_card_of_its_name() -> None:
    assert STUDIES.names == ANSWERS.names == POLICIES.names == NAMES
    for name in NAMES:
        assert read_study(study_path(name)).name == name
        assert read_policy(policy_path(name)).study == name
        assert read_answers(card_path(name))


def test_a_study_names_the_code_lists_that_lie_beside_it() -> None:
    study = read_study(shipped_study("gi-bleed-1y"))
    assert study.code_lists == ("codelists/celecoxib_diclofenac.csv", "codelists/gi_bleed.csv")
    assert read_study(shipped_study("chd-10y")).code_lists == ("codelists/cardiovascular.csv", "codelists/coronary.csv")


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_to_edit_is_whole_and_the_name_then_means_the_copy(name: str, elsewhere: Path) -> None:
    copy = init(name)
    assert copy.folder == Path(name)
    written = {
        path.relative_to(elsewhere / name).as_posix() for path in (elsewhere / name).rglob("*") if path.is_file()
    }
    assert written == set(copy.files)
    assert {"study.toml", "card.toml", "policy.toml"} <= written
    study = read_study(study_path(name))
    assert study_path(name).read_bytes() == shipped_study(name).read_bytes()
    for entry in study.code_lists:
        assert read_codes(Path(name) / entry).provenance
    assert read_policy(policy_path(name)).study == name
    assert read_answers(card_path(name)) == read_answers(ANSWERS.named(name))


@pytest.mark.parametrize("there", ["study.toml", "policy.toml", "codelists/coronary.csv"])
def test_a_copy_overwrites_nothing_and_is_written_whole_or_not_at_all(there: str, elsewhere: Path) -> None:
    mine = elsewhere / "mine" / there
    mine.parent.mkdir(parents=True)
    mine.write_text("my own work")
    with pytest.raises(PresageError, match=rf"^mine/{there}: .*a name that is free"):
        init("chd-10y", out=Path("mine"))
    assert mine.read_text() == "my own work"
    assert [path for path in (elsewhere / "mine").rglob("*") if path.is_file()] == [mine]


def test_a_copy_of_a_study_that_does_not_ship_is_refused_with_the_names_that_do(elsewhere: Path) -> None:
    (elsewhere / "mine").write_text("")
    for name in ("mine", "chd"):
        with pytest.raises(PresageError, match=rf"^{name}: .*the name of a shipped study among {', '.join(NAMES)}"):
            init(name)


def test_the_list_of_studies_names_title_population_horizon_policy_and_card() -> None:
    assert CliRunner().invoke(app, ["studies"]).exit_code == 0
    found = shown(studies())
    line = next(line for line in found.splitlines() if "chd-10y" in line)
    assert [cell.strip() for cell in line.split("│")[1:-1]] == [
        "chd-10y",
        "10-year risk of coronary disease",
        "people aged 40 to 79, every 1 January of 2003, 2004, 2014, 2015",
        "10 years",
        "chd-10y",
        "chd-10y",
    ]
    assert all(name in found for name in NAMES)


@pytest.mark.parametrize(
    ("population", "phrase"),
    [
        (Population(), "people of any age, every 1 January"),
        (Population(index="2015-01-01", sex="M", age_years=(50, 70)), "men aged 50 to 70, 2015-01-01"),
        (
            Population(index="first:lists/first_nsaid.csv"),
            "people of any age, the day of a first code of “first nsaid”",
        ),
    ],
)
def test_a_population_is_said_in_a_phrase(population: Population, phrase: str) -> None:
    assert population_phrase(population) == phrase


def test_what_is_said_after_a_copy_names_every_file_to_edit_and_every_command() -> None:
    assert CliRunner().invoke(app, ["init", "chd-10y", "--out", "yours"]).exit_code == 0
    found = shown(init("chd-10y", out=Path("mine")))
    for words in (
        "wrote to mine: study.toml, card.toml, policy.toml, codelists/cardiovascular.csv, codelists/coronary.csv",
        "SIM-CHD",
        "presage train mine/study.toml --record RECORD",
        "presage promote chd-10y latest --card mine/card.toml --signed-by NAME",
        "presage flag scores.parquet --policy mine/policy.toml --record RECORD",
    ):
        assert words in found


def test_every_command_that_takes_a_study_card_or_policy_takes_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def stub(what: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            given[what] = (arguments, named)
            raise PresageError(what, "no more than this")

        return call

    for target in ("training.train.train", "training.leakage.check", "training.promote.promote"):
        monkeypatch.setattr(target, stub(target))
    monkeypatch.setattr("serving.flagging.flag.flag", stub("flag"))
    for arguments in (
        ["train", "chd-10y", "--record", "record"],
        ["check-leakage", "t2d-5y", "--record", "record"],
        ["promote", "model", "1", "--card", "chd-10y"],
        ["flag", "scores.parquet", "--policy", "chd-10y", "--record", "record"],
    ):
        assert isinstance(CliRunner().invoke(app, arguments).exception, PresageError)
    assert given["training.train.train"][0] == (shipped_study("chd-10y"),)
    assert given["training.leakage.check"][0] == (shipped_study("t2d-5y"),)
    assert given["training.promote.promote"][1]["answers"] == read_answers(ANSWERS.named("chd-10y"))
    assert given["flag"][1]["policy_path"] == POLICIES.named("chd-10y")
