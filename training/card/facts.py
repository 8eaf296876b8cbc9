"""What the run itself can say to each item of a card, in plain sentences; its numbers are the summary's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from training.disclosure import SMALLEST, merged_steps
from training.external import ExternalResult
from training.result import Data, Gap, Group, Groups, Metric, Metrics, Result, Step, known
from training.study import DAYS_IN, TimeUnit

NAMES = {
    "auc": "AUC",
    "c_horizon": "Harrell's C until the horizon",
    "c_harrell": "Harrell's C over all follow-up",
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
Manifest = Mapping[str, Any]
Unit = TimeUnit | Literal["unknown"]


def facts(result: Result, manifest: Manifest, *, validations: Sequence[ExternalResult]) -> dict[str, dict[str, str]]:
    """Item number to text, by list; items that only a person can fill are absent, or say what the run adds."""
    return {
        "HTI-1": _hti1(result, manifest, validations=validations),
        "TRIPOD+AI": _tripod(result, manifest, validations=validations),
    }


def count(people: int | None) -> str:
    """A count of people as it may be shown."""
    if people is None:
        return "fewer than 11"
    return "fewer than 11" if 0 < people < SMALLEST else f"{people:,}"


def horizon_words(days: float | None, unit: Unit | None = None) -> str:
    """A horizon in the unit people think in; the empty string for a binary outcome.

    unit: of the table's times; None: days. "unknown" where nobody has said it, as the number may then be of any.

    >>> horizon_words(3650.0), horizon_words(182.625, "months"), horizon_words(1.4, "unknown")
    ('10 years', '6 months', "1.4 of the table's time units")
    """
    if days is None:
        return ""
    if unit == "unknown":
        return f"{days:g} of the table's time units"
    if unit is not None and unit != "days":
        number = f"{round(days / DAYS_IN[unit], 3):g}"
        return f"{number} {unit.removesuffix('s') if number == '1' else unit}"
    if days >= 730 and abs(days / 365 - round(days / 365)) < 0.02:
        return f"{round(days / 365)} years"
    if abs(days - 365) <= 1:
        return "1 year"
    return f"{days:g} days"


def left_out_words(names: Sequence[str], most: int = 30) -> str:
    """Features that the study's blocks do not name, the first of them by name.

    >>> left_out_words(["ldh", "site"])
    'left out, as no block names them: ldh, site (rest = "clinical" under [features] takes them)'
    """
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    said = f"left out, as no block names them: {', '.join(names[:most])}{more}"
    return f'{said} (rest = "clinical" under [features] takes them)'


def unreachable_words(rows: int, everybody: int, *, days: float, unit: Unit | None = None) -> str:
    """How many rows cannot be followed to the horizon; the empty string where all can."""
    if rows == 0:
        return ""
    said = f"{rows:,} of {everybody:,} rows" if rows >= SMALLEST else f"fewer than {SMALLEST} rows"
    return f"{said} cannot be followed to {f'{days:g} days' if unit in (None, 'days') else horizon_words(days, unit)}"


def events_words(result: Result) -> str:
    """How many people have the event, ever and by the horizon."""
    by, days = result.events_by_horizon, result.chosen.horizon_days
    if days is None or by is None:
        return f"{count(result.events)} with the event"
    until = horizon_words(days, result.time_unit)
    if by == result.events:
        return f"{count(by)} with the event by {until}"
    return f"{count(by)} with the event by {until}, {count(result.events)} in all their follow-up"


def lead(metrics: Metrics, days: float | None, unit: Unit | None = None) -> tuple[str, str]:
    """The metric of discrimination that a headline gives, and its name: of a risk by a horizon, until that horizon."""
    if "c_horizon" in metrics:
        return "c_horizon", f"Harrell's C until {horizon_words(days, unit)}"
    return ("c_harrell", "Harrell's C over all follow-up") if "c_harrell" in metrics else ("auc", "AUC")


def metric_words(metrics: Metrics, names: Sequence[str] = tuple(NAMES)) -> str:
    """Metrics with their intervals, in words."""
    defined = {name: known(metrics, name) for name in names}
    return "; ".join(f"{NAMES[name]} {estimate_words(metric)}" for name, metric in defined.items() if metric)


def estimate_words(metric: Metric | None, digits: int = 3) -> str:
    """A number and its interval.

    >>> estimate_words(Metric(value=0.712, low=0.69, high=0.734))
    '0.712 (0.690 to 0.734)'
    """
    if metric is None or metric.value is None:
        return "not defined"
    said = f"{metric.value:.{digits}f}"
    if metric.interval is not None:
        low, high = metric.interval
        said += f" ({low:.{digits}f} to {high:.{digits}f})"
    return said.replace("-", "−")


def population_words(manifest: Manifest) -> str:
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


def index_words(population: Mapping[str, Any]) -> str:
    """When people are looked at."""
    index = population["index"]
    if index == "yearly":
        years = population.get("index_years") or ()
        return "every 1 January" + (f" of {', '.join(map(str, years))}" if years else "")
    if index.startswith("first:"):
        return f"the day of a first code of {_list_name(index.removeprefix('first:'))}"
    return str(index)


def outcome_words(result: Result, manifest: Manifest) -> str:
    """What is predicted, and by when."""
    outcome, days = manifest["outcome"], result.chosen.horizon_days
    name = outcome.get("name") or outcome.get("event") or result.study
    by = f" within {horizon_words(days, result.time_unit)} of the index" if days is not None else ""
    if not outcome.get("codes"):
        return f"{_word(name)}{by} (column {outcome.get('event')})"
    competing = " and ".join(_list_name(entry).replace("MEDS DEATH", "death") for entry in outcome["competing"])
    other = f"; {competing} competes" if competing else ""
    return f"{_word(name)}{by} (its first recorded code of {_list_name(outcome['codes'])}{other})"


def output_words(result: Result) -> str:
    """What number a user sees."""
    days = result.chosen.horizon_days
    by = f" by {horizon_words(days, result.time_unit)}" if days is not None else ""
    return f"The probability of the outcome{by}, 0 to 1; where it cannot be given, the reason why not."


def group_words(groups: Groups) -> str:
    """AUC by group with its interval, and what is suppressed."""
    parts = []
    for name, levels in groups.items():
        if levels:
            said = "; ".join(_level_words(level, group) for level, group in levels.items())
            parts.append(f"AUC by {name.replace('_', ' ')}: {said}.")
    return " ".join(parts) or "The study names no groups ([equity] groups), so none were compared."


def _level_words(level: str, group: Group) -> str:
    auc = known(group.metrics, "auc")
    if auc is None:
        return f"{level} not shown ({group.reason or 'not defined'})"
    return f"{level} {estimate_words(auc)}, n = {count(group.people)}"


@dataclass(frozen=True, slots=True)
class FlowStep:
    """A box of the flow chart. people: who is left, None for 1 to 10. out: who left here. share: of the first box.

    part: whether these are a part of those before, of whom nobody has left.
    """

    step: str
    people: int | None
    part: bool
    out: int
    share: float


def flow(steps: Sequence[Step]) -> list[FlowStep]:
    """Steps with who is left and who left; steps that lose 1 to 10 people are shown as one with their neighbour.

    A step that begins "of them" is a part of those before it, of whom nobody has left.
    """
    kept = merged_steps(steps)
    top = max((one.people or 0 for one in kept), default=1)
    return [
        FlowStep(
            step=one.step,
            people=one.people if one.people == 0 or (one.people or 0) >= SMALLEST else None,
            part=_is_part(one),
            out=_left(kept[i - 1] if i else one, one),
            share=(one.people or 0) / max(top, 1),
        )
        for i, one in enumerate(kept)
    ]


def _is_part(step: Step) -> bool:
    return step.step.startswith("of them")


def _left(before: Step, after: Step) -> int:
    if _is_part(after) or before.people is None or after.people is None:
        return 0
    return before.people - after.people


def _hti1(result: Result, manifest: Manifest, *, validations: Sequence[ExternalResult]) -> dict[str, str]:
    shares = _shares(result.groups)
    newest = validations[0] if validations else None
    return {
        "1(iii)": output_words(result),
        "1(iv)": "A prediction.",
        "2(ii)": population_words(manifest),
        "4(i)": f"{population_words(manifest)} {_attrition(result)}",
        "4(ii)": _sensitive(result.data),
        "4(iii)": shares,
        "5(i)": "Every metric is repeated in each group of the study, with its interval.",
        "6(i)": NOT_YET if newest is None else f"{newest.source}.",
        "6(ii)": NOT_YET if newest is None else newest.by or "Not named when it was validated (--by).",
        "6(iii)": NOT_YET if newest is None else _shares(newest.groups),
        "6(iv)": NOT_YET
        if newest is None
        else "The model applied unchanged to the same study definition; intervals by resampling people.",
        "7(i)": f"{metric_words(result.chosen.metrics)}. {result.validation.scheme}.",
        "7(ii)": group_words(result.groups),
        "7(iii)": NOT_YET if newest is None else f"{metric_words(newest.metrics)}.",
        "7(iv)": NOT_YET if newest is None else group_words(newest.groups),
        "8(ii)": "As 7(i) where it serves the people it was trained on; elsewhere: "
        + (NOT_YET if newest is None else f"{newest.source}, {metric_words(newest.metrics)}."),
        "8(iv)": "As 7(ii) where it serves the people it was trained on; elsewhere: "
        + (NOT_YET if newest is None else group_words(newest.groups)),
    }


def _tripod(result: Result, manifest: Manifest, *, validations: Sequence[ExternalResult]) -> dict[str, str]:
    newest = validations[0] if validations else None
    data, v = result.data, result.validation
    learner = LEARNERS.get(result.chosen.candidate, result.chosen.candidate)
    flat = bool(manifest.get("flat"))
    return {
        "1": f"{result.title or result.study}: {learner}, predicting {outcome_words(result, manifest)}.",
        "2": f"{result.people:,} people, {events_words(result)}; {v.scheme}; {metric_words(result.chosen.metrics)}.",
        "3b": population_words(manifest),
        "4": "Development with internal validation" + (", and external validation." if newest else "."),
        "5b": _dates(result),
        "6b": f"{population_words(manifest)} {_attrition(result)}",
        "7": "As the table gives them; numbers that no feature may have are missing."
        if flat
        else "Declared features of the catalogue: units converted, values outside the plausible range set aside, "
        "only facts available before the index.",
        "8a": outcome_words(result, manifest) + ".",
        "8b": "Read from the table." if flat else "Derived from recorded codes.",
        "8c": "Features come from before the index and the outcome from after it"
        + ("; the table's owner vouches for that." if flat else ", as the leakage proof shows."),
        "9a": _choice(data),
        "9b": "Columns of the table." if flat else "The bundle's catalogue declares unit, window and codes of each.",
        "9c": "Read from the table." if flat else "Recorded in routine care.",
        "10": f"All eligible people: {result.people:,}, {events_words(result)}, for "
        f"{0 if data is None else data.features:,} candidate features. No size was set beforehand.",
        "11": _missing(data),
        "12a": f"{v.scheme}; {v.train_people:,} people trained, {v.test_people:,} tested; everybody on one side. "
        f"{v.estimates or ''}".strip(),
        "12b": "Splines, categories and scaling are learned inside the training folds; trees take values as they are.",
        "12c": f"Candidates: {', '.join(result.candidates)}. Chosen by the out-of-fold Brier score of training "
        f"rows: {result.chosen.candidate} ({learner}); recalibrated on held-out risks.{_tuned(result)}",
        "12d": "People are the unit of resampling; sites are groups or folds where the study says so.",
        "12e": "Harrell's and Uno's C and time-dependent AUC of pairs of people that one model has tested, Brier "
        "score, calibration in the large and slope, "
        f"net benefit; 95 % intervals from {v.bootstraps} resamplings of people.",
        "12f": "None." if newest is None else "None; a recalibration is suggested where the external data ask for it.",
        "12g": f"By the bundle {str(manifest.get('digest', ''))[:12]}: probabilities by each horizon.".replace(
            " :", ":"
        ),
        "13": "No resampling or weighting of classes; risks stay probabilities.",
        "14": "Every metric is repeated in each group of the study.",
        "15": output_words(result) + " No class is assigned; a policy chooses whom to flag.",
        "16": "None: one source, split by person."
        if newest is None
        else f"{newest.source}: {newest.drift_sentence}".strip(),
        "18f": f"Presage is open source (Apache-2.0); code digest {(result.code_digest or '')[:12]}.",
        "20a": f"{_attrition(result)} {_followup(result)}".strip(),
        "20b": _shares(result.groups),
        "20c": NOT_YET if newest is None else newest.drift_sentence,
        "21": f"Trained {v.train_people:,} people, tested {v.test_people:,}; in all {result.people:,}, "
        f"{events_words(result)}.",
        "22": "The bundle: every coefficient and tree in open formats (JSON, UBJ), with the SHA-256 of each file.",
        "23a": f"{metric_words(result.chosen.metrics)}. {group_words(result.groups)}",
        "23b": _gap_words(result.gaps),
        "24": "None.",
        "27a": "Missing values are handled by the model; who lacks a required feature or is outside the studied "
        "population is not scored, with the reason.",
        "27b": "None: features come from the record." if not flat else "None beyond the table's columns.",
    }


def _attrition(result: Result) -> str:
    steps = flow(result.attrition)
    return "" if not steps else "Left: " + "; ".join(f"{s.step} {count(s.people)}" for s in steps) + "."


def _sensitive(data: Data | None) -> str:
    told = {} if data is None else data.sensitive
    used = {said: names for said, names in told.items() if names}
    absent = [said for said, names in told.items() if not names]
    yes = "; ".join(f"{said}: {', '.join(names)}" for said, names in used.items()) or "none of them"
    return f"Used: {yes}." + (f" Not used: {', '.join(absent)}." if absent else "")


def _shares(groups: Groups) -> str:
    parts = []
    for name, levels in groups.items():
        if not levels:
            continue
        shown = [group.people for group in levels.values() if group.people is not None]
        said = [
            f"{level}: {group.people / max(sum(shown), 1):.0%}" if group.people else f"{level} not shown"
            for level, group in levels.items()
        ]
        parts.append(f"{name.replace('_', ' ')} ({', '.join(said)})")
    return f"Of the people tested, by {', by '.join(parts)}." if parts else "The study names no groups to describe."


def _dates(result: Result) -> str:
    data = result.data
    if data is None or not data.first_index:
        return "The table has no dates."
    return f"Index dates {data.first_index} to {data.last_index}. {_followup(result)}".strip()


def _followup(result: Result) -> str:
    days = None if result.data is None else result.data.median_followup_days
    if days is None:
        return ""
    own = result.time_unit not in (None, "days")
    said = horizon_words(days, result.time_unit) if own else f"{days:,.0f} days"
    return f"Median follow-up {said}, cut after the last horizon."


def _choice(data: Data | None) -> str:
    if data is None or not data.blocks:
        return "Named in the study."
    blocks = [f"{block.name} ({len(block.features)})" for block in data.blocks]
    codes = f", and {data.code_features:,} counts of codes" if data.code_features else ""
    return f"Named in the study, before any fit: {', '.join(blocks)}{codes}."


def _missing(data: Data | None) -> str:
    worst = sorted(({} if data is None else data.missing).items(), key=lambda item: -item[1])[:5]
    said = ", ".join(f"{name} {share:.0%}" for name, share in worst)
    return "Missing is a state of its own: an indicator in linear models, a branch in trees." + (
        f" Most often missing: {said}." if said else " Nothing is missing."
    )


def _tuned(result: Result) -> str:
    said = ", ".join(f"{name} {search.trials} trials" for name, search in (result.tuning or {}).items())
    return f" Tuned out of fold: {said}." if said else ""


def chance_words(gap: Gap) -> str:
    """How wide the gap between groups would be by chance; empty where nobody shuffled the groups."""
    expected, high = gap.expected_by_chance, gap.chance_high
    if expected is None or high is None:
        return ""
    verdict = "wider than chance would make it" if gap.auc > high else "no wider than chance may make it"
    return f"{verdict}: {expected:.3f} on average, in 19 of 20 below {high:.3f}, if the groups meant nothing"


def _gap_words(gaps: Mapping[str, Gap]) -> str:
    if not gaps:
        return "No two groups are large enough to be compared."
    said = []
    for name, gap in gaps.items():
        inside = "; ".join(filter(None, (f"{gap.lowest} lowest, {gap.highest} highest", chance_words(gap))))
        said.append(f"{name.replace('_', ' ')} {gap.auc:.3f} ({inside})")
    return f"Largest differences in AUC: {'; '.join(said)}."


def _list_name(entry: str) -> str:
    name = entry.rsplit("/", 1)[-1].removesuffix(".csv").replace("_", " ")
    return f"“{name}”" if entry.endswith(".csv") else name


def _word(name: object) -> str:
    """A name as it is read: short ones are abbreviations."""
    said = str(name).replace("_", " ")
    return said.upper() if len(said) <= 3 else said
