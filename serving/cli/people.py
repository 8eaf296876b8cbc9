"""Commands about people: score and flag them, serve their worklist, and who may sign in to it."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PresageError
from serving.cli.options import NameArgument, RecordOption, now, say
from serving.console import console, progress

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer()
user = typer.Typer(help="Sign-ins: who may see what.", no_args_is_help=True)


@app.command()
def score(
    model: Annotated[str, typer.Argument(help="A registered model with a champion.")],
    record: RecordOption,
    as_of: Annotated[
        datetime,
        typer.Option(
            "--as-of", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="The day; what came later is not seen."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Receipts, as Parquet.")],
) -> None:
    """Score everybody enrolled on a day: one receipt each, or the reason why there is no score."""
    from serving.scoring.score import score as run

    console.print(run(model, record_dir=record, as_of=as_of, out=out, progress=progress))


@app.command()
def flag(
    scores: Annotated[Path, typer.Argument(help="What `presage score` wrote.")],
    policy: Annotated[
        str, typer.Option("--policy", help="A policy that ships (see presage studies), or a policy file.")
    ],
    record: RecordOption,
) -> None:
    """Flag the top of the list, as long as the team's capacity, and every carrier of an actionable variant."""
    from serving.flagging import policy_path
    from serving.flagging.flag import flag as run
    from serving.settings import Settings

    settings = Settings.from_environment()
    file = policy_path(policy)
    console.print(run(scores, policy_path=file, record_dir=record, settings=settings, now=now(), progress=progress))


@app.command()
def serve(
    record: Annotated[Path | None, typer.Option("--record", help="The record whose people are looked at.")] = None,
    host: Annotated[str, typer.Option(help="Beyond loopback, put TLS in front: cookies then need it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens.")] = 3000,
) -> None:
    """Serve the worklist and the score API."""
    from serving.service import serve as run
    from serving.settings import Settings

    run(Settings.from_environment().serving(record=record, host=host), host=host, port=port)


@user.command("add")
def user_add(
    name: NameArgument,
    role: Annotated[str, typer.Option(help="care manager, programme lead, data scientist or machine.")],
    panel: Annotated[list[str] | None, typer.Option(help="A care site; give it once for each.")] = None,
) -> None:
    """Make a sign-in. The password is asked for, or read from PRESAGE_PASSWORD."""
    from serving.access import sign_ins

    password = None if role == "machine" else _password()
    store = _store()
    sign_ins.add(store, name=name, role=role, password=password, panels=panel or [])
    say(f"{name} can sign in." if password else f"{name} is known; next: presage user token {name}")
    _remark(store, panel or [], name)


@user.command("list")
def user_list() -> None:
    """Who can sign in."""
    from serving.access import sign_ins

    console.print(sign_ins.listing(_store()))


@user.command("password")
def user_password(name: NameArgument) -> None:
    """Change a password; the user's sessions end."""
    from serving.access import sign_ins

    sign_ins.change_password(_store(), name=name, password=_password())
    say(f"{name} has a new password.")


@user.command("panels")
def user_panels(
    name: NameArgument,
    panel: Annotated[list[str] | None, typer.Option(help="A care site; give it once for each.")] = None,
) -> None:
    """Set the panels of a user; none given: none."""
    from serving.access import sign_ins

    store = _store()
    sign_ins.change_panels(store, name=name, panels=panel or [])
    say(f"{name} looks after: {', '.join(panel or []) or 'no panel'}.")
    _remark(store, panel or [], name)


@user.command("disable")
def user_disable(name: NameArgument) -> None:
    """End a user's sign-in, sessions and tokens, for good."""
    from serving.access import sign_ins

    sign_ins.disable(_store(), name=name)
    say(f"{name} can no longer sign in.")


@user.command("token")
def user_token(
    name: NameArgument,
    label: Annotated[str, typer.Option(help="What the token is for.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 90,
) -> None:
    """Make an API token; it is shown once."""
    from serving.access import sign_ins

    token = sign_ins.make_token(_store(), name=name, label=label, now=now(), valid=timedelta(days=days))
    typer.echo(token)


@user.command("demo")
def user_demo() -> None:
    """Make the demonstration's three sign-ins, with new passwords that are shown here only."""
    from serving.access import sign_ins

    console.print(sign_ins.demo(_store()))


def _store() -> Engine:
    from serving.settings import Settings
    from serving.store import open_store

    return open_store(Settings.from_environment().store_url)


def _remark(store: Engine, panels: list[str], name: str) -> None:
    """On stderr what is odd about these panels: a script goes on all the same."""
    from serving.access import sign_ins
    from serving.settings import Settings

    for remark in sign_ins.remarks(store, panels=panels, record_dir=Settings.from_environment().record):
        sys.stderr.write(f"presage: {remark} (set them with: presage user panels {name} --panel PANEL)\n")


def _password() -> str:
    given = os.environ.get("PRESAGE_PASSWORD")
    if given is None and not sys.stdin.isatty():
        raise PresageError(
            "password", "a terminal to ask at, or PRESAGE_PASSWORD", found="neither", way_out="set PRESAGE_PASSWORD"
        )
    return given if given is not None else str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
