"""Columns of a flat table: what is named is what is used, a number is a number, and folds say what is odd."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import PresageError
from training.cohort.blocks import allowed_names, matching, named_blocks
from training.cohort.columns import read_column
from training.cohort.splits import make_splits
from training.cohort.table import read_flat
from training.elsewhere.apply import _as_trained
from training.study import FeaturesSection, Study, Validation

NAMES = ("age", "sex", "ldh", "LDH [U/L]", "LDH U", "x*", "xy", "q?", "qa", "gene_1", "gene_2", "site", "[a", "a]", "a")
PATTERNS = st.lists(st.sampled_from([*NAMES, "gene_*", "l*", "?"]), min_size=1, max_size=3, unique=True)


def by_name(pattern: str, names: list[str]) -> list[str]:
    """What a pattern stands for: a name is itself, and nothing else."""
    return [pattern] if pattern in names else [name for name in names if fnmatch.fnmatchcase(name, pattern)]


@settings(deadline=None, max_examples=100)
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=12, unique=True),
    blocks=st.dictionaries(st.sampled_from(["clinical", "imaging", "genomic"]), PATTERNS, min_size=1, max_size=3),
    rest=st.sampled_from([None, "clinical", "imaging"]),
)
def test_what_is_named_is_what_is_used_and_the_rest_is_left_out_or_where_it_was_asked_for(
    names: list[str], blocks: dict[str, list[str]], rest: str | None
) -> None:
    if rest == "imaging" and rest not in blocks:
        rest = None
    section = FeaturesSection.model_validate({"blocks": blocks, "rest": rest})
    listed = {block: [by_name(pattern, names) for pattern in patterns] for block, patterns in blocks.items()}
    every = {name for found in listed.values() for hits in found for name in hits}
    if not all(hits for found in listed.values() for hits in found):
        with pytest.raises(PresageError, match="which is like none"):
            named_blocks(section, names, where="study")
        return
    everybody = {name for block, found in listed.items() if block != "genomic" for hits in found for name in hits}
    genomic = {name for hits in listed.get("genomic", []) for name in hits}
    order = list(blocks)
    if "genomic" in order:  # a name belongs to the first block that names it
        before = {name for block in order[: order.index("genomic")] for hits in listed[block] for name in hits}
        genomic -= before
        everybody = every - genomic
    if not everybody and (rest is None or set(names) <= every):
        with pytest.raises(PresageError, match="at least one feature that everybody has"):
            named_blocks(section, names, where="study")
        return
    found_blocks, left_out = named_blocks(section, names, where="study")
    used = [name for block in found_blocks for name in block.features]
    assert len(used) == len(set(used))
    if rest is None:
        assert set(used) == every
        assert set(left_out) == set(names) - every
    else:
        assert set(used) == set(names)
        assert left_out == ()
        taker = next(block for block in found_blocks if block.name == rest)
        assert set(names) - every <= set(taker.features)


def test_rest_may_stand_among_the_blocks_and_names_a_block() -> None:
    inside = FeaturesSection.model_validate({"blocks": {"clinical": ["age"], "rest": "clinical"}})
    assert inside == FeaturesSection.model_validate({"blocks": {"clinical": ["age"]}, "rest": "clinical"})
    with pytest.raises(PresageError, match=r"\[features\] rest: expected a block among clinical, genomic"):
        Study(
            name="x",
            outcome={"event": "y"},
            features={"blocks": {"clinical": ["a"], "genomic": ["b"]}, "rest": "genome"},
        )


def test_a_study_without_blocks_uses_every_column() -> None:
    [block], left_out = named_blocks(FeaturesSection(), ["age", "sex"], where="study")
    assert (block.name, block.features, left_out) == ("clinical", ("age", "sex"), ())


@settings(deadline=None, max_examples=60)
@given(names=st.lists(st.text("ab[]*?!-", min_size=1, max_size=4), min_size=1, max_size=8, unique=True))
def test_every_name_can_be_named_whatever_signs_it_holds(names: list[str]) -> None:
    for name in names:
        assert matching([name], names, where="study") == [name]
    section = FeaturesSection.model_validate({"exclude": names[:1]})
    assert allowed_names(section, names, where="study") == names[1:]


WRONG = ("<1", "> 200", "≤0.5", "~3", "3,5", "1,234", "<0,5", "hemolysed", "see note", "neg", "12 mg")
WRONG = ("<1", "> 200", "≤0.5", "~3", "3,5", "1,234", "<0,5", "hemolysed", "see note", "neg", "12 mg")
GONE_WRONG = st.sampled_from(WRONG)


@settings(deadline=None, max_examples=100)
@given(
    numbers=st.lists(st.floats(0, 1000).map(lambda x: round(x, 2)), min_size=20, max_size=45, unique=True),
    wrong=GONE_WRONG,
    at=st.integers(0, 19),
    absent=st.sets(st.integers(0, 19), max_size=5),
)
def test_text_in_a_numeric_column_is_said_with_its_row_and_without_its_value(
    numbers: list[float], wrong: str, at: int, absent: set[int]
) -> None:
    values: list[Any] = [None if i in absent else f"{number:g}" for i, number in enumerate(numbers)]
    values[at] = wrong
    column = pd.Series(values, name="crp", index=np.arange(len(values)) + 2)
    with pytest.raises(PresageError) as caught:
        read_column(column, path="people.csv")
    said = str(caught.value)
    assert said.startswith(f"people.csv, row {at + 2}, column 'crp': expected a number, as in most rows of the column")
    assert wrong not in said
    assert read_column(column, path="people.csv", is_category=True).levels is not None


@pytest.mark.parametrize(
    "values",
    [
        ["I", "II", "III", "IV"],
        ["1", "2", "3A", "3B"],
        ["<50", "50 to 60", ">60"],
        ["1", "2", "3", "unknown"],
        [f"{i}.1" for i in range(30)] + ["V57", "E909", "V10.2"],  # ICD-9
        ["a, b", "b, c"],
    ],
)
def test_categories_stay_categories(values: list[str]) -> None:
    column = pd.Series(values * 5, name="x")
    assert read_column(column, path="people.csv").levels == tuple(sorted(set(values)))


def test_a_decimal_comma_in_every_row_is_said_too() -> None:
    column = pd.Series(["1,5", "2,25", "3,0", None], name="crp", index=[2, 3, 4, 5])
    with pytest.raises(PresageError, match=r"row 2, column 'crp': .* found a number with a comma in it"):
        read_column(column, path="people.csv")


@pytest.mark.parametrize("written", ["%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%Y-%m-%dT%H:%M:%S"])
def test_dates_are_days_and_known_to_be_dates(written: str) -> None:
    moments = pd.Series(pd.date_range("1970-01-01", periods=400, freq="D"))
    read = read_column(moments.dt.strftime(written).rename("seen"), path="people.csv")
    assert read.is_date
    np.testing.assert_array_equal(read.values, np.arange(400.0))
    assert read_column(moments.rename("seen"), path="people.csv").is_date


def cohort_of(folder: Path, ids: list[str]) -> Any:
    rows = "".join(f"{one},{i % 7},{i % 2}\n" for i, one in enumerate(ids))
    (folder / "people.csv").write_text("id,age,ill\n" + rows)
    study = Study(name="drawn", source={"id": "id", "table": "people.csv"}, outcome={"event": "ill"})
    return read_flat(study, folder)


def scheme_of(folder: Path, ids: list[str], text: str) -> Any:
    (folder / "folds.csv").write_text(text)
    cohort = cohort_of(folder, ids)
    return make_splits(cohort, Validation(fold_file="folds.csv"), folder=folder, rng=np.random.default_rng(0))


IDS = [f"{i:03d}" for i in range(80)]


def test_an_id_twice_in_a_fold_file_is_refused_by_its_row(tmp_path: Path) -> None:
    lines = "".join(f"{one},{i // 2 % 2}\n" for i, one in enumerate(IDS))
    with pytest.raises(PresageError, match="row 82, column 'id': expected each id once, found one of an earlier row"):
        scheme_of(tmp_path, IDS, "id,fold\n" + lines + "007,1\n")
    given_lines = "".join(f"{'test' if i // 2 % 2 else 'train'},1,{one}\n" for i, one in enumerate(IDS))
    with pytest.raises(PresageError, match="row 82, column 'row_id': expected each row_id of an iteration once"):
        scheme_of(tmp_path, IDS, "set,iteration,row_id\n" + given_lines + "train,1,007\n")


def test_rows_of_no_fold_and_ids_of_no_row_are_said(tmp_path: Path) -> None:
    lines = "".join(f"{one},{i // 2 % 2}\n" for i, one in enumerate(IDS[:60])) + "".join(f"X{i},1\n" for i in range(12))
    found = scheme_of(tmp_path, IDS, "id,fold\n" + lines)
    assert found.notes == (
        "20 of 80 rows are in no fold: learned from in every split, and never tested",
        "12 ids of the fold file are of no row that is studied: passed over",
    )
    given_lines = "".join(f"{'test' if i // 2 % 2 else 'train'},1,{one}\n" for i, one in enumerate(IDS[:65]))
    found = scheme_of(tmp_path, IDS, "set,iteration,row_id\n" + given_lines)
    assert found.notes == ("15 of 80 rows are in no split of folds.csv: neither learned from there nor tested",)


def test_a_fold_file_of_other_people_or_other_sides_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PresageError, match="column id: expected ids of the table, found none that the table has"):
        scheme_of(tmp_path, IDS, "id,fold\nA,1\nB,2\n")
    lines = "".join(f"{'Test' if i % 2 else 'train'},1,{one}\n" for i, one in enumerate(IDS))
    with pytest.raises(PresageError, match="column set: expected train and test"):
        scheme_of(tmp_path, IDS, "set,iteration,row_id\n" + lines)


@settings(deadline=None, max_examples=20)
@given(
    nowhere=st.integers(0, 18),
    seed=st.integers(0, 99),
)
def test_every_row_is_in_the_fold_that_its_line_names_or_in_none_and_counted(
    nowhere: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folds = np.random.default_rng(seed).permutation([""] * nowhere + ["1", "2"] * 40)[:80].tolist()
    folder = tmp_path_factory.mktemp("folds")
    lines = "".join(f"{one},{fold}\n" for one, fold in zip(IDS, folds, strict=True))
    found = scheme_of(folder, IDS, "id,fold\n" + lines)
    for split in found.splits:
        assert split.test.tolist() == [i for i, fold in enumerate(folds) if fold == split.name]
        assert sorted([*split.test, *split.train]) == list(range(80))
    nowhere = folds.count("")
    said = f"{'fewer than 11' if nowhere <= 10 else nowhere} of 80 rows {'is' if nowhere == 1 else 'are'} in no fold"
    assert [note.split(":")[0] for note in found.notes] == ([said] if nowhere else [])


def test_a_bundle_of_the_day_when_other_columns_joined_the_first_block_still_gets_them() -> None:
    section = FeaturesSection.model_validate({"blocks": {"clinical": ["age"], "genomic": ["gene_*"]}})
    assert _as_trained(section, ["age", "gene_1"]).rest is None
    assert _as_trained(section, ["age", "sex", "gene_1"]).rest == "clinical"
    assert _as_trained(FeaturesSection(), ["age", "sex"]).rest is None
