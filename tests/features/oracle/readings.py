"""Every feature of the clinical catalogue from plain facts, each by the plainest loop or groupby that says it.

A feature uses what was known strictly before the as-of moment; a window holds its start and not its end. NaN is *not
known*: nothing was measured, or (conditions, drugs, visits, counts of results) no vocabulary in which the feature could
be told was in use yet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tests.features.oracle import declared
from tests.features.oracle.declared import ANALYTES, LONG_DAYS, Pattern, category, listed
from tests.features.oracle.facts import DAY, Source

YEAR_DAYS = 365.25
SPELT = ("ICD10CM", "ICD10", "ICD10GM", "ICD9CM", "ATC")  # classifications whose codes spell their own hierarchy


@dataclass
class Reading:
    """The facts of a source at one moment, and the people whom they are asked of."""

    source: Source
    as_of: pd.Timestamp

    def __post_init__(self) -> None:
        facts = self.source.facts
        self.facts = facts[facts.known < self.as_of]
        self.people = self.source.people.index
        self.distinct = {code for codings in facts.codings.unique() for code in codings}
        self.hierarchies = {code.partition("//")[0] for above in self.source.ancestors.values() for code in above}

    def codes(self, patterns: Iterable[Pattern]) -> set[str]:
        """Those codes of the source that the patterns mean."""
        found = set()
        exact = {f"{vocabulary}//{code}" for vocabulary, code, match in patterns if match == "exact"}
        prefixes = tuple(
            f"{vocabulary}//{code}"
            for vocabulary, code, match in patterns
            if match == "prefix" or (match == "below" and vocabulary in SPELT)
        )
        below = {f"{vocabulary}//{code}" for vocabulary, code, match in patterns if match == "below"}
        for code in self.distinct:
            above = self.source.ancestors.get(code, set())
            if code in exact or code.startswith(prefixes) or ({code} | above) & below:
                found.add(code)
        return found

    def of(self, codes: set[str], facts: pd.DataFrame | None = None) -> pd.DataFrame:
        """Facts of which any coding is one of these."""
        facts = self.facts if facts is None else facts
        wanted = {codings for codings in facts.codings.unique() if codes & set(codings)}
        return facts[facts.codings.isin(wanted)]

    def within(self, facts: pd.DataFrame, days: int) -> pd.DataFrame:
        """Those of the window before the moment."""
        return facts[facts.time >= self.as_of - days * DAY]

    def could_tell(self, kind: str, patterns: Iterable[Pattern]) -> bool:
        """Whether a vocabulary in which these patterns can be read was in use for this kind of fact, by anybody."""
        readable = {
            vocabulary
            for vocabulary, _, match in patterns
            if match != "below" or vocabulary in SPELT or vocabulary in self.hierarchies
        }
        used = {code.partition("//")[0] for codings in self._kind(kind).unique() for code in codings}
        # A name says nothing of the drugs that are bare numbers, so it leaves the absence of others open.
        return bool(readable & used - ({"RxNormByName"} if "OMOP" in used else set()))

    def _kind(self, kind: str) -> pd.Series:
        return self.facts[self.facts.kind.isin([kind, "visit end"] if kind == "visit" else [kind])].codings

    def series(self, values: pd.Series, missing: float = math.nan) -> pd.Series:
        """By person, everybody in the source's order."""
        return values.reindex(self.people).astype(float).fillna(missing)

    def or_unknown(self, values: pd.Series, *, told: bool) -> pd.Series:
        """0 means no only where the record could have told; a person's own fact says 1 whatever the record can tell."""
        return values if told else values.where(values > 0)


def features(source: Source, as_of: pd.Timestamp) -> pd.DataFrame:
    """One row a person and one column a feature."""
    at = Reading(source, as_of)
    columns: dict[str, pd.Series] = {}
    for family in (people, measurements, conditions, drugs, visits, comorbidity, history, genomic):
        columns |= family(at)
    columns |= derived(columns)
    return pd.DataFrame(columns)


def people(at: Reading) -> dict[str, pd.Series]:
    who = at.source.people
    born = who.birth.where(who.birth < at.as_of)
    return {
        "age_years": days_before(at, born) / YEAR_DAYS,
        "sex_female": who.female.astype(float),
        "race": who.race.astype(float),
        "ethnicity": who.ethnicity.astype(float),
    }


def days_before(at: Reading, moments: pd.Series) -> pd.Series:
    """Days, with their fraction, from these moments to the one asked about."""
    days: pd.Series = (at.as_of - moments).dt.total_seconds() / 86_400
    return days


def results(at: Reading, analyte: str) -> pd.DataFrame:
    """Plausible results of an analyte in its own unit."""
    codes, units, (low, high), elsewhere = (ANALYTES | declared.PARTS)[analyte]
    facts = at.of({f"LOINC//{code}" for code in codes.split()})
    facts = facts[facts.value.notna()]
    kept = []
    for unit, part in facts.groupby(facts.unit.fillna(""), sort=False):
        if unit:
            kept.append(part.assign(value=part.value.astype(float) * units[str(unit)]))
        elif elsewhere:
            kept.append(part[~part.value.between(*elsewhere)])
        else:
            kept.append(part)
    found = pd.concat(kept) if kept else facts
    return found[found.value.astype(float).between(low, high)].astype({"value": "float32"}).astype({"value": float})


def measurements(at: Reading) -> dict[str, pd.Series]:
    columns = {}
    for analyte, (codes, *_) in ANALYTES.items():
        ever = results(at, analyte)
        recent = at.within(ever, LONG_DAYS)
        columns[f"{analyte}_latest_{LONG_DAYS}d"] = at.series(latest(recent))
        columns[f"{analyte}_days_since"] = at.series(days_before(at, ever.groupby("person").time.max()))
        if analyte not in declared.SERIES:
            continue
        values = recent.groupby("person").value
        for name, found in (("mean", values.mean()), ("min", values.min()), ("max", values.max())):
            columns[f"{analyte}_{name}_{LONG_DAYS}d"] = at.series(found)
        slopes = {person: slope(each) for person, each in recent.groupby("person")}
        columns[f"{analyte}_slope_{LONG_DAYS}d"] = at.series(pd.Series(slopes, dtype=float))
        told = at.could_tell("measurement", [("LOINC", code, "exact") for code in codes.split()])
        columns[f"{analyte}_count_{LONG_DAYS}d"] = at.or_unknown(at.series(values.count(), 0), told=told)
    return columns | computed(at, columns)


def computed(at: Reading, columns: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """BMI and eGFR of people who have none of their own, from weight and height and from creatinine."""
    who = at.source.people
    born = days_before(at, who.birth.where(who.birth < at.as_of))
    weights, heights = results(at, "weight_kg"), results(at, "height_cm")
    weight, height = at.series(latest(at.within(weights, LONG_DAYS))), at.series(latest(heights))
    weighed = at.series(days_before(at, weights.groupby("person").time.max()))
    measured = at.series(days_before(at, heights.groupby("person").time.max()))
    at_weight, at_height = (born - weighed) / YEAR_DAYS, (born - measured) / YEAR_DAYS
    fits = (at_weight >= 2) & (((at_weight >= 18) & (at_height >= 18)) | ((weighed - measured).abs() <= 30))
    bmi = (weight / (height / 100) ** 2).where(fits)

    creatinine, drawn = columns[f"creatinine_mg_dl_latest_{LONG_DAYS}d"], columns["creatinine_mg_dl_days_since"]
    age = (born - drawn) / YEAR_DAYS
    rates = [ckd_epi_2021(*each) for each in zip(creatinine, age, who.female, strict=True)]
    egfr = pd.Series(rates, at.people)
    found = {}
    for analyte, value, days in (("bmi_kg_m2", bmi, weighed), ("egfr_ml_min_173m2", egfr, drawn)):
        low, high = ANALYTES[analyte][2]
        plausible = value.where(value.between(low, high))
        own, since = columns[f"{analyte}_latest_{LONG_DAYS}d"], columns[f"{analyte}_days_since"]
        found[f"{analyte}_latest_{LONG_DAYS}d"] = own.fillna(plausible)
        found[f"{analyte}_days_since"] = since.fillna(days.where(plausible.notna()))
    return found


def ckd_epi_2021(creatinine_mg_dl: float, age_years: float, female: float) -> float:
    """Inker LA et al., N Engl J Med 2021;385:1737-49, table 2; adults."""
    if not age_years >= 18 or math.isnan(creatinine_mg_dl) or math.isnan(female):
        return math.nan
    kappa, alpha = (0.7, -0.241) if female else (0.9, -0.302)
    ratio = creatinine_mg_dl / kappa
    rate = 142 * min(ratio, 1) ** alpha * max(ratio, 1) ** -1.200 * 0.9938**age_years
    return float(rate * (1.012 if female else 1))


def latest(facts: pd.DataFrame) -> pd.Series:
    """The value at the latest moment; of several then, the largest."""
    return facts.sort_values(["time", "value"]).groupby("person").value.last()


def slope(facts: pd.DataFrame) -> float:
    """Per year, least squares over whole days; on two days at least."""
    day = (facts.time.dt.normalize() - pd.Timestamp("2000-01-01")).dt.days.to_numpy(float)
    if len(set(day)) < 2:
        return math.nan
    value = facts.value.to_numpy(float)
    x, y = day - day.mean(), value - value.mean()
    return float((x * y).sum() / (x * x).sum() * YEAR_DAYS)


def ever(at: Reading, patterns: set[Pattern]) -> pd.Series:
    """1 where it was ever recorded, 0 where it was not and the record could have told, NaN elsewhere."""
    found = at.of(at.codes(patterns)).groupby("person").size() > 0
    return at.or_unknown(at.series(found, 0), told=at.could_tell("condition", patterns))


def conditions(at: Reading) -> dict[str, pd.Series]:
    return {f"{name}_ever": ever(at, listed(name)) for name in declared.CONDITIONS}


def comorbidity(at: Reading) -> dict[str, pd.Series]:
    return {
        f"{index}_{name}": ever(at, category(index, name))
        for index, names in (("charlson", declared.CHARLSON), ("elixhauser", declared.ELIXHAUSER))
        for name in names
    }


def drugs(at: Reading) -> dict[str, pd.Series]:
    columns = {}
    for name in declared.DRUGS:
        patterns = listed(name)
        told = at.could_tell("drug", patterns)
        facts = at.of(at.codes(patterns))
        supply = facts.value.astype(float).where(facts.value.astype(float) <= declared.LONGEST_SUPPLY_DAYS)
        facts = facts.assign(end=facts.time.dt.normalize() + supply.fillna(declared.SUPPLY_DAYS) * DAY)
        reaches = facts[facts.end + declared.GRACE_DAYS * DAY >= at.as_of.normalize()]
        reaches = at.within(reaches, int(declared.LONGEST_SUPPLY_DAYS))
        columns[f"{name}_current"] = at.or_unknown(at.series(reaches.groupby("person").size() > 0, 0), told=told)
        recent = facts[facts.end >= at.as_of.normalize() - 365 * DAY]
        shares = {person: covered(each, at.as_of) for person, each in recent.groupby("person")}
        columns[f"{name}_covered_365d"] = at.or_unknown(at.series(pd.Series(shares, dtype=float), 0), told=told)
    return columns


def covered(facts: pd.DataFrame, as_of: pd.Timestamp) -> float:
    """The share of the 365 days before the moment's day that supply covers, also supply from before them; at most 1.

    A supply that starts before the last one ends is taken after it, so both count.
    """
    today = as_of.normalize()
    days = 0.0
    for start, end in zip(facts.time.dt.normalize(), facts.end, strict=True):
        days += max((min(end, today) - max(start, today - 365 * DAY)) / DAY, 0.0)
    return min(days / 365, 1.0)


def visits(at: Reading) -> dict[str, pd.Series]:
    columns = {}
    told = at.could_tell("visit", [("Visit", "IP", "exact")])
    for name, (kinds, windows) in declared.COUNTED_VISITS.items():
        facts = at.of({f"Visit//{kind}" for kind in kinds})
        for days in windows:
            number = at.within(facts, days).groupby("person").size()
            columns[f"{name}_{days}d"] = at.or_unknown(at.series(number, 0), told=told)
    ends = at.within(at.of({"VISIT_END//IP", "VISIT_END//ERIP"}), 365)
    told = at.could_tell("visit", [("VISIT_END", "IP", "exact")])
    columns["bed_days_365d"] = at.or_unknown(at.series(ends.groupby("person").value.sum().astype(float), 0), told=told)
    admitted = at.of({"Visit//IP", "Visit//ERIP"}).groupby("person").time.max()
    columns["days_since_admission"] = at.series(days_before(at, admitted))
    return columns


def history(at: Reading) -> dict[str, pd.Series]:
    """Smoking by its code, or by code or words of an observed status; what relatives had; deprivation."""
    columns = {"deprivation_quintile": at.series(pd.Series(dtype=float))}
    for name, numbers in declared.SMOKING.items():
        said = []
        for status, number in numbers.items():
            codes = {f"{vocabulary}//{code}" for vocabulary, code, _ in listed(f"smoking_{status}")}
            said.append(at.of(codes).assign(value=number))
            asked = at.of({"LOINC//72166-2"})
            answers = {each for each in asked.answers.unique() if codes & set(each)}
            words = declared.SMOKING_WORDS.get(status, ())
            said.append(asked[asked.answers.isin(answers) | asked.words.isin(words)].assign(value=number))
        columns[name] = at.series(latest(pd.concat(said)))
    for name, denied in declared.FAMILY.items():
        yes = [at.of(at.codes(listed(name))).assign(value=1)]
        no = [at.of(at.codes(listed(denied))).assign(value=0)] if denied else []
        columns[name] = at.series(latest(pd.concat([*yes, *no])))
    return columns


def genomic(at: Reading) -> dict[str, pd.Series]:
    """No set here has a laboratory's report: nobody is tested, and of nobody is it known."""
    nobody = at.series(pd.Series(dtype=float))
    return {f"carrier_{each}": nobody for each in declared.MONOGENIC} | {
        f"tested_{each}": nobody.fillna(0.0) for each in declared.MONOGENIC
    }


def derived(columns: dict[str, pd.Series]) -> dict[str, pd.Series]:
    """Charlson's index."""
    total = sum(
        weight
        * columns[f"charlson_{name}"]
        * (1 - columns[f"charlson_{declared.CHARLSON_INSTEAD[name]}"] if name in declared.CHARLSON_INSTEAD else 1)
        for name, weight in declared.CHARLSON_WEIGHTS.items()
    )
    assert isinstance(total, pd.Series)
    return {"charlson_index": total}


def numbers(column: pd.Series) -> pd.Series:
    """A column of a feature frame as numbers: words by their place in the list that is declared here."""
    words = declared.WORDS.get(str(column.name))
    if words is not None:
        column = column.astype(object).map(words.index, na_action="ignore")
    return column.astype(float)


def unlike(ours: pd.Series, theirs: pd.Series) -> pd.Series:
    """Whom two columns disagree about: one knows and the other does not, or beyond the digits of what is kept.

    Values are float32 and whole millionths of their unit; a slope over a few days magnifies that.
    """
    rtol = 1e-5 if "_slope_" in str(theirs.name) else 2e-6
    alike = np.isclose(ours.to_numpy(float), theirs.to_numpy(float), rtol=rtol, atol=1e-6, equal_nan=True)
    return pd.Series(~alike, ours.index)
