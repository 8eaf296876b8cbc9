"""Looks at flags and at the people behind them. A function that looks at a person writes the audit row too."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from serving.store.repository.accounts import add_audit
from serving.store.rows import (
    Count,
    Filter,
    Flag,
    FlagEvent,
    Person,
    Reason,
    Receipt,
    Run,
    Viewer,
)
from serving.store.schema import (
    STANDING,
    flag_events,
    flags,
    panels,
    persons,
    policies,
    receipts,
    runs,
    users,
)


def worklist(connection: Connection, viewer: Viewer, *, wanted: Filter, now: datetime) -> list[Flag]:
    """The flags of people on the viewer's panels, findings first, then by risk. Each person listed is audited."""
    query = _flags().where(persons.c.panel_id.in_(viewer.panel_ids), _in_status(wanted.status, now.date()))
    if wanted.policy_name:
        query = query.where(flags.c.policy_name == wanted.policy_name)
    if wanted.genetic_status:
        query = query.where(flags.c.genetic_status == wanted.genetic_status)
    if wanted.words:
        query = query.where(
            or_(
                persons.c.source_id.icontains(wanted.words, autoescape=True),
                flags.c.headline.icontains(wanted.words, autoescape=True),
                flags.c.action.icontains(wanted.words, autoescape=True),
            )
        )
    first = case((flags.c.kind == "finding", 0), else_=1)
    query = query.order_by(first, flags.c.risk.desc().nulls_last(), flags.c.due_on, flags.c.subject_id, flags.c.id)
    listed = [_flag(row) for row in connection.execute(query)]
    add_audit(
        connection,
        user_id=viewer.user_id,
        action="listed",
        now=now,
        subject_ids=dict.fromkeys(flag.subject_id for flag in listed),
    )
    return listed


def waiting(connection: Connection, viewer: Viewer, *, today: date) -> dict[str, int]:
    """How many flags of the viewer's panels stand in each status."""
    counted = {}
    for status in ("open", "accepted", "deferred", "dismissed", "done"):
        counted[status] = connection.scalar(
            select(func.count(flags.c.id))
            .select_from(flags.join(persons, flags.c.subject_id == persons.c.subject_id))
            .where(persons.c.panel_id.in_(viewer.panel_ids), _in_status(status, today))
        )
    return {status: int(count or 0) for status, count in counted.items()}


def person(connection: Connection, viewer: Viewer, *, subject_id: int, now: datetime) -> Person | None:
    """A flagged person of the viewer's panels, audited; None for everybody else, whether they exist or not."""
    row = connection.execute(
        select(persons.c.subject_id, persons.c.source, persons.c.source_id, panels.c.name)
        .join(panels, persons.c.panel_id == panels.c.id)
        .where(persons.c.subject_id == subject_id, persons.c.panel_id.in_(viewer.panel_ids))
    ).first()
    if row is None:
        return None
    add_audit(connection, user_id=viewer.user_id, action="opened", now=now, subject_ids=[subject_id])
    return Person(*row)


def flags_of(connection: Connection, viewer: Viewer, *, subject_id: int) -> list[Flag]:
    """Every flag a person of the viewer's panels ever had, newest first. Call after `person`, which audits."""
    query = _flags().where(flags.c.subject_id == subject_id, persons.c.panel_id.in_(viewer.panel_ids))
    return [_flag(row) for row in connection.execute(query.order_by(flags.c.raised_at.desc(), flags.c.id.desc()))]


def history_of(connection: Connection, viewer: Viewer, *, subject_id: int) -> list[FlagEvent]:
    """The history of a person's flags, newest first. Call it after `person`, which audits."""
    query = (
        select(
            flag_events.c.flag_id,
            flag_events.c.at,
            flag_events.c.what,
            users.c.name,
            flag_events.c.note,
            flag_events.c.until,
            flags.c.headline,
        )
        .select_from(
            flag_events.join(flags, flag_events.c.flag_id == flags.c.id)
            .join(persons, flags.c.subject_id == persons.c.subject_id)
            .outerjoin(users, flag_events.c.user_id == users.c.id)
        )
        .where(flags.c.subject_id == subject_id, persons.c.panel_id.in_(viewer.panel_ids))
        .order_by(flag_events.c.at.desc(), flag_events.c.id.desc())
    )
    return [FlagEvent(*row) for row in connection.execute(query)]


def receipts_of(connection: Connection, viewer: Viewer, *, subject_id: int) -> list[Receipt]:
    """The receipts behind a person's flags, newest first. Call after `person`, which audits."""
    query = (
        select(receipts)
        .join(persons, receipts.c.subject_id == persons.c.subject_id)
        .where(receipts.c.subject_id == subject_id, persons.c.panel_id.in_(viewer.panel_ids))
        .order_by(receipts.c.as_of.desc(), receipts.c.id.desc())
    )
    return [_receipt(row) for row in connection.execute(query)]


def flag_for_decision(connection: Connection, viewer: Viewer, *, flag_id: int) -> Flag | None:
    """One flag of the viewer's panels; None for every other."""
    row = connection.execute(_flags().where(flags.c.id == flag_id, persons.c.panel_id.in_(viewer.panel_ids))).first()
    return None if row is None else _flag(row)


def decide(
    connection: Connection,
    viewer: Viewer,
    *,
    flag: Flag,
    decision: str,
    note: str,
    until: date | None,
    now: datetime,
) -> None:
    """Keep a person's decision on a flag, with the audit row of the look it needed."""
    status = "open" if decision == "reopened" else decision
    connection.execute(
        update(flags).where(flags.c.id == flag.id).values(status=status, deferred_until=until, changed_at=now)
    )
    connection.execute(
        insert(flag_events).values(
            flag_id=flag.id, at=now, what=decision, user_id=viewer.user_id, note=note, until=until
        )
    )
    add_audit(connection, user_id=viewer.user_id, action=decision, now=now, subject_ids=[flag.subject_id])


def counts(connection: Connection) -> list[Count]:
    """Exact counts of flags by policy, panel, kind and status; code that shows them has to suppress the small ones."""
    people = func.count(flags.c.subject_id.distinct())
    keys = (policies.c.title, panels.c.name, flags.c.kind, flags.c.status)
    query = (
        select(*keys, people)
        .select_from(
            flags.join(persons, flags.c.subject_id == persons.c.subject_id)
            .join(panels, persons.c.panel_id == panels.c.id)
            .join(policies, flags.c.policy_hash == policies.c.hash)
        )
        .group_by(*keys)
        .order_by(*keys)
    )
    return [Count(*row) for row in connection.execute(query)]


def policies_in_use(connection: Connection, viewer: Viewer) -> list[tuple[str, str]]:
    """(name, title) of the policies with flags on the viewer's panels."""
    query = (
        select(policies.c.name, func.max(policies.c.title))
        .select_from(
            flags.join(policies, flags.c.policy_hash == policies.c.hash).join(
                persons, flags.c.subject_id == persons.c.subject_id
            )
        )
        .where(persons.c.panel_id.in_(viewer.panel_ids))
        .group_by(policies.c.name)
        .order_by(policies.c.name)
    )
    return [(name, title) for name, title in connection.execute(query)]


def last_runs(connection: Connection) -> list[tuple[str, Run]]:
    """The newest ten runs of policies, each with the policy's title: counts of everybody scored,
    nobody in particular.
    """
    columns = [runs.c[name] for name in Run.__slots__]
    query = select(policies.c.title, *columns).join(policies, runs.c.policy_hash == policies.c.hash)
    newest = connection.execute(query.order_by(runs.c.id.desc()).limit(10))
    return [(row[0], Run(*row[1:])) for row in newest]


def panels_with_most_findings(connection: Connection, *, limit: int) -> list[str]:
    """The panels with the most standing flags of findings, then of any kind; a demonstration shows these."""
    findings = func.sum(case((flags.c.kind == "finding", 1), else_=0))
    query = (
        select(panels.c.name)
        .select_from(
            flags.join(persons, flags.c.subject_id == persons.c.subject_id).join(
                panels, persons.c.panel_id == panels.c.id
            )
        )
        .where(flags.c.status.in_(STANDING))
        .group_by(panels.c.name)
        .order_by(findings.desc(), func.count(flags.c.id).desc(), panels.c.name)
        .limit(limit)
    )
    return list(connection.scalars(query))


def _flags() -> Select[*tuple[object, ...]]:
    columns = [
        policies.c.version.label("policy_version")
        if name == "policy_version"
        else policies.c.title.label("policy_title")
        if name == "policy_title"
        else persons.c.source_id
        if name == "source_id"
        else panels.c.name.label("panel")
        if name == "panel"
        else flags.c[name]
        for name in Flag.__slots__
    ]
    return select(*columns).select_from(
        flags.join(persons, flags.c.subject_id == persons.c.subject_id)
        .join(panels, persons.c.panel_id == panels.c.id)
        .join(policies, flags.c.policy_hash == policies.c.hash)
    )


def _in_status(status: str, today: date) -> ColumnElement[bool]:
    back = and_(flags.c.status == "deferred", flags.c.deferred_until <= today)
    if status == "open":
        return or_(flags.c.status == "open", back)
    if status == "deferred":
        return and_(flags.c.status == "deferred", flags.c.deferred_until > today)
    return flags.c.status == status


def _flag(row: Row[*tuple[object, ...]]) -> Flag:
    values = row._asdict()
    return Flag(**values | {"reasons": tuple(Reason(**reason) for reason in values["reasons"])})


def _receipt(row: Row[*tuple[object, ...]]) -> Receipt:
    values = row._asdict()
    values.pop("id")
    lists = {name: tuple(values[name]) for name in ("horizons_days", "risks")}
    return Receipt(**values | lists)
