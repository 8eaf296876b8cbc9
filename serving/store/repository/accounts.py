"""Users and their panels, and the audit row that every look leaves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import (
    Connection,
    CursorResult,
    delete,
    insert,
    select,
    update,
)

from features.errors import PresageError
from serving.store.rows import (
    SignIn,
    Viewer,
)
from serving.store.schema import (
    audit,
    panels,
    persons,
    tokens,
    user_panels,
    users,
)


def add_user(
    connection: Connection, *, name: str, role: str, password_hash: str | None, panel_names: Sequence[str]
) -> int:
    """Add a user. Raises PresageError where the name is taken."""
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise PresageError(
            "NAME",
            "a name that is not taken",
            found="one that is",
            way_out="choose one beside those of: presage user list",
        )
    added = connection.execute(insert(users).values(name=name, role=role, password_hash=password_hash))
    user_id = new_id(added)
    for panel in dict.fromkeys(panel_names):
        connection.execute(insert(user_panels).values(user_id=user_id, panel_id=panel_id(connection, panel)))
    return user_id


def set_password(connection: Connection, *, name: str, password_hash: str) -> None:
    """Set a user's password, which ends the user's sessions and any lock."""
    connection.execute(
        update(users)
        .where(users.c.name == name)
        .values(password_hash=password_hash, failures=0, locked_until=None, epoch=users.c.epoch + 1)
    )


def set_panels(connection: Connection, *, name: str, panel_names: Sequence[str]) -> None:
    """Set the panels of a user to these."""
    user_id = connection.scalar(select(users.c.id).where(users.c.name == name))
    connection.execute(delete(user_panels).where(user_panels.c.user_id == user_id))
    for panel in dict.fromkeys(panel_names):
        connection.execute(insert(user_panels).values(user_id=user_id, panel_id=panel_id(connection, panel)))


def disable_user(connection: Connection, *, name: str) -> bool:
    """Disable a user: no more sign-ins, sessions or tokens. False where there is no such user."""
    changed = connection.execute(
        update(users).where(users.c.name == name).values(disabled=True, epoch=users.c.epoch + 1)
    )
    return bool(changed.rowcount)


def user_names(connection: Connection) -> list[tuple[str, str, bool, tuple[str, ...]]]:
    """Every user: name, role, whether disabled, panels."""
    rows = connection.execute(
        select(users.c.name, users.c.role, users.c.disabled, panels.c.name)
        .select_from(users.outerjoin(user_panels).outerjoin(panels))
        .order_by(users.c.name, panels.c.name)
    )
    users_by_name: dict[str, tuple[str, str, bool, tuple[str, ...]]] = {}
    for name, role, disabled, panel in rows:
        held = users_by_name.get(name, (name, role, disabled, ()))
        users_by_name[name] = (*held[:3], held[3] + ((panel,) if panel else ()))
    return list(users_by_name.values())


def sign_in_by_name(connection: Connection, name: str) -> SignIn | None:
    """The values that checking a user's password needs; None where there is no user of this name."""
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
    """Record a failed sign-in, and until when the user has to wait because of it."""
    connection.execute(update(users).where(users.c.id == user_id).values(failures=failures, locked_until=locked_until))


def record_sign_in(connection: Connection, user_id: int, *, now: datetime) -> None:
    """Record a good sign-in: failures are cleared, and an audit row is written."""
    connection.execute(update(users).where(users.c.id == user_id).values(failures=0, locked_until=None))
    add_audit(connection, user_id=user_id, action="signed in", now=now)


def end_sessions(connection: Connection, user_id: int) -> None:
    """End all sessions of a user, so that stolen cookies are worth nothing."""
    connection.execute(update(users).where(users.c.id == user_id).values(epoch=users.c.epoch + 1))


def viewer_by_id(connection: Connection, user_id: int) -> Viewer | None:
    """An enabled user with the user's panels; None where there is none."""
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
    """The enabled user to whom this token belongs, while it has not expired; None otherwise."""
    user_id = connection.scalar(
        select(tokens.c.user_id).where(tokens.c.token_hash == token_hash, tokens.c.expires_at > now)
    )
    return None if user_id is None else viewer_by_id(connection, user_id)


def add_token(
    connection: Connection, *, name: str, token_hash: str, label: str, now: datetime, expires_at: datetime
) -> None:
    """Add a token, by which a machine comes in as this user.

    Raises PresageError where there is no user of this name.
    """
    user_id = connection.scalar(select(users.c.id).where(users.c.name == name))
    if user_id is None:
        raise PresageError(
            "NAME",
            "the name of a sign-in",
            found="no sign-in of that name",
            way_out="add it: presage user add NAME --role machine",
        )
    connection.execute(
        insert(tokens).values(user_id=user_id, token_hash=token_hash, label=label, made_at=now, expires_at=expires_at)
    )


def panel_id(connection: Connection, name: str) -> int:
    """The number of the panel with this name, which is made if it is new."""
    number = connection.scalar(select(panels.c.id).where(panels.c.name == name))
    if number is None:
        number = new_id(connection.execute(insert(panels).values(name=name)))
    return int(number)


def panel_names(connection: Connection) -> dict[int, str]:
    """The name of every panel, by its number."""
    return {row.id: row.name for row in connection.execute(select(panels).order_by(panels.c.name))}


def panels_with_people(connection: Connection) -> set[str]:
    """Names of panels on which somebody is."""
    return set(connection.scalars(select(panels.c.name).where(panels.c.id.in_(select(persons.c.panel_id)))))


def add_audit(
    connection: Connection,
    *,
    user_id: int,
    action: str,
    now: datetime,
    subject_ids: Iterable[int | None] = (None,),
    detail: str = "",
) -> None:
    """Write one audit row for each person looked at (None: a person who is not of the record)."""
    rows = [
        {"at": now, "user_id": user_id, "action": action, "subject_id": subject_id, "detail": detail}
        for subject_id in subject_ids
    ]
    if rows:
        connection.execute(insert(audit), rows)


def new_id(added: CursorResult[tuple[()]]) -> int:
    """The key that the database gave to a new row."""
    key = added.inserted_primary_key
    if key is None:
        raise RuntimeError("the database gave no key to a new row")
    return int(key[0])
