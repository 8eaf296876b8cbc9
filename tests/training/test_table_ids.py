"""Ids are text: 001 and 1 are two people, and what is written under an id joins back."""

from __future__ import annotations

import io
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.cohort.splits import make_splits
from training.cohort.table import read_flat
from training.study import Study, Validation

PLAIN = Study(name="drawn", source={"id": "id", "table": "people.csv"}, outcome={"event": "ill"})
NUMBERS = st.tuples(st.integers(0, 30), st.integers(0, 3)).map(lambda made: "0" * made[1] + str(made[0]))
OTHERS = st.sampled_from(
    ["1.0", "1e3", "1E3", "TRUE", "True", "2020-01-01", "+1", "-0", "0x1", "MB-0002", "inf", "1_0"]
)
IDS = st.lists(st.one_of(NUMBERS, OTHERS), min_size=20, max_size=60)


def written(ids: list[str], folder: Path) -> None:
    rows = "".join(f"{one},{i % 7},{i % 2}\n" for i, one in enumerate(ids))
    (folder / "people.csv").write_text("id,age,ill\n" + rows)


@settings(deadline=None, max_examples=60)
@given(ids=IDS)
def test_ids_of_a_file_are_the_text_that_stands_there_and_different_texts_are_different_people(
    ids: list[str],
) -> None:
    with TemporaryDirectory() as made:
        folder = Path(made)
        written(ids, folder)
        cohort = read_flat(PLAIN, folder)
    assert cohort.ids.tolist() == ids
    same = np.equal.outer(cohort.persons, cohort.persons)
    assert (same == np.array([[one == other for other in ids] for one in ids])).all()


@settings(deadline=None, max_examples=30)
@given(ids=st.lists(NUMBERS, min_size=24, max_size=40, unique=True), seed=st.integers(0, 99))
def test_folds_of_a_file_find_each_id_and_no_other(ids: list[str], seed: int) -> None:
    fold = np.random.default_rng(seed).permutation(np.arange(len(ids)) // 2 % 2)
    with TemporaryDirectory() as made:
        folder = Path(made)
        written(ids, folder)
        pairs = "".join(f"{one},{k}\n" for one, k in zip(ids, fold, strict=True))
        (folder / "folds.csv").write_text("id,fold\n" + pairs)
        cohort = read_flat(PLAIN, folder)
        # Of 24 people a side may hold too few events: what is tested is who is where.
        from training.cohort import splits

        scheme = splits._fold_file(cohort, folder / "folds.csv")
    for split in scheme.splits:
        assert [ids[row] for row in split.test] == [
            one for one, k in zip(ids, fold, strict=True) if str(k) == split.name
        ]
    assert scheme.notes == ()


def test_genotypes_join_the_id_with_its_zeros(tmp_path: Path) -> None:
    """Four people in a PLINK file, of one variant: 001 has two copies, 1 none, 0001 one; 2 is in the table alone."""
    (tmp_path / "geno.fam").write_text("".join(f"0 {one} 0 0 0 -9\n" for one in ("001", "1", "0001", "9")))
    (tmp_path / "geno.bim").write_text("1\trs1\t0\t100\tA\tG\n")
    codes = [0b00, 0b11, 0b10, 0b11]  # two copies of A, none, one, none
    packed = sum(code << (2 * i) for i, code in enumerate(codes))
    (tmp_path / "geno.bed").write_bytes(bytes([0x6C, 0x1B, 0x01, packed]))
    (tmp_path / "people.csv").write_text("id,age,ill\n1,50,0\n001,51,1\n2,52,0\n0001,53,1\n")
    study = Study(
        name="drawn", source={"id": "id", "table": "people.csv", "genotypes": "geno.bed"}, outcome={"event": "ill"}
    )
    cohort = read_flat(study, tmp_path)
    assert cohort.dosages is not None
    assert cohort.dosages.called.tolist() == [True, True, False, True]
    copies = np.where(cohort.dosages.alleles[0] == "A", cohort.dosages.values[:, 0], 2 - cohort.dosages.values[:, 0])
    np.testing.assert_array_equal(copies, [0, 2, np.nan, 1])


@pytest.mark.parametrize("kind", ["float", "text"])
def test_ids_of_a_data_frame_that_became_floats_on_the_way_are_whole_numbers_again(kind: str) -> None:
    table = pd.read_csv(
        io.StringIO("id,age,ill\n7,1,0\n8,2,1\n8,3,1\n"), dtype={"id": {"float": float, "text": str}[kind]}
    )
    cohort = read_flat(PLAIN, Path(), handed=table)
    assert cohort.ids.tolist() == ["7", "8", "8"]


def test_people_with_several_rows_are_said(tmp_path: Path) -> None:
    written([f"{i // 2:03d}" for i in range(60)], tmp_path)
    [note] = read_flat(PLAIN, tmp_path).notes
    assert note.startswith("30 of 30 people have several rows (the same 'id')")
    written([f"{i:03d}" for i in range(60)], tmp_path)
    assert read_flat(PLAIN, tmp_path).notes == ()


def test_rows_of_a_repeated_id_are_all_in_the_given_split(tmp_path: Path) -> None:
    ids = [f"{i // 2:03d}" for i in range(80)]
    written(ids, tmp_path)
    sides = "".join(f"{'test' if i % 2 else 'train'},1,{i:03d}\n" for i in range(40))
    (tmp_path / "folds.csv").write_text("set,iteration,row_id\n" + sides)
    cohort = read_flat(PLAIN, tmp_path)
    validation = Validation(fold_file="folds.csv")
    [split] = make_splits(cohort, validation, folder=tmp_path, rng=np.random.default_rng(0)).splits
    assert sorted([*split.train.tolist(), *split.test.tolist()]) == list(range(80))
    assert {ids[row] for row in split.test} == {f"{i:03d}" for i in range(40) if i % 2}
