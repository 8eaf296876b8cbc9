"""What the run itself can say to each item of a card, in plain sentences; its numbers are the summary's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.disclosure import SMALLEST, merged_steps

NAMES = {
    "auc": "AUC",
    "c_harrell": "Harrell's C",
    "brier": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_in_the_large": "calibration in the large",
}
LEARNERS = {
    "cox": "a penalised Cox model with splines",
    "logistic": "a penalised logistic regression with splines",
    "xgboost": "gradient-boosted trees on the horizon, weighted for censoring",
    "xgboost_cox": "gradient-boosted trees on the Cox likelihood with a Breslow baseline",
    "extra_trees": "extra survival trees",
    "stack": "a stack of learners weighted by out-of-fold Brier score",
}
NOT_YET = "No external validation has been recorded (presage validate)."
Document = Mapping[str, Any]


def facts(document: Document, manifest: Document, *, validations: Sequence[Document]) -> dict[str, dict[str, str]]:
    """Item number to text, by list; items that only a person can fill are absent, or say what the run adds."""
    return {
        "HTI-1": _hti1(document, manifest, validations=validations),
        "TRIPOD+AI": _tripod(document, manifest, validations=validations),
    }


def count(people: int | None) -> str:
    """A count of people as it may be shown."""
    if people is None:
        return "fewer than 11"
    return "fewer than 11" if 0 < people < SMALLEST else f"{people:,}"


def horizon_words(days: float | None) -> str:
    """A horizon in the unit people think in; the empty string for a binary outcome."""
    if days is None:
        return ""
    if days >= 730 and abs(days / 365 - round(days / 365)) < 0.02:
        return f"{round(days / 365)} years"
    if abs(days - 365) <= 1:
        return "1 year"
    return f"{days:g} days"


def unreachable_words(rows: int, everybody: int, *, days: float) -> str:
    """How many rows cannot be followed to the horizon; the empty string where all can."""
    if rows == 0:
        return ""
    said = f"{rows:,} of {everybody:,} rows" if rows >= SMALLEST else f"fewer than {SMALLEST} rows"
    return f"{said} cannot be followed to {days:g} days"


def metric_words(metrics: Document, names: Sequence[str] = tuple(NAMES)) -> str:
    """Metrics with their intervals, in words."""
    return "; ".join(
        f"{NAMES[name]} {estimate_words(metrics[name])}"
        for name in names
        if metrics.get(name, {}).get("value") is not None
    )


def estimate_words(estimate: Document, digits: int = 3) -> str:
    """0.712 (0.690 to 0.734)."""
    if estimate.get("value") is None:
        return "not defined"
    value, low, high = estimate["value"], estimate.get("low"), estimate.get("high")
    interval = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
    return f"{value:.{digits}f}{interval}".replace("-", "−")


def population_words(manifest: Document) -> str:
    """Who is studied, from the study's rules."""
    if manifest.get("flat"):
        return "The people of the study's table."
    p = manifest["population"]
    low, high = p["age_years"]
    who = {"F": "women", "M": "men"}.get(p["sex"], "people")
    said = [f"Enrolled {who} aged {low} to {high} years"]
    if p["history_days"]:
        said.append(f"with {p['history_days']} days of enrolment before")
    if p["exclude"]:
        said.append("without a code of " + ", ".join(_list_name(entry) for entry in p["exclude"]) + " before")
    washout = manifest["outcome"].get("washout_days")
    if washout is None:
        said.append("without the outcome before")
    elif washout:
        said.append(f"without the outcome in the {washout} days before")
    return ", ".join(said) + f"; looked at on {index_words(p)}."


def index_words(population: Document) -> str:
    """When people are looked at."""
    index = population["index"]
    if index == "yearly":
        years = population.get("index_years") or ()
        return "every 1 January" + (f" of {', '.join(map(str, years))}" if years else "")
    if index.startswith("first:"):
        return f"the day of a first code of {_list_name(index.removeprefix('first:'))}"
    return str(index)


def outcome_words(document: Document, manifest: Document) -> str:
    """What is predicted, and by when."""
    outcome, days = manifest["outcome"], document["chosen"]["horizon_days"]
    name = outcome.get("name") or outcome.get("event") or document["study"]
    by = f" within {horizon_words(days)} of the index" if days is not None else ""
    if not outcome.get("codes"):
        return f"{_word(name)}{by} (column {outcome.get('event')})"
    competing = " and ".join(_list_name(entry).replace("MEDS DEATH", "death") for entry in outcome["competing"])
    other = f"; {competing} competes" if competing else ""
    return f"{_word(name)}{by} (its first recorded code of {_list_name(outcome['codes'])}{other})"


def output_words(document: Document) -> str:
    """What number a user sees."""
    days = document["chosen"]["horizon_days"]
    by = f" by {horizon_words(days)}" if days is not None else ""
    return f"The probability of the outcome{by}, 0 to 1; where it cannot be given, the reason why not."


def group_words(groups: Document) -> str:
    """AUC by group with its interval, and what is suppressed."""
    parts = []
    for name, levels in groups.items():
        if not levels:
            continue
        found = [
            f"{level} {estimate_words(one['metrics']['auc'])}, n = {count(one['people'])}"
            if one["metrics"].get("auc", {}).get("value") is not None
            else f"{level} not shown ({one.get('reason') or 'not defined'})"
            for level, one in levels.items()
        ]
        parts.append(f"AUC by {name.replace('_', ' ')}: {'; '.join(found)}.")
    return " ".join(parts) or "The study names no groups ([equity] groups), so none were compared."


def flow(steps: Sequence[Document]) -> list[dict[str, Any]]:
    """Steps with who is left and who left; steps that lose 1 to 10 people are shown as one with their neighbour.

    A step that begins "of them" is a part of those before it, of whom nobody has left.
    """
    kept = merged_steps(steps)
    top = max((one["people"] or 0 for one in kept), default=1)
    return [
        {
            "step": one["step"],
            "people": one["people"] if one["people"] == 0 or (one["people"] or 0) >= SMALLEST else None,
            "part": str(one["step"]).startswith("of them"),
            "out": _left(kept[i - 1] if i else one, one),
            "share": (one["people"] or 0) / max(top, 1),
        }
        for i, one in enumerate(kept)
    ]


def _left(before: Document, after: Document) -> int:
    if str(after["step"]).startswith("of them") or before["people"] is None or after["people"] is None:
        return 0
    return int(before["people"]) - int(after["people"])


def _hti1(document: Document, manifest: Document, *, validations: Sequence[Document]) -> dict[str, str]:
    shares = _shares(document)
    newest = validations[0] if validations else None
    return {
        "1(iii)": output_words(document),
        "1(iv)": "A prediction.",
        "2(ii)": population_words(manifest),
        "4(i)": f"{population_words(manifest)} {_attrition(document)}",
        "4(ii)": _sensitive(document),
        "4(iii)": shares,
        "5(i)": "Every metric is repeated in each group of the study, with its interval.",
        "6(i)": NOT_YET if newest is None else f"{newest['source']}.",
        "6(ii)": NOT_YET if newest is None else str(newest.get("by") or "Not named when it was validated (--by)."),
        "6(iii)": NOT_YET if newest is None else _shares(newest),
        "6(iv)": NOT_YET
        if newest is None
        else "The model applied unchanged to the same study definition; intervals by resampling people.",
        "7(i)": f"{metric_words(document['chosen']['metrics'])}. {document['validation']['scheme']}.",
        "7(ii)": group_words(document["groups"]),
        "7(iii)": NOT_YET if newest is None else f"{metric_words(newest['metrics'])}.",
        "7(iv)": NOT_YET if newest is None else group_words(newest["groups"]),
        "8(ii)": "As 7(i) where it serves the people it was trained on; elsewhere: "
        + (NOT_YET if newest is None else f"{newest['source']}, {metric_words(newest['metrics'])}."),
        "8(iv)": "As 7(ii) where it serves the people it was trained on; elsewhere: "
        + (NOT_YET if newest is None else group_words(newest["groups"])),
    }


def _tripod(document: Document, manifest: Document, *, validations: Sequence[Document]) -> dict[str, str]:
    newest = validations[0] if validations else None
    data, v = document.get("data", {}), document["validation"]
    learner = LEARNERS.get(document["chosen"]["candidate"], document["chosen"]["candidate"])
    flat = bool(manifest.get("flat"))
    return {
        "1": f"{document['title'] or document['study']}: {learner}, predicting {outcome_words(document, manifest)}.",
        "2": f"{document['people']:,} people, {count(document['events'])} with the event; {v['scheme']}; "
        f"{metric_words(document['chosen']['metrics'])}.",
        "3b": population_words(manifest),
        "4": "Development with internal validation" + (", and external validation." if newest else "."),
        "5b": _dates(data),
        "6b": f"{population_words(manifest)} {_attrition(document)}",
        "7": "As the table gives them; numbers that no feature may have are missing."
        if flat
        else "Declared features of the catalogue: units converted, values outside the plausible range set aside, "
        "only facts available before the index.",
        "8a": outcome_words(document, manifest) + ".",
        "8b": "Read from the table." if flat else "Derived from recorded codes.",
        "8c": "Features come from before the index and the outcome from after it"
        + ("; the table's owner vouches for that." if flat else ", as the leakage proof shows."),
        "9a": _choice(data),
        "9b": "Columns of the table." if flat else "The bundle's catalogue declares unit, window and codes of each.",
        "9c": "Read from the table." if flat else "Recorded in routine care.",
        "10": f"All eligible people: {document['people']:,}, {count(document['events'])} with the event, for "
        f"{data.get('features', 0):,} candidate features. No size was set beforehand.",
        "11": _missing(data),
        "12a": f"{v['scheme']}; {v['train_people']:,} people trained, {v['test_people']:,} tested; "
        "everybody on one side.",
        "12b": "Splines, categories and scaling are learned inside the training folds; trees take values as they are.",
        "12c": f"Candidates: {', '.join(document['candidates'])}. Chosen by the out-of-fold Brier score of training "
        f"rows: {document['chosen']['candidate']} ({learner}); recalibrated on held-out risks.{_tuned(document)}",
        "12d": "People are the unit of resampling; sites are groups or folds where the study says so.",
        "12e": "Harrell's and Uno's C, time-dependent AUC, Brier score, calibration in the large and slope, "
        f"net benefit; 95 % intervals from {v['bootstraps']} resamplings of people.",
        "12f": "None." if newest is None else "None; a recalibration is suggested where the external data ask for it.",
        "12g": f"By the bundle {str(manifest.get('digest', ''))[:12]}: probabilities by each horizon.".replace(
            " :", ":"
        ),
        "13": "No resampling or weighting of classes; risks stay probabilities.",
        "14": "Every metric is repeated in each group of the study.",
        "15": output_words(document) + " No class is assigned; a policy chooses whom to flag.",
        "16": "None: one source, split by person."
        if newest is None
        else f"{newest['source']}: {newest.get('drift_sentence', '')}".strip(),
        "18f": f"Presage is open source (Apache-2.0); code digest {str(document.get('code_digest') or '')[:12]}.",
        "20a": f"{_attrition(document)} {_followup(document)}".strip(),
        "20b": _shares(document),
        "20c": NOT_YET if newest is None else str(newest.get("drift_sentence", "")),
        "21": f"Trained {v['train_people']:,} people, tested {v['test_people']:,}; in all {document['people']:,} with "
        f"{count(document['events'])} events.",
        "22": "The bundle: every coefficient and tree in open formats (JSON, UBJ), with the SHA-256 of each file.",
        "23a": f"{metric_words(document['chosen']['metrics'])}. {group_words(document['groups'])}",
        "23b": _gap_words(document),
        "24": "None.",
        "27a": "Missing values are handled by the model; who lacks a required feature or is outside the studied "
        "population is not scored, with the reason.",
        "27b": "None: features come from the record." if not flat else "None beyond the table's columns.",
    }


def _attrition(document: Document) -> str:
    steps = flow(document["attrition"])
    return "" if not steps else "Left: " + "; ".join(f"{s['step']} {count(s['people'])}" for s in steps) + "."


def _sensitive(document: Document) -> str:
    used = {said: names for said, names in document.get("data", {}).get("sensitive", {}).items() if names}
    absent = [said for said, names in document.get("data", {}).get("sensitive", {}).items() if not names]
    yes = "; ".join(f"{said}: {', '.join(names)}" for said, names in used.items()) or "none of them"
    return f"Used: {yes}." + (f" Not used: {', '.join(absent)}." if absent else "")


def _shares(document: Document) -> str:
    parts = []
    for name, levels in document.get("groups", {}).items():
        if not levels:
            continue
        known = [one["people"] for one in levels.values() if one["people"] is not None]
        said = [
            f"{level}: {one['people'] / max(sum(known), 1):.0%}" if one["people"] else f"{level} not shown"
            for level, one in levels.items()
        ]
        parts.append(f"{name.replace('_', ' ')} ({', '.join(said)})")
    return f"Of the people tested, by {', by '.join(parts)}." if parts else "The study names no groups to describe."


def _dates(data: Document) -> str:
    if not data.get("first_index"):
        return "The table has no dates."
    return f"Index dates {data['first_index']} to {data['last_index']}. {_followup({'data': data})}".strip()


def _followup(document: Document) -> str:
    days = document.get("data", {}).get("median_followup_days")
    return "" if days is None else f"Median follow-up {days:,.0f} days, cut after the last horizon."


def _choice(data: Document) -> str:
    blocks = [f"{block['name']} ({len(block['features'])})" for block in data.get("blocks", [])]
    codes = f", and {data['code_features']:,} counts of codes" if data.get("code_features") else ""
    return f"Named in the study, before any fit: {', '.join(blocks)}{codes}." if blocks else "Named in the study."


def _missing(data: Document) -> str:
    worst = sorted(data.get("missing", {}).items(), key=lambda item: -item[1])[:5]
    said = ", ".join(f"{name} {share:.0%}" for name, share in worst)
    return "Missing is a state of its own: an indicator in linear models, a branch in trees." + (
        f" Most often missing: {said}." if said else " Nothing is missing."
    )


def _tuned(document: Document) -> str:
    tuned = document.get("tuning") or {}
    said = ", ".join(f"{name} {found['trials']} trials" for name, found in tuned.items() if "trials" in found)
    return f" Tuned out of fold: {said}." if said else ""


def chance_words(gap: Document) -> str:
    """How wide the gap between groups would be by chance; empty where nobody shuffled the groups."""
    expected, high = gap.get("expected_by_chance"), gap.get("chance_high")
    if expected is None or high is None:
        return ""
    verdict = "wider than chance would make it" if gap["auc"] > high else "no wider than chance may make it"
    return f"{verdict}: {expected:.3f} on average, in 19 of 20 below {high:.3f}, if the groups meant nothing"


def _gap_words(document: Document) -> str:
    gaps = {name: gap for name, gap in document.get("gaps", {}).items() if gap.get("auc") is not None}
    if not gaps:
        return "No two groups are large enough to be compared."
    said = []
    for name, gap in gaps.items():
        inside = "; ".join(filter(None, (f"{gap['lowest']} lowest, {gap['highest']} highest", chance_words(gap))))
        said.append(f"{name.replace('_', ' ')} {gap['auc']:.3f} ({inside})")
    return f"Largest differences in AUC: {'; '.join(said)}."


def _list_name(entry: str) -> str:
    name = entry.rsplit("/", 1)[-1].removesuffix(".csv").replace("_", " ")
    return f"“{name}”" if entry.endswith(".csv") else name


def _word(name: object) -> str:
    """A name as it is read: short ones are abbreviations."""
    said = str(name).replace("_", " ")
    return said.upper() if len(said) <= 3 else said
