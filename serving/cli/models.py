"""Commands of those who make models: simulate, train, promote, validate, report, and what features there are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import RecordOption, SameNumbersOption, StudyArgument, now, say
from serving.console import console, progress

app = typer.Typer()


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; made if absent.")],
    people: Annotated[int, typer.Option(min=1000, help="Number of people.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 7,
    scenario: Annotated[str, typer.Option(help="default, no-genomic-effect or no-treatment-benefit.")] = "default",
) -> None:
    """Simulate a health system with genomics and known truth."""
    from training.simulation import simulate as run

    run(out, people=people, seed=seed, scenario=scenario, progress=progress)


@app.command()
def studies() -> None:
    """List the studies that ship with Presage, each with its policy and its card; all go by their names."""
    from serving.shipped import studies as run

    console.print(run())


@app.command()
def init(
    study: Annotated[str, typer.Argument(help="A study that ships (see presage studies).")],
    out: Annotated[Path | None, typer.Option(help="The folder to write; one of the study's name if absent.")] = None,
) -> None:
    """Write a copy of a shipped study to edit, with its code lists, card and policy. Nothing is overwritten."""
    from serving.shipped import init as run

    console.print(run(study, out=out))


@app.command()
def catalogue(
    out: Annotated[Path | None, typer.Option(help="Write the page there (docs/features.md).")] = None,
) -> None:
    """Every feature: what it measures and reads, what missing means, where it comes from."""
    from features.catalogue.render import markdown

    if out is None:
        console.print(markdown(), markup=False, highlight=False, soft_wrap=True)
    else:
        out.write_text(markdown())


@app.command("check-leakage")
def check_leakage(study: StudyArgument, record: RecordOption, seed: SameNumbersOption = 7) -> None:
    """Prove that no feature of a study sees its future, and look for features that know too much."""
    from training.leakage import check
    from training.study import study_path

    leakage = check(study_path(study), record_dir=record, seed=seed, progress=progress)
    say(f"{study}, on {record}:")
    console.print(leakage)
    if not leakage.passed:
        raise typer.Exit(1)


@app.command()
def train(
    study: StudyArgument,
    record: Annotated[
        Path | None, typer.Option("--record", help="The record; not for a study of a flat table.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="truth.parquet of a simulation: shows the oracle beside.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the summary as JSON.")] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write held-out predictions as Parquet.")] = None,
    seed: SameNumbersOption = 7,
    tune: Annotated[
        int | None, typer.Option(min=1, help="Trials of a search for settings, per boosted candidate; resumable.")
    ] = None,
) -> None:
    """Train, evaluate and register the models of a study."""
    from training.study import study_path
    from training.train import train as run

    console.print(
        run(
            study_path(study),
            record_dir=record,
            truth=truth,
            json_out=json_out,
            predictions_out=predictions,
            seed=seed,
            tune=tune,
            progress=progress,
        )
    )


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="The study's name.")],
    version: Annotated[str, typer.Argument(help="A version's number, or latest.")],
    card: Annotated[
        str | None, typer.Option(help="A card that ships, or a file of what a person says on the model card (TOML).")
    ] = None,
    signed_by: Annotated[str | None, typer.Option(help="Who vouches for the card, or overrides.")] = None,
    override: Annotated[bool, typer.Option("--override", help="Promote although the gate fails.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; recorded with the model.")] = None,
) -> None:
    """Make a version the champion, if it passes its study's gate. At a terminal, asks what the card still lacks."""
    from training.card import card_path, read_answers
    from training.promote import promote as run
    from training.registry import version_number

    outcome = run(
        model,
        version_number(model, version),
        now=now(),
        answers=None if card is None else read_answers(card_path(card)),
        signed_by=signed_by,
        override=override,
        reason=reason,
        ask=_ask if sys.stdin.isatty() and not override else None,
    )
    console.print(outcome)
    if not outcome.promoted:
        raise typer.Exit(1)


def _ask(key: str, question: str) -> str:
    return str(typer.prompt(f"{question} [{key}; Enter leaves it blank]", default="", show_default=False))


@app.command()
def validate(
    target: Annotated[str, typer.Argument(help="A registered model, a training run's id, or a bundle's folder.")],
    version: Annotated[str, typer.Argument(help="A version's number, latest, champion or challenger.")] = "champion",
    record: Annotated[Path | None, typer.Option("--record", help="Another record.")] = None,
    table: Annotated[Path | None, typer.Option(help="Another table, for a model of a flat table.")] = None,
    source: Annotated[str | None, typer.Option(help="How these other people are called in the report.")] = None,
    by: Annotated[str | None, typer.Option(help="Who validates; the model card names them.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write what was found as JSON.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same intervals.")] = 7,
) -> None:
    """Apply a model, unchanged, to people it was not made for: does it hold there? Logged with the version."""
    from training.validate import validate as run

    console.print(
        run(
            target,
            version,
            now=now(),
            record_dir=record,
            table=table,
            source=source,
            by=by,
            json_out=json_out,
            seed=seed,
            progress=progress,
        )
    )


@app.command()
def report(
    target: Annotated[str, typer.Argument(help="A registered model, a training run's id, or a bundle's folder.")],
    version: Annotated[str, typer.Argument(help="A version's number, latest, champion or challenger.")] = "latest",
    out: Annotated[Path | None, typer.Option(help="Page to write; <study>-report.html if absent.")] = None,
) -> None:
    """One page of everything about a trained model: performance, equity, genomics, gate, card. Opens offline."""
    from training.report import report as run

    console.print(f"wrote {run(target, version, out=out)}", highlight=False, markup=False)
