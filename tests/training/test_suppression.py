from __future__ import annotations

import os

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from training.disclosure.counts import suppress

EXAMPLES = 400 if os.environ.get("PRESAGE_SLOW") else 40
counts = st.sampled_from([0, 0, 1, 3, 10, 11, 12, 25, 60])
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(counts, min_size=width, max_size=width), min_size=1, max_size=4)
)


def whole(table: list[list[int]]) -> np.ndarray:
    """The table with its totals."""
    rows = np.asarray(table)
    rows = np.vstack([rows, rows.sum(axis=0)])
    return np.hstack([rows, rows.sum(axis=1, keepdims=True)])


def published(table: list[list[int]]) -> list[list[int | None]]:
    shown = suppress(table)
    body = [[*row, total] for row, total in zip(shown.cells, shown.row_totals, strict=True)]
    return [*body, [*shown.column_totals, shown.total]]


def bounds(shown: list[list[int | None]]) -> dict[tuple[int, int], tuple[float, float]]:
    """What a reader can work out of each hidden count: linear programmes over all tables that look the same."""
    height, width = len(shown), len(shown[0])
    hidden = [(r, c) for r in range(height) for c in range(width) if shown[r][c] is None]
    lines = [[(r, c) for c in range(width)] for r in range(height)]
    lines += [[(r, c) for r in range(height)] for c in range(width)]
    left, right = np.zeros((len(lines), len(hidden))), np.zeros(len(lines))
    for i, line in enumerate(lines):
        for place, at in enumerate(line):
            sign = -1 if place == len(line) - 1 else 1
            value = shown[at[0]][at[1]]
            if value is None:
                left[i, hidden.index(at)] = sign
            else:
                right[i] -= sign * value
    found = {}
    for j, at in enumerate(hidden):
        goal = np.eye(len(hidden))[j]
        low = linprog(goal, A_eq=left, b_eq=right, bounds=(0, None))
        high = linprog(-goal, A_eq=left, b_eq=right, bounds=(0, None))
        found[at] = (low.fun, np.inf if high.status == 3 else -high.fun)
    return found


@settings(max_examples=EXAMPLES, deadline=None)
@given(tables)
def test_no_reader_can_work_out_a_small_count_from_what_is_shown(table: list[list[int]]) -> None:
    shown, truth = published(table), whole(table)
    for (row, column), (low, high) in bounds(shown).items():
        if 0 < truth[row, column] < 11:
            assert high - low >= 1, (table, shown)


@settings(max_examples=EXAMPLES, deadline=None)
@given(tables)
def test_what_is_shown_is_true_and_never_1_to_10(table: list[list[int]]) -> None:
    for line, true in zip(published(table), whole(table).tolist(), strict=True):
        for value, expected in zip(line, true, strict=True):
            assert value is None or (value == expected and not 1 <= value <= 10)


def test_a_table_without_small_counts_is_shown_whole() -> None:
    assert published([[11, 0], [30, 12]]) == whole([[11, 0], [30, 12]]).tolist()


def test_one_small_count_takes_its_complements_with_it() -> None:
    assert published([[5, 20, 40], [30, 50, 60]]) == [[None, None, 40, 65], [None, None, 60, 140], [35, 70, 100, 205]]
