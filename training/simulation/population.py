"""Who lives in the simulated world: fixed traits and latent levels, from which risk factors follow at any age.

Everything here is drawn once per person and never changes; a trajectory is a deterministic function of these traits
and age. That is what `truth.parquet` conditions on.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit

from features.arrays import Bools, Floats, Ints
from training.simulation.effects import FAMILY_HISTORY_PREVALENCE, STATIN_LDL_REDUCTION, Effects
from training.simulation.genomes import Genomes
from training.simulation.sites import GROUPS

EPOCH = np.datetime64("2000-01-01", "D")
FIRST_YEAR, LAST_YEAR = 2000, 2025  # records cover [FIRST_YEAR, LAST_YEAR)
DAYS_PER_YEAR = 365.25
END_DAY = int((np.datetime64("2025-01-01", "D") - EPOCH).astype(int))
N_SITES, PROVIDERS_PER_SITE = 8, 5

GROUP_SHARE = {"AFR": 0.14, "AMR": 0.14, "EAS": 0.06, "EUR": 0.60, "SAS": 0.06}
# Mean share of each group's own ancestry, and where the rest comes from (assumptions; Bryc 2015, AJHG 96:37, found more
# European ancestry in both groups).
ADMIXTURE = {
    "AFR": {"AFR": 0.80, "EUR": 0.20},
    "AMR": {"AMR": 0.30, "EUR": 0.62, "AFR": 0.08},
}
DEPRIVATION = {  # share in each quintile, least to most deprived
    "AFR": (0.10, 0.14, 0.18, 0.25, 0.33),
    "AMR": (0.10, 0.15, 0.20, 0.25, 0.30),
    "EAS": (0.26, 0.23, 0.20, 0.17, 0.14),
    "EUR": (0.24, 0.22, 0.20, 0.18, 0.16),
    "SAS": (0.20, 0.20, 0.20, 0.20, 0.20),
}

# Onset of chronic disease: incidence per year at 60, slope of its logarithm in age, log ratios of smoking.
CHRONIC = {
    "heart_failure": (0.0022, 0.090, 0.5),
    "atrial_fibrillation": (0.0035, 0.090, 0.1),
    "stroke": (0.0020, 0.080, 0.5),
    "copd": (0.0022, 0.050, 1.8),
    "depression": (0.0090, -0.005, 0.4),
    "asthma": (0.0030, 0.000, 0.1),
}


@dataclass(frozen=True, slots=True)
class People:
    """One element per person. Days count from 2000-01-01; `u_*` are independent standard normal latents."""

    person_id: Ints
    birth_day: Ints
    female: Bools
    group: NDArray[np.str_]
    deprivation: Ints  # 1 least to 5 most
    site: Ints
    provider: Ints
    entry_day: Ints
    smoked: Bools
    quit_day: Floats  # day a smoker stopped or will stop; inf: never; past: a former smoker at entry
    u_bmi: Floats
    u_sbp: Floats
    u_ldl: Floats
    u_hdl: Floats
    u_tg: Floats
    u_glucose: Floats
    u_egfr: Floats
    u_threshold: Floats  # how readily this person's doctor starts antihypertensives
    u_frailty: Floats
    care_seeking: Floats  # multiplies the rate of routine visits, mean 1
    onset_day: dict[str, Floats]  # of chronic disease, by CHRONIC's names
    z: dict[str, Floats]
    fh_carrier: Bools
    brca1: Bools
    brca2: Bools
    family_history: dict[str, Bools]
    fh_ldl_mg_dl: Floats

    def __len__(self) -> int:
        return len(self.person_id)

    def take(self, rows: NDArray[np.intp] | Bools) -> People:
        """These people, in this order, each as often as named."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            values[field.name] = {k: v[rows] for k, v in value.items()} if isinstance(value, dict) else value[rows]
        return People(**values)


def draw_ancestry(rng: np.random.Generator, people: int) -> pd.DataFrame:
    """person_id, group and each group's share of ancestry; one in twenty has two groups' parents."""
    group = rng.choice(list(GROUPS), size=people, p=[GROUP_SHARE[g] for g in GROUPS])
    alpha = np.full((people, len(GROUPS)), 1e-3)
    for i, g in enumerate(GROUPS):
        mean = ADMIXTURE.get(g, {g: 1.0})
        concentration = 12.0 if g in ADMIXTURE else 400.0
        for source, share in mean.items():
            alpha[group == g, GROUPS.index(source)] += concentration * share
        alpha[group == g, i] += 1.0
    shares = rng.standard_gamma(alpha) + 1e-12
    shares /= shares.sum(axis=1, keepdims=True)
    mixed = rng.random(people) < 0.05
    partner = rng.integers(people, size=people)
    shares = np.where(mixed[:, None], (shares + shares[partner]) / 2, shares)
    table = pd.DataFrame(shares, columns=list(GROUPS))
    table.insert(0, "group", group)
    table.insert(0, "person_id", np.arange(1, people + 1))
    return table


def draw_people(rng: np.random.Generator, ancestry: pd.DataFrame, *, genomes: Genomes, effects: Effects) -> People:
    """Everybody's fixed traits. The draws do not depend on `effects`; only what they are turned into does."""
    n = len(ancestry)
    person_id = ancestry["person_id"].to_numpy(np.int64)
    group = ancestry["group"].to_numpy(str)
    female = rng.random(n) < 0.52
    entry_day = _draw_entry(rng, n)
    birth_day = entry_day - _draw_age_at_entry(rng, entry_day)
    deprivation = _draw_deprivation(rng, group)
    site = rng.integers(N_SITES, size=n)
    smoked, quit_day = _draw_smoking(rng, female, deprivation=deprivation, entry_day=entry_day)
    onset = {name: _draw_onset(rng, name, birth_day=birth_day, smoked=smoked) for name in CHRONIC}
    is_fh, is_brca1, is_brca2 = (
        np.isin(person_id, genomes.carriers.loc[genomes.carriers["gene_symbol"].isin(genes), "person_id"])
        for genes in (["LDLR", "APOB", "PCSK9"], ["BRCA1"], ["BRCA2"])
    )
    u = {name: rng.standard_normal(n) for name in
         ("bmi", "sbp", "ldl", "hdl", "tg", "glucose", "egfr", "threshold", "frailty")}  # fmt: skip
    return People(
        person_id=person_id,
        birth_day=birth_day,
        female=female,
        group=group,
        deprivation=deprivation,
        site=site,
        provider=site * PROVIDERS_PER_SITE + rng.integers(PROVIDERS_PER_SITE, size=n),
        entry_day=entry_day,
        smoked=smoked,
        quit_day=quit_day,
        care_seeking=np.exp(0.35 * rng.standard_normal(n) - 0.35**2 / 2),
        onset_day=onset,
        z={trait: np.asarray(z, dtype=np.float64) for trait, z in genomes.z.items()},
        fh_carrier=is_fh,
        brca1=is_brca1,
        brca2=is_brca2,
        family_history=_draw_family_history(
            rng, genomes.z, fh_carrier=is_fh, brca=is_brca1 | is_brca2, effects=effects
        ),
        fh_ldl_mg_dl=np.where(is_fh, effects.fh_ldl_mg_dl, 0.0),
        **{f"u_{name}": values for name, values in u.items()},
    )


def _draw_entry(rng: np.random.Generator, n: int) -> Ints:
    late = rng.random(n) < 0.08
    return np.where(late, rng.integers(31, END_DAY - 3 * 365, size=n), 0).astype(np.int64)


def _draw_age_at_entry(rng: np.random.Generator, entry_day: Ints) -> Ints:
    founder = 29 + 55 * rng.beta(1.6, 1.4, size=len(entry_day))
    mover = 30 + 42 * rng.beta(1.2, 2.2, size=len(entry_day))
    return np.round(np.where(entry_day == 0, founder, mover) * DAYS_PER_YEAR).astype(np.int64)


def _draw_deprivation(rng: np.random.Generator, group: NDArray[np.str_]) -> Ints:
    cumulative = np.array([np.cumsum(DEPRIVATION[g]) for g in GROUPS])[pd.Index(GROUPS).get_indexer(pd.Index(group))]
    return np.asarray(1 + (rng.random(len(group))[:, None] > cumulative[:, :4]).sum(axis=1), dtype=np.int64)


def _draw_smoking(
    rng: np.random.Generator, female: Bools, *, deprivation: Ints, entry_day: Ints
) -> tuple[Bools, Floats]:
    n = len(female)
    ever = rng.random(n) < 0.50 + 0.10 * ~female + 0.03 * (deprivation - 3)
    former_at_entry = rng.random(n) < 0.42 - 0.06 * (deprivation - 3)
    past = entry_day - DAYS_PER_YEAR * 20 * rng.random(n) - 1
    future = entry_day + DAYS_PER_YEAR * rng.exponential(1 / 0.03, size=n)
    return ever, np.where(former_at_entry, past, future)


def _draw_onset(rng: np.random.Generator, name: str, *, birth_day: Ints, smoked: Bools) -> Floats:
    """Inverse of the cumulative hazard a/b (exp(b (age-60)) - exp(b (20-60))), from age 20 on."""
    rate, slope, smoking = CHRONIC[name]
    cumulative = rng.exponential(size=len(birth_day)) / (rate * np.exp(smoking * smoked))
    if slope == 0.0:
        age = 20 + cumulative
    else:
        inside = np.exp(slope * (20 - 60)) + slope * cumulative
        age = np.where(inside > 0, 60 + np.log(np.maximum(inside, 1e-12)) / slope, 200.0)
    return np.asarray(birth_day + age * DAYS_PER_YEAR)


def _draw_family_history(
    rng: np.random.Generator, z: dict[str, Floats], *, fh_carrier: Bools, brca: Bools, effects: Effects
) -> dict[str, Bools]:
    """A first-degree relative's disease: half the person's own genomic log-hazard, as relatives share half a genome."""
    carrier = {
        "chd": np.where(fh_carrier, np.log((1 + np.exp(effects.fh_carrier)) / 2), 0.0),
        "t2d": np.zeros(len(brca)),
        "breast_cancer": np.where(brca & effects.brca, np.log((1 + 10) / 2), 0.0),
    }
    history = {}
    for trait, prevalence in FAMILY_HISTORY_PREVALENCE.items():
        log_odds = logit(prevalence) + effects.polygenic[trait] / 2 * z[trait] + carrier[trait]
        history[trait] = rng.random(len(brca)) < 1 / (1 + np.exp(-log_odds))
    return history


@dataclass(frozen=True, slots=True)
class RiskFactors:
    """Usual (error-free) levels at one day per element, in the units of the record. Lipids are without a statin."""

    age_years: Floats
    bmi: Floats
    sbp: Floats
    on_antihypertensive: Bools
    ldl: Floats
    hdl: Floats
    triglycerides: Floats
    glucose: Floats  # fasting, without diabetes
    egfr: Floats
    smoking: NDArray[np.int8]  # 0 never, 1 former, 2 current

    def total_cholesterol(self, *, on_statin: Bools | bool) -> Floats:
        """mg/dL by Friedewald's equation turned round, with a statin's effect on LDL where taken."""
        return self.ldl_on(on_statin) + self.hdl + self.triglycerides / 5

    def ldl_on(self, on_statin: Bools | bool) -> Floats:
        """LDL cholesterol, mg/dL, with a statin's effect where taken."""
        return self.ldl * np.where(on_statin, 1 - STATIN_LDL_REDUCTION, 1.0)


def risk_factors(people: People, day: Floats | Ints) -> RiskFactors:
    """Levels of people at days; `day` is (n,), or (n, years) for every person at every landmark."""
    when = np.asarray(day, dtype=np.float64)

    def column(trait: Floats | Ints | Bools) -> Floats:
        return trait.astype(np.float64).reshape(-1, *[1] * (when.ndim - 1))

    age = (when - column(people.birth_day)) / DAYS_PER_YEAR
    female = column(people.female)
    deprived = column(people.deprivation) - 3
    bmi = np.clip(28.8 + 0.5 * deprived + 0.05 * (np.minimum(age, 65) - 50) + 4.8 * column(people.u_bmi), 17, 55)
    untreated = (
        131 + 0.50 * (age - 50) + 3 * (1 - female) + 0.6 * (bmi - 28) + 1.0 * deprived + 17 * column(people.u_sbp)
    )
    treated = untreated >= 143 + 6 * column(people.u_threshold)
    tg = np.exp(np.log(125) + 0.02 * (bmi - 28) + 0.40 * column(people.u_tg))
    return RiskFactors(
        age_years=age,
        bmi=bmi,
        sbp=np.clip(untreated - 12 * treated, 85, 200),
        on_antihypertensive=treated,
        ldl=np.clip(146 + 38 * column(people.u_ldl) + column(people.fh_ldl_mg_dl), 40, 400),
        hdl=np.clip(43 + 9 * female - 0.5 * (bmi - 28) + 15 * column(people.u_hdl), 20, 110),
        triglycerides=np.clip(tg, 35, 390),
        glucose=np.clip(
            82 + 0.12 * (age - 50) + 0.4 * (bmi - 28) + 1.0 * deprived + 8 * column(people.u_glucose), 65, 125
        ),
        egfr=np.clip(95 - 0.9 * (age - 50) + 16 * column(people.u_egfr), 16, 135),
        smoking=np.where(column(people.smoked) == 1, np.where(when < column(people.quit_day), 2, 1), 0).astype(np.int8),
    )
