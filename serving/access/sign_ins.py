"""Sign-ins from their administrator's side: made, listed, disabled, given panels, passwords and tokens."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text
from sqlalchemy import Connection, Engine

from features.errors import PresageError, meant
from serving.access.roles import hash_password, new_token, token_hash
from serving.flagging import panels_of
from serving.store import ROLES, UNASSIGNED, reading, repository, transaction

DEMO = (("care", "care manager"), ("lead", "programme lead"), ("science", "data scientist"))
LONGEST_NAME = 100
DEMO_PANELS = 2  # a list one person can work through


@dataclass(frozen=True, slots=True)
class DemoSignIns:
    """Names, passwords and panels of the demonstration."""

    rows: tuple[tuple[str, str, str, str], ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A table; the only place where a password is ever shown."""
        table = Table(title="Sign-ins of the demonstration", title_justify="left")
        for column in ("name", "password", "role", "panels"):
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*map(Text, row))
        yield table


def add(engine: Engine, *, name: str, role: str, password: str | None, panels: Sequence[str]) -> None:
    """Make a new sign-in. Raises PresageError for an unknown role, or a password where there should be none."""
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise PresageError("NAME", f"1 to {LONGEST_NAME} printable characters")
    if role not in ROLES:
        raise PresageError("--role", f"a role among {', '.join(ROLES)}", way_out=meant(role, ROLES))
    if (role == "machine") != (password is None):
        raise PresageError(
            "password", "one for people, none for machines", way_out="make a machine's token: presage user token NAME"
        )
    hashed = None if password is None else hash_password(password)
    with transaction(engine) as connection:
        repository.add_user(connection, name=name, role=role, password_hash=hashed, panel_names=panels)


def listing(engine: Engine) -> Table:
    """All sign-ins, as a table."""
    table = Table()
    for column in ("name", "role", "panels", "disabled"):
        table.add_column(column)
    with reading(engine) as connection:
        for name, role, disabled, panels in repository.user_names(connection):
            table.add_row(Text(name), role, Text(", ".join(panels) or "-"), "yes" if disabled else "")
    return table


def change_password(engine: Engine, *, name: str, password: str) -> None:
    """Give a user a new password; the user's sessions end."""
    hashed = hash_password(password)
    with transaction(engine) as connection:
        repository.set_password(connection, name=_enabled(connection, name), password_hash=hashed)


def change_panels(engine: Engine, *, name: str, panels: Sequence[str]) -> None:
    """Set the panels of a user to these."""
    with transaction(engine) as connection:
        repository.set_panels(connection, name=_enabled(connection, name), panel_names=panels)


def remarks(engine: Engine, *, panels: Sequence[str], record_dir: Path | None) -> list[str]:
    """A sentence for each panel on which nobody is, in the store or the record, with the nearest name of a panel that
    has people.

    This is a remark and no refusal: sign-ins are made before the first people are flagged, too. A user whose only panel
    does not exist sees nobody.
    """
    with reading(engine) as connection:
        known = {UNASSIGNED, *repository.panels_with_people(connection)}
    if record_dir is not None and (record_dir / "data").is_dir():
        known |= set(panels_of(record_dir).values())
    return [_remark(panel, known) for panel in dict.fromkeys(panels) if panel not in known]


def _remark(panel: str, known: set[str]) -> str:
    by_fold = {name.casefold(): name for name in sorted(known)}
    near = get_close_matches(panel.strip().casefold(), by_fold, n=1)
    meant = f"; did you mean {by_fold[near[0]]!r}?" if near else ""
    return f"nobody is on panel {panel!r} so far{meant}"


def disable(engine: Engine, *, name: str) -> None:
    """End the sign-ins, sessions and tokens of a user, for good."""
    with transaction(engine) as connection:
        repository.disable_user(connection, name=_known(connection, name))


def make_token(engine: Engine, *, name: str, label: str, now: datetime, valid: timedelta) -> str:
    """Make a token for a machine. It is returned only here: the store keeps its hash."""
    token = new_token()
    with transaction(engine) as connection:
        repository.add_token(
            connection,
            name=_enabled(connection, name),
            token_hash=token_hash(token),
            label=label,
            now=now,
            expires_at=now + valid,
        )
    return token


def demo(engine: Engine) -> DemoSignIns:
    """Make one sign-in for each role, with a new password; the care manager gets the panels with the most findings."""
    rows = []
    with transaction(engine) as connection:
        panels = repository.panels_with_most_findings(connection, limit=DEMO_PANELS)
        known = {name for name, *_ in repository.user_names(connection)}
        for name, role in DEMO:
            password = secrets.token_urlsafe(12)
            held = panels if role == "care manager" else []
            if name in known:
                repository.set_password(connection, name=name, password_hash=hash_password(password))
                repository.set_panels(connection, name=name, panel_names=held)
            else:
                repository.add_user(
                    connection, name=name, role=role, password_hash=hash_password(password), panel_names=held
                )
            rows.append((name, password, role, ", ".join(held) or "-"))
    return DemoSignIns(tuple(rows))


def _known(connection: Connection, name: str) -> str:
    if repository.sign_in_by_name(connection, name) is None:
        raise PresageError(
            "NAME",
            "the name of a sign-in",
            found="no sign-in of that name",
            way_out="choose from the list of: presage user list",
        )
    return name


def _enabled(connection: Connection, name: str) -> str:
    known = repository.sign_in_by_name(connection, _known(connection, name))
    if known is not None and known.disabled:
        raise PresageError(
            "NAME", "a sign-in that can be used", found="one that is disabled", way_out="add one of another name"
        )
    return name
