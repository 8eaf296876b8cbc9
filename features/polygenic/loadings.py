"""Reference components made elsewhere, in the shape that verifyBamID2 ships: .UD, .mu, .bed and .V beside each
other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.errors import PresageError
from features.polygenic.ancestry import SiteTable
from features.polygenic.ancestry_fit import Components
from features.polygenic.variants import chromosome_code


def read_loadings(prefix: Path) -> tuple[tuple[str, ...], Components]:
    """People's ids and their components. Counts of the alternate allele are about mu + UD V'.

    Zhang F et al., Genome Research 2020;30:185-94. Raises PresageError where the files do not fit together.
    """
    loadings = np.loadtxt(_file(prefix, "UD"), ndmin=2)
    mean = np.array([float(line.split()[1]) for line in _lines(prefix, "mu")])
    places = [line.split() for line in _lines(prefix, "bed")]
    if not len(loadings) == len(mean) == len(places):
        raise PresageError(str(prefix), ".UD, .mu and .bed differ in length", way_out="take all files of one release")
    people = [line.split() for line in _lines(prefix, "V")]
    components = np.array([[float(value) for value in row[1:]] for row in people])
    if components.shape[1] != loadings.shape[1]:
        raise PresageError(str(prefix), ".UD and .V differ in components", way_out="take all files of one release")
    keys = [(chromosome_code(row[0]) << 32) | int(row[2]) for row in places]
    sites = SiteTable(
        keys=np.array(keys, np.int64),
        ref=tuple(row[3] for row in places),
        alt=tuple(row[4] for row in places),
        frequency=mean / 2,
        mean=mean,
        scale=np.ones(len(mean)),
        loadings=loadings,
    )
    return tuple(row[0] for row in people), Components(components, sites)


def _file(prefix: Path, kind: str) -> Path:
    path = Path(f"{prefix}.{kind}")
    if not path.exists():
        raise PresageError(str(path), "no such file", way_out="loadings are four files: .UD, .mu, .bed and .V")
    return path


def _lines(prefix: Path, kind: str) -> list[str]:
    return [line for line in _file(prefix, kind).read_text(encoding="utf-8").splitlines() if line.strip()]
