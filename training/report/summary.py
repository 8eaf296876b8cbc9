"""The summary of a training: one JSON document (contract 5), and the same as tables for the console."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from features.shown import Shown
from training.card import chance_words
from training.report import tables
from training.report.verdict import bottom_line

if TYPE_CHECKING:
    import pandas as pd

SHOWN = (
    ("auc", "AUC"),
    ("c_harrell", "C (Harrell)"),
    ("auprc", "AUPRC"),
    ("brier", "Brier"),
    ("calibration_slope", "slope"),
    ("calibration_in_the_large", "in the large"),
)
FEATURES_SHOWN = 8


@dataclass(frozen=True, slots=True, repr=False)
class Summary(Shown):
    """What a training found. `document` is the JSON; it holds aggregates only.

    held_out: risks of people whom the models had not seen, a row for each person, candidate and horizon.
    """

    document: dict[str, Any]
    held_out: pa.Table | None = None

    def metrics(self, horizon_days: float | None = None) -> pd.DataFrame:
        """The chosen candidate's metrics at a horizon (the last): value, low, high, by metric."""
        return tables.metrics_table(self.document, horizon_days)

    def candidates(self) -> pd.DataFrame:
        """The metrics of every candidate at every horizon, those of comparators among them."""
        from training.fitted import SERVABLE

        return tables.candidates_table(self.document, SERVABLE)

    def to_pandas(self) -> pd.DataFrame:
        """As `candidates`."""
        return self.candidates()

    def comparison(self) -> pd.DataFrame:
        """Clinical and combined model, published equation and true risk on the same people."""
        return tables.comparison_table(self.document)

    def blocks(self) -> pd.DataFrame:
        """What each block of features adds to those before it."""
        return tables.blocks_table(self.document)

    def groups(self) -> pd.DataFrame:
        """The chosen candidate's metrics within each group of people."""
        return tables.groups_table(self.document)

    def importance(self) -> pd.DataFrame:
        """The features that move risk most, with the interval of each and of its rank."""
        return tables.importance_table(self.document)

    def attrition(self) -> pd.DataFrame:
        """Who is left after each rule of the study."""
        return tables.attrition_table(self.document)

    def predictions(self) -> pd.DataFrame:
        """Risks of people held out, under their own ids."""
        if self.held_out is None:
            raise ValueError("a summary made of its document alone holds no predictions")
        table: pd.DataFrame = self.held_out.to_pandas()
        return table

    @property
    def model(self) -> str:
        """The name that the model is registered under."""
        return str(self.document["study"])

    @property
    def version(self) -> int:
        """The number of the version that was registered."""
        return int(self.document["registered"]["version"])

    @property
    def verdict(self) -> str:
        """What the model adds, in one sentence."""
        return bottom_line(self.document).words

    def __repr__(self) -> str:
        """Counts only."""
        d = self.document
        counts = f"{d['people']:,} people, {d['events']:,} with the event"
        chosen = f"{len(d['candidates'])} candidates, chosen {d['chosen']['candidate']}"
        return f"<Training of {self.model}: {counts}; {chosen}>"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Attrition, models side by side, candidates, what each block adds, groups."""
        d = self.document
        yield Panel(_headline(d), title=d["study"], title_align="left", border_style="cyan")
        found = bottom_line(d)
        yield Text(found.words, style={"nothing": "bold red", "unsure": "bold yellow", "something": "bold"}[found.adds])
        if d["attrition"]:
            yield _attrition(d["attrition"])
        for name, compared in d["comparison"].items():
            yield models_table(f"{compared['title']}: {compared['people']:,} people", compared["models"], first="model")
            del name
        if len(d["candidates"]) > 1:
            last = {name: list(found.values())[-1] for name, found in d["candidates"].items()}
            yield models_table(
                "Candidates, at the last horizon", last, first="candidate", mark=d["chosen"]["candidate"]
            )
        if d.get("importance"):
            yield _importance(d["importance"])
        for block in d["blocks"]:
            yield Text.assemble(("› ", "cyan"), block["sentence"])
        for note in d["notes"]:
            yield Text.assemble(("  ", ""), (note, "dim"))
        yield from _groups(d)
        if d.get("registered"):
            yield _registered(d["registered"])


def _headline(d: Mapping[str, Any]) -> Text:
    chosen = d["chosen"]
    horizon = "" if chosen["horizon_days"] is None else f" at {chosen['horizon_days']:g} days"
    lines = [
        d["title"] or d["study"],
        f"{d['people']:,} people, {d['events']:,} with the event; {d['validation']['scheme']}",
        f"chosen: {chosen['candidate']}{horizon}, by held-out training rows",
    ]
    return Text("\n".join(lines))


def _attrition(steps: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Who is left")
    table.add_column("step")
    table.add_column("people", justify="right")
    table.add_column("rows", justify="right")
    for step in steps:
        table.add_row(step["step"], *("1–10" if n is None else f"{n:,}" for n in (step["people"], step["rows"])))
    return table


def models_table(title: str, models: Mapping[str, Mapping[str, Any]], *, first: str, mark: str = "") -> Table:
    """A table of models, a row each, with those metrics that any of them has."""
    table = _table(title)
    table.add_column(first)
    shown = [(key, label) for key, label in SHOWN if any(_value(m, key) is not None for m in models.values())]
    for _, label in shown:
        table.add_column(label, justify="right")
    for name, metrics in models.items():
        style = "bold green" if name == mark else ""
        table.add_row(Text(name, style=style), *[_cell(metrics.get(key)) for key, _ in shown])
    return table


def _importance(found: Sequence[Mapping[str, Any]]) -> Table:
    """The first few features, those that care can change marked."""
    table = _table("What moves risk most, on the log scale; ● care can change it")
    table.min_width = len(str(table.title)) + 2
    for column in ("", "feature", "mean", "rank"):
        table.add_column(column, justify="right" if column in ("mean", "rank") else "left")
    for one in found[:FEATURES_SHOWN]:
        low, high = one["rank_low"], one["rank_high"]
        rank = f"{low}" if low == high else f"{low} to {high}"
        table.add_row("●" if one["modifiable"] else "", one["label"], f"{one['value']:.2f}", rank)
    return table


def _value(metrics: Mapping[str, Any], key: str) -> float | None:
    value: float | None = metrics.get(key, {}).get("value")
    return value


def _cell(metric: Mapping[str, float | None] | None) -> Group | Text:
    if not metric or metric["value"] is None:
        return Text("not defined", style="dim")
    digits = 4 if abs(metric["value"]) < 0.1 else 3
    text = Text(f"{metric['value']:.{digits}f}")
    if metric["low"] is not None and metric["high"] is not None:
        text.append(f"\n{metric['low']:.{digits}f} to {metric['high']:.{digits}f}", style="dim")
    return text


def _groups(d: Mapping[str, Any]) -> RenderResult:
    for name, levels in d["groups"].items():
        table = _table(f"By {name.replace('_', ' ')}")
        table.add_column("group")
        table.add_column("people", justify="right")
        for label in ("AUC", "slope"):
            table.add_column(label, justify="right")
        for level, found in levels.items():
            people = "1–10" if found["people"] is None else f"{found['people']:,}"
            cells = [_cell(found["metrics"].get(key)) for key in ("auc", "calibration_slope")]
            table.add_row(level, people, *(cells if found["metrics"] else [Text("too few", style="dim"), ""]))
        yield table
        gap = d.get("gaps", {}).get(name)
        if gap and gap["auc"] is not None and (words := chance_words(gap)):
            yield Text(f"  widest difference in AUC {gap['auc']:.3f}, {words}", style="dim")


def _registered(registered: Mapping[str, Any]) -> Text:
    model, version = registered["model"], registered["version"]
    return Text.assemble(
        ("registered ", ""),
        (f"{model} version {version}", "bold"),
        f", bundle {registered['digest'][:12]}, MLflow run {registered['run_id']}\n",
        ("next: ", "dim"),
        f"presage promote {model} {version}",
    )


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
