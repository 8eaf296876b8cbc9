"""How often each feature is not known, beside how common it is, for everybody and by sex, age band and ethnicity."""

from __future__ import annotations

import math

import pandas as pd

from tests.features.oracle import declared

AGES = (0, 18, 40, 65, 200)
FEWEST_SHOWN = 11  # of real patients a count of 1 to 10 is shown to nobody


def groups(people: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """Of everybody who lives at the moment the group by sex, age band and ethnicity; `not known` is a group as well."""
    alive = people[(people.birth < as_of) & ~(people.death < as_of)]
    years = (as_of - alive.birth).dt.days / 365.25
    bands = pd.cut(years, list(AGES), right=False, labels=["under 18", "18 to 39", "40 to 64", "65 and over"])
    words = dict(enumerate(declared.WORDS["ethnicity"]))
    found = pd.DataFrame(
        {
            "everybody": "all",
            "sex": alive.female.map({1.0: "female", 0.0: "male"}),
            "age": bands.astype(object),
            "ethnicity": alive.ethnicity.map(words),
        }
    )
    return found.fillna("not known")


def shares(frame: pd.DataFrame, by: pd.DataFrame) -> pd.DataFrame:
    """A row for each feature, grouping and group: people, how many are not known, the mean of the others (of a flag:
    its prevalence), how many of them are above 0.
    """
    rows = []
    for grouping in by.columns:
        for group, members in by.groupby(grouping):
            part = frame.loc[members.index]
            table = pd.DataFrame({"people": len(part), "unknown": part.isna().sum(), "mean": part.mean()})
            table = table.assign(positive=(part > 0).sum(), grouping=grouping, group=group)
            rows.append(table.rename_axis("feature").reset_index())
    return pd.concat(rows, ignore_index=True)


def is_flag(feature: str) -> bool:
    """Whether a feature is 0 or 1, so that its mean is a prevalence."""
    return (
        feature.endswith(("_ever", "_current"))
        or feature in {"sex_female", "smoking_ever"}
        or (feature.startswith(("charlson_", "elixhauser_")) and feature != "charlson_index")
    )


def cell(feature: str, row: pd.Series, *, real: bool) -> str:
    """`12 % (3 %)`: how common or how high it is among those of whom it is known, and the share that is not known."""
    people, unknown = int(row.people), int(row.unknown)
    if real and (0 < unknown < FEWEST_SHOWN or 0 < people - unknown < FEWEST_SHOWN):
        return "few"
    share = f"({unknown / people:.0%})".replace("%", " %")
    if unknown == people:
        return share
    positive, known = int(row.positive), people - unknown
    if real and (0 < positive < FEWEST_SHOWN or 0 < known - positive < FEWEST_SHOWN):
        return f"few {share}"
    if not is_flag(feature):
        return f"{row['mean']:.3g} {share}"
    return f"{positive / known:.1%} {share}".replace("%", " %").replace("  ", " ")


def markdown(tables: dict[str, pd.DataFrame], features: list[str], real: set[str]) -> str:
    """A table for people: a row for each feature, a column for each set."""
    lines = [f"| feature | {' | '.join(tables)} |", f"|---|{'---|' * len(tables)}"]
    everybody = {name: table[table.grouping == "everybody"].set_index("feature") for name, table in tables.items()}
    counted = [f"{int(table.people.iloc[0])}" for table in everybody.values()]
    lines.append(f"| people | {' | '.join(counted)} |")
    for feature in features:
        cells = [cell(feature, table.loc[feature], real=name in real) for name, table in everybody.items()]
        lines.append(f"| `{feature}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def unknown_share(table: pd.DataFrame, feature: str) -> float:
    """Of everybody."""
    row = table[(table.feature == feature) & (table.grouping == "everybody")]
    return math.nan if row.empty else float(row.unknown.iloc[0] / row.people.iloc[0])
