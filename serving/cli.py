"""The `presage` command: each command parses, calls one orchestrator, and reports. Imports wait for the command."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from features.errors import PresageError
from serving.console import console, progress

if TYPE_CHECKING:
    from sqlalchemy import Engine

app = typer.Typer(
    name="presage",
    help="Risk stratification for precision medicine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
ingest = typer.Typer(help="Read a source into a record.", no_args_is_help=True)
app.add_typer(ingest, name="ingest")
ancestry_app = typer.Typer(help="The reference that polygenic scores are adjusted by.", no_args_is_help=True)
app.add_typer(ancestry_app, name="ancestry")
user = typer.Typer(help="Sign-ins: who may see what.", no_args_is_help=True)
app.add_typer(user, name="user")

ScoresOption = Annotated[list[Path], typer.Option("--scores", help="Scoring file; again for each further one.")]
FrequenciesOption = Annotated[Path | None, typer.Option(help="plink2 .afreq of a reference, for missing calls.")]
AncestryOption = Annotated[Path | None, typer.Option(help="Reference frozen by: presage ancestry fit.")]
BuildOption = Annotated[str | None, typer.Option(help="GRCh37 or GRCh38, where the genotypes' header does not say.")]
OverlapOption = Annotated[float, typer.Option(min=0, max=1, help="Share of variants and weight that must match.")]
AmbiguousOption = Annotated[bool, typer.Option(help="Use palindromes (A/T, C/G) as if on one strand.")]
MultiallelicOption = Annotated[bool, typer.Option(help="Use records with several alternates.")]
CallableOption = Annotated[Path | None, typer.Option(help="Regions where an unlisted VCF site is reference.")]
AssumeOption = Annotated[bool, typer.Option(help="Every unlisted VCF site is reference.")]
RescueOption = Annotated[bool, typer.Option(help="Tell palindromes apart by frequency.")]
BeyondOption = Annotated[
    float,
    typer.Option(min=0, max=1, help="Chance within the reference below which a distance withholds adjusted scores."),
]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Processor cores to use.")]
MemoryOption = Annotated[int, typer.Option(min=50, help="MB for buffers and sums.")]
RecordOption = Annotated[Path, typer.Option("--record", help="The record's folder.")]
StudyArgument = Annotated[Path, typer.Argument(help="The study file (TOML).")]
NameArgument = Annotated[str, typer.Argument(help="The name that the user signs in with.")]
SameNumbersOption = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same numbers.")]


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


@ingest.command("omop")
def ingest_omop(
    source: Annotated[Path, typer.Argument(help="The folder, zip or DuckDB file.")], record: RecordOption
) -> None:
    """OMOP CDM 5.3 or 5.4: a folder or zip of CSV or Parquet, or a DuckDB file."""
    from features.sources.omop import ingest as run

    console.print(run(source, record, progress=progress))


@ingest.command("fhir")
def ingest_fhir(source: Annotated[Path, typer.Argument(help="The folder, zip or file.")], record: RecordOption) -> None:
    """FHIR R4: a bulk-export folder (NDJSON) or bundles (folder or zip)."""
    from features.sources.fhir import ingest as run

    console.print(run(source, record, progress=progress))


@ingest.command("meds")
def ingest_meds(
    source: Annotated[Path, typer.Argument(help="Its folder, with data/ and metadata/.")], record: RecordOption
) -> None:
    """A MEDS data set made elsewhere."""
    from features.sources import ingest as run

    console.print(run(source, record, progress=progress))


@ingest.command("genotypes")
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
    build: BuildOption = None,
    min_overlap: OverlapOption = 0.75,
    keep_ambiguous: AmbiguousOption = False,
    keep_multiallelic: MultiallelicOption = False,
    callable_bed: CallableOption = None,
    assume_reference: AssumeOption = False,
    rescue_palindromes: RescueOption = False,
    beyond: BeyondOption = 1e-6,
    threads: ThreadsOption = 2,
    max_memory: MemoryOption = 400,
) -> None:
    """PGEN, BED or VCF genotypes and PGS Catalog scoring files into polygenic scores."""
    from features.polygenic.ingest import ingest as run
    from features.polygenic.matching import MatchRules
    from features.polygenic.run import Settings

    settings = Settings(
        build=build,
        min_overlap=min_overlap,
        rules=MatchRules(keep_ambiguous=keep_ambiguous, keep_multiallelic=keep_multiallelic),
        threads=threads,
        max_memory_mb=max_memory,
        callable_bed=callable_bed,
        assume_reference=assume_reference,
        rescue_palindromes=rescue_palindromes,
        beyond=beyond,
    )
    report = run(
        source,
        record,
        scores=scores,
        now=_now(),
        samples=samples,
        collected=None if collected is None else collected.date(),
        reference_frequencies=reference_frequencies,
        ancestry=ancestry,
        settings=settings,
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

    found = check(study, record_dir=record, seed=seed, progress=progress)
    _say(f"{study}, on {record}:")
    console.print(found)
    if not found.passed:
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
    from training.train import train as run

    console.print(
        run(
            study,
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
    card: Annotated[Path | None, typer.Option(help="What a person says on the model card (TOML).")] = None,
    signed_by: Annotated[str | None, typer.Option(help="Who vouches for the card, or overrides.")] = None,
    override: Annotated[bool, typer.Option("--override", help="Promote although the gate fails.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; recorded with the model.")] = None,
) -> None:
    """Make a version the champion, if it passes its study's gate. At a terminal, asks what the card still lacks."""
    from training.card import read_answers
    from training.promote import promote as run
    from training.registry import version_number

    outcome = run(
        model,
        version_number(model, version),
        now=_now(),
        answers=None if card is None else read_answers(card),
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
            now=_now(),
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
    policy: Annotated[Path, typer.Option("--policy", help="A policy file (serving/policies/*.toml).")],
    record: RecordOption,
) -> None:
    """Flag the top of the list, as long as the team's capacity, and every carrier of an actionable variant."""
    from serving.flagging.flag import flag as run
    from serving.settings import Settings

    settings = Settings.from_environment()
    console.print(run(scores, policy_path=policy, record_dir=record, settings=settings, now=_now(), progress=progress))


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
    _say(f"{name} can sign in." if password else f"{name} is known; next: presage user token {name}")
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
    _say(f"{name} has a new password.")


@user.command("panels")
def user_panels(
    name: NameArgument,
    panel: Annotated[list[str] | None, typer.Option(help="A care site; give it once for each.")] = None,
) -> None:
    """Set the panels of a user; none given: none."""
    from serving.access import sign_ins

    store = _store()
    sign_ins.change_panels(store, name=name, panels=panel or [])
    _say(f"{name} looks after: {', '.join(panel or []) or 'no panel'}.")
    _remark(store, panel or [], name)


@user.command("disable")
def user_disable(name: NameArgument) -> None:
    """End a user's sign-in, sessions and tokens, for good."""
    from serving.access import sign_ins

    sign_ins.disable(_store(), name=name)
    _say(f"{name} can no longer sign in.")


@user.command("token")
def user_token(
    name: NameArgument,
    label: Annotated[str, typer.Option(help="What the token is for.")] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 90,
) -> None:
    """Make an API token; it is shown once."""
    from serving.access import sign_ins

    token = sign_ins.make_token(_store(), name=name, label=label, now=_now(), valid=timedelta(days=days))
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
        raise PresageError("password", "a terminal to ask at, or PRESAGE_PASSWORD")
    return given if given is not None else str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


def _say(words: str) -> None:
    console.print(words, highlight=False, markup=False)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


@app.command()
def prs(
    genotypes: Annotated[Path, typer.Argument(help=".pgen, .bed, .vcf, .vcf.gz, .bcf; or chr{1..22}.pgen.")],
    scores: ScoresOption,
    out: Annotated[Path, typer.Option(help="Table to write: .parquet or .csv; the match report is written beside it.")],
    reference_frequencies: FrequenciesOption = None,
    ancestry: AncestryOption = None,
    build: BuildOption = None,
    min_overlap: OverlapOption = 0.75,
    keep_ambiguous: AmbiguousOption = False,
    keep_multiallelic: MultiallelicOption = False,
    callable_bed: CallableOption = None,
    assume_reference: AssumeOption = False,
    rescue_palindromes: RescueOption = False,
    beyond: BeyondOption = 1e-6,
    threads: ThreadsOption = 2,
    max_memory: MemoryOption = 400,
) -> None:
    """Polygenic scores of genotypes: sums, what matched, and ancestry-adjusted z where a reference is given."""
    from features.polygenic.startup import lean

    with lean():
        from features.polygenic.matching import MatchRules
        from features.polygenic.prs import prs as run
        from features.polygenic.run import Settings

        settings = Settings(
            build=build,
            min_overlap=min_overlap,
            rules=MatchRules(keep_ambiguous=keep_ambiguous, keep_multiallelic=keep_multiallelic),
            threads=threads,
            max_memory_mb=max_memory,
            callable_bed=callable_bed,
            assume_reference=assume_reference,
            rescue_palindromes=rescue_palindromes,
            beyond=beyond,
        )
        done = run(
            genotypes,
            scores,
            out=out,
            settings=settings,
            reference_frequencies=reference_frequencies,
            ancestry=ancestry,
            progress=progress,
        )
        console.print(done, highlight=False, markup=False)


@ancestry_app.command("fit")
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
    console.print(done, highlight=False, markup=False)


def _stop(number: int, _: object) -> None:
    """Asked to end, as a scheduler does at its limit: end as Ctrl-C does, with nothing half-written left behind."""
    sys.exit(128 + number)


def main() -> None:
    """Run `presage`. What its user can mend is one line on stderr and exit code 2; a fault of Presage is 1."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except Exception as error:
        from serving.faults import mendable, unforeseen

        mended = mendable(error)
        if mended is None and os.environ.get("PRESAGE_TRACEBACK"):
            raise
        sys.stderr.write(f"presage: {unforeseen(error) if mended is None else mended}\n")
        sys.exit(1 if mended is None else 2)
