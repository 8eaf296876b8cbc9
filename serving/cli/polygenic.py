"""The options of a run of polygenic scores, declared once for every command that runs one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from features.polygenic.run import Settings

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


def polygenic_settings(
    *,
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
) -> Settings:
    """The settings of a run."""
    from features.polygenic.run import settings_of

    return settings_of(
        build=build,
        min_overlap=min_overlap,
        keep_ambiguous=keep_ambiguous,
        keep_multiallelic=keep_multiallelic,
        callable_bed=callable_bed,
        assume_reference=assume_reference,
        rescue_palindromes=rescue_palindromes,
        beyond=beyond,
        threads=threads,
        max_memory_mb=max_memory,
    )


def with_polygenic_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose `settings` (a function that makes them, so that nothing is imported before it) are options."""
    own = inspect.signature(command).parameters
    options = inspect.signature(polygenic_settings).parameters

    @wraps(command)
    def run(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in options}
        command(**given, settings=lambda: polygenic_settings(**chosen))

    hints = {
        name: hint
        for each in (command, polygenic_settings)
        for name, hint in get_type_hints(each, localns={"Settings": object}, include_extras=True).items()
    }
    taken = [*(each for name, each in own.items() if name != "settings"), *options.values()]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [each.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[each.name]) for each in taken]
    )
    run.__annotations__ = {each.name: hints[each.name] for each in taken} | {"return": None}
    return run
