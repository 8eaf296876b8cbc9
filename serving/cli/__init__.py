"""The `presage` command: each command parses, calls one orchestrator, and reports. Imports wait for the command."""

from __future__ import annotations

import os
import sys

import typer

from serving.cli import ingest, models, people
from serving.cli.stopping import end_when_told

app = typer.Typer(
    name="presage",
    help="Risk stratification for precision medicine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(ingest.ingest, name="ingest")
app.add_typer(ingest.record, name="record")
app.add_typer(ingest.vocabulary, name="vocabulary")
app.add_typer(ingest.ancestry, name="ancestry")
app.add_typer(people.user, name="user")
app.add_typer(models.app)
app.add_typer(people.app)
app.command()(ingest.prs)


def main() -> None:
    """Run `presage`. What its user can mend is one line on stderr and exit code 2; a fault of Presage is 1."""
    end_when_told()
    try:
        app()
    except Exception as error:
        from serving.faults import mendable, unforeseen

        mended = mendable(error)
        if mended is None and os.environ.get("PRESAGE_TRACEBACK"):
            raise
        sys.stderr.write(f"presage: {unforeseen(error) if mended is None else mended}\n")
        sys.exit(1 if mended is None else 2)
