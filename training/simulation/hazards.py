"""Hazards of every event in every calendar year, given a person's traits and state on 1 January.

All hazards are per 365.25 days and constant within a calendar year. A state that changes during a year (a statin
started, diabetes diagnosed) acts from the next 1 January on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from features.arrays import Bools, Floats
from features.equations.prevent import log_odds as prevent_log_odds
from training.simulation import effects as published
from training.simulation.effects import Effects
from training.simulation.population import EPOCH, FIRST_YEAR, LAST_YEAR, People, RiskFactors, risk_factors

HORIZON_YEARS = 10
N_RECORD_YEARS = LAST_YEAR - FIRST_YEAR
N_YEARS = N_RECORD_YEARS + HORIZON_YEARS  # hazards reach beyond the records, as the last landmarks' horizons do
JANUARY_FIRSTS = np.array(
    [(np.datetime64(f"{FIRST_YEAR + i}-01-01", "D") - EPOCH).astype(int) for i in range(N_YEARS + 1)], dtype=np.int64
)

# Keep the mean 10-year risk of coronary disease of people aged 40 to 79 at that of the published equation.
CHD_LEVEL = {"M": 1.34, "F": 1.225}
# A 10-year risk is an average over ten years of ageing: the hazard now is that of the risk five years ago.
HALF_WINDOW_YEARS = {"chd": 5.0, "t2d": 3.75}

PREVENT_AGES = (30.0, 90.0)

# Start of a statin per year: by the published 10-year risk, LDL cholesterol and diabetes (assumptions).
STATIN_AT_FIVE_PERCENT = 0.006
STATIN_PER_LOG_ODDS = 0.5
STATIN_PER_30_MG_DL = 0.6
STATIN_DIABETES = 1.0
STATIN_FAMILY_HISTORY = 0.3
STATIN_MOST = 0.5
STATIN_AFTER_CHD = 1.0


@dataclass(frozen=True, slots=True)
class Hazards:
    """(person, year) per 365.25 days, and the log ratios by which a state on 1 January multiplies them.

    A pair is (without diabetes, with diabetes).
    """

    chd: tuple[Floats, Floats]  # first coronary event, without a statin
    statin_log_hr: Floats  # of a statin on `chd`, (person, 1)
    t2d: Floats
    breast_cancer: Floats
    death: Floats  # without coronary disease, without diabetes
    admission: Floats  # unplanned, other than for a first infarction; without coronary disease, without diabetes
    statin: tuple[Floats, Floats]  # start of a statin, without coronary disease
    published_chd_10y: tuple[Floats, Floats]  # PREVENT on that 1 January, without a statin


def hazards_of(people: People, effects: Effects) -> Hazards:
    """Every hazard of these people in all `N_YEARS` calendar years."""
    factors = risk_factors(people, np.broadcast_to(JANUARY_FIRSTS[:N_YEARS], (len(people), N_YEARS)))
    female = people.female[:, None]
    chd_ratio = _chd_ratio(people, effects)[:, None]
    earlier = factors.age_years - HALF_WINDOW_YEARS["chd"]
    without, with_diabetes = (
        chd_ratio * -np.log1p(-expit(chd_log_odds(factors, earlier, female=female, diabetes=d))) / 10
        for d in (False, True)
    )
    now = tuple(chd_log_odds(factors, factors.age_years, female=female, diabetes=d) for d in (False, True))
    removed_mmol = factors.ldl[:, :1] * published.STATIN_LDL_REDUCTION / published.MG_DL_PER_MMOL_CHOLESTEROL
    statin = effects.statin_per_mmol * removed_mmol + effects.statin_per_sd * people.z["chd"][:, None]
    start = tuple(
        _statin_start(people, factors, log_odds=log_odds, diabetes=d) for log_odds, d in zip(now, (0, 1), strict=True)
    )
    return Hazards(
        chd=(without, with_diabetes),
        statin_log_hr=np.minimum(statin, 0.0),
        t2d=_t2d(people, factors, effects=effects),
        breast_cancer=_breast_cancer(people, factors.age_years, effects=effects),
        death=_death(people, factors),
        admission=_admission(people, factors),
        statin=(start[0], start[1]),
        published_chd_10y=(expit(now[0]), expit(now[1])),
    )


def chd_log_odds(factors: RiskFactors, age_years: Floats, *, female: Bools, diabetes: bool) -> Floats:
    """PREVENT's log-odds of coronary disease within 10 years at these factors and this age, nobody on a statin.

    Validated from 30 to 79 years; carried on to 90, and held at the ends beyond.
    """
    nobody = np.zeros_like(age_years)
    return prevent_log_odds(
        "chd",
        10,
        female=female.astype(np.float64),
        age_years=np.clip(age_years, *PREVENT_AGES),
        total_cholesterol_mg_dl=factors.total_cholesterol(on_statin=False),
        hdl_mg_dl=factors.hdl,
        sbp_mmhg=factors.sbp,
        bmi_kg_m2=factors.bmi,
        egfr=factors.egfr,
        diabetes=nobody + diabetes,
        smoking=(factors.smoking == 2).astype(np.float64),
        antihypertensive=factors.on_antihypertensive.astype(np.float64),
        statin=nobody,
    )


def _mean_one(log_hr: float, z: Floats) -> Floats:
    """exp(b z) over its expectation for a standard normal z: the population's mean hazard stays."""
    return np.exp(log_hr * z - log_hr**2 / 2)


def _chd_ratio(people: People, effects: Effects) -> Floats:
    carrier_hr, share = np.exp(effects.fh_carrier), published.FH_CARRIER_PREVALENCE
    history_log_hr = np.where(
        people.female, published.FAMILY_HISTORY_LOG_HR_CHD["F"], published.FAMILY_HISTORY_LOG_HR_CHD["M"]
    )
    prevalence = published.FAMILY_HISTORY_PREVALENCE["chd"]
    ratio = _mean_one(effects.polygenic["chd"], people.z["chd"])
    ratio *= np.where(people.fh_carrier, carrier_hr, 1.0) / (1 + share * (carrier_hr - 1))
    ratio *= np.exp(history_log_hr * people.family_history["chd"]) / (1 + prevalence * (np.exp(history_log_hr) - 1))
    return np.asarray(ratio * np.where(people.female, CHD_LEVEL["F"], CHD_LEVEL["M"]))


def _statin_start(people: People, factors: RiskFactors, *, log_odds: Floats, diabetes: int) -> Floats:
    log_rate = (
        np.log(STATIN_AT_FIVE_PERCENT)
        + STATIN_PER_LOG_ODDS * (log_odds - logit(0.05))
        + STATIN_PER_30_MG_DL * (factors.ldl - 130) / 30
        + STATIN_DIABETES * diabetes
        + STATIN_FAMILY_HISTORY * people.family_history["chd"][:, None]
    )
    return np.asarray(np.minimum(np.exp(log_rate), STATIN_MOST))


def _t2d(people: People, factors: RiskFactors, *, effects: Effects) -> Floats:
    """Stern 2002 (San Antonio Heart Study), 7.5-year risk, times the polygenic score's ratio."""
    log_odds = (
        -13.415
        + 0.028 * (factors.age_years - HALF_WINDOW_YEARS["t2d"])
        + 0.661 * people.female[:, None]
        + 0.412 * (people.group == "AMR")[:, None]
        + 0.079 * factors.glucose
        + 0.018 * factors.sbp
        - 0.039 * factors.hdl
        + 0.070 * factors.bmi
        + 0.481 * people.family_history["t2d"][:, None]
    )
    ratio = _mean_one(effects.polygenic["t2d"], people.z["t2d"])[:, None]
    return np.asarray(ratio * -np.log1p(-expit(log_odds)) / 7.5)


def _breast_cancer(people: People, age_years: Floats, *, effects: Effects) -> Floats:
    rate = published.breast_incidence(age_years)
    if effects.brca:
        for gene, carrier in (("BRCA1", people.brca1), ("BRCA2", people.brca2)):
            rate = np.where(carrier[:, None], np.maximum(rate, published.brca_incidence(gene, age_years)), rate)
    log_hr = published.FAMILY_HISTORY_LOG_HR_BREAST
    prevalence = published.FAMILY_HISTORY_PREVALENCE["breast_cancer"]
    ratio = np.exp(log_hr * people.family_history["breast_cancer"]) / (1 + prevalence * (np.exp(log_hr) - 1))
    ratio *= _mean_one(effects.polygenic["breast_cancer"], people.z["breast_cancer"])
    return np.where(people.female[:, None], rate * ratio[:, None], 0.0)


def _death(people: People, factors: RiskFactors) -> Floats:
    level = np.where(people.female, published.DEATH_AT_50["F"], published.DEATH_AT_50["M"])[:, None]
    slope = np.where(people.female, published.DEATH_PER_YEAR["F"], published.DEATH_PER_YEAR["M"])[:, None]
    log_hr = _shared_log_hr(people, factors, log_hr=published.DEATH_LOG_HR)
    for name in ("heart_failure", "copd"):
        log_hr += published.DEATH_LOG_HR[name] * _ill(people, name)
    return np.minimum(level * np.exp(slope * (factors.age_years - 50) + log_hr) / published.DEATH_MEAN_RATIO, 2.0)


def _admission(people: People, factors: RiskFactors) -> Floats:
    log_hr = _shared_log_hr(people, factors, log_hr=published.ADMISSION_LOG_HR)
    for name in ("heart_failure", "copd", "atrial_fibrillation", "depression", "stroke"):
        log_hr += published.ADMISSION_LOG_HR[name] * _ill(people, name)
    log_hr += published.ADMISSION_LOG_HR["ckd"] * (factors.egfr < 60)
    log_hr += published.ADMISSION_FRAILTY_SD * people.u_frailty[:, None]
    return published.ADMISSION_AT_50 * np.exp(published.ADMISSION_PER_YEAR * (factors.age_years - 50) + log_hr)


def _shared_log_hr(people: People, factors: RiskFactors, *, log_hr: dict[str, float]) -> Floats:
    smoking: Floats = np.array([0.0, log_hr["former"], log_hr["current"]])[factors.smoking]
    return smoking + log_hr["deprivation"] * (people.deprivation - 3)[:, None]


def _ill(people: People, name: str) -> NDArray[np.bool_]:
    return people.onset_day[name][:, None] < JANUARY_FIRSTS[None, :N_YEARS]


def statin_start(hazards: Hazards, *, chd: Bools, t2d: Bools, year: int) -> Floats:
    """Rate of starting a statin in one calendar year, given the state on its 1 January."""
    rate = np.where(t2d, hazards.statin[1][:, year], hazards.statin[0][:, year])
    return np.where(chd, STATIN_AFTER_CHD, rate)
