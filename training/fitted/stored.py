"""`learner.json`: which learner made a folder, and its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from features.errors import PresageError

LEARNER_FILE = "learner.json"


def write_learner(folder: Path, stored: Mapping[str, Any]) -> None:
    """`learner.json` in a folder made for it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LEARNER_FILE).write_text(json.dumps(stored, allow_nan=False, sort_keys=True), encoding="utf-8")


def read_learner(folder: Path) -> dict[str, Any]:
    """What `write_learner` wrote."""
    path = folder / LEARNER_FILE
    if not path.is_file():
        raise PresageError(str(path), "a learner that Presage wrote", found="a file of another kind")
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return stored
