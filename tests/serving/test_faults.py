"""What a user sees when something outside Presage, or Presage itself, fails: one line, and no value of a person."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from features.errors import PresageError
from serving import cli, faults
from serving.faults import mendable, unforeseen

SECRET = "MRN-0815"


def run(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["presage", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_line_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "no-such-folder" / "features.md"
    code, said = run(["catalogue", "--out", str(out)], monkeypatch, capsys)
    assert code == 2
    assert said == f"presage: {out}: expected a file or folder of this name, found no such file or directory\n"


def test_a_fault_of_presage_is_one_line_without_its_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise ValueError(f"could not convert {SECRET}")

    monkeypatch.delenv("PRESAGE_TRACEBACK", raising=False)
    monkeypatch.setattr("features.catalogue.render.markdown", broken)
    code, said = run(["catalogue"], monkeypatch, capsys)
    assert code == 1
    assert said.startswith("presage: stopped by a fault of its own: ValueError at serving/cli/models.py:")
    assert SECRET not in said
    assert said.count("\n") == 1
    monkeypatch.setenv("PRESAGE_TRACEBACK", "1")
    with pytest.raises(ValueError, match=SECRET):
        run(["catalogue"], monkeypatch, capsys)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            PermissionError(13, "Permission denied", "rec/data"),
            "rec/data: expected the permission to use it, found permission denied (ask",
        ),
        (OSError(28, "x", "a", None, "b"), "b: expected room on the disk, found no space left on device (free"),
        (
            RuntimeError(f'Could not write "{SECRET}": No space left on device'),
            "the file system: expected room on the disk, found no space left",
        ),
        (MemoryError(SECRET), "memory: expected as much as the work needs, found less"),
        (PresageError("person.csv", "a column"), "person.csv: expected a column"),
    ],
)
def test_what_the_machine_refuses_is_said_with_a_way_out(error: Exception, expected: str) -> None:
    found = mendable(error)
    assert found is not None
    assert str(found).startswith(expected)
    assert SECRET not in str(found)


def test_the_line_that_a_fault_names_is_of_presage_even_where_other_packages_lie_beside_it() -> None:
    beside = Path(faults.__file__).parents[1] / "pandas" / "frame.py"
    with pytest.raises(ValueError, match=SECRET) as caught:
        exec(compile(f"raise ValueError('{SECRET}')", str(beside), "exec"))
    assert unforeseen(caught.value).startswith("stopped by a fault of its own: ValueError (")


def test_an_error_without_a_place_in_presage_is_still_named() -> None:
    assert mendable(KeyError(SECRET)) is None
    assert unforeseen(KeyError(SECRET)).startswith("stopped by a fault of its own: KeyError (")
