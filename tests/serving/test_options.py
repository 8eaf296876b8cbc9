"""Every argument and option of every command explains itself, and a number says which numbers it may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from serving.cli import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    found = getattr(command, "commands", None)
    if found is None:
        yield path, command
        return
    for name, below in found.items():
        yield from commands(below, (*path, name))


PARAMETERS = [
    pytest.param(parameter, id=" ".join([*path, str(parameter.name)]))
    for path, command in commands(typer.main.get_command(app))
    for parameter in command.params
    if parameter.name != "help"
]


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_a_parameter_explains_itself_and_numbers_have_bounds(parameter: Any) -> None:
    assert parameter.help
    if parameter.bare_type() in {"int", "float"}:
        assert parameter.min is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "study.toml", "--seed", "-1"], "--seed"),
        (["check-leakage", "study.toml", "--record", "r", "--seed", "-1"], "--seed"),
        (["prs", "g.pgen", "--scores", "s", "--out", "o.csv", "--min-overlap", "1.5"], "--min-overlap"),
    ],
)
def test_a_number_out_of_bounds_is_refused_before_anything_is_read(arguments: list[str], said: str) -> None:
    found = CliRunner().invoke(app, arguments)
    assert found.exit_code == 2
    assert said in found.output
    assert "equal to" in found.output
