"""Progress where nobody watches a bar: lines that a log can keep."""

from __future__ import annotations

import re

import pytest

from serving import console


def test_a_log_gets_one_line_a_stage_and_no_blank_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "LOG_EVERY_S", 0.0)
    with console.progress("reading", total=2000) as advance:
        advance(1500)
    written = capsys.readouterr()
    assert written.out == ""
    assert re.fullmatch(r"reading: 1,500 of 2,000\nreading: done in \d+\.\d s\n", written.err)


def test_a_stage_that_fails_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), console.progress("reading"):
        raise ValueError("broken")
    assert "done" not in capsys.readouterr().err
