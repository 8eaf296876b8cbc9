"""Hazards of the last calendar years: against statsmodels, and against the true risks of people scored at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from features.frame import FeatureFrame
from tests.made import plan_of
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort
from training.cohort.splits import Scheme, Split
from training.fitting.calibration import learn_calibration
from training.fitting.pair import fit_pair, followed
from training.fitting.period import MIN_PEOPLE, YEAR_DAYS, Period, period_of
from training.heldout.candidates import hold_out
from training.heldout.period import in_last_years, period_followed
from training.learners import make_learner
from training.learners.censoring import conditional
from training.models.calibration import Calibration, Calibrator

Floats = npt.NDArray[np.float64]
YEARS, HORIZON = 10, 5 * YEAR_DAYS
GENE = 0.6


@dataclass(frozen=True)
class Lives:
    """Landmark rows, and the features and true risks of who is at risk on the last day if hazards stay as they are."""

    frame: FeatureFrame
    outcome: Outcome
    last: FeatureFrame
    risk: Floats


def lives(seed: int, *, trend: float, competing: bool = False, n: int = 4000) -> Lives:
    """Landmarks in years 1 to 9 of 10, horizon 5 years; the hazard .05 exp(.7 x) falls by `trend` every calendar year.

    A gene's effect is GENE, and half of the people know theirs; 3 % leave and, with competing, about 3 % die a year.
    """
    rng = np.random.default_rng(seed)
    x, gene, start = rng.normal(size=n), rng.binomial(2, 0.3, n).astype(float), rng.uniform(0, 4, n)
    steep = -np.log(1 - trend)
    rate = 0.05 * np.exp(0.7 * x + GENE * (gene - 0.6))
    drawn = rng.exponential(size=n)
    if trend:
        left = np.exp(-steep * start) - drawn * steep / rate
        event = np.where(left > 0, -np.log(np.maximum(left, 1e-300)) / steep, np.inf)
    else:
        event = start + drawn / rate
    death_rate = 0.03 * np.exp(0.3 * x)
    death = start + rng.exponential(1 / death_rate) if competing else np.full(n, np.inf)
    gone = start + rng.exponential(1 / 0.03, n)
    parts = []
    for year in range(1, YEARS):
        who = np.flatnonzero((start <= year) & (event > year) & (death > year) & (gone > year))
        until = np.minimum(np.minimum(event, death), np.minimum(gone, YEARS))[who]
        kind = np.where(event[who] <= until, 1, np.where(death[who] <= until, 2, 0))
        days = (until - year) * YEAR_DAYS
        kind = np.where(days > HORIZON + 0.5, 0, kind)
        parts.append((who, np.full(len(who), year), np.minimum(days, HORIZON + 0.5), kind))
    who, year, days, kind = (np.concatenate(each) for each in zip(*parts, strict=True))
    gene[rng.random(n) < 0.5] = np.nan
    values = np.column_stack([x, gene]).astype(np.float32)
    at_end = np.flatnonzero((event > YEARS) & (death > YEARS))
    now = rate[at_end] * (1 - trend) ** YEARS
    both = now + (death_rate[at_end] if competing else 0.0)
    when = np.datetime64("2005-01-01", "us") + year * np.timedelta64(365, "D")
    return Lives(
        FeatureFrame(who, when, ("x", "gene"), values[who]),
        Outcome(days, kind.astype(np.int8), (HORIZON,), (YEARS - year) * YEAR_DAYS),
        FeatureFrame(at_end, np.full(len(at_end), np.datetime64("2015-01-01", "us")), ("x", "gene"), values[at_end]),
        now / both * -np.expm1(-5 * both),
    )


def risks(seed: int, *, trend: float, competing: bool) -> tuple[float, float, float]:
    """Mean true risk at the end, the calibrated one, and that with the factor of the last years."""
    found = lives(seed, trend=trend, competing=competing)
    frame, last = found.frame.only(("x",)), found.last.only(("x",))
    persons = frame.subject_ids
    fitted = make_learner("cox", monotone={}, budget=None).fit(
        frame, found.outcome, persons=persons, rng=np.random.default_rng(1)
    )
    seen = conditional(frame, found.outcome)
    assert fitted.out_of_fold is not None
    calibration = learn_calibration(fitted.out_of_fold, found.outcome, uncensored=seen)
    held = calibration.apply(fitted.out_of_fold).probabilities[:, 0]
    period = period_of(held, found.outcome, persons=persons, uncensored=seen, position=0)
    curves = fitted.risk_at(last, (HORIZON,))
    before, after = (
        float(each.apply(curves).probabilities.mean())
        for each in (calibration, calibration.times([1.0 if period is None else period.factor]))
    )
    return float(found.risk.mean()), before, after


@pytest.mark.parametrize("competing", [False, True])
@pytest.mark.parametrize("trend", [0.1, -0.08])
def test_risks_come_close_to_the_truth_at_the_end_where_incidence_moves(trend: float, *, competing: bool) -> None:
    """10 % less a year: truth .090, before .136, now .114; the error falls by at least 30 %."""
    found = np.array([risks(seed, trend=trend, competing=competing) for seed in range(4)])
    truth, before, after = found.T
    assert np.sqrt(np.mean((after - truth) ** 2)) < 0.7 * np.sqrt(np.mean((before - truth) ** 2))
    assert (np.abs(after - truth) <= np.abs(before - truth)).all()  # or unsure, and left alone


@pytest.mark.parametrize("competing", [False, True])
def test_no_harm_is_done_where_nothing_moves(*, competing: bool) -> None:
    found = np.array([risks(seed, trend=0.0, competing=competing) for seed in range(8)])
    truth, before, after = found.T
    assert np.sqrt(np.mean((after - truth) ** 2)) < 1.15 * np.sqrt(np.mean((before - truth) ** 2))
    assert abs(float(np.mean(after - before))) < 0.002
    assert np.std(after - truth) < 1.15 * np.std(before - truth)


def naive_cumulative(until: Floats, happened: npt.NDArray[np.bool_], hazard: Floats) -> dict[float, float]:
    """Breslow's cumulative hazard by each event time, by adding up who is at risk."""
    total, found = 0.0, {}
    for time in sorted(set(until[happened].tolist())):
        total += float((until[happened] == time).sum()) / float(hazard[until >= time].sum())
        found[time] = total
    return found


def test_the_ratio_and_its_error_are_those_of_a_poisson_regression() -> None:
    """Events on expected events with an indicator of the last years, errors clustered by person (statsmodels)."""
    found = lives(3, trend=0.1, n=2500)
    rng = np.random.default_rng(5)
    risk = np.clip(0.2 * np.exp(0.5 * found.frame.column("x").astype(np.float64)), 0.01, 0.8) * rng.uniform(0.9, 1.1)
    outcome, persons = found.outcome, found.frame.subject_ids
    seen = conditional(found.frame.only(("x",)), outcome)
    period = period_of(risk, outcome, persons=persons, uncensored=seen, position=0)
    assert period is not None
    reached, hazard = seen.reaches(0), -np.log(1 - risk)
    time, happened = np.minimum(outcome.time_days, HORIZON), (outcome.event == 1) & (outcome.time_days <= HORIZON)
    curve = naive_cumulative(time[reached], happened[reached], hazard[reached])
    ends = np.array([*curve])

    def by(at: float) -> float:
        return 0.0 if not (ends <= at).any() else curve[float(ends[ends <= at][-1])]

    rows = []
    for i in range(len(persons)):
        if reached[i]:
            rows.append((persons[i], 0.0, happened[i], hazard[i] * by(time[i])))
        since = max(
            (outcome.followable_days[i] if outcome.followable_days is not None else 0) - period.years * YEAR_DAYS, 0
        )
        if time[i] > since:
            rows.append((persons[i], 1.0, happened[i], hazard[i] * (by(time[i]) - by(since))))
    table = np.array([row for row in rows if row[3] > 0 or row[2]], dtype=np.float64)
    table = table[table[:, 3] > 0]
    model = sm.GLM(table[:, 2], sm.add_constant(table[:, 1]), family=sm.families.Poisson(), exposure=table[:, 3])
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": table[:, 0], "use_correction": False})
    assert period.ratio == pytest.approx(float(np.exp(fit.params[1])), rel=0.01)
    assert np.log(period.high / period.low) / (2 * 1.96) == pytest.approx(float(fit.bse[1]), rel=0.02)


def test_nothing_is_said_without_dates_where_all_can_be_followed_or_of_few() -> None:
    found = lives(1, trend=0.1)
    frame, outcome, persons = found.frame.only(("x",)), found.outcome, found.frame.subject_ids
    risk, seen = np.full(len(frame), 0.2), conditional(frame, outcome)
    period = period_of(risk, outcome, persons=persons, uncensored=seen, position=0)
    assert period is not None
    assert period.people >= MIN_PEOPLE
    assert period.years > 1
    assert period_of(risk, replace(outcome, followable_days=None), persons=persons, uncensored=seen, position=0) is None
    assert period_of(risk, outcome, persons=persons, uncensored=replace(seen, reachable=None), position=0) is None
    few = np.flatnonzero(persons < 900)
    assert period_of(risk[few], outcome.take(few), persons=persons[few], uncensored=seen.take(few), position=0) is None


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999), st.floats(0.3, 3.0))
def test_a_hazards_factor_keeps_the_order_and_survives_json(low: float, high: float, factor: float) -> None:
    usual = Calibration((5.0,), (Calibrator(0.3, 0.9, 0.9),))
    ours = Calibration.from_json(json.loads(json.dumps(usual.times([factor]).to_json())))
    first, second = usual.calibrators[0], ours.calibrators[0]
    a, b = (float(second.apply(np.array(p))) for p in (low, high))
    assert (a < b) == (low < high) or a == pytest.approx(b, abs=1e-9)
    assert a == pytest.approx(1 - (1 - float(first.apply(np.array(low)))) ** factor, rel=1e-9)


def cohort_of(found: Lives) -> Cohort:
    n = len(found.frame)
    has = ~np.isnan(found.frame.column("gene"))
    blocks = (Block("clinical", ("x",), genomic=False), Block("genomic", ("gene",), genomic=True))
    empty = np.full(n, "", dtype=object)
    return Cohort(found.frame, found.outcome, empty, blocks, has, empty, {})


def test_the_served_pair_follows_the_last_years_and_people_held_out_confirm_it() -> None:
    found = lives(2, trend=0.1)
    cohort = cohort_of(found)
    half = cohort.persons % 2 == 0
    sides = (np.flatnonzero(half), np.flatnonzero(~half))
    scheme = Scheme("halves", (Split("1", *sides), Split("2", *sides[::-1])))
    plan = plan_of(cohort, scheme)
    chosen = hold_out(plan, "cox", advance=lambda done: None)
    rows = np.arange(len(cohort))
    everybody = followed(cohort, rows)
    pair = fit_pair("cox", cohort, rows=rows, uncensored=everybody, rng=np.random.default_rng(1))
    brought, periods = in_last_years(pair, cohort, rows=rows, uncensored=everybody)
    factor = periods[0].factor
    assert 0.6 < factor < 0.95
    last = cohort_of(replace(found, frame=found.last, outcome=found.outcome.take(np.arange(len(found.last)))))
    everyone = np.arange(len(found.last))
    for before, after in zip(pair.risks(last, everyone), brought.risks(last, everyone), strict=True):
        has = ~np.isnan(before[:, 0])
        assert after[has] == pytest.approx(1 - (1 - before[has]) ** factor, rel=1e-6)
    own = float(found.risk.mean())
    clinical = [float(each.risks(last, everyone)[0].mean()) for each in (pair, brought)]
    assert abs(clinical[1] - own) < 0.7 * abs(clinical[0] - own)
    told, notes = period_followed(plan, chosen, found=periods)
    assert told.tested is not None
    before_it, after_it = told.tested.before, told.tested.after
    assert before_it.high < 1
    assert abs(after_it.ratio - 1) < abs(before_it.ratio - 1)
    assert len(notes) == 2
    assert f"multiplied by {factor:.2f}" in notes[0]


def test_a_note_says_so_where_nothing_is_changed() -> None:
    found = lives(7, trend=0.0, n=2500)
    cohort = cohort_of(found)
    rows = np.arange(len(cohort))
    everybody = followed(cohort, rows)
    pair = fit_pair("cox", cohort, rows=rows, uncensored=everybody, rng=np.random.default_rng(1))
    brought, periods = in_last_years(pair, cohort, rows=rows, uncensored=everybody)
    assert [one.factor for one in periods] == [1.0]
    assert brought is pair
    scheme = Scheme("half", (Split("1", np.flatnonzero(cohort.persons % 2 == 0), np.flatnonzero(cohort.persons % 2)),))
    plan = plan_of(cohort, scheme)
    chosen = hold_out(plan, "cox", advance=lambda done: None)
    (note,) = period_followed(plan, chosen, found=[Period(HORIZON, 2, 300, 1.03, 0.9, 1.2, 1.0)])[1]
    assert note.startswith("in the record's last 2 years hazards were 1.03 (0.90 to 1.20) times those that risks by")
    assert note.endswith("no sure difference, so risks stay as they are")
