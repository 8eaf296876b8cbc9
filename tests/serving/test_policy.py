from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from serving.flagging.policy import Action, Candidate, ShortList, read_policy, shortlist

SHIPPED = sorted((Path(__file__).parents[2] / "serving" / "policies").glob("*.toml"))
EXAMPLES = 1000 if os.environ.get("PRESAGE_SLOW") else 60
ACTION = Action(text="Invite", source="A guideline", owner="Care manager", deadline_days=28)

people = st.lists(
    st.builds(
        Candidate,
        subject_id=st.integers(1, 60),
        panel=st.sampled_from(["North", "South", "West"]),
        risk=st.sampled_from([0.0, 0.01, 0.05, 0.05, 0.2, 0.9, 1.0]),
    ),
    unique_by=lambda one: one.subject_id,
    max_size=40,
)
rules = st.builds(
    ShortList,
    headline=st.just("High risk"),
    capacity=st.integers(0, 12),
    per=st.sampled_from(["panel", "programme"]),
    minimum_risk=st.sampled_from([0.0, 0.05, 0.5]),
    action=st.just(ACTION),
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(rules, people)
def test_no_team_is_ever_given_more_than_its_capacity(rule: ShortList, candidates: list[Candidate]) -> None:
    listed = shortlist(rule, candidates)
    teams = Counter(one.panel if rule.per == "panel" else "" for one in listed)
    assert all(count <= rule.capacity for count in teams.values())
    assert all(one.risk >= rule.minimum_risk for one in listed)


@settings(max_examples=EXAMPLES, deadline=None)
@given(rules, people, st.randoms())
def test_the_order_of_the_candidates_changes_nothing(rule: ShortList, candidates: list[Candidate], chance) -> None:
    shuffled = list(candidates)
    chance.shuffle(shuffled)
    assert shortlist(rule, shuffled) == shortlist(rule, candidates)


@settings(max_examples=EXAMPLES, deadline=None)
@given(rules, people)
def test_nobody_who_is_left_out_has_a_higher_risk_than_somebody_listed_while_there_was_room(
    rule: ShortList, candidates: list[Candidate]
) -> None:
    listed = shortlist(rule, candidates)
    for left_out in set(candidates) - set(listed):
        rivals = [one for one in listed if rule.per == "programme" or one.panel == left_out.panel]
        if left_out.risk >= rule.minimum_risk:
            assert len(rivals) == rule.capacity
            assert all(one.risk >= left_out.risk for one in rivals)


@settings(max_examples=EXAMPLES, deadline=None)
@given(rules, people)
def test_more_capacity_takes_nobody_off_the_list(rule: ShortList, candidates: list[Candidate]) -> None:
    roomier = rule.model_copy(update={"capacity": rule.capacity + 1})
    assert set(shortlist(rule, candidates)) <= set(shortlist(roomier, candidates))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_policy_that_ships_is_valid_and_names_a_source_with_a_year(path: Path) -> None:
    policy = read_policy(path)
    assert policy.name == policy.study == path.stem
    for action in (policy.shortlist.action, *(rule.action for rule in policy.findings)):
        assert any(part.strip("(),:;").isdigit() and len(part.strip("(),:;")) == 4 for part in action.source.split())


GOOD = """
name = "demo"
version = "1"
title = "Demo"
study = "demo"
[shortlist]
headline = "High risk"
capacity = 3
[shortlist.action]
text = "Call"
source = "A guideline 2020"
owner = "Care manager"
deadline_days = 7
"""


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        (
            'text = "Call"\n',
            "",
            r"policy\.toml, \[shortlist\.action\] text: expected this key, found none \(give every flag an action",
        ),
        ('source = "A guideline 2020"\n', "", r"policy\.toml, \[shortlist\.action\] source: expected"),
        ('source = "A guideline 2020"', 'source = "  "', r"policy\.toml, \[shortlist\.action\] source: expected"),
        ('owner = "Care manager"\n', "", r"policy\.toml, \[shortlist\.action\] owner: expected this key"),
        ("deadline_days = 7\n", "", r"policy\.toml, \[shortlist\.action\] deadline_days: expected this key"),
        ("capacity = 3", "capacity = -1", r"\[shortlist\] capacity: expected 0 or more"),
        ("capacity = 3", 'capacity = "3"', r"\[shortlist\] capacity: expected a whole number"),
        ("capacity = 3", "capacty = 3", r"\[shortlist\] capacty: expected a key among .* \(write 'capacity'"),
        ("[shortlist]", "[shortlist", r"policy\.toml, line \d+, column \d+: expected TOML"),
    ],
)
def test_a_policy_without_a_whole_action_is_refused_and_the_error_names_the_place(
    tmp_path: Path, old: str, new: str, place: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(PresageError, match=place):
        read_policy(path)


RULE = """
[[findings]]
name = "lipids"
headline = "Carrier"
genes = [GENES]
[findings.action]
text = "Refer"
source = "A guideline 2020"
owner = "Care manager"
deadline_days = 7
"""


@pytest.mark.parametrize(
    ("genes", "expected"),
    [
        (
            '"LDRL"',
            r"\[\[findings\]\]: expected genes of .*, found LDRL, for .* \(write 'LDLR' if",
        ),  # a slip of the pen would leave every carrier unflagged
        ('"LDLR", "LDLR"', r"\[\[findings\]\]: expected each gene in one rule, found LDLR more often"),
        ('"ldlr"', r"\[\[findings\]\] 1, genes, item 1: expected a gene's symbol in capitals"),
    ],
)
def test_a_findings_rule_that_could_not_fire_or_fires_twice_is_refused(
    tmp_path: Path, genes: str, expected: str
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD + RULE.replace("GENES", genes))
    with pytest.raises(PresageError, match=expected) as refused:
        read_policy(path)
    assert "Value error" not in str(refused.value)
    path.write_text(GOOD + RULE.replace("GENES", '"LDLR"'))
    assert read_policy(path).genes == ("LDLR",)


def test_a_policy_may_come_with_a_byte_order_mark_and_must_be_a_file_of_utf8(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(GOOD, encoding="utf-8-sig")
    assert read_policy(path).name == "demo"
    path.write_text(GOOD, encoding="utf-16")
    with pytest.raises(PresageError, match="expected text in UTF-8, found another encoding"):
        read_policy(path)
    with pytest.raises(PresageError, match="expected a policy file, found a folder"):
        read_policy(tmp_path)
    path.write_text(GOOD + "colour = 1\n")
    with pytest.raises(
        PresageError, match=r"\[shortlist\.action\] colour: expected a key among text, source, owner, deadline_days"
    ):
        read_policy(path)


def test_the_hash_is_of_what_a_policy_says_and_not_of_its_layout(tmp_path: Path) -> None:
    plain, commented, changed = (tmp_path / name for name in ("a.toml", "b.toml", "c.toml"))
    plain.write_text(GOOD)
    commented.write_text("# why\n" + GOOD.replace("capacity = 3", "capacity   =   3"))
    changed.write_text(GOOD.replace("capacity = 3", "capacity = 4"))
    assert read_policy(plain).hash == read_policy(commented).hash != read_policy(changed).hash
