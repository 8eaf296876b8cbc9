from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from features.frame import FeatureFrame
from training.fitted.design import Design
from training.learners.design import learn_design


def frame_of(values: npt.ArrayLike, **more: object) -> FeatureFrame:
    array = np.asarray(values, dtype=np.float32)
    names = tuple(f"f{j}" for j in range(array.shape[1]))
    when = np.full(len(array), np.datetime64("2020-01-01", "us"))
    return FeatureFrame(np.arange(len(array)), when, names, array, **more)  # type: ignore[arg-type]


def mixed(n: int = 300, seed: int = 1) -> FeatureFrame:
    rng = np.random.default_rng(seed)
    continuous, heaped = rng.normal(size=n), np.maximum(rng.normal(size=n), 0)
    few, two, level = rng.integers(0, 4, n), rng.integers(0, 2, n), rng.integers(0, 3, n)
    absent, constant = np.full(n, np.nan), np.ones(n)
    values = np.column_stack([continuous, heaped, few, two, level, absent, constant])
    values[rng.random(n) < 0.2, 0] = np.nan
    return frame_of(values, levels={"f4": ("a", "b", "c")})


def test_what_each_kind_of_feature_becomes() -> None:
    design = learn_design(mixed())
    columns = {name: int((design.owners == j).sum()) for j, name in enumerate(design.names)}
    assert columns == {"f0": 1 + 3 + 1, "f1": 1 + 3, "f2": 1 + 4, "f3": 1, "f4": 3, "f5": 0, "f6": 0}


def test_columns_are_centred_and_an_absent_fact_adds_nothing_but_its_own_column() -> None:
    frame = mixed()
    design = learn_design(frame)
    X = design.matrix(frame)
    assert X.mean(axis=0) == pytest.approx(np.zeros(X.shape[1]), abs=0.02)
    absent = np.isnan(frame.values[:, 0])
    mine = (design.owners == 0) & (design.groups != 3)
    assert (X[absent][:, mine] == 0).all()


def test_curves_are_harrells_restricted_cubic_splines() -> None:
    """Straight beyond the outer knots, and spanning what truncated cubes span."""
    x = np.linspace(-3, 3, 601)
    design = learn_design(frame_of(x[:, None]))
    X = design.matrix(frame_of(x[:, None]))
    knots = design.knots[0]
    assert knots == pytest.approx(np.quantile(x, (0.05, 0.275, 0.5, 0.725, 0.95)), abs=3 / 64)  # on a grid
    beyond = (x > knots[-1]) & (x < design.high[0])
    assert np.abs(np.diff(X[beyond], n=2, axis=0)).max() < 1e-5
    naive = [x, *(_truncated(x, knots, j) for j in range(3))]
    inside = (x > design.low[0]) & (x < design.high[0])
    basis = np.column_stack([np.ones(len(x)), *naive])[inside]
    coefficients = np.linalg.lstsq(basis, X[inside], rcond=None)[0]
    assert basis @ coefficients == pytest.approx(X[inside], abs=1e-4)


def _truncated(x: npt.NDArray[np.float64], t: npt.NDArray[np.float64], j: int) -> npt.NDArray[np.float64]:
    def cube(at: float) -> npt.NDArray[np.float64]:
        return np.maximum(x - at, 0) ** 3

    span = t[4] - t[3]
    return cube(t[j]) - cube(t[3]) * (t[4] - t[j]) / span + cube(t[4]) * (t[3] - t[j]) / span


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
def test_the_design_survives_json_and_answers_one_row_as_many(seed: int) -> None:
    frame = mixed(120, seed)
    design = learn_design(frame)
    again = Design.from_json(json.loads(json.dumps(design.to_json())))
    X = design.matrix(frame)
    assert (again.matrix(frame) == X).all()
    one = np.concatenate([again.matrix(frame.take(np.array([i]))) for i in range(5)])
    assert one == pytest.approx(X[:5], abs=1e-12)


def test_values_beyond_training_are_clipped_and_unknown_levels_are_average() -> None:
    frame = mixed()
    design = learn_design(frame)
    far = frame.take(np.arange(2))
    values = far.values.copy()
    values[0, 0], values[1, 0] = 1e9, np.nanmax(frame.values[:, 0])
    X = design.matrix(FeatureFrame(far.subject_ids, far.as_of, far.names, values, far.levels))
    assert np.abs(X).max() < 20
    mine = design.owners == 0
    assert X[0, mine] == pytest.approx(X[1, mine])


def test_a_missing_feature_is_named() -> None:
    design = learn_design(mixed())
    with pytest.raises(ValueError, match="'f0'"):
        design.matrix(mixed().only(("f1", "f2")))


def test_codes_are_screened_by_relevance_and_kept_by_name() -> None:
    rng = np.random.default_rng(1)
    counts = sparse.csr_matrix((rng.random((400, 300)) < 0.1).astype(np.float32))
    relevance = np.asarray(counts[:, 7].todense()).ravel() - 0.1 + rng.normal(0, 0.1, 400)
    names = tuple(f"c{j}" for j in range(300))
    frame = frame_of(rng.normal(size=(400, 1)), codes=counts, code_names=names)
    design = learn_design(frame, relevance=relevance)
    assert "c7" in design.code_names
    assert len(design.code_names) == 100
    other = frame_of(frame.values, codes=counts[:, ::-1], code_names=names[::-1])
    assert (design.matrix(other) == design.matrix(frame)).all()
