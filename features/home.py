"""Where this installation keeps what it makes: MLflow's runs, trials of searches, the service's store and secret."""

from __future__ import annotations

import os
from pathlib import Path


def presage_home() -> Path:
    """$PRESAGE_HOME, else ./.presage, as an absolute path. Nothing is made."""
    return Path(os.environ.get("PRESAGE_HOME", ".presage")).absolute()


def made_home() -> Path:
    """`presage_home`, made if absent: for what is written by libraries that make no folder."""
    home = presage_home()
    home.mkdir(parents=True, exist_ok=True)
    return home
