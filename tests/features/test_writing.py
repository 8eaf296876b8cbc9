"""What is written stands whole, or what was there before stands and nothing is left beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from features.errors import PresageError
from features.writing import whole_files, whole_folder, write_text


def everything(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, with what it says."""
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_text_is_written_in_utf_8_and_the_folders_on_its_way_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "page.html"
    write_text(path, "5‰ – Größe\n")
    assert path.read_bytes() == "5‰ – Größe\n".encode()
    assert list(path.parent.iterdir()) == [path]


def test_what_was_there_stands_while_the_new_is_written_and_where_it_fails(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    path.write_text("old")

    def fail() -> None:
        with whole_files(path) as (scratch,):
            scratch.write_text("half of the n")
            assert path.read_text() == "old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert everything(tmp_path) == {"scores.parquet": "old"}
    with whole_files(path) as (scratch,):
        scratch.write_text("new")
    assert everything(tmp_path) == {"scores.parquet": "new"}


def test_of_several_files_all_take_their_names_or_none_does(tmp_path: Path) -> None:
    first, second = tmp_path / "genomic" / "scores.parquet", tmp_path / "rejects" / "people.parquet"

    def write(*, fails: bool) -> None:
        with whole_files(first, second, scratch_in=tmp_path) as parts:
            for part in parts:
                part.write_text("whole")
            if fails:
                raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        write(fails=True)
    assert list(tmp_path.iterdir()) == []
    write(fails=False)
    assert everything(tmp_path) == {"genomic/scores.parquet": "whole", "rejects/people.parquet": "whole"}


def test_two_that_write_one_file_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with whole_files(path) as (one,), whole_files(path) as (other,):
        one.write_text("one")
        other.write_text("other")
    assert everything(tmp_path) == {"scores.parquet": "one"}  # the inner block ends first


def test_a_folder_with_the_name_of_a_file_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()
    with (
        pytest.raises(PresageError, match="expected the name of a file, found a folder of that name"),
        whole_files(tmp_path / "out.csv"),
    ):
        pytest.fail("the work has begun")


def test_a_file_has_the_permissions_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "whole", "")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "whole")}
    assert len(modes) == 1


def test_a_folder_takes_the_place_of_the_one_before_or_leaves_it(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "old.json").write_text("old")

    def write(*, fails: bool) -> None:
        with whole_folder(folder) as part:
            part.mkdir()
            (part / "new.json").write_text("new")
            if fails:
                raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        write(fails=True)
    assert everything(tmp_path) == {"bundle/old.json": "old"}
    write(fails=False)
    assert everything(tmp_path) == {"bundle/new.json": "new"}
    assert list(tmp_path.iterdir()) == [folder]


def test_where_nothing_may_be_written_the_error_names_the_file_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir

    def refuse(path: str, mode: int = 0o777) -> None:
        if ".presage-" in str(path):
            raise PermissionError(13, "Permission denied", path)
        real(path, mode)

    monkeypatch.setattr(os, "mkdir", refuse)  # whoever runs the tests may be root, whom no folder refuses
    with pytest.raises(PermissionError) as refused:
        write_text(tmp_path / "out.json", "{}")
    assert refused.value.filename == str(tmp_path / "out.json")
