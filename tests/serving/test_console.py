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
    assert re.fullmatch(r"reading: 1,500 of 2,000, about 0 s left\nreading: done in \d+\.\d s\n", written.err)


def test_a_stage_that_fails_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="broken"), console.progress("reading"):
        raise ValueError("broken")
    assert "done" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (5, 20, 10.0, " of 20, about 30 s left"),
        (1, 100, 10.0, " of 100, about 16 min left"),
        (0, 20, 10.0, " of 20"),
        (5, None, 10.0, ""),
    ],
)
def test_the_time_left_is_at_the_pace_so_far(done: int, total: int | None, seconds: float, said: str) -> None:
    assert console._left(done, total, seconds=seconds) == said
