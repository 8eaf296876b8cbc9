"""What moves risk, over the many: a mean that can be checked by hand, an interval, and ranks that are stable or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from features.frame import FeatureFrame
from tests.made import plan_of
from training.cohort.outcome import Outcome
from training.cohort.rows import Block, Cohort, Described
from training.cohort.splits import Scheme, Split
from training.heldout.candidates import HeldOut, hold_out
from training.heldout.importance import importance
from training.heldout.plan import Plan
from training.heldout.refits import REFITS, _drawn, refits
from training.learners import Budget
from training.models.pair import Pair
from training.models.terms import terms
from training.result import Importance

NAMES = ("strong", "weak", "nothing", "gene")


def drawn(n: int = 600, *, genotyped: int = 300, seed: int = 1) -> Cohort:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, 4)).astype(np.float32)
    odds = 1.5 * values[:, 0] + 0.4 * values[:, 1] + 1.0 * values[:, 3] - 0.5
    event = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    values[genotyped:, 3] = np.nan
    when = np.full(n, np.datetime64("2020-01-01", "us"))
    frame = FeatureFrame(np.arange(n), when, NAMES, values)
    blocks = (Block("clinical", NAMES[:3], genomic=False), Block("genomic", NAMES[3:], genomic=True))
    said = {
        "strong": Described("LDL cholesterol", "measurements", modifiable=True),
        "weak": Described("age", "demographics"),
        "gene": Described("polygenic score", "polygenic"),
    }
    outcome = Outcome(np.full(n, np.nan), event, ())
    empty = np.full(n, "", dtype=object)
    return Cohort(frame, outcome, empty, blocks, ~np.isnan(values[:, 3]), empty, {}, described=said)


def scheme_of(n: int, folds: int = 3) -> Scheme:
    fold = np.arange(n) % folds
    return Scheme(
        "drawn", tuple(Split(str(k), np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds))
    )


def held_of(plan: Plan, candidate: str) -> HeldOut:
    return hold_out(plan, candidate, advance=lambda done: None)


@pytest.mark.parametrize("candidate", ["logistic", "xgboost", "stack"])
def test_importance_is_the_mean_absolute_term_of_people_held_out_and_finds_what_matters(candidate: str) -> None:
    cohort = drawn()
    scheme = scheme_of(600)
    plan = plan_of(cohort, scheme)
    held = held_of(plan, candidate)
    found = importance(plan, held)
    assert [one.feature for one in found][:2] == ["strong", "gene"]
    sums, people = dict.fromkeys(NAMES, 0.0), dict.fromkeys(NAMES, 0)
    for split, pair in zip(scheme.splits, held.pairs, strict=True):
        for row in split.test.tolist():
            alone = np.array([row])
            one = terms(pair, cohort.frame.take(alone), combined=cohort.genotyped[alone], horizons=cohort.horizons)
            for name, value in zip(one.names, one.values[0], strict=True):
                if not np.isnan(value):
                    sums[name] += abs(value)
                    people[name] += 1
    assert people["gene"] == 300  # whom the combined model serves
    for each in found:
        name = each.feature
        assert each.value == pytest.approx(sums[name] / people[name], rel=1e-5)
        low, high = ends(each)
        assert low <= each.value <= high
        assert each.rank_low <= each.rank_high
    strong = found[0]
    assert (strong.label, strong.family, strong.modifiable) == ("LDL cholesterol", "measurements", True)
    assert (strong.rank_low, strong.rank_high) == (1, 1)


def test_ranks_of_features_alike_are_not_called_stable() -> None:
    cohort = drawn()
    rng = np.random.default_rng(2)
    noise = rng.normal(size=(600, 4)).astype(np.float32)
    frame = replace(cohort.frame, values=noise)
    cohort = replace(cohort, frame=frame, genotyped=np.zeros(600, dtype=np.bool_))
    plan = plan_of(cohort, scheme_of(600), seed=2)
    found = importance(plan, held_of(plan, "xgboost"))
    assert any(one.rank_high > one.rank_low for one in found)


def test_people_are_resampled_and_not_their_rows() -> None:
    cohort = drawn()
    plan = plan_of(cohort, scheme_of(600, folds=2))
    held = held_of(plan, "logistic")
    once = importance(plan, held)
    pairs: npt.NDArray[np.int64] = (
        np.arange(600) // 4
    )  # rows of a person are on one side in no split, but that is no matter here
    in_pairs = replace(cohort, frame=replace(cohort.frame, subject_ids=pairs))
    together = importance(replace(plan, cohort=in_pairs), held)
    assert once[0].value == together[0].value
    assert ends(once[0]) != ends(together[0])


def test_the_same_chance_gives_the_same_numbers() -> None:
    cohort = drawn()
    plan = plan_of(cohort, scheme_of(600), seed=4)
    held = held_of(plan, "logistic")
    twice = [importance(plan, held) for _ in range(2)]
    assert twice[0] == twice[1]


def test_with_one_split_the_interval_is_as_wide_as_other_people_to_learn_from_make_it() -> None:
    """Against the spread over 40 independent draws of everything; people alone would make it half as wide."""
    scheme = scheme_of(600, folds=2)
    scheme = Scheme("half", scheme.splits[:1], temporal=True)
    values, wide, narrow = [], [], []
    for seed in range(40):
        cohort = drawn(seed=seed)
        plan = plan_of(cohort, scheme, seed=seed)
        held = held_of(plan, "logistic")
        others: tuple[Pair, ...] = ()
        if seed < 12:
            others = refits(plan, held, advance=lambda done: None)
            assert len(others) == REFITS
            narrow.append(_width(importance(plan, held)))
        found = importance(plan, held, others=others)
        values.append(next(one.value for one in found if one.feature == "strong"))
        if others:
            wide.append(_width(found))
            assert all(ends(one)[0] <= one.value <= ends(one)[1] for one in found)
    spread = float(np.std(values))
    assert np.mean(wide) / 3.92 == pytest.approx(spread, rel=0.3)
    assert np.mean(narrow) / 3.92 < 0.6 * spread


def ends(one: Importance) -> tuple[float, float]:
    assert one.metric.interval is not None
    return one.metric.interval


def _width(found: Sequence[Importance]) -> float:
    low, high = ends(next(one for one in found if one.feature == "strong"))
    return high - low


def test_a_refit_keeps_the_settings_that_a_search_found_and_rows_of_a_person_together() -> None:
    cohort = drawn()
    persons = np.arange(600) // 3
    cohort = replace(cohort, frame=replace(cohort.frame, subject_ids=persons))
    half = np.flatnonzero(persons < 100)
    scheme = Scheme("half", (Split("half", half, np.flatnonzero(persons >= 100)),))
    plan = plan_of(cohort, scheme)
    held = hold_out(plan, "xgboost", advance=lambda done: None, budget=Budget(3))
    found = held.pairs[0].clinical.fitted.settings
    drawn_rows = _drawn(persons[half], np.random.default_rng(1))
    count = np.bincount(drawn_rows, minlength=len(half)).reshape(-1, 3)
    assert (count == count[:, :1]).all()
    assert count.sum() == len(half)
    again = refits(plan, held, advance=lambda done: None)
    assert again[0].clinical.fitted.settings["depth"] == found["depth"]
