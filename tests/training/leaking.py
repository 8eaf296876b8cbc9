"""Generated tables with a column that knows the outcome, and tables without one, for tests of the guard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Leak = Callable[[pd.DataFrame, np.random.Generator], "pd.Series[float]"]


def honest_table(rng: np.random.Generator, *, timed: bool) -> pd.DataFrame:
    """Covariates of many kinds, some of which go with the outcome as real ones do. relapse_at: hidden, for leaks."""
    n = int(rng.integers(150, 1500))
    age, sex = rng.normal(60, 12, n).round(1), rng.choice(["F", "M"], n)
    lab, stage = np.exp(rng.normal(0, 0.7, n)).round(2), rng.choice(["I", "II", "III", "IV"], n, p=[0.4, 0.3, 0.2, 0.1])
    count = rng.poisson(2, n)
    score = 0.04 * (age - 60) + 0.5 * np.log(lab) + 0.6 * (stage == "IV") + 0.15 * count
    at = rng.exponential(np.exp(-score) * float(rng.uniform(500, 4000)))
    relapse = rng.exponential(np.exp(-score) * float(rng.uniform(800, 2500)))
    left = rng.uniform(100, 2500, n)
    table = pd.DataFrame(
        {"age": age, "sex": sex, "lab": lab, "stage": stage, "nodes": count, "noise": rng.normal(size=n)}
    )
    table.loc[rng.random(n) < 0.1, "lab"] = np.nan
    if timed:
        table["days"] = np.maximum(np.minimum(at, left), 1).round()
        table["died"] = (at <= left).astype(int)
    else:
        table["died"] = (rng.random(n) < 1 / (1 + np.exp(rng.uniform(0, 2) - score))).astype(int)
    return table.assign(relapse_at=relapse.round() + 1)


def _dates(table: pd.DataFrame, rng: np.random.Generator, days: Floats | pd.Series[float]) -> pd.Series[str]:
    start = pd.Timestamp("2008-03-01") + pd.to_timedelta(rng.integers(0, 1500, len(table)), unit="D")
    return pd.Series(start + pd.to_timedelta(np.asarray(days).round(), unit="D")).dt.strftime("%Y-%m-%d")


def _noisy(values: pd.Series[float], rng: np.random.Generator, share: float) -> pd.Series[float]:
    """The values, a share of them those of somebody else."""
    mixed = values.to_numpy().copy()
    some = np.flatnonzero(rng.random(len(mixed)) < share)
    mixed[some] = mixed[rng.permutation(some)]
    return pd.Series(mixed)


LEAKS: dict[str, Leak] = {
    "the outcome in other words": lambda t, g: t["died"].map({0: "alive", 1: "dead"}),
    "the outcome turned round": lambda t, g: 1 - t["died"],
    "the outcome with a few mistakes": lambda t, g: _noisy(t["died"], g, 0.03),
    "a score made after the outcome": lambda t, g: t["died"] * 4 + pd.Series(g.normal(size=len(t))),
    "known of those with the event alone": lambda t, g: pd.Series(g.normal(size=len(t))).where(t["died"] == 1),
    "a cause of death": lambda t, g: pd.Series(g.choice(["heart", "tumour", "other"], len(t))).where(t["died"] == 1),
    "done in some of those with the event": lambda t, g: t["died"] * (g.random(len(t)) < 0.6),
    "never done in those with the event": lambda t, g: (1 - t["died"]) * (g.random(len(t)) < 0.9),
    "a date": lambda t, g: _dates(t, g, g.integers(0, 900, len(t))),
    "a day as a number": lambda t, g: _dates(t, g, g.integers(0, 900, len(t))).str.replace("-", "").astype(int),
    "a number of the row": lambda t, g: pd.Series(np.arange(1001, 1001 + len(t))),
    "a long number of the row": lambda t, g: pd.Series(g.choice(900_000, len(t), replace=False) + 100_000),
}
TIMED_LEAKS: dict[str, Leak] = {
    "the follow-up time in months": lambda t, g: (t["days"] / 30.4375).round(1),
    "the follow-up time in whole months": lambda t, g: (t["days"] / 30.4375).round(),
    "the follow-up time on another scale": lambda t, g: -np.log(t["days"]),
    "the follow-up time with noise": lambda t, g: t["days"] * pd.Series(g.uniform(0.85, 1.0, len(t))),
    "the time of death": lambda t, g: t["days"].where(t["died"] == 1),
    "a relapse-free survival": lambda t, g: np.minimum(t["days"], t["relapse_at"]),
    "the date of last contact": lambda t, g: _dates(t, g, t["days"]),
    "relapsed or died": lambda t, g: ((t["relapse_at"] <= t["days"]) | (t["died"] == 1)).astype(int),
    "a time that is seldom the follow-up": lambda t, g: np.minimum(t["days"], (t["relapse_at"] / 2).round()),
    "a relapse-free survival in years": lambda t, g: (np.minimum(t["days"], t["relapse_at"]) / 365.25).round(2),
}


def leaking_table(seed: int) -> tuple[pd.DataFrame, str, str, bool]:
    """A table, the name of its leaking column, which leak it is, and whether it has a time; all leaks come in turn."""
    rng = np.random.default_rng([seed, 12])
    kinds = [*((name, timed) for name in LEAKS for timed in (False, True)), *((name, True) for name in TIMED_LEAKS)]
    kind, timed = kinds[seed % len(kinds)]
    table = honest_table(rng, timed=timed)
    leak = {**LEAKS, **TIMED_LEAKS}[kind]
    name = f"x{seed}"
    where = int(rng.integers(0, 6))
    table.insert(where, name, np.asarray(leak(table, rng)))
    return table.drop(columns="relapse_at"), name, kind, timed
