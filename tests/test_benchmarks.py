"""Benchmarks start in any folder; what they measure is shown by running them."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "__main__" in path.read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_says_in_any_folder_what_it_measures(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    assert "usage: " in capsys.readouterr().out


def test_a_benchmark_without_its_data_says_where_it_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRESAGE_DATA", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["survival.py", "--quick"])
    with pytest.raises(SystemExit, match=r"expected the data set survival_benchmark \(set PRESAGE_DATA"):
        runpy.run_path(str(FOLDER / "survival.py"), run_name="__main__")


def test_the_default_study_of_the_oracle_benchmark_ships() -> None:
    from training.study import shipped_study

    script = (FOLDER / "oracle.py").read_text()
    assert 'parser.add_argument("--study", default="chd-10y"' in script
    assert shipped_study("chd-10y").is_file()
