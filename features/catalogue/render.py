"""The catalogue as a page: docs/features.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from features.catalogue import measurements
from features.catalogue.catalogue import CODE_PREVALENCE, CODE_WINDOWS_DAYS, catalogue, dense_families
from features.catalogue.genomic import polygenic
from features.catalogue.spec import FeatureSpec
from features.equations import EQUATIONS

if TYPE_CHECKING:
    import pandas as pd

_HEAD = """# Features

Written by `presage catalogue --out docs/features.md`; a test holds it to the code.

A feature of an index row uses what was available strictly before the row's moment. A window holds its start and not
its end. Values are brought to the feature's unit; those that cannot be, and those outside the plausible range, are set
aside and counted (`features.audit`). A code pattern is a code, a prefix (`*`), or a concept with everything
below it in the record's hierarchy (`<<`).

What is counted from the beginning (no window here: `*_days_since`, whole-history counts, years since first) drifts
with the age of the record: in its tenth year everybody has had more time to be measured than in its first. Where
landmarks lie years apart, or the record is older when it is served than when it was learned from, prefer features with
a window that the whole record covers.
"""
_PARTS = """Where a record has no value of its own in the feature's window, but the parts of one, the value is computed
and marked as such (`FeatureFrame.derived`; a reason says "computed"). A record's own value always wins. A computed
value is known from when the later of its parts was; outside the feature's plausible range it is none. Means, extremes,
slopes and counts are of the record's own values alone.

- eGFR: from the latest creatinine by CKD-EPI 2021 (Inker LA et al., N Engl J Med 2021;385:1737-49), with the age on the
  day of the creatinine (days of life through 365.25, not rounded) and the recorded sex, for people who were 18 or older
  then.
- BMI: the latest weight within the window through the square of the latest height of any time. A height measured at 18
  or later holds for every weight at 18 or later; any other height holds for a weight at most 30 days from it. None for
  a weight under two years of age, or without a date of birth.
- The days since are those since the creatinine, or the weight, that the value is computed from.

These are the parts that are no features of a family."""
_PATTERNS_SHOWN = 6
_COMPARISON = {-1: "falls", 0: "", 1: "rises"}


def as_frame(families: Sequence[str] = (), *, polygenic: Sequence[str] = ()) -> pd.DataFrame:
    """A row for each feature, by its name: what it measures, its unit, what missing means, its source."""
    import pandas as pd

    specs = catalogue(families or dense_families(), polygenic=polygenic).specs
    return pd.DataFrame(
        {
            "family": [spec.family for spec in specs],
            "label": [spec.label for spec in specs],
            "unit": [spec.unit for spec in specs],
            "missing_means": [spec.missing for spec in specs],
            "window_days": pd.array([spec.window_days for spec in specs], dtype="Int64"),
            "aggregate": [spec.aggregate for spec in specs],
            "reads": [", ".join(spec.codes or spec.inputs) for spec in specs],
            "otherwise": [spec.otherwise for spec in specs],
            "risk_with_it": [_COMPARISON[spec.monotone] for spec in specs],
            "care_can_change_it": [spec.modifiable for spec in specs],
            "source": [spec.reference for spec in specs],
        },
        index=pd.Index([spec.name for spec in specs], name="feature"),
    )


def markdown() -> str:
    """Every family and every feature of the catalogue, as a Markdown page."""
    parts = [_HEAD, *(_section(family, catalogue([family]).specs) for family in dense_families())]
    parts.append(_section("parts", measurements.parts(), lead=_PARTS))
    parts.append(_section("polygenic", polygenic("ID"), lead="For each score of a study, here called ID."))
    parts.append(_codes())
    parts.append(_equations())
    return "\n".join(parts)


def _section(family: str, specs: tuple[FeatureSpec, ...], *, lead: str = "") -> str:
    rows = "\n".join(_row(spec) for spec in specs)
    return (
        f"## {family}\n\n{lead + chr(10) * 2 if lead else ''}"
        "| name | what | unit | missing means | window, days | plausible | reads | risk with it | source |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
        f"{rows}\n"
    )


def _row(spec: FeatureSpec) -> str:
    window = "" if spec.window_days is None else str(spec.window_days)
    plausible = "" if spec.valid is None else f"{spec.valid[0]:g} to {spec.valid[1]:g} {spec.value_unit}"
    cells = (
        f"`{spec.name}`",
        spec.label,
        f"`{spec.unit}`",
        spec.missing,
        window,
        plausible,
        _reads(spec),
        _COMPARISON[spec.monotone],
        spec.reference,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _reads(spec: FeatureSpec) -> str:
    patterns = spec.codes if spec.aggregate != "derived" else spec.inputs or spec.codes
    shown = ", ".join(f"`{pattern}`" for pattern in patterns[:_PATTERNS_SHOWN])
    more = len(patterns) - _PATTERNS_SHOWN
    read = f"{spec.aggregate}: {shown}" + (f" and {more} more" if more > 0 else "")
    return read + (f"; else {spec.otherwise}" if spec.otherwise else "")


def _codes() -> str:
    windows = ", ".join("ever" if days is None else f"{days} days" for days in CODE_WINDOWS_DAYS)
    return (
        "## codes\n\nThe code-based family: how often each code stands in the record, in these windows: "
        f"{windows}. A code is in\nthe vocabulary when at least {CODE_PREVALENCE:.0%} of the training rows have ever "
        "had it (`code_prevalence`); it is learned inside\nthe training folds and frozen into the bundle's catalogue. "
        "Columns are named `CODE@365d`, sparse, never dense. 0 is not recorded.\n"
    )


def _equations() -> str:
    rows = "\n".join(
        f"| `{each.name}` | {each.label} | {each.horizon_days:g} | "
        + "; ".join(_range(needed.words, needed.valid, below=needed.below) for needed in each.inputs_valid)
        + f" | {each.reference} |"
        for each in EQUATIONS.values()
    )
    return (
        "## Published equations\n\nOutside these ranges an equation refuses and says why.\n\n"
        f"| name | what | horizon, days | inputs and where it is valid | source |\n|---|---|---|---|---|\n{rows}\n"
    )


def _range(words: str, valid: tuple[float, float], *, below: bool) -> str:
    low, high = valid
    if low == high or (low, high) == (0, 1):
        return words
    return f"{words} {low:g} to {'below ' if below else ''}{high:g}"
