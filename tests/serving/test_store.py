from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import DatabaseError, IntegrityError

from features.errors import PresageError
from serving.store import repository
from serving.store.engine import HEAD, open_store, reading, transaction
from serving.store.rows import Filter
from serving.store.schema import audit, flag_events, flags, metadata
from tests.serving.conftest import NOW, POLICY, finding_proposal, proposal, seed


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The same tests on both databases."""
    if request.param == "sqlite":
        engine = open_store(f"sqlite:///{tmp_path / 'presage.db'}")
    else:
        pytest.importorskip("psycopg")
        engine = open_store(request.getfixturevalue("postgres_url"))
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        engine.dispose()
        engine = open_store(request.getfixturevalue("postgres_url"))
    seed(engine)
    yield engine
    engine.dispose()


def test_the_migrations_make_exactly_the_declared_schema(store: Engine) -> None:
    with store.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert context.get_current_revision() == HEAD
        assert compare_metadata(context, metadata) == []


def test_opening_a_store_twice_changes_nothing(store: Engine) -> None:
    again = open_store(store.url.render_as_string(hide_password=False))
    with reading(again) as connection:
        assert len(repository.user_names(connection)) == 4
    again.dispose()


def test_a_worklist_has_findings_first_then_risks_and_audits_each_person(store: Engine) -> None:
    with transaction(store) as connection:
        viewer = repository.viewer_by_id(connection, 1)
        assert viewer is not None
        listed = repository.worklist(connection, viewer, wanted=Filter(), now=NOW)
        assert [one.subject_id for one in listed] == [101, 102, 103, 104]
        seen = connection.scalars(select(audit.c.subject_id).where(audit.c.action == "listed")).all()
        assert sorted(seen) == [101, 102, 103, 104]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(genetic_status="negative"), [102]),
        (Filter(genetic_status="not tested"), [103]),
        (Filter(words="p-301"), []),
        (Filter(words="P-305"), [103]),
        (Filter(words="LIPID clinic"), [101]),
        (Filter(words="100%"), []),
        (Filter(policy_name="t2d-5y"), []),
        (Filter("accepted"), []),
    ],
)
def test_a_filter_narrows_the_list(store: Engine, wanted: Filter, expected: list[int]) -> None:
    with transaction(store) as connection:
        viewer = repository.viewer_by_id(connection, 1)
        assert viewer is not None
        assert [one.subject_id for one in repository.worklist(connection, viewer, wanted=wanted, now=NOW)] == expected


def test_a_second_standing_flag_for_one_cause_cannot_exist(store: Engine) -> None:
    with pytest.raises(IntegrityError), transaction(store) as connection:
        repository.raise_flag(
            connection, finding_proposal(101), policy=POLICY.row(), receipt_id=None, run_id=1, now=NOW
        )


@pytest.mark.parametrize(
    "broken",
    [
        {"action": ""},
        {"action_source": ""},
        {"owner": ""},
        {"due_on": None},
        {"kind": "whim"},
        {"genetic_status": "unknown"},
        {"risk": 1.2},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_database_itself_refuses_a_flag_without_an_action(store: Engine, broken: dict[str, object]) -> None:
    made = replace(proposal(103, 0.4, cause="another"), **broken)
    with pytest.raises(IntegrityError), transaction(store) as connection:
        repository.raise_flag(connection, made, policy=POLICY.row(), receipt_id=1, run_id=1, now=NOW)


def test_a_risk_needs_its_receipt_and_a_dismissal_its_reason(store: Engine) -> None:
    made = proposal(103, 0.4, cause="another")
    with pytest.raises(IntegrityError), transaction(store) as connection:
        repository.raise_flag(connection, made, policy=POLICY.row(), receipt_id=None, run_id=1, now=NOW)
    values = {"flag_id": 1, "at": NOW, "user_id": 1, "what": "dismissed", "note": ""}
    with pytest.raises(IntegrityError), transaction(store) as connection:
        connection.execute(insert(flag_events).values(values))
    with pytest.raises(IntegrityError), transaction(store) as connection:
        connection.execute(insert(flag_events).values(values | {"note": "why", "user_id": None}))
    with pytest.raises(IntegrityError), transaction(store) as connection:
        connection.execute(update(flags).values(status="deferred"))


@pytest.mark.parametrize("table", [audit, flag_events], ids=lambda table: table.name)
def test_what_was_looked_at_and_decided_can_be_added_to_and_never_changed(store: Engine, table) -> None:
    with transaction(store) as connection:
        repository.add_audit(connection, user_id=1, action="listed", now=NOW, subject_ids=[101])
    for change in (delete(table), update(table).values(at=date(2000, 1, 1))):
        with pytest.raises(DatabaseError, match="append-only"), transaction(store) as connection:
            connection.execute(change)


def test_a_look_and_its_audit_row_are_kept_or_lost_together(store: Engine) -> None:
    with pytest.raises(RuntimeError), transaction(store) as connection:  # noqa: PT012 (one transaction)
        viewer = repository.viewer_by_id(connection, 1)
        assert viewer is not None
        flag = repository.flag_for_decision(connection, viewer, flag_id=1)
        assert flag is not None
        repository.decide(connection, viewer, flag=flag, decision="accepted", note="", until=None, now=NOW)
        raise RuntimeError("the power fails")
    with reading(store) as connection:
        assert connection.scalar(select(flags.c.status).where(flags.c.id == 1)) == "open"
        assert connection.execute(select(audit)).first() is None


def test_a_store_that_cannot_be_reached_is_one_clear_error(tmp_path: Path) -> None:
    for url in ("nonsense", "postgresql://nobody@127.0.0.1:9/none"):
        with pytest.raises(PresageError, match="PRESAGE_STORE_URL"):
            open_store(url)


def test_a_file_that_is_no_store_is_one_clear_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "presage.db"
    path.write_text("not a database, and longer than the header of one " * 40)
    with pytest.raises(PresageError, match=r"presage\.db: expected Presage's store, .*PRESAGE_HOME"):
        open_store(f"sqlite:///{path}")
