"""How strongly each thing acts in the simulated world: published numbers, and what each scenario switches off.

`docs/simulation.md` gives the paper of every number here and says which are assumptions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Floats
from features.errors import PresageError, meant


@dataclass(frozen=True, slots=True)
class Effects:
    """Log hazard ratios that a scenario may switch, all of them direct effects given everything else.

    polygenic: per standard deviation of the true within-ancestry score.
    fh_carrier: pathogenic variant in LDLR, APOB or PCSK9 on coronary disease, at the same LDL cholesterol.
    fh_ldl_mg_dl: what such a variant adds to LDL cholesterol.
    brca: whether carriers have the published incidence of breast cancer.
    statin_per_mmol: statin on coronary disease per mmol/L of LDL cholesterol that it removes.
    statin_per_sd: what each standard deviation of the coronary polygenic score adds to the statin's effect.
    """

    polygenic: dict[str, float]
    fh_carrier: float
    fh_ldl_mg_dl: float
    brca: bool
    statin_per_mmol: float
    statin_per_sd: float


DEFAULT = Effects(
    polygenic={"chd": math.log(1.71), "t2d": math.log(3.45) / 2.8, "breast_cancer": math.log(1.61)},
    fh_carrier=math.log(22.3 / 6.0),
    fh_ldl_mg_dl=69.0,
    brca=True,
    statin_per_mmol=math.log(0.76),
    statin_per_sd=(math.log(1 - 0.48) - math.log(1 - 0.13)) / 2.8,
)

SCENARIOS: dict[str, Effects] = {
    "default": DEFAULT,
    "no-genomic-effect": replace(
        DEFAULT,
        polygenic=dict.fromkeys(DEFAULT.polygenic, 0.0),
        fh_carrier=0.0,
        fh_ldl_mg_dl=0.0,
        brca=False,
        statin_per_sd=0.0,
    ),
    "no-treatment-benefit": replace(DEFAULT, statin_per_mmol=0.0, statin_per_sd=0.0),
}


def effects_of(scenario: str) -> Effects:
    """The scenario's effects. Raises PresageError for an unknown name."""
    if scenario not in SCENARIOS:
        raise PresageError(
            "--scenario",
            f"a scenario among {', '.join(SCENARIOS)}",
            found=f"'{scenario}'",
            way_out=meant(scenario, SCENARIOS),
        )
    return SCENARIOS[scenario]


# --- Fixed in every scenario ------------------------------------------------------------------------------------------

FAMILY_HISTORY_PREVALENCE = {"chd": 0.14, "t2d": 0.25, "breast_cancer": 0.12}
FAMILY_HISTORY_LOG_HR_CHD = {"M": math.log(2.0), "F": math.log(1.7)}  # Lloyd-Jones 2004
FAMILY_HISTORY_LOG_HR_BREAST = math.log(1.80)  # Collaborative Group 2001

FH_CARRIER_PREVALENCE = 1 / 250  # only to keep the population's risk; carriers are drawn in `carriers`
STATIN_LDL_REDUCTION = 0.30
MG_DL_PER_MMOL_CHOLESTEROL = 38.67

# Breast cancer per woman-year by five years of age from 20 (SEER White 1983-87, the baseline of BCRAT).
BREAST_INCIDENCE = np.array(
    [1.0, 7.6, 26.6, 66.1, 126.5, 186.6, 221.1, 272.1, 334.8, 392.3, 417.8, 443.9, 442.1, 410.9]
) / 1e5  # fmt: skip
# Per woman-year of carriers, by ten years of age from 21 to 80 (Kuchenbaecker 2017, table 2).
BRCA_INCIDENCE = {
    "BRCA1": np.array([5.9, 23.5, 28.3, 25.7, 25.0, 16.5]) / 1e3,
    "BRCA2": np.array([4.8, 10.8, 27.5, 30.6, 22.9, 21.9]) / 1e3,
}

DEATH_AT_50 = {"M": 0.0050, "F": 0.0032}  # per year; US life tables 2010
DEATH_PER_YEAR = {"M": 0.0856, "F": 0.0900}  # slope of log hazard in age
DEATH_LOG_HR = {
    "current": math.log(2.9),  # Jha 2013
    "former": math.log(1.4),
    "t2d": math.log(1.9),  # Emerging Risk Factors Collaboration 2015
    "chd": math.log(2.0),
    "heart_failure": math.log(2.0),
    "copd": math.log(1.7),
    "deprivation": math.log(1.7) / 4,  # per quintile, fifth against first
}

DEATH_MEAN_RATIO = 2.4  # of the ratios above in the population, so that its mortality stays the life table's

ADMISSION_AT_50 = 0.026  # per year, a never-smoker of the middle quintile without disease
ADMISSION_PER_YEAR = 0.035
ADMISSION_LOG_HR = {
    "current": math.log(1.35),
    "former": math.log(1.13),
    "t2d": math.log(1.4),
    "chd": math.log(1.6),
    "heart_failure": math.log(1.9),
    "copd": math.log(1.8),
    "atrial_fibrillation": math.log(1.4),
    "depression": math.log(1.4),
    "ckd": math.log(1.3),
    "stroke": math.log(1.5),
    "deprivation": math.log(1.4) / 4,
}
ADMISSION_FRAILTY_SD = 0.2
INFARCTION_SHARE = 0.45  # of first coronary events; they come through the emergency room


def breast_incidence(age_years: Floats) -> Floats:
    """Published population incidence of breast cancer per woman-year at this age; the last group's beyond 89."""
    group = np.clip((age_years - 20) // 5, 0, len(BREAST_INCIDENCE) - 1).astype(np.intp)
    return np.where(age_years < 20, 0.0, BREAST_INCIDENCE[group])


def brca_incidence(gene: str, age_years: Floats) -> Floats:
    """Published incidence per woman-year of carriers; the last group's beyond 80."""
    rates = BRCA_INCIDENCE[gene]
    return rates[np.clip((age_years - 21) // 10, 0, len(rates) - 1).astype(np.intp)]
