import numpy as np
import pytest
from sklearn.linear_model import Ridge

from training.cohort.rows import Dosages
from training.elsewhere.apply import aligned
from training.fitting.dosages import HERITABILITIES, learn_dosage_score
from training.models.dosages import DosageScore


def drawn(n: int, m: int, rng: np.random.Generator) -> Dosages:
    counts = rng.binomial(2, rng.uniform(0.1, 0.5, m), (n, m)).astype(np.float32)
    return Dosages(tuple(f"rs{j}" for j in range(m)), ("A",) * m, counts, np.ones(n, dtype=np.bool_))


def test_the_score_is_scikit_learns_ridge_at_one_of_the_strengths() -> None:
    rng = np.random.default_rng(3)
    dosages = drawn(200, 40, rng)
    residual = dosages.values @ rng.normal(0, 0.2, 40) + rng.normal(0, 1, 200)
    learned = learn_dosage_score(dosages, residual, persons=np.arange(200), rng=rng)
    X = (dosages.values - dosages.values.mean(axis=0)) / dosages.values.std(axis=0)
    ridges = [Ridge(alpha=40 * (1 - h) / h).fit(X, residual) for h in HERITABILITIES]
    expected = [ridge.predict(X) - residual.mean() for ridge in ridges]
    distances = [np.abs(learned.score(dosages) - score).max() for score in expected]
    assert min(distances) < 1e-4


def test_held_out_scores_of_noise_do_not_go_with_the_outcome_but_fitted_ones_do() -> None:
    rng = np.random.default_rng(5)
    agreements, fitted = [], []
    for _ in range(10):
        dosages = drawn(150, 600, rng)
        residual = rng.normal(0, 1, 150)
        learned = learn_dosage_score(dosages, residual, persons=np.arange(150), rng=rng)
        assert learned.out_of_fold is not None
        agreements.append(np.corrcoef(learned.out_of_fold, residual)[0, 1])
        fitted.append(np.corrcoef(learned.score(dosages), residual)[0, 1])
    assert abs(np.mean(agreements)) < 0.1
    assert np.mean(fitted) > 0.5


def test_nobody_without_genotypes_has_a_score() -> None:
    rng = np.random.default_rng(1)
    dosages = drawn(60, 10, rng)
    learned = learn_dosage_score(dosages, rng.normal(0, 1, 60), persons=np.arange(60), rng=rng)
    absent = Dosages(
        dosages.variants, dosages.alleles, np.full((1, 10), np.nan, np.float32), np.zeros(1, dtype=np.bool_)
    )
    assert np.isnan(learned.score(absent)).all()


def test_counts_of_the_other_allele_are_turned_round_and_of_an_unknown_one_not_called() -> None:
    score = DosageScore(("rs1", "rs2", "rs3", "rs4", "rs5"), ("A",) * 5, np.ones(5), np.ones(5))
    counts = np.array([[0, 0, 0, 0], [2, 2, 2, 2], [np.nan] * 4], dtype=np.float32)
    called = np.array([True, True, True])
    # as learned; the other allele counted; the other strand; another change at the place; and rs5 absent
    here = Dosages(("rs4", "rs3", "rs2", "rs1"), ("C", "T", "G", "A"), counts, called, ("G", "C", "A", "G"))
    found = aligned(here, score)
    nan = np.nan
    assert found.values.tolist() == pytest.approx(
        np.array([[0, 2, nan, nan, nan], [2, 0, nan, nan, nan], [nan] * 5]), nan_ok=True
    )
    assert found.called.tolist() == [True, True, False]  # of the last nothing is known


def test_without_the_other_alleles_nothing_is_turned_round() -> None:
    score = DosageScore(("rs1",), ("A",), np.ones(1), np.ones(1))
    here = Dosages(("rs1",), ("G",), np.array([[1]], dtype=np.float32), np.array([True]))
    assert not aligned(here, score).called.any()
