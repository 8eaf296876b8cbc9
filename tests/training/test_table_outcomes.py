"""Which values of the outcome's column are the event: by spelling, number or comparison, or refused with a way out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from training.cohort.events import events_of
from training.study import OutcomeSection

WORDS = ("alive", "Dead of disease", "lost", "relapsed", "Großes Herz", "<30", "yes", "no")


def codes(values: Any, *, timed: bool = True, must_occur: bool = True, **section: Any) -> list[int]:
    column = values if isinstance(values, pd.Series) else pd.Series(values, name="status")
    made = OutcomeSection.model_validate({"event": "status", **({"time": "days"} if timed else {}), **section})
    return events_of(column, made, path="people.csv", must_occur=must_occur).tolist()


def refused(values: Any, **section: Any) -> str:
    with pytest.raises(PresageError) as caught:
        codes(values, **section)
    return str(caught.value)


def respelt(word: str, how: int) -> str:
    return (word, f" {word}", f"{word}\t ", word.upper(), word.lower(), word.title())[how]


@settings(deadline=None, max_examples=60)
@given(
    people=st.lists(st.tuples(st.integers(0, len(WORDS) - 1), st.integers(0, 5)), min_size=3, max_size=60),
    positive=st.sets(st.integers(0, len(WORDS) - 1), min_size=1, max_size=3),
    competing=st.sets(st.integers(0, len(WORDS) - 1), max_size=2),
    how=st.integers(0, 5),
)
def test_words_are_the_same_whatever_their_capitals_and_blanks(
    people: list[tuple[int, int]], positive: set[int], competing: set[int], how: int
) -> None:
    """Each person has a word, spelt somehow; the study names words, spelt somehow else."""
    competing = competing - positive
    present = {word for word, _ in people}
    column = [respelt(WORDS[word], way) for word, way in people]
    section: dict[str, Any] = {"positive": [respelt(WORDS[one], how) for one in sorted(positive)]}
    if competing:
        section["competing"] = [respelt(WORDS[one], how) for one in sorted(competing)]
    if not (positive | competing) <= present:
        assert "which no row has" in refused(column, **section)
    elif present <= positive:
        assert "every row has a value" in refused(column, **section)
    else:
        expected = [1 if word in positive else 2 if word in competing else 0 for word, _ in people]
        assert codes(column, **section) == expected


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.integers(-3, 6), min_size=4, max_size=50),
    positive=st.integers(-3, 6),
    kind=st.sampled_from(["int", "float", "text", "padded", "decimal"]),
    spelt=st.sampled_from(["{}", "{}.0", " {} ", "{}e0"]),
)
def test_numbers_are_compared_as_numbers(numbers: list[int], positive: int, kind: str, spelt: str) -> None:
    column: Any = {
        "int": numbers,
        "float": [float(one) for one in numbers],
        "text": [str(one) for one in numbers],
        "padded": [f" {one}" for one in numbers],
        "decimal": [f"{one}.00" for one in numbers],
    }[kind]
    section = {"positive": [spelt.format(positive)]}
    if positive not in numbers:
        assert "which no row has" in refused(column, **section)
    elif set(numbers) != {positive}:
        assert codes(column, **section) == [int(one == positive) for one in numbers]


@settings(deadline=None, max_examples=60)
@given(
    numbers=st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=50),
    sign=st.sampled_from([">=", ">", "<=", "<"]),
    bound=st.integers(-100, 100),
)
def test_a_comparison_cuts_a_number_at_its_bound(numbers: list[float], sign: str, bound: int) -> None:
    expected = [
        int({">=": one >= bound, ">": one > bound, "<=": one <= bound, "<": one < bound}[sign]) for one in numbers
    ]
    if 0 < sum(expected) < len(expected):
        assert codes(numbers, timed=False, positive=f"{sign} {bound}") == expected
        assert codes(numbers, timed=False, positive=[f"{sign}{bound}"]) == expected
    else:
        assert "expected" in refused(numbers, timed=False, positive=f"{sign} {bound}")


def test_a_text_that_begins_like_a_comparison_is_that_text_where_the_column_holds_it() -> None:
    assert codes(["<30", "NO", ">30", "<30"], timed=False, positive="<30") == [1, 0, 0, 1]


@settings(deadline=None, max_examples=40)
@given(
    people=st.lists(st.sampled_from([1, 2]), min_size=2, max_size=80).filter(lambda found: len(set(found)) == 2),
    kind=st.sampled_from([int, float, str]),
    timed=st.booleans(),
)
def test_one_and_two_without_a_zero_are_refused_with_both_readings_and_each_key_settles_it(
    people: list[int], kind: type, *, timed: bool
) -> None:
    column = [kind(one) for one in people]
    said = refused(column, timed=timed)
    assert "found 1 and 2 without any 0" in said
    assert 'positive = "2"' in said
    assert 'positive = "1"' in said
    assert codes(column, timed=timed, positive="2") == [one - 1 for one in people]
    if timed:
        assert 'competing = "2"' in said
        assert codes(column, positive=1, competing=2) == people
    else:
        assert codes(column, timed=False, positive=1) == [2 - one for one in people]


def test_with_a_zero_the_codes_are_our_own() -> None:
    assert codes([0, 1, 2, 2]) == [0, 1, 2, 2]
    assert codes(["0", "1", "1"], timed=False) == [0, 1, 1]
    assert codes([True, False, True], timed=False) == [1, 0, 1]
    assert codes([True, False, True], timed=False, positive="false") == [0, 1, 0]
    assert codes([1, 1, 1]) == [1, 1, 1]


def test_the_error_says_what_the_column_holds_but_nothing_that_fewer_than_eleven_rows_have() -> None:
    said = refused(["yes"] * 20 + ["no"] * 30 + ["secretly"] * 2, timed=False, positive="ja")
    assert "[outcome] positive: expected values that column 'status' holds" in said
    assert "'ja', which no row has ('no' and 'yes', and 1 rarer value)" in said
    assert "'no' and 'yes'" in refused(["yes"] * 20 + ["no"] * 30, timed=False)
    assert "secretly" not in said
    assert "secretly" not in refused(["yes"] * 20 + ["no"] * 30 + ["secretly"] * 2, timed=False)


def test_a_continuous_outcome_is_said_to_be_unsupported_and_how_to_cut_it() -> None:
    said = refused(np.random.default_rng(1).normal(48, 6, 200), timed=False)
    assert "200 different values: a continuous outcome, which is not supported" in said
    assert 'positive = ">= 49"' in said


def test_elsewhere_nobody_need_have_each_value() -> None:
    assert codes(["dead", "alive"], positive="dead", competing="moved", must_occur=False) == [1, 0]


def test_a_value_is_the_event_or_competes() -> None:
    assert "in both" in refused([0, 1, 2], positive=[1, 2], competing=2)
    assert "no [outcome] time" in refused([0, 1, 2], timed=False, positive=1, competing=2)
    assert "[outcome] positive" in refused([0, 1, 2], competing=2)
