"""`presage ingest`, `record`, `vocabulary`, `ancestry` and `prs`: sources into a record, and polygenic scores."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.cli.options import (
    AncestryOption,
    FrequenciesOption,
    RecordOption,
    ReplaceOption,
    ScoresOption,
    UpdateOption,
    now,
    say,
)
from serving.cli.polygenic import BuildOption, with_polygenic_settings
from serving.console import console, progress

if TYPE_CHECKING:
    from features.polygenic.run import Settings


def _source(given: Path) -> Path:
    """A source that is no URL with a password: no reader may repeat one in an error."""
    from features.sources.omop import without_password

    return Path(without_password(str(given)))


ingest = typer.Typer(help="Read a source into a record.", no_args_is_help=True)
record = typer.Typer(help="What a record holds, and what of it is read.", no_args_is_help=True)
vocabulary = typer.Typer(help="Vocabularies that every source is read by.", no_args_is_help=True)
ancestry = typer.Typer(help="The reference that polygenic scores are adjusted by.", no_args_is_help=True)


@ingest.command("omop")
def ingest_omop(
    source: Annotated[str, typer.Argument(help="A folder, zip or DuckDB file, or postgresql://USER@HOST/DATABASE.")],
    record: RecordOption,
    schema: Annotated[str | None, typer.Option(help="The schema of the person table, where several have one.")] = None,
    vocabulary_schema: Annotated[str | None, typer.Option(help="The schema of the concept table, if another.")] = None,
    replace: ReplaceOption = False,
    update: UpdateOption = False,
) -> None:
    """OMOP CDM 5.3 or 5.4: a folder or zip of CSV or Parquet, a DuckDB file, or a PostgreSQL database.

    A password is never part of the URL: it comes from PGPASSWORD or ~/.pgpass.
    """
    from features.sources.omop import ingest as run

    report = run(
        source,
        record,
        schema=schema,
        vocabulary_schema=vocabulary_schema,
        replace=replace,
        update=update,
        progress=progress,
    )
    console.print(report)
    _say_what_is_read(record)


@ingest.command("fhir")
def ingest_fhir(
    source: Annotated[Path, typer.Argument(help="The folder, zip or file.", callback=_source)],
    record: RecordOption,
    replace: ReplaceOption = False,
    update: UpdateOption = False,
) -> None:
    """FHIR R4: a bulk-export folder (NDJSON) or bundles (folder or zip)."""
    from features.sources.fhir import ingest as run

    console.print(run(source, record, replace=replace, update=update, progress=progress))
    _say_what_is_read(record)


@ingest.command("meds")
def ingest_meds(
    source: Annotated[Path, typer.Argument(help="Its folder, with data/ and metadata/.", callback=_source)],
    record: RecordOption,
    replace: ReplaceOption = False,
    update: UpdateOption = False,
) -> None:
    """A MEDS data set made elsewhere."""
    from features.sources import ingest as run

    console.print(run(source, record, replace=replace, update=update, progress=progress))
    _say_what_is_read(record)


@ingest.command("genotypes")
@with_polygenic_settings
def ingest_genotypes(
    source: Annotated[Path, typer.Argument(help="Genotypes, or a folder with one file of them.")],
    record: RecordOption,
    scores: ScoresOption,
    samples: Annotated[
        Path | None, typer.Option(help="sample_id, person_id, collected; samples.csv beside SOURCE.")
    ] = None,
    collected: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Day of collection of samples without one; else known from today."),
    ] = None,
    reference_frequencies: FrequenciesOption = None,
    ancestry: AncestryOption = None,
    *,
    settings: Callable[[], Settings],
) -> None:
    """PGEN, BED or VCF genotypes and PGS Catalog scoring files into polygenic scores."""
    from features.polygenic.ingest import ingest as run

    report = run(
        source,
        record,
        scores=scores,
        now=now(),
        samples=samples,
        collected=None if collected is None else collected.date(),
        reference_frequencies=reference_frequencies,
        ancestry=ancestry,
        settings=settings(),
        progress=progress,
    )
    console.print(report)


@ingest.command("findings")
def ingest_findings(
    source: Annotated[Path, typer.Argument(help="A report, or a folder of them.")], record: RecordOption
) -> None:
    """Laboratories' genomics reports: FHIR Genomics Reporting, and a laboratory's own CSV."""
    from features.findings.ingest import ingest as run

    console.print(run(source, record, progress=progress))


@with_polygenic_settings
def prs(
    genotypes: Annotated[Path, typer.Argument(help=".pgen, .bed, .vcf, .vcf.gz, .bcf; or chr{1..22}.pgen.")],
    scores: ScoresOption,
    out: Annotated[Path, typer.Option(help="Table to write: .parquet or .csv; the match report is written beside it.")],
    reference_frequencies: FrequenciesOption = None,
    ancestry: AncestryOption = None,
    *,
    settings: Callable[[], Settings],
) -> None:
    """Polygenic scores of genotypes: sums, what matched, and ancestry-adjusted z where a reference is given."""
    from features.polygenic.startup import lean

    with lean():
        from features.polygenic.prs import prs as run

        done = run(
            genotypes,
            scores,
            out=out,
            settings=settings(),
            reference_frequencies=reference_frequencies,
            ancestry=ancestry,
            progress=progress,
        )
        say(str(done))


@ancestry.command("fit")
def ancestry_fit(
    panel: Annotated[Path, typer.Argument(help="Genotypes of the reference, or a prefix of .UD .mu .bed .V.")],
    labels: Annotated[str, typer.Option(help="File of sample and group, or a column of the panel's .psam.")],
    out: Annotated[Path, typer.Option(help="Folder to freeze the reference in.")],
    scores: Annotated[list[Path] | None, typer.Option(help="Scoring file to be adjusted; again for each.")] = None,
    components: Annotated[int, typer.Option(min=1, max=20, help="Principal components to adjust by.")] = 4,
    unrelated: Annotated[Path | None, typer.Option(help="Sample ids that the regressions leave out.")] = None,
    build: BuildOption = None,
) -> None:
    """Fit an ancestry reference once and freeze it."""
    from features.polygenic.reference import fit_reference as run
    from features.polygenic.run import Settings

    done = run(
        panel,
        labels=labels,
        out=out,
        scores=scores or [],
        n_components=components,
        unrelated=unrelated,
        settings=Settings(build=build),
        progress=progress,
    )
    say(str(done))


def _say_what_is_read(record: Path) -> None:
    """After an ingest: how much of the record features read, and the commonest codes that none does."""
    from features.describe import describe
    from features.record import Record

    for sentence in describe(Record.open(record)).in_short():
        say(sentence)


@record.command("describe")
def describe_record(
    folder: Annotated[Path, typer.Argument(help="The record's folder.")],
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the same as JSON.")] = None,
) -> None:
    """What of a record is read: codes by vocabulary, which nobody reads, results set aside, what it can tell."""
    import json

    from features.describe import describe
    from features.record import Record
    from features.writing import write_text

    found = describe(Record.open(folder))
    console.print(found)
    if json_out is not None:
        write_text(json_out, json.dumps(found.to_json(), indent=1) + "\n")


@record.command("compact")
def compact_record(folder: Annotated[Path, typer.Argument(help="The record's folder.")]) -> None:
    """Write the MEDS folder anew from what was ingested and the updates since; an update does so beyond a tenth."""
    from features.sources import compact

    done = compact(folder, progress=progress)
    say(f"compacted: {', '.join(done)}" if done else "nothing was pending")


@vocabulary.command("load")
def vocabulary_load(
    source: Annotated[Path, typer.Argument(help="The folder of an OMOP export, RxNorm's RRF or SNOMED CT's RF2.")],
    release: Annotated[str | None, typer.Option(help="The release's name, where the files do not say it.")] = None,
) -> None:
    """Load a vocabulary once for all sources; records ingested from then on are read by it."""
    from features.vocabulary import load

    done = load(source, release=release, progress=progress)
    say(
        f"loaded {done.name}, release {done.release}: {done.concepts:,} concepts, {done.pairs:,} pairs of a concept "
        f"and one above it; ingest your sources again to read them by it"
    )


@vocabulary.command("list")
def vocabulary_list() -> None:
    """The vocabularies that are loaded, with release and digest."""
    from features.vocabulary import loaded

    for each in loaded():
        say(f"{each.name}: release {each.release}, {each.concepts:,} concepts, digest {each.digest[:12]}")
    if not loaded():
        say("none; presage reads by the codes that ship")
