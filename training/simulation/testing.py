"""Whose genome was looked at, when and why: a biobank's genotyping, and clinical tests for a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.arrays import Bools, Floats, Ints
from training.simulation.lives import Lives
from training.simulation.population import DAYS_PER_YEAR, END_DAY, EPOCH, People, risk_factors

GENOTYPED_SHARE = 0.35
BIOBANK_SHARE, BIOBANK_DAYS = 0.85, 730
# How much likelier a group, and a less deprived quintile, is to take part (log of the odds; assumptions in the
# direction of Fry 2017, Am J Epidemiol 186:1026 and Mills & Rahal 2019, Commun Biol 2:9).
GROUP_LOG_ODDS = {"AFR": -0.7, "AMR": -0.6, "EAS": -0.2, "EUR": 0.0, "SAS": -0.4}
DEPRIVATION_LOG_ODDS = -0.25
# Share of the indicated who are ever tested, and of those without an indication (assumptions).
TESTED = {"familial_hypercholesterolaemia": 0.40, "hereditary_breast_cancer": 0.20}
TESTED_ANYWAY = 0.005


def genotyped(rng: np.random.Generator, people: People, *, lives: Lives) -> pd.DataFrame:
    """person_id and collected (date): 35 % of people, by deprivation and ancestry, mostly in the biobank's first years.

    Taking part is drawn without replacement by exponential keys (Efraimidis and Spirakis 2006), among those who are
    enrolled and alive on the day they would give a sample.
    """
    n = len(people)
    biobank = rng.random(n) < BIOBANK_SHARE
    # most of the biobank's samples come early in its two years
    day = np.floor(np.where(biobank, BIOBANK_DAYS * rng.beta(1.0, 2.2, n), rng.uniform(BIOBANK_DAYS, END_DAY, n)))
    late = people.entry_day > 0
    day = np.where(late, np.floor(people.entry_day + 60 + rng.exponential(700, n)), day)
    able = (day < END_DAY) & (day <= lives.death_day) & lives.enrolled(slice(None), day)
    odds = np.exp(np.array([GROUP_LOG_ODDS[g] for g in people.group]) + DEPRIVATION_LOG_ODDS * (people.deprivation - 3))
    key = np.where(able, rng.standard_exponential(n) / odds, np.inf)
    chosen = np.sort(np.argsort(key, kind="stable")[: min(round(GENOTYPED_SHARE * n), int(able.sum()))])
    return pd.DataFrame({"person_id": people.person_id[chosen], "collected": _dates(day[chosen])})


def clinically_tested(rng: np.random.Generator, people: People, *, lives: Lives) -> pd.DataFrame:
    """person_id, indication (a key of TESTED), collected and reported (dates), for a reason of care or without one.

    Indicated: LDL cholesterol of 190 mg/dL or more, or 160 with a family history of coronary disease; in women, a
    family history of breast cancer, or the disease itself before 60.
    """
    factors = risk_factors(people, people.entry_day.astype(np.float64))
    young = lives.breast_day < people.birth_day + 60 * DAYS_PER_YEAR
    indicated = {
        "familial_hypercholesterolaemia": (factors.ldl >= 190) | (people.family_history["chd"] & (factors.ldl >= 160)),
        "hereditary_breast_cancer": people.female & (people.family_history["breast_cancer"] | young),
    }
    parts = [
        _tested(rng, people, lives=lives, indication=indication, indicated=who) for indication, who in indicated.items()
    ]
    return pd.concat(parts).sort_values(["person_id", "indication"], ignore_index=True)


def _tested(
    rng: np.random.Generator, people: People, *, lives: Lives, indication: str, indicated: Bools
) -> pd.DataFrame:
    n = len(people)
    collected = np.floor(rng.uniform(people.entry_day + 90, END_DAY))
    reported = collected + rng.integers(14, 43, n)
    done = rng.random(n) < np.where(indicated, TESTED[indication], TESTED_ANYWAY)
    done &= (reported < END_DAY) & (reported <= lives.death_day) & lives.enrolled(slice(None), collected)
    rows = np.flatnonzero(done)
    return pd.DataFrame(
        {
            "person_id": people.person_id[rows],
            "indication": indication,
            "collected": _dates(collected[rows]),
            "reported": _dates(reported[rows]),
        }
    )


def _dates(day: Floats | Ints) -> pd.Series[pd.Timestamp]:
    return pd.Series((EPOCH + day.astype(np.int64)).astype("datetime64[s]"))
