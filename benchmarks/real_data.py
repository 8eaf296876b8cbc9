"""Where the real data sets are that some benchmarks measure on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"


def folder_of(name: str) -> Path:
    """The folder of a data set, in PRESAGE_DATA or beside the checkout; where it is not there, the benchmark ends."""
    folder = Path(os.environ.get("PRESAGE_DATA", BESIDE_THE_CHECKOUT)).absolute() / name
    if not folder.is_dir():
        sys.exit(f"{folder}: expected the data set {name} (set PRESAGE_DATA to the folder that holds it)")
    return folder
