"""No item of a card is ever dropped; what a person has not said is visibly blank, and asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from features.errors import PresageError
from tests.made import result_with, validated
from training.card.card import Card, Signature, answers_toml, make_card, read_answers
from training.card.facts import flow, horizon_words
from training.card.items import HTI1, QUESTIONS, TRIPOD_AI
from training.report.render import render_card
from training.result import Result, Step
from training.study import read_study

STUDIES = Path(__file__).parents[2] / "training" / "studies"

# The regulation's paragraphs: 45 CFR 170.315(b)(11)(iv)(B), how many each of (1) to (9) has.
PARAGRAPHS = {1: 4, 2: 4, 3: 2, 4: 4, 5: 2, 6: 4, 7: 5, 8: 4, 9: 2}
ROMAN = ("i", "ii", "iii", "iv", "v")
# The checklist's items (BMJ 2024;385:e078378, table 1): how many parts each lettered one has.
PARTS = {3: 3, 5: 2, 6: 3, 8: 3, 9: 3, 12: 7, 18: 6, 20: 3, 23: 2, 27: 3}


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def trained() -> Result:
    metrics = {"auc": estimate(0.71), "c_harrell": estimate(0.7), "brier": estimate(0.1)}
    metrics |= {"calibration_slope": estimate(0.97), "calibration_in_the_large": estimate(0.02)}
    levels = {"F": {"people": 300, "metrics": metrics}, "X": {"people": None, "metrics": {}, "reason": "suppressed"}}
    data: dict[str, Any] = {
        "digest": "d" * 64,
        "first_index": None,
        "last_index": None,
        "median_followup_days": None,
        "rows_with_event": 90,
        "rows_with_competing_event": None,
        "rows_without_either": 510,
        "features": 7,
        "code_features": 0,
        "blocks": [],
        "missing": {"ldl": 0.2},
        "sensitive": {"sex": ["sex_female"], "race": []},
    }
    return result_with(
        attrition=[{"step": "all", "people": 640, "rows": 640}, {"step": "adult", "people": 600, "rows": 600}],
        chosen={"candidate": "cox", "horizon_days": 730.0, "metrics": metrics},
        candidates={"cox": {"730": metrics}},
        groups={"sex": levels},
        gaps={"sex": {"auc": 0.04, "lowest": "F", "highest": "M"}},
        data=data,
        code_digest="c" * 64,
    )


def manifest() -> dict[str, Any]:
    population = {"age_years": [40, 79], "sex": None, "history_days": 365, "exclude": [], "index": "yearly"}
    outcome = {"name": "chd", "codes": "codelists/coronary.csv", "competing": ["MEDS_DEATH"], "washout_days": None}
    return {"population": population, "outcome": outcome, "flat": False, "digest": "d" * 64}


def card(answers: dict[str, str] | None = None, **more: Any) -> Card:
    return make_card("drawn", "Drawn people", result=trained(), manifest=manifest(), answers=answers or {}, **more)


def items(made: Card) -> dict[str, str]:
    return {f.item.number: f.text for f in made.lists[0][2]}


def test_the_31_source_attributes_have_the_regulations_numbers_in_its_order() -> None:
    expected = [f"{n}({ROMAN[k]})" for n, parts in PARAGRAPHS.items() for k in range(parts)]
    assert len(expected) == 31
    assert [item.number for item in HTI1] == expected


def test_tripod_ai_has_27_items_in_52_parts() -> None:
    expected = [f"{n}{letter}" for n in range(1, 28) for letter in ("abcdefg"[: PARTS[n]] if n in PARTS else [""])]
    assert len(expected) == 52
    assert [item.number for item in TRIPOD_AI] == expected


def test_every_item_is_on_the_card_and_says_something_whatever_is_known() -> None:
    for answers in ({}, dict.fromkeys(QUESTIONS, "Said.")):
        made = card(answers)
        assert [len(found) for _, _, found in made.lists] == [31, 52]
        assert all(filled.text.strip() for _, _, found in made.lists for filled in found)
        markdown, page = made.markdown(), render_card(made)
        assert len(re.findall(r"^\| \d", markdown, flags=re.MULTILINE)) == 83
        assert len(re.findall(r"<tr><td>\d", page)) == 83


def test_a_question_that_nobody_answered_is_visibly_blank_and_named() -> None:
    made = card({key: "Said." for key in QUESTIONS if key not in {"funding", "ethics"}})
    assert made.blank == ("funding", "ethics")
    assert made.markdown().count("**[blank]**") == 3  # funding is asked by both lists
    assert render_card(made).count('class="blank">To be filled') == 3
    assert card(dict.fromkeys(QUESTIONS, "Said.")).blank == ()
    assert set(card().blank) == set(QUESTIONS)


def test_a_text_of_spaces_is_no_answer() -> None:
    assert "funding" in card({"funding": "  "}).blank


def test_what_the_run_says_is_the_runs() -> None:
    said = items(card())
    assert "AUC 0.710 (0.660 to 0.760)" in said["7(i)"]
    assert "Used: sex: sex_female. Not used: race." in said["4(ii)"]
    assert "2 years" in said["1(iii)"]
    assert "X not shown (suppressed)" in said["7(ii)"]
    assert "No external validation has been recorded" in said["7(iii)"]


def test_an_external_validation_fills_its_attributes() -> None:
    elsewhere = validated(source="Hospital B", by="ada", metrics={"auc": estimate(0.66)})
    said = items(card(validations=[elsewhere]))
    assert (said["6(i)"], said["6(ii)"]) == ("Hospital B.", "ada")
    assert "AUC 0.660" in said["7(iii)"]


def test_an_answer_goes_through_its_file_unchanged(tmp_path: Path) -> None:
    answers = {"funding": 'A "quoted"\nsecond line \\ with a slash', "ethics": "None | needed"}
    (tmp_path / "card.toml").write_text(answers_toml(answers))
    assert read_answers(tmp_path / "card.toml") == answers
    row = next(line for line in card(answers).markdown().splitlines() if line.startswith("| 17 "))
    assert row.count(" | ") == 3  # a bar in an answer does not open a column


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense = 1", r"card\.toml, nonsense: expected a key among developer, "),
        ("funding = 3", r"card\.toml, funding: expected a text in quotes"),
        ("funding", r"card\.toml, .*: expected TOML"),
    ],
)
def test_a_card_file_that_cannot_be_read_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(PresageError, match=said):
        read_answers(tmp_path / "card.toml")


def test_a_card_file_of_another_editor_is_read_or_named(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_bytes(b'\xef\xbb\xbffunding = "a grant"')
    assert read_answers(tmp_path / "card.toml") == {"funding": "a grant"}
    (tmp_path / "card.toml").write_bytes('funding = "a grant"'.encode("utf-16"))
    with pytest.raises(PresageError, match="expected text in UTF-8, found another encoding"):
        read_answers(tmp_path / "card.toml")


@pytest.mark.parametrize("study", sorted(path.name for path in STUDIES.glob("*.toml")))
def test_every_study_that_ships_has_a_card_that_answers_everything(study: str) -> None:
    answers = read_answers(STUDIES / "cards" / study)
    assert read_study(STUDIES / study).name == study.removesuffix(".toml")
    assert set(answers) == set(QUESTIONS)
    assert re.search(r"simulated|synthetic", answers["limits"])  # it does not pass for a real model


def test_a_signature_is_shown() -> None:
    signed = card(signature=Signature("Ada <b>", "2025-01-06T09:00:00"))
    assert "Ada <b>, 2025-01-06T09:00:00" in signed.markdown()
    assert "Ada &lt;b&gt;" in render_card(signed)
    assert "Not signed" in render_card(card())


@pytest.mark.parametrize(
    ("people", "shown"),
    [
        ([900, 700], [("a", 900, 0), ("b", 700, 200)]),
        ([900, 895, 700], [("a; b", 895, 0), ("c", 700, 195)]),  # 5 left: told with the step before, after both
        ([900, 700, 695, 600], [("a", 900, 0), ("b; c", 695, 205), ("d", 600, 95)]),
        ([900, 900, 5], [("a", 900, 0), ("b", 900, 0), ("c", None, 895)]),
    ],
)
def test_a_flow_tells_of_no_1_to_10_people(people: list[int], shown: list[tuple[str, int | None, int]]) -> None:
    steps = [Step(step="abcd"[i], people=n, rows=n) for i, n in enumerate(people)]
    assert [(one.step, one.people, one.out) for one in flow(steps)] == shown


@pytest.mark.parametrize(
    ("days", "words"),
    [(3650, "10 years"), (365, "1 year"), (1825, "5 years"), (30, "30 days"), (None, ""), (400, "400 days")],
)
def test_horizons_are_said_as_people_say_them(days: float | None, words: str) -> None:
    assert horizon_words(days) == words
