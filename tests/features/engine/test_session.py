"""A warm session plans once and reads anew: no person's answer is another's."""

from __future__ import annotations

import ibis
import pyarrow as pa
import pytest

from features.engine.session import WarmSession, duckdb_session

PEOPLE = ibis.table({"subject_id": "int64", "text": "string"}, name="people")
OTHERS = ibis.table({"subject_id": "int64"}, name="others")


def people(*rows: tuple[int, str | None]) -> pa.Table:
    return pa.table({"subject_id": [one for one, _ in rows], "text": pa.array([two for _, two in rows], pa.string())})


def said(session: WarmSession, expression: ibis.expr.types.Table) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = session.run(expression).to_pylist()
    return sorted(rows, key=str)


def test_the_same_expression_reads_the_table_that_was_put_last() -> None:
    session, expression = WarmSession(), PEOPLE.filter(PEOPLE.text.notnull()).select("subject_id")
    for rows in ([(1, "a")], [(2, "b"), (3, "c"), (4, None)], [], [(5, "e")]):
        session.put("people", people(*rows))
        assert said(session, expression) == [{"subject_id": one} for one, text in rows if text is not None]


def test_a_name_put_later_and_a_second_expression_do_not_disturb_the_first() -> None:
    session = WarmSession()
    first, second = PEOPLE.select("subject_id"), PEOPLE.semi_join(OTHERS, "subject_id").select("text")
    session.put("people", people((1, "a"), (2, "b")))
    assert said(session, first) == [{"subject_id": 1}, {"subject_id": 2}]
    session.put("others", pa.table({"subject_id": [2]}))
    assert said(session, second) == [{"text": "b"}]
    session.put("people", people((2, "z")))
    assert (said(session, first), said(session, second)) == ([{"subject_id": 2}], [{"text": "z"}])


def test_other_types_and_orders_of_columns_are_brought_to_the_planned_ones() -> None:
    session, expression = WarmSession(), PEOPLE.select("subject_id", "text")
    session.put("people", people((1, "a")))
    assert said(session, expression) == [{"subject_id": 1, "text": "a"}]
    session.put(
        "people", pa.table({"text": pa.array(["b"], pa.large_string()), "subject_id": pa.array([7], pa.int32())})
    )
    assert said(session, expression) == [{"subject_id": 7, "text": "b"}]


def test_only_arrow_tables_are_taken() -> None:
    with pytest.raises(TypeError, match="Arrow"):
        WarmSession().put("people", PEOPLE)


def test_an_expression_put_after_a_table_of_the_same_name_takes_its_place() -> None:
    session, expression = duckdb_session(), OTHERS.select("subject_id")
    session.put("people", people((1, "a"), (2, None)))
    session.put("others", pa.table({"subject_id": [9]}))
    assert session.run(expression).to_pylist() == [{"subject_id": 9}]
    known = session.backend.table("people")
    session.put("others", known.filter(known.text.notnull()).select("subject_id"))
    assert session.run(expression).to_pylist() == [{"subject_id": 1}]
    session.put("others", pa.table({"subject_id": [7]}))
    assert session.run(expression).to_pylist() == [{"subject_id": 7}]
