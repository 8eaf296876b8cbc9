"""`presage check-leakage` says of which study and record it speaks."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from serving.cli import app
from tests.training.test_leakage import write


def test_the_answer_names_the_study_and_the_record(tmp_path: Path) -> None:
    study, record = write(tmp_path, days_before=400)
    done = CliRunner().invoke(app, ["check-leakage", str(study), "--record", str(record)])
    assert done.exit_code == 0, done.output
    first, *rest = done.stdout.replace("\n", " ").partition(":")
    assert first.replace(" ", "") == f"{study},on{record}".replace(" ", "")
    assert "No leak found." in rest[1]
