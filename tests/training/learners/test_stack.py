from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from training.learners.stack import simplex_minimum, stack_weights
from training.learners.targets import Target


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), members=st.integers(1, 4))
def test_weights_are_the_minimum_on_the_simplex(seed: int, members: int) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(members + 2, members))
    quadratic, linear = factor.T @ factor, rng.normal(size=members)
    found = simplex_minimum(quadratic, linear)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= 0).all()
    other = minimize(
        lambda w: w @ quadratic @ w - 2 * linear @ w,
        np.full(members, 1 / members),
        bounds=[(0, 1)] * members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        method="SLSQP",
        tol=1e-12,
    )
    value = found @ quadratic @ found - 2 * linear @ found
    assert value <= other.fun + 1e-7


def test_many_events_find_the_better_member_wherever_it_stands_and_few_leave_it_to_the_first() -> None:
    rng = np.random.default_rng(1)
    truth = rng.beta(2, 6, 5000)
    goal = Target(float("nan"), rng.random(5000) < truth, np.ones(5000))
    noisy = np.clip(truth + rng.normal(0, 0.2, 5000), 0, 1)
    better_first, better_last = np.stack([truth, noisy])[:, :, None], np.stack([noisy, truth])[:, :, None]
    assert stack_weights(better_first, [goal], events=100_000)[0] > 0.95
    assert stack_weights(better_last, [goal], events=100_000)[1] > 0.95
    assert stack_weights(better_last, [goal], events=1)[0] > 0.98
    assert stack_weights(better_last, [], events=100)[0] == pytest.approx(0.75)
    assert stack_weights(better_last, [], events=300) == pytest.approx([0.5, 0.5])
