"""The `presage` command: each command parses, calls one orchestrator, and reports. Imports wait for the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from features.errors import PresageError
from serving.console import console, progress

app = typer.Typer(
    name="presage",
    help="Risk stratification for precision medicine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
ingest = typer.Typer(help="Read a source into a record.", no_args_is_help=True)
app.add_typer(ingest, name="ingest")

RecordOption = Annotated[Path, typer.Option("--record", help="The record's folder.")]


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write; made if absent.")],
    people: Annotated[int, typer.Option(min=1000, help="Number of people.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 7,
    scenario: Annotated[str, typer.Option(help="default, no-genomic-effect or no-treatment-benefit.")] = "default",
) -> None:
    """Simulate a health system with genomics and known truth."""
    from training.simulation import simulate as run

    run(out, people=people, seed=seed, scenario=scenario, progress=progress)


@ingest.command("omop")
def ingest_omop(source: Path, record: RecordOption) -> None:
    """OMOP CDM 5.3 or 5.4: a folder or zip of CSV or Parquet, or a DuckDB file."""
    from features.sources.omop import ingest as run

    console.print(run(source, record, progress=progress))


@ingest.command("fhir")
def ingest_fhir(source: Path, record: RecordOption) -> None:
    """FHIR R4: a bulk-export folder (NDJSON) or bundles (folder or zip)."""
    from features.sources.fhir import ingest as run

    console.print(run(source, record, progress=progress))


@ingest.command("meds")
def ingest_meds(source: Path, record: RecordOption) -> None:
    """A MEDS data set made elsewhere."""
    from features.sources.meds import ingest as run

    console.print(run(source, record, progress=progress))


@ingest.command("findings")
def ingest_findings(source: Path, record: RecordOption) -> None:
    """Laboratories' genomics reports: FHIR Genomics Reporting, and a laboratory's own CSV."""
    from features.findings.ingest import ingest as run

    console.print(run(source, record, progress=progress))


def main() -> None:
    """Run `presage`. A mendable error is one line on stderr and exit code 2."""
    try:
        app()
    except PresageError as error:
        sys.stderr.write(f"presage: {error}\n")
        sys.exit(2)
