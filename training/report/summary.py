"""The result of a training as tables for the console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from features.shown import Shown
from training.card import chance_words, events_words, horizon_words, left_out_words
from training.report import tables
from training.report.verdict import bottom_line
from training.report.view import people_words
from training.result import Importance, Metric, Metrics, RegisteredAs, Result, Step, known

if TYPE_CHECKING:
    import pandas as pd

SHOWN = (
    ("auc", "AUC"),
    ("c_horizon", "C by horizon"),
    ("auprc", "AUPRC"),
    ("brier", "Brier"),
    ("calibration_slope", "slope"),
    ("calibration_in_the_large", "in the large"),
)
FEATURES_SHOWN = 8


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Shown):
    """What a training found, as tables and in print.

    held_out: risks of people whom the models had not seen, a row for each person, candidate and horizon.
    """

    result: Result
    held_out: pa.Table | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The result as JSON, as `presage train --json` writes it."""
        return self.result.to_json()

    def metrics(self, horizon_days: float | None = None) -> pd.DataFrame:
        """The chosen candidate's metrics at a horizon (the last): value, low, high, by metric."""
        return tables.metrics_table(self.result, horizon_days)

    def candidates(self) -> pd.DataFrame:
        """The metrics of every candidate at every horizon, those of comparators among them."""
        from training.fitted import SERVABLE

        return tables.candidates_table(self.result, SERVABLE)

    def to_pandas(self) -> pd.DataFrame:
        """As `candidates`."""
        return self.candidates()

    def comparison(self) -> pd.DataFrame:
        """Clinical and combined model, published equation and true risk on the same people."""
        return tables.comparison_table(self.result)

    def blocks(self) -> pd.DataFrame:
        """What each block of features adds to those before it."""
        return tables.blocks_table(self.result)

    def groups(self) -> pd.DataFrame:
        """The chosen candidate's metrics within each group of people."""
        return tables.groups_table(self.result)

    def importance(self) -> pd.DataFrame:
        """The features that move risk most, with the interval of each and of its rank."""
        return tables.importance_table(self.result)

    def attrition(self) -> pd.DataFrame:
        """Who is left after each rule of the study."""
        return tables.attrition_table(self.result)

    def predictions(self) -> pd.DataFrame:
        """Risks of people held out, under their own ids."""
        if self.held_out is None:
            raise ValueError("a summary made of its result alone holds no predictions")
        table: pd.DataFrame = self.held_out.to_pandas()
        return table

    @property
    def model(self) -> str:
        """The name that the model is registered under."""
        return self.result.study

    @property
    def version(self) -> int:
        """The number of the version that was registered."""
        if self.result.registered is None:
            raise ValueError("a result that was read from a bundle does not know its version")
        return self.result.registered.version

    @property
    def verdict(self) -> str:
        """What the model adds, in one sentence."""
        return bottom_line(self.result).words

    def __repr__(self) -> str:
        """Counts only."""
        counts = f"{self.result.people:,} people, {self.result.events:,} with the event"
        chosen = f"{len(self.result.candidates)} candidates, chosen {self.result.chosen.candidate}"
        return f"<Training of {self.model}: {counts}; {chosen}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Attrition, models side by side, candidates, what each block adds, groups."""
        result = self.result
        yield Panel(_headline(result), title=result.study, title_align="left", border_style="cyan")
        found = bottom_line(result)
        yield Text(found.words, style={"nothing": "bold red", "unsure": "bold yellow", "something": "bold"}[found.adds])
        yield from _columns(result)
        if result.attrition:
            yield _attrition(result.attrition)
        for compared in result.comparison.values():
            yield models_table(f"{compared.title}: {people_words(compared.people)}", compared.models, first="model")
        if len(result.candidates) > 1:
            yield models_table(
                "Candidates, at the last horizon",
                result.last_metrics,
                first="candidate",
                mark=result.chosen.candidate,
            )
        if result.importance:
            yield _importance(result.importance)
        for block in result.blocks:
            yield Text.assemble(("› ", "cyan"), block.sentence)
        if result.validation.estimates:
            yield Text.assemble(("  ", ""), (result.validation.estimates, "dim"))
        for note in result.notes:
            yield Text.assemble(("  ", ""), (note, "dim"))
        yield from _groups(result)
        if result.registered is not None:
            yield _registered(result.registered)


def _headline(result: Result) -> Text:
    chosen = result.chosen
    horizon = "" if chosen.horizon_days is None else f" at {horizon_words(chosen.horizon_days, result.time_unit)}"
    lines = [
        result.title or result.study,
        f"{result.people:,} people, {events_words(result)}; {result.validation.scheme}",
        f"chosen: {chosen.candidate}{horizon}, by held-out training rows",
    ]
    return Text("\n".join(lines))


def _columns(result: Result) -> Iterator[Text]:
    """Columns that look like the outcome, each with its reason, and those that the study's blocks leave out."""
    if result.data is None:
        return
    for one in result.data.suspects or ():
        yield Text.assemble(("! ", "bold yellow"), one.said)
    if left_out := result.data.left_out:
        said = left_out_words(left_out)
        yield Text.assemble(("  ", ""), (said, "dim"))


def _attrition(steps: Sequence[Step]) -> Table:
    table = _table("Who is left")
    table.add_column("step")
    table.add_column("people", justify="right")
    table.add_column("rows", justify="right")
    for step in steps:
        table.add_row(step.step, *("1–10" if n is None else f"{n:,}" for n in (step.people, step.rows)))
    return table


def models_table(title: str, models: Mapping[str, Metrics], *, first: str, mark: str = "") -> Table:
    """A table of models, a row each, with those metrics that any of them has."""
    table = _table(title)
    table.add_column(first)
    shown = [(key, label) for key, label in SHOWN if any(known(metrics, key) for metrics in models.values())]
    for _, label in shown:
        table.add_column(label, justify="right")
    for name, metrics in models.items():
        style = "bold green" if name == mark else ""
        table.add_row(Text(name, style=style), *[_cell(metrics.get(key)) for key, _ in shown])
    return table


def _importance(features: Sequence[Importance]) -> Table:
    """The first few features, those that care can change marked."""
    table = _table("What moves risk most, on the log scale; ● care can change it")
    table.min_width = len(str(table.title)) + 2
    for column in ("", "feature", "mean", "rank"):
        table.add_column(column, justify="right" if column in ("mean", "rank") else "left")
    for one in features[:FEATURES_SHOWN]:
        rank = f"{one.rank_low}" if one.rank_low == one.rank_high else f"{one.rank_low} to {one.rank_high}"
        table.add_row("●" if one.modifiable else "", one.label, f"{one.value:.2f}", rank)
    return table


def _cell(metric: Metric | None) -> Group | Text:
    if metric is None or metric.value is None:
        return Text("not defined", style="dim")
    digits = 4 if abs(metric.value) < 0.1 else 3
    text = Text(f"{metric.value:.{digits}f}")
    if metric.interval is not None:
        low, high = metric.interval
        text.append(f"\n{low:.{digits}f} to {high:.{digits}f}", style="dim")
    return text


def _groups(result: Result) -> RenderResult:
    for name, levels in result.groups.items():
        table = _table(f"By {name.replace('_', ' ')}")
        table.add_column("group")
        table.add_column("people", justify="right")
        for label in ("AUC", "slope"):
            table.add_column(label, justify="right")
        for level, group in levels.items():
            people = "1–10" if group.people is None else f"{group.people:,}"
            cells = [_cell(group.metrics.get(key)) for key in ("auc", "calibration_slope")]
            table.add_row(level, people, *(cells if group.metrics else [Text("too few", style="dim"), ""]))
        yield table
        gap = result.gaps.get(name)
        if gap is not None and (words := chance_words(gap)):
            yield Text(f"  widest difference in AUC {gap.auc:.3f}, {words}", style="dim")


def _registered(registered: RegisteredAs) -> Text:
    model, version = registered.model, registered.version
    return Text.assemble(
        ("registered ", ""),
        (f"{model} version {version}", "bold"),
        f", bundle {registered.digest[:12]}, MLflow run {registered.run_id}\n",
        ("next: ", "dim"),
        f"presage promote {model} {version}",
    )


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
