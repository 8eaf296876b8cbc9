from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from features.errors import PresageError
from serving.flagging.flag import Raised, flag
from serving.scoring.champions import Champions
from serving.scoring.score import read_scores, score, write_scores
from serving.settings import Settings
from serving.store import repository
from serving.store.engine import open_store, transaction
from serving.store.rows import Filter, Flag, Viewer
from serving.store.schema import flag_events, flags
from tests.serving.conftest import CARRIER, TESTED_NEGATIVE

AS_OF = datetime.fromisoformat("2024-01-01T00:00:00")
NOW = datetime.fromisoformat("2024-01-03T08:00:00")
POLICY = """
name = "chd-10y"
version = "1"
title = "Prevention of coronary disease"
study = "chd-10y"
[shortlist]
headline = "High 10-year risk of coronary disease"
capacity = 4
horizon_days = 3650
rest_days = 90
[shortlist.action]
text = "Invite to a prevention visit"
source = "Arnett 2019, Circulation 140:e596"
owner = "Care manager"
deadline_days = 28
[[findings]]
name = "familial-hypercholesterolaemia"
headline = "Carries a variant that causes familial hypercholesterolaemia"
genes = ["LDLR", "APOB", "PCSK9"]
[findings.action]
text = "Refer to the lipid clinic"
source = "Sturm 2018, J Am Coll Cardiol 72:662"
owner = "Care manager"
deadline_days = 14
"""


class Desk:
    """One installation where scores are made and flagged, and somebody decides."""

    def __init__(self, clinic: Settings, folder: Path) -> None:
        self.settings, self.folder = clinic, folder
        self.engine = open_store(clinic.store_url)
        self.policy = folder / "policy.toml"
        self.policy.write_text(POLICY)
        self.record = clinic.record or folder
        with transaction(self.engine) as connection:
            panels = ["North Clinic", "South Clinic"]
            repository.add_user(connection, name="ada", role="care manager", password_hash=None, panel_names=panels)

    def score(self, as_of: datetime = AS_OF) -> Path:
        out = self.folder / f"{as_of:%Y%m%d}.parquet"
        score("chd-10y", record_dir=self.record, as_of=as_of, out=out)
        return out

    def flag(self, scores: Path, now: datetime = NOW, record: Path | None = None) -> Raised:
        return flag(scores, policy_path=self.policy, record_dir=record or self.record, settings=self.settings, now=now)

    def viewer(self) -> Viewer:
        with transaction(self.engine) as connection:
            found = repository.viewer_by_id(connection, 1)
        assert found is not None
        return found

    def worklist(self, status: str = "open", now: datetime = NOW) -> list[Flag]:
        viewer = self.viewer()
        with transaction(self.engine) as connection:
            return repository.worklist(connection, viewer, wanted=Filter(status), now=now)

    def decide(self, one: Flag, decision: str, **more: object) -> None:
        viewer = self.viewer()
        with transaction(self.engine) as connection:
            values: dict[str, object] = {"note": "because", "until": None, "now": NOW} | more
            repository.decide(connection, viewer, flag=one, decision=decision, **values)  # type: ignore[arg-type]

    def history(self) -> Counter[str]:
        with transaction(self.engine) as connection:
            return Counter(connection.scalars(select(flag_events.c.what)))


@pytest.fixture
def desk(clinic: Settings, champions: Champions, tmp_path: Path) -> Desk:
    return Desk(clinic, tmp_path)


def test_the_carrier_is_flagged_beside_a_list_as_long_as_the_capacity(desk: Desk) -> None:
    raised = desk.flag(desk.score())
    listed = desk.worklist()
    assert raised.listed == 8
    assert Counter((one.kind, one.panel) for one in listed) == {
        ("risk", "North Clinic"): 4,
        ("risk", "South Clinic"): 4,
        ("finding", "North Clinic"): 1,
    }
    carrier = listed[0]
    assert (carrier.kind, carrier.source_id, carrier.genetic_status) == ("finding", "P-0011", "finding")
    assert carrier.reasons[0].words == "LDLR NM_000527.5:c.1646G>A: pathogenic"
    assert carrier.action == "Refer to the lipid clinic"
    assert carrier.due_on == (NOW + timedelta(days=14)).date()


def test_tested_negative_and_not_tested_are_two_different_things(desk: Desk) -> None:
    desk.policy.write_text(POLICY.replace("capacity = 4", "capacity = 300"))
    desk.flag(desk.score())
    status = {one.subject_id: (one.genetic_status, one.genetic_words) for one in desk.worklist() if one.kind == "risk"}
    tested = set(TESTED_NEGATIVE) & set(status)
    assert tested, "the record of the tests has tested people in the studied population"
    for subject_id, (kind, words) in status.items():
        if subject_id in tested:
            assert (kind, words) == ("negative", "Tested negative: APOB, LDLR, PCSK9")
        elif subject_id != CARRIER:
            assert (kind, words) == ("not tested", "No genetic test on record")


def test_the_list_is_the_top_by_risk_of_an_independent_sort(desk: Desk) -> None:
    scores = desk.score()
    desk.flag(scores)
    rows = [row for row in pq.read_table(scores).to_pylist() if row["risks"]]
    for parity, panel in ((1, "North Clinic"), (0, "South Clinic")):
        here = [row for row in rows if row["subject_id"] % 2 == parity]
        top = sorted(here, key=lambda row: -row["risks"][0])[:4]
        on_list = {one.subject_id for one in desk.worklist() if one.kind == "risk" and one.panel == panel}
        assert on_list == {row["subject_id"] for row in top}


def test_reasons_name_what_raises_the_risk_in_words_with_units(desk: Desk) -> None:
    desk.flag(desk.score())
    words = [reason.words for one in desk.worklist() if one.kind == "risk" for reason in one.reasons]
    assert any(text.startswith("Age ") and text.endswith(" years") for text in words)
    assert not any("nan" in text or "_" in text for text in words)
    weights = [reason.weight for one in desk.worklist() if one.kind == "risk" for reason in one.reasons[:1]]
    assert all(weight is not None and weight > 0 for weight in weights)


def test_flagging_the_same_scores_again_changes_nothing_whatever_was_decided(desk: Desk) -> None:
    scores = desk.score()
    desk.flag(scores)
    desk.decide(next(one for one in desk.worklist() if one.kind == "risk"), "dismissed")
    before, history = desk.worklist(), desk.history()
    again = desk.flag(scores, now=NOW + timedelta(days=1))
    assert again.repeated
    assert desk.worklist() == before
    assert desk.history() == history


def test_the_next_month_keeps_decisions_fills_the_place_and_lets_the_rest_lapse(desk: Desk) -> None:
    desk.flag(desk.score())
    first = [one for one in desk.worklist() if one.panel == "North Clinic" and one.kind == "risk"]
    desk.decide(first[0], "dismissed")
    desk.decide(first[1], "deferred", until=(NOW + timedelta(days=60)).date())
    later = NOW + timedelta(days=31)
    desk.flag(desk.score(AS_OF + timedelta(days=31)), now=later)
    second = [one for one in desk.worklist(now=later) if one.panel == "North Clinic" and one.kind == "risk"]
    assert len(second) == 4
    assert {first[0].subject_id, first[1].subject_id}.isdisjoint({one.subject_id for one in second})
    kept = {one.subject_id: one for one in second}
    for one in first[2:]:
        if one.subject_id in kept:
            assert kept[one.subject_id].id == one.id
            assert kept[one.subject_id].due_on == one.due_on, "a renewed flag keeps its deadline"
    assert [one.id for one in desk.worklist("dismissed")] == [first[0].id]


def test_older_scores_and_another_studys_policy_are_refused(desk: Desk) -> None:
    old, new = desk.score(AS_OF - timedelta(days=31)), desk.score()
    desk.flag(new)
    with pytest.raises(PresageError, match="not before"):
        desk.flag(old)
    desk.policy.write_text(POLICY.replace('study = "chd-10y"', 'study = "t2d-5y"'))
    with pytest.raises(PresageError, match="chd-10y"):
        desk.flag(new)


def test_a_changed_policy_needs_a_new_version(desk: Desk) -> None:
    scores = desk.score()
    desk.flag(scores)
    desk.policy.write_text(POLICY.replace("capacity = 4", "capacity = 5"))
    with pytest.raises(PresageError, match="version"):
        desk.flag(scores)
    desk.policy.write_text(POLICY.replace("capacity = 4", "capacity = 5").replace('"1"', '"2"'))
    assert desk.flag(scores).listed == 10
    assert {one.policy_version for one in desk.worklist()} == {"2"}


def test_scores_of_another_record_do_not_mix_with_these_people(desk: Desk, tmp_path: Path) -> None:
    scores = desk.score()
    desk.flag(scores)
    other = tmp_path / "other"
    (other / "identity").mkdir(parents=True)
    (other / "metadata").symlink_to(desk.record / "metadata")
    (other / "data").symlink_to(desk.record / "data")
    (other / "genomic").symlink_to(desk.record / "genomic")
    table = pq.read_table(desk.record / "identity" / "subjects.parquet").to_pydict()
    table["source_id"] = [f"X{source_id}" for source_id in table["source_id"]]
    schema = pq.read_schema(desk.record / "identity" / "subjects.parquet")
    pq.write_table(pa.table(table, schema=schema), other / "identity" / "subjects.parquet")
    with pytest.raises(PresageError, match="the store: expected flags of this record only"):
        desk.flag(scores, record=other)


def test_a_record_that_changed_since_the_scores_is_refused(desk: Desk, tmp_path: Path) -> None:
    scores = desk.score()
    table = pq.read_table(scores)
    broken = table.set_column(
        table.schema.get_field_index("feature_hash"),
        table.schema.field("feature_hash"),
        pa.array(["0" * 64 if value else None for value in table["feature_hash"].to_pylist()]),
    )
    pq.write_table(broken, scores)
    with pytest.raises(PresageError, match="the record has changed"):
        desk.flag(scores)
    with transaction(desk.engine) as connection:
        assert connection.execute(select(flags)).first() is None, "whole or not at all"


def test_a_withdrawn_finding_lapses_and_a_new_report_brings_a_dismissed_one_back(desk: Desk, tmp_path: Path) -> None:
    record = tmp_path / "changing"
    (record / "genomic").mkdir(parents=True)
    for name in ("data", "identity", "metadata"):
        (record / name).symlink_to(desk.record / name)
    for name in ("polygenic", "coverage", "findings"):
        pq.write_table(
            pq.read_table(desk.record / "genomic" / f"{name}.parquet"), record / "genomic" / f"{name}.parquet"
        )
    findings = pq.read_table(record / "genomic" / "findings.parquet")
    scores = desk.score()

    def report(**change: str) -> None:
        rows = [{**row, **change} for row in findings.to_pylist()]
        table = pa.Table.from_pylist(rows, findings.schema)
        pq.write_table(table, record / "genomic" / "findings.parquet")

    def carrier() -> list[Flag]:
        return [one for one in desk.worklist() if one.kind == "finding"]

    desk.flag(scores, record=record)
    desk.decide(carrier()[0], "dismissed")
    desk.flag(scores, record=record)
    assert carrier() == [], "the same report does not come back"
    report(report_id="R-2024-2")
    desk.flag(scores, record=record)
    assert len(carrier()) == 1
    report(report_id="R-2024-3", classification="uncertain significance")
    desk.flag(scores, record=record)
    assert carrier() == []
    assert desk.history()["lapsed"] == 1


def test_two_runs_with_the_people_in_another_order_flag_the_same(desk: Desk) -> None:
    scores = desk.score()
    desk.flag(scores)
    before = [replace(one, id=0) for one in desk.worklist()]
    table = pq.read_table(scores)
    reverse = table.take(list(range(len(table) - 1, -1, -1)))
    pq.write_table(reverse, desk.folder / "reversed.parquet")
    desk.flag(desk.folder / "reversed.parquet")
    assert [replace(one, id=0) for one in desk.worklist()] == before


def test_a_mistyped_year_neither_ends_the_flags_nor_shuts_the_policy(desk: Desk) -> None:
    made = desk.score()
    desk.flag(made)
    scores = read_scores(made)
    for as_of, receipts, refusal in (
        (AS_OF.replace(year=2042), scores.receipts, "a day that has come, found scores as of 2042-01-01"),
        (AS_OF, (), "at least one person"),
    ):
        path = desk.folder / "wrong.parquet"
        write_scores(path, receipts, model="chd-10y", as_of=as_of)
        with pytest.raises(PresageError, match=refusal):
            desk.flag(path)
    assert desk.flag(made).settled.lapsed == 0
