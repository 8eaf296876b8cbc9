"""What ships with Presage: the studies with their policies and cards as a list, and a copy of one of them to edit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from features.errors import PresageError
from features.shown import Shown
from serving.flagging import POLICIES
from training.card import ANSWERS, horizon_words, index_words
from training.study import STUDIES, Population, Study, read_study, shipped_study

if TYPE_CHECKING:
    import pandas as pd

ANY_AGE = (0, 130)  # what a study without [population] age_years has


@dataclass(frozen=True, slots=True, repr=False)
class Studies(Shown):
    """The studies that ship, in the order of their names."""

    studies: tuple[Study, ...]

    def to_pandas(self) -> pd.DataFrame:
        """A row for each, by its name: title, population, horizons in days, and the families of features."""
        import pandas as pd

        return pd.DataFrame(
            {
                "title": [study.title for study in self.studies],
                "population": [population_phrase(study.population) for study in self.studies],
                "horizons_days": [list(study.outcome.horizons_days) for study in self.studies],
                "families": [list(study.features.families) for study in self.studies],
            },
            index=pd.Index([study.name for study in self.studies], name="study"),
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """A table of them, and how one of them is used or changed."""
        table = Table()
        for column in ("study", "title", "population", "horizon", "policy", "card"):
            table.add_column(column, overflow="fold")
        for study in self.studies:
            horizons = ", ".join(horizon_words(days) for days in study.outcome.horizons_days)
            own = [study.name if study.name in kind.names else "-" for kind in (POLICIES, ANSWERS)]
            table.add_row(*map(Text, (study.name, study.title, population_phrase(study.population), horizons, *own)))
        yield table
        yield Text(
            "Each goes by its name: presage train STUDY, presage promote STUDY latest --card CARD, "
            "presage flag SCORES --policy POLICY. A copy to edit: presage init STUDY."
        )


@dataclass(frozen=True, slots=True, repr=False)
class Copy(Shown):
    """A copy of a shipped study in a folder. files: what was written, relative to the folder."""

    study: Study
    folder: Path
    files: tuple[str, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What was written, and what its owner does next."""
        name, folder = self.study.name, self.folder
        yield Text(f"wrote to {folder}: {', '.join(self.files)}\n")
        yield Text(f"1. Say in {folder / 'study.toml'} who is studied, what is predicted and from what.")
        yield Text(f"   Its name, {name}, is what the model is registered as; 'study' in policy.toml follows it.")
        if str(folder) == name:
            yield Text(
                f"   In this directory, {name} now means the copy wherever a study, card or policy is asked for."
            )
        if self.study.features.polygenic:
            scores = ", ".join(self.study.features.polygenic)
            yield Text(
                f"   {scores}: scores of simulated genotypes; name the score of your record, or take the key out."
            )
        yield Text("2. Prove that it sees no future, and train it, on a record that presage ingest made:")
        yield Text(f"   presage check-leakage {folder / 'study.toml'} --record RECORD")
        yield Text(f"   presage train {folder / 'study.toml'} --record RECORD")
        yield Text(
            f"3. Answer in {folder / 'card.toml'} what only a person can say. Its answers are those of a demonstration."
        )
        yield Text(f"   presage promote {name} latest --card {folder / 'card.toml'} --signed-by NAME")
        yield Text(f"4. Say in {folder / 'policy.toml'} who is flagged, what is done, by whom and until when.")
        yield Text(f"   presage score {name} --record RECORD --as-of YYYY-MM-DD --out scores.parquet")
        yield Text(f"   presage flag scores.parquet --policy {folder / 'policy.toml'} --record RECORD")


def studies() -> Studies:
    """Read every study that ships."""
    return Studies(tuple(read_study(shipped_study(name)) for name in STUDIES.names))


def population_phrase(population: Population) -> str:
    """Who is studied and when they are looked at, in one phrase.

    >>> population_phrase(Population(index="yearly", age_years=(40, 79), sex="F"))
    'women aged 40 to 79, every 1 January'
    """
    who = {"F": "women", "M": "men", None: "people"}[population.sex]
    low, high = population.age_years
    ages = "of any age" if (low, high) == ANY_AGE else f"aged {low} to {high}"
    return f"{who} {ages}, {index_words(population.model_dump())}"


def init(name: str, *, out: Path | None = None) -> Copy:
    """Write the study of that name, its code lists, card and policy to `out` (a new folder of its name if absent).

    Raises PresageError where no study of that name ships, and where any of the files is there already; then nothing is
    written.
    """
    source = shipped_study(name)
    study = read_study(source)
    folder = Path(name) if out is None else out
    files = {STUDIES.own_name: source, ANSWERS.own_name: ANSWERS.named(name), POLICIES.own_name: POLICIES.named(name)}
    files |= {entry: source.parent / entry for entry in study.code_lists}
    for file in files:
        if (folder / file).exists() or (folder / file).is_symlink():
            raise PresageError(
                str(folder / file),
                "a name that is free",
                found="a file, which is not overwritten: nothing was written",
                way_out="write to another folder with --out",
            )
    for file, shipped in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("xb") as copy:
            copy.write(shipped.read_bytes())
    return Copy(study, folder, tuple(files))
