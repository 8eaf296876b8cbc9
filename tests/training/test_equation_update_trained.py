"""A study whose candidate updates its equation: what is served, and what is said of whom the equation cannot answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.errors import PresageError
from training.bundle import load
from training.heldout import Plan, candidates_of, hold_out
from training.models.terms import terms
from training.registry.versions import bundle_of
from training.study import Study
from training.train import cohort_of, train

ACR = "urine_acr_mg_g_latest_1825d"
INPUTS = ["age_years", "sex_female", "egfr_ml_min_173m2_latest_1825d", ACR]


def kidneys(n: int = 500, *, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"age_years": rng.integers(40, 80, n), "sex_female": rng.integers(0, 2, n), INPUTS[2]: rng.uniform(15, 59, n),
         ACR: np.exp(rng.normal(4.5, 1.2, n)), "prs": rng.normal(size=n)}
    )  # fmt: skip
    score = -0.11 * (table[INPUTS[2]] - 36) + 0.4 * (np.log(table[ACR]) - 4.5) + 0.7 * table["prs"]
    at, left = 1825 * rng.exponential(6 * np.exp(-score)), rng.uniform(300, 3600, n)
    table.loc[rng.random(n) < 0.15, ACR] = np.nan
    table.loc[rng.random(n) < 0.5, "prs"] = np.nan
    return table.assign(days=np.minimum(at, left), failed=(at <= left).astype(int))


def study(**features: object) -> Study:
    return Study(
        name="kidneys",
        source={},
        outcome={"time": "days", "event": "failed", "horizons_days": [730, 1825]},
        features={"equation": "kfre_5y", "blocks": {"clinical": INPUTS, "genomic": ["prs"]}, **features},
        models={"candidates": ["equation_update"]},
        validation={"folds": 2, "bootstraps": 10},
    )


def test_the_bundle_says_whom_the_equation_cannot_answer_and_scores_them_clinically(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRESAGE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    table = kidneys()
    result = train(study(), table=table).result
    assert result.chosen.candidate == "equation_update"
    assert result.registered is not None
    bundle = load(bundle_of("kidneys", result.registered.version).folder)
    cohort, _ = cohort_of(study(), table=table)
    answer = bundle.risk(cohort.frame)
    lacks, tested = table[ACR].isna().to_numpy(), table["prs"].notna().to_numpy()
    assert set(answer.model[tested]) == {"combined"}
    assert set(answer.model[~tested]) == {"clinical"}
    needs = "not the updated kfre_5y: urine albumin to creatinine ratio missing"
    assert set(answer.reason[lacks & tested]) == {needs}
    assert set(answer.reason[lacks & ~tested]) == {f"{needs}; no genomic results"}
    assert set(answer.reason[~lacks & tested]) == {""}
    assert set(answer.reason[~lacks & ~tested]) == {"no genomic results"}
    told = terms(bundle.pair, cohort.frame, combined=tested, horizons=bundle.horizons_days)
    assert result.equation is not None
    assert result.equation.name == "kfre_5y"
    assert result.equation.people > 0
    assert set(told.names) == {*INPUTS, "prs"}
    assert {one.feature for one in result.importance} <= {*INPUTS, "prs"}
    assert (np.diff(answer.risk, axis=1) >= 0).all()


def test_a_candidate_without_its_equation_is_refused_before_anything_is_fitted() -> None:
    cohort, _ = cohort_of(study(equation=None), table=kidneys())
    with pytest.raises(PresageError, match=r"\[features\] equation"):
        candidates_of(study(equation=None), cohort)
    narrow = study(blocks={"clinical": INPUTS[:3], "genomic": ["prs"]}, exclude=[ACR])
    with pytest.raises(PresageError, match=ACR):
        candidates_of(narrow, cohort_of(narrow, table=kidneys())[0])


def test_a_study_may_hold_its_other_candidates_beside_it() -> None:
    cohort, _ = cohort_of(study(), table=kidneys())
    plan = Plan.of(study(), cohort, seed=1)
    update, cox = (hold_out(plan, name, advance=lambda _: None) for name in ("equation_update", "cox"))
    assert update.clinical.shape == cox.clinical.shape
    assert not np.array_equal(update.clinical, cox.clinical)
