"""The rooms' direction: serving may import training and features, training features, features neither."""

from __future__ import annotations

from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = [("features", "training"), ("features", "serving"), ("training", "serving")]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("features", "training", "serving", cache_dir=None)


@pytest.mark.parametrize(("lower", "upper"), FORBIDDEN)
def test_no_room_imports_the_room_above(imports: grimp.ImportGraph, lower: str, upper: str) -> None:
    chains = imports.find_shortest_chains(importer=lower, imported=upper)
    assert not chains, f"{lower} imports {upper}: {chains}"
