"""Reference components made elsewhere, in the shape that verifyBamID2 ships: .UD, .mu, .bed and .V beside each
other.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from features.arrays import Floats
from features.errors import PresageError
from features.polygenic.ancestry.fit import Components
from features.polygenic.ancestry.model import SiteTable
from features.polygenic.columns import chromosome_code


def read_loadings(prefix: Path, *, n_components: int | None = None) -> tuple[tuple[str, ...], Components]:
    """Read loadings made elsewhere: the people's ids and their first components (all by default).

    Counts of the alternate allele are about mu + UD V'. Zhang F et al., Genome Research 2020;30:185-94. Raises
    PresageError where the files do not fit together.
    """
    loadings, components = _numbers(prefix, "UD", skip=0), _numbers(prefix, "V", skip=1)
    mean = _numbers(prefix, "mu", skip=1)[:, 0]
    places = _rows(prefix, "bed", width=5)
    if not len(loadings) == len(mean) == len(places):
        raise PresageError(
            str(prefix),
            "as many rows in .UD as in .mu and .bed",
            found=f"{len(loadings)}, {len(mean)} and {len(places)}",
            way_out="take all files of one release",
        )
    if components.shape[1] != loadings.shape[1]:
        raise PresageError(
            str(prefix),
            "as many components in .UD as in .V",
            found=f"{loadings.shape[1]} and {components.shape[1]}",
            way_out="take all files of one release",
        )
    if n_components is not None and n_components > components.shape[1]:
        raise PresageError(
            str(prefix),
            f"{n_components} components or more",
            found=str(components.shape[1]),
            way_out="ask for fewer with --components",
        )
    chosen = slice(n_components)
    keys = [(chromosome_code(row[0]) << 32) | int(row[2]) for row in places]
    sites = SiteTable(
        keys=np.array(keys, np.int64),
        ref=tuple(row[3] for row in places),
        alt=tuple(row[4] for row in places),
        frequency=mean / 2,
        mean=mean,
        scale=np.ones(len(mean)),
        loadings=loadings[:, chosen],
    )
    people = tuple(row[0] for row in _rows(prefix, "V", width=2))
    return people, Components(components[:, chosen], sites)


def _numbers(prefix: Path, kind: str, *, skip: int) -> Floats:
    """The cells after the first `skip` of every line. Raises PresageError with the line that breaks the rule."""
    rows = _rows(prefix, kind, width=skip + 1)
    values = np.empty((len(rows), len(rows[0]) - skip))
    for number, row in enumerate(rows):
        try:
            values[number] = [float(cell) for cell in row[skip:]]
        except ValueError:
            values[number] = np.nan
        if not np.isfinite(values[number]).all():
            where = f"{prefix}.{kind}, line {number + 1}"
            expected = "a number" if values.shape[1] == 1 else f"{values.shape[1]} numbers"
            raise PresageError(where, expected, way_out="copy the file again")
    return values


def _rows(prefix: Path, kind: str, *, width: int) -> list[list[str]]:
    path = _file(prefix, kind)
    rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    short = next((number for number, row in enumerate(rows, start=1) if len(row) < width), None)
    if not rows or short is not None:
        width_found = len(rows[short - 1]) if short is not None else 0
        raise PresageError(
            f"{path}, line {short or 1}",
            f"at least {width} columns",
            found=str(width_found),
            way_out="copy the file again",
        )
    return rows


def _file(prefix: Path, kind: str) -> Path:
    path = Path(f"{prefix}.{kind}")
    if not path.exists():
        raise PresageError(
            str(path),
            "loadings, which are four files: .UD, .mu, .bed and .V",
            found="no such file",
            way_out="copy all four",
        )
    return path
