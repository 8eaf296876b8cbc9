"""What a report's page shows, made of a run's stored numbers: rows, flows, figures. Nothing here measures anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.card import Card, Unit, chance_words, count, estimate_words, horizon_words, lead
from training.external import ExternalResult
from training.registry import Rule
from training.report import drawing
from training.report.drawing import Row
from training.result import (
    Added,
    BetweenSites,
    Compared,
    Figures,
    Group,
    Groups,
    Importance,
    Metric,
    Metrics,
    Result,
    Sites,
    known,
)

COLUMNS = (
    ("c_horizon", "C (Harrell), by the horizon"),
    ("c_harrell", "C (Harrell), all follow-up"),
    ("c_uno", "C (Uno), by the horizon"),
    ("auc", "AUC"),
    ("auprc", "AUPRC"),
    ("brier", "Brier"),
    ("ibs", "IBS"),
    ("calibration_in_the_large", "In the large"),
    ("calibration_slope", "Slope"),
)
SITE_COLUMNS = (
    ("auc", "AUC"),
    ("c_harrell", "C (Harrell)"),
    ("brier", "Brier"),
    ("calibration_in_the_large", "In the large"),
    ("calibration_slope", "Slope"),
    ("observed_to_expected", "Observed / expected"),
)
BOUNDED = ("auc", "c_horizon", "c_harrell", "brier")
FEWEST_SHOWN = 15  # features of each kind that the explanation lists


@dataclass(frozen=True, slots=True)
class Story:
    """All that a report tells. result: of the training; manifest: the bundle's; registry: MLflow's tags of it."""

    result: Result
    manifest: Mapping[str, Any]
    digest: str
    card: Card
    rules: tuple[Rule, ...]
    registry: Mapping[str, Any]
    validations: tuple[ExternalResult, ...]


def in_short(story: Story) -> list[str]:
    """What a reader with one minute should know, good or bad; each sentence has its number."""
    result = story.result
    metrics = result.chosen.metrics
    name, words = lead(metrics, result.chosen.horizon_days, result.time_unit)
    said = [f"Discrimination on people it had not seen: {words} {estimate_words(metrics[name])}."]
    said += [result.validation.estimates] if result.validation.estimates else []
    said += [*_slope_sentence(metrics.get("calibration_slope")), *_equation_sentence(result)]
    said += [block.sentence for block in result.blocks]
    if result.gaps:
        widest = max(result.gaps, key=lambda group: result.gaps[group].auc)
        gap, by = result.gaps[widest], widest.replace("_", " ")
        between = ", ".join(filter(None, (f"between {gap.lowest} and {gap.highest}", chance_words(gap))))
        said.append(f"The widest difference between groups is by {by}: AUC {gap.auc:.3f}, {between}.")
    said += [f"{one.source}: {one.sentence}" for one in story.validations[:1]]
    return said


def _slope_sentence(slope: Metric | None) -> list[str]:
    if slope is None or slope.interval is None:
        return []
    low, high = slope.interval
    verdict = "too extreme" if high < 1 else "too timid" if low > 1 else "not at odds with the data"
    return [f"Its risks are {verdict}: calibration slope {estimate_words(slope, 2)}, where 1 is ideal."]


def _equation_sentence(result: Result) -> list[str]:
    equation = result.equation
    delta = None if equation is None else equation.delta.get("auc")
    if equation is None or delta is None or delta.interval is None:
        return []
    low, high = delta.interval
    verdict = "better than" if low > 0 else "worse than" if high < 0 else "not surely better than"
    beside = f"{verdict} the published equation ({equation.name}) on the same {count(equation.people)} people"
    return [f"It is {beside}: AUC changes by {estimate_words(delta)}."]


def columns(models: Iterable[Metrics]) -> list[tuple[str, str]]:
    """The metrics that any of these has."""
    return _columns(COLUMNS, models)


def site_columns(sites: Sites) -> list[tuple[str, str]]:
    """The metrics that any site has."""
    return _columns(SITE_COLUMNS, (site.metrics for site in sites.by_site.values()))


def _columns(labels: Sequence[tuple[str, str]], models: Iterable[Metrics]) -> list[tuple[str, str]]:
    some = list(models)
    return [(key, label) for key, label in labels if any(known(metrics, key) for metrics in some)]


def ici_words(metrics: Metrics) -> str:
    """How far risks are from what is observed, beside what exactly right ones would be; empty where it is not known."""
    ici = known(metrics, "ici")
    if ici is None or ici.if_perfect is None:
        return ""
    perfect = f"exactly right risks of as many people would be {ici.if_perfect:.3f} away by chance"
    return f"Risks are {estimate_words(ici)} away from the smoothed observed ones on average (ICI); {perfect}."


def ibs_words(result: Result) -> str:
    """The days over which the integrated Brier score is averaged; empty where there is none."""
    days = result.chosen.ibs_days
    if days is None:
        return ""
    start, end = (horizon_words(each, result.time_unit) for each in days)
    return f"IBS is the mean of the Brier score over time, from {start} to {end} after the index."


def followup_words(result: Result) -> str:
    """The median follow-up, in days unless the table counts in another unit."""
    days = None if result.data is None else result.data.median_followup_days
    own = result.time_unit not in (None, "days")
    return "" if days is None else horizon_words(days, result.time_unit) if own else f"{days:,.0f} days"


def compared_words(compared: Compared, result: Result) -> str:
    """How many people models are compared on, and how many of them have the event by the horizon."""
    by, days = compared.events_by_horizon, result.chosen.horizon_days
    when = f" by {horizon_words(days, result.time_unit)}" if by is not None else ""
    shown = compared.events if by is None else by
    events = "" if shown is None else f", {count(shown)} with the event{when}"
    return f"{people_words(compared.people)}{events}"


def people_words(people: int | None) -> str:
    """A count of people of whom nearly everybody may be one, which is then not shown."""
    return "nearly everybody" if people is None else f"{count(people)} people"


def expected_words(metric: str, between: BetweenSites) -> str:
    """Where another site's value is to be expected; of what lies between 0 and 1, within them."""
    low, high = between.predicted_low, between.predicted_high
    if metric in BOUNDED:
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{low:.3f} to {high:.3f}".replace("-", "−")


def candidate_tables(result: Result) -> list[tuple[str, list[tuple[str, Metrics]]]]:
    """A table of all candidates for each horizon, the last first."""
    keys = list(next(iter(result.candidates.values())))[::-1]
    return [
        (
            "Candidates" + ("" if key == "all" else f" by {horizon_words(float(key), result.time_unit)}"),
            [(name, horizons[key]) for name, horizons in result.candidates.items()],
        )
        for key in keys
    ]


def charts(figures: Figures | None, *, within: str = "", time_unit: Unit | None = None) -> dict[str, str]:
    """The figures of performance, by name; those whose numbers the run does not hold are absent.

    time_unit: in which time is drawn, None for days or years. within: what makes their keys their own on a page that
    shows several such sets.
    """
    drawn: dict[str, str] = {}
    if figures is None:
        return drawn
    if figures.calibration is not None:
        title = "Calibration: observed against predicted risk"
        drawn["calibration"] = drawing.calibration(
            figures.calibration, figures.histogram, key=f"{within}calibration", title=title
        )
    if figures.decision is not None:
        curves, title = figures.decision, "Decision curve: net benefit by the risk at which one would act"
        drawn["decision"] = drawing.decision(
            curves.thresholds,
            curves.models,
            treat_all=curves.treat_all,
            cutoffs=curves.cutoffs,
            key=f"{within}decision",
            title=title,
        )
    timed = figures.over_time
    if timed is not None:
        for name, label, metrics in (("auc", "AUC", timed.auc), ("brier", "Brier score", timed.brier)):
            if any(metric.value is not None for metric in metrics):
                title = f"{label} by time since the index"
                drawn[name] = drawing.over_time(
                    timed.days, metrics, key=f"{within}over-{name}", title=title, label=label, time_unit=time_unit
                )
    return drawn


@dataclass(frozen=True, slots=True)
class Flagging:
    """What looking at some people finds. label: which people they are. flagged: their share of everybody."""

    label: str
    flagged: Metric | None
    sensitivity: Metric | None
    ppv: Metric | None
    alerts_per_true_case: Metric | None


def flagging_rows(result: Result) -> list[Flagging]:
    """What is found by looking at everybody above a cut-off of the study, and at as many as a team can take on."""
    metrics = result.chosen.metrics
    rows = [
        Flagging(
            f"risk of at least {100 * cutoff:g} %",
            metrics.get(f"flagged_at_{cutoff:g}"),
            metrics.get(f"sensitivity_at_{cutoff:g}"),
            metrics.get(f"ppv_at_{cutoff:g}"),
            metrics.get(f"alerts_per_true_case_at_{cutoff:g}"),
        )
        for cutoff in result.validation.cutoffs
        if f"sensitivity_at_{cutoff:g}" in metrics
    ]
    rows += [
        Flagging(
            f"top {100 * one.share:g} %", Metric(value=one.share), one.sensitivity, one.ppv, one.alerts_per_true_case
        )
        for one in (() if result.figures is None else result.figures.capacity)
    ]
    return rows


def equity_charts(groups: Groups, whole: Metrics) -> list[tuple[str, str]]:
    """A forest of each metric over all groups, everybody's interval behind it."""
    found = []
    for metric, label, ideal in (("auc", "AUC", None), ("calibration_slope", "Calibration slope", 1.0)):
        rows: list[Row] = []
        for name, levels in groups.items():
            rows.append(Row(name.replace("_", " ").capitalize(), heading=True))
            rows += [_level(level, group, metric=metric) for level, group in levels.items()]
        if any(row.value is not None for row in rows):
            title = f"{label} by group"
            drawn = drawing.forest(
                rows, key=f"equity-{metric}", title=title, label=label, ideal=ideal, whole=whole.get(metric)
            )
            found.append((title, drawn))
    return found


def _level(level: str, group: Group, *, metric: str) -> Row:
    name = level if group.people is None else f"{level} (n = {group.people:,})"
    estimate = known(group.metrics, metric)
    if estimate is None:
        return Row(name, note="suppressed" if group.people is None else "too few people or events")
    return Row(name, estimate)


def importance(result: Result) -> list[tuple[str, str]]:
    """Forests of what the model relies on: modifiable and fixed apart, each with its interval over resamplings."""
    found = []
    top = max((one.high for one in result.importance if one.high is not None), default=1.0)
    for modifiable, title in ((True, "Can be changed"), (False, "Cannot be changed")):
        kept = [one for one in result.importance if one.modifiable is modifiable]
        kept = sorted(kept, key=lambda one: -one.value)[:FEWEST_SHOWN]
        if kept:
            rows = [Row(_short(one), one.metric) for one in kept]
            key = f"importance-{'modifiable' if modifiable else 'fixed'}"
            said = f"{title}: what the model relies on"
            drawn = drawing.forest(
                rows, key=key, title=said, label="Mean absolute contribution", span=(0.0, 1.04 * top)
            )
            found.append((title, drawn))
    return found


def _short(one: Importance) -> str:
    label = one.label or one.feature
    return label if len(label) <= 26 else f"{label[:25].rstrip()}…"


def ranks(result: Result) -> list[Importance]:
    """Features by importance with the range of their ranks."""
    return sorted(result.importance, key=lambda one: -one.value)[: 2 * FEWEST_SHOWN]


def ancestry_chart(block: Added) -> str | None:
    """What a genomic block adds in each ancestry group; None where the run does not say."""
    rows = []
    for level, one in block.groups.get("ancestry", {}).items():
        n = "suppressed" if one.people is None else f"n = {one.people:,}"
        metric = known(one.delta, "c_harrell" if "c_harrell" in one.delta else "auc")
        rows.append(Row(f"{level} ({n})", metric, "" if metric else "too few people or events"))
    if not any(row.value is not None for row in rows):
        return None
    title = f"What {block.added} adds to discrimination, by ancestry"
    key = "ancestry-" + re.sub(r"\W+", "-", block.added)
    return drawing.forest(rows, key=key, title=title, label="Change in C or AUC", ideal=0.0)


@dataclass(frozen=True, slots=True)
class AtCutoff:
    """What a block changes at one cut-off: who is moved to its right side, and the net benefit of acting on it."""

    cutoff: float
    events: Metric | None
    nonevents: Metric | None
    delta: Metric | None


def cutoff_rows(block: Added) -> list[AtCutoff]:
    """Reclassification and the change in net benefit of a block, a row for each cut-off that either knows."""
    moved = {one.cutoff: one for one in block.reclassification}
    gained = {one.cutoff: one.delta for one in block.net_benefit}
    return [
        AtCutoff(
            cutoff,
            moved[cutoff].events if cutoff in moved else None,
            moved[cutoff].nonevents if cutoff in moved else None,
            gained.get(cutoff),
        )
        for cutoff in sorted({*moved, *gained})
    ]


def compared_charts(validation: ExternalResult, result: Result, *, within: str) -> list[tuple[str, str]]:
    """Internal and external estimates beside one another: discrimination, and the calibration slope."""
    wanted = (
        ("discrimination", (("c_horizon", "C (Harrell), by the horizon"), ("auc", "AUC")), None),
        ("calibration slope", (("calibration_slope", "Calibration slope"),), 1.0),
    )
    found = []
    for words, metrics, ideal in wanted:
        rows: list[Row] = []
        for metric, label in metrics:
            inside, outside = known(result.chosen.metrics, metric), known(validation.metrics, metric)
            if inside is not None and outside is not None:
                rows += [Row(label, heading=True), Row("internal", inside), Row("external", outside, other=True)]
        if rows:
            key, title = f"{within}{words[:4]}", f"Internal and external {words}"
            drawn = drawing.forest(rows, key=key, title=title, label=words.capitalize(), ideal=ideal)
            found.append((title, drawn))
    return found


def verdict(story: Story) -> tuple[str, str]:
    """The decision in a word for the cover, and its style."""
    if any(rule.verdict == "fail" for rule in story.rules):
        overridden = story.registry.get("gate_override_reason")
        return ("Promoted by override", "wait") if overridden else ("Gate not passed", "fail")
    return ("Gate passed", "pass")
