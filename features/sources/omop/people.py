"""Persons, deaths, observation periods and visits: the tables that other rows are checked against."""

from __future__ import annotations

from datetime import date

import ibis
import ibis.expr.types as ir

from features.sources.checks import (
    BAD_DATE,
    BEFORE_BIRTH,
    END_BEFORE_START,
    FIRST_YEAR,
    LAST_YEAR,
    NO_DATE,
    NO_LAST_DAY,
    NO_PERSON,
    NO_SUCH_PERSON,
    REPEATED,
    SECOND_ROW,
    STARTS_LATE,
    STILL_OPEN,
    TIMESTAMP,
    is_open,
    key_number,
    moment,
    person_and_date_reasons,
    row_as_text,
)
from features.sources.omop import columns as c
from features.sources.omop.rows import World, with_person

NO_BIRTH = "no valid date or year of birth"


def person_key(raw: ir.Table) -> c.Key:
    """How persons are told apart: by whole numbers, as the CDM defines them, unless some person_id is no number at all.

    Then they are told apart by the text of the id. A number that is not whole, or does not fit 64 bits, is nobody's id.
    """
    n_text = raw.filter(c.text(raw, "person_id").notnull() & ~c.is_number(raw, "person_id")).count()
    n_text = n_text.to_pyarrow().as_py()
    return c.text if n_text else c.integer


def person_rows(raw: ir.Table, key: c.Key) -> ir.Table:
    """Persons with person_key, source_id, birth (null: unknown), gender, race, ethnicity, care_site, provider, reason
    and mended.

    Where only the year, or the year and the month, of birth is known, the first day of it is the birth, so that no
    event is called "before birth" that need not be.
    """
    day = c.day(raw, "birth_datetime")
    year, month, dom = (c.integer(raw, f"{part}_of_birth") for part in ("year", "month", "day"))
    month = ibis.ifelse(month.between(1, 12), month, 1).fill_null(1)
    dom = ibis.ifelse(dom.between(1, 31), dom, 1).fill_null(1)
    first_of_month = year.cast("string") + "-" + month.cast("string").lpad(2, "0") + "-"
    known = ibis.ifelse(year.between(FIRST_YEAR, LAST_YEAR), first_of_month, ibis.null("string"))
    # A 30th of February leaves the month.
    birth = ibis.coalesce(
        day, (known + dom.cast("string").lpad(2, "0")).try_cast("date"), (known + "01").try_cast("date")
    )
    stamp = c.clock(raw, "birth_datetime")
    rows = raw.select(
        source_row=row_as_text(raw),
        person_key=key(raw, "person_id"),
        birth=birth,
        birth_time=moment(birth, stamp).time,
        **{
            f"{fact}_{part}": column
            for fact in ("gender", "race", "ethnicity")
            for part, column in (
                ("standard", c.concept(raw, f"{fact}_concept_id")),
                ("source", c.concept(raw, f"{fact}_source_concept_id")),
                ("value", c.text(raw, f"{fact}_source_value")),
            )
        },
        care_site=c.key(raw, "care_site_id").cast("string"),
        provider=c.key(raw, "provider_id").cast("string"),
    )
    first = _first_of(rows, "person_key")
    return rows.mutate(
        source_id=rows.person_key.cast("string"),
        reason=ibis.cases((rows.person_key.isnull(), NO_PERSON), (~first, SECOND_ROW), else_=ibis.null("string")),
        mended=ibis.cases((rows.birth.isnull(), NO_BIRTH), else_=ibis.null("string")),
        note_sentinel=rows.birth.isin([date(1800, 1, 1), date(1900, 1, 1)]),
    )


def _first_of(rows: ir.Table, key: str) -> ir.BooleanValue:
    """Whether a row is the first with its key, by the text of the rows; that text is made only where a key repeats."""
    keys = rows.filter(rows[key].notnull())
    repeated = keys.group_by(key).agg(n=keys.count()).filter(lambda t: t.n > 1)
    if not repeated.count().to_pyarrow().as_py():
        return ibis.literal(True)
    return ibis.row_number().over(group_by=rows[key], order_by=rows.source_row) == 0


def death_rows(raw: ir.Table, world: World) -> ir.Table:
    """Deaths, one row each: subject_id, time, known, cause (code), reason.

    Of several deaths of a person the earliest counts.
    """
    date, stamp = c.day(raw, "death_date"), c.clock(raw, "death_datetime")
    when = moment(date, stamp)
    rows = raw.select(
        source_row=row_as_text(raw),
        person_key=world.person_key(raw, "person_id"),
        day=when.time.cast("date"),
        dated=c.has_value(raw, "death_date", "death_datetime"),
        time=when.time,
        known=when.known,
        cause=ibis.coalesce(c.concept(raw, "cause_source_concept_id"), c.concept(raw, "cause_concept_id")),
    )
    rows = with_person(rows, world).drop("death")
    rows = rows.left_join(world.concepts, rows.cause == world.concepts.concept_id).drop("concept_id", "name")
    valid = rows.day.notnull() & rows.subject_id.notnull() & ~(rows.day < rows.birth).fill_null(False)
    first = ibis.row_number().over(group_by=[rows.subject_id, valid], order_by=[rows.time, rows.source_row]) == 0
    return rows.mutate(
        mended=ibis.null("string"),
        cause_code=ibis.coalesce(rows.code, "OMOP//" + rows.cause.cast("string")),
        reason=ibis.cases(
            (rows.person_key.isnull(), NO_PERSON),
            (rows.subject_id.isnull(), NO_SUCH_PERSON),
            (rows.day.isnull() & ~rows.dated, NO_DATE),
            (rows.day.isnull(), BAD_DATE),
            (rows.day < rows.birth, BEFORE_BIRTH),
            (~first, SECOND_ROW),
            else_=ibis.null("string"),
        ),
    )


def period_rows(raw: ir.Table, world: World, *, last_day: date | None) -> ir.Table:
    """Observation periods, one row each: subject_id, start, end (dates), reason.

    An open period ends with the last day.
    """
    rows = raw.select(
        source_row=row_as_text(raw),
        person_key=world.person_key(raw, "person_id"),
        start=c.day(raw, "observation_period_start_date"),
        end=c.day(raw, "observation_period_end_date"),
        has_start=c.has_value(raw, "observation_period_start_date"),
        has_end=c.has_value(raw, "observation_period_end_date"),
        never=c.never(raw, "observation_period_end_date"),
    )
    rows = with_person(rows, world)
    rows = rows.mutate(is_open=is_open(rows.end, never=rows.never, last_day=last_day))
    rows = rows.mutate(end=ibis.ifelse(rows.is_open, ibis.literal(last_day, type="date"), rows.end))
    unreadable = (rows.start.isnull() & rows.has_start) | (rows.end.isnull() & rows.has_end & ~rows.is_open)
    return rows.mutate(
        reason=ibis.cases(
            (rows.person_key.isnull(), NO_PERSON),
            (rows.subject_id.isnull(), NO_SUCH_PERSON),
            (unreadable, BAD_DATE),
            (rows.start.isnull() | (rows.end.isnull() & ~rows.is_open), NO_DATE),
            (rows.end.isnull(), NO_LAST_DAY),
            (rows.is_open & (rows.end < rows.start), STARTS_LATE),
            (rows.end < rows.start, END_BEFORE_START),
            (rows.end < rows.birth, BEFORE_BIRTH),
            else_=ibis.null("string"),
        ),
        mended=ibis.cases(
            (rows.is_open, STILL_OPEN), (rows.start < rows.birth, "starts before birth"), else_=ibis.null("string")
        ),
    )


def visit_rows(raw: ir.Table, world: World, *, kinds: ir.Table) -> ir.Table:
    """Visits, one row each: visit_id, subject_id, code, time, known, end_time, end_known, reason, mended and notes.

    kinds: place (a concept), kind_id and kind (concept and code of the inpatient, outpatient or emergency visit that it
    is part of).
    """
    start = moment(c.day(raw, "visit_start_date"), c.clock(raw, "visit_start_datetime"))
    end = moment(c.day(raw, "visit_end_date"), c.clock(raw, "visit_end_datetime"))
    rows = raw.select(
        source_row=row_as_text(raw),
        person_key=world.person_key(raw, "person_id"),
        visit_id=c.key(raw, "visit_occurrence_id"),
        standard=c.concept(raw, "visit_concept_id"),
        source=c.concept(raw, "visit_source_concept_id"),
        day=start.time.cast("date"),
        dated=c.has_value(raw, "visit_start_date", "visit_start_datetime"),
        time=start.time,
        known=start.known,
        end_time=end.time,
        end_known=end.known,
        end_dated=c.has_value(raw, "visit_end_date", "visit_end_datetime"),
    )
    rows = with_person(rows, world)
    known = world.concepts.select("concept_id", "code")
    rows = rows.left_join(known, rows.standard == known.concept_id)
    rows = rows.left_join(kinds, rows.standard == kinds.place)
    rows = rows.mutate(concept_id=ibis.coalesce(rows.kind_id, rows.concept_id))
    first = _first_of(rows, "visit_id")
    backwards = rows.end_known < rows.known
    ends = rows.end_time.notnull() & ~((rows.end_time < rows.time) & backwards)
    unresolved = "OMOP//" + ibis.coalesce(rows.standard, rows.source).cast("string")
    return rows.mutate(
        key=key_number(rows.visit_id),
        person=key_number(rows.person_key),
        usable=rows.person_key.notnull() & rows.day.notnull() & rows.visit_id.notnull() & first,
        code=ibis.coalesce(rows.kind, rows.code, unresolved, "Visit//unknown"),
        end_time=ibis.ifelse(ends, rows.end_time, ibis.null(TIMESTAMP)),
        end_known=ibis.ifelse(ends, ibis.greatest(rows.end_known, rows.known), ibis.null(TIMESTAMP)),
        reason=ibis.cases(
            *person_and_date_reasons(rows),
            (rows.visit_id.isnull(), "no visit_occurrence_id"),
            (~first, REPEATED),
            else_=ibis.null("string"),
        ),
        mended=ibis.cases(
            (rows.end_time.notnull() & ~ends, END_BEFORE_START),
            (rows.end_time.isnull() & rows.end_dated, "end " + BAD_DATE),
            else_=ibis.null("string"),
        ),
        note_open=rows.end_time.isnull() & ~rows.end_dated,
        note_concept=rows.concept_id.isnull(),
        note_after_death=(rows.day > rows.death).fill_null(False),
    )
