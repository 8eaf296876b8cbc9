"""Every question the store answers, one function each. A function that looks at a person writes the audit row too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Row,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from features.errors import PresageError
from serving.store.rows import (
    UNASSIGNED,
    Count,
    Filter,
    Flag,
    FlagEvent,
    Person,
    PolicyRow,
    Proposal,
    Reason,
    Receipt,
    Run,
    SignIn,
    Standing,
    Viewer,
)
from serving.store.schema import (
    STANDING,
    audit,
    flag_events,
    flags,
    panels,
    persons,
    policies,
    receipts,
    runs,
    tokens,
    user_panels,
    users,
)

_BATCH = 400  # values in one IN list; SQLite allows 999 by default


# --- people who sign in -------------------------------------------------------------------------------------------


def add_user(
    connection: Connection, *, name: str, role: str, password_hash: str | None, panel_names: Sequence[str]
) -> int:
    """A new sign-in. Raises PresageError where the name is taken."""
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise PresageError("user", "a name that is not taken", way_out="presage user list")
    added = connection.execute(insert(users).values(name=name, role=role, password_hash=password_hash))
    user_id = _new_id(added)
    for panel in dict.fromkeys(panel_names):
        connection.execute(insert(user_panels).values(user_id=user_id, panel_id=panel_id(connection, panel)))
    return user_id


def set_password(connection: Connection, *, name: str, password_hash: str) -> None:
    """A new password ends every session of its user and any lock."""
    connection.execute(
        update(users)
        .where(users.c.name == name)
        .values(password_hash=password_hash, failures=0, locked_until=None, epoch=users.c.epoch + 1)
    )


def set_panels(connection: Connection, *, name: str, panel_names: Sequence[str]) -> None:
    """The panels of a user become these."""
    user_id = connection.scalar(select(users.c.id).where(users.c.name == name))
    connection.execute(delete(user_panels).where(user_panels.c.user_id == user_id))
    for panel in dict.fromkeys(panel_names):
        connection.execute(insert(user_panels).values(user_id=user_id, panel_id=panel_id(connection, panel)))


def disable_user(connection: Connection, *, name: str) -> bool:
    """No more sign-ins, sessions or tokens of this user; False where there is none of the name."""
    changed = connection.execute(
        update(users).where(users.c.name == name).values(disabled=True, epoch=users.c.epoch + 1)
    )
    return bool(changed.rowcount)


def user_names(connection: Connection) -> list[tuple[str, str, bool, tuple[str, ...]]]:
    """(name, role, disabled, panels) of every user."""
    rows = connection.execute(
        select(users.c.name, users.c.role, users.c.disabled, panels.c.name)
        .select_from(users.outerjoin(user_panels).outerjoin(panels))
        .order_by(users.c.name, panels.c.name)
    )
    found: dict[str, tuple[str, str, bool, tuple[str, ...]]] = {}
    for name, role, disabled, panel in rows:
        held = found.get(name, (name, role, disabled, ()))
        found[name] = (*held[:3], held[3] + ((panel,) if panel else ()))
    return list(found.values())


def sign_in_by_name(connection: Connection, name: str) -> SignIn | None:
    """What checking a password needs; None where nobody has the name."""
    row = connection.execute(
        select(
            users.c.id,
            users.c.password_hash,
            users.c.disabled,
            users.c.failures,
            users.c.locked_until,
            users.c.epoch,
        ).where(users.c.name == name)
    ).first()
    return None if row is None else SignIn(*row)


def record_failure(connection: Connection, user_id: int, *, failures: int, locked_until: datetime | None) -> None:
    """One more failed sign-in, and how long the user waits because of it."""
    connection.execute(update(users).where(users.c.id == user_id).values(failures=failures, locked_until=locked_until))


def record_sign_in(connection: Connection, user_id: int, *, now: datetime) -> None:
    """A good sign-in clears the failures and is audited."""
    connection.execute(update(users).where(users.c.id == user_id).values(failures=0, locked_until=None))
    add_audit(connection, user_id=user_id, action="signed in", now=now)


def end_sessions(connection: Connection, user_id: int) -> None:
    """Signing out kills every session cookie of the user, stolen ones too."""
    connection.execute(update(users).where(users.c.id == user_id).values(epoch=users.c.epoch + 1))


def viewer_by_id(connection: Connection, user_id: int) -> Viewer | None:
    """An enabled user with their panels."""
    row = connection.execute(
        select(users.c.id, users.c.name, users.c.role, users.c.epoch).where(
            users.c.id == user_id, users.c.disabled.is_(False)
        )
    ).first()
    if row is None:
        return None
    held = connection.scalars(select(user_panels.c.panel_id).where(user_panels.c.user_id == user_id))
    return Viewer(row.id, row.name, row.role, frozenset(held), row.epoch)


def viewer_by_token(connection: Connection, token_hash: str, *, now: datetime) -> Viewer | None:
    """The enabled user whose token this is, while it has not expired."""
    user_id = connection.scalar(
        select(tokens.c.user_id).where(tokens.c.token_hash == token_hash, tokens.c.expires_at > now)
    )
    return None if user_id is None else viewer_by_id(connection, user_id)


def add_token(
    connection: Connection, *, name: str, token_hash: str, label: str, now: datetime, expires_at: datetime
) -> None:
    """A machine's way in, as its user. Raises PresageError where nobody has the name."""
    user_id = connection.scalar(select(users.c.id).where(users.c.name == name))
    if user_id is None:
        raise PresageError("user", "the name of a sign-in", way_out="presage user add NAME --role machine")
    connection.execute(
        insert(tokens).values(user_id=user_id, token_hash=token_hash, label=label, made_at=now, expires_at=expires_at)
    )


def panel_id(connection: Connection, name: str) -> int:
    """The panel of this name, made when new."""
    found = connection.scalar(select(panels.c.id).where(panels.c.name == name))
    if found is None:
        found = _new_id(connection.execute(insert(panels).values(name=name)))
    return int(found)


def panel_names(connection: Connection) -> dict[int, str]:
    """Every panel by its number."""
    return {row.id: row.name for row in connection.execute(select(panels).order_by(panels.c.name))}


def panels_with_most_findings(connection: Connection, *, limit: int) -> list[str]:
    """Panels by how many standing flags of findings, then of any kind, they have: where a demonstration shows most."""
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


# --- looking, with the audit row ----------------------------------------------------------------------------------


def add_audit(
    connection: Connection,
    *,
    user_id: int,
    action: str,
    now: datetime,
    subject_ids: Iterable[int | None] = (None,),
    detail: str = "",
) -> None:
    """One row for each person looked at (None: nobody of the record)."""
    rows = [
        {"at": now, "user_id": user_id, "action": action, "subject_id": subject_id, "detail": detail}
        for subject_id in subject_ids
    ]
    if rows:
        connection.execute(insert(audit), rows)


def worklist(connection: Connection, viewer: Viewer, *, wanted: Filter, now: datetime) -> list[Flag]:
    """Flags of people on the viewer's panels: findings first, then by risk. Audited for each person listed."""
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


def person(connection: Connection, viewer: Viewer, subject_id: int, *, now: datetime) -> Person | None:
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


def flags_of(connection: Connection, viewer: Viewer, subject_id: int) -> list[Flag]:
    """Every flag a person of the viewer's panels ever had, newest first. Call after `person`, which audits."""
    query = _flags().where(flags.c.subject_id == subject_id, persons.c.panel_id.in_(viewer.panel_ids))
    return [_flag(row) for row in connection.execute(query.order_by(flags.c.raised_at.desc(), flags.c.id.desc()))]


def history_of(connection: Connection, viewer: Viewer, subject_id: int) -> list[FlagEvent]:
    """What happened to a person's flags, newest first. Call after `person`, which audits."""
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


def receipts_of(connection: Connection, viewer: Viewer, subject_id: int) -> list[Receipt]:
    """The receipts behind a person's flags, newest first. Call after `person`, which audits."""
    query = (
        select(receipts)
        .join(persons, receipts.c.subject_id == persons.c.subject_id)
        .where(receipts.c.subject_id == subject_id, persons.c.panel_id.in_(viewer.panel_ids))
        .order_by(receipts.c.as_of.desc(), receipts.c.id.desc())
    )
    return [_receipt(row) for row in connection.execute(query)]


def flag_for_decision(connection: Connection, viewer: Viewer, flag_id: int) -> Flag | None:
    """One flag of the viewer's panels; None for every other."""
    row = connection.execute(_flags().where(flags.c.id == flag_id, persons.c.panel_id.in_(viewer.panel_ids))).first()
    return None if row is None else _flag(row)


def decide(
    connection: Connection,
    viewer: Viewer,
    flag: Flag,
    *,
    decision: str,
    note: str,
    until: date | None,
    now: datetime,
) -> None:
    """Remember what somebody decided, with the look it needed."""
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
    """People by policy, panel, kind and status, exact: whoever shows them suppresses the small ones."""
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
    """(policy title, run) of the newest ten runs: counts of everybody scored, nobody in particular."""
    columns = [runs.c[name] for name in Run.__slots__]
    query = select(policies.c.title, *columns).join(policies, runs.c.policy_hash == policies.c.hash)
    newest = connection.execute(query.order_by(runs.c.id.desc()).limit(10))
    return [(row[0], Run(*row[1:])) for row in newest]


# --- flagging -----------------------------------------------------------------------------------------------------


def add_policy(connection: Connection, policy: PolicyRow) -> None:
    """Keep the policy a flag refers to. Raises PresageError where its version already says something else."""
    known = connection.scalar(
        select(policies.c.hash).where(policies.c.name == policy.name, policies.c.version == policy.version)
    )
    if known == policy.hash:
        return
    if known is not None:
        raise PresageError(
            f"policy {policy.name}, version {policy.version}",
            "the content this version had when it was first used",
            way_out="give the changed policy a new version",
        )
    connection.execute(
        insert(policies).values(
            hash=policy.hash,
            name=policy.name,
            version=policy.version,
            title=policy.title,
            document=dict(policy.document),
        )
    )


def add_persons(connection: Connection, people: Sequence[Person]) -> None:
    """People about to be flagged, with their panel of today. Raises PresageError for another record's people."""
    known = {
        row.subject_id: (row.source, row.source_id)
        for batch in _batches([person.subject_id for person in people])
        for row in connection.execute(select(persons).where(persons.c.subject_id.in_(batch)))
    }
    for someone in people:
        panel = panel_id(connection, someone.panel or UNASSIGNED)
        if someone.subject_id not in known:
            values = {"source": someone.source, "source_id": someone.source_id, "panel_id": panel}
            connection.execute(insert(persons).values(subject_id=someone.subject_id, **values))
        elif known[someone.subject_id] != (someone.source, someone.source_id):
            raise PresageError(
                "the store",
                "flags of one record only, and it holds those of another",
                way_out="set PRESAGE_HOME or PRESAGE_STORE_URL to a store of this record's own",
            )
        else:
            connection.execute(update(persons).where(persons.c.subject_id == someone.subject_id).values(panel_id=panel))


def run_of(connection: Connection, policy_hash: str, scores_digest: str) -> int | None:
    """The run that already applied this policy to these scores."""
    return connection.scalar(
        select(runs.c.id).where(runs.c.policy_hash == policy_hash, runs.c.scores_digest == scores_digest)
    )


def last_as_of(connection: Connection, policy_name: str) -> datetime | None:
    """The newest as-of time that any version of a policy was applied at."""
    query = select(func.max(runs.c.as_of)).join(policies, runs.c.policy_hash == policies.c.hash)
    found: datetime | None = connection.scalar(query.where(policies.c.name == policy_name))
    return found


def add_run(connection: Connection, run: Run) -> int:
    """Remember that a policy was applied to a file of scores."""
    added = connection.execute(
        insert(runs).values(
            policy_hash=run.policy_hash,
            scores_digest=run.scores_digest,
            as_of=run.as_of,
            made_at=run.made_at,
            scored=run.scored,
            not_scored=run.not_scored,
        )
    )
    return _new_id(added)


def add_receipt(connection: Connection, receipt: Receipt) -> int:
    """Keep the receipt behind a flag; the same receipt twice is kept once."""
    values = {
        name: getattr(receipt, name)
        for name in Receipt.__slots__
        if name not in ("not_scored", "horizons_days", "risks")
    }
    values |= {"horizons_days": list(receipt.horizons_days), "risks": list(receipt.risks)}
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(receipts).values(values).on_conflict_do_nothing())
    same = [receipts.c[name] == values[name] for name in ("subject_id", "as_of", "bundle_digest", "feature_hash")]
    return int(connection.execute(select(receipts.c.id).where(*same)).scalar_one())


def last_flags(connection: Connection, policy_name: str) -> list[Standing]:
    """The newest flag of each person, kind and cause under a policy, whatever became of it."""
    columns = [flags.c[name] for name in Standing.__slots__ if name != "flag_id"]
    query = select(flags.c.id, *columns).where(flags.c.policy_name == policy_name).order_by(flags.c.id)
    newest = {(row.subject_id, row.kind, row.cause): Standing(*row) for row in connection.execute(query)}
    return list(newest.values())


def raise_flag(
    connection: Connection,
    proposal: Proposal,
    *,
    policy: PolicyRow,
    receipt_id: int | None,
    run_id: int,
    now: datetime,
) -> int:
    """A new open flag and the first line of its history."""
    values = _values(proposal, policy=policy, receipt_id=receipt_id, now=now)
    values |= {"due_on": proposal.due_on, "raised_at": now}
    added = connection.execute(insert(flags).values(values))
    flag_id = _new_id(added)
    _note_run(connection, flag_id, "raised", run_id=run_id, now=now)
    return flag_id


def renew_flag(
    connection: Connection,
    flag_id: int,
    proposal: Proposal,
    *,
    policy: PolicyRow,
    receipt_id: int | None,
    run_id: int,
    now: datetime,
) -> None:
    """The flag stands, with today's risk and reasons; its deadline stays where it was."""
    values = _values(proposal, policy=policy, receipt_id=receipt_id, now=now)
    connection.execute(update(flags).where(flags.c.id == flag_id).values(values | {"deferred_until": None}))
    _note_run(connection, flag_id, "renewed", run_id=run_id, now=now)


def lapse_flag(connection: Connection, flag_id: int, *, note: str, run_id: int, now: datetime) -> None:
    """The reason for the flag is gone."""
    connection.execute(
        update(flags).where(flags.c.id == flag_id).values(status="lapsed", deferred_until=None, changed_at=now)
    )
    _note_run(connection, flag_id, "lapsed", run_id=run_id, now=now, note=note)


# --- inside -------------------------------------------------------------------------------------------------------


def _new_id(added: CursorResult[tuple[()]]) -> int:
    key = added.inserted_primary_key
    if key is None:
        raise RuntimeError("the database gave no key to a new row")
    return int(key[0])


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


def _values(proposal: Proposal, *, policy: PolicyRow, receipt_id: int | None, now: datetime) -> dict[str, object]:
    skipped = ("due_on",)
    values: dict[str, object] = {name: getattr(proposal, name) for name in Proposal.__slots__ if name not in skipped}
    return values | {
        "reasons": [asdict(reason) for reason in proposal.reasons],
        "policy_hash": policy.hash,
        "policy_name": policy.name,
        "receipt_id": receipt_id,
        "status": "open",
        "changed_at": now,
    }


def _note_run(connection: Connection, flag_id: int, what: str, *, run_id: int, now: datetime, note: str = "") -> None:
    connection.execute(insert(flag_events).values(flag_id=flag_id, at=now, what=what, run_id=run_id, note=note))


def _batches(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH)]
