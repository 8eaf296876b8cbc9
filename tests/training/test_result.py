"""The result of a training as a file: what earlier code wrote is read, and what is written now has the same keys.

`results/first.json` was written by the first code that trained (commit 65e8794), `results/before_versions.json` and
`results/validation_before_versions.json` by the last that knew no version (771c3f1): all of drawn people.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from features.errors import PresageError
from tests.made import result_with
from tests.training.conftest import Drawn
from training.external import ExternalResult
from training.registry.gate import gate
from training.report.page import story_of
from training.report.render import render_report
from training.result import Metric, Result, known
from training.study import Gate

RESULTS = Path(__file__).with_name("results")
CONTRACT = (  # the keys of the day before there was a version, in their order
    "study", "title", "kind", "people", "rows", "events", "attrition", "validation", "chosen", "candidates",
    "incidence", "inner_brier", "comparison", "equation", "importance", "blocks", "groups", "gaps", "notes", "seed",
    "study_digest", "data", "figures", "code_digest", "registered",
)  # fmt: skip
ADDED = ("events_by_horizon", "time_unit")  # since then, behind the others


def stored(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return found


@pytest.mark.parametrize("name", ["first.json", "before_versions.json"])
def test_a_result_of_earlier_code_is_read_and_written_back_as_it_was(name: str) -> None:
    found = Result.read(RESULTS / name)
    assert found.version is None
    assert list(found.to_json().items()) == [item for item in stored(name).items() if item[0] != "card"]


def test_what_earlier_code_did_not_say_is_none_or_nothing() -> None:
    first = Result.read(RESULTS / "first.json")
    assert (first.data, first.figures, first.incidence, first.leakage, first.code_digest) == (None,) * 5
    assert (first.importance, first.validation.cutoffs, first.blocks[0].net_benefit) == ((), (), ())
    auc = known(first.chosen.metrics, "auc")
    assert auc is not None
    assert auc.value == stored("first.json")["chosen"]["metrics"]["auc"]["value"]
    assert auc.if_perfect is None


def test_a_validation_of_earlier_code_is_read_and_written_back_as_it_was() -> None:
    name = "validation_before_versions.json"
    found = ExternalResult.read(RESULTS / name)
    assert (found.format, found.version) == (None, 1)
    assert found.to_text() == (RESULTS / name).read_text()


@pytest.mark.parametrize("name", ["first.json", "before_versions.json"])
def test_a_report_and_a_gate_can_be_made_of_a_result_of_earlier_code(at_home: Drawn, name: str) -> None:
    old = Result.read(RESULTS / name)
    page = render_report(replace(story_of("drawn", "1"), result=old))
    assert f"{old.chosen.metrics['c_harrell'].value:.3f}" in page
    rules = gate(old, Gate(), flat=True, signed_by="ada", blank=())
    assert {rule.name: rule.verdict for rule in rules}["leakage proof present"] == "not applicable"


def test_what_is_written_now_has_the_keys_of_before_in_their_order_and_a_version(at_home: Drawn) -> None:
    assert tuple(at_home.document) == ("version", *CONTRACT, *ADDED)
    assert at_home.document["version"] == 1
    before = stored("before_versions.json")
    assert at_home.document["figures"].keys() == before["figures"].keys()
    assert at_home.document["validation"].keys() == {*before["validation"], "estimates"}
    hidden, shown = at_home.document["groups"]["site"]["C"], at_home.document["groups"]["sex"]["F"]
    assert list(hidden) == ["people", "metrics", "reason"]
    assert list(shown) == ["people", "events", "metrics"]
    assert list(at_home.document["chosen"]["metrics"]["ici"]) == ["value", "low", "high", "if_perfect"]
    assert list(at_home.document["chosen"]["metrics"]["auc"]) == ["value", "low", "high"]


def test_a_file_goes_through_the_tree_unchanged(tmp_path: Path) -> None:
    made = result_with(chosen={"metrics": {"auc": {"value": 0.1 + 0.2, "low": None, "high": 1.0}}})
    made.write(tmp_path / "new" / "result.json")
    assert Result.read(tmp_path / "new" / "result.json") == made
    assert (tmp_path / "new" / "result.json").read_text() == made.to_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "result.json: expected a result of version 1 or earlier, found version 2 .*a later one"),
        ({"people": "600"}, "result.json, people: expected what a result of version 1 holds, .*integer"),
        ({"qini": 0.1}, "result.json, qini: expected what a result of version 1 holds, .*not permitted"),
        ({"chosen": {"candidate": "cox", "horizon_days": None, "metrics": {"auc": {"value": "high"}}}},
         "result.json, chosen.metrics.auc.value: expected"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_clear_error_without_its_value(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result_with().to_json() | change))
    with pytest.raises(PresageError, match=said) as caught:
        Result.read(path)
    assert "600" not in str(caught.value).removeprefix(str(tmp_path))


def test_what_is_no_json_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(PresageError, match=r"result.json: expected a result as JSON"):
        Result.read(tmp_path / "result.json")


def test_nothing_in_a_result_can_be_set_and_no_number_is_endless() -> None:
    made = result_with()
    with pytest.raises(ValidationError, match="frozen"):
        made.people = 5
    with pytest.raises(ValidationError, match="finite"):
        Metric(value=float("nan"))


def test_a_part_that_was_not_asked_for_has_no_key_and_one_that_is_empty_has() -> None:
    made = result_with(leakage=None, equation=None)
    assert "leakage" not in made.to_json()
    assert made.to_json()["equation"] is None


def test_every_field_that_says_more_than_its_name_says_so_in_the_schema() -> None:
    described = Result.model_json_schema()["$defs"]
    assert described["Metric"]["description"].startswith("A number with its 95 % interval")
    assert "every risk were exactly right" in described["Metric"]["properties"]["if_perfect"]["description"]
