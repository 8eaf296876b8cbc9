"""Features, not counts, on every real set: each feature of the clinical catalogue against a naive reading of the raw
files written apart, person by person.

Nothing is left out of the catalogue's dense families. The code-based family, whose columns are learned from the record,
and polygenic scores, which need genotypes, are shown elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.features.oracle.conftest import Read
from tests.features.oracle.declared import ANALYTES, CONDITIONS, DRUGS
from tests.features.oracle.facts import Source, moment, resources
from tests.features.oracle.readings import unlike
from tests.features.oracle.shares import groups, markdown, shares

pytestmark = pytest.mark.realdata

# Of each set two moments without a clock time, and one with, on a day of which much was known only later: at its end,
# or when a visit ended.
MOMENTS = {
    "gibleed": ("2002-06-17T14:30", "2008-01-01", "2019-01-01"),
    "mimic": ("2112-12-04T12:00", "2150-01-01", "2210-01-01"),
    "synthea27nj": ("2012-01-01", "2013-07-16T14:30", "2022-09-01"),
    "synthea": ("1992-05-02T07:45:08", "2016-01-01", "2021-05-01"),
    "bulk": ("2010-01-01", "2003-07-18T11:47:59", "2024-08-01"),
}
ReadTwice = Callable[[str, str], Read]


@pytest.mark.parametrize(("name", "when"), [(name, each) for name, moments in MOMENTS.items() for each in moments])
def test_every_feature_of_everybody_is_what_a_naive_reading_finds(name: str, when: str, read_twice: ReadTwice) -> None:
    ours, theirs, people = read_twice(name, when)
    assert set(ours.columns) == set(theirs.columns)
    assert len(ours) == len(people)
    differ = {column: int(unlike(ours[column], theirs[column]).sum()) for column in theirs}
    assert {column: n for column, n in differ.items() if n} == {}


# What a set's own files hold nothing of, in a vocabulary that the lists are written in; nothing else may be unknown of
# everybody. GiBleed's results have no numbers. MIMIC's concept table holds local concepts only and no measurement is in
# it. Two of Elixhauser's categories are read by ICD alone. Nobody has a laboratory's report, or an address.
NEVER = (
    "deprivation_quintile", "family_history_chd", "family_history_diabetes", "family_history_breast_cancer",
    "carrier_familial_hypercholesterolaemia", "carrier_hereditary_breast_ovarian_cancer", "carrier_lynch_syndrome",
)  # fmt: skip
NUMBERS = ("_latest_1825d", "_mean_1825d", "_min_1825d", "_max_1825d", "_slope_1825d", "_risk", *(
    f"{analyte}_days_since" for analyte in ANALYTES
))  # fmt: skip
ICD_ALONE = ("elixhauser_fed", "elixhauser_blane")
SMOKING = ("smoking_current", "smoking_ever")
NO_EGFR = tuple(f"egfr_ml_min_173m2_{name}_1825d" for name in ("mean", "min", "max", "slope"))  # computed alone
NO_GLUCOSE = ("fasting_glucose_mg_dl_latest_1825d", "fasting_glucose_mg_dl_days_since")
NO_CODES = ("_count_1825d", "_ever", "_current", "charlson_", "elixhauser_", "cha2ds2_vasc_points", *(
    f"{drug}_covered_365d" for drug in DRUGS
))  # fmt: skip
UNKNOWN = {
    "gibleed": (*NEVER, *NUMBERS, *SMOKING),
    "mimic": (*NEVER, *NUMBERS, *NO_CODES),
    "synthea27nj": (*NEVER, *ICD_ALONE, *NO_EGFR, *NO_GLUCOSE, "pce_ascvd_10y_risk", "cha2ds2_vasc_points"),
    "synthea": (*NEVER, *ICD_ALONE, *NO_GLUCOSE),
    "bulk": (*NEVER, *NUMBERS, *ICD_ALONE, *SMOKING, "_count_1825d", "cha2ds2_vasc_points"),
}
# Most of MIMIC's drugs are bare numbers: who has one of these by its name has it, and of nobody else is it known.
BY_NAME = {"mimic": ("opioid_current", "opioid_covered_365d", "proton_pump_inhibitor_covered_365d")}
LAST = {name: moments[-1] for name, moments in MOMENTS.items()} | {"mimic": "2150-01-01"}  # its years are shifted


@pytest.fixture(scope="module")
def tables(read_twice: ReadTwice) -> dict[str, pd.DataFrame]:
    """Of every set at its last moment: shares not known and prevalences, of everybody and by group."""
    found = {}
    for name, when in LAST.items():
        ours, _, people = read_twice(name, when)
        found[name] = shares(ours, groups(people, pd.Timestamp(when)))
    return found


@pytest.mark.parametrize("name", MOMENTS)
def test_what_a_source_has_the_words_for_is_known_and_what_it_has_not_is_not_guessed(
    name: str, tables: dict[str, pd.DataFrame]
) -> None:
    table = tables[name]
    everybody = table[table.grouping == "everybody"].set_index("feature")
    refused = set(everybody.index[everybody.unknown == everybody.people])
    expected = {one for one in everybody.index if one.endswith(UNKNOWN[name]) or one.startswith(UNKNOWN[name])}
    assert refused == expected - set(BY_NAME.get(name, ()))


@pytest.mark.parametrize("name", MOMENTS)
def test_nobody_s_diagnoses_and_drugs_are_unknown_for_their_sex_age_or_ethnicity(
    name: str, tables: dict[str, pd.DataFrame]
) -> None:
    table = tables[name]
    flags = table[table.feature.str.endswith(("_ever", "_current", "_365d")) & ~table.feature.isin(SMOKING)]
    flags = flags[~flags.feature.isin(BY_NAME.get(name, ()))]
    share = (flags.unknown / flags.people).groupby(flags.feature)
    assert (share.min() == share.max()).all()  # all or nothing: it is the record that can tell, not a person
    assert set(table.grouping) == {"everybody", "sex", "age", "ethnicity"}
    by_feature = table.groupby(["grouping", "feature"])[["people", "unknown", "positive"]].sum()
    for grouping in ("sex", "age", "ethnicity"):
        assert by_feature.loc[grouping].equals(by_feature.loc["everybody"])


WORDS = {  # words of a diagnosis that mean it, and how many people have one (tests/features/test_shipped_prevalence.py)
    "diabetes_ever": (r"^diabetes$|^diabetic |due to type (?:2|ii) diabetes|with type ii diabetes", 37),
    "heart_failure_ever": (r"heart failure", 49),
    "coronary_disease_ever": (r"coronary heart disease|myocardial infarction", 41),
    "hypertension_ever": (r"^hypertension$", 161),
}


@pytest.mark.parametrize("feature", WORDS)
def test_a_condition_is_ever_had_by_whom_the_source_s_own_words_say_it_of_and_by_nobody_else(
    feature: str, read_twice: ReadTwice, real_data: Path
) -> None:
    ours, _, _ = read_twice("synthea", LAST["synthea"])
    words, number = WORDS[feature]
    said = {
        str(one["subject"]["reference"]).removeprefix("urn:uuid:")
        for one in resources(real_data / "fhir_r4_synthea" / "ndjson", "Condition")
        if re.search(words, one["code"]["text"].lower().replace(" (disorder)", ""))
    }
    assert len(said) == number
    assert set(ours.index[ours[feature] == 1]) == said
    assert ours[feature].notna().all()


def test_whoever_is_prescribed_a_statin_takes_one_on_the_day_after_and_nobody_else_does(
    source: Callable[[str], Source], found: Callable[[str, pd.Index, pd.Series], pd.DataFrame], real_data: Path
) -> None:
    people = source("synthea").people
    first: dict[str, pd.Timestamp] = {}
    for one in resources(real_data / "fhir_r4_synthea" / "ndjson", "MedicationRequest"):
        if re.search(r"statin\b", one["medicationCodeableConcept"]["text"].lower()):
            person, when = one["subject"]["reference"].removeprefix("urn:uuid:"), moment(one["authoredOn"])
            first[person] = min(when, first.get(person, when))
    assert len(first) == 106
    moments = pd.Series(first).reindex(people.index).add(pd.Timedelta(days=1)).fillna(pd.Timestamp(LAST["synthea"]))
    current = found("synthea", people.index, moments).statin_current
    assert set(current.index[current == 1]) == set(first)
    assert current.notna().all()


SUMMARY = (
    "age_years", "sex_female", *(f"{name}_ever" for name in CONDITIONS), "charlson_index",
    *(f"{name}_current" for name in DRUGS), "smoking_current", *(f"{name}_latest_1825d" for name in ANALYTES),
    "admissions_1095d", "emergency_visits_365d", "outpatient_visits_365d", "bed_days_365d",
    "prevent_cvd_10y_risk", "pce_ascvd_10y_risk", "kfre_5y_risk", "cha2ds2_vasc_points",
)  # fmt: skip
SOURCES = Path(__file__).parents[3] / "docs" / "sources.md"
TITLE = "## What is found in public sets"


def test_the_prevalences_that_are_printed_are_those_that_are_found(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    printed = SOURCES.read_text(encoding="utf-8")
    before, _, section = printed.partition(TITLE)
    words = section.partition("| feature |")[0]
    columns = {f"{name}, {LAST[name]}": table for name, table in tables.items()}
    real = {f"mimic, {LAST['mimic']}"}
    rest = section.partition("\n\n## ")
    now = f"{before}{TITLE}{words}{markdown(columns, list(SUMMARY), real)}\n"
    now += f"\n## {rest[2]}" if rest[1] else ""
    (tmp_path / "sources.md").write_text(now, encoding="utf-8")
    assert now == printed, f"docs/sources.md is old: take {tmp_path / 'sources.md'}"
