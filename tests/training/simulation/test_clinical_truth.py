"""The simulation against theory: matrix exponentials, closed follow-up, Cox regression, the published marginal risk."""

import itertools

import numpy as np
import pandas as pd
import pytest
from lifelines import AalenJohansenFitter, CoxPHFitter
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.stats import chi2

from training.simulation import effects as published
from training.simulation.hazards import JANUARY_FIRSTS, STATIN_AFTER_CHD, Hazards, hazards_of
from training.simulation.lives import live
from training.simulation.population import People
from training.simulation.truth import (
    ALWAYS,
    AS_IS,
    HORIZON_DAYS,
    NEVER,
    State,
    cumulative_incidence,
    state_at,
    true_risks,
)
from training.simulation.world import World, make_world

Floats = NDArray[np.float64]
PEOPLE = 12_000


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(people=PEOPLE, seed=11)


@pytest.fixture(scope="module")
def truth(world: World) -> pd.DataFrame:
    table: pd.DataFrame = true_risks(world.people, world.hazards, lives=world.lives).to_pandas()
    return table


def at(truth: pd.DataFrame, outcome: str, year: int) -> pd.DataFrame:
    landmark = (np.datetime64("2000-01-01") + JANUARY_FIRSTS[year]).astype(object)
    rows: pd.DataFrame = truth[(truth["outcome"] == outcome) & (truth["landmark"] == landmark)]
    return rows.set_index("person_id")


def first_admission(world: World, day: int) -> Floats:
    first = np.full(len(world.people), np.inf)
    later = world.lives.admission_day >= day
    np.minimum.at(first, world.lives.admission_person[later], world.lives.admission_day[later])
    infarction = np.where(world.lives.infarction & (world.lives.chd_day >= day), world.lives.chd_day, np.inf)
    return np.asarray(np.minimum(first, infarction))


def event_day(world: World, outcome: str, day: int) -> Floats:
    days = {
        "chd": world.lives.chd_day,
        "t2d": world.lives.t2d_day,
        "breast_cancer": world.lives.breast_day,
    }
    return days[outcome] if outcome in days else first_admission(world, day)


@pytest.mark.parametrize("outcome", list(HORIZON_DAYS))
@pytest.mark.parametrize("year", [0, 6, 14])
def test_in_every_tenth_of_true_risk_as_many_people_have_the_event_as_the_truth_says(
    world: World, truth: pd.DataFrame, outcome: str, year: int
) -> None:
    day = int(JANUARY_FIRSTS[year])
    risk = at(truth, outcome, year)["risk"]
    rows = risk.index.to_numpy() - 1
    happened = event_day(world, outcome, day)[rows] < day + HORIZON_DAYS[outcome]  # everybody's, enrolled or not
    tenth = pd.qcut(risk, 10, labels=False).to_numpy()
    table = pd.DataFrame({"tenth": tenth, "r": risk.to_numpy(), "v": (risk * (1 - risk)).to_numpy(), "y": happened})
    sums = table.groupby("tenth").sum()
    statistic = ((sums["y"] - sums["r"]) ** 2 / sums["v"]).sum()
    assert chi2.sf(statistic, 10) > 1e-4, sums


def matrix_exponential_risk(
    hazards: Hazards, person: int, start: tuple[bool, bool, bool], *, outcome: str, year: int, statin: str
) -> float:
    """The same chain as transition matrices: within a year every rate is that of the state on 1 January."""
    states = [(c, t, s) for c in (False, True) for t in (False, True) for s in (False, True)]
    position = np.zeros(10)
    chd, t2d, on = start
    position[states.index((chd, t2d, {AS_IS: on, NEVER: False, ALWAYS: True}[statin]))] = 1.0
    left = HORIZON_DAYS[outcome]
    while left > 0:
        days = min(int(JANUARY_FIRSTS[year + 1] - JANUARY_FIRSTS[year]), left)
        rates = [_frozen(hazards, person, year, frozen, outcome=outcome, statin=statin) for frozen in states]
        reached = expm(np.stack([_generator(rate, outcome) for rate in rates]) * days / 365.25)
        step = np.eye(10)
        step[:8] = reached[np.arange(8), np.arange(8)]
        position = position @ step
        left -= days
        year += 1
    return float(position[8])


def _frozen(
    hazards: Hazards, person: int, year: int, state: tuple[bool, bool, bool], *, outcome: str, statin: str
) -> dict[str, float]:
    chd, t2d, on = state
    starts = STATIN_AFTER_CHD if chd else hazards.statin[int(t2d)][person, year]
    log_hr = published.DEATH_LOG_HR
    return {
        "chd": hazards.chd[int(t2d)][person, year] * np.exp(hazards.statin_log_hr[person, 0] * on),
        "t2d": hazards.t2d[person, year],
        "breast_cancer": hazards.breast_cancer[person, year],
        "statin": starts if statin == AS_IS else 0.0,
        "death": hazards.death[person, year] * np.exp(log_hr["chd"] * chd + log_hr["t2d"] * t2d),
    }


def _generator(rate: dict[str, float], outcome: str) -> Floats:
    """Between the eight states, the event (8) and death (9), at these rates from wherever the year has led."""
    q = np.zeros((10, 10))
    for here, (chd, t2d, on) in enumerate(itertools.product((False, True), repeat=3)):
        q[here, 8], q[here, 9] = rate[outcome], rate["death"]
        for name, place, already in (("chd", 4, chd), ("t2d", 2, t2d), ("statin", 1, on)):
            if name != outcome and not already:
                q[here, here + place] = rate[name]
        q[here, here] = -q[here].sum()
    return q


@pytest.mark.parametrize("outcome", ["chd", "t2d", "breast_cancer"])
@pytest.mark.parametrize("statin", [AS_IS, NEVER, ALWAYS])
def test_the_truth_is_the_markov_chain_of_the_hazards(world: World, outcome: str, statin: str) -> None:
    year = 3
    state = state_at(world.lives, int(JANUARY_FIRSTS[year]))
    free = {"chd": ~state.chd, "t2d": ~state.t2d, "breast_cancer": world.people.female & ~state.breast}[outcome]
    statin_users = np.flatnonzero(free & state.statin)[:2]
    diabetic = np.flatnonzero(free & state.t2d)[:2]
    rows = np.concatenate([np.flatnonzero(free)[:2], statin_users, diabetic])
    ours = cumulative_incidence(world.hazards, rows, state=state.take(rows), outcome=outcome, year=year, statin=statin)
    for person, risk in zip(rows, ours, strict=True):
        start = (bool(state.chd[person]), bool(state.t2d[person]), bool(state.statin[person]))
        expected = matrix_exponential_risk(world.hazards, person, start, outcome=outcome, year=year, statin=statin)
        assert risk == pytest.approx(expected, rel=1e-9)


def test_one_person_lived_many_times_has_the_event_as_often_as_the_truth_says(world: World) -> None:
    """Smoking diabetics live one year 40,000 times: unplanned admission has no matrix above."""
    times = 40_000
    state = state_at(world.lives, 0)
    found = np.flatnonzero(state.t2d & ~state.chd & ~state.statin & (world.people.entry_day == 0))
    person = found[np.argmax(world.hazards.chd[1][found, 0])]
    clones = world.people.take(np.full(times, person))
    hazards = hazards_of(clones, published.DEFAULT)
    lives = live(np.random.default_rng(3), clones, hazards=hazards)
    begin = state_at(lives, 0)
    same = np.flatnonzero((begin.t2d == state.t2d[person]) & (begin.chd == state.chd[person]) & ~begin.statin)
    first = np.full(times, np.inf)
    np.minimum.at(first, lives.admission_person, lives.admission_day)
    first = np.minimum(first, np.where(lives.infarction, lives.chd_day, np.inf))
    risk = cumulative_incidence(
        hazards, same[:1], state=State(*(x[same[:1]] for x in (begin.chd, begin.t2d, begin.breast, begin.statin))),
        outcome="unplanned_admission", year=0, statin=AS_IS,
    )[0]  # fmt: skip
    observed = (first[same] < 365).mean()
    assert observed == pytest.approx(risk, abs=4 * np.sqrt(risk * (1 - risk) / len(same)))


def test_the_aalen_johansen_estimate_is_the_mean_of_the_truth(world: World, truth: pd.DataFrame) -> None:
    risk = at(truth, "chd", 0)["risk"]
    rows = risk.index.to_numpy() - 1
    event, death = world.lives.chd_day[rows], world.lives.death_day[rows]
    kind = np.where(event < death, 1, np.where(np.isfinite(death), 2, 0))
    time = np.minimum(np.minimum(event, death), JANUARY_FIRSTS[25] - 1.0)
    fitter = AalenJohansenFitter(calculate_variance=False).fit(time, kind, event_of_interest=1)
    assert float(fitter.predict(3650.0)) == pytest.approx(risk.mean(), abs=3 * np.sqrt(risk.mean() / len(risk)))


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # lifelines calls pandas in an old way
@pytest.mark.parametrize(
    ("trait", "published_hr"),
    [
        ("chd", 1.71),  # Inouye 2018, J Am Coll Cardiol 72:1883
        ("t2d", 1.556),  # Läll 2017, Genet Med 19:322: top to bottom fifth 3.45, which is 2.8 SD
        ("breast_cancer", 1.61),  # Mavaddat 2019, Am J Hum Genet 104:21
    ],
)
def test_cox_regression_finds_the_published_hazard_ratio_per_standard_deviation(
    world: World, trait: str, published_hr: float
) -> None:
    people, lives = world.people, world.lives
    state = state_at(lives, 0)
    prevalent = {"chd": state.chd, "t2d": state.t2d, "breast_cancer": state.breast}[trait]
    keep = (people.entry_day == 0) & ~prevalent & (people.female | (trait != "breast_cancer"))
    average = people.take(np.arange(len(people)))  # the same people with an average genome: all that is not polygenic
    object.__setattr__(average, "z", {name: np.zeros(len(people)) for name in people.z})
    hazards = hazards_of(average, published.DEFAULT)
    hazard = {
        "chd": np.where(state.t2d, hazards.chd[1][:, 4], hazards.chd[0][:, 4]),
        "t2d": hazards.t2d[:, 4],
        "breast_cancer": hazards.breast_cancer[:, 4],
    }[trait]
    z = people.z[trait]
    rest = np.log(np.where(hazard > 0, hazard, 1.0))
    event = event_day(world, trait, 0)
    end = np.minimum(np.minimum(event, lives.death_day), 3650.0)
    frame = pd.DataFrame({"time": end, "event": event <= end, "z": z, "rest": rest})[keep]
    fit = CoxPHFitter().fit(frame, "time", "event").summary
    assert abs(fit.loc["z", "coef"] - np.log(published_hr)) < 3 * fit.loc["z", "se(coef)"]
    assert fit.loc["z", "coef"] > 4 * fit.loc["z", "se(coef)"]
    assert abs(fit.loc["rest", "coef"] - 1) < 0.1 + 3 * fit.loc["rest", "se(coef)"]


@pytest.mark.parametrize("female", [False, True])
def test_the_population_has_the_published_risk_of_coronary_disease(
    world: World, truth: pd.DataFrame, female: bool
) -> None:
    ours, theirs = [], []
    for year in (1, 2, 3):
        risk = at(truth, "chd", year)["risk"]
        rows = risk.index.to_numpy() - 1
        age = (JANUARY_FIRSTS[year] - world.people.birth_day[rows]) / 365.25
        keep = (age >= 40) & (age < 80) & (world.people.female[rows] == female)
        diabetic = world.lives.t2d_day[rows] < JANUARY_FIRSTS[year]
        without, with_diabetes = world.hazards.published_chd_10y
        prevent = np.where(diabetic, with_diabetes[rows, year], without[rows, year])
        ours.append(risk.to_numpy()[keep])
        theirs.append(prevent[keep])
    ratio = np.concatenate(ours).mean() / np.concatenate(theirs).mean()
    assert ratio == pytest.approx(1, abs=0.05)


def test_carriers_of_brca_variants_have_the_published_cumulative_incidence() -> None:
    """72 % by 80 for BRCA1 and 69 % for BRCA2 (Kuchenbaecker 2017, JAMA 317:2402), from incidence alone."""
    ages = np.arange(21.0, 81.0)
    for gene, expected in (("BRCA1", 0.72), ("BRCA2", 0.69)):
        cumulative = 1 - np.exp(-published.brca_incidence(gene, ages).sum())
        assert cumulative == pytest.approx(expected, abs=0.03)


def test_the_polygenic_score_changes_whose_risk_it_is_and_not_how_much_there_is() -> None:
    default = make_world(people=6_000, seed=5)
    without = make_world(people=6_000, seed=5, scenario="no-genomic-effect")
    women = default.people.female
    for name in ("t2d", "breast_cancer"):
        a, b = getattr(default.hazards, name)[:, 3], getattr(without.hazards, name)[:, 3]
        keep = women & ~default.people.brca1 & ~default.people.brca2
        assert a[keep].mean() == pytest.approx(b[keep].mean(), rel=0.05)
    assert default.hazards.chd[0][:, 3].mean() == pytest.approx(without.hazards.chd[0][:, 3].mean(), rel=0.08)


def test_a_statin_helps_more_where_the_polygenic_score_is_high(world: World, truth: pd.DataFrame) -> None:
    """Relative reduction by 1.25 mmol/L: 13 %, 29 %, 48 % in the low, middle and high fifths (Mega 2015)."""
    log_hr, ldl = published.DEFAULT, 1.25
    for z, reduction in ((-1.4, 0.13), (0.0, 0.29), (1.4, 0.48)):
        ratio = np.exp(log_hr.statin_per_mmol * ldl + log_hr.statin_per_sd * z)
        assert 1 - ratio == pytest.approx(reduction, abs=0.05)
    rows = at(truth, "chd", 2)
    z = world.people.z["chd"][rows.index.to_numpy() - 1]
    benefit = rows["risk_untreated"] - rows["risk_treated"]
    assert (benefit >= -1e-12).all()
    assert benefit[z > 1].mean() > 3 * benefit[z < -1].mean()


def test_without_treatment_benefit_a_statin_changes_no_risk_of_coronary_disease() -> None:
    world = make_world(people=1_000, seed=2, scenario="no-treatment-benefit")
    risks = true_risks(world.people, world.hazards, lives=world.lives).to_pandas()
    chd = risks[risks["outcome"] == "chd"]
    np.testing.assert_allclose(chd["risk_treated"], chd["risk_untreated"], rtol=1e-12)
    np.testing.assert_allclose(chd["risk_treated"], chd["risk"], rtol=1e-12)


def with_other_genomes(people: People, rng: np.random.Generator) -> People:
    shuffled = rng.permutation(len(people))
    other = people.take(shuffled)
    changed = people.take(np.arange(len(people)))
    for name in ("z", "fh_carrier", "brca1", "brca2"):
        object.__setattr__(changed, name, getattr(other, name))
    return changed


@pytest.mark.parametrize(("scenario", "matters"), [("default", True), ("no-genomic-effect", False)])
def test_only_where_the_genome_has_an_effect_does_another_genome_change_a_hazard(scenario: str, matters: bool) -> None:
    world = make_world(people=500, seed=4, scenario=scenario)
    exchanged = with_other_genomes(world.people, np.random.default_rng(0))
    other = hazards_of(exchanged, published.effects_of(scenario))
    same = all(
        np.array_equal(a, b)
        for a, b in (
            (world.hazards.chd[0], other.chd[0]),
            (world.hazards.t2d, other.t2d),
            (world.hazards.breast_cancer, other.breast_cancer),
            (world.hazards.statin_log_hr, other.statin_log_hr),
        )
    )
    assert same is not matters


def test_scenarios_of_one_seed_are_the_same_people() -> None:
    default = make_world(people=500, seed=4)
    for scenario in ("no-genomic-effect", "no-treatment-benefit"):
        other = make_world(people=500, seed=4, scenario=scenario)
        for name in ("birth_day", "female", "deprivation", "entry_day", "u_sbp", "quit_day", "site"):
            np.testing.assert_array_equal(getattr(default.people, name), getattr(other.people, name))
        np.testing.assert_array_equal(default.people.z["chd"], other.people.z["chd"])
    treated = make_world(people=500, seed=4, scenario="no-treatment-benefit")
    np.testing.assert_array_equal(default.hazards.chd[0], treated.hazards.chd[0])
    np.testing.assert_array_equal(default.hazards.statin[0], treated.hazards.statin[0])


def test_nothing_happens_after_death(world: World) -> None:
    lives = world.lives
    for day in (lives.chd_day, lives.t2d_day, lives.breast_day, lives.statin_day):
        assert (day[np.isfinite(day)] <= lives.death_day[np.isfinite(day)]).all()
    assert (lives.admission_day <= lives.death_day[lives.admission_person]).all()


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # lifelines calls pandas in an old way
def test_cox_regression_finds_what_disease_does_to_death(world: World) -> None:
    """1.9 for diabetes and 2.0 for coronary disease (Emerging Risk Factors Collaboration 2015)."""
    people, lives, state = world.people, world.lives, state_at(world.lives, 0)
    end = np.minimum(lives.death_day, 1826.0)
    frame = pd.DataFrame(
        {
            "time": end,
            "event": lives.death_day < 1826,
            "rest": np.log(world.hazards.death[:, 2]),
            "chd": state.chd.astype(float),
            "t2d": state.t2d.astype(float),
        }
    )[people.entry_day == 0]
    fit = CoxPHFitter().fit(frame, "time", "event").summary
    for name in ("chd", "t2d"):
        assert abs(fit.loc[name, "coef"] - published.DEATH_LOG_HR[name]) < 0.08 + 3 * fit.loc[name, "se(coef)"]
        assert fit.loc[name, "coef"] > 4 * fit.loc[name, "se(coef)"]


def test_as_many_people_die_as_the_life_table_says(world: World) -> None:
    """US life tables 2010 at the ages of the simulated people, over 15 years (Arias 2014), within a fifth."""
    people, died, expected = world.people, 0, 0.0
    for year in range(15):
        start, end = JANUARY_FIRSTS[year], JANUARY_FIRSTS[year + 1]
        alive = (world.lives.death_day >= start) & (people.entry_day <= start)
        age = (start - people.birth_day[alive]) / 365.25 + 0.5
        female = people.female[alive]
        rate = np.where(female, 0.0032 * np.exp(0.0900 * (age - 50)), 0.0050 * np.exp(0.0856 * (age - 50)))
        expected += float(-np.expm1(-rate).sum())
        died += int((world.lives.death_day[alive] < end).sum())
    assert died / expected == pytest.approx(1, abs=0.2)


def test_unplanned_admission_is_as_common_as_among_the_adults_of_qresearch(truth: pd.DataFrame) -> None:
    """58 first admissions per 1000 person-years at 18 to 100 (Hippisley-Cox 2013); ours are older."""
    assert 0.058 < at(truth, "unplanned_admission", 1)["risk"].mean() < 0.105
