"""What a report's page shows, made of a run's stored numbers: rows, flows, figures. Nothing here measures anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.card import Card, chance_words, count, estimate_words, horizon_words
from training.registry import Rule
from training.report import drawing as figures

Document = Mapping[str, Any]
COLUMNS = (
    ("c_harrell", "C (Harrell)"),
    ("c_uno", "C (Uno)"),
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
BOUNDED = ("auc", "c_harrell", "brier")
FLAGGING = ("sensitivity", "ppv", "alerts_per_true_case")
FEWEST_SHOWN = 15  # features of each kind that the explanation lists


@dataclass(frozen=True, slots=True)
class Story:
    """All that a report tells. document: the run's summary; manifest: the bundle's; registry: MLflow's tags of it."""

    document: Document
    manifest: Document
    digest: str
    card: Card
    rules: tuple[Rule, ...]
    registry: Document
    validations: tuple[Document, ...]


def in_short(story: Story) -> list[str]:
    """What a reader with one minute should know, good or bad; each sentence has its number."""
    d = story.document
    metrics = d["chosen"]["metrics"]
    name, words = ("c_harrell", "Harrell's C") if metrics.get("c_harrell") else ("auc", "AUC")
    said = [f"Discrimination on people it had not seen: {words} {estimate_words(metrics[name])}."]
    slope = metrics.get("calibration_slope") or {}
    if slope.get("low") is not None:
        verdict = (
            "too extreme" if slope["high"] < 1 else "too timid" if slope["low"] > 1 else "not at odds with the data"
        )
        said.append(f"Its risks are {verdict}: calibration slope {estimate_words(slope, 2)}, where 1 is ideal.")
    equation = d.get("equation") or {}
    delta = equation.get("delta", {}).get("auc") or {}
    if delta.get("low") is not None:
        verdict = "better than" if delta["low"] > 0 else "worse than" if delta["high"] < 0 else "not surely better than"
        beside = f"{verdict} the published equation ({equation['name']}) on the same {count(equation['people'])} people"
        said.append(f"It is {beside}: AUC changes by {estimate_words(delta)}.")
    said += [str(block["sentence"]) for block in d["blocks"]]
    gaps = {group: gap for group, gap in d["gaps"].items() if gap.get("auc") is not None}
    if gaps:
        widest = max(gaps, key=lambda group: float(gaps[group]["auc"]))
        gap, by = gaps[widest], widest.replace("_", " ")
        between = ", ".join(filter(None, (f"between {gap['lowest']} and {gap['highest']}", chance_words(gap))))
        said.append(f"The widest difference between groups is by {by}: AUC {gap['auc']:.3f}, {between}.")
    said += [f"{one['source']}: {one['sentence']}" for one in story.validations[:1]]
    return said


def columns(models: Sequence[Document]) -> list[tuple[str, str]]:
    """The metrics that any of these has."""
    return [(key, label) for key, label in COLUMNS if any(m.get(key, {}).get("value") is not None for m in models)]


def ici_words(metrics: Document) -> str:
    """How far risks are from what is observed, beside what exactly right ones would be; empty where it is not known."""
    found = metrics.get("ici") or {}
    if found.get("value") is None or found.get("if_perfect") is None:
        return ""
    perfect = f"exactly right risks of as many people would be {found['if_perfect']:.3f} away by chance"
    return f"Risks are {estimate_words(found)} away from the smoothed observed ones on average (ICI); {perfect}."


def site_columns(sites: Document) -> list[tuple[str, str]]:
    """The metrics that any site has."""
    found = [one["metrics"] for one in sites["by_site"].values()]
    return [(key, label) for key, label in SITE_COLUMNS if any(m.get(key, {}).get("value") is not None for m in found)]


def expected_words(metric: str, between: Document) -> str:
    """Where another site's value is to be expected; of what lies between 0 and 1, within them."""
    low, high = between["predicted_low"], between["predicted_high"]
    if metric in BOUNDED:
        low, high = max(low, 0.0), min(high, 1.0)
    return f"{low:.3f} to {high:.3f}".replace("-", "−")


def candidate_tables(document: Document) -> list[tuple[str, list[tuple[str, Document]]]]:
    """A table of all candidates for each horizon, the last first."""
    candidates = document["candidates"]
    keys = list(next(iter(candidates.values())))[::-1]
    return [
        (
            "Candidates" + ("" if key == "all" else f" by {horizon_words(float(key))}"),
            [(name, found[key]) for name, found in candidates.items()],
        )
        for key in keys
    ]


def charts(document: Document, *, within: str = "") -> dict[str, str]:
    """The figures of performance, by name; those whose numbers the run does not hold are absent.

    within: what makes their keys their own on a page that shows several such sets.
    """
    numbers, found = document.get("figures") or {}, {}
    if "calibration" in numbers:
        title = "Calibration: observed against predicted risk"
        found["calibration"] = figures.calibration(
            numbers["calibration"], numbers.get("histogram"), key=f"{within}calibration", title=title
        )
        d = numbers["decision"]
        title = "Decision curve: net benefit by the risk at which one would act"
        found["decision"] = figures.decision(
            d["thresholds"],
            d["models"],
            treat_all=d["treat_all"],
            cutoffs=d["cutoffs"],
            key=f"{within}decision",
            title=title,
        )
    timed = numbers.get("over_time")
    for name, label in (("auc", "AUC"), ("brier", "Brier score")):
        if timed and any(one["value"] is not None for one in timed[name]):
            title = f"{label} by time since the index"
            found[name] = figures.over_time(
                timed["days"], timed[name], key=f"{within}over-{name}", title=title, label=label
            )
    return found


def flagging_rows(document: Document) -> list[dict[str, Any]]:
    """What is found by looking at everybody above a cut-off of the study, and at as many as a team can take on."""
    metrics = document["chosen"]["metrics"]
    rows = [
        {
            "label": f"risk of at least {100 * cutoff:g} %",
            "flagged": metrics.get(f"flagged_at_{cutoff:g}"),
            **{name: metrics.get(f"{name}_at_{cutoff:g}") for name in FLAGGING},
        }
        for cutoff in document["validation"].get("cutoffs") or ()
        if metrics.get(f"sensitivity_at_{cutoff:g}")
    ]
    for one in (document.get("figures") or {}).get("capacity") or ():
        share = {"value": one["share"], "low": None, "high": None}
        rows.append({"label": f"top {100 * one['share']:g} %", "flagged": share, **{k: one[k] for k in FLAGGING}})
    return rows


def equity_charts(groups: Document, whole: Document) -> list[tuple[str, str]]:
    """A forest of each metric over all groups, everybody's interval behind it."""
    found = []
    for metric, label, ideal in (("auc", "AUC", None), ("calibration_slope", "Calibration slope", 1.0)):
        rows: list[dict[str, Any]] = []
        for name, levels in groups.items():
            rows.append({"heading": name.replace("_", " ").capitalize()})
            rows += [_level(level, one, metric=metric) for level, one in levels.items()]
        if any(row.get("value") is not None for row in rows):
            title = f"{label} by group"
            drawn = figures.forest(
                rows, key=f"equity-{metric}", title=title, label=label, ideal=ideal, whole=whole.get(metric)
            )
            found.append((title, drawn))
    return found


def _level(level: str, one: Document, *, metric: str) -> dict[str, Any]:
    n = "fewer than 11, or hidden" if one["people"] is None else f"n = {one['people']:,}"
    estimate = one["metrics"].get(metric)
    if not estimate or estimate.get("value") is None:
        why = "suppressed" if one["people"] is None else "too few people or events"
        return {"name": f"{level} ({n})" if one["people"] is not None else level, "value": None, "note": why}
    return {"name": f"{level} ({n})", **estimate}


def importance(document: Document) -> list[tuple[str, str]]:
    """Forests of what the model relies on: modifiable and fixed apart, each with its interval over resamplings."""
    found = []
    top = max((one["high"] for one in document.get("importance") or []), default=1.0)
    for modifiable, title in ((True, "Can be changed"), (False, "Cannot be changed")):
        kept = [one for one in document.get("importance") or [] if bool(one.get("modifiable")) is modifiable]
        kept = sorted(kept, key=lambda one: -one["value"])[:FEWEST_SHOWN]
        if kept:
            rows = [{"name": _short(one), **{k: one[k] for k in ("value", "low", "high")}} for one in kept]
            key = f"importance-{'modifiable' if modifiable else 'fixed'}"
            said = f"{title}: what the model relies on"
            drawn = figures.forest(
                rows, key=key, title=said, label="Mean absolute contribution", span=(0.0, 1.04 * top)
            )
            found.append((title, drawn))
    return found


def _short(one: Document) -> str:
    label = str(one.get("label") or one["feature"])
    return label if len(label) <= 26 else f"{label[:25].rstrip()}…"


def ranks(document: Document) -> list[Document]:
    """Features by importance with the range of their ranks."""
    return sorted(document.get("importance") or [], key=lambda one: -one["value"])[: 2 * FEWEST_SHOWN]


def ancestry_chart(block: Document) -> str | None:
    """What a genomic block adds in each ancestry group; None where the run does not say."""
    levels = (block.get("groups") or {}).get("ancestry") or {}
    rows = []
    for level, one in levels.items():
        delta = one.get("delta") or {}
        estimate = delta.get("c_harrell") or delta.get("auc")
        n = "suppressed" if one.get("people") is None else f"n = {one['people']:,}"
        row = {"name": f"{level} ({n})", "value": None, "note": "too few people or events"}
        rows.append(row | (estimate or {}) if estimate and estimate.get("value") is not None else row)
    if not any(row["value"] is not None for row in rows):
        return None
    title = f"What {block['added']} adds to discrimination, by ancestry"
    key = "ancestry-" + re.sub(r"\W+", "-", block["added"])
    return figures.forest(rows, key=key, title=title, label="Change in C or AUC", ideal=0.0)


def cutoff_rows(block: Document) -> list[dict[str, Any]]:
    """Reclassification and the change in net benefit of a block, a row for each cut-off that either knows."""
    rows: dict[float, dict[str, Any]] = {}
    for one in [*(block.get("reclassification") or []), *(block.get("net_benefit") or [])]:
        empty = {"cutoff": one["cutoff"], "events": None, "nonevents": None, "delta": None}
        rows.setdefault(one["cutoff"], empty).update(one)
    return [rows[cutoff] for cutoff in sorted(rows)]


def compared_charts(validation: Document, document: Document, *, within: str) -> list[tuple[str, str]]:
    """Internal and external estimates beside one another: discrimination, and the calibration slope."""
    wanted = (
        ("discrimination", (("c_harrell", "C (Harrell)"), ("auc", "AUC")), None),
        ("calibration slope", (("calibration_slope", "Calibration slope"),), 1.0),
    )
    found = []
    for words, metrics, ideal in wanted:
        rows: list[dict[str, Any]] = []
        for metric, label in metrics:
            inside, outside = document["chosen"]["metrics"].get(metric), validation["metrics"].get(metric)
            if inside and outside and inside["value"] is not None and outside["value"] is not None:
                rows += [{"heading": label}, {"name": "internal", **inside}]
                rows.append({"name": "external", **outside, "other": True})
        if rows:
            key, title = f"{within}{words[:4]}", f"Internal and external {words}"
            drawn = figures.forest(rows, key=key, title=title, label=words.capitalize(), ideal=ideal)
            found.append((title, drawn))
    return found


def verdict(story: Story) -> tuple[str, str]:
    """The decision in a word for the cover, and its style."""
    if any(rule.verdict == "fail" for rule in story.rules):
        overridden = story.registry.get("gate_override_reason")
        return ("Promoted by override", "wait") if overridden else ("Gate not passed", "fail")
    return ("Gate passed", "pass")
