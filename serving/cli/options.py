"""Options and arguments that several commands take, and the functions that commands share."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from serving.console import console

ScoresOption = Annotated[list[Path], typer.Option("--scores", help="Scoring file; again for each further one.")]

FrequenciesOption = Annotated[Path | None, typer.Option(help="plink2 .afreq of a reference, for missing calls.")]

AncestryOption = Annotated[Path | None, typer.Option(help="Reference frozen by: presage ancestry fit.")]

ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Replace what the record has of this source although people are missing.")
]
UpdateOption = Annotated[
    bool, typer.Option("--update", help="The source holds what has changed since; everything else stays.")
]
RecordOption = Annotated[Path, typer.Option("--record", help="The record's folder.")]

StudyArgument = Annotated[str, typer.Argument(help="A study that ships (see presage studies), or a study file.")]

NameArgument = Annotated[str, typer.Argument(help="The name that the user signs in with.")]

SameNumbersOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same numbers.")]


def say(words: str) -> None:
    """Print one line, without markup or highlighting."""
    console.print(words, highlight=False, markup=False)


def now() -> datetime:
    """This moment, UTC without an offset: the only clock below the door."""
    return datetime.now(UTC).replace(tzinfo=None)
